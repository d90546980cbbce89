/* SPDX-License-Identifier: Apache-2.0 */
/* What is taken for JSON, and what is not. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "vmm/json.h"

static int parse(VmmJson *json, const char *text)
{
    return vmm_json_parse(json, text, strlen(text));
}

static void test_values_are_found(void)
{
    VmmJson json;
    char text[16];
    uint64_t number;
    g_assert_cmpint(parse(&json,
                          " {\"a\": {\"b\": [1, {}, \"x\"], \"c\": 42}, \"d\": \"\\u0041\\n\","
                          " \"e\": true} "),
                    ==, 0);
    int a = vmm_json_get(&json, 0, "a");
    g_assert_cmpint(vmm_json_number(&json, vmm_json_get(&json, a, "c"), &number), ==, 0);
    g_assert_cmpuint(number, ==, 42);
    g_assert_cmpint(vmm_json_string(&json, vmm_json_get(&json, 0, "d"), text, sizeof text), ==, 0);
    g_assert_cmpstr(text, ==, "A\n");
    g_assert_cmpint(vmm_json_get(&json, 0, "b"), ==, VMM_JSON_NONE);
    g_assert_cmpint(vmm_json_get(&json, VMM_JSON_NONE, "b"), ==, VMM_JSON_NONE);
}

static void test_what_is_no_json_is_refused(void)
{
    static const char *const wrong[] = {
        "",         "{",     "}",     "[1,]",       "{\"a\"}", "{\"a\":}",
        "{a:1}",    "[1 2]", "\"",    "\"\\",       "{} {}",   "[}",
        "\"\x01\"", ",",     "nul l", "{\"a\":1,}", "[",       "{\"a\":1 \"b\":2}",
        "[,1]"};
    VmmJson json;
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
        g_assert_cmpint(parse(&json, wrong[i]), ==, -EINVAL);
}

static void test_depth_and_number_are_limited(void)
{
    VmmJson json;
    g_autofree char *deep = g_strnfill(VMM_JSON_DEPTH_MAX + 1, '[');
    g_autoptr(GString) many = g_string_new("[0");
    for (int i = 0; i < VMM_JSON_NODES_MAX; i++)
        g_string_append(many, ",0");
    g_string_append_c(many, ']');
    g_assert_cmpint(parse(&json, deep), ==, -E2BIG);
    g_assert_cmpint(parse(&json, many->str), ==, -E2BIG);
}

static void test_kinds_are_not_mixed_up(void)
{
    VmmJson json;
    char text[4];
    uint64_t number;
    g_assert_cmpint(parse(&json, "[\"long\", -1, 1e3, null, 18446744073709551616]"), ==, 0);
    g_assert_cmpint(vmm_json_string(&json, 1, text, sizeof text), ==, -E2BIG);
    g_assert_cmpint(vmm_json_string(&json, 2, text, sizeof text), ==, -EINVAL);
    g_assert_cmpint(vmm_json_number(&json, 2, &number), ==, -EINVAL);
    g_assert_cmpint(vmm_json_number(&json, 3, &number), ==, -EINVAL);
    g_assert_cmpint(vmm_json_number(&json, 5, &number), ==, -EINVAL);
    g_assert_cmpint(vmm_json_number(&json, 99, &number), ==, -EINVAL);
}

static void test_odd_escapes_are_refused(void)
{
    static const char *const wrong[] = {"\"\\u0000\"", "\"\\u20ac\"", "\"\\u12\"", "\"\\x\"",
                                        "\"\\uzzzz\""};
    VmmJson json;
    char text[16];
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_assert_cmpint(parse(&json, wrong[i]), ==, 0);
        g_assert_cmpint(vmm_json_string(&json, 0, text, sizeof text), ==, -EINVAL);
    }
}

static void test_escaping_is_undone_by_reading(void)
{
    const char *text = "a \"quoted\\\" word\nand a bell \a";
    char escaped[64], quoted[80], back[64];
    VmmJson json;
    vmm_json_escape(text, escaped, sizeof escaped);
    g_snprintf(quoted, sizeof quoted, "\"%s\"", escaped);
    g_assert_cmpint(parse(&json, quoted), ==, 0);
    g_assert_cmpint(vmm_json_string(&json, 0, back, sizeof back), ==, 0);
    g_assert_cmpstr(back, ==, text);
    vmm_json_escape("\"\"\"", escaped, 4);
    g_assert_cmpstr(escaped, ==, "\\\"");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmm/json/values", test_values_are_found);
    g_test_add_func("/vmm/json/no-json", test_what_is_no_json_is_refused);
    g_test_add_func("/vmm/json/limits", test_depth_and_number_are_limited);
    g_test_add_func("/vmm/json/kinds", test_kinds_are_not_mixed_up);
    g_test_add_func("/vmm/json/escapes", test_odd_escapes_are_refused);
    g_test_add_func("/vmm/json/escaping", test_escaping_is_undone_by_reading);
    return g_test_run();
}
