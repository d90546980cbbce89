/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of API objects as aligned columns, and single objects as lines of "label: value". How a
 * member is shown is a column's format; commands give tables of columns.
 */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>

#include "cli/command.h"

typedef enum {
    STEAD_CELL_TEXT,     /* a text or a number, as it is */
    STEAD_CELL_LIST,     /* texts, joined by ", " */
    STEAD_CELL_SIZE,     /* bytes */
    STEAD_CELL_AGE,      /* microseconds since the epoch → how long ago */
    STEAD_CELL_DURATION, /* milliseconds */
    STEAD_CELL_FLAG,     /* "yes" or "-" */
    STEAD_CELL_PERCENT,  /* 0..1; "-" below 0 */
    STEAD_CELL_STATE,    /* coloured by what it says */
    STEAD_CELL_SHORT,    /* the first 12 characters of an id or digest */
    STEAD_CELL_TIME,     /* microseconds since the epoch → local date and time */
    STEAD_CELL_FUNCTION  /* as `function` says */
} SteadCell;

typedef struct {
    const char *title;  /* "NAME"; NULL ends a table */
    const char *member; /* path within the object; not for FUNCTION */
    SteadCell cell;
    char *(*function)(JsonNode *item); /* result owned by the caller */
} SteadColumn;

/* What a cell shows: clean, in one line, "-" for nothing. `now` in microseconds. Owned by the
 * caller. */
char *stead_table_cell(const SteadColumn *column, JsonNode *item, gint64 now);

/* The whole table. `columns` of the terminal; G_MAXUINT: as wide as it gets. Only the last column
 * is shortened to fit. Owned by the caller. */
char *stead_table_format(const SteadColumn *columns, JsonNode *items, gint64 now, guint width,
                         gboolean colour);

/* Lines of "label:  value"; lines with nothing to say are left out. Owned by the caller. */
char *stead_table_format_fields(const SteadColumn *fields, JsonNode *item, gint64 now,
                                gboolean colour);

/* A list command: GET `path`, then as --format says. `empty` is what a person with an empty list
 * does next. With `quiet` only the members of that name, one a line. */
int stead_table_list(SteadCall *call, const char *path, const SteadColumn *columns,
                     const char *empty, const char *quiet, GError **error);

/* A show command: GET `path`, then as --format says. What was shown; owned by the caller. */
JsonNode *stead_table_show(SteadCall *call, const char *path, const SteadColumn *fields,
                           GError **error);
