/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Noticing that a client has left. libsoup does so only when it writes, which an answer that waits
 * for something, or a stream in which nothing happens, never makes it do.
 */
#pragma once

#include <libsoup/soup.h>

/* Calls func(data) once, from the main loop, when the client has closed its side. Ends by itself
 * when the client sends its next request instead, which is left to libsoup. The source is owned by
 * the caller, who ends the watch with stead_leaving_clear(); NULL when there is no socket. */
GSource *stead_leaving_watch(SoupServerMessage *message, GDestroyNotify func, gpointer data);
/* Ends a watch, also from within func. *source may be NULL, and is NULL afterwards. */
void stead_leaving_clear(GSource **source);
