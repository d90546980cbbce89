/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that the host runs. A session ends when its process has ended and all that the process
 * itself wrote has been read: its pipes are read until they are empty, not until they are closed,
 * as whatever it left in the background may hold them for ever.
 *
 * Input goes to the process at once where that can take it; the rest lies in the channel's buffer,
 * whose size is the host's window. To be told of room for more costs a system call, so that is
 * asked for only when there was none.
 */
#include "guest/channel.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define END_OF_FILE 4 /* as a terminal takes it */

static void say(GuestAgent *agent, const GuestChannel *channel, GuestType type, const void *payload,
                size_t length)
{
    guest_outbox_add(&agent->outbox, type, guest_channel_number(agent, channel), payload, length);
}

static void say_started(GuestAgent *agent, const GuestChannel *channel)
{
    uint32_t pid = (uint32_t)channel->pid;
    GuestStarted started = {.pid = pid};
    uint8_t payload[sizeof started];
    GuestFields fields = guest_fields_writer(payload, sizeof payload);
    guest_started_fields(&fields, &started);
    say(agent, channel, GUEST_STARTED, payload, sizeof payload);
}

void guest_session_start(GuestAgent *agent, uint16_t number, const GuestExec *exec)
{
    GuestChannel *channel;
    GuestProcess process;
    const char *text = "";
    int failed = guest_channel_take(agent, number, GUEST_SESSION, &channel);
    if (failed) {
        guest_agent_fail(agent, number, failed, "channel");
        return;
    }
    failed = agent->ops->spawn(exec, &process, &text);
    if (failed) {
        guest_channel_fail(agent, channel, failed, text);
        return;
    }
    channel->pid = process.pid;
    channel->is_pty = process.is_pty;
    memcpy(channel->fds, process.fds, sizeof channel->fds);
    channel->is_ready[GUEST_IN] = true;
    say_started(agent, channel);
    for (int i = GUEST_OUT; i < GUEST_STREAMS; i++)
        if (channel->fds[i] >= 0 && agent->ops->watch(channel->fds[i], number, (GuestStream)i) < 0)
            guest_channel_close_stream(channel, (GuestStream)i);
}

void guest_session_sync(GuestAgent *agent, uint16_t number)
{
    GuestChannel *channel;
    int result = guest_channel_take(agent, number, GUEST_SYNCING, &channel);
    if (result) {
        guest_agent_fail(agent, number, result, "channel");
        return;
    }
    result = agent->ops->sync();
    if (result < 0)
        guest_channel_fail(agent, channel, result, "fork");
    else
        channel->pid = result;
}

/* --- what goes to the process --- */

static uint8_t *input_of(GuestAgent *agent, const GuestChannel *channel)
{
    return agent->inputs[channel - agent->channels];
}

/* It does not listen any more: what is there is gone, and what comes will be. */
static void stop_input(GuestAgent *agent, GuestChannel *channel)
{
    uint32_t dropped = channel->input_length;
    channel->input_length = 0;
    guest_channel_close_stream(channel, GUEST_IN);
    guest_channel_give_back(agent, channel, dropped);
}

static void wait_for_room(GuestAgent *agent, GuestChannel *channel)
{
    channel->is_ready[GUEST_IN] = false;
    if (channel->is_pty || channel->is_watched[GUEST_IN])
        return;
    channel->is_watched[GUEST_IN] = true;
    if (agent->ops->watch(channel->fds[GUEST_IN], guest_channel_number(agent, channel), GUEST_IN))
        stop_input(agent, channel);
}

/* How many of the bytes it took. */
static size_t write_input(GuestAgent *agent, GuestChannel *channel, const uint8_t *bytes,
                          size_t length)
{
    ssize_t n = write(channel->fds[GUEST_IN], bytes, length);
    if (n >= 0)
        return (size_t)n;
    if (errno == EAGAIN)
        wait_for_room(agent, channel);
    else if (errno != EINTR)
        stop_input(agent, channel);
    return 0;
}

static void write_eof(GuestAgent *agent, GuestChannel *channel)
{
    static const uint8_t end = END_OF_FILE;
    if (!channel->is_pty)
        guest_channel_close_stream(channel, GUEST_IN);
    else if (write_input(agent, channel, &end, 1) == 1)
        channel->has_eof = false;
}

static void flush_input(GuestAgent *agent, GuestChannel *channel)
{
    const uint8_t *input = input_of(agent, channel);
    while (channel->is_ready[GUEST_IN] && channel->fds[GUEST_IN] >= 0 && channel->input_length) {
        uint32_t begin = channel->input_begin, length = channel->input_length;
        uint32_t piece = length < GUEST_WINDOW - begin ? length : GUEST_WINDOW - begin;
        uint32_t n = (uint32_t)write_input(agent, channel, input + begin, piece);
        if (n == 0)
            return;
        channel->input_begin = (begin + n) % GUEST_WINDOW;
        channel->input_length -= n;
        guest_channel_give_back(agent, channel, n);
    }
    if (channel->has_eof && channel->is_ready[GUEST_IN] && channel->fds[GUEST_IN] >= 0)
        write_eof(agent, channel);
}

