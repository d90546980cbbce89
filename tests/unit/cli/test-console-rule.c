/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/console_rule.h"

#include <string.h>

#include "base/error.h"

static void remember(const char *line, gpointer data)
{
    char **seen = data;
    g_free(*seen);
    *seen = g_strdup(line);
}

/* Which line of the pieces (NULL-terminated) matches; NULL: none. */
static void assert_match(const char *regex, const char *const *pieces, const char *expected)
{
    g_autofree char *seen = NULL;
    g_autoptr(SteadConsoleRule) rule = stead_console_rule_new(regex, remember, &seen, NULL);
    for (; *pieces != NULL; pieces++)
        stead_console_rule_feed(rule, *pieces, strlen(*pieces));
    g_assert_cmpstr(seen, ==, expected);
}

#define PIECES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_a_line_matches(void)
{
    assert_match("^Started", PIECES("one\r\nStarted it\r\nthree\r\n"), "Started it");
    assert_match("^it", PIECES("one\nStarted it\n"), NULL);
}

static void test_a_prompt_without_line_end_matches(void)
{
    assert_match("login: $", PIECES("Debian\nweb lo", "gin: "), "web login: ");
}

static void test_escape_sequences_do_not_hide_it(void)
{
    assert_match("OK  Started", PIECES("[\033[0;3", "2m OK \033[0m Started\n"), "[ OK  Started");
}

static void test_the_first_match_counts(void)
{
    assert_match("a", PIECES("a1\na2\n", "a3\n"), "a1");
}

static void test_endless_lines_are_bounded(void)
{
    g_autofree char *seen = NULL;
    g_autofree char *piece = g_strnfill(64 * 1024, 'x');
    g_autoptr(SteadConsoleRule) rule = stead_console_rule_new("y", remember, &seen, NULL);
    for (int i = 0; i < 100; i++)
        stead_console_rule_feed(rule, piece, strlen(piece));
    stead_console_rule_feed(rule, "y", 1);
    g_assert_null(seen);
    stead_console_rule_feed(rule, "\nyes\n", 5);
    g_assert_cmpstr(seen, ==, "yes");
}

static void test_a_wrong_expression_is_refused(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(stead_console_rule_new("(", remember, NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/console-rule/a-line-matches", test_a_line_matches);
    g_test_add_func("/console-rule/a-prompt-matches", test_a_prompt_without_line_end_matches);
    g_test_add_func("/console-rule/escape-sequences", test_escape_sequences_do_not_hide_it);
    g_test_add_func("/console-rule/the-first-match-counts", test_the_first_match_counts);
    g_test_add_func("/console-rule/endless-lines-are-bounded", test_endless_lines_are_bounded);
    g_test_add_func("/console-rule/a-wrong-expression", test_a_wrong_expression_is_refused);
    return g_test_run();
}
