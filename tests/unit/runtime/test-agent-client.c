/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of the agent's channel: against a real agent, and against a peer that lies.
 * Whoever waits is a thread then.
 */
#include <signal.h>
#include <string.h>

#include "base/error.h"
#include "unit/runtime/agent-fixture.h"

/* ---- whoever waits ---- */

typedef struct {
    Fixture *f;
    GThread *thread;
    const char *script, *input;
    gint64 deadline;
    GCancellable *cancellable;
    SteadExecResult *result;
    GError *error;
} Command;

static void command_clear(Command *command)
{
    g_clear_pointer(&command->result, stead_exec_result_free);
    g_clear_error(&command->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Command, command_clear)

static gpointer run_command(gpointer data)
{
    Command *command = data;
    const char *const argv[] = {"sh", "-c", command->script, NULL};
    command->result = stead_agent_exec(command->f->agent, argv, command->input,
                                       command->deadline ? command->deadline : patience(),
                                       command->cancellable, &command->error);
    return NULL;
}

static void begin(Command *command)
{
    command->thread = g_thread_new("command", run_command, command);
}

static void finish(Command *command)
{
    g_thread_join(command->thread);
    g_assert_true((command->result == NULL) == (command->error != NULL));
}

static void assert_output(GBytes *bytes, const char *expected)
{
    gsize n;
    const char *text = g_bytes_get_data(bytes, &n);
    g_assert_cmpmem(text, n, expected, strlen(expected));
}

static Command run(Fixture *f, const char *script, const char *input)
{
    Command command = {.f = f, .script = script, .input = input};
    run_command(&command);
    g_assert_no_error(command.error);
    return command;
}

/* ---- against a real agent ---- */

static void test_hello(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_assert_true(stead_agent_is_ready(f->agent));
    stead_agent_sync(f->agent, patience(), NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(g_atomic_int_get(&f->greeted), ==, 1);
}

static void test_exec(Fixture *f, gconstpointer unused)
{
    g_auto(Command) done = run(f, "echo out; echo err >&2; exit 7", NULL);
    g_assert_cmpint(done.result->exit_code, ==, 7);
    g_assert_false(done.result->truncated);
    assert_output(done.result->out, "out\n");
    assert_output(done.result->err, "err\n");
}

static void test_ended_by_a_signal(Fixture *f, gconstpointer unused)
{
    g_auto(Command) done = run(f, "kill -KILL $$", NULL);
    g_assert_cmpint(done.result->exit_code, ==, 128 + SIGKILL);
}

/* More than the credit, in both directions. */
static void test_long_input_and_output(Fixture *f, gconstpointer unused)
{
    g_autofree char *input = g_strnfill(GUEST_WINDOW * 5 + 3, 'i');
    input[GUEST_WINDOW] = 'x';
    g_auto(Command) done = run(f, "cat; echo end >&2", input);
    assert_output(done.result->out, input);
    assert_output(done.result->err, "end\n");
}

static void test_input_that_nobody_reads(Fixture *f, gconstpointer unused)
{
    g_autofree char *input = g_strnfill(GUEST_WINDOW * 5, 'i');
    g_auto(Command) done = run(f, "exit 3", input);
    g_assert_cmpint(done.result->exit_code, ==, 3);
}

static void test_empty_input(Fixture *f, gconstpointer unused)
{
    g_auto(Command) done = run(f, "cat", "");
    assert_output(done.result->out, "");
}

static void test_too_much_output(Fixture *f, gconstpointer unused)
{
    g_auto(Command) done = run(f, "head -c 17000000 /dev/zero; echo end >&2; exit 4", NULL);
    g_assert_true(done.result->truncated);
    g_assert_cmpint(done.result->exit_code, ==, 4);
    g_assert_cmpuint(g_bytes_get_size(done.result->out) + g_bytes_get_size(done.result->err), ==,
                     STEAD_STREAM_COLLECT_MAX);
}

static void test_unknown_program(Fixture *f, gconstpointer unused)
{
    static const char *const argv[] = {"/no/such/program", NULL};
    g_autoptr(GError) error = NULL;
    g_assert_null(stead_agent_exec(f->agent, argv, NULL, patience(), NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
}

/* However often: a refused command takes no channel for good. */
static void test_too_many_arguments(Fixture *f, gconstpointer unused)
{
    g_autofree const char **argv = g_new0(const char *, GUEST_ARGS_MAX + 2);
    g_autofree char *too_long = g_strnfill(GUEST_PAYLOAD_MAX + 1, 'x');
    const char *const one[] = {"echo", too_long, NULL};
    for (gsize i = 0; i <= GUEST_ARGS_MAX; i++)
        argv[i] = "x";
    for (int i = 0; i <= GUEST_CHANNELS; i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(
            stead_agent_exec(f->agent, i % 2 ? argv : one, NULL, patience(), NULL, &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    }
    g_auto(Command) done = run(f, "exit 0", NULL);
    g_assert_cmpint(done.result->exit_code, ==, 0);
}

/* What was cancelled, or took too long, is no longer in the way of what follows. */
static void test_cancelled(Fixture *f, gconstpointer unused)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_auto(Command) command = {.f = f, .script = "sleep 1000", .cancellable = cancellable};
    begin(&command);
    g_cancellable_cancel(cancellable);
    finish(&command);
    g_assert_error(command.error, STEAD_ERROR, STEAD_ERROR_CANCELLED);
    g_auto(Command) next = run(f, "echo next", NULL);
    assert_output(next.result->out, "next\n");
}

static void test_out_of_time(Fixture *f, gconstpointer unused)
{
    for (int i = 0; i < 20; i++) {
        g_auto(Command) command = {.f = f, .script = "echo old; sleep 1000"};
        command.deadline = g_get_monotonic_time() + i * 500;
        run_command(&command);
        g_assert_error(command.error, STEAD_ERROR, STEAD_ERROR_TIMEOUT);
        g_auto(Command) next = run(f, "echo next", NULL);
        assert_output(next.result->out, "next\n");
    }
}

#define AT_ONCE 8

static void test_several_at_once(Fixture *f, gconstpointer unused)
{
    Command commands[AT_ONCE];
    char *scripts[AT_ONCE];
    for (guint i = 0; i < AT_ONCE; i++) {
        scripts[i] = g_strdup_printf("cat; exit %u", i);
        commands[i] = (Command){.f = f, .script = scripts[i], .input = scripts[i]};
        begin(&commands[i]);
    }
    for (guint i = 0; i < AT_ONCE; i++) {
        finish(&commands[i]);
        g_assert_no_error(commands[i].error);
        g_assert_cmpint(commands[i].result->exit_code, ==, (int)i);
        assert_output(commands[i].result->out, scripts[i]);
        command_clear(&commands[i]);
        g_free(scripts[i]);
    }
}

/* It refuses, as it is none of a guest's. */
static void test_refused_question(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_agent_shut_down(f->agent, patience(), NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_GUEST);
    g_assert_nonnull(strstr(error->message, g_strerror(EPERM)));
}

static void test_closed_by_us(Fixture *f, gconstpointer unused)
{
    g_auto(Command) command = {.f = f, .script = "sleep 1000"};
    begin(&command);
    stead_agent_close(f->agent);
    finish(&command);
    /* It had begun, or not yet. */
    SteadErrorCode code = stead_error_code(command.error);
    g_assert_true(code == STEAD_ERROR_GUEST || code == STEAD_ERROR_UNAVAILABLE);
}

/* ---- against a peer that lies ---- */

static void test_silent_peer(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    gint64 soon = g_get_monotonic_time() + 20 * G_TIME_SPAN_MILLISECOND;
    g_assert_false(stead_agent_await_ready(f->agent, soon, NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_GUEST);
    g_clear_error(&error);
    g_assert_false(stead_agent_sync(f->agent, soon, NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_GUEST);
    g_assert_false(stead_agent_await_ready(f->agent, soon, NULL, NULL));
}

static void test_wrong_nonce(Fixture *f, gconstpointer unused)
{
    guint64 nonce = read_hello(f);
    send_hello(f, nonce + 1);
    send_hello(f, 0);
    host_send(f->host, GUEST_HELLO_REPLY, 0, "cut", 3);
    host_send_bytes(f->host, "garbage\0more\0\xff\xff\xff\0", 17);
    send_hello(f, nonce);
    await_ready(f);
    send_hello(f, nonce); /* once is enough */
    hang_up(f);
    g_assert_cmpint(f->greeted, ==, 1);
    open_agent(f); /* for the end */
    f->released = 0;
}

static void test_hang_up(Fixture *f, gconstpointer unused)
{
    g_auto(Command) command = {.f = f, .script = ""};
    begin(&command);
    read_exec(f);
    host_disconnect(f->host);
    finish(&command);
    g_assert_error(command.error, STEAD_ERROR, STEAD_ERROR_GUEST);
    g_assert_nonnull(strstr(command.error->message, "has ended"));
    g_assert_false(stead_agent_is_ready(f->agent));
}

static void test_frames_for_others(Fixture *f, gconstpointer unused)
{
    g_auto(Command) command = {.f = f, .script = ""};
    begin(&command);
    guint channel = read_exec(f);
    for (guint other = 0; other <= 0xffff; other += other < 100 ? 1 : 1111) {
        if (other == channel)
            continue;
        host_send_text(f->host, GUEST_STDOUT, other, "not yours");
        send_exit(f, other, 1);
    }
    host_send_text(f->host, GUEST_STDOUT, channel, "yours");
    host_send_text(f->host, GUEST_DATA, channel, "of no meaning");
    host_send(f->host, GUEST_DONE, channel, NULL, 0);
    send_exit(f, channel, 9);
    host_send_text(f->host, GUEST_STDOUT, channel, "too late");
    send_exit(f, channel, 1);
    finish(&command);
    g_assert_no_error(command.error);
    g_assert_cmpint(command.result->exit_code, ==, 9);
    assert_output(command.result->out, "yours");
}

static void test_senseless_answers(Fixture *f, gconstpointer unused)
{
    static const GuestType types[] = {GUEST_EXIT, GUEST_FAILED};
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
        g_auto(Command) command = {.f = f, .script = ""};
        begin(&command);
        host_send_text(f->host, types[i], read_exec(f), "?");
        finish(&command);
        g_assert_error(command.error, STEAD_ERROR, STEAD_ERROR_GUEST);
        g_assert_nonnull(strstr(command.error->message, "makes no sense"));
    }
}

/* The channel of a command that was given up is used again only when the agent has said its last
 * word on it: what comes for it until then is nobody's. */
static void test_channel_given_up(Fixture *f, gconstpointer unused)
{
    g_auto(Command) old = {.f = f, .script = "", .deadline = 1};
    begin(&old);
    guint channel = read_exec(f);
    finish(&old);
    g_assert_error(old.error, STEAD_ERROR, STEAD_ERROR_TIMEOUT);
    host_pass(f->host, GUEST_CLOSE, channel);

    g_auto(Command) next = {.f = f, .script = ""};
    begin(&next);
    guint other = read_exec(f);
    g_assert_cmpuint(other, !=, channel);
    host_send_text(f->host, GUEST_STDOUT, channel, "old");
    send_failed(f, channel, ECANCELED);
    host_send_text(f->host, GUEST_STDOUT, other, "new");
    send_exit(f, other, 0);
    finish(&next);
    g_assert_no_error(next.error);
    assert_output(next.result->out, "new");

    g_auto(Command) last = {.f = f, .script = ""};
    begin(&last);
    g_assert_cmpuint(read_exec(f), ==, channel);
    send_exit(f, channel, 0);
    finish(&last);
    g_assert_no_error(last.error);
}

/* All of them given up, and never a word about it. */
static void test_no_channel_left(Fixture *f, gconstpointer unused)
{
    for (int i = 0; i < GUEST_CHANNELS; i++) {
        g_auto(Command) command = {.f = f, .script = "", .deadline = 1};
        run_command(&command);
        g_assert_error(command.error, STEAD_ERROR, STEAD_ERROR_TIMEOUT);
        host_pass(f->host, GUEST_CLOSE, read_exec(f));
    }
    g_auto(Command) one_more = {.f = f, .script = ""};
    run_command(&one_more);
    g_assert_error(one_more.error, STEAD_ERROR, STEAD_ERROR_EXHAUSTED);
    /* A guest that begins anew has all of them. */
    stead_agent_port_changed(f->agent, FALSE);
    stead_agent_port_changed(f->agent, TRUE);
    send_hello(f, read_hello(f));
    await_ready(f);
    g_auto(Command) anew = {.f = f, .script = ""};
    begin(&anew);
    send_exit(f, read_exec(f), 0);
    finish(&anew);
    g_assert_no_error(anew.error);
}

static void test_guest_begins_anew(Fixture *f, gconstpointer unused)
{
    g_auto(Command) command = {.f = f, .script = ""};
    begin(&command);
    read_exec(f);
    stead_agent_port_changed(f->agent, FALSE);
    finish(&command);
    g_assert_error(command.error, STEAD_ERROR, STEAD_ERROR_GUEST);
    g_assert_false(stead_agent_is_ready(f->agent));
}

/* It is greeted a few times, and once more when it has had time to come to rest. */
static void test_guest_that_never_rests(Fixture *f, gconstpointer unused)
{
    for (int i = 0; i < 1000; i++)
        stead_agent_port_changed(f->agent, TRUE);
    for (int i = 0; i < 8; i++)
        read_hello(f);
    send_hello(f, read_hello(f));
    await_ready(f);
}

typedef struct {
    Fixture *f;
    GError *error;
} Renewal;

static gpointer renew(gpointer data)
{
    Renewal *renewal = data;
    GuestRenew asked = {.host_name = "b", .machine_id = "", .domain = "", .realtime = 1};
    stead_agent_renew(renewal->f->agent, &asked, patience(), NULL, &renewal->error);
    return NULL;
}

static GError *answer_renewal(Fixture *f, const GuestRenewed *answer)
{
    Renewal renewal = {f, NULL};
    GuestRenewed renewed = *answer;
    GThread *thread = g_thread_new("renewal", renew, &renewal);
    g_autoptr(HostFrame) frame = host_next(f->host);
    g_assert_cmpint(frame->type, ==, GUEST_RENEW);
    HOST_SEND(f->host, GUEST_RENEWED, frame->channel, guest_renewed_fields, &renewed);
    g_thread_join(thread);
    return renewal.error;
}

static void test_renewal(Fixture *f, gconstpointer unused)
{
    static const GuestRenewed all = {2, {{GUEST_STEP_CLOCK, 0, 0}, {GUEST_STEP_HOST_NAME, 0, 0}}};
    static const GuestRenewed part = {1, {{GUEST_STEP_CLOCK, 0, 0}}};
    static const GuestRenewed failed = {
        2, {{GUEST_STEP_CLOCK, 0, 0}, {GUEST_STEP_HOST_NAME, 0, EROFS}}};
    g_autoptr(GError) none = answer_renewal(f, &all);
    g_assert_no_error(none);
    g_autoptr(GError) partly = answer_renewal(f, &part);
    g_assert_error(partly, STEAD_ERROR, STEAD_ERROR_GUEST);
    g_autoptr(GError) failure = answer_renewal(f, &failed);
    g_assert_error(failure, STEAD_ERROR, STEAD_ERROR_GUEST);
    g_assert_nonnull(strstr(failure->message, "host name"));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*set_up)(Fixture *f, gconstpointer unused);
        void (*test)(Fixture *f, gconstpointer unused);
        void (*tear_down)(Fixture *f, gconstpointer unused);
    } tests[] = {
        {"hello", set_up, test_hello, tear_down},
        {"exec", set_up, test_exec, tear_down},
        {"ended-by-a-signal", set_up, test_ended_by_a_signal, tear_down},
        {"long-input-and-output", set_up, test_long_input_and_output, tear_down},
        {"input-that-nobody-reads", set_up, test_input_that_nobody_reads, tear_down},
        {"empty-input", set_up, test_empty_input, tear_down},
        {"too-much-output", set_up, test_too_much_output, tear_down},
        {"unknown-program", set_up, test_unknown_program, tear_down},
        {"too-many-arguments", set_up, test_too_many_arguments, tear_down},
        {"cancelled", set_up, test_cancelled, tear_down},
        {"out-of-time", set_up, test_out_of_time, tear_down},
        {"several-at-once", set_up, test_several_at_once, tear_down},
        {"refused-question", set_up, test_refused_question, tear_down},
        {"closed-by-us", set_up, test_closed_by_us, tear_down},
        {"lies/silent", set_up_peer, test_silent_peer, tear_down_peer},
        {"lies/wrong-nonce", set_up_peer, test_wrong_nonce, tear_down_peer},
        {"lies/hang-up", set_up_greeted_peer, test_hang_up, tear_down_peer},
        {"lies/frames-for-others", set_up_greeted_peer, test_frames_for_others, tear_down_peer},
        {"lies/senseless-answers", set_up_greeted_peer, test_senseless_answers, tear_down_peer},
        {"lies/channel-given-up", set_up_greeted_peer, test_channel_given_up, tear_down_peer},
        {"lies/no-channel-left", set_up_greeted_peer, test_no_channel_left, tear_down_peer},
        {"lies/guest-begins-anew", set_up_greeted_peer, test_guest_begins_anew, tear_down_peer},
        {"guest-never-rests", set_up_greeted_peer, test_guest_that_never_rests, tear_down_peer},
        {"lies/renewal", set_up_greeted_peer, test_renewal, tear_down_peer},
    };
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/agent-client/", tests[i].name, NULL);
        g_test_add(path, Fixture, NULL, tests[i].set_up, tests[i].test, tests[i].tear_down);
    }
    return g_test_run();
}
