/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/candidates.h"

#include <string.h>

/* The candidates for a line whose last word is being typed; the words before the tabs. */
static SteadCandidates *find(const char *line, GString *words)
{
    g_auto(GStrv) split = g_strsplit(line, " ", -1);
    SteadCandidates *candidates = stead_candidates_find((const char *const *)split);
    for (guint i = 0; i < candidates->words->len; i++) {
        const char *word = g_ptr_array_index(candidates->words, i);
        g_string_append_len(words, word, (gssize)strcspn(word, "\t"));
        g_string_append_c(words, ' ');
    }
    return candidates;
}

static void assert_words(const char *line, const char *expected, SteadComplete kind)
{
    g_autoptr(GString) words = g_string_new(NULL);
    g_autoptr(SteadCandidates) candidates = find(line, words);
    g_assert_cmpstr(words->str, ==, expected);
    g_assert_cmpint(candidates->kind, ==, kind);
}

static void test_commands(void)
{
    assert_words("re", "restart resume resize ", STEAD_COMPLETE_NONE);
    assert_words("snapshot r", "restore rm ", STEAD_COMPLETE_NONE);
    assert_words("nonsense x", "", STEAD_COMPLETE_NONE);
    assert_words("__", "", STEAD_COMPLETE_NONE);
}

static void test_options_and_their_values(void)
{
    assert_words("ls --q", "--quiet ", STEAD_COMPLETE_NONE);
    assert_words("ls --format ", "table json ", STEAD_COMPLETE_NONE);
    assert_words("run --kind v", "vm ", STEAD_COMPLETE_NONE);
    assert_words("run --user-data ", "", STEAD_COMPLETE_FILE);
    assert_words("run --network ", "", STEAD_COMPLETE_NETWORK);
    assert_words("logs -n ", "", STEAD_COMPLETE_NONE);
}

static void test_arguments(void)
{
    assert_words("show ", "", STEAD_COMPLETE_INSTANCE);
    assert_words("show web ", "", STEAD_COMPLETE_NONE);
    assert_words("rm --force a b ", "", STEAD_COMPLETE_INSTANCE);
    assert_words("logs -n 5 ", "", STEAD_COMPLETE_INSTANCE);
    assert_words("run --name web ", "", STEAD_COMPLETE_IMAGE);
    assert_words("volume attach web ", "", STEAD_COMPLETE_VOLUME);
    assert_words("exec web -- --", "", STEAD_COMPLETE_NONE);
    assert_words("rm -- -", "", STEAD_COMPLETE_INSTANCE);
}

static void test_snapshots_belong_to_an_instance(void)
{
    g_autoptr(GString) words = g_string_new(NULL);
    g_autoptr(SteadCandidates) candidates = find("snapshot restore web s", words);
    g_assert_cmpint(candidates->kind, ==, STEAD_COMPLETE_SNAPSHOT);
    g_assert_cmpstr(candidates->context, ==, "web");
}

static void test_nothing_typed_offers_all(void)
{
    static const char *const nothing[] = {NULL};
    g_autoptr(SteadCandidates) candidates = stead_candidates_find(nothing);
    g_assert_cmpuint(candidates->words->len, >, 20);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/candidates/commands", test_commands);
    g_test_add_func("/candidates/options-and-their-values", test_options_and_their_values);
    g_test_add_func("/candidates/arguments", test_arguments);
    g_test_add_func("/candidates/snapshots-belong-to-an-instance",
                    test_snapshots_belong_to_an_instance);
    g_test_add_func("/candidates/nothing-typed-offers-all", test_nothing_typed_offers_all);
    return g_test_run();
}
