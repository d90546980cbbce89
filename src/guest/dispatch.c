/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One table: a type, and the function that reads its payload and acts. Whatever is out of form is
 * answered with FAILED and has no effect; a frame for a channel that is not in use that way has
 * none either, and no answer.
 */
#include "guest/dispatch.h"

#include <errno.h>
#include <string.h>

#include "guest/channel.h"

/* The large ones. Only one is under way at a time. */
static union {
    GuestExec exec;
    GuestNetwork network;
    struct {
        GuestRenew asked;
        GuestRenewed done;
    } renew;
} message;
static uint8_t answer[GUEST_PAYLOAD_MAX];

/* Reads a whole payload with an X_fields(); false, and a word to the host, when it is none. */
#define READ(agent, frame, fields_of, into)                                                        \
    ({                                                                                             \
        GuestFields read_from = guest_fields_reader((frame)->payload, (frame)->length);            \
        fields_of(&read_from, into);                                                               \
        is_read(agent, frame, &read_from);                                                         \
    })

#define WRITE(agent, frame, type, fields_of, from)                                                 \
    do {                                                                                           \
        GuestFields write_to = guest_fields_writer(answer, sizeof answer);                         \
        fields_of(&write_to, from);                                                                \
        write_answer(agent, frame, type, &write_to);                                               \
    } while (0)

static bool is_read(GuestAgent *agent, const GuestFrame *frame, const GuestFields *fields)
{
    ssize_t failed = guest_fields_end(fields);
    if (failed == 0)
        return true;
    guest_agent_fail(agent, frame->channel, (int)failed, "fields");
    return false;
}

static void write_answer(GuestAgent *agent, const GuestFrame *frame, GuestType type,
                         const GuestFields *fields)
{
    ssize_t length = guest_fields_end(fields);
    if (length < 0)
        guest_agent_fail(agent, frame->channel, (int)length, "answer");
    else
        guest_outbox_add(&agent->outbox, type, frame->channel, answer, (size_t)length);
}

static void answer_result(GuestAgent *agent, const GuestFrame *frame, int result, const char *text)
{
    if (result < 0)
        guest_agent_fail(agent, frame->channel, result, text);
    else
        guest_outbox_add(&agent->outbox, GUEST_OK, frame->channel, NULL, 0);
}

static void on_hello(GuestAgent *agent, GuestFrame *frame)
{
    GuestHello hello;
    GuestFields fields = guest_fields_reader(frame->payload, frame->length);
    guest_hello_fields(&fields, &hello);
    if (guest_fields_end(&fields) < 0)
        return; /* nobody to answer yet */
    guest_agent_hang_up(agent);
    agent->is_greeted = true;
    GuestHelloReply reply = {
        .version = GUEST_PROTOCOL_VERSION,
        .nonce = hello.nonce,
        .flags = agent->flags,
        .agent = STEAD_VERSION,
    };
    WRITE(agent, frame, GUEST_HELLO_REPLY, guest_hello_reply_fields, &reply);
}

static void on_ping(GuestAgent *agent, GuestFrame *frame)
{
    if (frame->length > GUEST_PING_MAX)
        guest_agent_fail(agent, frame->channel, EBADMSG, "fields");
    else
        guest_outbox_add(&agent->outbox, GUEST_PONG, frame->channel, frame->payload, frame->length);
}

static void on_renew(GuestAgent *agent, GuestFrame *frame)
{
    if (!READ(agent, frame, guest_renew_fields, &message.renew.asked))
        return;
    message.renew.done.n_steps = 0;
    agent->ops->renew(&message.renew.asked, &message.renew.done);
    WRITE(agent, frame, GUEST_RENEWED, guest_renewed_fields, &message.renew.done);
}

static void on_clock(GuestAgent *agent, GuestFrame *frame)
{
    GuestClock clock;
    if (READ(agent, frame, guest_clock_fields, &clock))
        answer_result(agent, frame, agent->ops->set_clock(clock.realtime), "set the clock");
}

static void on_memory(GuestAgent *agent, GuestFrame *frame)
{
    GuestMemory memory = {0};
    int failed = agent->ops->memory(&memory);
    if (failed)
        guest_agent_fail(agent, frame->channel, failed, "/proc/meminfo");
    else
        WRITE(agent, frame, GUEST_MEMORY_REPLY, guest_memory_fields, &memory);
}

static void on_network(GuestAgent *agent, GuestFrame *frame)
{
    message.network.n_interfaces = 0;
    int failed = agent->ops->network(&message.network);
    if (failed)
        guest_agent_fail(agent, frame->channel, failed, "netlink");
    else
        WRITE(agent, frame, GUEST_NETWORK_REPLY, guest_network_fields, &message.network);
}

static void on_shutdown(GuestAgent *agent, GuestFrame *frame)
{
    GuestShutdown shutdown;
    if (!READ(agent, frame, guest_shutdown_fields, &shutdown))
        return;
    int result = agent->ops->shutdown((GuestShutdownHow)shutdown.how);
    if (result == GUEST_LOOP_ENDS)
        agent->shutdown = shutdown.how;
    answer_result(agent, frame, result, "shutdown");
}

