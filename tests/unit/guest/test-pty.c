/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions on a terminal. */
#include <signal.h>
#include <string.h>

#include "host.h"

static void exec_pty(Host *host, guint channel, const char *script)
{
    GuestExec exec = {.flags = GUEST_EXEC_PTY,
                      .rows = 31,
                      .cols = 101,
                      .user = "",
                      .cwd = "/",
                      .n_args = 3,
                      .args = {"sh", "-c", script}};
    HOST_SEND(host, GUEST_EXEC, channel, guest_exec_fields, &exec);
}

static void test_is_a_terminal_of_its_size(void)
{
    g_autoptr(Host) host = host_start();
    exec_pty(host, 1, "test -t 0 && test -t 1 && test -t 2 && stty size && echo $TERM");
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_assert_cmpstr(end->out->str, ==, "31 101\r\nlinux\r\n");
    g_assert_cmpint(end->code, ==, 0);
}

static void test_is_the_controlling_terminal(void)
{
    g_autoptr(Host) host = host_start();
    exec_pty(host, 1, "echo word > /dev/tty");
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_assert_cmpstr(end->out->str, ==, "word\r\n");
}

static void expect_output(Host *host, guint channel, const char *words)
{
    g_autoptr(GString) got = g_string_new(NULL);
    while (strstr(got->str, words) == NULL) {
        g_autoptr(HostFrame) frame = host_next(host);
        if (frame->type == GUEST_STDOUT)
            g_string_append_len(got, (const char *)frame->payload, (gssize)frame->length);
        else
            g_assert_cmpint(frame->type, ==, GUEST_STARTED);
        g_assert_cmpuint(frame->channel, ==, channel);
    }
}

static void test_resize(void)
{
    g_autoptr(Host) host = host_start();
    GuestResize resize = {.rows = 40, .cols = 132};
    exec_pty(host, 1, "echo up; read x; stty size");
    expect_output(host, 1, "up\r\n");
    HOST_SEND(host, GUEST_RESIZE, 1, guest_resize_fields, &resize);
    host_send_text(host, GUEST_STDIN, 1, "\n");
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_assert_nonnull(strstr(end->out->str, "40 132\r\n"));
}

static void test_interrupt_key(void)
{
    g_autoptr(Host) host = host_start();
    exec_pty(host, 1, "echo up; exec tail -f /dev/null");
    expect_output(host, 1, "up\r\n");
    host_send_text(host, GUEST_STDIN, 1, "\x03");
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_assert_cmpint(end->signal, ==, SIGINT);
}

static void test_end_of_input_is_typed(void)
{
    g_autoptr(Host) host = host_start();
    exec_pty(host, 1, "stty -echo; echo up; cat");
    expect_output(host, 1, "up\r\n");
    host_send_text(host, GUEST_STDIN, 1, "line\n");
    host_send(host, GUEST_STDIN_EOF, 1, NULL, 0);
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_assert_cmpstr(end->out->str, ==, "line\r\n");
    g_assert_cmpint(end->code, ==, 0);
}

/* The window is full while the process ends: nothing of what it wrote may be lost. */
static void test_slow_reader_loses_nothing(void)
{
    g_autoptr(Host) host = host_start();
    exec_pty(host, 1, "seq 100001 108592; test -e /dev/null"); /* a window, and 3200 bytes */
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(HostFrame) started = host_expect(host, GUEST_STARTED, 1);
    while (out->len < GUEST_WINDOW) {
        g_autoptr(HostFrame) frame = host_expect(host, GUEST_STDOUT, 1);
        g_string_append_len(out, (const char *)frame->payload, (gssize)frame->length);
    }
    GuestStarted process;
    HOST_READ(started, guest_started_fields, &process);
    g_autofree char *pid = g_strdup_printf("%u", process.pid);
    host_exec(host, 2, GUEST_EXEC_NO_STDIN, "sh", "-c", "while kill -0 $0; do :; done", pid, NULL);
    g_autoptr(HostEnd) other = host_finish(host, 2); /* until it is gone */
    g_assert_cmpint(other->error, ==, 0);
    host_send_credit(host, 1, GUEST_WINDOW);
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_string_append_len(out, end->out->str, (gssize)end->out->len);
    g_assert_cmpuint(out->len, ==, GUEST_WINDOW + 3200);
    g_assert_true(g_str_has_suffix(out->str, "108592\r\n"));
}

/* What is in the terminal when its leader ends. */
static void test_last_words(void)
{
    g_autoptr(Host) host = host_start();
    for (int i = 0; i < 20; i++) {
        exec_pty(host, 1, "seq 1000 3000");
        g_autoptr(HostEnd) end = host_finish(host, 1);
        g_assert_cmpuint(end->out->len, ==, 2001 * 6);
    }
}

static void test_typed_much(void)
{
    g_autoptr(Host) host = host_start();
    g_autoptr(GString) typed = g_string_new(NULL);
    for (int i = 0; i < 20000; i++)
        g_string_append(typed, "0123456789\n");
    exec_pty(host, 1, "stty raw -echo; echo up; head -c 220000 | wc -c");
    expect_output(host, 1, "up\n");
    host_stream(host, GUEST_STDIN, 1, typed->str, typed->len, NULL);
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_assert_cmpstr(end->out->str, ==, "220000\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!g_file_test("/dev/ptmx", G_FILE_TEST_EXISTS)) {
        g_print("1..0 # SKIP no /dev/ptmx\n");
        return 0;
    }
    g_test_add_func("/guest/pty/terminal", test_is_a_terminal_of_its_size);
    g_test_add_func("/guest/pty/controlling", test_is_the_controlling_terminal);
    g_test_add_func("/guest/pty/resize", test_resize);
    g_test_add_func("/guest/pty/interrupt", test_interrupt_key);
    g_test_add_func("/guest/pty/end-of-input", test_end_of_input_is_typed);
    g_test_add_func("/guest/pty/slow-reader", test_slow_reader_loses_nothing);
    g_test_add_func("/guest/pty/last-words", test_last_words);
    g_test_add_func("/guest/pty/typed-much", test_typed_much);
    return g_test_run();
}
