/* SPDX-License-Identifier: Apache-2.0 */
/* What a real agent does with EXEC and what belongs to it. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

#define QUIET (GUEST_EXEC_NO_STDIN)

static void test_output_and_code(void)
{
    g_autoptr(Host) host = host_start();
    host_exec(host, 1, QUIET, "sh", "-c", "echo out; echo err >&2; exit 7", NULL);
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_assert_cmpstr(end->out->str, ==, "out\n");
    g_assert_cmpstr(end->err->str, ==, "err\n");
    g_assert_cmpint(end->code, ==, 7);
    g_assert_cmpint(end->signal, ==, 0);
}

static void test_started_tells_the_pid(void)
{
    g_autoptr(Host) host = host_start();
    GuestStarted started;
    host_exec(host, 3, QUIET, "sh", "-c", "echo $$", NULL);
    g_autoptr(HostFrame) frame = host_expect(host, GUEST_STARTED, 3);
    HOST_READ(frame, guest_started_fields, &started);
    g_autoptr(HostEnd) end = host_finish(host, 3);
    g_assert_cmpint(g_ascii_strtoll(end->out->str, NULL, 10), ==, started.pid);
}

static void test_death_by_signal(void)
{
    g_autoptr(Host) host = host_start();
    host_exec(host, 1, QUIET, "sh", "-c", "kill -9 $$", NULL);
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_assert_cmpint(end->signal, ==, SIGKILL);
    g_assert_cmpint(end->code, ==, 0);
}

static void test_signal_reaches_the_group(void)
{
    g_autoptr(Host) host = host_start();
    GuestSignal number = {.signal = SIGTERM};
    host_exec(host, 1, QUIET, "sh", "-c", "echo up; exec tail -f /dev/null", NULL);
    host_pass(host, GUEST_STARTED, 1);
    host_pass(host, GUEST_STDOUT, 1);
    HOST_SEND(host, GUEST_SIGNAL, 1, guest_signal_fields, &number);
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_assert_cmpint(end->signal, ==, SIGTERM);
}

static void test_no_signal_is_blocked(void)
{
    g_autoptr(Host) host = host_start();
    host_exec(host, 1, QUIET, "grep", "SigBlk", "/proc/self/status", NULL);
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_assert_cmpstr(end->out->str, ==, "SigBlk:\t0000000000000000\n");
}

static void test_no_descriptor_is_passed_on(void)
{
    g_autoptr(Host) host = host_start();
    host_exec(host, 1, QUIET, "sh", "-c", "ls -l /proc/self/fd | grep socket", NULL);
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_assert_cmpstr(end->out->str, ==, ""); /* neither the listener nor the connection */
}

static void test_unknown_command(void)
{
    g_autoptr(Host) host = host_start();
    host_exec(host, 1, QUIET, "no-such-command", NULL);
    g_assert_cmpint(host_expect_failure(host, 1), ==, ENOENT);
    host_exec(host, 1, QUIET, "true", NULL);
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_assert_cmpint(end->code, ==, 0);
}

static void test_what_is_no_program(void)
{
    g_autoptr(Host) host = host_start();
    host_exec(host, 1, QUIET, "/etc/passwd", NULL);
    g_assert_cmpint(host_expect_failure(host, 1), ==, EACCES);
}

static void test_folder_that_is_not_there(void)
{
    g_autoptr(Host) host = host_start();
    GuestExec exec = {.user = "", .cwd = "/no/such", .n_args = 1, .args = {"true"}};
    HOST_SEND(host, GUEST_EXEC, 2, guest_exec_fields, &exec);
    g_assert_cmpint(host_expect_failure(host, 2), ==, ENOENT);
}

static void test_unknown_user(void)
{
    g_autoptr(Host) host = host_start();
    GuestExec exec = {.user = "nobody-of-that-name", .cwd = "", .n_args = 1, .args = {"true"}};
    HOST_SEND(host, GUEST_EXEC, 2, guest_exec_fields, &exec);
    g_assert_cmpint(host_expect_failure(host, 2), ==, ENOENT);
}

static void test_user_of_a_number(void)
{
    if (geteuid() != 0) {
        g_test_skip("needs root");
        return;
    }
    g_autoptr(Host) host = host_start();
    GuestExec exec = {.flags = QUIET,
                      .user = "12345:54321",
                      .cwd = "",
                      .n_args = 3,
                      .args = {"sh", "-c", "echo $(id -u) $(id -g) $(id -G) $HOME $PWD"}};
    HOST_SEND(host, GUEST_EXEC, 2, guest_exec_fields, &exec);
    g_autoptr(HostEnd) end = host_finish(host, 2);
    g_assert_cmpstr(end->out->str, ==, "12345 54321 54321 / /\n");
}

