/* SPDX-License-Identifier: Apache-2.0 */
#include "api/request.h"

#include <string.h>

#include "base/error.h"

static SteadRequest *request_of(const char *text)
{
    SteadRequest *request = g_new0(SteadRequest, 1);
    g_autoptr(GError) error = NULL;
    stead_body_parse(text, strlen(text), &request->body, &error);
    g_assert_no_error(error);
    return request;
}

static void request_free(SteadRequest *request)
{
    g_clear_pointer(&request->body, json_node_unref);
    g_free(request);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadRequest, request_free)

static void assert_refused(const char *text, gsize length)
{
    g_autoptr(GError) error = NULL;
    JsonNode *node = NULL;
    g_assert_false(stead_body_parse(text, length, &node, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    g_assert_null(node);
}

static void test_only_objects_are_bodies(void)
{
    static const char *const wrong[] = {"[]", "1", "null",     "\"x\"", "{",
                                        "{]", "x", "{\"a\":}", "\xff"};
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++)
        assert_refused(wrong[i], strlen(wrong[i]));
    assert_refused("{\"a\":1}\0", 8);
    static const char nul[] = "{\"a\":\"b\\u0000c\"}";
    assert_refused(nul, strlen(nul));
}

/* json-glib alone would take all of these. */
static void test_only_json_reaches_the_parser(void)
{
    static const char *const wrong[] = {
        "{\"a\":\"\\200\"}",   "{\"a\":\"\\0\"}", "{\"a\":\"\\ud800x\"}",
        "{\"a\":\"\\udc00\"}", "{\"a\":\"\\q\"}", "{\"a\":\"\\ud800\\u0041\"}",
        "/*\"*/{\"a\":1}",     "//x\n{\"a\":1}",  "{'a':1}",
        "{\"a\":'b'}",         "#\"\n{\"a\":1}",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++)
        assert_refused(wrong[i], strlen(wrong[i]));
    g_autoptr(SteadRequest) request = request_of("{\"a\":\"\\ud83d\\ude00\\n\\/\\u00e9\"}");
    const char *text = NULL;
    g_assert_true(stead_body_string(request, "a", TRUE, &text, NULL));
    g_assert_cmpstr(text, ==, "\xf0\x9f\x98\x80\n/\xc3\xa9");
}

static void test_no_body_is_none(void)
{
    g_autoptr(SteadRequest) request = request_of("");
    gboolean flag = TRUE;
    const char *text = NULL;
    g_assert_null(request->body);
    g_assert_true(stead_body_only(request, NULL, NULL));
    g_assert_true(stead_body_bool(request, "flag", &flag, NULL));
    g_assert_true(flag);
    g_assert_false(stead_body_string(request, "name", TRUE, &text, NULL));
}

static void test_depth_is_bounded(void)
{
    g_autofree char *open = g_strnfill(4 * 1024 * 1024, '[');
    assert_refused(open, strlen(open));
    g_autofree char *braces = g_strnfill(STEAD_API_MAX_DEPTH + 1, '{');
    assert_refused(braces, strlen(braces));
}

static void test_values_are_bounded(void)
{
    g_autoptr(GString) text = g_string_new("{\"a\":[0");
    for (guint i = 0; i < STEAD_API_MAX_VALUES; i++)
        g_string_append(text, ",0");
    g_string_append(text, "]}");
    assert_refused(text->str, text->len);
}

static void test_brackets_in_strings_do_not_count(void)
{
    g_autofree char *inside = g_strnfill(10000, '[');
    g_autofree char *text = g_strdup_printf("{\"a\\\"%s\":\"%s\\\\\"}", inside, inside);
    g_autoptr(SteadRequest) request = request_of(text);
    g_assert_nonnull(request->body);
}

static void test_strings(void)
{
    g_autoptr(SteadRequest) request = request_of("{\"a\":\"x\",\"n\":1,\"z\":null}");
    const char *value = "before";
    g_autoptr(GError) error = NULL;
    g_assert_true(stead_body_string(request, "a", TRUE, &value, NULL));
    g_assert_cmpstr(value, ==, "x");
    g_assert_true(stead_body_string(request, "z", FALSE, &value, NULL));
    g_assert_cmpstr(value, ==, "x");
    g_assert_false(stead_body_string(request, "z", TRUE, &value, NULL));
    g_assert_false(stead_body_string(request, "n", FALSE, &value, &error));
    g_assert_cmpstr(error->message, ==, "'n' in the request must be a string");
}

static void test_numbers(void)
{
    g_autoptr(SteadRequest) request =
        request_of("{\"a\":5,\"neg\":-1,\"f\":1.5,\"s\":\"5\",\"big\":99999999999999999999}");
    guint64 value = 7;
    g_assert_true(stead_body_uint(request, "none", 10, &value, NULL));
    g_assert_cmpuint(value, ==, 7);
    g_assert_true(stead_body_uint(request, "a", 5, &value, NULL));
    g_assert_cmpuint(value, ==, 5);
    g_assert_false(stead_body_uint(request, "a", 4, &value, NULL));
    g_assert_false(stead_body_uint(request, "neg", 10, &value, NULL));
    g_assert_false(stead_body_uint(request, "f", 10, &value, NULL));
    g_assert_false(stead_body_uint(request, "s", 10, &value, NULL));
    g_assert_false(stead_body_uint(request, "big", 10, &value, NULL));
}

static void test_sizes(void)
{
    g_autoptr(SteadRequest) request = request_of("{\"a\":\"2K\",\"b\":4096,\"c\":\"x\"}");
    guint64 value = 0;
    g_assert_true(stead_body_size(request, "a", &value, NULL));
    g_assert_cmpuint(value, ==, 2048);
    g_assert_true(stead_body_size(request, "b", &value, NULL));
    g_assert_cmpuint(value, ==, 4096);
    g_assert_false(stead_body_size(request, "c", &value, NULL));
}

static void test_an_unknown_member_is_told_with_the_nearest(void)
{
    g_autoptr(SteadRequest) request = request_of("{\"nmae\":1}");
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_body_only(request, &error, "name", "spec", NULL));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    g_assert_cmpstr(stead_error_hint(error), ==, "Did you mean 'name'?");
}

