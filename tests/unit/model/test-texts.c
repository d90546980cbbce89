/* SPDX-License-Identifier: Apache-2.0 */
/* Texts on their way out: into JSON objects and into manual pages. */
#include "model/texts.h"

#include "model/roff.h"

static void test_objects_of_texts(void)
{
    g_autoptr(JsonNode) node = stead_json_texts("a", "1", "none", NULL, "b", "", NULL);
    g_autoptr(JsonNode) nothing = stead_json_texts("none", NULL, NULL);
    g_autofree char *some = json_to_string(node, FALSE);
    g_autofree char *empty = json_to_string(nothing, FALSE);
    g_assert_cmpstr(some, ==, "{\"a\":\"1\",\"b\":\"\"}");
    g_assert_cmpstr(empty, ==, "{}");
}

static void assert_roff(const char *text, const char *expected)
{
    g_autoptr(GString) out = g_string_new(NULL);
    stead_roff_append(out, text);
    g_assert_cmpstr(out->str, ==, expected);
}

static void test_roff_shows_what_was_typed(void)
{
    assert_roff("--no-memory 'a' ~/b ^C \\n", "\\-\\-no\\-memory \\(aqa\\(aq \\(ti/b \\(haC \\en");
}

static void test_roff_takes_no_text_for_a_request(void)
{
    assert_roff(".so /etc/shadow\n'br\nmid.dle", "\\&.so /etc/shadow\n\\&\\(aqbr\nmid.dle");
}

static void test_roff_knows_where_a_line_goes_on(void)
{
    g_autoptr(GString) out = g_string_new("word ");
    stead_roff_append(out, ".hidden");
    g_assert_cmpstr(out->str, ==, "word .hidden");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/texts/json", test_objects_of_texts);
    g_test_add_func("/texts/roff", test_roff_shows_what_was_typed);
    g_test_add_func("/texts/roff-requests", test_roff_takes_no_text_for_a_request);
    g_test_add_func("/texts/roff-within-a-line", test_roff_knows_where_a_line_goes_on);
    return g_test_run();
}
