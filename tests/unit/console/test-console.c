/* SPDX-License-Identifier: Apache-2.0 */
#include "console/console.h"

#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "console/input.h"
#include "console/listen.h"
#include "support.h"

/* A reader that collects. */
typedef struct {
    GString *text;
    guint ends;
    gboolean ended;
    gboolean pause_each;
    guint64 last;
} Sink;

static gboolean on_bytes(const guint8 *bytes, gsize n, guint64 position, gpointer data)
{
    Sink *sink = data;
    if (n == 0) {
        sink->ends++;
        return TRUE;
    }
    g_string_append_len(sink->text, (const char *)bytes, (gssize)n);
    sink->last = position;
    return !sink->pause_each;
}

static void on_ended(gpointer data)
{
    ((Sink *)data)->ended = TRUE;
}

static const SteadConsoleReader sink_reader = {.bytes = on_bytes, .ended = on_ended};

static Sink *sink_new(void)
{
    Sink *sink = g_new0(Sink, 1);
    sink->text = g_string_new(NULL);
    return sink;
}

static void sink_free(Sink *sink)
{
    g_string_free(sink->text, TRUE);
    g_free(sink);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Sink, sink_free)

static SteadConsole *open_console(Place *place)
{
    SteadConsoleOptions options = {.log_path = place->log,
                                   .times_path = place->times,
                                   .input_path = place->input,
                                   .listen_path = place->listen};
    g_autoptr(GError) error = NULL;
    SteadConsole *console = stead_console_open(&options, &error);
    g_assert_no_error(error);
    return console;
}

static guint watch_from(SteadConsole *console, SteadConsoleOrigin origin, guint64 n, Sink *sink)
{
    SteadConsoleFrom from = {origin, n};
    g_autoptr(GError) error = NULL;
    guint id = stead_console_subscribe(console, from, &sink_reader, sink, &error);
    g_assert_no_error(error);
    return id;
}

/* QEMU's end of the character device socket: one client at a time. */
typedef struct {
    int listening;
    int peer;
    GString *got;
} Guest;

