/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket that becomes readable while an answer is due has either ended or brought the next
 * request. Peeking tells which, and takes nothing away from libsoup, whose socket it is.
 */
#include "api/leaving.h"

#include <errno.h>
#include <sys/socket.h>

typedef struct {
    GDestroyNotify func;
    gpointer data;
} Leaving;

static gboolean on_readable(GSocket *socket, GIOCondition condition, gpointer data)
{
    Leaving leaving = *(Leaving *)data;
    char byte;
    gssize n = recv(g_socket_get_fd(socket), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    if (n <= 0)
        leaving.func(leaving.data);
    return G_SOURCE_REMOVE;
}

GSource *stead_leaving_watch(SoupServerMessage *message, GDestroyNotify func, gpointer data)
{
    GSocket *socket = soup_server_message_get_socket(message);
    if (socket == NULL)
        return NULL;
    Leaving *leaving = g_new0(Leaving, 1);
    *leaving = (Leaving){func, data};
    GSource *source = g_socket_create_source(socket, G_IO_IN | G_IO_HUP, NULL);
    g_source_set_callback(source, G_SOURCE_FUNC(on_readable), leaving, g_free);
    g_source_attach(source, g_main_context_get_thread_default());
    return source;
}

void stead_leaving_clear(GSource **source)
{
    if (*source)
        g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}
