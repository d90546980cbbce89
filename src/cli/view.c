/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line is: name, word, elapsed, then what it does: stage, bar, addresses, console line or error.
 * Columns before that are aligned over all items that are shown.
 */
#include "cli/view.h"

#include <string.h>

#include "base/units.h"
#include "cli/screen.h"
#include "cli/text.h"

#define BAR_WIDTH 20
#define WORD_WIDTH 9 /* of "creating", "cancelled" */
#define TIME_WIDTH 6
#define NAME_MAX_WIDTH 40
/* Below this terminal width there is no bar. */
#define MIN_COLUMNS_FOR_BAR 60

SteadView *stead_view_new(gint64 now)
{
    SteadView *view = g_new0(SteadView, 1);
    view->begun = now;
    view->items = g_ptr_array_new();
    return view;
}

static void item_free(gpointer data)
{
    SteadViewItem *item = data;
    g_free(item->name);
    g_free(item->state);
    g_free(item->stage);
    g_free(item->line);
    g_free(item->addresses);
    g_free(item->error);
    g_free(item->printed);
    g_free(item);
}

void stead_view_free(SteadView *view)
{
    if (view == NULL)
        return;
    g_ptr_array_set_free_func(view->items, item_free);
    g_ptr_array_unref(view->items);
    g_free(view);
}

SteadViewItem *stead_view_find(SteadView *view, const char *name)
{
    for (guint i = 0; i < view->items->len; i++) {
        SteadViewItem *item = g_ptr_array_index(view->items, i);
        if (g_strcmp0(item->name, name) == 0)
            return item;
    }
    return NULL;
}

SteadViewItem *stead_view_item(SteadView *view, const char *name)
{
    SteadViewItem *item = stead_view_find(view, name);
    if (item != NULL)
        return item;
    item = g_new0(SteadViewItem, 1);
    item->name = g_strdup(name);
    item->progress = -1;
    g_ptr_array_add(view->items, item);
    return item;
}

void stead_view_set(char **slot, const char *text)
{
    char *clean = text ? g_strstrip(stead_clean(text)) : NULL;
    g_free(*slot);
    *slot = clean;
}

const char *stead_view_word(const SteadViewItem *item)
{
    if (item->ready && g_strcmp0(item->state, "running") == 0)
        return "ready";
    return item->state ? item->state : "waiting";
}

/* --- what an item does at the moment --- */

static void put_bar(GString *out, double progress)
{
    int full = (int)(progress * BAR_WIDTH);
    g_string_append(out, " [");
    for (int i = 0; i < BAR_WIDTH; i++)
        g_string_append_c(out, i < full ? '#' : '.');
    g_string_append_c(out, ']');
}

static void put_activity(GString *out, const SteadViewItem *item, gboolean bar)
{
    if (item->error != NULL) {
        g_string_append(out, item->error);
        return;
    }
    if (item->stage != NULL && !item->ready)
        g_string_append(out, item->stage);
    if (item->progress >= 0 && item->ended == 0) {
        double progress = MIN(item->progress, 1);
        if (bar)
            put_bar(out, progress);
        g_string_append_printf(out, " %.0f%%", progress * 100);
    }
    if (item->addresses != NULL)
        g_string_append_printf(out, "%s%s", out->len > 0 ? "  " : "", item->addresses);
    if (item->line != NULL && item->ended == 0)
        g_string_append_printf(out, "%s| %s", out->len > 0 ? "  " : "", item->line);
}

static char *elapsed(const SteadView *view, const SteadViewItem *item, gint64 now)
{
    gint64 until = item->ended != 0 ? item->ended : now;
    gint64 seconds = MAX(until - view->begun, 0) / G_USEC_PER_SEC;
    return seconds == 0 ? g_strdup("0s") : stead_format_duration((guint64)seconds * 1000);
}

/* --- lines --- */

static void put_line(GString *out, const SteadView *view, const SteadViewItem *item, gint64 now,
                     guint name_width, guint columns, gboolean colour)
{
    g_autoptr(GString) activity = g_string_new(NULL);
    g_autofree char *name = stead_text_fit(item->name, name_width);
    g_autofree char *time = elapsed(view, item, now);
    const char *word = stead_view_word(item);
    SteadColour shade = stead_colour_of(word);
    guint used = name_width + WORD_WIDTH + TIME_WIDTH + 6;
    put_activity(activity, item, columns >= MIN_COLUMNS_FOR_BAR);
    stead_text_pad(out, name, name_width);
    g_string_append_printf(out, "  %s", stead_colour_on(shade, colour));
    stead_text_pad(out, word, WORD_WIDTH);
    g_string_append_printf(out, "%s  %*s", stead_colour_off(shade, colour), TIME_WIDTH, time);
    if (columns > used + 1 && activity->len > 0) {
        g_autofree char *rest = stead_text_fit(activity->str, columns - used - 1);
        g_string_append_printf(out, "  %s", rest);
    }
    g_string_append_c(out, '\n');
}

