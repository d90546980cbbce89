/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two passes: cells become clean texts, then widths are taken and lines laid out. Colours are put
 * around a cell after it was measured.
 */
#include "cli/table.h"

#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "cli/json.h"
#include "cli/screen.h"
#include "cli/text.h"

#define GAP 2
#define SHORT_LENGTH 12
#define MAX_COLUMNS 32
/* The last column keeps at least this much. */
#define MIN_LAST 8

static char *text_cell(JsonNode *node)
{
    if (node == NULL || !JSON_NODE_HOLDS_VALUE(node))
        return NULL;
    GType type = json_node_get_value_type(node);
    if (type == G_TYPE_STRING)
        return stead_clean(json_node_get_string(node));
    if (type == G_TYPE_BOOLEAN)
        return g_strdup(json_node_get_boolean(node) ? "yes" : NULL);
    if (type == G_TYPE_DOUBLE)
        return g_strdup_printf("%g", json_node_get_double(node));
    return g_strdup_printf("%" G_GINT64_FORMAT, json_node_get_int(node));
}

static char *list_cell(JsonNode *item, const char *member)
{
    g_autofree char *joined = stead_json_join(item, member);
    return stead_clean(joined);
}

static char *time_cell(gint64 time)
{
    if (time <= 0)
        return NULL;
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_local(time / G_USEC_PER_SEC);
    return date ? g_date_time_format(date, "%Y-%m-%d %H:%M:%S") : NULL;
}

static char *number_cell(SteadCell cell, JsonNode *item, const char *member, gint64 now)
{
    gint64 value = stead_json_integer(item, member, 0);
    double fraction;
    switch (cell) {
    case STEAD_CELL_SIZE:
        return value > 0 ? stead_format_size((guint64)value) : NULL;
    case STEAD_CELL_AGE:
        return stead_text_age(value, now);
    case STEAD_CELL_DURATION:
        return value > 0 ? stead_format_duration((guint64)value) : NULL;
    case STEAD_CELL_TIME:
        return time_cell(value);
    case STEAD_CELL_PERCENT:
        fraction = stead_json_number(item, member, -1);
        return fraction < 0 ? NULL : g_strdup_printf("%.0f%%", CLAMP(fraction, 0, 1) * 100);
    default:
        return NULL;
    }
}

static char *raw_cell(const SteadColumn *column, JsonNode *item, gint64 now)
{
    switch (column->cell) {
    case STEAD_CELL_TEXT:
    case STEAD_CELL_STATE:
        return text_cell(stead_json_member(item, column->member));
    case STEAD_CELL_SHORT: {
        g_autofree char *text = text_cell(stead_json_member(item, column->member));
        return text ? g_utf8_substring(text, 0, MIN(SHORT_LENGTH, g_utf8_strlen(text, -1))) : NULL;
    }
    case STEAD_CELL_LIST:
        return list_cell(item, column->member);
    case STEAD_CELL_FLAG:
        return g_strdup(stead_json_flag(item, column->member) ? "yes" : NULL);
    case STEAD_CELL_FUNCTION: {
        g_autofree char *text = column->function(item);
        return stead_clean(text);
    }
    default:
        return number_cell(column->cell, item, column->member, now);
    }
}

char *stead_table_cell(const SteadColumn *column, JsonNode *item, gint64 now)
{
    g_autofree char *text = raw_cell(column, item, now);
    return text == NULL || *text == '\0' ? g_strdup("-") : g_steal_pointer(&text);
}

/* --- lists --- */

static guint count_columns(const SteadColumn *columns)
{
    guint n = 0;
    while (columns[n].title != NULL)
        n++;
    g_assert(n > 0 && n <= MAX_COLUMNS);
    return n;
}

static void take_widths(guint *widths, guint n, char **cells)
{
    for (guint i = 0; i < n; i++)
        widths[i] = MAX(widths[i], stead_text_width(cells[i]));
}

static GPtrArray *make_rows(const SteadColumn *columns, guint n, JsonNode *items, gint64 now,
                            guint *widths)
{
    GPtrArray *rows = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    for (guint item = 0; item < stead_json_length(items); item++) {
        char **cells = g_new0(char *, n + 1);
        for (guint i = 0; i < n; i++)
            cells[i] = stead_table_cell(&columns[i], stead_json_element(items, item), now);
        take_widths(widths, n, cells);
        g_ptr_array_add(rows, cells);
    }
    return rows;
}

