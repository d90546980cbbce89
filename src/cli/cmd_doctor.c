/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead doctor: what the host needs. The daemon answers; where none runs, its program makes the
 * checks itself, since that is when a doctor is needed most.
 */
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/daemon_program.h"
#include "cli/json.h"
#include "cli/screen.h"
#include "cli/text.h"

static void print_part(const char *label, const char *value)
{
    g_autofree char *clean = stead_clean_lines(value);
    if (*clean == '\0')
        return;
    g_autoptr(GString) out = g_string_new(NULL);
    g_autofree char *text = g_strconcat(label, clean, NULL);
    stead_text_wrap(out, text, 8, 96);
    fputs(out->str, stdout);
}

static void print_check(JsonNode *check)
{
    const char *status = stead_json_text(check, "status");
    gboolean colour = stead_screen_has_colour();
    SteadColour shade = stead_colour_of(status);
    g_autofree char *title = stead_clean(stead_json_text(check, "title"));
    g_autofree char *found = stead_clean(stead_json_text(check, "found"));
    printf("%s%-6s%s  %s%s%s\n", stead_colour_on(shade, colour), status ? status : "?",
           stead_colour_off(shade, colour), title, *found ? ": " : "", found);
    if (g_strcmp0(status, "ok") == 0)
        return;
    print_part("why:  ", stead_json_text(check, "why"));
    print_part("mend: ", stead_json_text(check, "mend"));
}

static guint count(JsonNode *checks, const char *status)
{
    guint n = 0;
    for (guint i = 0; i < stead_json_length(checks); i++)
        n += g_strcmp0(stead_json_text(stead_json_element(checks, i), "status"), status) == 0;
    return n;
}

/* {"ok": ..., "checks": [...]}, or the list alone. */
static int report(SteadCall *call, JsonNode *reply)
{
    JsonNode *member = stead_json_member(reply, "checks");
    JsonNode *checks = member ? member : reply;
    guint failed = count(checks, "fail"), warned = count(checks, "warn");
    if (stead_call_json(call)) {
        stead_json_print(reply);
        return failed > 0 ? 1 : 0;
    }
    for (guint i = 0; i < stead_json_length(checks); i++)
        print_check(stead_json_element(checks, i));
    if (failed > 0)
        printf("\n%u of %u checks failed; until they are mended not everything works.\n", failed,
               stead_json_length(checks));
    else if (warned > 0)
        printf("\nThis host is usable; %u check%s could be better.\n", warned,
               warned == 1 ? "" : "s");
    else
        puts("\nThis host has all that stead needs.");
    return failed > 0 ? 1 : 0;
}

static int run_program(SteadCall *call, GError **error)
{
    static const char *const plain[] = {"--doctor", NULL};
    static const char *const json[] = {"--doctor", "--format", "json", NULL};
    int code;
    fputs("stead: the daemon does not answer; these are the checks of its program\n", stderr);
    return stead_daemon_run(stead_call_json(call) ? json : plain, &code, error) ? code : 1;
}

static int run(SteadCall *call, GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(JsonNode) reply = stead_call_request(call, "GET", "/v1/doctor", NULL, &cause);
    if (reply != NULL)
        return report(call, reply);
    if (stead_error_code(cause) == STEAD_ERROR_UNAVAILABLE)
        return run_program(call, error);
    g_propagate_error(error, g_steal_pointer(&cause));
    return 1;
}

static const SteadExit exits[] = {
    {1, "a check failed"},
    {0, NULL},
};

const SteadCommand stead_cmd_doctor = {
    .name = "doctor",
    .section = STEAD_SECTION_HOST,
    .summary = "Check what the host needs, and say how to mend it",
    .description = "Works without a running daemon, too.",
    .options = stead_format_options,
    .exits = exits,
    .run = run,
};
