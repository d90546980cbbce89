/* SPDX-License-Identifier: Apache-2.0 */
/* A stream between a driver that writes down what it is asked for, and its user. */
#include "runtime/stream.h"

#include <string.h>

#include "base/error.h"

#define PATIENCE (30 * G_TIME_SPAN_SECOND)

typedef struct {
    SteadStream *stream;
    GString *sent; /* bytes, and what else is asked for */
    gsize taken;
} Fixture;

static void on_send(gpointer data, const void *bytes, gsize n)
{
    g_string_append_len(((Fixture *)data)->sent, bytes, (gssize)n);
}

static void on_end(gpointer data)
{
    g_string_append(((Fixture *)data)->sent, "<end>");
}

static void on_resize(gpointer data, guint rows, guint columns)
{
    g_string_append_printf(((Fixture *)data)->sent, "<%ux%u>", rows, columns);
}

static void on_signal(gpointer data, int number)
{
    g_string_append_printf(((Fixture *)data)->sent, "<%d>", number);
}

static void on_taken(gpointer data, gsize n)
{
    ((Fixture *)data)->taken += n;
}

static void on_close(gpointer data)
{
    g_string_append(((Fixture *)data)->sent, "<close>");
}

static const SteadStreamFuncs funcs = {on_send, on_end, on_resize, on_signal, on_taken, on_close};

static void set_up(Fixture *f, gconstpointer unused)
{
    f->sent = g_string_new(NULL);
    f->stream = stead_stream_new(&funcs, f);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    g_clear_pointer(&f->stream, stead_stream_free); /* collecting has done it */
    g_assert_true(g_str_has_suffix(f->sent->str, "<close>"));
    g_string_free(f->sent, TRUE);
}

static gint64 soon(void)
{
    return g_get_monotonic_time() + PATIENCE;
}

static void put(Fixture *f, SteadStreamWhat what, const char *text)
{
    g_assert_true(stead_stream_put_bytes(f->stream, what, text, strlen(text)));
}

static void expect(Fixture *f, SteadStreamWhat what, const char *text)
{
    g_autoptr(SteadStreamEvent) event = stead_stream_take(f->stream);
    gsize n = 0;
    g_assert_nonnull(event);
    g_assert_cmpint(event->what, ==, what);
    const char *bytes = g_bytes_get_data(event->bytes, &n);
    g_assert_cmpmem(bytes, n, text, strlen(text));
}

static void test_output_comes_in_order(Fixture *f, gconstpointer unused)
{
    put(f, STEAD_STREAM_OUT, "a");
    put(f, STEAD_STREAM_OUT, "b");
    put(f, STEAD_STREAM_ERR, "c");
    put(f, STEAD_STREAM_OUT, "d");
    stead_stream_put_ended(f->stream, 7);
    expect(f, STEAD_STREAM_OUT, "ab");
    expect(f, STEAD_STREAM_ERR, "c");
    expect(f, STEAD_STREAM_OUT, "d");
    g_autoptr(SteadStreamEvent) last = stead_stream_take(f->stream);
    g_assert_cmpint(last->what, ==, STEAD_STREAM_ENDED);
    g_assert_cmpint(last->exit_code, ==, 7);
    g_assert_null(stead_stream_take(f->stream));
    g_assert_cmpuint(f->taken, ==, 4);
}

static void test_nothing_follows_the_end(Fixture *f, gconstpointer unused)
{
    stead_stream_put_failed(f->stream, stead_error_new(STEAD_ERROR_GUEST, NULL, "first"));
    stead_stream_put_failed(f->stream, stead_error_new(STEAD_ERROR_GUEST, NULL, "second"));
    stead_stream_put_ended(f->stream, 0);
    put(f, STEAD_STREAM_OUT, "late");
    g_autoptr(SteadStreamEvent) event = stead_stream_take(f->stream);
    g_assert_cmpstr(event->error->message, ==, "first");
    g_assert_null(stead_stream_take(f->stream));
}

/* Whatever its pieces are, a window of it is kept and no more; and what was taken makes room. */
static void test_output_is_bounded(Fixture *f, gconstpointer unused)
{
    gsize pieces[] = {1, 7, 4096, STEAD_STREAM_WINDOW};
    static const char bytes[STEAD_STREAM_WINDOW];
    gsize got = 0, put_in = 0;
    for (gsize round = 0; round < 40; round++) {
        gsize n = pieces[round % G_N_ELEMENTS(pieces)];
        SteadStreamWhat what = STEAD_STREAM_OUT;
        while (stead_stream_put_bytes(f->stream, what, bytes, n)) {
            what = what == STEAD_STREAM_OUT ? STEAD_STREAM_ERR : STEAD_STREAM_OUT;
            put_in += n;
            g_assert_cmpuint(put_in - got, <=, STEAD_STREAM_WINDOW);
        }
        for (guint i = 0; i < 3000; i++) {
            g_autoptr(SteadStreamEvent) event = stead_stream_take(f->stream);
            got += event ? g_bytes_get_size(event->bytes) : 0;
        }
    }
    g_autoptr(SteadStreamEvent) event = NULL;
    while ((event = stead_stream_take(f->stream)) != NULL) {
        g_assert_cmpuint(g_bytes_get_size(event->bytes), <=, STEAD_STREAM_WINDOW);
        got += g_bytes_get_size(event->bytes);
        g_clear_pointer(&event, stead_stream_event_free);
    }
    g_assert_cmpuint(got, ==, put_in);
    g_assert_cmpuint(f->taken, ==, got);
}

