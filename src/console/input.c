/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input to the guest.
 *
 * QEMU's socket carries both directions, but output is taken from the log file alone, so whatever
 * arrives here is read and dropped. That it is read at once matters: where QEMU cannot write to the
 * socket it tries again later, and logs the byte each time, so that the log shows it twice (seen
 * with QEMU 7.2). And as QEMU sends single bytes, and the kernel counts each as a whole packet, a
 * socket that nobody reads is full after some 280 of them. Two measures keep that away:
 *
 *   - There is a connection only from the first byte sent until STEAD_INPUT_IDLE_MS after the last.
 *     What a guest writes while nobody types, the bulk, never meets it.
 *   - While there is one, a thread does nothing but read it. It shares nothing with anybody.
 *
 * Closing must wait until QEMU has read everything, since it throws unread input away when its peer
 * hangs up. No event tells when that is, only a counter (SIOCOUTQ); it is looked at while there is
 * a connection, also by an input that was freed, which goes away by itself then.
 *
 * Bytes typed for a guest that then goes away are dropped with it, not kept for the next boot.
 */
#include "console/input.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <linux/sockios.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

#define LOOK_MS 20
#define DRAIN_CHUNK 4096
#define DRAIN_NICE (-10)

struct _SteadInput {
    char *path;
    SteadInputFunc func; /* NULL: freed, and delivering the rest */
    gpointer data;
    int fd; /* -1: not connected */
    guint hung_up;
    guint writable;
    guint look;
    gint64 last; /* when something was sent or taken, monotonic */
    guint left;  /* bytes that QEMU had not read when looked at last */
    GByteArray *pending;
};

/* A thread that waits its turn behind busy virtual CPUs is too late. Where the daemon may not have
 * this it goes on without. */
static void hurry(void)
{
    struct sched_param parameters = {.sched_priority = sched_get_priority_min(SCHED_RR)};
    if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &parameters) != 0)
        setpriority(PRIO_PROCESS, 0, DRAIN_NICE);
}

static gpointer drain_thread(gpointer data)
{
    stead_autofd fd = GPOINTER_TO_INT(data);
    char dropped[DRAIN_CHUNK];
    gssize n;
    hurry();
    do
        n = recv(fd, dropped, sizeof dropped, 0);
    while (n > 0 || (n < 0 && errno == EINTR));
    return NULL;
}

static void disconnect(SteadInput *input)
{
    g_clear_handle_id(&input->hung_up, g_source_remove);
    g_clear_handle_id(&input->writable, g_source_remove);
    g_clear_handle_id(&input->look, g_source_remove);
    if (input->fd >= 0)
        shutdown(input->fd, SHUT_RDWR); /* ends the thread */
    stead_clear_fd(&input->fd);
}

static void destroy(SteadInput *input)
{
    disconnect(input);
    g_byte_array_unref(input->pending);
    g_free(input->path);
    g_free(input);
}

static void lose(SteadInput *input)
{
    gsize dropped = input->pending->len;
    disconnect(input);
    g_byte_array_set_size(input->pending, 0);
    if (input->func == NULL)
        destroy(input);
    else if (dropped > 0)
        input->func(dropped, input->data);
}

static gboolean on_hung_up(int fd, GIOCondition condition, gpointer data)
{
    lose(data);
    return G_SOURCE_CONTINUE; /* removed by disconnect() */
}

/* Sends what the socket takes; the number of bytes, -1 when the connection broke. */
static gssize flush(SteadInput *input)
{
    gsize sent = 0;
    while (sent < input->pending->len) {
        gssize n = send(input->fd, input->pending->data + sent, input->pending->len - sent,
                        MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return -1;
        if (n <= 0)
            break;
        sent += (gsize)n;
    }
    g_byte_array_remove_range(input->pending, 0, (guint)sent);
    if (sent > 0)
        input->last = g_get_monotonic_time();
    return (gssize)sent;
}

static gboolean on_writable(int fd, GIOCondition condition, gpointer data)
{
    SteadInput *input = data;
    gssize sent = flush(input);
    if (sent < 0) {
        lose(input);
        return G_SOURCE_CONTINUE;
    }
    gboolean more = input->pending->len > 0;
    if (!more)
        input->writable = 0;
    if (sent > 0 && input->func)
        input->func((gsize)sent, input->data);
    return more ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static gboolean on_look(gpointer data)
{
    SteadInput *input = data;
    int left = 0;
    gint64 now = g_get_monotonic_time();
    ioctl(input->fd, SIOCOUTQ, &left);
    if ((guint)left != input->left)
        input->last = now;
    input->left = (guint)left;
    gint64 quiet_ms = (now - input->last) / 1000;
    gboolean done = left == 0 && input->pending->len == 0;
    if (input->func == NULL && (done || quiet_ms >= STEAD_INPUT_LAST_MS))
        destroy(input);
    else if (done && quiet_ms >= STEAD_INPUT_IDLE_MS)
        disconnect(input);
    return G_SOURCE_CONTINUE; /* removed by disconnect() */
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    /* Non-blocking only here: somebody else may be connected, and QEMU's queue be full. */
    stead_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        fcntl(fd, F_SETFL, 0) < 0)
        return -1;
    return stead_steal_fd(&fd);
}

static gboolean start_draining(int fd)
{
    stead_autofd copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return FALSE;
    GThread *thread = g_thread_try_new("console-input", drain_thread, GINT_TO_POINTER(copy), NULL);
    if (thread == NULL)
        return FALSE;
    stead_steal_fd(&copy);
    g_thread_unref(thread);
    return TRUE;
}

static gboolean make_connection(SteadInput *input)
{
    stead_autofd fd = connect_to(input->path);
    if (fd < 0 || !start_draining(fd))
        return FALSE;
    input->fd = stead_steal_fd(&fd);
    input->last = g_get_monotonic_time();
    input->hung_up = g_unix_fd_add(input->fd, G_IO_HUP | G_IO_ERR, on_hung_up, input);
    input->look = g_timeout_add(LOOK_MS, on_look, input);
    return TRUE;
}

SteadInput *stead_input_new(const char *path, SteadInputFunc func, gpointer data)
{
    SteadInput *input = g_new0(SteadInput, 1);
    input->path = g_strdup(path);
    input->func = func;
    input->data = data;
    input->fd = -1;
    input->pending = g_byte_array_new();
    return input;
}

void stead_input_free(SteadInput *input)
{
    if (input == NULL)
        return;
    input->func = NULL;
    if (input->fd < 0)
        destroy(input);
}

gssize stead_input_write(SteadInput *input, const void *bytes, gsize n, GError **error)
{
    if (input->fd < 0 && !make_connection(input)) {
        stead_set_error(error, STEAD_ERROR_UNAVAILABLE,
                        "Start the instance; input works while it is running.",
                        "the serial port of the guest cannot be reached");
        return -1;
    }
    gsize room = STEAD_INPUT_MAX - input->pending->len;
    if (room == 0 && n > 0) {
        stead_set_error(error, STEAD_ERROR_EXHAUSTED,
                        "Wait until the guest reads its serial port, or restart it.",
                        "the guest does not read its input; %d bytes are waiting for it",
                        STEAD_INPUT_MAX);
        return -1;
    }
    gsize taken = MIN(room, n);
    g_byte_array_append(input->pending, bytes, (guint)taken);
    if (input->writable == 0 && input->pending->len > 0)
        input->writable = g_unix_fd_add(input->fd, G_IO_OUT, on_writable, input);
    return (gssize)taken;
}

gsize stead_input_pending(const SteadInput *input)
{
    return input->pending->len;
}
