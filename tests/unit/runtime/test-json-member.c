/* SPDX-License-Identifier: Apache-2.0 */
/* Every type asked for as every other. */
#include "runtime/json_member.h"

static const char all[] = "{\"text\": \"words\", \"number\": 5, \"minus\": -5, \"part\": 0.5,"
                          " \"yes\": true, \"no\": false, \"nothing\": null,"
                          " \"object\": {\"x\": 1}, \"array\": [1]}";
static const char *const names[] = {"text", "number",  "minus",  "part",  "yes",
                                    "no",   "nothing", "object", "array", "absent"};

static gboolean is_one_of(const char *name, const char *first, const char *second)
{
    return g_str_equal(name, first) || g_str_equal(name, second);
}

static void check_member(JsonObject *object, const char *name)
{
    gint64 number = 77;
    g_assert_cmpstr(stead_json_text_in(object, name), ==,
                    g_str_equal(name, "text") ? "words" : NULL);
    g_assert_true(stead_json_number_in(object, name, &number) ==
                  is_one_of(name, "number", "minus"));
    g_assert_cmpint(number, ==,
                    g_str_equal(name, "number")  ? 5
                    : g_str_equal(name, "minus") ? -5
                                                 : 77);
    g_assert_cmpuint(stead_json_count_in(object, name), ==, g_str_equal(name, "number") ? 5 : 0);
    g_assert_true(stead_json_flag_in(object, name) == g_str_equal(name, "yes"));
    g_assert_true((stead_json_object_in(object, name) != NULL) == g_str_equal(name, "object"));
    g_assert_true((stead_json_array_in(object, name) != NULL) == g_str_equal(name, "array"));
}

static void test_types_are_told_apart(void)
{
    g_autoptr(JsonNode) node = json_from_string(all, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        check_member(stead_json_object(node), names[i]);
    g_assert_null(stead_json_array(node));
}

static void test_nothing_has_nothing(void)
{
    g_autoptr(JsonNode) text = json_from_string("\"text\"", NULL);
    gint64 number;
    g_assert_null(stead_json_object(NULL));
    g_assert_null(stead_json_object(text));
    g_assert_null(stead_json_array(NULL));
    g_assert_null(stead_json_array(text));
    g_assert_null(stead_json_object_in(NULL, "x"));
    g_assert_null(stead_json_array_in(NULL, "x"));
    g_assert_null(stead_json_text_in(NULL, "x"));
    g_assert_false(stead_json_number_in(NULL, "x", &number));
    g_assert_cmpuint(stead_json_count_in(NULL, "x"), ==, 0);
    g_assert_false(stead_json_flag_in(NULL, "x"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json-member/types-are-told-apart", test_types_are_told_apart);
    g_test_add_func("/json-member/nothing-has-nothing", test_nothing_has_nothing);
    return g_test_run();
}