static Guest *guest_new(const char *path)
{
    Guest *guest = g_new0(Guest, 1);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    guest->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    guest->peer = -1;
    guest->got = g_string_new(NULL);
    g_assert_cmpint(bind(guest->listening, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(guest->listening, 1), ==, 0);
    return guest;
}

/* Waits until somebody has connected. */
static void guest_accept(Guest *guest)
{
    stead_clear_fd(&guest->peer);
    SPIN_UNTIL(
        (guest->peer = accept4(guest->listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0);
}

static const char *guest_read(Guest *guest)
{
    char bytes[65536];
    gssize n = guest->peer >= 0 ? recv(guest->peer, bytes, sizeof bytes, MSG_DONTWAIT) : 0;
    if (n > 0)
        g_string_append_len(guest->got, bytes, n);
    return guest->got->str;
}

static void guest_free(Guest *guest)
{
    stead_clear_fd(&guest->peer);
    stead_clear_fd(&guest->listening);
    g_string_free(guest->got, TRUE);
    g_free(guest);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Guest, guest_free)

static void test_live_output(Place *place, gconstpointer data)
{
    g_autoptr(Sink) sink = sink_new();
    g_autoptr(SteadConsole) console = open_console(place);
    watch_from(console, STEAD_CONSOLE_NOW, 0, sink);
    SPIN_UNTIL(sink->ends == 1);
    append(place->log, "hello ");
    SPIN_UNTIL(sink->ends == 2);
    append(place->log, "world");
    SPIN_UNTIL(g_str_equal(sink->text->str, "hello world"));
}

static void test_origins(Place *place, gconstpointer data)
{
    append(place->log, "old\n");
    g_autoptr(Sink) start = sink_new();
    g_autoptr(Sink) boot = sink_new();
    g_autoptr(Sink) tail = sink_new();
    g_autoptr(Sink) last = sink_new();
    g_autoptr(Sink) position = sink_new();
    g_autoptr(SteadConsole) console = open_console(place);
    stead_console_mark_boot(console);
    append(place->log, "one\ntwo\n");
    watch_from(console, STEAD_CONSOLE_START, 0, start);
    watch_from(console, STEAD_CONSOLE_BOOT, 0, boot);
    watch_from(console, STEAD_CONSOLE_TAIL, 1, tail);
    watch_from(console, STEAD_CONSOLE_LAST, 2, last);
    watch_from(console, STEAD_CONSOLE_POSITION, 1, position);
    SPIN_UNTIL(position->ends == 1);
    g_assert_cmpstr(start->text->str, ==, "old\none\ntwo\n");
    g_assert_cmpstr(boot->text->str, ==, "one\ntwo\n");
    g_assert_cmpstr(tail->text->str, ==, "two\n");
    g_assert_cmpstr(last->text->str, ==, "o\n");
    g_assert_cmpstr(position->text->str, ==, "ld\none\ntwo\n");
}

static void test_rotation_while_watched(Place *place, gconstpointer data)
{
    g_autoptr(Sink) sink = sink_new();
    g_autoptr(GString) expected = g_string_new(NULL);
    g_autoptr(SteadConsole) console = open_console(place);
    watch_from(console, STEAD_CONSOLE_START, 0, sink);
    for (int i = 0; i < 20; i++) {
        g_autofree char *line = g_strdup_printf("line %d\n", i);
        g_string_append(expected, line);
        append(place->log, line);
        rotate(place->log);
        SPIN_UNTIL(g_str_equal(sink->text->str, expected->str));
    }
}

static void test_truncated_while_watched(Place *place, gconstpointer data)
{
    g_autoptr(Sink) sink = sink_new();
    append(place->log, "before\n");
    g_autoptr(SteadConsole) console = open_console(place);
    watch_from(console, STEAD_CONSOLE_START, 0, sink);
    SPIN_UNTIL(sink->ends == 1);
    g_assert_cmpint(truncate(place->log, 0), ==, 0);
    drain();
    append(place->log, "after\n");
    SPIN_UNTIL(g_str_equal(sink->text->str, "before\nafter\n"));
}

static void test_slow_reader_keeps_its_place(Place *place, gconstpointer data)
{
    g_autoptr(Sink) slow = sink_new();
    g_autoptr(Sink) fast = sink_new();
    g_autofree char *bulk = g_strnfill(100000, 'x');
    g_autoptr(SteadConsole) console = open_console(place);
    slow->pause_each = TRUE;
    guint id = watch_from(console, STEAD_CONSOLE_START, 0, slow);
    watch_from(console, STEAD_CONSOLE_START, 0, fast);
    append(place->log, bulk);
    SPIN_UNTIL(fast->text->len == 100000);
    g_assert_cmpuint(slow->text->len, ==, STEAD_CONSOLE_CHUNK);
    while (slow->text->len < 100000) {
        gsize before = slow->text->len;
        stead_console_resume(console, id);
        SPIN_UNTIL(slow->text->len > before);
        g_assert_cmpuint(slow->text->len - before, <=, STEAD_CONSOLE_CHUNK);
    }
    g_assert_cmpstr(slow->text->str, ==, bulk);
}

static void test_sleeping_reader_leaps_over_what_is_gone(Place *place, gconstpointer data)
{
    g_autoptr(Sink) sink = sink_new();
    g_autoptr(SteadConsole) console = open_console(place);
    sink->pause_each = TRUE;
    guint id = watch_from(console, STEAD_CONSOLE_START, 0, sink);
    append(place->log, "first\n");
    SPIN_UNTIL(sink->text->len == 6);
    for (int i = 0; i < 6; i++) {
        append(place->log, "gone\n");
        rotate(place->log);
        stead_console_end(console);
    }
    append(place->log, "last\n");
    sink->pause_each = FALSE;
    stead_console_resume(console, id);
    SPIN_UNTIL(g_str_has_suffix(sink->text->str, "last\n"));
    g_assert_cmpstr(sink->text->str, ==, "first\ngone\ngone\ngone\nlast\n");
}

static gboolean on_bytes_leave(const guint8 *bytes, gsize n, guint64 position, gpointer data)
{
    gpointer *pair = data;
    stead_console_unsubscribe(pair[0], GPOINTER_TO_UINT(pair[1]));
    pair[1] = NULL;
    return TRUE;
}

static void test_leaving_from_within(Place *place, gconstpointer data)
{
    static const SteadConsoleReader leaver = {.bytes = on_bytes_leave};
    g_autoptr(SteadConsole) console = open_console(place);
    SteadConsoleFrom from = {STEAD_CONSOLE_NOW, 0};
    gpointer pair[2] = {console, NULL};
    pair[1] = GUINT_TO_POINTER(stead_console_subscribe(console, from, &leaver, pair, NULL));
    SPIN_UNTIL(pair[1] == NULL);
    append(place->log, "nobody hears\n");
    drain();
}

static void test_readers_are_limited(Place *place, gconstpointer data)
{
    g_autoptr(Sink) sink = sink_new();
    g_autoptr(SteadConsole) console = open_console(place);
    g_autoptr(GError) error = NULL;
    SteadConsoleFrom from = {STEAD_CONSOLE_NOW, 0};
    for (int i = 0; i < STEAD_CONSOLE_READERS_MAX; i++)
        g_assert_cmpuint(stead_console_subscribe(console, from, &sink_reader, sink, NULL), !=, 0);
    g_assert_cmpuint(stead_console_subscribe(console, from, &sink_reader, sink, &error), ==, 0);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_EXHAUSTED);
}

static void test_close_delivers_the_rest(Place *place, gconstpointer data)
{
    g_autoptr(Sink) sink = sink_new();
    SteadConsole *console = open_console(place);
    watch_from(console, STEAD_CONSOLE_START, 0, sink);
    append(place->log, "last words\n");
    stead_console_close(console);
    stead_console_unref(console);
    SPIN_UNTIL(sink->ended);
    g_assert_cmpstr(sink->text->str, ==, "last words\n");
    g_assert_false(g_file_test(place->listen, G_FILE_TEST_EXISTS));
}

static void test_restart_keeps_positions_boot_and_times(Place *place, gconstpointer data)
{
    gint64 before = g_get_real_time(), time;
    gboolean guessed;
    guint64 boot;
    {
        g_autoptr(Sink) sink = sink_new();
        g_autoptr(SteadConsole) console = open_console(place);
        append(place->log, "first boot\n");
        stead_console_mark_boot(console);
        watch_from(console, STEAD_CONSOLE_BOOT, 0, sink);
        append(place->log, "seen\n");
        SPIN_UNTIL(g_str_equal(sink->text->str, "seen\n"));
        boot = stead_console_boot(console);
        g_assert_cmpuint(boot, ==, 11);
    }
    append(place->log, "unseen\n");
    rotate(place->log);
    append(place->log, "unseen too\n");
    g_autoptr(Sink) sink = sink_new();
    g_autoptr(SteadConsole) console = open_console(place);
    g_assert_cmpuint(stead_console_boot(console), ==, boot);
    watch_from(console, STEAD_CONSOLE_BOOT, 0, sink);
    SPIN_UNTIL(g_str_equal(sink->text->str, "seen\nunseen\nunseen too\n"));
    append(place->log, "watched again\n");
    SPIN_UNTIL(g_str_has_suffix(sink->text->str, "again\n"));
    g_autoptr(SteadTimesCursor) cursor = stead_times_cursor_new(stead_console_times_path(console));
    g_assert_true(stead_times_cursor_at(cursor, boot, &time, &guessed));
    g_assert_false(guessed);
    g_assert_cmpint(time, >=, before);
    g_assert_true(stead_times_cursor_at(cursor, boot + 5, &time, &guessed));
    g_assert_true(guessed);
    g_assert_true(stead_times_cursor_at(cursor, boot + 12, &time, &guessed));
    g_assert_true(guessed);
}

static void test_polling_without_inotify(Place *place, gconstpointer data)
{
    /* A folder that is not there yet cannot be watched. */
    g_autofree char *log = g_build_filename(place->dir, "later", "console.log", NULL);
    g_autofree char *folder = g_path_get_dirname(log);
    g_autoptr(Sink) sink = sink_new();
    SteadConsoleOptions options = {.log_path = log};
    g_autoptr(SteadConsole) console = stead_console_open(&options, NULL);
    watch_from(console, STEAD_CONSOLE_START, 0, sink);
    g_assert_cmpint(g_mkdir(folder, 0700), ==, 0);
    append(log, "found\n");
    SPIN_UNTIL(g_str_equal(sink->text->str, "found\n"));
}

typedef struct {
    gboolean lost;
    gsize taken;
} Pen;

static void on_lost(gpointer data)
{
    ((Pen *)data)->lost = TRUE;
}

static void on_taken(gsize taken, gpointer data)
{
    ((Pen *)data)->taken += taken;
}

static const SteadConsoleWriter pen_writer = {.lost = on_lost, .taken = on_taken};

static void test_one_writer(Place *place, gconstpointer data)
{
    g_autoptr(Guest) guest = guest_new(place->input);
    g_autoptr(SteadConsole) console = open_console(place);
    g_autoptr(GError) error = NULL;
    Pen a = {0}, b = {0};
    guint first = stead_console_take_writer(console, FALSE, &pen_writer, &a, &error);
    g_assert_cmpuint(first, !=, 0);
    g_assert_cmpuint(stead_console_take_writer(console, FALSE, &pen_writer, &b, &error), ==, 0);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_BUSY);
    g_assert_nonnull(stead_error_hint(error));
    g_clear_error(&error);
    guint second = stead_console_take_writer(console, TRUE, &pen_writer, &b, &error);
    g_assert_no_error(error);
    g_assert_true(a.lost);
    g_assert_cmpint(stead_console_write(console, first, "x", 1, &error), ==, -1);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_DENIED);
    g_assert_cmpint(stead_console_write(console, second, "ls\n", 3, NULL), ==, 3);
    guest_accept(guest);
    SPIN_UNTIL(b.taken == 3);
    g_assert_cmpstr(guest_read(guest), ==, "ls\n");
    stead_console_release_writer(console, second);
    g_assert_false(b.lost);
}

