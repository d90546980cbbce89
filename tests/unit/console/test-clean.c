/* SPDX-License-Identifier: Apache-2.0 */
#include "console/clean.h"

#include <string.h>

#include "console/lines.h"

/* The same text must come out however the bytes are cut. */
static void assert_clean(SteadCleanMode mode, const char *bytes, const char *expected)
{
    gsize n = strlen(bytes);
    for (gsize step = 1; step <= n; step++) {
        SteadClean clean;
        g_autoptr(GString) out = g_string_new(NULL);
        stead_clean_init(&clean, mode);
        for (gsize at = 0; at < n; at += step)
            stead_clean_feed(&clean, bytes + at, MIN(step, n - at), out);
        g_assert_cmpstr(out->str, ==, expected);
    }
}

static void test_line_ends(void)
{
    assert_clean(STEAD_CLEAN_TEXT, "one\r\ntwo\r\r\nthree\n\nfour", "one\ntwo\nthree\n\nfour");
}

static void test_overwriting_becomes_a_line(void)
{
    assert_clean(STEAD_CLEAN_TEXT, "evil\rgood\r\n", "evil\ngood\n");
    assert_clean(STEAD_CLEAN_TEXT, "\r\x1b[K[   *  ] job\r\x1b[K[  *   ] job",
                 "[   *  ] job\n[  *   ] job");
}

static void test_firmware_screen(void)
{
    assert_clean(STEAD_CLEAN_TEXT,
                 "\x1b[2J\x1b[01;01H\x1b[=3h\x1b[2J\x1b[01;01HBdsDxe: loading\r\n\x1b[0m\x1b[30m"
                 "\x1b[47mWelcome\x1b[05;10Hthere",
                 "BdsDxe: loading\nWelcome\nthere");
}

static void test_colours_are_kept_on_request(void)
{
    assert_clean(STEAD_CLEAN_COLOURS, "[\x1b[0;32m  OK  \x1b[0m]", "[\x1b[0;32m  OK  \x1b[0m]");
    assert_clean(STEAD_CLEAN_TEXT, "[\x1b[0;32m  OK  \x1b[0m]", "[  OK  ]");
}

static void test_attacks_on_the_terminal(void)
{
    assert_clean(STEAD_CLEAN_COLOURS,
                 "a\x1b]0;title\x07"
                 "b",
                 "ab");
    assert_clean(STEAD_CLEAN_COLOURS, "a\x1b]52;c;aGk=\x1b\\b", "ab");
    assert_clean(STEAD_CLEAN_COLOURS, "a\x1bP$q\"p\x1b\\b\x1b^x\x1b\\c\x1b_y\x1b\\d", "abcd");
    assert_clean(STEAD_CLEAN_COLOURS, "a\x1b[6n\x1b[?1049h\x1b[>0c\x1b[21tb", "ab");
    assert_clean(STEAD_CLEAN_COLOURS,
                 "a\x1b(0\x1b#8b\x07\x08\x0e\x7f"
                 "c",
                 "abc");
    assert_clean(STEAD_CLEAN_COLOURS, "a\x1b[>4;2mb\x1b[?25mc", "abc");
    assert_clean(STEAD_CLEAN_COLOURS,
                 "a\xc2\x9b"
                 "31mb",
                 "a31mb");
    assert_clean(STEAD_CLEAN_COLOURS,
                 "a\x9b"
                 "b",
                 "a\xef\xbf\xbd"
                 "b");
}

static void test_endless_sequences_end(void)
{
    g_autofree char *digits = g_strnfill(500, '1');
    g_autofree char *sgr = g_strconcat("a\x1b[", digits, "mb", NULL);
    assert_clean(STEAD_CLEAN_COLOURS, sgr, "ab");
    g_autofree char *title = g_strconcat("a\x1b]0;", digits, "\nb", NULL);
    assert_clean(STEAD_CLEAN_COLOURS, title, "a\nb");
}