static guint width_of_names(const SteadView *view, guint columns)
{
    guint width = 4;
    for (guint i = 0; i < view->items->len; i++) {
        const SteadViewItem *item = g_ptr_array_index(view->items, i);
        width = MAX(width, stead_text_width(item->name));
    }
    guint left = columns > WORD_WIDTH + TIME_WIDTH + 6 ? columns - WORD_WIDTH - TIME_WIDTH - 6 : 4;
    return MIN(MIN(width, NAME_MAX_WIDTH), left);
}

/* The items in the order in which they deserve a line: failed, under way, waiting, done. */
static int importance(const SteadViewItem *item)
{
    if (item->error != NULL || g_strcmp0(item->state, "failed") == 0)
        return 0;
    if (item->ended != 0 || item->ready)
        return 3;
    return item->state != NULL ? 1 : 2;
}

static GPtrArray *choose(const SteadView *view, guint room)
{
    GPtrArray *chosen = g_ptr_array_new();
    if (view->items->len <= room) {
        for (guint i = 0; i < view->items->len; i++)
            g_ptr_array_add(chosen, g_ptr_array_index(view->items, i));
        return chosen;
    }
    for (int rank = 0; rank <= 3; rank++)
        for (guint i = 0; i < view->items->len && chosen->len + 1 < room; i++)
            if (importance(g_ptr_array_index(view->items, i)) == rank)
                g_ptr_array_add(chosen, g_ptr_array_index(view->items, i));
    return chosen;
}

/* "… and 17 more: 12 ready, 5 starting" */
static void put_summary(GString *out, const SteadView *view, const GPtrArray *shown, guint columns)
{
    g_autoptr(GHashTable) counts = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    for (guint i = 0; i < view->items->len; i++) {
        gpointer item = g_ptr_array_index(view->items, i);
        const char *word = stead_view_word(item);
        if (g_ptr_array_find((GPtrArray *)shown, item, NULL))
            continue;
        if (!g_hash_table_contains(counts, word))
            g_ptr_array_add(words, (gpointer)word);
        guint n = GPOINTER_TO_UINT(g_hash_table_lookup(counts, word));
        g_hash_table_insert(counts, (gpointer)word, GUINT_TO_POINTER(n + 1));
    }
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_printf(text, "… and %u more:", view->items->len - shown->len);
    for (guint i = 0; i < words->len; i++) {
        const char *word = g_ptr_array_index(words, i);
        g_string_append_printf(text, "%s %u %s", i > 0 ? "," : "",
                               GPOINTER_TO_UINT(g_hash_table_lookup(counts, word)), word);
    }
    g_autofree char *fit = stead_text_fit(text->str, columns - 1);
    g_string_append_printf(out, "%s\n", fit);
}

char *stead_view_render(const SteadView *view, gint64 now, guint columns, guint rows,
                        gboolean colour, guint *n_lines)
{
    GString *out = g_string_new(NULL);
    g_autoptr(GPtrArray) shown = choose(view, MAX(rows, 3) - 1);
    guint name_width = width_of_names(view, columns);
    for (guint i = 0; i < shown->len; i++)
        put_line(out, view, g_ptr_array_index(shown, i), now, name_width, columns, colour);
    gboolean more = shown->len < view->items->len;
    if (more)
        put_summary(out, view, shown, columns);
    if (n_lines != NULL)
        *n_lines = shown->len + (more ? 1 : 0);
    return g_string_free(out, FALSE);
}

char *stead_view_plain(const SteadView *view, SteadViewItem *item, gint64 now)
{
    g_autoptr(GString) says = g_string_new(NULL);
    const char *what = item->error ? item->error : item->ready ? item->addresses : item->stage;
    g_string_append_printf(says, "%s: %s", item->name, stead_view_word(item));
    if (what != NULL)
        g_string_append_printf(says, ": %s", what);
    if (g_strcmp0(item->printed, says->str) == 0)
        return NULL;
    g_free(item->printed);
    item->printed = g_strdup(says->str);
    g_autofree char *time = elapsed(view, item, now);
    return g_strdup_printf("%*s  %s", TIME_WIDTH, time, says->str);
}
