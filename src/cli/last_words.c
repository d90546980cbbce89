/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded: a few instances, a few lines of each, and none of the guest's control characters. */
#include "cli/last_words.h"

#include <stdio.h>

#include "cli/story.h"
#include "cli/text.h"

/* Instances or jobs for which something is said. */
#define MAX_SUBJECTS 3
#define LAST_LINES "5"
#define MAX_LAST_BYTES (8 * 1024)

void stead_last_words_advice(const SteadView *view, const char *const jobs[])
{
    fputs("\nInterrupted. What was begun goes on; to look at it:\n", stderr);
    guint shown = 0;
    for (guint i = 0; i < view->items->len && shown < MAX_SUBJECTS; i++) {
        const SteadViewItem *item = g_ptr_array_index(view->items, i);
        if (item->is_job)
            continue;
        fprintf(stderr, "  stead wait %s --for ready\n  stead logs -f %s\n", item->name,
                item->name);
        shown++;
    }
    for (guint i = 0; jobs[i] != NULL && i < MAX_SUBJECTS; i++)
        fprintf(stderr, "  stead job show %s\n  stead job cancel %s\n", jobs[i], jobs[i]);
}

static void show_console(SteadClient *client, const char *name)
{
    g_autofree char *base = stead_client_path("instances", name, "logs", NULL);
    g_autofree char *path = g_strconcat(base, "?boot=1&tail=" LAST_LINES, NULL);
    g_autoptr(GInputStream) input = stead_client_stream(client, path, NULL);
    char buffer[MAX_LAST_BYTES + 1];
    gsize length = 0;
    if (input == NULL ||
        !g_input_stream_read_all(input, buffer, MAX_LAST_BYTES, &length, NULL, NULL))
        return;
    buffer[length] = '\0';
    g_autofree char *text = g_strstrip(stead_clean_lines(buffer));
    if (*text == '\0')
        return;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    fprintf(stderr, "The last lines of %s's console:\n", name);
    for (char **line = lines; *line != NULL; line++)
        fprintf(stderr, "  | %s\n", *line);
}

void stead_last_words_failures(const SteadView *view, SteadClient *client)
{
    guint shown = 0;
    for (guint i = 0; i < view->items->len && shown < MAX_SUBJECTS; i++) {
        const SteadViewItem *item = g_ptr_array_index(view->items, i);
        if (item->is_job || !stead_story_is(item, STEAD_STATE_FAILED))
            continue;
        show_console(client, item->name);
        shown++;
    }
}
