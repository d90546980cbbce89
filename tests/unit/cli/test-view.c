/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/view.h"

#include <string.h>

#include "cli/text.h"

#define SECONDS(n) ((n) * (gint64)G_USEC_PER_SEC)

static SteadViewItem *add(SteadView *view, const char *name, const char *state)
{
    SteadViewItem *item = stead_view_item(view, name);
    stead_view_set(&item->state, state);
    return item;
}

static void assert_render(const SteadView *view, guint columns, guint rows, const char *expected)
{
    guint lines;
    g_autofree char *text = stead_view_render(view, SECONDS(12), columns, rows, FALSE, &lines);
    g_assert_cmpstr(text, ==, expected);
    g_auto(GStrv) split = g_strsplit(text, "\n", -1);
    g_assert_cmpuint(g_strv_length(split), ==, lines + 1);
    for (guint i = 0; i < lines; i++)
        g_assert_cmpuint(stead_text_width(split[i]), <, columns);
}

static void test_a_line_tells_state_time_and_stage(void)
{
    g_autoptr(SteadView) view = stead_view_new(0);
    stead_view_set(&add(view, "web", "running")->stage, "kernel");
    add(view, "database", NULL);
    assert_render(view, 80, 24,
                  "web       running       12s  kernel\n"
                  "database  waiting       12s\n");
}

static void test_progress_is_a_bar_where_there_is_room(void)
{
    g_autoptr(SteadView) view = stead_view_new(0);
    SteadViewItem *item = add(view, "web", "creating");
    stead_view_set(&item->stage, "downloading");
    item->progress = 0.25;
    assert_render(view, 80, 24,
                  "web   creating      12s  downloading [#####...............] 25%\n");
    assert_render(view, 50, 24, "web   creating      12s  downloading 25%\n");
}

static void test_a_ready_line_shows_where_it_is(void)
{
    g_autoptr(SteadView) view = stead_view_new(0);
    SteadViewItem *item = add(view, "web", "running");
    stead_view_set(&item->stage, "login");
    stead_view_set(&item->addresses, "10.77.0.10");
    item->ready = TRUE;
    item->ended = SECONDS(5);
    assert_render(view, 80, 24, "web   ready          5s  10.77.0.10\n");
}

static void test_an_error_is_shown(void)
{
    g_autoptr(SteadView) view = stead_view_new(0);
    stead_view_set(&add(view, "web", "failed")->error, "no space\nleft");
    assert_render(view, 80, 24, "web   failed        12s  no space left\n");
}

static void test_lines_are_cut_to_the_terminal(void)
{
    g_autoptr(SteadView) view = stead_view_new(0);
    SteadViewItem *item = add(view, "a-name-that-goes-on-and-on-and-on", "running");
    stead_view_set(&item->line, "a console line that is much too long for this terminal");
    assert_render(view, 60, 24, "a-name-that-goes-on-and-on-and-on  running       12s  | a …\n");
    assert_render(view, 30, 24, "a-name-t…  running       12s\n");
}

static void test_more_than_fit_are_counted(void)
{
    g_autoptr(SteadView) view = stead_view_new(0);
    for (int i = 0; i < 10; i++) {
        g_autofree char *name = g_strdup_printf("web-%d", i);
        SteadViewItem *item = add(view, name, i == 9 ? "failed" : "running");
        item->ready = i < 5;
    }
    assert_render(view, 80, 5,
                  "web-9  failed        12s\n"
                  "web-5  running       12s\n"
                  "web-6  running       12s\n"
                  "… and 7 more: 5 ready, 2 running\n");
}

static void test_colours_surround_words(void)
{
    g_autoptr(SteadView) view = stead_view_new(0);
    add(view, "web", "failed");
    g_autofree char *text = stead_view_render(view, 0, 80, 24, TRUE, NULL);
    g_assert_cmpstr(text, ==, "web   \033[31mfailed   \033[0m      0s\n");
}

static void test_plain_lines_say_nothing_twice(void)
{
    g_autoptr(SteadView) view = stead_view_new(0);
    SteadViewItem *item = add(view, "web", "running");
    stead_view_set(&item->stage, "kernel");
    g_autofree char *first = stead_view_plain(view, item, SECONDS(3));
    g_autofree char *again = stead_view_plain(view, item, SECONDS(4));
    stead_view_set(&item->stage, "login");
    g_autofree char *next = stead_view_plain(view, item, SECONDS(75));
    g_assert_cmpstr(first, ==, "    3s  web: running: kernel");
    g_assert_null(again);
    g_assert_cmpstr(next, ==, " 1m15s  web: running: login");
}

static void test_progress_alone_is_no_news(void)
{
    g_autoptr(SteadView) view = stead_view_new(0);
    SteadViewItem *item = add(view, "web", "creating");
    g_autofree char *first = stead_view_plain(view, item, 0);
    item->progress = 0.5;
    g_autofree char *again = stead_view_plain(view, item, 0);
    g_assert_nonnull(first);
    g_assert_null(again);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/view/a-line-tells-state-time-and-stage",
                    test_a_line_tells_state_time_and_stage);
    g_test_add_func("/view/progress-is-a-bar", test_progress_is_a_bar_where_there_is_room);
    g_test_add_func("/view/a-ready-line-shows-where", test_a_ready_line_shows_where_it_is);
    g_test_add_func("/view/an-error-is-shown", test_an_error_is_shown);
    g_test_add_func("/view/lines-are-cut", test_lines_are_cut_to_the_terminal);
    g_test_add_func("/view/more-than-fit-are-counted", test_more_than_fit_are_counted);
    g_test_add_func("/view/colours-surround-words", test_colours_surround_words);
    g_test_add_func("/view/plain-lines-say-nothing-twice", test_plain_lines_say_nothing_twice);
    g_test_add_func("/view/progress-alone-is-no-news", test_progress_alone_is_no_news);
    return g_test_run();
}