/* What is left for the last column. */
static guint last_width(const guint *widths, guint n, guint total)
{
    guint used = 0;
    for (guint i = 0; i + 1 < n; i++)
        used += widths[i] + GAP;
    return total > used + MIN_LAST ? total - used : MIN_LAST;
}

static void put_row(GString *out, const SteadColumn *columns, const guint *widths, guint n,
                    char **cells, guint width, gboolean colour)
{
    for (guint i = 0; i + 1 < n; i++) {
        SteadColour shade =
            columns[i].cell == STEAD_CELL_STATE ? stead_colour_of(cells[i]) : STEAD_COLOUR_NONE;
        g_string_append(out, stead_colour_on(shade, colour));
        stead_text_pad(out, cells[i], widths[i]);
        g_string_append_printf(out, "%s%*s", stead_colour_off(shade, colour), GAP, "");
    }
    g_autofree char *last = stead_text_fit(cells[n - 1], last_width(widths, n, width));
    g_string_append_printf(out, "%s\n", last);
}

char *stead_table_format(const SteadColumn *columns, JsonNode *items, gint64 now, guint width,
                         gboolean colour)
{
    guint n = count_columns(columns);
    guint widths[MAX_COLUMNS] = {0};
    GString *out = g_string_new(NULL);
    g_auto(GStrv) titles = g_new0(char *, n + 1);
    for (guint i = 0; i < n; i++)
        titles[i] = g_strdup(columns[i].title);
    take_widths(widths, n, titles);
    g_autoptr(GPtrArray) rows = make_rows(columns, n, items, now, widths);
    put_row(out, columns, widths, n, titles, width, colour);
    for (guint row = 0; row < rows->len; row++)
        put_row(out, columns, widths, n, g_ptr_array_index(rows, row), width, colour);
    return g_string_free(out, FALSE);
}

/* --- single objects --- */

char *stead_table_format_fields(const SteadColumn *fields, JsonNode *item, gint64 now,
                                gboolean colour)
{
    GString *out = g_string_new(NULL);
    guint width = 0;
    for (const SteadColumn *field = fields; field->title != NULL; field++)
        width = MAX(width, stead_text_width(field->title) + 1);
    for (const SteadColumn *field = fields; field->title != NULL; field++) {
        g_autofree char *value = stead_table_cell(field, item, now);
        g_autofree char *label = g_strconcat(field->title, ":", NULL);
        if (strcmp(value, "-") == 0)
            continue;
        SteadColour shade =
            field->cell == STEAD_CELL_STATE ? stead_colour_of(value) : STEAD_COLOUR_NONE;
        stead_text_pad(out, label, width + GAP);
        g_string_append_printf(out, "%s%s%s\n", stead_colour_on(shade, colour), value,
                               stead_colour_off(shade, colour));
    }
    return g_string_free(out, FALSE);
}

/* --- whole commands --- */

static void print_members(JsonNode *items, const char *member)
{
    for (guint i = 0; i < stead_json_length(items); i++) {
        g_autofree char *text = stead_clean(stead_json_text(stead_json_element(items, i), member));
        puts(text);
    }
}

int stead_table_list(SteadCall *call, const char *path, const SteadColumn *columns,
                     const char *empty, const char *quiet, GError **error)
{
    g_autoptr(JsonNode) items = stead_call_request(call, "GET", path, NULL, error);
    if (items == NULL)
        return 1;
    if (stead_call_json(call)) {
        stead_json_print(items);
        return 0;
    }
    if (quiet != NULL) {
        print_members(items, quiet);
        return 0;
    }
    guint width = G_MAXUINT, rows;
    if (stead_screen_is_terminal())
        stead_screen_size(&width, &rows);
    g_autofree char *text =
        stead_table_format(columns, items, g_get_real_time(), width, stead_screen_has_colour());
    fputs(text, stdout);
    if (stead_json_length(items) == 0 && empty != NULL)
        stead_screen_remark("%s", empty);
    return 0;
}

JsonNode *stead_table_show(SteadCall *call, const char *path, const SteadColumn *fields,
                           GError **error)
{
    JsonNode *item = stead_call_request(call, "GET", path, NULL, error);
    if (item == NULL)
        return NULL;
    if (stead_call_json(call)) {
        stead_json_print(item);
        return item;
    }
    g_autofree char *text =
        stead_table_format_fields(fields, item, g_get_real_time(), stead_screen_has_colour());
    fputs(text, stdout);
    return item;
}
