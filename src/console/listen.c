/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket for other tools. Plain descriptors and one GSource each: most of a thousand consoles
 * have a listening socket that nobody ever uses, and it should cost no more than that.
 *
 * A client that does not read holds at most one chunk here; its subscription sleeps meanwhile. A
 * client whose input the guest does not take is not read from, so it is held back as by a real
 * serial port.
 */
#include "console/listen.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

#define BACKLOG 8
#define INPUT_CHUNK 4096
#define PAUSE_MS 1000 /* without accepting, when the process has no descriptor left */

typedef struct {
    SteadListener *listener;
    int fd;
    guint readable; /* 0: not read from */
    guint writable;
    guint reader;
    guint writer; /* 0: none */
    gboolean refused;
    GByteArray *held; /* output that the socket did not take */
} Client;

struct _SteadListener {
    SteadConsole *console;
    char *path;
    int fd;
    guint source;
    GPtrArray *clients;
};

static gboolean on_input(int fd, GIOCondition condition, gpointer data);

static void client_free(gpointer data)
{
    Client *client = data;
    stead_console_unsubscribe(client->listener->console, client->reader);
    stead_console_release_writer(client->listener->console, client->writer);
    g_clear_handle_id(&client->readable, g_source_remove);
    g_clear_handle_id(&client->writable, g_source_remove);
    stead_clear_fd(&client->fd);
    g_byte_array_unref(client->held);
    g_free(client);
}

static void drop(Client *client)
{
    g_ptr_array_remove(client->listener->clients, client);
}

/* Sends what the socket takes; FALSE when the client is gone. */
static gboolean flush(Client *client)
{
    while (client->held->len > 0) {
        gssize n =
            send(client->fd, client->held->data, client->held->len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        g_byte_array_remove_range(client->held, 0, (guint)n);
    }
    return TRUE;
}

static gboolean on_writable(int fd, GIOCondition condition, gpointer data)
{
    Client *client = data;
    if (!flush(client)) {
        drop(client);
        return G_SOURCE_CONTINUE;
    }
    if (client->held->len > 0)
        return G_SOURCE_CONTINUE;
    client->writable = 0;
    stead_console_resume(client->listener->console, client->reader);
    return G_SOURCE_REMOVE;
}

static gboolean send_to(Client *client, const void *bytes, gsize n)
{
    g_byte_array_append(client->held, bytes, (guint)n);
    if (!flush(client)) {
        drop(client);
        return FALSE;
    }
    if (client->held->len == 0)
        return TRUE;
    if (client->writable == 0)
        client->writable = g_unix_fd_add(client->fd, G_IO_OUT, on_writable, client);
    return FALSE;
}

static gboolean on_bytes(const guint8 *bytes, gsize n, guint64 position, gpointer data)
{
    return n == 0 || send_to(data, bytes, n);
}

static const SteadConsoleReader reader = {.bytes = on_bytes};

static void on_lost(gpointer data)
{
    Client *client = data;
    client->writer = 0;
    client->refused = FALSE;
    if (client->readable == 0)
        client->readable = g_unix_fd_add(client->fd, G_IO_IN | G_IO_HUP, on_input, client);
}

static void on_taken(gsize taken, gpointer data)
{
    Client *client = data;
    if (client->readable == 0)
        client->readable = g_unix_fd_add(client->fd, G_IO_IN | G_IO_HUP, on_input, client);
}

static const SteadConsoleWriter writer = {.lost = on_lost, .taken = on_taken};

static void refuse(Client *client, const GError *error)
{
    if (client->refused)
        return;
    client->refused = TRUE;
    g_autofree char *line = g_strdup_printf("\r\n[stead: %s]\r\n", error->message);
    send_to(client, line, strlen(line));
}

static gboolean on_hang_up(int fd, GIOCondition condition, gpointer data)
{
    drop(data);
    return G_SOURCE_CONTINUE;
}

/* The client will send no more; it may still want to see. */
static void end_input(Client *client)
{
    stead_console_release_writer(client->listener->console, client->writer);
    client->writer = 0;
    g_source_remove(client->readable);
    client->readable = g_unix_fd_add(client->fd, G_IO_HUP | G_IO_ERR, on_hang_up, client);
}

static void pass_on(Client *client, const char *bytes, gsize n)
{
    SteadConsole *console = client->listener->console;
    g_autoptr(GError) error = NULL;
    if (client->writer == 0)
        client->writer = stead_console_take_writer(console, FALSE, &writer, client, &error);
    if (client->writer == 0 || stead_console_write(console, client->writer, bytes, n, &error) < 0) {
        refuse(client, error);
    } else if (stead_console_room(console) < INPUT_CHUNK) {
        g_source_remove(client->readable);
        client->readable = 0;
    }
}

static gboolean on_input(int fd, GIOCondition condition, gpointer data)
{
    Client *client = data;
    char bytes[INPUT_CHUNK];
    gssize n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n > 0)
        pass_on(client, bytes, (gsize)n);
    else if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    else if (n == 0 && !(condition & G_IO_HUP))
        end_input(client);
    else
        drop(client);
    return G_SOURCE_CONTINUE;
}