static void test_input_goes_as_far_as_there_is_room(Fixture *f, gconstpointer unused)
{
    g_assert_cmpuint(stead_stream_write(f->stream, "abc", 3), ==, 0);
    stead_stream_put_room(f->stream, 2);
    g_assert_cmpuint(stead_stream_write(f->stream, "abc", 3), ==, 2);
    g_assert_cmpuint(stead_stream_write(f->stream, "c", 1), ==, 0);
    stead_stream_put_room(f->stream, G_MAXSIZE / 2);
    g_autofree char *much = g_strnfill(STEAD_STREAM_WINDOW + 5, 'x');
    g_assert_cmpuint(stead_stream_write(f->stream, much, strlen(much)), ==, STEAD_STREAM_WINDOW);
    g_assert_cmpuint(f->sent->len, ==, 2 + STEAD_STREAM_WINDOW);
}

/* So that whoever writes does not wait for somebody who is gone. */
static void test_input_after_an_end_is_lost(Fixture *f, gconstpointer unused)
{
    stead_stream_put_ended(f->stream, 0);
    g_assert_cmpuint(stead_stream_write(f->stream, "abc", 3), ==, 3);
    g_assert_cmpstr(f->sent->str, ==, "");
}

static void test_what_is_asked_for_reaches_the_driver(Fixture *f, gconstpointer unused)
{
    stead_stream_resize(f->stream, 24, 80);
    stead_stream_signal(f->stream, 2);
    stead_stream_end_input(f->stream);
    stead_stream_end_input(f->stream);
    stead_stream_put_room(f->stream, 10);
    g_assert_cmpuint(stead_stream_write(f->stream, "late", 4), ==, 4);
    g_assert_cmpstr(f->sent->str, ==, "<24x80><2><end>");
}

static void test_a_start_is_waited_for(Fixture *f, gconstpointer unused)
{
    SteadStreamFile file = {0640, 5, 6};
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_stream_await_started(f->stream, 1, NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_TIMEOUT);
    stead_stream_put_started(f->stream, &file);
    g_assert_true(stead_stream_await_started(f->stream, soon(), NULL, NULL));
    g_assert_cmpuint(stead_stream_file(f->stream)->size, ==, 5);
}

static void test_a_failure_instead_of_a_start(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    stead_stream_put_failed(f->stream, stead_error_new(STEAD_ERROR_NOT_FOUND, NULL, "why"));
    g_assert_false(stead_stream_await_started(f->stream, soon(), NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
}

static gpointer end_it(gpointer data)
{
    put(data, STEAD_STREAM_OUT, "words");
    stead_stream_put_ended(((Fixture *)data)->stream, 3);
    return NULL;
}

static gboolean on_news(gpointer data)
{
    g_autoptr(SteadStreamEvent) event = NULL;
    Fixture *f = data;
    while ((event = stead_stream_take(f->stream)) != NULL) {
        if (event->what == STEAD_STREAM_ENDED) {
            stead_stream_watch(f->stream, NULL, NULL);
            f->taken += 1000;
        }
        g_clear_pointer(&event, stead_stream_event_free);
    }
    return G_SOURCE_CONTINUE;
}

static void test_the_main_loop_is_told(Fixture *f, gconstpointer unused)
{
    stead_stream_watch(f->stream, on_news, f);
    GThread *thread = g_thread_new("driver", end_it, f);
    while (f->taken < 1000)
        g_main_context_iteration(NULL, TRUE);
    g_thread_join(thread);
    g_assert_cmpuint(f->taken, ==, 1005);
    g_assert_false(g_main_context_pending(NULL));
}

static void test_collecting(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    stead_stream_put_room(f->stream, 100);
    end_it(f);
    g_autoptr(SteadExecResult) result =
        stead_stream_collect(g_steal_pointer(&f->stream), "input", soon(), NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(result->exit_code, ==, 3);
    g_assert_cmpuint(g_bytes_get_size(result->out), ==, 5);
}

static void test_collecting_is_cancelled(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_cancellable_cancel(cancellable);
    g_assert_null(
        stead_stream_collect(g_steal_pointer(&f->stream), "input", soon(), cancellable, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CANCELLED);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(Fixture *f, gconstpointer unused);
    } tests[] = {
        {"output-comes-in-order", test_output_comes_in_order},
        {"nothing-follows-the-end", test_nothing_follows_the_end},
        {"output-is-bounded", test_output_is_bounded},
        {"input-and-room", test_input_goes_as_far_as_there_is_room},
        {"input-after-an-end", test_input_after_an_end_is_lost},
        {"what-is-asked-for", test_what_is_asked_for_reaches_the_driver},
        {"start", test_a_start_is_waited_for},
        {"failure-instead-of-a-start", test_a_failure_instead_of_a_start},
        {"main-loop", test_the_main_loop_is_told},
        {"collecting", test_collecting},
        {"collecting-cancelled", test_collecting_is_cancelled},
    };
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/stream/", tests[i].name, NULL);
        g_test_add(path, Fixture, NULL, set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
