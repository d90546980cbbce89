/* SPDX-License-Identifier: Apache-2.0 */
/* Streams over the agent's channel: against a real agent, and against a peer that lies. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "runtime/microvm/agent_parts.h"
#include "unit/runtime/agent-fixture.h"

static SteadStream *open_shell(Fixture *f, const char *script, gboolean terminal)
{
    g_autoptr(GError) error = NULL;
    const char *const argv[] = {"sh", "-c", script, NULL};
    SteadStreamRequest request = {.kind = STEAD_STREAM_EXEC,
                                  .command = (GStrv)(gsize)argv,
                                  .input = TRUE,
                                  .terminal = terminal,
                                  .rows = 30,
                                  .columns = 90};
    SteadStream *stream = stead_agent_stream(f->agent, &request, &error);
    g_assert_no_error(error);
    return stream;
}

static SteadStream *open_file(Fixture *f, SteadStreamKind kind, const char *path)
{
    g_autoptr(GError) error = NULL;
    SteadStreamRequest request = {.kind = kind, .path = (char *)(gsize)path, .mode = 0640};
    SteadStream *stream = stead_agent_stream(f->agent, &request, &error);
    g_assert_no_error(error);
    return stream;
}

static void await_start(SteadStream *stream)
{
    g_autoptr(GError) error = NULL;
    stead_stream_await_started(stream, patience(), NULL, &error);
    g_assert_no_error(error);
}

static SteadStreamEvent *next(SteadStream *stream)
{
    g_autoptr(GError) error = NULL;
    stead_stream_wait(stream, FALSE, patience(), NULL, &error);
    g_assert_no_error(error);
    return stead_stream_take(stream);
}

static void write_all(SteadStream *stream, const char *bytes, gsize n)
{
    while (n > 0) {
        g_assert_true(stead_stream_wait(stream, TRUE, patience(), NULL, NULL));
        gsize part = stead_stream_write(stream, bytes, n);
        bytes += part;
        n -= part;
    }
}

/* What comes up to its end; the last event, which is no failure. */
static int read_all(SteadStream *stream, GString *out)
{
    for (;;) {
        g_autoptr(SteadStreamEvent) event = next(stream);
        g_assert_no_error(event->error);
        if (event->what == STEAD_STREAM_ENDED)
            return event->exit_code;
        gsize n;
        const char *bytes = g_bytes_get_data(event->bytes, &n);
        g_string_append_len(out, bytes, (gssize)n);
    }
}

static void read_until(SteadStream *stream, GString *out, const char *text)
{
    while (strstr(out->str, text) == NULL) {
        g_autoptr(SteadStreamEvent) event = next(stream);
        gsize n;
        const char *bytes = g_bytes_get_data(event->bytes, &n);
        g_string_append_len(out, bytes, (gssize)n);
    }
}

static GError *read_failure(SteadStream *stream)
{
    for (;;) {
        g_autoptr(SteadStreamEvent) event = next(stream);
        g_assert_cmpint(event->what, !=, STEAD_STREAM_ENDED);
        if (event->what == STEAD_STREAM_FAILED)
            return g_steal_pointer(&event->error);
    }
}

/* ---- against a real agent ---- */

static void test_a_conversation(Fixture *f, gconstpointer unused)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(SteadStream) stream = open_shell(f, "while read x; do echo got $x; done; exit 5", 0);
    await_start(stream);
    for (int i = 0; i < 20; i++) {
        write_all(stream, "line\n", 5);
        g_string_truncate(out, 0);
        read_until(stream, out, "got line\n");
    }
    stead_stream_end_input(stream);
    g_assert_cmpint(read_all(stream, out), ==, 5);
}

static void test_a_terminal(Fixture *f, gconstpointer unused)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(SteadStream) stream =
        open_shell(f, "trap 'stty size; exit 4' WINCH; stty size; while :; do sleep 0.01; done", 1);
    await_start(stream);
    read_until(stream, out, "30 90\r\n");
    stead_stream_resize(stream, 40, 100);
    g_assert_cmpint(read_all(stream, out), ==, 4);
    g_assert_nonnull(strstr(out->str, "40 100\r\n"));
}

static void test_a_signal(Fixture *f, gconstpointer unused)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(SteadStream) stream = open_shell(f, "echo begun; read x", 0);
    read_until(stream, out, "begun");
    stead_stream_signal(stream, SIGTERM);
    g_assert_cmpint(read_all(stream, out), ==, 128 + SIGTERM);
}

/* Its shell says so in a pipe, which is open already, so that it does not have to wait for us; and
 * has an error output of its own, as it may have to say that its child has ended so. */
