/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a console showed, as a stream of text over HTTP.
 *
 * By default the text is made harmless for the terminal it will be read on: valid UTF-8 and no
 * escape sequences but colours (console/clean.h). `raw` gives the guest's bytes as they are.
 */
#pragma once

#include <libsoup/soup.h>

#include "console/console.h"

typedef struct {
    gboolean follow;     /* goes on as more comes, until the client leaves or the console ends */
    gboolean timestamps; /* each line begins with when it was seen, "2026-11-21T02:14:08.123Z ";
                            "...Z~ " where that is a guess, "- " where nothing is known */
    gboolean boot;       /* from where the present boot began */
    gboolean raw;
    gboolean has_tail;
    guint tail; /* the last so many lines; with boot, of the boot */
} SteadConsoleLogsOptions;

/* Reads the parameters follow, timestamps, boot, raw (flags: "1", "true" and "" are true) and tail
 * of a query, which may be NULL. INVALID for a tail that is no number. */
gboolean stead_console_logs_parse(GHashTable *query, SteadConsoleLogsOptions *options,
                                  GError **error);

/* Answers the message with a chunked stream, at the pace at which the client reads. Takes
 * references of both. FALSE, and the message is untouched, when the console has too many readers.
 */
gboolean stead_console_stream_logs(SoupServerMessage *message, SteadConsole *console,
                                   const SteadConsoleLogsOptions *options, GError **error);