static void on_exec(GuestAgent *agent, GuestFrame *frame)
{
    if (READ(agent, frame, guest_exec_fields, &message.exec))
        guest_session_start(agent, frame->channel, &message.exec);
}

static void on_sync(GuestAgent *agent, GuestFrame *frame)
{
    guest_session_sync(agent, frame->channel);
}

static void on_put(GuestAgent *agent, GuestFrame *frame)
{
    GuestPut put;
    if (READ(agent, frame, guest_put_fields, &put))
        guest_transfer_put(agent, frame->channel, &put);
}

static void on_get(GuestAgent *agent, GuestFrame *frame)
{
    GuestGet get;
    if (READ(agent, frame, guest_get_fields, &get))
        guest_transfer_get(agent, frame->channel, &get);
}

static void on_close(GuestAgent *agent, GuestFrame *frame)
{
    if (guest_channel_is_used(agent, frame->channel))
        guest_agent_fail(agent, frame->channel, ECANCELED, "closed");
}

static void on_stdin(GuestAgent *agent, GuestFrame *frame)
{
    GuestChannel *channel = guest_channel_find(agent, frame->channel, GUEST_SESSION);
    if (channel == NULL)
        return;
    if ((channel->has_eof && !channel->is_pty) || !guest_channel_accept(channel, frame->length))
        guest_agent_fail(agent, frame->channel, EPROTO, "input beyond its credit or end");
    else
        guest_session_input(agent, channel, frame->payload, frame->length);
}

static void on_stdin_eof(GuestAgent *agent, GuestFrame *frame)
{
    GuestChannel *session = guest_channel_find(agent, frame->channel, GUEST_SESSION);
    GuestChannel *file = guest_channel_find(agent, frame->channel, GUEST_PUTTING);
    if (session)
        guest_session_end_input(agent, session);
    else if (file)
        guest_transfer_end(agent, file);
}

static void on_data(GuestAgent *agent, GuestFrame *frame)
{
    GuestChannel *channel = guest_channel_find(agent, frame->channel, GUEST_PUTTING);
    if (channel)
        guest_transfer_data(agent, channel, frame->payload, frame->length);
}

static void on_resize(GuestAgent *agent, GuestFrame *frame)
{
    GuestResize resize;
    GuestChannel *channel = guest_channel_find(agent, frame->channel, GUEST_SESSION);
    if (channel && READ(agent, frame, guest_resize_fields, &resize))
        guest_session_resize(channel, &resize);
}

static void on_signal(GuestAgent *agent, GuestFrame *frame)
{
    GuestSignal number;
    GuestChannel *channel = guest_channel_find(agent, frame->channel, GUEST_SESSION);
    if (channel && READ(agent, frame, guest_signal_fields, &number) && !channel->has_exited)
        agent->ops->signal(channel->pid, (int)number.signal);
}

static GuestChannel *any_stream(GuestAgent *agent, uint16_t number)
{
    GuestChannel *channel = guest_channel_find(agent, number, GUEST_SESSION);
    return channel ? channel : guest_channel_find(agent, number, GUEST_GETTING);
}

static void on_credit(GuestAgent *agent, GuestFrame *frame)
{
    GuestCredit credit;
    GuestChannel *channel = any_stream(agent, frame->channel);
    if (channel == NULL || !READ(agent, frame, guest_credit_fields, &credit))
        return;
    if (credit.bytes > GUEST_WINDOW - channel->credit)
        guest_agent_fail(agent, frame->channel, EPROTO, "more credit than a window");
    else
        channel->credit += credit.bytes;
}

static void (*const handlers[])(GuestAgent *agent, GuestFrame *frame) = {
    [GUEST_HELLO] = on_hello,       [GUEST_PING] = on_ping,
    [GUEST_RENEW] = on_renew,       [GUEST_CLOCK] = on_clock,
    [GUEST_MEMORY] = on_memory,     [GUEST_NETWORK] = on_network,
    [GUEST_SHUTDOWN] = on_shutdown, [GUEST_EXEC] = on_exec,
    [GUEST_STDIN] = on_stdin,       [GUEST_STDIN_EOF] = on_stdin_eof,
    [GUEST_RESIZE] = on_resize,     [GUEST_SIGNAL] = on_signal,
    [GUEST_PUT] = on_put,           [GUEST_GET] = on_get,
    [GUEST_SYNC] = on_sync,         [GUEST_CLOSE] = on_close,
    [GUEST_DATA] = on_data,         [GUEST_CREDIT] = on_credit,
};

void guest_dispatch(GuestAgent *agent, GuestFrame *frame)
{
    if (!agent->is_greeted && frame->type != GUEST_HELLO)
        return;
    if (frame->type >= sizeof handlers / sizeof *handlers || handlers[frame->type] == NULL)
        guest_agent_fail(agent, frame->channel, EPROTONOSUPPORT, "type");
    else
        handlers[frame->type](agent, frame);
}

void guest_dispatch_bad(GuestAgent *agent)
{
    if (agent->is_greeted)
        guest_agent_fail(agent, 0, EBADMSG, "frame");
}
