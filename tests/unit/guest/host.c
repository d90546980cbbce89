/* SPDX-License-Identifier: Apache-2.0 */
/* See host.h. */
#include "host.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib/gstdio.h>

#define READ_SIZE 65536

void host_frame_free(HostFrame *frame)
{
    g_free(frame->payload);
    g_free(frame);
}

static struct sockaddr_un address_of(const Host *host)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_autofree char *path = g_build_filename(host->folder, "agent", NULL);
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    return address;
}

void host_connect(Host *host)
{
    struct sockaddr_un address = address_of(host);
    host->connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(host->connection, (struct sockaddr *)&address, sizeof address), ==, 0);
    memset(&host->decoder, 0, offsetof(GuestDecoder, data));
    host->begin = host->end = 0;
}

void host_disconnect(Host *host)
{
    close(host->connection);
    host->connection = -1;
}

typedef struct {
    GSpawnChildSetupFunc setup;
    gpointer data;
} Setup;

/* In the child. The agent does not outlive a test that fails. */
static void prepare(gpointer data)
{
    const Setup *setup = data;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (setup->setup)
        setup->setup(setup->data);
}

static void start_agent(Host *host, GSpawnChildSetupFunc setup, gpointer data)
{
    Setup both = {setup, data};
    g_autoptr(GError) error = NULL;
    g_autofree char *fd = g_strdup_printf("%d", host->listener);
    char *argv[] = {(char *)AGENT, (char *)"--fd", fd, NULL};
    g_spawn_async(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_LEAVE_DESCRIPTORS_OPEN,
                  prepare, &both, &host->agent, &error);
    g_assert_no_error(error);
}

Host *host_start_in(GSpawnChildSetupFunc setup, gpointer data)
{
    g_autoptr(GError) error = NULL;
    Host *host = g_new0(Host, 1);
    host->bytes = g_malloc(READ_SIZE);
    host->folder = g_dir_make_tmp("stead-guest-XXXXXX", &error);
    g_assert_no_error(error);
    struct sockaddr_un address = address_of(host);
    host->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    g_assert_cmpint(bind(host->listener, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(host->listener, 4), ==, 0);
    start_agent(host, setup, data);
    host_connect(host);
    host_greet(host);
    return host;
}

Host *host_start(void)
{
    return host_start_in(NULL, NULL);
}

static void remove_folder(const char *folder)
{
    g_autoptr(GDir) entries = g_dir_open(folder, 0, NULL);
    for (const char *name; (name = g_dir_read_name(entries));) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_DIR) && !g_file_test(path, G_FILE_TEST_IS_SYMLINK))
            remove_folder(path);
        else
            g_unlink(path);
    }
    g_rmdir(folder);
}

void host_stop(Host *host)
{
    int status;
    kill(host->agent, SIGTERM);
    g_assert_cmpint(waitpid(host->agent, &status, 0), ==, host->agent);
    g_assert_cmpint(status, ==, 0);
    if (host->connection >= 0)
        close(host->connection);
    close(host->listener);
    remove_folder(host->folder);
    g_free(host->folder);
    g_free(host->bytes);
    g_free(host);
}

static void wait_for(const Host *host, short events)
{
    struct pollfd poll_for = {.fd = host->connection, .events = events};
    if (poll(&poll_for, 1, HOST_PATIENCE_MS) != 1)
        g_error("the agent did not answer");
}

void host_send_bytes(Host *host, const void *bytes, gsize length)
{
    while (length > 0) {
        wait_for(host, POLLOUT);
        ssize_t n = send(host->connection, bytes, length, MSG_NOSIGNAL);
        g_assert_cmpint(n, >, 0);
        bytes = (const guint8 *)bytes + n;
        length -= (gsize)n;
    }
}

void host_send(Host *host, GuestType type, guint channel, const void *payload, gsize length)
{
    static guint8 frame[GUEST_ENCODED_MAX];
    ssize_t n =
        guest_frame_encode(frame, sizeof frame, (guint16)type, (guint16)channel, payload, length);
    g_assert_cmpint(n, >, 0);
    host_send_bytes(host, frame, (gsize)n);
}

void host_send_text(Host *host, GuestType type, guint channel, const char *text)
{
    host_send(host, type, channel, text, strlen(text));
}

void host_send_credit(Host *host, guint channel, guint bytes)
{
    GuestCredit credit = {.bytes = bytes};
    HOST_SEND(host, GUEST_CREDIT, channel, guest_credit_fields, &credit);
}

static HostFrame *copy_frame(const GuestFrame *frame)
{
    HostFrame *copy = g_new0(HostFrame, 1);
    copy->type = frame->type;
    copy->channel = frame->channel;
    copy->length = frame->length;
    copy->payload = g_malloc(frame->length + 1);
    memcpy(copy->payload, frame->payload, frame->length);
    return copy;
}

/* NULL for what is no frame. */
static HostFrame *next_or_bad(Host *host)
{
    for (;;) {
        GuestFrame frame;
        gsize used;
        GuestFeed fed = guest_decoder_feed(&host->decoder, host->bytes + host->begin,
                                           host->end - host->begin, &used, &frame);
        host->begin += used;
        if (fed == GUEST_FEED_BAD)
            return NULL;
        if (fed == GUEST_FEED_FRAME)
            return copy_frame(&frame);
        wait_for(host, POLLIN);
        ssize_t n = read(host->connection, host->bytes, READ_SIZE);
        if (n <= 0)
            g_error("the agent hung up");
        host->begin = 0;
        host->end = (gsize)n;
    }
}

