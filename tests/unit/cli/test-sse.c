/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sse.h"

#include <string.h>

#include "base/error.h"

static void collect(guint64 id, const char *event, const char *data, gpointer user_data)
{
    g_string_append_printf(user_data, "%" G_GUINT64_FORMAT "/%s/%s;", id, event, data);
}

static void assert_events(const char *stream, const char *expected)
{
    g_autoptr(GString) whole = g_string_new(NULL);
    g_autoptr(GString) bytewise = g_string_new(NULL);
    g_autoptr(SteadSse) once = stead_sse_new(collect, whole);
    g_autoptr(SteadSse) piecemeal = stead_sse_new(collect, bytewise);
    g_assert_true(stead_sse_feed(once, stream, strlen(stream), NULL));
    for (const char *p = stream; *p != '\0'; p++)
        g_assert_true(stead_sse_feed(piecemeal, p, 1, NULL));
    g_assert_cmpstr(whole->str, ==, expected);
    g_assert_cmpstr(bytewise->str, ==, expected);
}

static void test_an_event_has_id_type_and_data(void)
{
    assert_events("id: 12\nevent: job.started\ndata: {\"a\":1}\n\n", "12/job.started/{\"a\":1};");
}

static void test_line_ends_of_every_kind(void)
{
    assert_events("id: 1\r\ndata: a\r\n\r\ndata: b\r\rdata: c\n\n", "1//a;1//b;1//c;");
}

static void test_lines_of_data_are_joined(void)
{
    assert_events("data: a\ndata:b\ndata:  c\n\n", "0//a\nb\n c;");
}

static void test_heartbeats_and_unknown_fields_say_nothing(void)
{
    assert_events(":\n\n: alive\n\nretry: 5\nnonsense\n\nevent: x\n\n", "");
}

static void test_an_event_without_its_end_is_not_told(void)
{
    assert_events("data: a", "");
    assert_events("data: a\n", "");
}

static void test_a_wrong_id_keeps_the_last(void)
{
    assert_events("id: 3\ndata: a\n\nid: x\ndata: b\n\n", "3//a;3//b;");
}

static void assert_too_long(const char *prefix, const char *piece)
{
    g_autoptr(GString) seen = g_string_new(NULL);
    g_autoptr(SteadSse) sse = stead_sse_new(collect, seen);
    g_autoptr(GError) error = NULL;
    gboolean fed = stead_sse_feed(sse, prefix, strlen(prefix), &error);
    for (gsize i = 0; fed && i <= 2 * STEAD_SSE_MAX_EVENT / strlen(piece); i++)
        fed = stead_sse_feed(sse, piece, strlen(piece), &error);
    g_assert_false(fed);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_EXHAUSTED);
    g_assert_cmpstr(seen->str, ==, "");
}

static void test_long_events_are_refused(void)
{
    assert_too_long("data: ", "0123456789abcdef");
    assert_too_long("", "data: 0123456789abcdef0123456789abcdef\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sse/an-event-has-id-type-and-data", test_an_event_has_id_type_and_data);
    g_test_add_func("/sse/line-ends-of-every-kind", test_line_ends_of_every_kind);
    g_test_add_func("/sse/lines-of-data-are-joined", test_lines_of_data_are_joined);
    g_test_add_func("/sse/heartbeats-say-nothing", test_heartbeats_and_unknown_fields_say_nothing);
    g_test_add_func("/sse/an-event-without-its-end", test_an_event_without_its_end_is_not_told);
    g_test_add_func("/sse/a-wrong-id-keeps-the-last", test_a_wrong_id_keeps_the_last);
    g_test_add_func("/sse/long-events-are-refused", test_long_events_are_refused);
    return g_test_run();
}