static void test_freeing_ends_it(Fixture *f, gconstpointer unused)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autofree char *path = g_build_filename(f->host->folder, "pipe", NULL);
    g_autofree char *script = g_strdup_printf(
        "exec 2> /dev/null; trap 'echo > %s; exit' HUP; echo begun; while :; do sleep 0.01; done",
        path);
    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    stead_autofd pipe = open(path, O_RDWR | O_CLOEXEC);
    SteadStream *stream = open_shell(f, script, FALSE);
    read_until(stream, out, "begun");
    stead_stream_free(stream);
    GPollFD poll = {.fd = pipe, .events = G_IO_IN};
    g_assert_cmpint(g_poll(&poll, 1, HOST_PATIENCE_MS), ==, 1);
}

/* Nobody reads it, so it waits; others go on, and then it does. */
static void test_one_that_nobody_reads(Fixture *f, gconstpointer unused)
{
    g_autoptr(SteadStream) idle = open_shell(f, "head -c 1000000 /dev/zero", FALSE);
    g_autoptr(GString) out = g_string_new(NULL), rest = g_string_new(NULL);
    await_start(idle);
    g_autoptr(SteadStream) busy = open_shell(f, "head -c 1000000 /dev/zero", FALSE);
    g_assert_cmpint(read_all(busy, out), ==, 0);
    g_assert_cmpuint(out->len, ==, 1000000);
    g_assert_cmpint(read_all(idle, rest), ==, 0);
    g_assert_cmpuint(rest->len, ==, 1000000);
}

static void test_files(Fixture *f, gconstpointer unused)
{
    struct stat about;
    g_autoptr(GString) back = g_string_new(NULL);
    g_autofree char *path = g_build_filename(f->host->folder, "file", NULL);
    g_autofree char *content = g_strnfill(3 * GUEST_WINDOW + 1, 'c');
    g_autoptr(SteadStream) in = open_file(f, STEAD_STREAM_PUT, path);
    await_start(in);
    write_all(in, content, strlen(content));
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    stead_stream_end_input(in);
    g_assert_cmpint(read_all(in, back), ==, 0);
    g_assert_cmpint(stat(path, &about), ==, 0);
    g_assert_cmpint(about.st_mode & 07777, ==, 0640);
    g_autoptr(SteadStream) out = open_file(f, STEAD_STREAM_GET, path);
    await_start(out);
    g_assert_cmpuint(stead_stream_file(out)->size, ==, strlen(content));
    g_assert_cmpuint(stead_stream_file(out)->mode, ==, 0640);
    g_assert_cmpint(read_all(out, back), ==, 0);
    g_assert_cmpstr(back->str, ==, content);
}

static void test_an_empty_file(Fixture *f, gconstpointer unused)
{
    g_autoptr(GString) none = g_string_new(NULL);
    g_autofree char *path = g_build_filename(f->host->folder, "empty", NULL);
    g_autoptr(SteadStream) in = open_file(f, STEAD_STREAM_PUT, path);
    stead_stream_end_input(in);
    g_assert_cmpint(read_all(in, none), ==, 0);
    g_assert_true(g_file_test(path, G_FILE_TEST_IS_REGULAR));
}

static void test_a_file_that_is_given_up(Fixture *f, gconstpointer unused)
{
    g_autofree char *folder = g_build_filename(f->host->folder, "f", NULL);
    g_autofree char *path = g_build_filename(folder, "file", NULL);
    g_assert_cmpint(mkdir(folder, 0700), ==, 0);
    SteadStream *in = open_file(f, STEAD_STREAM_PUT, path);
    await_start(in);
    write_all(in, "part", 4);
    stead_stream_free(in);
    g_assert_true(stead_agent_sync(f->agent, patience(), NULL, NULL)); /* it has seen that */
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    g_assert_null(g_dir_read_name(dir));
}

static void expect_refusal(Fixture *f, SteadStreamKind kind, const char *path, SteadErrorCode code)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadStream) stream = open_file(f, kind, path);
    g_assert_false(stead_stream_await_started(stream, patience(), NULL, &error));
    g_assert_error(error, STEAD_ERROR, (int)code);
    g_assert_nonnull(strstr(error->message, path));
}

static void test_files_that_cannot_be(Fixture *f, gconstpointer unused)
{
    expect_refusal(f, STEAD_STREAM_GET, "/no/such", STEAD_ERROR_NOT_FOUND);
    expect_refusal(f, STEAD_STREAM_GET, f->host->folder, STEAD_ERROR_INVALID);
    expect_refusal(f, STEAD_STREAM_GET, "/dev/null", STEAD_ERROR_INVALID);
    expect_refusal(f, STEAD_STREAM_PUT, "/no/such", STEAD_ERROR_NOT_FOUND);
    expect_refusal(f, STEAD_STREAM_PUT, f->host->folder, STEAD_ERROR_CONFLICT);
}

