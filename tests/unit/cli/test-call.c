/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"

#include <string.h>

#include "base/error.h"

/* Parses "stead ..." split at spaces; an empty word is written as "''". */
static SteadCall *parse(const char *line, GError **error)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    for (char **word = words; *word != NULL; word++)
        if (strcmp(*word, "''") == 0)
            **word = '\0';
    return stead_call_parse((int)g_strv_length(words), (const char *const *)words, error);
}

static SteadCall *parse_well(const char *line)
{
    g_autoptr(GError) error = NULL;
    SteadCall *call = parse(line, &error);
    g_assert_no_error(error);
    g_assert_nonnull(call);
    return call;
}

static void assert_refused(const char *line, const char *message, const char *hint)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadCall) call = parse(line, &error);
    g_assert_null(call);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    g_assert_nonnull(strstr(error->message, message));
    if (hint != NULL)
        g_assert_cmpstr(stead_error_hint(error), ==, hint);
}

static void test_options_may_stand_anywhere(void)
{
    g_autoptr(SteadCall) call = parse_well("stead run debian:12 --name web -c 2");
    g_assert_cmpstr(stead_call_command(call)->name, ==, "run");
    g_assert_cmpstr(stead_call_text(call, "name"), ==, "web");
    g_assert_cmpuint(stead_call_number(call, "cpus", 0), ==, 2);
    g_assert_cmpstr(stead_call_argument(call, 0), ==, "debian:12");
    g_assert_null(stead_call_argument(call, 1));
}

static void test_values_are_given_in_every_form(void)
{
    static const char *const lines[] = {"stead logs --tail 5 w", "stead logs --tail=5 w",
                                        "stead logs -n 5 w", "stead logs -n5 w",
                                        "stead logs w -n=5"};
    for (gsize i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_autoptr(SteadCall) call = parse_well(lines[i]);
        g_assert_cmpuint(stead_call_number(call, "tail", 0), ==, 5);
        g_assert_cmpuint(stead_call_n_arguments(call), ==, 1);
    }
}

static void test_flags_of_one_letter_are_joined(void)
{
    g_autoptr(SteadCall) call = parse_well("stead logs -ftn3 web");
    g_assert_true(stead_call_flag(call, "follow"));
    g_assert_true(stead_call_flag(call, "timestamps"));
    g_assert_false(stead_call_flag(call, "boot"));
    g_assert_cmpuint(stead_call_number(call, "tail", 0), ==, 3);
}

static void test_lists_are_repeated_and_else_the_last_counts(void)
{
    g_autoptr(SteadCall) call = parse_well("stead run -p 1:1 --port=2:2 -m 1G -m 2G image");
    g_assert_cmpuint(g_strv_length(stead_call_list(call, "port")), ==, 2);
    g_assert_cmpstr(stead_call_list(call, "port")[1], ==, "2:2");
    g_assert_cmpstr(stead_call_text(call, "memory"), ==, "2G");
    g_assert_cmpuint(g_strv_length(stead_call_list(call, "package")), ==, 0);
}

static void test_sizes_and_durations_are_read(void)
{
    g_autoptr(SteadCall) size = parse_well("stead resize web --disk 2G");
    g_autoptr(SteadCall) time = parse_well("stead stop web --timeout 1m30s");
    g_autoptr(SteadCall) none = parse_well("stead stop web");
    g_assert_cmpuint(stead_call_number(size, "disk", 0), ==, G_GUINT64_CONSTANT(2) << 30);
    g_assert_cmpuint(stead_call_number(time, "timeout", 0), ==, 90000);
    g_assert_cmpuint(stead_call_number(none, "timeout", 7), ==, 7);
}

static void test_two_dashes_end_options(void)
{
    g_autoptr(SteadCall) call = parse_well("stead rm -- --force -x");
    g_assert_false(stead_call_flag(call, "force"));
    g_assert_cmpstr(stead_call_argument(call, 0), ==, "--force");
    g_assert_cmpstr(stead_call_argument(call, 1), ==, "-x");
}