static void test_utf8(void)
{
    assert_clean(STEAD_CLEAN_TEXT, "gr\xc3\xbc\xc3\x9f \xe2\x9c\x93 \xf0\x9f\x90\xa7",
                 "gr\xc3\xbc\xc3\x9f \xe2\x9c\x93 \xf0\x9f\x90\xa7");
    assert_clean(STEAD_CLEAN_TEXT, "a\xe2\x9c", "a");
    assert_clean(STEAD_CLEAN_TEXT, "a\xe2\x9cz", "a\xef\xbf\xbdz");
    assert_clean(STEAD_CLEAN_TEXT, "\xed\xa0\x80\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

static void test_random_bytes_give_valid_text(void)
{
    SteadClean clean;
    SteadCleanMode mode = STEAD_CLEAN_TEXT;
    g_autoptr(GString) out = g_string_new(NULL);
    stead_clean_init(&clean, mode);
    for (int i = 0; i < 20000; i++) {
        guint8 bytes[64];
        for (gsize j = 0; j < sizeof bytes; j++)
            bytes[j] = (guint8)g_test_rand_int_range(0, 256);
        stead_clean_feed(&clean, bytes, sizeof bytes, out);
    }
    g_assert_true(g_utf8_validate(out->str, (gssize)out->len, NULL));
    for (const char *at = out->str; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        g_assert_true(c == '\n' || c == '\t' || (c >= 0x20 && c < 0x7f) || c >= 0xa0);
    }
}

static void collect(const char *line, gboolean whole, gpointer data)
{
    g_ptr_array_add(data, g_strdup_printf("%s%s", whole ? "" : "...", line));
}

static void test_lines_and_the_unfinished_one(void)
{
    g_autoptr(GPtrArray) seen = g_ptr_array_new_with_free_func(g_free);
    SteadLines lines;
    stead_lines_init(&lines);
    stead_lines_feed(&lines, "one\r\nweb lo", 11, collect, seen);
    stead_lines_feed(&lines, "gin: ", 5, collect, seen);
    stead_lines_clear(&lines);
    g_assert_cmpuint(seen->len, ==, 3);
    g_assert_cmpstr(seen->pdata[0], ==, "one");
    g_assert_cmpstr(seen->pdata[1], ==, "...web lo");
    g_assert_cmpstr(seen->pdata[2], ==, "...web login: ");
}

static void test_long_lines_are_cut(void)
{
    g_autoptr(GPtrArray) seen = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *text = g_strnfill(100000, 'x');
    SteadLines lines;
    stead_lines_init(&lines);
    stead_lines_feed(&lines, text, 100000, collect, seen);
    stead_lines_feed(&lines, "\nnext\n", 6, collect, seen);
    g_assert_cmpuint(seen->len, ==, 3);
    g_assert_cmpuint(strlen(seen->pdata[1]), ==, STEAD_LINE_MAX);
    g_assert_cmpstr(seen->pdata[2], ==, "next");
    g_assert_null(lines.line);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/clean/line-ends", test_line_ends);
    g_test_add_func("/clean/overwriting-becomes-a-line", test_overwriting_becomes_a_line);
    g_test_add_func("/clean/firmware-screen", test_firmware_screen);
    g_test_add_func("/clean/colours-are-kept-on-request", test_colours_are_kept_on_request);
    g_test_add_func("/clean/attacks-on-the-terminal", test_attacks_on_the_terminal);
    g_test_add_func("/clean/endless-sequences-end", test_endless_sequences_end);
    g_test_add_func("/clean/utf8", test_utf8);
    g_test_add_func("/clean/random-bytes-give-valid-text", test_random_bytes_give_valid_text);
    g_test_add_func("/lines/lines-and-the-unfinished-one", test_lines_and_the_unfinished_one);
    g_test_add_func("/lines/long-lines-are-cut", test_long_lines_are_cut);
    return g_test_run();
}