static void test_a_path_that_is_none(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    SteadStreamRequest request = {.kind = STEAD_STREAM_GET, .path = (char *)(gsize) "relative"};
    g_assert_null(stead_agent_stream(f->agent, &request, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
}

/* The stream outlives what opened it. */
static void test_closed_by_us(Fixture *f, gconstpointer unused)
{
    g_autoptr(SteadStream) stream = open_shell(f, "sleep 1000", FALSE);
    await_start(stream);
    stead_agent_close(f->agent);
    g_autoptr(GError) error = read_failure(stream);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_GUEST);
}

/* ---- against a peer that lies ---- */

static const char data[GUEST_DATA_MAX];

/* What comes on another channel afterwards tells that all of it was seen. */
static void test_more_than_it_may(Fixture *f, gconstpointer unused)
{
    g_autoptr(SteadStream) stream = open_shell(f, "", FALSE);
    guint channel = read_exec(f);
    g_autoptr(SteadStream) other = open_shell(f, "", FALSE);
    for (gsize n = 0; n <= GUEST_WINDOW; n += sizeof data)
        host_send(f->host, n % 3 ? GUEST_STDOUT : GUEST_STDERR, channel, data, sizeof data);
    host_send_text(f->host, GUEST_STDOUT, read_exec(f), "all");
    stead_stream_event_free(next(other));
    g_autoptr(GError) error = read_failure(stream);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_GUEST);
    g_assert_nonnull(strstr(error->message, "more than it may"));
}

/* However much of it: what may be sent to the guest is a window at a time. */
static void test_endless_credit(Fixture *f, gconstpointer unused)
{
    GuestCredit credit = {GUEST_WINDOW};
    g_autofree char *much = g_strnfill(10 * GUEST_WINDOW, 'm');
    g_autoptr(SteadStream) stream = open_shell(f, "", FALSE);
    guint channel = read_exec(f);
    for (int i = 0; i < 100; i++)
        HOST_SEND(f->host, GUEST_CREDIT, channel, guest_credit_fields, &credit);
    host_send_text(f->host, GUEST_STDOUT, channel, "after");
    stead_stream_event_free(next(stream));
    g_assert_cmpuint(stead_stream_write(stream, much, strlen(much)), ==, GUEST_WINDOW);
    g_assert_cmpuint(stead_stream_write(stream, much, strlen(much)), ==, 0);
}

static void test_frames_of_no_meaning(Fixture *f, gconstpointer unused)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(SteadStream) stream = open_file(f, STEAD_STREAM_GET, "/x");
    guint channel = read_request(f, GUEST_GET);
    host_send_text(f->host, GUEST_FILE, channel, "cut");
    host_send_text(f->host, GUEST_STDOUT, channel, "no");
    host_send_text(f->host, GUEST_CREDIT, channel, "?");
    host_send(f->host, GUEST_DATA, channel, NULL, 0);
    send_exit(f, channel, 3);
    host_send_text(f->host, GUEST_DATA, channel, "yes");
    host_send(f->host, GUEST_DONE, channel, NULL, 0);
    host_send_text(f->host, GUEST_DATA, channel, "late");
    g_assert_cmpint(read_all(stream, out), ==, 0);
    g_assert_cmpstr(out->str, ==, "yes");
}

static void test_an_end_before_a_start(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadStream) stream = open_shell(f, "", FALSE);
    send_exit(f, read_exec(f), 0);
    g_assert_false(stead_stream_await_started(stream, patience(), NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_GUEST);
}

