/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/json.h"

static const char text[] =
    "{'a':{'b':'c','n':7,'f':0.5,'t':true,'z':null},'l':['x',3,'y'],'s':'7'}";

static void test_members_of_members(void)
{
    g_autoptr(JsonNode) node = json_from_string(text, NULL);
    g_assert_cmpstr(stead_json_text(node, "a.b"), ==, "c");
    g_assert_cmpint(stead_json_integer(node, "a.n", -1), ==, 7);
    g_assert_cmpfloat(stead_json_number(node, "a.f", -1), ==, 0.5);
    g_assert_cmpfloat(stead_json_number(node, "a.n", -1), ==, 7);
    g_assert_true(stead_json_flag(node, "a.t"));
}

static void test_what_is_not_there_is_nothing(void)
{
    g_autoptr(JsonNode) node = json_from_string(text, NULL);
    g_assert_null(stead_json_text(node, "a.x"));
    g_assert_null(stead_json_text(node, "s.x.y"));
    g_assert_null(stead_json_text(node, "a.z"));
    g_assert_null(stead_json_text(node, "a"));
    g_assert_null(stead_json_text(node, "a.n"));
    g_assert_cmpint(stead_json_integer(node, "s", -1), ==, -1);
    g_assert_cmpint(stead_json_integer(node, "l", -1), ==, -1);
    g_assert_false(stead_json_flag(node, "a.b"));
    g_assert_null(stead_json_text(NULL, "a"));
}

static void test_lists(void)
{
    g_autoptr(JsonNode) node = json_from_string(text, NULL);
    g_autofree char *joined = stead_json_join(node, "l");
    g_autofree char *none = stead_json_join(node, "a");
    g_assert_cmpstr(joined, ==, "x, y");
    g_assert_cmpstr(none, ==, "");
    g_assert_cmpuint(stead_json_length(stead_json_member(node, "l")), ==, 3);
    g_assert_null(stead_json_element(stead_json_member(node, "l"), 3));
    g_assert_cmpuint(stead_json_length(NULL), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json/members-of-members", test_members_of_members);
    g_test_add_func("/json/what-is-not-there", test_what_is_not_there_is_nothing);
    g_test_add_func("/json/lists", test_lists);
    return g_test_run();
}
