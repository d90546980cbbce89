/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent without a machine: any bytes as a course of frames, stray bytes, readiness and deaths of
 * processes. Whatever comes, what it counts adds up, no file stays open, and what it says is made
 * of frames.
 *
 *     0 TYPE CHANNEL LENGTH(2) PAYLOAD    a frame
 *     1 LENGTH BYTES                      bytes as they are
 *     2 CHANNEL STREAM                    a stream is ready, or has hung up
 *     3 PROCESS STATUS(2)                 one of the last processes ended
 *     4                                   a turn, and the host reads everything
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "fuzz.h"
#include "guest/agent.h"

#define FIRST_PID 1000
#define TURNS_MAX 8
#define OPENED_MAX 200

static GuestAgent agent;
static GuestDecoder host;
static pid_t last_pid;
static int opened;

/* --- a machine that does nothing --- */

static int open_one(const char *path, int flags)
{
    if (opened++ > OPENED_MAX)
        return -EMFILE;
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

static int spawn(const GuestExec *exec, GuestProcess *process, const char **text)
{
    for (guint32 i = 0; i < exec->n_args; i++)
        g_assert_cmpuint(strlen(exec->args[i]), <=, GUEST_STRING_MAX);
    *process = (GuestProcess){.pid = ++last_pid, .fds = {-1, -1, -1}};
    *text = "what";
    if (exec->n_args > 5)
        return -ENOENT;
    process->is_pty = exec->flags & GUEST_EXEC_PTY;
    int out = open_one(process->is_pty ? "/dev/zero" : "/dev/null", O_RDWR);
    if (out < 0)
        return out;
    process->fds[GUEST_OUT] = out;
    if (process->is_pty)
        process->fds[GUEST_IN] = out;
    else if (!(exec->flags & GUEST_EXEC_NO_STDIN))
        process->fds[GUEST_IN] = MAX(open_one("/dev/full", O_WRONLY), -1);
    return 0;
}

static int spawn_sync(void)
{
    return ++last_pid;
}

static void send_signal(pid_t pid, int number)
{
    g_assert_cmpint(pid, >, FIRST_PID);
    g_assert_cmpint(number, >=, 1);
    g_assert_cmpint(number, <=, 64);
}

static int watch(int fd, unsigned channel, GuestStream stream)
{
    g_assert_cmpint(fd, >=, 0);
    return 0;
}

static int upload(const GuestPut *put, GuestUpload *upload)
{
    g_assert_true(put->path[0] == '/');
    upload->fd = open_one("/dev/null", O_WRONLY);
    return MIN(upload->fd, 0);
}

static int upload_end(GuestUpload *upload, bool is_whole)
{
    close(upload->fd);
    return 0;
}

static int download(const char *path, GuestFile *file)
{
    *file = (GuestFile){.size = 1};
    return open_one(strlen(path) % 2 ? "/dev/zero" : "/dev/null", O_RDONLY);
}

static int set_clock(uint64_t realtime)
{
    return -EPERM;
}

static void renew(const GuestRenew *asked, GuestRenewed *done)
{
    for (guint32 i = 0; i < asked->n_files; i++)
        g_assert_true(g_str_has_prefix(asked->files[i].path, "/etc/ssh/") ||
                      g_str_has_prefix(asked->files[i].path, "/etc/stead/") ||
                      g_str_has_prefix(asked->files[i].path, "/run/stead/"));
    g_assert_true(*asked->machine_id == '\0' ||
                  strlen(asked->machine_id) == GUEST_MACHINE_ID_LENGTH);
    done->steps[done->n_steps++] = (GuestStep){.kind = GUEST_STEP_CLOCK};
}

static int memory(GuestMemory *memory)
{
    return 0;
}

static int network(GuestNetwork *network)
{
    network->host_name = "x";
    return 0;
}

static int shut_down(GuestShutdownHow how)
{
    g_assert_cmpint(how, <=, GUEST_HALT);
    return 0;
}

static void settle(void)
{
}

static const GuestOps ops = {
    .spawn = spawn,
    .sync = spawn_sync,
    .settle = settle,
    .signal = send_signal,
    .watch = watch,
    .upload = upload,
    .upload_end = upload_end,
    .download = download,
    .set_clock = set_clock,
    .renew = renew,
    .memory = memory,
    .network = network,
    .shutdown = shut_down,
};

/* --- what holds --- */

static void check_counts(void)
{
    guint busy = 0;
    for (guint i = 0; i < GUEST_CHANNELS; i++) {
        const GuestChannel *channel = &agent.channels[i];
        busy += channel->use != GUEST_FREE;
        if (channel->use == GUEST_FREE)
            continue;
        g_assert_cmpuint(channel->credit, <=, GUEST_WINDOW);
        g_assert_cmpuint((guint64)channel->window + channel->owed + channel->input_length, <=,
                         GUEST_WINDOW);
    }
    g_assert_cmpuint(agent.busy, ==, busy);
    g_assert_cmpuint(agent.outbox.begin, <=, agent.outbox.end);
    g_assert_cmpuint(agent.outbox.end, <=, sizeof agent.outbox.bytes);
}

static void take_frame(const GuestFrame *frame)
{
    gboolean is_stream =
        frame->type == GUEST_STDOUT || frame->type == GUEST_STDERR || frame->type == GUEST_DATA;
    g_assert_cmpstr(guest_type_name(frame->type), !=, "?");
    if (!is_stream)
        return;
    g_assert_cmpuint(frame->channel, <=, GUEST_CHANNELS);
    g_assert_cmpuint(frame->length, <=, GUEST_DATA_MAX);
}

static void read_everything(void)
{
    const guint8 *at = agent.outbox.bytes + agent.outbox.begin;
    gsize left = agent.outbox.end - agent.outbox.begin;
    while (left > 0) {
        gsize used;
        GuestFrame frame;
        GuestFeed fed = guest_decoder_feed(&host, at, left, &used, &frame);
        g_assert_cmpint(fed, !=, GUEST_FEED_BAD);
        if (fed == GUEST_FEED_FRAME)
            take_frame(&frame);
        at += used;
        left -= used;
    }
    agent.outbox.begin = agent.outbox.end = 0;
}

/* --- the course --- */

static void receive(const guint8 *bytes, gsize length)
{
    for (gsize used; length > 0; bytes += used, length -= used) {
        used = guest_agent_receive(&agent, bytes, length);
        check_counts();
        if (used < length)
            read_everything();
    }
}

static void receive_frame(guint type, guint channel, const guint8 *payload, gsize length)
{
    static guint8 frame[GUEST_ENCODED_MAX];
    ssize_t n =
        guest_frame_encode(frame, sizeof frame, (guint16)type, (guint16)channel, payload, length);
    g_assert_cmpint(n, >, 0);
    receive(frame, (gsize)n);
}

static gsize rest(const guint8 *data, gsize size, gsize head, gsize length)
{
    return size < head ? 0 : MIN(length, size - head);
}

/* One step; the bytes that it took. */
static gsize step(const guint8 *data, gsize size)
{
    gsize length;
    guint8 a[5] = {0};
    memcpy(a, data, MIN(size, sizeof a));
    switch (a[0] % 5) {
    case 0:
        length = rest(data, size, 5, MIN(a[3] | (gsize)a[4] << 8, GUEST_PAYLOAD_MAX));
        receive_frame(a[1], a[2], data + MIN(size, 5), length);
        return 5 + length;
    case 1:
        length = rest(data, size, 2, a[1]);
        receive(data + MIN(size, 2), length);
        return 2 + length;
    case 2:
        guest_agent_ready(&agent, a[1], a[2] % GUEST_STREAMS, a[2] & 0x80);
        return 3;
    case 3:
        guest_agent_exited(&agent, FIRST_PID + 1 + a[1], a[2] | a[3] << 8);
        return 4;
    default:
        for (int i = 0; i < TURNS_MAX && guest_agent_turn(&agent); i++)
            check_counts();
        read_everything();
        return 1;
    }
}

static void begin(void)
{
    memset(&agent, 0, offsetof(GuestAgent, outbox));
    memset(&host, 0, offsetof(GuestDecoder, data));
    memset(&agent.decoder, 0, offsetof(GuestDecoder, data));
    agent.outbox.begin = agent.outbox.end = 0;
    last_pid = FIRST_PID;
    opened = 0;
    guest_agent_init(&agent, &ops, 0);
    const guint8 hello[12] = {GUEST_PROTOCOL_VERSION};
    receive_frame(GUEST_HELLO, 0, hello, sizeof hello);
    g_assert_true(agent.is_greeted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(lowest);
    begin();
    while (size > 0) {
        gsize used = step(data, size);
        check_counts();
        data += MIN(used, size);
        size -= MIN(used, size);
    }
    guest_agent_hang_up(&agent);
    g_assert_cmpuint(agent.busy, ==, 0);
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(next, ==, lowest);
    close(next);
    return 0;
}
