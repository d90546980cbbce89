/* SPDX-License-Identifier: Apache-2.0 */
#include "console/log.h"

#include "support.h"

static char *read_all(SteadLog *log, guint64 from)
{
    GString *text = g_string_new(NULL);
    char buffer[7];
    gsize n;
    while ((n = stead_log_read(log, &from, buffer, sizeof buffer)) > 0) {
        g_string_append_len(text, buffer, (gssize)n);
        from += n;
    }
    return g_string_free(text, FALSE);
}

static void assert_text(SteadLog *log, guint64 from, const char *expected)
{
    g_autofree char *text = read_all(log, from);
    g_assert_cmpstr(text, ==, expected);
}

static void test_missing_file_is_empty(Place *place, gconstpointer data)
{
    g_autoptr(SteadLog) log = stead_log_new(place->log, NULL);
    assert_text(log, 0, "");
    g_assert_cmpuint(stead_log_start(log), ==, 0);
    append(place->log, "hello\n");
    g_assert_true(stead_log_refresh(log));
    assert_text(log, 0, "hello\n");
}

static void test_growth_is_no_change(Place *place, gconstpointer data)
{
    append(place->log, "one\n");
    g_autoptr(SteadLog) log = stead_log_new(place->log, NULL);
    append(place->log, "two\n");
    g_assert_false(stead_log_refresh(log));
    g_assert_cmpuint(stead_log_end(log), ==, 8);
}

static void test_positions_survive_rotation(Place *place, gconstpointer data)
{
    append(place->log, "first file\n");
    g_autoptr(SteadLog) log = stead_log_new(place->log, NULL);
    rotate(place->log);
    append(place->log, "second\n");
    g_assert_true(stead_log_refresh(log));
    assert_text(log, 6, "file\nsecond\n");
    rotate(place->log);
    rotate(place->log);
    append(place->log, "fourth\n");
    g_assert_true(stead_log_refresh(log));
    assert_text(log, 0, "first file\nsecond\nfourth\n");
}

static void test_what_was_rotated_away_is_skipped(Place *place, gconstpointer data)
{
    append(place->log, "gone\n");
    g_autoptr(SteadLog) log = stead_log_new(place->log, NULL);
    for (int i = 0; i < 4; i++) {
        rotate(place->log);
        append(place->log, "x\n");
        stead_log_refresh(log);
    }
    g_assert_cmpuint(stead_log_start(log), ==, 5);
    g_assert_cmpuint(stead_log_end(log), ==, 13);
    guint64 position = 0;
    char byte;
    g_assert_cmpuint(stead_log_read(log, &position, &byte, 1), ==, 1);
    g_assert_cmpuint(position, ==, 5);
}

static void test_unseen_rotation_while_reading(Place *place, gconstpointer data)
{
    append(place->log, "first\n");
    g_autoptr(SteadLog) log = stead_log_new(place->log, NULL);
    rotate(place->log);
    append(place->log, "other\n");
    guint64 position = 0;
    char buffer[6];
    g_assert_cmpuint(stead_log_read(log, &position, buffer, 6), ==, 6);
    g_assert_cmpmem(buffer, 6, "first\n", 6);
}

static void test_truncation_goes_forward(Place *place, gconstpointer data)
{
    append(place->log, "0123456789");
    g_autoptr(SteadLog) log = stead_log_new(place->log, NULL);
    g_assert_true(g_file_set_contents(place->log, "", 0, NULL)); /* another inode */
    append(place->log, "abc");
    g_assert_true(stead_log_refresh(log));
    assert_text(log, 10, "abc");
    g_assert_cmpint(truncate(place->log, 1), ==, 0); /* the same inode */
    g_assert_true(stead_log_refresh(log));
    g_assert_cmpuint(stead_log_end(log), ==, 14);
    assert_text(log, 13, "a");
}

