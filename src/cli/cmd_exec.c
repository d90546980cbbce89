/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead exec: a command in the guest, through its agent; its exit code becomes stead's. The agent
 * hands its output over when it has ended, so the daemon is given as long to answer as the command
 * may run. Output is passed on byte for byte, as ssh does it: who runs the command chose it.
 */
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/json.h"
#include "cli/screen.h"

/* What -i sends at most. */
#define MAX_INPUT_BYTES (4 * 1024 * 1024)
#define DEFAULT_TIMEOUT_MS (10 * 60 * 1000)
/* Past the time-out, the daemon itself has this long to answer. */
#define GRACE_SECONDS 30

static gboolean read_input(GString *input, GError **error)
{
    char buffer[64 * 1024];
    size_t n;
    while ((n = fread(buffer, 1, sizeof buffer, stdin)) > 0) {
        g_string_append_len(input, buffer, (gssize)n);
        if (input->len > MAX_INPUT_BYTES) {
            stead_set_error(error, STEAD_ERROR_INVALID, "Copy large files over the network.",
                            "the input is longer than %d bytes", MAX_INPUT_BYTES);
            return FALSE;
        }
    }
    if (!g_utf8_validate(input->str, (gssize)input->len, NULL)) {
        stead_set_error(error, STEAD_ERROR_INVALID, "Send bytes as base64.",
                        "the input is not UTF-8 text");
        return FALSE;
    }
    return TRUE;
}

static JsonNode *make_body(SteadCall *call, guint64 timeout_ms, GError **error)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    g_autoptr(GString) input = g_string_new(NULL);
    if (stead_call_flag(call, "input") && !read_input(input, error))
        return NULL;
    json_builder_begin_object(builder);
    stead_json_add_list(builder, "command", stead_call_arguments(call, 1));
    if (stead_call_flag(call, "input"))
        stead_json_add_text(builder, "input", input->str);
    json_builder_set_member_name(builder, "timeout-ms");
    json_builder_add_int_value(builder, (gint64)timeout_ms);
    json_builder_end_object(builder);
    return stead_json_build(builder);
}

static void put_stream(JsonNode *reply, const char *member, FILE *to)
{
    const char *text = stead_json_text(reply, member);
    gsize length;
    g_autofree guchar *bytes = text ? g_base64_decode(text, &length) : NULL;
    if (bytes != NULL)
        fwrite(bytes, 1, length, to);
    fflush(to);
}

static int run(SteadCall *call, GError **error)
{
    guint64 timeout = stead_call_number(call, "timeout", DEFAULT_TIMEOUT_MS);
    SteadClient *client = stead_call_client(call, error);
    g_autoptr(JsonNode) body = client ? make_body(call, timeout, error) : NULL;
    if (body == NULL)
        return 1;
    guint64 seconds = timeout / 1000 + GRACE_SECONDS;
    stead_client_set_timeout(client, (guint)MIN(seconds, G_MAXINT));
    g_autofree char *path =
        stead_client_path("instances", stead_call_argument(call, 0), "exec", NULL);
    g_autoptr(JsonNode) reply = stead_call_request(call, "POST", path, body, error);
    if (reply == NULL)
        return 1;
    put_stream(reply, "stdout", stdout);
    put_stream(reply, "stderr", stderr);
    if (stead_json_flag(reply, "truncated"))
        fputs("stead: the output was too long; its end is missing\n", stderr);
    return (int)CLAMP(stead_json_integer(reply, "exit-code", 1), 0, 255);
}

static const SteadArgument arguments[] = {
    {.name = "NAME", .doc = "the instance", .complete = STEAD_COMPLETE_INSTANCE},
    {.name = "COMMAND",
     .doc = "the program in the guest and its arguments; no shell",
     .many = TRUE},
    {NULL},
};

static const SteadOption options[] = {
    {.name = "timeout",
     .letter = 't',
     .type = STEAD_OPTION_DURATION,
     .metavar = "TIME",
     .doc = "how long the command may run",
     .fallback = "10m"},
    {.name = "input", .letter = 'i', .doc = "pass standard input on, up to 4 MiB of text"},
    {NULL},
};

static const SteadExample examples[] = {
    {"stead exec web -- uname -r", "One program:"},
    {"stead exec web -- sh -c 'df -h | tail -1'", "Through the guest's shell:"},
    {"stead exec -i web -- tee /etc/motd < motd", "With input:"},
    {NULL},
};

static const SteadExit exits[] = {
    {13, "the agent in the guest does not answer"},
    {14, "the command did not end in time"},
    {0, NULL},
};

const SteadCommand stead_cmd_exec = {
    .name = "exec",
    .section = STEAD_SECTION_INSIDE,
    .summary = "Run a command in an instance",
    .description =
        "Needs the guest agent, which the catalogue's images get at first boot. The exit "
        "code is the command's own, or stead's where the command was not run.",
    .arguments = arguments,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
    .passes_rest = TRUE,
};
