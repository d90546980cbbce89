/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To make somebody's terminal or pipe non-blocking would make it so for all who share it. But one
 * that polls as writable takes PIPE_BUF bytes without blocking (pipe(7)); a file takes any number.
 */
#include "cli/outlet.h"

#include <errno.h>
#include <glib-unix.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_PIECE (64 * 1024)

struct SteadOutlet {
    int fd;
    gsize piece;
    SteadOutletFunc func;
    gpointer data;
    GByteArray *kept;
    guint source; /* waits until it takes more; 0: none */
    gboolean failed;
};

SteadOutlet *stead_outlet_new(int fd, SteadOutletFunc func, gpointer data)
{
    struct stat about;
    SteadOutlet *outlet = g_new0(SteadOutlet, 1);
    outlet->fd = fd;
    outlet->piece = fstat(fd, &about) == 0 && S_ISREG(about.st_mode) ? FILE_PIECE : PIPE_BUF;
    outlet->func = func;
    outlet->data = data;
    outlet->kept = g_byte_array_new();
    return outlet;
}

void stead_outlet_free(SteadOutlet *outlet)
{
    if (outlet == NULL)
        return;
    g_clear_handle_id(&outlet->source, g_source_remove);
    g_byte_array_unref(outlet->kept);
    g_free(outlet);
}

gboolean stead_outlet_is_empty(const SteadOutlet *outlet)
{
    return outlet->kept->len == 0;
}

static gboolean is_writable(int fd)
{
    GPollFD poll = {.fd = fd, .events = G_IO_OUT};
    return g_poll(&poll, 1, 0) > 0;
}

/* As much as is taken now; how much that was, or -errno. */
static gssize write_some(const SteadOutlet *outlet)
{
    gsize done = 0;
    while (done < outlet->kept->len && is_writable(outlet->fd)) {
        gssize n = write(outlet->fd, outlet->kept->data + done,
                         MIN(outlet->piece, outlet->kept->len - done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return -errno;
        done += (gsize)n;
    }
    return (gssize)done;
}

static gboolean on_writable(int fd, GIOCondition condition, gpointer data);

static void flush(SteadOutlet *outlet)
{
    gssize written = write_some(outlet);
    outlet->failed = written < 0;
    g_byte_array_remove_range(outlet->kept, 0, written < 0 ? outlet->kept->len : (guint)written);
    if (outlet->kept->len > 0 && outlet->source == 0)
        outlet->source = g_unix_fd_add(outlet->fd, G_IO_OUT | G_IO_ERR, on_writable, outlet);
    if (written != 0)
        outlet->func(written, outlet->data);
}

static gboolean on_writable(int fd, GIOCondition condition, gpointer data)
{
    SteadOutlet *outlet = data;
    outlet->source = 0;
    flush(outlet);
    return G_SOURCE_REMOVE;
}

void stead_outlet_write(SteadOutlet *outlet, const void *bytes, gsize n)
{
    if (outlet->failed)
        return;
    g_byte_array_append(outlet->kept, bytes, (guint)n);
    if (outlet->source == 0)
        flush(outlet);
}