static void test_mark_finds_positions_again(Place *place, gconstpointer data)
{
    SteadLogMark mark;
    append(place->log, "aaaa\n");
    {
        g_autoptr(SteadLog) log = stead_log_new(place->log, NULL);
        rotate(place->log);
        append(place->log, "bb\n");
        stead_log_refresh(log);
        stead_log_get_mark(log, &mark);
        g_assert_cmpuint(mark.base, ==, 5);
        g_assert_cmpuint(mark.end, ==, 8);
    }
    append(place->log, "more\n");
    rotate(place->log);
    append(place->log, "ccc\n");
    g_autoptr(SteadLog) log = stead_log_new(place->log, &mark);
    g_assert_cmpuint(stead_log_start(log), ==, 0);
    assert_text(log, 8, "more\nccc\n");
    assert_text(log, 0, "aaaa\nbb\nmore\nccc\n");
}

static void test_positions_never_go_back(Place *place, gconstpointer data)
{
    SteadLogMark mark = {.inode = 1, .birth = 1, .base = 100, .end = 200};
    append(place->log, "new world\n");
    g_autoptr(SteadLog) log = stead_log_new(place->log, &mark);
    g_assert_cmpuint(stead_log_start(log), ==, 200);
    assert_text(log, 0, "new world\n");
}

static void test_damaged_mark(Place *place, gconstpointer data)
{
    SteadLogMark mark = {.inode = 1, .base = 100, .end = 20};
    append(place->log, "text\n");
    g_autoptr(SteadLog) log = stead_log_new(place->log, &mark);
    g_assert_cmpuint(stead_log_start(log), ==, 20);
    assert_text(log, 0, "text\n");
}

static void test_tail_over_files(Place *place, gconstpointer data)
{
    append(place->log, "a\nb\nc\n");
    g_autoptr(SteadLog) log = stead_log_new(place->log, NULL);
    rotate(place->log);
    append(place->log, "d\ne");
    stead_log_refresh(log);
    g_assert_cmpuint(stead_log_tail(log, 0), ==, 9);
    assert_text(log, stead_log_tail(log, 1), "e");
    assert_text(log, stead_log_tail(log, 2), "d\ne");
    assert_text(log, stead_log_tail(log, 3), "c\nd\ne");
    assert_text(log, stead_log_tail(log, 100), "a\nb\nc\nd\ne");
}

static void test_tail_of_long_lines(Place *place, gconstpointer data)
{
    g_autofree char *line = g_strnfill(50000, 'x');
    append(place->log, "short\n");
    append(place->log, line);
    append(place->log, "\nlast\n");
    g_autoptr(SteadLog) log = stead_log_new(place->log, NULL);
    g_assert_cmpuint(stead_log_tail(log, 1), ==, 50007);
    g_assert_cmpuint(stead_log_tail(log, 2), ==, 6);
    g_assert_cmpuint(stead_log_tail(log, 3), ==, 0);
}

static void test_a_link_is_not_followed(Place *place, gconstpointer data)
{
    g_assert_cmpint(symlink("/etc/passwd", place->log), ==, 0);
    g_autoptr(SteadLog) log = stead_log_new(place->log, NULL);
    assert_text(log, 0, "");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST("/log/missing-file-is-empty", test_missing_file_is_empty);
    TEST("/log/growth-is-no-change", test_growth_is_no_change);
    TEST("/log/positions-survive-rotation", test_positions_survive_rotation);
    TEST("/log/what-was-rotated-away-is-skipped", test_what_was_rotated_away_is_skipped);
    TEST("/log/unseen-rotation-while-reading", test_unseen_rotation_while_reading);
    TEST("/log/truncation-goes-forward", test_truncation_goes_forward);
    TEST("/log/mark-finds-positions-again", test_mark_finds_positions_again);
    TEST("/log/positions-never-go-back", test_positions_never_go_back);
    TEST("/log/damaged-mark", test_damaged_mark);
    TEST("/log/tail-over-files", test_tail_over_files);
    TEST("/log/tail-of-long-lines", test_tail_of_long_lines);
    TEST("/log/a-link-is-not-followed", test_a_link_is_not_followed);
    return g_test_run();
}
