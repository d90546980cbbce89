/* SPDX-License-Identifier: Apache-2.0 */
/* What the console's tests share: a folder of their own, a log that is written and rotated as
 * virtlogd does it, and waiting on the main loop for a condition. */
#pragma once

#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "base/paths.h"

typedef struct {
    char *dir;
    char *log;
    char *times;
    char *input;
    char *listen;
} Place;

static inline void place_set_up(Place *place, gconstpointer data)
{
    place->dir = g_dir_make_tmp("stead-console-XXXXXX", NULL);
    g_assert_nonnull(place->dir);
    place->log = g_build_filename(place->dir, "console.log", NULL);
    place->times = g_build_filename(place->dir, "console.times", NULL);
    place->input = g_build_filename(place->dir, "console.sock", NULL);
    place->listen = g_build_filename(place->dir, "console", NULL);
}

static inline void place_tear_down(Place *place, gconstpointer data)
{
    g_assert_true(stead_remove_tree(place->dir, NULL));
    g_free(place->dir);
    g_free(place->log);
    g_free(place->times);
    g_free(place->input);
    g_free(place->listen);
}

static inline void append_bytes(const char *path, const void *bytes, gsize n)
{
    FILE *file = g_fopen(path, "ae");
    g_assert_nonnull(file);
    g_assert_cmpuint(fwrite(bytes, 1, n, file), ==, n);
    g_assert_cmpint(fclose(file), ==, 0);
}

static inline void append(const char *path, const char *text)
{
    append_bytes(path, text, strlen(text));
}

/* Renames PATH.1 to PATH.2, PATH.0 to PATH.1, PATH to PATH.0, as virtlogd with 3 backups. */
static inline void rotate(const char *path)
{
    for (int i = 2; i >= 0; i--) {
        g_autofree char *to = g_strdup_printf("%s.%d", path, i);
        g_autofree char *from = i > 0 ? g_strdup_printf("%s.%d", path, i - 1) : g_strdup(path);
        g_rename(from, to);
    }
    append(path, "");
}

static inline gboolean give_up_waiting(gpointer what)
{
    g_error("waited in vain for: %s", (const char *)what);
    return G_SOURCE_REMOVE;
}

static inline gboolean look_again(gpointer data)
{
    return G_SOURCE_CONTINUE;
}

/* Runs the main loop until the condition holds. It is looked at after each event, and now and then,
 * since what a test reads from a bare descriptor is none. */
#define SPIN_UNTIL(condition)                                                                      \
    do {                                                                                           \
        guint watchdog_ = g_timeout_add_seconds(20, give_up_waiting, (gpointer) #condition);       \
        guint ticker_ = g_timeout_add(2, look_again, NULL);                                        \
        while (!(condition))                                                                       \
            g_main_context_iteration(NULL, TRUE);                                                  \
        g_source_remove(ticker_);                                                                  \
        g_source_remove(watchdog_);                                                                \
    } while (0)

/* Lets the main loop do all that it can do at once. */
static inline void drain(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

#define TEST(path, function) g_test_add(path, Place, NULL, place_set_up, function, place_tear_down)
