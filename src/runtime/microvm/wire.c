/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closing is one thing only, shutdown(2): whoever wants it does that, the thread then reads the end
 * of the stream, tells `closed`, and drops its reference. So a descriptor is closed by nobody while
 * somebody else may still use it, and callbacks need no lock against the end of their wire.
 */
#include "runtime/microvm/wire.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

struct _SteadWires {
    GThread *thread;
    GMainContext *context;
    GMainLoop *loop;
    GMutex lock;
    GHashTable *open; /* SteadWire; `lock` */
    gboolean closing; /* `lock` */
};

struct _SteadWire {
    gint refs;
    SteadWires *wires;
    const SteadWireFuncs *funcs;
    gpointer data;
    int fd;
    GMutex lock;         /* of what follows */
    GByteArray *backlog; /* not taken by the peer yet */
    gboolean closed;
    gboolean writing; /* a source waits until the peer takes more */
};

/* ---- the thread ---- */

static gpointer serve(gpointer data)
{
    SteadWires *wires = data;
    g_main_context_push_thread_default(wires->context);
    g_main_loop_run(wires->loop);
    g_main_context_pop_thread_default(wires->context);
    return NULL;
}

SteadWires *stead_wires_new(void)
{
    SteadWires *wires = g_new0(SteadWires, 1);
    wires->context = g_main_context_new();
    wires->loop = g_main_loop_new(wires->context, FALSE);
    wires->open = g_hash_table_new(NULL, NULL);
    g_mutex_init(&wires->lock);
    wires->thread = g_thread_new("engines", serve, wires);
    return wires;
}

static gboolean quit_if_idle(gpointer data)
{
    SteadWires *wires = data;
    g_mutex_lock(&wires->lock);
    gboolean idle = wires->closing && g_hash_table_size(wires->open) == 0;
    g_mutex_unlock(&wires->lock);
    if (idle)
        g_main_loop_quit(wires->loop);
    return G_SOURCE_REMOVE;
}

static void call_soon(SteadWires *wires, GSourceFunc func, gpointer data)
{
    g_autoptr(GSource) source = g_idle_source_new();
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, func, data, NULL);
    g_source_attach(source, wires->context);
}

void stead_wires_close(SteadWires *wires)
{
    GHashTableIter iter;
    gpointer wire;
    g_mutex_lock(&wires->lock);
    wires->closing = TRUE;
    g_hash_table_iter_init(&iter, wires->open);
    while (g_hash_table_iter_next(&iter, &wire, NULL))
        shutdown(((SteadWire *)wire)->fd, SHUT_RDWR);
    g_mutex_unlock(&wires->lock);
}

void stead_wires_free(SteadWires *wires)
{
    if (wires == NULL)
        return;
    stead_wires_close(wires);
    call_soon(wires, quit_if_idle, wires);
    g_thread_join(wires->thread);
    g_hash_table_unref(wires->open);
    g_main_loop_unref(wires->loop);
    g_main_context_unref(wires->context);
    g_mutex_clear(&wires->lock);
    g_free(wires);
}

/* ---- a wire ---- */

static SteadWire *wire_ref(SteadWire *wire)
{
    g_atomic_int_inc(&wire->refs);
    return wire;
}

void stead_wire_unref(SteadWire *wire)
{
    if (wire == NULL || !g_atomic_int_dec_and_test(&wire->refs))
        return;
    stead_clear_fd(&wire->fd);
    g_byte_array_unref(wire->backlog);
    g_mutex_clear(&wire->lock);
    g_free(wire);
}

static void unref(gpointer wire)
{
    stead_wire_unref(wire);
}

void stead_wire_close(SteadWire *wire)
{
    if (wire)
        shutdown(wire->fd, SHUT_RDWR);
}

static void end(SteadWire *wire)
{
    SteadWires *wires = wire->wires;
    g_mutex_lock(&wire->lock);
    wire->closed = TRUE;
    g_mutex_unlock(&wire->lock);
    wire->funcs->closed(wire->data);
    wire->funcs->release(wire->data);
    g_mutex_lock(&wires->lock);
    g_hash_table_remove(wires->open, wire);
    g_mutex_unlock(&wires->lock);
    call_soon(wires, quit_if_idle, wires);
}

static void watch(SteadWire *wire, GIOCondition condition, GUnixFDSourceFunc func)
{
    g_autoptr(GSource) source = g_unix_fd_source_new(wire->fd, condition);
    g_source_set_callback(source, G_SOURCE_FUNC(func), wire_ref(wire), unref);
    g_source_attach(source, wire->wires->context);
}

static gboolean on_readable(int fd, GIOCondition condition, gpointer data);

static void read_on(gpointer wire)
{
    watch(wire, G_IO_IN | G_IO_HUP | G_IO_ERR, on_readable);
}