static void test_output_on_the_socket_is_dropped(Place *place, gconstpointer data)
{
    g_autoptr(Guest) guest = guest_new(place->input);
    g_autoptr(Sink) sink = sink_new();
    g_autoptr(SteadConsole) console = open_console(place);
    Pen pen = {0};
    g_autofree char *bulk = g_strnfill(60000, 'y');
    watch_from(console, STEAD_CONSOLE_START, 0, sink);
    guint id = stead_console_take_writer(console, FALSE, &pen_writer, &pen, NULL);
    stead_console_write(console, id, "x", 1, NULL); /* not read, so the connection stays */
    guest_accept(guest);
    gsize sent = 0;
    SPIN_UNTIL(({
        gssize n = send(guest->peer, bulk, 60000, MSG_DONTWAIT);
        sent += n > 0 ? (gsize)n : 0;
        sent > 2000000;
    }));
    append(place->log, "from the log\n");
    SPIN_UNTIL(sink->text->len > 0);
    g_assert_cmpstr(sink->text->str, ==, "from the log\n");
}

static void test_guest_that_does_not_read(Place *place, gconstpointer data)
{
    g_autoptr(Guest) guest = guest_new(place->input);
    g_autoptr(SteadConsole) console = open_console(place);
    g_autoptr(GError) error = NULL;
    g_autofree char *bulk = g_strnfill(STEAD_INPUT_MAX, 'z');
    Pen pen = {0};
    guint id = stead_console_take_writer(console, FALSE, &pen_writer, &pen, NULL);
    gsize written = 1;
    stead_console_write(console, id, "x", 1, NULL);
    guest_accept(guest);
    while (error == NULL) {
        gssize n = stead_console_write(console, id, bulk, STEAD_INPUT_MAX, &error);
        written += n > 0 ? (gsize)n : 0;
        g_main_context_iteration(NULL, FALSE);
        g_assert_cmpuint(written, <, 4000000);
    }
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_EXHAUSTED);
    SPIN_UNTIL((guest_read(guest), pen.taken == written));
    SPIN_UNTIL((guest_read(guest), guest->got->len == written));
}

