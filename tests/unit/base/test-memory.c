/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"

#include <glib.h>
#include <stdio.h>
#include <unistd.h>

static const char constant[] = "stays";
static char variable[] = "stays";

static long resident(void)
{
    g_autofree char *text = NULL;
    long pages = 0;
    g_assert_true(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
    g_assert_cmpint(sscanf(text, "%*s %ld", &pages), ==, 1);
    return pages * sysconf(_SC_PAGESIZE);
}

static void test_nothing_is_lost(void)
{
    variable[0] = 'S';
    g_autofree char *heap = g_strdup("stays");
    stead_memory_give_back();
    stead_memory_give_back();
    g_assert_cmpstr(constant, ==, "stays");
    g_assert_cmpstr(variable, ==, "Stays");
    g_assert_cmpstr(heap, ==, "stays");
    g_autoptr(GRegex) regex = g_regex_new("s.*s$", 0, 0, NULL); /* a library that was dropped */
    g_assert_true(g_regex_match(regex, heap, 0, NULL));
}

static void test_less_is_resident(void)
{
    long before = resident();
    stead_memory_give_back();
    g_assert_cmpint(resident(), <, before);
}

int main(int argc, char **argv)
{
    stead_memory_init();
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/memory/less-is-resident", test_less_is_resident);
    g_test_add_func("/memory/nothing-is-lost", test_nothing_is_lost);
    return g_test_run();
}
