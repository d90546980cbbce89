/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/instances/{name}/console and .../logs. libsoup has one handler for WebSockets of all paths,
 * so the route is looked up here, too.
 */
#include "api/console_route.h"

#include "api/console_logs.h"
#include "api/console_socket.h"
#include "api/handlers.h"
#include "api/routes.h"
#include "base/error.h"

STEAD_HANDLER(instance_console)
{
    stead_set_error(error, STEAD_ERROR_INVALID, NULL, "the console is a WebSocket");
    return FALSE;
}

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

static gboolean serve(SteadRequest *request, SoupWebsocketConnection *connection, GError **error)
{
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

static void refuse(SoupWebsocketConnection *connection, const GError *error)
{
    JsonObject *object = json_object_new();
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    json_object_set_member(object, "error", stead_error_to_json(error));
    json_node_take_object(node, object);
    g_autofree char *text = json_to_string(node, FALSE);
    json_node_unref(node);
    soup_websocket_connection_send_text(connection, text);
    soup_websocket_connection_close(connection, SOUP_WEBSOCKET_CLOSE_NORMAL, NULL);
}

void stead_console_accept(SteadEngine *engine, SoupServerMessage *message,
                          SoupWebsocketConnection *connection)
{
    GUri *uri = soup_server_message_get_uri(message);
    const char *query = g_uri_get_query(uri);
    g_autoptr(GHashTable) values = query ? soup_form_decode(query) : NULL;
    SteadRequest request = {.engine = engine, .message = message, .query = values};
    g_autoptr(GError) error = NULL;
    const SteadRoute *route = stead_route_find("GET", g_uri_get_path(uri), request.params, &error);
    if (route && route->answer_type != STEAD_ANSWER_SOCKET)
        stead_set_error(&error, STEAD_ERROR_INVALID, NULL, "this path is no WebSocket");
    if (error || !serve(&request, connection, &error))
        refuse(connection, error);
    for (guint i = 0; i < STEAD_API_MAX_PARAMS; i++)
        g_free(request.params[i]);
}
