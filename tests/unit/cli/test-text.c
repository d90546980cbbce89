/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/text.h"

#include <string.h>

static void assert_clean(const char *dirty, const char *expected)
{
    g_autofree char *whole = stead_clean_lines(dirty);
    g_autoptr(GString) bytewise = g_string_new(NULL);
    SteadCleaner cleaner = {0};
    for (const char *p = dirty; *p != '\0'; p++)
        stead_cleaner_feed(&cleaner, p, 1, bytewise);
    g_assert_cmpstr(whole, ==, expected);
    g_assert_cmpstr(bytewise->str, ==, expected);
}

static void test_plain_text_is_kept(void)
{
    assert_clean("a\tb\nüé漢 ~", "a\tb\nüé漢 ~");
}

static void test_escape_sequences_go_as_a_whole(void)
{
    assert_clean("\033[1;31mred\033[0m", "red");
    assert_clean("\033]0;title\aafter", "after");
    assert_clean("\033]0;title\033\\after", "after");
    assert_clean("\033Pdevice control\033\\after", "after");
    assert_clean("\033(Bafter", "after");
    assert_clean("\033\033[2Jafter", "after");
    assert_clean("\033cafter", "after");
}

static void test_control_characters_go(void)
{
    assert_clean("a\rb\bc\177d\vE", "abcdE");
    assert_clean("a\302\233b", "ab");     /* U+009B, CSI in one character */
    assert_clean("a\342\200\256b", "ab"); /* U+202E, right-to-left override */
}

static void test_an_unfinished_sequence_ends_with_its_line(void)
{
    assert_clean("\033[12\nafter", "\nafter");
    assert_clean("\033]never\nafter", "\nafter");
    assert_clean("\033", "");
}

static void test_an_endless_sequence_swallows_little(void)
{
    g_autoptr(GString) dirty = g_string_new("\033]");
    for (int i = 0; i < 10000; i++)
        g_string_append_c(dirty, 'x');
    g_autofree char *clean = stead_clean(dirty->str);
    g_assert_cmpuint(strlen(clean), >, 5000);
}

static void test_invalid_utf8_is_marked(void)
{
    assert_clean("a\377b", "a\357\277\275b");
    assert_clean("a\303(b", "a\357\277\275(b");
    assert_clean("\300\257", "\357\277\275\357\277\275");
}

static void assert_coloured(const char *dirty, const char *expected)
{
    SteadCleaner whole = {.colours = TRUE}, bytewise = {.colours = TRUE};
    g_autoptr(GString) at_once = g_string_new(NULL);
    g_autoptr(GString) piecemeal = g_string_new(NULL);
    stead_cleaner_feed(&whole, dirty, strlen(dirty), at_once);
    stead_cleaner_finish(&whole, at_once);
    for (const char *p = dirty; *p != '\0'; p++)
        stead_cleaner_feed(&bytewise, p, 1, piecemeal);
    stead_cleaner_finish(&bytewise, piecemeal);
    g_assert_cmpstr(at_once->str, ==, expected);
    g_assert_cmpstr(piecemeal->str, ==, expected);
}

static void test_colours_can_be_kept(void)
{
    assert_coloured("\033[1;38:5:9mred\033[0m", "\033[1;38:5:9mred\033[0m");
    assert_coloured("\033[mplain", "\033[mplain");
    assert_coloured("\033[1mbold", "\033[1mbold\033[0m");
}

static void test_colours_end_with_their_line(void)
{
    assert_coloured("\033[31mred\nplain\n", "\033[31mred\033[0m\nplain\n");
}

static void test_only_colours_are_kept(void)
{
    assert_coloured("\033[2Ja\033[?25lb\033[>4;1mc\033[1 md\033]0;e\af\033[1;\033[2Kg", "abcdfg");
}

static void test_an_overlong_colour_is_dropped(void)
{
    g_autoptr(GString) dirty = g_string_new("\033[");
    for (int i = 0; i < STEAD_CLEANER_SGR_MAX; i++)
        g_string_append_c(dirty, '1');
    g_string_append(dirty, "mafter");
    assert_coloured(dirty->str, "after");
}

static void test_one_line_stays_one(void)
{
    g_autofree char *clean = stead_clean("a\nb\tc");
    g_autofree char *nothing = stead_clean(NULL);
    g_assert_cmpstr(clean, ==, "a b c");
    g_assert_cmpstr(nothing, ==, "");
}

static void test_width_counts_columns(void)
{
    g_assert_cmpuint(stead_text_width("abc"), ==, 3);
    g_assert_cmpuint(stead_text_width("漢字"), ==, 4);
    g_assert_cmpuint(stead_text_width("e\314\201"), ==, 1);
}

static void assert_fit(const char *text, guint columns, const char *expected)
{
    g_autofree char *fit = stead_text_fit(text, columns);
    g_assert_cmpstr(fit, ==, expected);
    g_assert_cmpuint(stead_text_width(fit), <=, columns);
}

static void test_text_is_cut_to_fit(void)
{
    assert_fit("hello", 5, "hello");
    assert_fit("hello", 4, "hel…");
    assert_fit("漢字漢", 4, "漢…");
    assert_fit("hello", 1, "…");
    assert_fit("hello", 0, "");
}

static void test_paragraphs_are_wrapped(void)
{
    g_autoptr(GString) out = g_string_new(NULL);
    stead_text_wrap(out, "one two three\n\n  kept as it is", 2, 10);
    g_assert_cmpstr(out->str, ==, "  one two\n  three\n\n    kept as it is\n");
}

static void test_ages_are_short(void)
{
    g_autofree char *never = stead_text_age(0, 5);
    g_autofree char *age = stead_text_age(G_USEC_PER_SEC, 91 * (gint64)G_USEC_PER_SEC);
    g_autofree char *future = stead_text_age(10 * (gint64)G_USEC_PER_SEC, G_USEC_PER_SEC);
    g_assert_cmpstr(never, ==, "-");
    g_assert_cmpstr(age, ==, "1m30s");
    g_assert_cmpstr(future, ==, "0s");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/text/plain-text-is-kept", test_plain_text_is_kept);
    g_test_add_func("/text/escape-sequences-go-as-a-whole", test_escape_sequences_go_as_a_whole);
    g_test_add_func("/text/control-characters-go", test_control_characters_go);
    g_test_add_func("/text/an-unfinished-sequence", test_an_unfinished_sequence_ends_with_its_line);
    g_test_add_func("/text/an-endless-sequence", test_an_endless_sequence_swallows_little);
    g_test_add_func("/text/invalid-utf8-is-marked", test_invalid_utf8_is_marked);
    g_test_add_func("/text/colours-can-be-kept", test_colours_can_be_kept);
    g_test_add_func("/text/colours-end-with-their-line", test_colours_end_with_their_line);
    g_test_add_func("/text/only-colours-are-kept", test_only_colours_are_kept);
    g_test_add_func("/text/an-overlong-colour-is-dropped", test_an_overlong_colour_is_dropped);
    g_test_add_func("/text/one-line-stays-one", test_one_line_stays_one);
    g_test_add_func("/text/width-counts-columns", test_width_counts_columns);
    g_test_add_func("/text/text-is-cut-to-fit", test_text_is_cut_to_fit);
    g_test_add_func("/text/paragraphs-are-wrapped", test_paragraphs_are_wrapped);
    g_test_add_func("/text/ages-are-short", test_ages_are_short);
    return g_test_run();
}