static gboolean on_readable(int fd, GIOCondition condition, gpointer data)
{
    SteadWire *wire = data;
    guint8 bytes[STEAD_WIRE_CHUNK];
    gsize chunk = wire->funcs->chunk ? wire->funcs->chunk : sizeof bytes;
    ssize_t n = recv(fd, bytes, MIN(chunk, sizeof bytes), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    if (n <= 0) {
        end(wire);
        return G_SOURCE_REMOVE;
    }
    guint rest_ms = wire->funcs->bytes(bytes, (gsize)n, wire->data);
    if (rest_ms == 0)
        return G_SOURCE_CONTINUE;
    stead_wire_later(wire, rest_ms, read_on, wire_ref(wire), unref);
    return G_SOURCE_REMOVE;
}

typedef struct {
    void (*func)(gpointer data);
    gpointer data;
    GDestroyNotify release;
} Later;

static gboolean on_later(gpointer data)
{
    const Later *later = data;
    later->func(later->data);
    return G_SOURCE_REMOVE;
}

static void later_free(gpointer data)
{
    Later *later = data;
    if (later->release)
        later->release(later->data);
    g_free(later);
}

void stead_wire_later(SteadWire *wire, guint ms, void (*func)(gpointer data), gpointer data,
                      GDestroyNotify release)
{
    g_autoptr(GSource) source = g_timeout_source_new(ms);
    Later *later = g_new0(Later, 1);
    *later = (Later){func, data, release};
    g_source_set_callback(source, on_later, later, later_free);
    g_source_attach(source, wire->wires->context);
}

static int connect_to(const char *path, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    stead_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (strlen(path) >= sizeof address.sun_path) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "the path %s is too long", path);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return stead_steal_fd(&fd);
    if (fd >= 0 && errno == EAGAIN)
        stead_set_error(error, STEAD_ERROR_TIMEOUT, NULL, "its engine does not answer");
    else
        stead_set_error(error, STEAD_ERROR_UNAVAILABLE, NULL, "connecting to %s: %s", path,
                        g_strerror(errno));
    return -1;
}

/* FALSE when they are being closed. */
static gboolean add(SteadWires *wires, SteadWire *wire)
{
    g_mutex_lock(&wires->lock);
    gboolean open = !wires->closing;
    if (open)
        g_hash_table_add(wires->open, wire);
    g_mutex_unlock(&wires->lock);
    return open;
}

SteadWire *stead_wire_open(SteadWires *wires, const char *path, const SteadWireFuncs *funcs,
                           gpointer data, GError **error)
{
    int fd = connect_to(path, error);
    if (fd < 0)
        return NULL;
    SteadWire *wire = g_new0(SteadWire, 1);
    wire->refs = 1;
    wire->wires = wires;
    wire->funcs = funcs;
    wire->data = data;
    wire->fd = fd;
    wire->backlog = g_byte_array_new();
    g_mutex_init(&wire->lock);
    if (add(wires, wire)) {
        read_on(wire);
        return wire;
    }
    stead_wire_unref(wire);
    stead_set_error(error, STEAD_ERROR_UNAVAILABLE, NULL, "the daemon ends");
    return NULL;
}

/* ---- sending ---- */

/* What the peer takes now; 0 when it takes nothing, -1 when it is gone. */
static gssize send_some(const SteadWire *wire, const guint8 *bytes, gsize n, int fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {(void *)(gsize)bytes, n};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control.space;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    }
    gssize sent = sendmsg(wire->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : sent;
}

static gboolean on_writable(int fd, GIOCondition condition, gpointer data)
{
    SteadWire *wire = data;
    g_mutex_lock(&wire->lock);
    gssize sent = wire->closed ? -1 : send_some(wire, wire->backlog->data, wire->backlog->len, -1);
    if (sent > 0)
        g_byte_array_remove_range(wire->backlog, 0, (guint)sent);
    wire->writing = sent >= 0 && wire->backlog->len > 0;
    gboolean more = wire->writing;
    g_mutex_unlock(&wire->lock);
    return more ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

/* (lock held) */
static gboolean send_or_keep(SteadWire *wire, const guint8 *bytes, gsize n, int fd, GError **error)
{
    gssize sent = 0;
    if (wire->backlog->len == 0)
        sent = wire->closed ? -1 : send_some(wire, bytes, n, fd);
    if (sent < 0 || wire->closed) {
        stead_set_error(error, STEAD_ERROR_UNAVAILABLE, NULL, "the connection is closed");
        return FALSE;
    }
    gsize left = n - (gsize)sent;
    if (left > 0 &&
        (wire->backlog->len + left > STEAD_WIRE_BACKLOG_MAX || (fd >= 0 && sent == 0))) {
        stead_set_error(error, STEAD_ERROR_EXHAUSTED, NULL, "the peer does not read");
        return FALSE;
    }
    g_byte_array_append(wire->backlog, bytes + sent, (guint)left);
    if (left > 0 && !wire->writing) {
        wire->writing = TRUE;
        watch(wire, G_IO_OUT | G_IO_ERR, on_writable);
    }
    return TRUE;
}

gboolean stead_wire_send(SteadWire *wire, const void *bytes, gsize n, int fd, GError **error)
{
    g_mutex_lock(&wire->lock);
    gboolean sent = send_or_keep(wire, bytes, n, fd, error);
    g_mutex_unlock(&wire->lock);
    return sent;
}