static void test_environment(void)
{
    g_autoptr(Host) host = host_start();
    GuestExec exec = {.flags = QUIET,
                      .user = "",
                      .cwd = "/",
                      .n_args = 1,
                      .args = {"env"},
                      .n_env = 2,
                      .env = {"HOME=/else", "A=b=c"}};
    HOST_SEND(host, GUEST_EXEC, 2, guest_exec_fields, &exec);
    g_autoptr(HostEnd) end = host_finish(host, 2);
    g_assert_cmpstr(end->out->str, ==,
                    "HOME=/else\nA=b=c\n"
                    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
                    "USER=root\nLOGNAME=root\n");
}

static void test_merged_stderr(void)
{
    g_autoptr(Host) host = host_start();
    host_exec(host, 1, QUIET | GUEST_EXEC_MERGE_STDERR, "sh", "-c", "echo a; echo b >&2; echo c",
              NULL);
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_assert_cmpstr(end->out->str, ==, "a\nb\nc\n");
    g_assert_cmpstr(end->err->str, ==, "");
}

static void test_input(void)
{
    g_autoptr(Host) host = host_start();
    host_exec(host, 1, 0, "cat", NULL);
    host_send_text(host, GUEST_STDIN, 1, "one\n");
    host_send_text(host, GUEST_STDIN, 1, "two\n");
    host_send(host, GUEST_STDIN_EOF, 1, NULL, 0);
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_assert_cmpstr(end->out->str, ==, "one\ntwo\n");
}

