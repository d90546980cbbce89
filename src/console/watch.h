/* SPDX-License-Identifier: Apache-2.0 */
/* Being told when a file that is written, rotated and re-created by somebody else has changed. */
#pragma once

#include <glib.h>

/* How often files are looked at for which the host has no inotify watch left. */
#define STEAD_WATCH_POLL_MS 500

typedef struct _SteadWatch SteadWatch;
typedef void (*SteadWatchFunc)(gpointer data);

/*
 * Calls `func` on the main loop after `path` was written, created, renamed or deleted; several
 * changes may become one call, and a call may come without a change. The folder of `path` must
 * exist. Never fails: without inotify it polls.
 */
SteadWatch *stead_watch_new(const char *path, SteadWatchFunc func, gpointer data);

/* No call comes afterwards. May be called from within `func`. */
void stead_watch_free(SteadWatch *watch);

/* Whether it polls. */
gboolean stead_watch_is_polling(const SteadWatch *watch);