static void test_what_is_passed_on_is_untouched(void)
{
    g_autoptr(SteadCall) dashes = parse_well("stead exec web --timeout 5s -- ls -t -- ''");
    g_autoptr(SteadCall) bare = parse_well("stead exec web ls --timeout 5s");
    const char *const *rest = stead_call_arguments(dashes, 1);
    g_assert_cmpuint(stead_call_number(dashes, "timeout", 0), ==, 5000);
    g_assert_cmpstr(rest[0], ==, "ls");
    g_assert_cmpstr(rest[1], ==, "-t");
    g_assert_cmpstr(rest[2], ==, "--");
    g_assert_cmpstr(rest[3], ==, "");
    g_assert_null(rest[4]);
    g_assert_false(stead_call_has(bare, "timeout"));
    g_assert_cmpuint(stead_call_n_arguments(bare), ==, 4);
}

static void test_a_lone_dash_is_an_argument(void)
{
    g_autoptr(SteadCall) call = parse_well("stead up -");
    g_assert_cmpstr(stead_call_argument(call, 0), ==, "-");
}

static void test_groups_have_members(void)
{
    g_autoptr(SteadCall) call = parse_well("stead snapshot create web s1");
    g_assert_cmpstr(stead_call_command(call)->name, ==, "snapshot create");
    g_assert_cmpstr(stead_call_argument(call, 1), ==, "s1");
}

static void test_help_needs_nothing_else(void)
{
    static const char *const lines[] = {
        "stead",   "stead --help", "stead snapshot", "stead rm -h", "stead snapshot create --help",
        "stead -h"};
    for (gsize i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_autoptr(SteadCall) call = parse_well(lines[i]);
        g_assert_true(stead_call_help(call));
    }
}

static void test_near_words_are_named(void)
{
    assert_refused("stead strat web", "no command 'stead strat'", "Did you mean 'stead start'?");
    assert_refused("stead snapshot creat w s", "no command 'stead snapshot creat'",
                   "Did you mean 'stead snapshot create'?");
    assert_refused("stead ls --fromat json", "no option '--fromat'", "Did you mean '--format'?");
    assert_refused("stead zzzzzz", "no command", "'stead --help' lists the commands.");
}

static void test_hidden_commands_are_not_suggested(void)
{
    assert_refused("stead __mann", "no command", "'stead --help' lists the commands.");
}

static void test_what_does_not_fit_is_refused(void)
{
    assert_refused("stead show", "needs NAME", NULL);
    assert_refused("stead show a b", "does not take 'b'", NULL);
    assert_refused("stead ls -z", "no option '-z'", NULL);
    assert_refused("stead ls --quiet=yes", "takes no value", NULL);
    assert_refused("stead ls --format", "needs a value", NULL);
    assert_refused("stead ls --format yaml", "--format: 'yaml' is not one of table|json", NULL);
    assert_refused("stead logs w --tail many", "--tail: 'many' is not a whole number", NULL);
    assert_refused("stead logs w --tail -1", "is not a whole number", NULL);
    assert_refused("stead stop w -t soon", "--timeout: 'soon' is not a duration", NULL);
    assert_refused("stead run --name '' i", "--name: it is empty", NULL);
    assert_refused("stead snapshot\tcreate", "no command", NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/call/options-may-stand-anywhere", test_options_may_stand_anywhere);
    g_test_add_func("/call/values-are-given-in-every-form", test_values_are_given_in_every_form);
    g_test_add_func("/call/flags-of-one-letter-are-joined", test_flags_of_one_letter_are_joined);
    g_test_add_func("/call/lists-are-repeated", test_lists_are_repeated_and_else_the_last_counts);
    g_test_add_func("/call/sizes-and-durations-are-read", test_sizes_and_durations_are_read);
    g_test_add_func("/call/two-dashes-end-options", test_two_dashes_end_options);
    g_test_add_func("/call/what-is-passed-on-is-untouched", test_what_is_passed_on_is_untouched);
    g_test_add_func("/call/a-lone-dash-is-an-argument", test_a_lone_dash_is_an_argument);
    g_test_add_func("/call/groups-have-members", test_groups_have_members);
    g_test_add_func("/call/help-needs-nothing-else", test_help_needs_nothing_else);
    g_test_add_func("/call/near-words-are-named", test_near_words_are_named);
    g_test_add_func("/call/hidden-commands-are-not-suggested",
                    test_hidden_commands_are_not_suggested);
    g_test_add_func("/call/what-does-not-fit-is-refused", test_what_does_not_fit_is_refused);
    return g_test_run();
}
