/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead console: this terminal on an instance's serial port.
 */
#include <unistd.h>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/console_client.h"
#include "cli/terminal.h"

#define DEFAULT_FROM "tail:20"
#define DEFAULT_LINGER_MS 1000

/* Asked for first: a refused WebSocket does not say why. */
static gboolean is_known(SteadCall *call, const char *name, GError **error)
{
    g_autofree char *path = stead_client_path("instances", name, NULL);
    g_autoptr(JsonNode) instance = stead_call_request(call, "GET", path, NULL, error);
    return instance != NULL;
}

static int run(SteadCall *call, GError **error)
{
    const char *name = stead_call_argument(call, 0);
    const char *escape = stead_call_text(call, "escape"), *from = stead_call_text(call, "from");
    SteadConsoleClientOptions options = {
        .read_only = stead_call_flag(call, "read-only"),
        .force = stead_call_flag(call, "force"),
        .quiet = stead_call_flag(call, "quiet"),
        .from = from ? from : DEFAULT_FROM,
        .linger_ms = (guint)MIN(stead_call_number(call, "linger", DEFAULT_LINGER_MS), G_MAXINT),
        .input = STDIN_FILENO,
        .output = STDOUT_FILENO,
        .messages = STDERR_FILENO,
    };
    SteadClient *client = stead_call_client(call, error);
    if (client == NULL || !stead_key_parse(escape ? escape : "^]", &options.escape, error) ||
        !is_known(call, name, error))
        return 1;
    g_autoptr(SoupSession) session = stead_client_session(client, 0);
    GError *problem = NULL;
    if (stead_console_client(session, name, &options, &problem))
        return 0;
    g_propagate_error(error, problem->domain == STEAD_ERROR
                                 ? problem
                                 : stead_client_connect_error(client, problem));
    return 1;
}

static const SteadArgument arguments[] = {
    {.name = "NAME", .doc = "the instance", .complete = STEAD_COMPLETE_INSTANCE},
    {NULL},
};

static const SteadOption options[] = {
    {.name = "read-only", .letter = 'r', .doc = "only watch; any number may at the same time"},
    {.name = "force", .letter = 'f', .doc = "take the keyboard from whoever has it"},
    {.name = "from",
     .type = STEAD_OPTION_TEXT,
     .metavar = "PLACE",
     .doc = "what to show first: start, boot, now, or tail:N for the last N lines",
     .fallback = DEFAULT_FROM},
    {.name = "escape",
     .letter = 'e',
     .type = STEAD_OPTION_TEXT,
     .metavar = "KEY",
     .doc = "the key that detaches: ^A is Ctrl-A; none for none",
     .fallback = "^]"},
    {.name = "linger",
     .type = STEAD_OPTION_DURATION,
     .metavar = "TIME",
     .doc =
         "when the input is no terminal: leave once it has ended and the console has been silent "
         "for so long",
     .fallback = "1s"},
    {.name = "quiet", .letter = 'q', .doc = "no remarks on standard error"},
    {NULL},
};

static const SteadExample examples[] = {
    {"stead console web", "Work on the serial console; Ctrl-] leaves it:"},
    {"stead console --read-only --from boot web", "Watch a boot from its first byte:"},
    {"printf 'root\\n' | stead console web", "Type something from a script, and see the answer:"},
    {NULL},
};

static const SteadExit exits[] = {
    {0, "detached, or the instance has stopped"},
    {6, "somebody else is writing on the console"},
    {10, "the connection to the daemon broke"},
    {0, NULL},
};

const SteadCommand stead_cmd_console = {
    .name = "console",
    .section = STEAD_SECTION_INSIDE,
    .summary = "Attach to the serial console",
    .description =
        "The terminal becomes that of the instance, its size too where the instance runs the guest "
        "agent. Many may watch, one may write.\n\n"
        "Where the input is no terminal, it is sent as fast as the guest takes it. After its end "
        "the console is shown until it is silent.",
    .arguments = arguments,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
};