/* There is room: the window counts these bytes too. */
static void keep_input(GuestAgent *agent, GuestChannel *channel, const uint8_t *bytes,
                       size_t length)
{
    uint8_t *input = input_of(agent, channel);
    size_t at = (channel->input_begin + channel->input_length) % GUEST_WINDOW;
    size_t first = length < GUEST_WINDOW - at ? length : GUEST_WINDOW - at;
    memcpy(input + at, bytes, first);
    memcpy(input, bytes + first, length - first);
    channel->input_length += (uint32_t)length;
}

void guest_session_input(GuestAgent *agent, GuestChannel *channel, const uint8_t *bytes,
                         size_t length)
{
    size_t n = 0;
    if (channel->input_length == 0 && channel->fds[GUEST_IN] >= 0 && channel->is_ready[GUEST_IN])
        n = write_input(agent, channel, bytes, length);
    if (channel->fds[GUEST_IN] < 0)
        n = length;
    if (n < length)
        keep_input(agent, channel, bytes + n, length - n);
    if (n > 0)
        guest_channel_give_back(agent, channel, (uint32_t)n);
}

void guest_session_end_input(GuestAgent *agent, GuestChannel *channel)
{
    channel->has_eof = true;
    flush_input(agent, channel);
}

void guest_session_resize(GuestChannel *channel, const GuestResize *resize)
{
    struct winsize size = {.ws_row = resize->rows, .ws_col = resize->cols};
    if (channel->is_pty && channel->fds[GUEST_OUT] >= 0)
        ioctl(channel->fds[GUEST_OUT], TIOCSWINSZ, &size);
}

/* --- what comes from it --- */

/* A short read has emptied a pipe, and the next write to it will be told; but not its end, if that
 * was told already. A terminal gives less than it has. */
static bool is_emptied(const GuestChannel *channel, GuestStream stream, size_t read, size_t asked)
{
    return read < asked && !channel->is_pty && !channel->is_hung_up[stream] && !channel->has_exited;
}

static void output_ended(GuestChannel *channel, GuestStream stream, int error)
{
    if (error == EINTR)
        return;
    channel->is_ready[stream] = false;
    if (error != EAGAIN || channel->has_exited)
        guest_channel_close_stream(channel, stream);
}

/* One frame. True when there may be more of it. */
static bool move_output(GuestAgent *agent, GuestChannel *channel, GuestStream stream)
{
    if (channel->fds[stream] < 0 || !channel->is_ready[stream])
        return false;
    size_t most = guest_channel_may_send(agent, channel);
    if (most == 0)
        return false;
    ssize_t n = read(channel->fds[stream], guest_scratch, most);
    if (n <= 0) {
        output_ended(channel, stream, n < 0 ? errno : 0);
        return channel->is_ready[stream];
    }
    say(agent, channel, stream == GUEST_OUT ? GUEST_STDOUT : GUEST_STDERR, guest_scratch,
        (size_t)n);
    channel->credit -= (uint32_t)n;
    channel->is_ready[stream] = !is_emptied(channel, stream, (size_t)n, most);
    return channel->is_ready[stream];
}

static void say_exit(GuestAgent *agent, GuestChannel *channel)
{
    int status = channel->status;
    GuestExit end = {0};
    if (WIFEXITED(status))
        end.code = (uint32_t)WEXITSTATUS(status);
    else
        end.signal = (uint32_t)WTERMSIG(status);
    uint8_t payload[sizeof end];
    GuestFields fields = guest_fields_writer(payload, sizeof payload);
    guest_exit_fields(&fields, &end);
    say(agent, channel, GUEST_EXIT, payload, sizeof payload);
    guest_channel_drop(agent, channel);
}

static void end_sync(GuestAgent *agent, GuestChannel *channel)
{
    if (channel->status == 0) {
        agent->ops->settle();
        say(agent, channel, GUEST_DONE, NULL, 0);
        guest_channel_drop(agent, channel);
    } else {
        guest_channel_fail(agent, channel, EIO, "sync");
    }
}

bool guest_session_turn(GuestAgent *agent, GuestChannel *channel)
{
    if (channel->use == GUEST_SYNCING) {
        if (channel->has_exited && guest_outbox_has_room(&agent->outbox, GUEST_DATA_MAX))
            end_sync(agent, channel);
        return false;
    }
    guest_channel_give_back(agent, channel, 0);
    flush_input(agent, channel);
    bool is_more = move_output(agent, channel, GUEST_OUT);
    is_more |= move_output(agent, channel, GUEST_ERR);
    bool is_drained = channel->fds[GUEST_OUT] < 0 && channel->fds[GUEST_ERR] < 0;
    if (channel->has_exited && is_drained && guest_outbox_has_room(&agent->outbox, GUEST_DATA_MAX))
        say_exit(agent, channel);
    return is_more;
}
