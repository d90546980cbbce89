/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead logs: what the console of an instance printed, from the first byte. A guest prints what it
 * likes, so what reaches a terminal is always cleaned here, whatever the daemon sent:
 *
 *               a terminal              a pipe or file
 *     default   text, with colours      text
 *     --raw     text, with colours      the bytes as they were captured
 *
 * --raw differs on a terminal in that NO_COLOR is not heeded. Whoever wants a guest to drive the
 * terminal says so with a pipe: stead logs --raw NAME | cat.
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
    } flags[] = {{"follow", "follow=1"},
                 {"timestamps", "timestamps=1"},
                 {"boot", "boot=1"},
                 {"raw", "raw=1"}};
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

static gboolean write_clean(SteadCleaner *cleaner, const char *bytes, gsize length, GError **error)
{
    g_autoptr(GString) text = g_string_sized_new(length);
    stead_cleaner_feed(cleaner, bytes, length, text);
    return write_out(text->str, text->len, error);
}

/* Copies to the end; `cleaner` NULL: byte for byte. */
static gboolean copy(GInputStream *input, SteadCleaner *cleaner, GError **error)
{
    char buffer[READ_SIZE];
    gssize n;
    while ((n = g_input_stream_read(input, buffer, sizeof buffer, NULL, error)) > 0)
        if (!(cleaner ? write_clean(cleaner, buffer, (gsize)n, error)
                      : write_out(buffer, (gsize)n, error)))
            return FALSE;
    g_autoptr(GString) rest = g_string_new(NULL);
    if (cleaner != NULL)
        stead_cleaner_finish(cleaner, rest);
    return n == 0 && write_out(rest->str, rest->len, error);
}

static int run(SteadCall *call, GError **error)
{
    gboolean raw = stead_call_flag(call, "raw"), terminal = stead_screen_is_terminal();
    SteadCleaner cleaner = {.colours = raw ? terminal : stead_screen_has_colour()};
    g_autofree char *path = logs_path(call);
    SteadClient *client = stead_call_client(call, error);
    g_autoptr(GInputStream) input = client ? stead_client_stream(client, path, error) : NULL;
    if (input == NULL)
        return 1;
    return copy(input, raw && !terminal ? NULL : &cleaner, error) ? 0 : 1;
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
    {.name = "raw", .doc = "the bytes as captured, escape sequences and all, into a pipe or file"},
    {NULL},
};

static const SteadExample examples[] = {
    {"stead logs -f web", "Watch a boot from its first line:"},
    {"stead logs --tail 20 -t web", "The last 20 lines, with their times:"},
    {"stead logs --raw web > web.console", "What the guest sent, byte for byte:"},
    {NULL},
};

const SteadCommand stead_cmd_logs = {
    .name = "logs",
    .section = STEAD_SECTION_INSIDE,
    .summary = "Print what the console of an instance printed",
    .description = "As text: escape sequences and control characters are taken out, since a guest "
                   "could steer the terminal with them. Colours stay on a terminal, unless "
                   "NO_COLOR is set.\n\nA terminal gets no more than text and colours with --raw "
                   "either. To let the guest draw on yours, say 'stead logs --raw NAME | cat'.",
    .arguments = arguments,
    .options = options,
    .examples = examples,
    .run = run,
};