static void test_input_after_a_guest_restart(Place *place, gconstpointer data)
{
    Guest *guest = guest_new(place->input);
    g_autoptr(SteadConsole) console = open_console(place);
    Pen pen = {0};
    guint id = stead_console_take_writer(console, FALSE, &pen_writer, &pen, NULL);
    stead_console_write(console, id, "a", 1, NULL);
    guest_accept(guest);
    guest_free(guest);
    g_unlink(place->input);
    g_autoptr(GError) error = NULL;
    SPIN_UNTIL((g_clear_error(&error), stead_console_write(console, id, "a", 1, &error) == -1));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_UNAVAILABLE);
    guest = guest_new(place->input);
    g_assert_cmpint(stead_console_write(console, id, "b", 1, NULL), ==, 1);
    guest_accept(guest);
    SPIN_UNTIL(g_str_equal(guest_read(guest), "b"));
    guest_free(guest);
}

static void test_connected_only_while_there_is_input(Place *place, gconstpointer data)
{
    g_autoptr(Guest) guest = guest_new(place->input);
    g_autoptr(SteadConsole) console = open_console(place);
    Pen pen = {0};
    char byte;
    guint id = stead_console_take_writer(console, FALSE, &pen_writer, &pen, NULL);
    g_assert_cmpint(accept4(guest->listening, NULL, NULL, SOCK_CLOEXEC), ==, -1);
    for (int i = 0; i < 2; i++) {
        g_assert_cmpint(stead_console_write(console, id, "a", 1, NULL), ==, 1);
        guest_accept(guest);
        SPIN_UNTIL(recv(guest->peer, &byte, 1, MSG_DONTWAIT) == 1);
        SPIN_UNTIL(recv(guest->peer, &byte, 1, MSG_DONTWAIT) == 0); /* hangs up */
    }
}

