/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead logs: what the console of an instance printed, from the first byte. To a terminal it goes
 * without control characters; elsewhere byte for byte.
 */
#include "cli/commands.h"

#include <stdio.h>

#include "base/error.h"
#include "cli/screen.h"
#include "cli/text.h"

#define READ_SIZE (64 * 1024)

static char *logs_path(SteadCall *call)
{
    g_autofree char *base =
        stead_client_path("instances", stead_call_argument(call, 0), "logs", NULL);
    GString *path = g_string_new(base);
    const char *separator = "?";
    static const struct {
        const char *option, *query;
    } flags[] = {{"follow", "follow=1"}, {"timestamps", "timestamps=1"}, {"boot", "boot=1"}};
    for (gsize i = 0; i < G_N_ELEMENTS(flags); i++)
        if (stead_call_flag(call, flags[i].option)) {
            g_string_append_printf(path, "%s%s", separator, flags[i].query);
            separator = "&";
        }
    if (stead_call_has(call, "tail"))
        g_string_append_printf(path, "%stail=%" G_GUINT64_FORMAT, separator,
                               stead_call_number(call, "tail", 0));
    return g_string_free(path, FALSE);
}

static gboolean write_out(const char *bytes, gsize length, GError **error)
{
    if (fwrite(bytes, 1, length, stdout) == length && fflush(stdout) == 0)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "standard output cannot be written");
    return FALSE;
}

static gboolean copy(GInputStream *input, gboolean clean, GError **error)
{
    SteadCleaner cleaner = {0};
    char buffer[READ_SIZE];
    gssize n;
    while ((n = g_input_stream_read(input, buffer, sizeof buffer, NULL, error)) > 0) {
        g_autoptr(GString) text = g_string_new(NULL);
        if (clean)
            stead_cleaner_feed(&cleaner, buffer, (gsize)n, text);
        if (!write_out(clean ? text->str : buffer, clean ? text->len : (gsize)n, error))
            return FALSE;
    }
    return n == 0;
}

static int run(SteadCall *call, GError **error)
{
    g_autofree char *path = logs_path(call);
    SteadClient *client = stead_call_client(call, error);
    g_autoptr(GInputStream) input = client ? stead_client_stream(client, path, error) : NULL;
    if (input == NULL)
        return 1;
    return copy(input, stead_screen_is_terminal(), error) ? 0 : 1;
}

static const SteadArgument arguments[] = {
    {.name = "NAME",
     .doc = "the instance; a stopped one keeps its log",
     .complete = STEAD_COMPLETE_INSTANCE},
    {NULL},
};

static const SteadOption options[] = {
    {.name = "follow", .letter = 'f', .doc = "go on with what comes, until Ctrl-C"},
    {.name = "tail",
     .letter = 'n',
     .type = STEAD_OPTION_NUMBER,
     .metavar = "LINES",
     .doc = "begin with the last so many lines"},
    {.name = "timestamps", .letter = 't', .doc = "begin each line with its time"},
    {.name = "boot", .letter = 'b', .doc = "begin where the present run began"},
    {NULL},
};

static const SteadExample examples[] = {
    {"stead logs -f web", "Watch a boot from its first line:"},
    {"stead logs --tail 20 -t web", "The last 20 lines, with their times:"},
    {NULL},
};

const SteadCommand stead_cmd_logs = {
    .name = "logs",
    .section = STEAD_SECTION_INSIDE,
    .summary = "Print what the console of an instance printed",
    .arguments = arguments,
    .options = options,
    .examples = examples,
    .run = run,
};