static void test_silence(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    gint64 soon = g_get_monotonic_time() + 20 * G_TIME_SPAN_MILLISECOND;
    g_autoptr(SteadStream) stream = open_shell(f, "", FALSE);
    g_assert_false(stead_stream_await_started(stream, soon, NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_TIMEOUT);
}

/* It reads nothing: all channels together wait in the wire, none fails, and no call blocks. */
static void test_a_peer_that_does_not_read(Fixture *f, gconstpointer unused)
{
    g_autofree char *much = g_strnfill(GUEST_WINDOW, 'm');
    SteadStream *streams[GUEST_CHANNELS];
    for (int i = 0; i < GUEST_CHANNELS; i++) {
        streams[i] = open_shell(f, "", FALSE);
        g_assert_cmpuint(stead_stream_write(streams[i], much, GUEST_WINDOW), ==, GUEST_WINDOW);
    }
    for (int i = 0; i < GUEST_CHANNELS; i++) {
        g_assert_null(stead_stream_take(streams[i]));
        stead_stream_free(streams[i]);
    }
}

static void test_engine_ends(Fixture *f, gconstpointer unused)
{
    g_autoptr(SteadStream) stream = open_shell(f, "", FALSE);
    host_send_text(f->host, GUEST_STDOUT, read_exec(f), "last words");
    host_disconnect(f->host);
    g_autoptr(SteadStreamEvent) event = next(stream);
    g_assert_cmpint(event->what, ==, STEAD_STREAM_OUT);
    g_autoptr(GError) error = read_failure(stream);
    g_assert_nonnull(strstr(error->message, "has ended"));
}

/* ---- a channel that changes hands ---- */

/* Somebody who wants a channel while another one is being closed. */
static struct {
    Fixture *f; /* NULL: nobody */
    guint channel;
    GThread *thread;
    gint opened;
} next_one;

static gboolean is_given_up(SteadAgent *agent, guint channel)
{
    g_mutex_lock(&agent->lock);
    gboolean given_up = agent->given_up[channel];
    g_mutex_unlock(&agent->lock);
    return given_up;
}

static gpointer open_next_one(gpointer fixture)
{
    Fixture *f = fixture;
    send_exit(f, next_one.channel, 0);
    while (is_given_up(f->agent, next_one.channel))
        g_thread_yield();
    SteadStream *stream = open_shell(f, "next", FALSE);
    g_atomic_int_set(&next_one.opened, TRUE);
    return stream;
}

gboolean __real_stead_agent_send(SteadAgent *agent, guint type, guint channel, const void *payload,
                                 gsize length, GError **error);
gboolean __wrap_stead_agent_send(SteadAgent *agent, guint type, guint channel, const void *payload,
                                 gsize length, GError **error);

/* The linker's: a CLOSE gives the next one time to be first. */
gboolean __wrap_stead_agent_send(SteadAgent *agent, guint type, guint channel, const void *payload,
                                 gsize length, GError **error)
{
    if (type == GUEST_CLOSE && next_one.f) {
        next_one.thread = g_thread_new("next", open_next_one, g_steal_pointer(&next_one.f));
        gint64 until = g_get_monotonic_time() + 300 * G_TIME_SPAN_MILLISECOND;
        while (!g_atomic_int_get(&next_one.opened) && g_get_monotonic_time() < until)
            g_thread_yield();
    }
    return __real_stead_agent_send(agent, type, channel, payload, length, error);
}

/* Or the next command in that channel would be closed. */
static void test_closed_before_the_next_one(Fixture *f, gconstpointer unused)
{
    g_autoptr(SteadStream) stream = open_shell(f, "first", FALSE);
    next_one.channel = read_exec(f);
    next_one.f = f;
    stead_stream_free(g_steal_pointer(&stream));
    g_autoptr(SteadStream) second = g_thread_join(next_one.thread);
    g_assert_nonnull(second);
    g_assert_cmpuint(read_request(f, GUEST_CLOSE), ==, next_one.channel);
    g_assert_cmpuint(read_exec(f), ==, next_one.channel);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*set_up)(Fixture *f, gconstpointer unused);
        void (*test)(Fixture *f, gconstpointer unused);
        void (*tear_down)(Fixture *f, gconstpointer unused);
    } tests[] = {
        {"conversation", set_up, test_a_conversation, tear_down},
        {"terminal", set_up, test_a_terminal, tear_down},
        {"signal", set_up, test_a_signal, tear_down},
        {"freeing-ends-it", set_up, test_freeing_ends_it, tear_down},
        {"nobody-reads", set_up, test_one_that_nobody_reads, tear_down},
        {"files", set_up, test_files, tear_down},
        {"empty-file", set_up, test_an_empty_file, tear_down},
        {"file-given-up", set_up, test_a_file_that_is_given_up, tear_down},
        {"files-that-cannot-be", set_up, test_files_that_cannot_be, tear_down},
        {"path-that-is-none", set_up, test_a_path_that_is_none, tear_down},
        {"closed-by-us", set_up, test_closed_by_us, tear_down},
        {"lies/more-than-it-may", set_up_greeted_peer, test_more_than_it_may, tear_down_peer},
        {"lies/endless-credit", set_up_greeted_peer, test_endless_credit, tear_down_peer},
        {"lies/no-meaning", set_up_greeted_peer, test_frames_of_no_meaning, tear_down_peer},
        {"lies/end-before-start", set_up_greeted_peer, test_an_end_before_a_start, tear_down_peer},
        {"lies/silence", set_up_greeted_peer, test_silence, tear_down_peer},
        {"lies/does-not-read", set_up_greeted_peer, test_a_peer_that_does_not_read, tear_down_peer},
        {"closed-before-the-next", set_up_greeted_peer, test_closed_before_the_next_one,
         tear_down_peer},
        {"lies/engine-ends", set_up_greeted_peer, test_engine_ends, tear_down_peer},
    };
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/agent-stream/", tests[i].name, NULL);
        g_test_add(path, Fixture, NULL, tests[i].set_up, tests[i].test, tests[i].tear_down);
    }
    return g_test_run();
}
