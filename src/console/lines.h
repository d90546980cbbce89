/* SPDX-License-Identifier: Apache-2.0 */
/* A console's output line by line, cleaned, as the rules look at it. */
#pragma once

#include <glib.h>

#include "console/clean.h"

/* What of a line is looked at, in bytes; the rest of a longer one is dropped. */
#define STEAD_LINE_MAX 4096

/*
 * Called with valid UTF-8 without control characters but tabs. `whole` is FALSE for what stands on
 * the last line so far, which has no line end yet (a prompt); it comes again, longer or whole. The
 * line is valid during the call.
 */
typedef void (*SteadConsoleLineFunc)(const char *line, gboolean whole, gpointer data);

typedef struct {
    SteadClean clean;
    GString *line;
} SteadLines;

/* init before the first use; clear frees what a line under way holds, and may be repeated. */
void stead_lines_init(SteadLines *lines);
void stead_lines_clear(SteadLines *lines);
/* Looks at the next n bytes, which may be cut anywhere, and calls func for each line that ends in
 * them, then for what stands on the last line, if anything does. */
void stead_lines_feed(SteadLines *lines, const void *bytes, gsize n, SteadConsoleLineFunc func,
                      gpointer data);