static void test_query_flags(void)
{
    g_autoptr(GHashTable) query = g_hash_table_new(g_str_hash, g_str_equal);
    SteadRequest request = {.query = query};
    g_hash_table_insert(query, (gpointer) "a", (gpointer) "");
    g_hash_table_insert(query, (gpointer) "b", (gpointer) "1");
    g_hash_table_insert(query, (gpointer) "c", (gpointer) "0");
    g_assert_true(stead_query_flag(&request, "a"));
    g_assert_true(stead_query_flag(&request, "b"));
    g_assert_false(stead_query_flag(&request, "c"));
    g_assert_false(stead_query_flag(&request, "d"));
    request.query = NULL;
    g_assert_false(stead_query_flag(&request, "a"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/request/only-objects", test_only_objects_are_bodies);
    g_test_add_func("/request/only-json-reaches-the-parser", test_only_json_reaches_the_parser);
    g_test_add_func("/request/no-body", test_no_body_is_none);
    g_test_add_func("/request/depth", test_depth_is_bounded);
    g_test_add_func("/request/values", test_values_are_bounded);
    g_test_add_func("/request/brackets-in-strings", test_brackets_in_strings_do_not_count);
    g_test_add_func("/request/strings", test_strings);
    g_test_add_func("/request/numbers", test_numbers);
    g_test_add_func("/request/sizes", test_sizes);
    g_test_add_func("/request/unknown-member", test_an_unknown_member_is_told_with_the_nearest);
    g_test_add_func("/request/query-flags", test_query_flags);
    return g_test_run();
}