static char *numbers(gsize length)
{
    char *bytes = g_malloc(length);
    for (gsize i = 0; i < length; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    return bytes;
}

static void test_much_input_and_output(void)
{
    const gsize length = 3 * 1024 * 1024 + 17;
    g_autoptr(Host) host = host_start();
    g_autofree char *bytes = numbers(length);
    g_autoptr(GString) echo = g_string_new(NULL);
    host_exec(host, 9, 0, "cat", NULL);
    host_stream(host, GUEST_STDIN, 9, bytes, length, echo);
    host_send(host, GUEST_STDIN_EOF, 9, NULL, 0);
    g_autoptr(HostEnd) end = host_finish(host, 9);
    g_string_append_len(echo, end->out->str, (gssize)end->out->len);
    g_assert_cmpmem(echo->str, echo->len, bytes, length);
}

/* The reader of channel 1 takes nothing, and the one of channel 2 is served all the same. */
static void test_slow_reader_holds_up_nobody(void)
{
    g_autoptr(Host) host = host_start();
    gsize got = 0;
    host_exec(host, 1, QUIET, "head", "-c", "1000000", "/dev/zero", NULL);
    host_pass(host, GUEST_STARTED, 1);
    while (got < GUEST_WINDOW) {
        g_autoptr(HostFrame) frame = host_expect(host, GUEST_STDOUT, 1);
        got += frame->length;
    }
    g_assert_cmpuint(got, ==, GUEST_WINDOW);
    host_exec(host, 2, QUIET, "head", "-c", "1000000", "/dev/zero", NULL);
    g_autoptr(HostEnd) second = host_finish(host, 2);
    g_assert_cmpuint(second->out->len, ==, 1000000);
    host_send_credit(host, 1, GUEST_WINDOW);
    g_autoptr(HostEnd) first = host_finish(host, 1);
    g_assert_cmpuint(first->out->len, ==, 1000000 - GUEST_WINDOW);
}

/* cat is stopped: its input fills the pipe, then the window, and no more is asked for. */
static void test_input_beyond_the_window(void)
{
    g_autoptr(Host) host = host_start();
    g_autofree char *bytes = numbers(GUEST_DATA_MAX);
    host_exec(host, 1, 0, "tail", "-f", "/dev/null", NULL);
    gsize credit = GUEST_WINDOW;
    host_pass(host, GUEST_STARTED, 1);
    gsize sent = 0;
    while (credit >= GUEST_DATA_MAX && sent < 1024 * 1024) {
        host_send(host, GUEST_STDIN, 1, bytes, GUEST_DATA_MAX);
        credit -= GUEST_DATA_MAX;
        sent += GUEST_DATA_MAX;
        host_send(host, GUEST_PING, 99, NULL, 0);
        for (gboolean is_pong = FALSE; !is_pong;) {
            g_autoptr(HostFrame) frame = host_next(host);
            GuestCredit given;
            is_pong = frame->type == GUEST_PONG;
            if (frame->type != GUEST_CREDIT)
                continue;
            HOST_READ(frame, guest_credit_fields, &given);
            credit += given.bytes;
        }
    }
    g_assert_cmpuint(sent, >=, 2 * 65536);
    g_assert_cmpuint(sent, <, 256 * 1024);
    host_send(host, GUEST_STDIN, 1, bytes, GUEST_DATA_MAX);
    g_assert_cmpint(host_expect_failure(host, 1), ==, EPROTO);
}

static void test_input_that_nobody_reads(void)
{
    g_autoptr(Host) host = host_start();
    g_autofree char *bytes = numbers(1024 * 1024);
    host_exec(host, 1, 0, "sh", "-c", "exec <&-; echo closed; exec tail -f /dev/null", NULL);
    host_pass(host, GUEST_STARTED, 1);
    host_pass(host, GUEST_STDOUT, 1);
    host_stream(host, GUEST_STDIN, 1, bytes, 1024 * 1024, NULL);
    host_send(host, GUEST_CLOSE, 1, NULL, 0);
    for (;;) {
        g_autoptr(HostFrame) frame = host_next(host);
        if (frame->type == GUEST_FAILED)
            return;
        g_assert_cmpint(frame->type, ==, GUEST_CREDIT);
    }
}

static void test_background_does_not_hold_it(void)
{
    g_autoptr(Host) host = host_start();
    host_exec(host, 1, QUIET, "sh", "-c", "tail -f /dev/null & echo $!", NULL);
    g_autoptr(HostEnd) end = host_finish(host, 1);
    pid_t background = (pid_t)g_ascii_strtoll(end->out->str, NULL, 10);
    g_assert_cmpint(kill(background, SIGKILL), ==, 0);
}

static void test_closing_ends_it(void)
{
    g_autoptr(Host) host = host_start();
    host_exec(host, 1, QUIET, "sh", "-c", "trap 'exit 0' HUP; echo up; while :; do read x; done",
              NULL);
    host_pass(host, GUEST_STARTED, 1);
    host_pass(host, GUEST_STDOUT, 1);
    host_send(host, GUEST_CLOSE, 1, NULL, 0);
    g_assert_cmpint(host_expect_failure(host, 1), ==, ECANCELED);
}

static void test_all_channels_at_once(void)
{
    g_autoptr(Host) host = host_start();
    for (guint i = 1; i <= GUEST_CHANNELS; i++)
        host_exec(host, i, 0, "cat", NULL);
    for (guint i = 1; i <= GUEST_CHANNELS; i++)
        host_pass(host, GUEST_STARTED, i);
    for (guint i = 1; i <= GUEST_CHANNELS; i++) {
        g_autofree char *word = g_strdup_printf("%u", i);
        host_send_text(host, GUEST_STDIN, i, word);
        host_send(host, GUEST_STDIN_EOF, i, NULL, 0);
        g_autoptr(HostEnd) end = host_finish(host, i);
        g_assert_cmpstr(end->out->str, ==, word);
    }
}

static void test_channel_in_use(void)
{
    g_autoptr(Host) host = host_start();
    host_exec(host, 1, 0, "cat", NULL);
    host_pass(host, GUEST_STARTED, 1);
    host_exec(host, 1, 0, "cat", NULL);
    g_assert_cmpint(host_expect_failure(host, 1), ==, EBUSY);
}

static void test_channel_out_of_range(void)
{
    g_autoptr(Host) host = host_start();
    host_exec(host, GUEST_CHANNELS + 1, 0, "cat", NULL);
    g_assert_cmpint(host_expect_failure(host, GUEST_CHANNELS + 1), ==, EBADMSG);
    host_exec(host, 0, 0, "cat", NULL);
    g_assert_cmpint(host_expect_failure(host, 0), ==, EBADMSG);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/exec/output-and-code", test_output_and_code);
    g_test_add_func("/guest/exec/pid", test_started_tells_the_pid);
    g_test_add_func("/guest/exec/death-by-signal", test_death_by_signal);
    g_test_add_func("/guest/exec/signal", test_signal_reaches_the_group);
    g_test_add_func("/guest/exec/signals-unblocked", test_no_signal_is_blocked);
    g_test_add_func("/guest/exec/descriptors", test_no_descriptor_is_passed_on);
    g_test_add_func("/guest/exec/unknown-command", test_unknown_command);
    g_test_add_func("/guest/exec/no-program", test_what_is_no_program);
    g_test_add_func("/guest/exec/no-folder", test_folder_that_is_not_there);
    g_test_add_func("/guest/exec/unknown-user", test_unknown_user);
    g_test_add_func("/guest/exec/user", test_user_of_a_number);
    g_test_add_func("/guest/exec/environment", test_environment);
    g_test_add_func("/guest/exec/merged", test_merged_stderr);
    g_test_add_func("/guest/exec/input", test_input);
    g_test_add_func("/guest/exec/much", test_much_input_and_output);
    g_test_add_func("/guest/exec/slow-reader", test_slow_reader_holds_up_nobody);
    g_test_add_func("/guest/exec/window", test_input_beyond_the_window);
    g_test_add_func("/guest/exec/unread-input", test_input_that_nobody_reads);
    g_test_add_func("/guest/exec/background", test_background_does_not_hold_it);
    g_test_add_func("/guest/exec/close", test_closing_ends_it);
    g_test_add_func("/guest/exec/many", test_all_channels_at_once);
    g_test_add_func("/guest/exec/busy", test_channel_in_use);
    g_test_add_func("/guest/exec/range", test_channel_out_of_range);
    return g_test_run();
}