static gboolean on_connection(int fd, GIOCondition condition, gpointer data);

static gboolean on_pause_over(gpointer data)
{
    SteadListener *listener = data;
    listener->source = g_unix_fd_add(listener->fd, G_IO_IN, on_connection, listener);
    return G_SOURCE_REMOVE;
}

static gboolean on_connection(int fd, GIOCondition condition, gpointer data)
{
    SteadListener *listener = data;
    stead_autofd peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (peer < 0 && (errno == EMFILE || errno == ENFILE)) { /* it would be readable for ever */
        listener->source = g_timeout_add(PAUSE_MS, on_pause_over, listener);
        return G_SOURCE_REMOVE;
    }
    if (peer < 0 || listener->clients->len >= STEAD_LISTEN_CLIENTS_MAX)
        return G_SOURCE_CONTINUE;
    Client *client = g_new0(Client, 1);
    client->listener = listener;
    client->held = g_byte_array_new();
    client->fd = stead_steal_fd(&peer);
    client->readable = g_unix_fd_add(client->fd, G_IO_IN | G_IO_HUP, on_input, client);
    SteadConsoleFrom from = {STEAD_CONSOLE_LAST, STEAD_LISTEN_REPLAY};
    client->reader = stead_console_subscribe(listener->console, from, &reader, client, NULL);
    g_ptr_array_add(listener->clients, client);
    if (client->reader == 0)
        drop(client);
    return G_SOURCE_CONTINUE;
}

/* Removes a socket left behind by a daemon that was killed, and nothing else. */
static gboolean make_way(const char *path, GError **error)
{
    struct stat st;
    if (lstat(path, &st) < 0 || (S_ISSOCK(st.st_mode) && g_unlink(path) == 0))
        return TRUE;
    stead_set_error(error, STEAD_ERROR_CONFLICT, "Remove it.",
                    "%s is in the way of the console's socket", path);
    return FALSE;
}

static int listen_on(const char *path, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        stead_set_error(error, STEAD_ERROR_INVALID, "Choose a shorter STEAD_ROOT.",
                        "%s is too long for a socket", path);
        return -1;
    }
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    if (!make_way(path, error))
        return -1;
    stead_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        g_chmod(path, 0660) < 0 || listen(fd, BACKLOG) < 0) {
        stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "making the socket %s: %s", path,
                        g_strerror(errno));
        return -1;
    }
    return stead_steal_fd(&fd);
}

SteadListener *stead_listener_new(const char *path, SteadConsole *console, GError **error)
{
    stead_autofd fd = listen_on(path, error);
    if (fd < 0)
        return NULL;
    SteadListener *listener = g_new0(SteadListener, 1);
    listener->console = console;
    listener->path = g_strdup(path);
    listener->clients = g_ptr_array_new_with_free_func(client_free);
    listener->fd = stead_steal_fd(&fd);
    listener->source = g_unix_fd_add(listener->fd, G_IO_IN, on_connection, listener);
    return listener;
}

void stead_listener_free(SteadListener *listener)
{
    if (listener == NULL)
        return;
    g_clear_handle_id(&listener->source, g_source_remove);
    stead_clear_fd(&listener->fd);
    g_unlink(listener->path);
    g_ptr_array_unref(listener->clients);
    g_free(listener->path);
    g_free(listener);
}