static void test_last_words_are_delivered(Place *place, gconstpointer data)
{
    g_autoptr(Guest) guest = guest_new(place->input);
    g_autoptr(SteadConsole) console = open_console(place);
    g_autofree char *bulk = g_strnfill(STEAD_INPUT_MAX, 'w');
    Pen pen = {0};
    guint id = stead_console_take_writer(console, FALSE, &pen_writer, &pen, NULL);
    g_assert_cmpint(stead_console_write(console, id, bulk, STEAD_INPUT_MAX, NULL), >, 0);
    stead_console_release_writer(console, id);
    guest_accept(guest);
    SPIN_UNTIL((guest_read(guest), guest->got->len == STEAD_INPUT_MAX));
}

static void test_console_without_input(Place *place, gconstpointer data)
{
    SteadConsoleOptions options = {.log_path = place->log};
    g_autoptr(SteadConsole) console = stead_console_open(&options, NULL);
    g_autoptr(GError) error = NULL;
    Pen pen = {0};
    g_assert_cmpuint(stead_console_take_writer(console, TRUE, &pen_writer, &pen, &error), ==, 0);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED);
}

/* A tool on the console's socket. */
static int tool_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    return fd;
}

static gboolean tool_has(int fd, GString *got, const char *expected)
{
    char bytes[65536];
    gssize n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n > 0)
        g_string_append_len(got, bytes, n);
    return g_str_equal(got->str, expected);
}

