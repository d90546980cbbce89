/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_shape.h"

#include <string.h>

#define DEPTH 3
#define VALUES 6

static const char *refuses(const char *text)
{
    return stead_json_refuses(text, strlen(text), DEPTH, VALUES);
}

static void test_json_passes(void)
{
    static const char *const right[] = {
        "",
        "{\"a\": [-1.5e+3, true, false, null]}",
        "\"\\u00e9\\\\\\\"\\/\\b\\f\\n\\r\\t\"",
        "\"\\ud83d\\ude00\"",
        "\"[[[[[[,,,,,,,,/*'#\"",
        " \t\r\n{}",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(right); i++)
        g_assert_cmpstr(refuses(right[i]), ==, NULL);
}

static void test_depth_and_values_are_counted(void)
{
    g_assert_null(refuses("[[[]]]"));
    g_assert_nonnull(refuses("[[[[]]]]"));
    g_assert_null(refuses("[0,0,0,0,0,0]"));
    g_assert_nonnull(refuses("[0,0,0,0,0,0,0]"));
    g_assert_null(refuses("[[]],[[]]"));
}

static void test_what_is_not_json_is_refused(void)
{
    static const char *const wrong[] = {
        "/*\"*/1",
        "#",
        "'a'",
        "\"\\200\"",
        "\"\\q\"",
        "\"\\u12\"",
        "\"\\",
        "x",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++)
        g_assert_nonnull(refuses(wrong[i]));
    g_assert_nonnull(stead_json_refuses("1\0[", 3, DEPTH, VALUES));
}

/* Whatever comes, nothing beyond the length is read (a sanitizer would tell). */
static void test_every_prefix_is_survived(void)
{
    static const char text[] = "{\"a\":\"\\ud83d\\ude00\\u00e9\\\\\"}";
    for (gsize n = 0; n < sizeof text; n++) {
        g_autofree char *exact = g_memdup2(text, n);
        stead_json_refuses(exact, n, DEPTH, VALUES);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json-shape/json-passes", test_json_passes);
    g_test_add_func("/json-shape/depth-and-values", test_depth_and_values_are_counted);
    g_test_add_func("/json-shape/what-is-not-json", test_what_is_not_json_is_refused);
    g_test_add_func("/json-shape/every-prefix", test_every_prefix_is_survived);
    return g_test_run();
}
