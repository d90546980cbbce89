/* SPDX-License-Identifier: Apache-2.0 */
#include "base/near.h"

#include <string.h>

static const char *const words[] = {"memory", "image", NULL, "networks", "cpus", "ports"};

static const char *near(const char *word)
{
    return stead_near(word, words, G_N_ELEMENTS(words));
}

static void test_slips_are_found(void)
{
    g_assert_cmpstr(near("memroy"), ==, "memory");
    g_assert_cmpstr(near("Image"), ==, "image");
    g_assert_cmpstr(near("network"), ==, "networks");
    g_assert_cmpstr(near("cpu"), ==, "cpus");
}

static void test_strangers_are_not(void)
{
    g_assert_null(near("zebra"));
    g_assert_null(near(""));
}

static void test_long_input_is_refused(void)
{
    g_autofree char *word = g_strnfill(STEAD_NEAR_MAX + 1, 'a');
    const char *const same[] = {word};
    g_assert_null(stead_near(word, same, 1));
    word[STEAD_NEAR_MAX] = '\0';
    g_assert_cmpstr(stead_near(word, same, 1), ==, word);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/near/slips-are-found", test_slips_are_found);
    g_test_add_func("/near/strangers-are-not", test_strangers_are_not);
    g_test_add_func("/near/long-input-is-refused", test_long_input_is_refused);
    return g_test_run();
}
