/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader of server-sent events (the text/event-stream of the HTML standard, section 9.2), fed
 * with the pieces that arrive. Bounded: an event that is too long is an error.
 */
#pragma once

#include <glib.h>

/* The longest event, in bytes of all its lines. */
#define STEAD_SSE_MAX_EVENT (1024 * 1024)

typedef struct _SteadSse SteadSse;

/* Called for each whole event that has data. `id` is the last one seen, 0 before the first. */
typedef void (*SteadSseFunc)(guint64 id, const char *event, const char *data, gpointer user_data);

/* `func` is called from within stead_sse_feed(). Owned by the caller. */
SteadSse *stead_sse_new(SteadSseFunc func, gpointer user_data);
void stead_sse_free(SteadSse *sse);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadSse, stead_sse_free)

/* FALSE (EXHAUSTED) when the event under way is too long; the reader is then of no further use. */
gboolean stead_sse_feed(SteadSse *sse, const char *bytes, gsize length, GError **error);
