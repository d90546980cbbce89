/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/instances/{name}/exec and .../file as WebSockets: what a client may ask for. The request is
 * the first frame and not the address, so that no command line stands in a log.
 */
#include "api/handlers.h"
#include "api/sockets.h"
#include "api/stream_socket.h"
#include <string.h>

#include "base/error.h"

#define CELLS_MAX 4095
#define PERMISSIONS 0777
#define NEW_FILE 0644

static gboolean copy_string(SteadRequest *request, const char *name, char **value, GError **error)
{
    const char *text = NULL;
    if (!stead_body_string(request, name, FALSE, &text, error))
        return FALSE;
    *value = g_strdup(text);
    return TRUE;
}

static gboolean read_size(SteadRequest *request, const char *name, guint *value, GError **error)
{
    guint64 number = 0;
    gboolean read = stead_body_uint(request, name, CELLS_MAX, &number, error);
    *value = (guint)number;
    return read;
}

static SteadStreamRequest *parse_exec(JsonNode *frame, GError **error)
{
    SteadRequest body = {.body = frame};
    g_autoptr(SteadStreamRequest) request = stead_stream_request_new(STEAD_STREAM_EXEC);
    if (!stead_body_only(&body, error, "command", "environment", "user", "directory", "terminal",
                         "rows", "columns", "input", NULL) ||
        !stead_body_strings(&body, "command", TRUE, STEAD_API_MAX_WORDS, &request->command,
                            error) ||
        !stead_body_strings(&body, "environment", FALSE, STEAD_API_MAX_WORDS, &request->environment,
                            error) ||
        !copy_string(&body, "user", &request->user, error) ||
        !copy_string(&body, "directory", &request->cwd, error) ||
        !stead_body_bool(&body, "terminal", &request->terminal, error) ||
        !stead_body_bool(&body, "input", &request->input, error) ||
        !read_size(&body, "rows", &request->rows, error) ||
        !read_size(&body, "columns", &request->columns, error))
        return NULL;
    return g_steal_pointer(&request);
}

static gboolean check_path(const char *path, GError **error)
{
    if (g_path_is_absolute(path))
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INVALID, "Begin it with a slash.",
                    "'%.256s' is no absolute path in the guest", path);
    return FALSE;
}

/* What is put into a folder gets this name there. */
static gboolean check_name(const char *name, GError **error)
{
    if (name == NULL || (*name && strchr(name, '/') == NULL))
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INVALID, NULL, "'%.256s' is no name of a file", name);
    return FALSE;
}

static SteadStreamRequest *parse_file(JsonNode *frame, GError **error)
{
    SteadRequest body = {.body = frame};
    const char *get = NULL, *put = NULL;
    guint64 mode = NEW_FILE;
    g_autoptr(SteadStreamRequest) request = stead_stream_request_new(STEAD_STREAM_GET);
    if (!stead_body_only(&body, error, "get", "put", "name", "mode", NULL) ||
        !stead_body_string(&body, "get", FALSE, &get, error) ||
        !stead_body_string(&body, "put", FALSE, &put, error) ||
        !copy_string(&body, "name", &request->name, error) ||
        !stead_body_uint(&body, "mode", PERMISSIONS, &mode, error))
        return NULL;
    if ((get == NULL) == (put == NULL)) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL,
                        "the request must have one of 'get' and 'put'");
        return NULL;
    }
    request->kind = put ? STEAD_STREAM_PUT : STEAD_STREAM_GET;
    request->path = g_strdup(put ? put : get);
    request->mode = (guint)mode;
    if (!check_path(request->path, error) || !check_name(request->name, error))
        return NULL;
    return g_steal_pointer(&request);
}

static gboolean serve(SteadRequest *request, SteadStreamParse parse, GError **error)
{
    SoupWebsocketConnection *connection = stead_socket_of(request, error);
    if (connection)
        stead_stream_websocket(request->engine, connection, request->params[0], parse);
    return connection != NULL;
}

STEAD_HANDLER(stream_exec)
{
    return serve(request, parse_exec, error);
}

STEAD_HANDLER(stream_file)
{
    return serve(request, parse_file, error);
}