static void test_socket_for_tools(Place *place, gconstpointer data)
{
    g_autoptr(Guest) guest = guest_new(place->input);
    g_autoptr(GString) a = g_string_new(NULL);
    g_autoptr(GString) b = g_string_new(NULL);
    append(place->log, "earlier\n");
    g_autoptr(SteadConsole) console = open_console(place);
    GStatBuf st;
    g_assert_cmpint(g_stat(place->listen, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 0777, ==, 0660);
    stead_autofd first = tool_connect(place->listen);
    stead_autofd second = tool_connect(place->listen);
    SPIN_UNTIL(tool_has(first, a, "earlier\n"));
    SPIN_UNTIL(tool_has(second, b, "earlier\n"));
    append(place->log, "now\n");
    SPIN_UNTIL(tool_has(first, a, "earlier\nnow\n"));
    SPIN_UNTIL(tool_has(second, b, "earlier\nnow\n"));
    g_assert_cmpint(send(first, "id\n", 3, 0), ==, 3);
    SPIN_UNTIL(stead_console_room(console) > 0);
    guest_accept(guest);
    SPIN_UNTIL(g_str_equal(guest_read(guest), "id\n"));
    g_string_truncate(b, 0);
    g_assert_cmpint(send(second, "no\n", 3, 0), ==, 3);
    SPIN_UNTIL(tool_has(second, b, "\r\n[stead: somebody else is writing on this console]\r\n"));
    stead_clear_fd(&first);
    SPIN_UNTIL(stead_console_room(console) == 0); /* gives the pen back */
}

static void test_tool_that_only_sends(Place *place, gconstpointer data)
{
    g_autoptr(Guest) guest = guest_new(place->input);
    g_autoptr(GString) got = g_string_new(NULL);
    g_autoptr(SteadConsole) console = open_console(place);
    stead_autofd tool = tool_connect(place->listen);
    g_assert_cmpint(send(tool, "reboot\n", 7, 0), ==, 7);
    g_assert_cmpint(shutdown(tool, SHUT_WR), ==, 0);
    SPIN_UNTIL(stead_console_room(console) > 0);
    guest_accept(guest);
    SPIN_UNTIL(g_str_equal(guest_read(guest), "reboot\n"));
    append(place->log, "bye\n"); /* it still sees what comes */
    SPIN_UNTIL(tool_has(tool, got, "bye\n"));
}

static void test_tool_that_does_not_read(Place *place, gconstpointer data)
{
    g_autofree char *bulk = g_strnfill(1000000, 'b');
    g_autoptr(Sink) sink = sink_new();
    g_autoptr(GString) got = g_string_new(NULL);
    g_autoptr(SteadConsole) console = open_console(place);
    stead_autofd tool = tool_connect(place->listen);
    drain();
    watch_from(console, STEAD_CONSOLE_START, 0, sink);
    append(place->log, bulk);
    SPIN_UNTIL(sink->text->len == 1000000);
    SPIN_UNTIL(tool_has(tool, got, bulk));
}

static void test_left_behind_socket_is_replaced(Place *place, gconstpointer data)
{
    guest_free(guest_new(place->listen));
    g_assert_true(g_file_test(place->listen, G_FILE_TEST_EXISTS));
    g_autoptr(SteadConsole) console = open_console(place);
    int tool = tool_connect(place->listen);
    g_assert_cmpuint(stead_console_end(console), ==, 0);
    stead_clear_fd(&tool);
}

static void test_a_file_in_the_way_is_kept(Place *place, gconstpointer data)
{
    SteadConsoleOptions options = {.log_path = place->log, .listen_path = place->listen};
    g_autoptr(GError) error = NULL;
    append(place->listen, "precious");
    g_assert_null(stead_console_open(&options, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CONFLICT);
    g_assert_true(g_file_test(place->listen, G_FILE_TEST_IS_REGULAR));
}

static gsize anonymous_bytes(void)
{
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents("/proc/self/smaps_rollup", &text, NULL, NULL));
    return (gsize)g_ascii_strtoull(strstr(text, "Anonymous:") + 10, NULL, 10) * 1024;
}

static void test_idle_consoles_cost_little(Place *place, gconstpointer data)
{
    enum { N = 400 };
    if (g_getenv("ASAN_OPTIONS") || !g_file_test("/proc/self/smaps_rollup", G_FILE_TEST_EXISTS)) {
        g_test_skip("memory cannot be measured here");
        return;
    }
    SteadConsole *consoles[N];
    gsize before = anonymous_bytes();
    for (int i = 0; i < N; i++) {
        g_autofree char *dir = g_strdup_printf("%s/%d", place->dir, i);
        g_autofree char *log = g_build_filename(dir, "console.log", NULL);
        g_autofree char *times = g_build_filename(dir, "console.times", NULL);
        g_autofree char *listen = g_build_filename(dir, "console", NULL);
        g_assert_cmpint(g_mkdir(dir, 0700), ==, 0);
        append(log, "text\n");
        SteadConsoleOptions options = {log, times, place->input, listen};
        consoles[i] = stead_console_open(&options, NULL);
        g_assert_nonnull(consoles[i]);
    }
    drain();
    gsize after = anonymous_bytes();
    g_test_message("%zu bytes a console", (after - before) / N);
    g_assert_cmpuint((after - before) / N, <, 2048);
    for (int i = 0; i < N; i++)
        stead_console_unref(consoles[i]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST("/console/live-output", test_live_output);
    TEST("/console/origins", test_origins);
    TEST("/console/rotation-while-watched", test_rotation_while_watched);
    TEST("/console/truncated-while-watched", test_truncated_while_watched);
    TEST("/console/slow-reader-keeps-its-place", test_slow_reader_keeps_its_place);
    TEST("/console/sleeping-reader-leaps-over-what-is-gone",
         test_sleeping_reader_leaps_over_what_is_gone);
    TEST("/console/leaving-from-within", test_leaving_from_within);
    TEST("/console/readers-are-limited", test_readers_are_limited);
    TEST("/console/close-delivers-the-rest", test_close_delivers_the_rest);
    TEST("/console/restart-keeps-positions-boot-and-times",
         test_restart_keeps_positions_boot_and_times);
    TEST("/console/polling-without-inotify", test_polling_without_inotify);
    TEST("/console/idle-consoles-cost-little", test_idle_consoles_cost_little);
    TEST("/writer/one-writer", test_one_writer);
    TEST("/writer/output-on-the-socket-is-dropped", test_output_on_the_socket_is_dropped);
    TEST("/writer/guest-that-does-not-read", test_guest_that_does_not_read);
    TEST("/writer/input-after-a-guest-restart", test_input_after_a_guest_restart);
    TEST("/writer/connected-only-while-there-is-input", test_connected_only_while_there_is_input);
    TEST("/writer/last-words-are-delivered", test_last_words_are_delivered);
    TEST("/writer/console-without-input", test_console_without_input);
    TEST("/listen/socket-for-tools", test_socket_for_tools);
    TEST("/listen/tool-that-only-sends", test_tool_that_only_sends);
    TEST("/listen/tool-that-does-not-read", test_tool_that_does_not_read);
    TEST("/listen/left-behind-socket-is-replaced", test_left_behind_socket_is_replaced);
    TEST("/listen/a-file-in-the-way-is-kept", test_a_file_in_the_way_is_kept);
    return g_test_run();
}
