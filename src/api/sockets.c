/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libsoup has one handler for WebSockets of all paths, so the route is looked up here, too. It has
 * answered already when that is called: what fails is told on the connection.
 */
#include "api/sockets.h"

#include "api/routes.h"
#include "base/error.h"

SoupWebsocketConnection *stead_socket_of(const SteadRequest *request, GError **error)
{
    if (request->connection == NULL)
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "this path is a WebSocket");
    return request->connection;
}

void stead_socket_send_error(SoupWebsocketConnection *connection, const GError *error)
{
    JsonObject *object = json_object_new();
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    json_object_set_member(object, "error", stead_error_to_json(error));
    json_node_take_object(node, object);
    g_autofree char *text = json_to_string(node, FALSE);
    soup_websocket_connection_send_text(connection, text);
}

void stead_sockets_accept(SteadEngine *engine, SoupServerMessage *message,
                          SoupWebsocketConnection *connection)
{
    GUri *uri = soup_server_message_get_uri(message);
    const char *query = g_uri_get_query(uri);
    g_autoptr(GHashTable) values = query ? soup_form_decode(query) : NULL;
    SteadRequest request = {
        .engine = engine, .message = message, .connection = connection, .query = values};
    SteadReply reply = {0};
    g_autoptr(GError) error = NULL;
    const SteadRoute *route = stead_route_find("GET", g_uri_get_path(uri), request.params, &error);
    if (route && route->answer_type != STEAD_ANSWER_SOCKET &&
        route->answer_type != STEAD_ANSWER_STREAM)
        stead_set_error(&error, STEAD_ERROR_INVALID, NULL, "this path is no WebSocket");
    if (route == NULL || error || !route->handle(&request, &reply, &error)) {
        stead_socket_send_error(connection, error);
        soup_websocket_connection_close(connection, SOUP_WEBSOCKET_CLOSE_NORMAL, NULL);
    }
    for (guint i = 0; i < STEAD_API_MAX_PARAMS; i++)
        g_free(request.params[i]);
}
