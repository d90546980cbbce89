/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/instances/{name}/console and .../logs: from a path to an instance's console. */
#include "api/console_logs.h"
#include "api/console_socket.h"
#include "api/handlers.h"
#include "api/sockets.h"
#include "base/error.h"

STEAD_HANDLER(instance_logs)
{
    SteadConsoleLogsOptions options = {0};
    SteadInstance *instance = stead_engine_instance(request->engine, request->params[0], error);
    if (instance == NULL || !stead_console_logs_parse(request->query, &options, error))
        return FALSE;
    SteadConsole *console = stead_engine_console(request->engine, instance->id, error);
    if (console == NULL || !stead_console_stream_logs(request->message, console, &options, error))
        return FALSE;
    reply->taken = TRUE;
    return TRUE;
}

/* Whose window a client sizes. */
typedef struct {
    SteadEngine *engine;
    char *id;
} Window;

static void window_free(gpointer data)
{
    Window *window = data;
    g_free(window->id);
    g_free(window);
}

static void on_resize(guint rows, guint columns, gpointer data)
{
    Window *window = data;
    stead_engine_set_window(window->engine, window->id, rows, columns);
}

STEAD_HANDLER(instance_console)
{
    SoupWebsocketConnection *connection = stead_socket_of(request, error);
    if (connection == NULL)
        return FALSE;
    SteadConsoleSocketOptions options = {
        .write = stead_query_flag(request, "write"),
        .force = stead_query_flag(request, "force"),
    };
    SteadInstance *instance = stead_engine_instance(request->engine, request->params[0], error);
    if (instance == NULL ||
        !stead_console_from_parse(stead_query_string(request, "from"), &options.from, error))
        return FALSE;
    if (!stead_instance_is_up(instance)) {
        stead_set_error(error, STEAD_ERROR_STATE,
                        "'stead logs' shows what its console said; 'stead start' starts it.",
                        "%s is not running", instance->name);
        return FALSE;
    }
    SteadConsole *console = stead_engine_console(request->engine, instance->id, error);
    if (console == NULL)
        return FALSE;
    Window *window = g_new0(Window, 1);
    *window = (Window){request->engine, g_strdup(instance->id)};
    options.resize = on_resize;
    options.resize_data = window;
    options.resize_free = window_free;
    return stead_console_websocket(connection, console, &options, error);
}
