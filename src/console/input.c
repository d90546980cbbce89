/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input to the guest.
 *
 * QEMU's socket carries both directions, but output is taken from the log file alone, so whatever
 * arrives here is read and dropped. It must be read: a peer that is connected and does not read
 * stops the guest's serial port. That is also why nothing is connected while nobody writes.
 *
 * Bytes typed for a guest that then goes away are dropped with it, not kept for the next boot.
 */
#include "console/input.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

struct _SteadInput {
    char *path;
    SteadInputFunc func;
    gpointer data;
    int fd; /* -1: not connected */
    guint readable;
    guint writable;
    guint retry;
    GByteArray *pending;
};

static void try_to_connect(SteadInput *input);

static gboolean on_retry(gpointer data)
{
    SteadInput *input = data;
    input->retry = 0;
    try_to_connect(input);
    return G_SOURCE_REMOVE;
}

static void disconnect(SteadInput *input)
{
    gsize dropped = input->pending->len;
    g_clear_handle_id(&input->readable, g_source_remove);
    g_clear_handle_id(&input->writable, g_source_remove);
    stead_clear_fd(&input->fd);
    g_byte_array_set_size(input->pending, 0);
    if (input->retry == 0)
        input->retry = g_timeout_add(STEAD_INPUT_RETRY_MS, on_retry, input);
    if (dropped > 0)
        input->func(dropped, input->data);
}

static gboolean on_readable(int fd, GIOCondition condition, gpointer data)
{
    SteadInput *input = data;
    char dropped[4096];
    gssize n = recv(fd, dropped, sizeof dropped, MSG_DONTWAIT);
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return G_SOURCE_CONTINUE;
    disconnect(input);
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
    return (gssize)sent;
}

static gboolean on_writable(int fd, GIOCondition condition, gpointer data)
{
    SteadInput *input = data;
    gssize sent = flush(input);
    if (sent < 0) {
        disconnect(input);
        return G_SOURCE_CONTINUE;
    }
    gboolean more = input->pending->len > 0;
    if (!more)
        input->writable = 0;
    if (sent > 0)
        input->func((gsize)sent, input->data);
    return more ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    strcpy(address.sun_path, path);
    stead_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return -1;
    return stead_steal_fd(&fd);
}

static void try_to_connect(SteadInput *input)
{
    input->fd = connect_to(input->path);
    if (input->fd >= 0)
        input->readable = g_unix_fd_add(input->fd, G_IO_IN | G_IO_HUP, on_readable, input);
    else if (input->retry == 0)
        input->retry = g_timeout_add(STEAD_INPUT_RETRY_MS, on_retry, input);
}

SteadInput *stead_input_new(const char *path, SteadInputFunc func, gpointer data)
{
    SteadInput *input = g_new0(SteadInput, 1);
    input->path = g_strdup(path);
    input->func = func;
    input->data = data;
    input->fd = -1;
    input->pending = g_byte_array_new();
    try_to_connect(input);
    return input;
}

void stead_input_free(SteadInput *input)
{
    if (input == NULL)
        return;
    if (input->fd >= 0)
        flush(input);
    g_clear_handle_id(&input->readable, g_source_remove);
    g_clear_handle_id(&input->writable, g_source_remove);
    g_clear_handle_id(&input->retry, g_source_remove);
    stead_clear_fd(&input->fd);
    g_byte_array_unref(input->pending);
    g_free(input->path);
    g_free(input);
}

gssize stead_input_write(SteadInput *input, const void *bytes, gsize n, GError **error)
{
    if (input->fd < 0)
        try_to_connect(input);
    if (input->fd < 0) {
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
