/* SPDX-License-Identifier: Apache-2.0 */
#include "console/times.h"

#include "support.h"

static void assert_time(SteadTimesCursor *cursor, guint64 position, gint64 time, gboolean guessed)
{
    gint64 found = 0;
    gboolean is_guess = FALSE;
    g_assert_true(stead_times_cursor_at(cursor, position, &found, &is_guess));
    g_assert_cmpint(found, ==, time);
    g_assert_cmpint(is_guess, ==, guessed);
}

static void add(SteadTimes *times, guint64 position, gint64 time, gboolean guessed)
{
    g_autoptr(GError) error = NULL;
    g_assert_true(stead_times_add(times, position, time, guessed, 0, &error));
    g_assert_no_error(error);
}

static void test_empty_index_has_no_time(Place *place, gconstpointer data)
{
    g_autoptr(SteadTimesCursor) cursor = stead_times_cursor_new(place->times);
    gint64 time;
    gboolean guessed;
    g_assert_false(stead_times_cursor_at(cursor, 0, &time, &guessed));
}

static void test_a_record_holds_until_the_next(Place *place, gconstpointer data)
{
    g_autoptr(SteadTimes) times = stead_times_new(place->times);
    g_autoptr(SteadTimesCursor) cursor = stead_times_cursor_new(place->times);
    add(times, 10, 1000000, FALSE);
    add(times, 50, 2000000, TRUE);
    add(times, 90, 3000000, FALSE);
    assert_time(cursor, 10, 1000000, FALSE);
    assert_time(cursor, 49, 1000000, FALSE);
    assert_time(cursor, 50, 2000000, TRUE);
    assert_time(cursor, 1000, 3000000, FALSE);
    assert_time(cursor, 12, 1000000, FALSE);
    assert_time(cursor, 3, 1000000, TRUE);
}

static void test_cursor_sees_growth(Place *place, gconstpointer data)
{
    g_autoptr(SteadTimes) times = stead_times_new(place->times);
    g_autoptr(SteadTimesCursor) cursor = stead_times_cursor_new(place->times);
    for (gint64 i = 1; i <= 1000; i++) {
        add(times, (guint64)i * 10, i * 1000000, FALSE);
        assert_time(cursor, (guint64)i * 10 + 5, i * 1000000, FALSE);
    }
}

static void test_near_lines_share_a_record(Place *place, gconstpointer data)
{
    g_autoptr(SteadTimes) times = stead_times_new(place->times);
    add(times, 0, 1000000, FALSE);
    add(times, 10, 1000000 + STEAD_TIMES_RESOLUTION_US - 1, FALSE);
    g_autoptr(SteadTimesCursor) cursor = stead_times_cursor_new(place->times);
    assert_time(cursor, 10, 1000000, FALSE);
}

static void test_header_survives(Place *place, gconstpointer data)
{
    SteadLogMark mark = {.inode = 7, .birth = 8, .base = 9, .end = 10};
    {
        g_autoptr(SteadTimes) times = stead_times_new(place->times);
        g_assert_true(stead_times_set_mark(times, &mark, NULL));
        g_assert_true(stead_times_set_boot(times, 4711, NULL));
        add(times, 5, 1000000, FALSE);
    }
    g_autoptr(SteadTimes) times = stead_times_new(place->times);
    g_assert_cmpmem(stead_times_mark(times), sizeof mark, &mark, sizeof mark);
    g_assert_cmpuint(stead_times_boot(times), ==, 4711);
    add(times, 5, 9000000, FALSE); /* not after the last: ignored */
    g_autoptr(SteadTimesCursor) cursor = stead_times_cursor_new(place->times);
    assert_time(cursor, 5, 1000000, FALSE);
}

static void test_index_is_bounded(Place *place, gconstpointer data)
{
    g_autoptr(SteadTimes) times = stead_times_new(place->times);
    gint64 n = STEAD_TIMES_RECORDS_MAX + 100;
    for (gint64 i = 1; i <= n; i++)
        add(times, (guint64)i, i * 1000000, FALSE);
    GStatBuf st;
    g_assert_cmpint(g_stat(place->times, &st), ==, 0);
    g_assert_cmpint(st.st_size, <, 64 + 16 * STEAD_TIMES_RECORDS_MAX);
    g_autoptr(SteadTimesCursor) cursor = stead_times_cursor_new(place->times);
    assert_time(cursor, (guint64)n, n * 1000000, FALSE);
    assert_time(cursor, (guint64)n - 20000, (n - 20000) * 1000000, FALSE);
    gint64 time;
    gboolean guessed;
    g_assert_true(stead_times_cursor_at(cursor, 1, &time, &guessed));
    g_assert_true(guessed);
}

static void test_garbage_is_begun_anew(Place *place, gconstpointer data)
{
    append(place->times, "this is no index, but it is longer than the header of one, so read on");
    g_autoptr(SteadTimes) times = stead_times_new(place->times);
    g_assert_cmpuint(stead_times_boot(times), ==, 0);
    add(times, 5, 1000000, FALSE);
    g_autoptr(SteadTimesCursor) cursor = stead_times_cursor_new(place->times);
    assert_time(cursor, 5, 1000000, FALSE);
}

static void test_half_a_record_is_overwritten(Place *place, gconstpointer data)
{
    {
        g_autoptr(SteadTimes) times = stead_times_new(place->times);
        add(times, 5, 1000000, FALSE);
    }
    append(place->times, "half");
    g_autoptr(SteadTimes) times = stead_times_new(place->times);
    add(times, 9, 2000000, FALSE);
    g_autoptr(SteadTimesCursor) cursor = stead_times_cursor_new(place->times);
    assert_time(cursor, 9, 2000000, FALSE);
    assert_time(cursor, 8, 1000000, FALSE);
}

static void test_failure_is_told(Place *place, gconstpointer data)
{
    g_autofree char *path = g_build_filename(place->dir, "missing", "times", NULL);
    g_autoptr(SteadTimes) times = stead_times_new(path);
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_times_add(times, 1, 1, FALSE, 0, &error));
    g_assert_nonnull(error);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST("/times/empty-index-has-no-time", test_empty_index_has_no_time);
    TEST("/times/a-record-holds-until-the-next", test_a_record_holds_until_the_next);
    TEST("/times/cursor-sees-growth", test_cursor_sees_growth);
    TEST("/times/near-lines-share-a-record", test_near_lines_share_a_record);
    TEST("/times/header-survives", test_header_survives);
    TEST("/times/index-is-bounded", test_index_is_bounded);
    TEST("/times/garbage-is-begun-anew", test_garbage_is_begun_anew);
    TEST("/times/half-a-record-is-overwritten", test_half_a_record_is_overwritten);
    TEST("/times/failure-is-told", test_failure_is_told);
    return g_test_run();
}