HostFrame *host_next(Host *host)
{
    HostFrame *frame = next_or_bad(host);
    g_assert_nonnull(frame);
    return frame;
}

HostFrame *host_expect(Host *host, GuestType type, guint channel)
{
    HostFrame *frame = host_next(host);
    g_assert_cmpstr(guest_type_name(frame->type), ==, guest_type_name(type));
    g_assert_cmpuint(frame->channel, ==, channel);
    return frame;
}

void host_pass(Host *host, GuestType type, guint channel)
{
    host_frame_free(host_expect(host, type, channel));
}

int host_expect_failure(Host *host, guint channel)
{
    GuestFailed failed;
    g_autoptr(HostFrame) frame = host_expect(host, GUEST_FAILED, channel);
    HOST_READ(frame, guest_failed_fields, &failed);
    return failed.error;
}

void host_greet(Host *host)
{
    static guint64 nonce = 0x1122334455667788;
    GuestHello hello = {.version = GUEST_PROTOCOL_VERSION, .nonce = ++nonce};
    host_send_bytes(host, "", 1);
    HOST_SEND(host, GUEST_HELLO, 0, guest_hello_fields, &hello);
    for (;;) {
        g_autoptr(HostFrame) frame = next_or_bad(host);
        if (frame == NULL || frame->type != GUEST_HELLO_REPLY)
            continue;
        GuestHelloReply reply;
        HOST_READ(frame, guest_hello_reply_fields, &reply);
        g_assert_cmpuint(reply.version, ==, GUEST_PROTOCOL_VERSION);
        if (reply.nonce == nonce)
            return;
    }
}

void host_exec(Host *host, guint channel, guint flags, ...)
{
    GuestExec exec = {.flags = flags, .user = "", .cwd = "/"};
    va_list words;
    va_start(words, flags);
    for (const char *word; (word = va_arg(words, const char *));)
        exec.args[exec.n_args++] = word;
    va_end(words);
    HOST_SEND(host, GUEST_EXEC, channel, guest_exec_fields, &exec);
}

void host_end_free(HostEnd *end)
{
    g_string_free(end->out, TRUE);
    g_string_free(end->err, TRUE);
    g_free(end);
}

/* True when that was the channel's last word. */
static gboolean take_frame(HostFrame *frame, HostEnd *end)
{
    GuestExit exit;
    GuestFailed failed;
    GuestFile file;
    switch (frame->type) {
    case GUEST_STDOUT:
    case GUEST_DATA:
        g_string_append_len(end->out, (const char *)frame->payload, (gssize)frame->length);
        return FALSE;
    case GUEST_STDERR:
        g_string_append_len(end->err, (const char *)frame->payload, (gssize)frame->length);
        return FALSE;
    case GUEST_FILE:
        HOST_READ(frame, guest_file_fields, &file);
        end->size = file.size;
        end->mode = file.mode;
        return FALSE;
    case GUEST_EXIT:
        HOST_READ(frame, guest_exit_fields, &exit);
        end->code = (int)exit.code;
        end->signal = (int)exit.signal;
        return TRUE;
    case GUEST_FAILED:
        HOST_READ(frame, guest_failed_fields, &failed);
        end->error = failed.error;
        return TRUE;
    case GUEST_DONE:
        end->is_done = TRUE;
        return TRUE;
    default:
        return FALSE;
    }
}

HostEnd *host_finish(Host *host, guint channel)
{
    HostEnd *end = g_new0(HostEnd, 1);
    end->out = g_string_new(NULL);
    end->err = g_string_new(NULL);
    for (;;) {
        g_autoptr(HostFrame) frame = host_next(host);
        g_assert_cmpuint(frame->channel, ==, channel);
        if (take_frame(frame, end))
            return end;
        gboolean is_counted =
            frame->type == GUEST_STDOUT || frame->type == GUEST_STDERR || frame->type == GUEST_DATA;
        if (is_counted)
            host_send_credit(host, channel, (guint)frame->length);
    }
}

static gsize take_while_streaming(Host *host, guint channel, GString *echo)
{
    GuestCredit credit;
    g_autoptr(HostFrame) frame = host_next(host);
    g_assert_cmpuint(frame->channel, ==, channel);
    if (frame->type == GUEST_STARTED)
        return 0;
    if (frame->type == GUEST_CREDIT) {
        HOST_READ(frame, guest_credit_fields, &credit);
        return credit.bytes;
    }
    g_assert_nonnull(echo);
    g_assert_cmpint(frame->type, ==, GUEST_STDOUT);
    g_string_append_len(echo, (const char *)frame->payload, (gssize)frame->length);
    host_send_credit(host, channel, (guint)frame->length);
    return 0;
}

void host_stream(Host *host, GuestType type, guint channel, const void *bytes, gsize length,
                 GString *echo)
{
    const guint8 *at = bytes;
    gsize credit = GUEST_WINDOW;
    while (length > 0) {
        gsize n = MIN(MIN(length, credit), GUEST_DATA_MAX);
        if (n == 0) {
            credit += take_while_streaming(host, channel, echo);
            continue;
        }
        host_send(host, type, channel, at, n);
        at += n;
        length -= n;
        credit -= n;
    }
}
