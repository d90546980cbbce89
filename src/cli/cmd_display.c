/* SPDX-License-Identifier: Apache-2.0 */
/* stead display: where the screen of an instance can be seen. */
#include "cli/commands.h"

#include <stdio.h>

#include "cli/json.h"
#include "cli/screen.h"
#include "cli/text.h"

/* VNC clients count displays from this port on. */
#define FIRST_VNC_PORT 5900

static int run(SteadCall *call, GError **error)
{
    const char *name = stead_call_argument(call, 0);
    g_autofree char *path = stead_client_path("instances", name, "display", NULL);
    g_autoptr(JsonNode) reply = stead_call_request(call, "GET", path, NULL, error);
    if (reply == NULL)
        return 1;
    if (stead_call_json(call)) {
        stead_json_print(reply);
        return 0;
    }
    g_autofree char *listen = stead_clean(stead_json_text(reply, "listen"));
    g_autofree char *password = stead_clean(stead_json_text(reply, "password"));
    gint64 port = stead_json_integer(reply, "port", 0);
    if (port > 0)
        printf("VNC:       %s:%" G_GINT64_FORMAT "\n", listen, port);
    else
        printf("VNC:       %s\n", listen);
    printf("Password:  %s\n", password);
    if (port >= FIRST_VNC_PORT)
        stead_screen_remark("Open it: vncviewer %s:%" G_GINT64_FORMAT
                            "    From afar: ssh -L %" G_GINT64_FORMAT ":%s:%" G_GINT64_FORMAT
                            " HOST",
                            listen, port - FIRST_VNC_PORT, port, listen, port);
    return 0;
}

static const SteadArgument arguments[] = {
    {.name = "NAME", .doc = "the instance", .complete = STEAD_COMPLETE_INSTANCE},
    {NULL},
};

const SteadCommand stead_cmd_display = {
    .name = "display",
    .section = STEAD_SECTION_INSIDE,
    .summary = "Show where the screen of an instance is (VNC) and its password",
    .description = "The screen is on the host's loopback only.",
    .arguments = arguments,
    .options = stead_format_options,
    .run = run,
};
