/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading requests and writing replies.
 *
 * A body is measured before it is parsed, since the parser's stack and memory grow with what a
 * client sends. A reply that waits for a job pauses its message; the job's end, which always comes,
 * frees what waits, whether the client is still there or not.
 */
#include "api/request.h"

#include <string.h>

#include "api/leaving.h"
#include "base/error.h"
#include "base/json_shape.h"
#include "base/near.h"
#include "base/units.h"

gboolean stead_reply_job(SteadReply *reply, SteadJob *job)
{
    if (job == NULL)
        return FALSE;
    reply->status = SOUP_STATUS_ACCEPTED;
    reply->json = stead_job_to_json(job);
    return TRUE;
}

gboolean stead_reply_nothing(SteadReply *reply)
{
    reply->status = SOUP_STATUS_NO_CONTENT;
    return TRUE;
}

gboolean stead_reply_json(SteadReply *reply, JsonNode *json)
{
    reply->json = json;
    return json != NULL;
}

gboolean stead_reply_list(SteadRequest *request, SteadReply *reply, GPtrArray *list,
                          SteadShowFunc show)
{
    JsonArray *array = json_array_sized_new(list->len);
    for (guint i = 0; i < list->len; i++)
        json_array_add_element(array, show(request->engine, list->pdata[i]));
    g_ptr_array_unref(list);
    reply->json = json_node_new(JSON_NODE_ARRAY);
    json_node_take_array(reply->json, array);
    return TRUE;
}

static void set_json(SoupServerMessage *message, guint status, JsonNode *json)
{
    char *text = json_to_string(json, FALSE);
    soup_server_message_set_status(message, status, NULL);
    soup_server_message_set_response(message, "application/json", SOUP_MEMORY_TAKE, text,
                                     strlen(text));
}

void stead_reply_error(SoupServerMessage *message, const GError *error)
{
    g_autoptr(JsonNode) node = stead_error_to_json(error);
    set_json(message, stead_error_http_status(stead_error_code(error)), node);
}

/* An answer that waits for a job. Freed by the job's end, which always comes. */
typedef struct {
    SoupServerMessage *message;
    SteadJob *job;
    gulong disconnected; /* 0: the client is gone */
    GSource *leaving;
} Waiting;

static void on_left(gpointer data)
{
    Waiting *waiting = data;
    stead_job_cancel(waiting->job);
}

static void on_disconnected(SoupServerMessage *message, gpointer data)
{
    Waiting *waiting = data;
    g_clear_signal_handler(&waiting->disconnected, message);
    stead_leaving_clear(&waiting->leaving);
    stead_job_cancel(waiting->job);
}

static void on_job_ended(SteadJob *job, gpointer data)
{
    Waiting *waiting = data;
    stead_leaving_clear(&waiting->leaving);
    if (waiting->disconnected != 0) {
        g_clear_signal_handler(&waiting->disconnected, waiting->message);
        if (stead_job_error(job))
            stead_reply_error(waiting->message, stead_job_error(job));
        else if (stead_job_result(job))
            set_json(waiting->message, SOUP_STATUS_OK, stead_job_result(job));
        else
            soup_server_message_set_status(waiting->message, SOUP_STATUS_NO_CONTENT, NULL);
        soup_server_message_unpause(waiting->message);
    }
    g_object_unref(waiting->message);
    g_free(waiting);
}

gboolean stead_reply_result(SteadRequest *request, SteadReply *reply, SteadJob *job)
{
    if (job == NULL)
        return FALSE;
    Waiting *waiting = g_new0(Waiting, 1);
    waiting->message = g_object_ref(request->message);
    waiting->job = job;
    waiting->disconnected =
        g_signal_connect(request->message, "disconnected", G_CALLBACK(on_disconnected), waiting);
    waiting->leaving = stead_leaving_watch(request->message, on_left, waiting);
    stead_job_notify(job, on_job_ended, waiting);
    /* A message without a status would be taken for a WebSocket's. */
    soup_server_message_set_status(request->message, SOUP_STATUS_OK, NULL);
    soup_server_message_pause(request->message);
    reply->taken = TRUE;
    return TRUE;
}

gboolean stead_body_parse(const char *text, gsize length, JsonNode **node, GError **error)
{
    *node = NULL;
    if (length == 0)
        return TRUE;
    const char *why = stead_json_refuses(text, length, STEAD_API_MAX_DEPTH, STEAD_API_MAX_VALUES);
    if (why) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "the request %s", why);
        return FALSE;
    }
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    g_autoptr(GError) parse_error = NULL;
    if (!g_utf8_validate(text, (gssize)length, NULL) ||
        !json_parser_load_from_data(parser, text, (gssize)length, &parse_error)) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "the request is not JSON: %s",
                        parse_error ? parse_error->message : "it is not UTF-8");
        return FALSE;
    }
    JsonNode *root = json_parser_get_root(parser);
    if (root == NULL || !JSON_NODE_HOLDS_OBJECT(root)) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "the request must be a JSON object");
        return FALSE;
    }
    *node = json_node_ref(root);
    return TRUE;
}

static JsonNode *member(const SteadRequest *request, const char *name)
{
    if (request->body == NULL)
        return NULL;
    JsonNode *node = json_object_get_member(json_node_get_object(request->body), name);
    return node && !JSON_NODE_HOLDS_NULL(node) ? node : NULL;
}

static gboolean fail(GError **error, const char *name, const char *expected)
{
    stead_set_error(error, STEAD_ERROR_INVALID, NULL, "'%s' in the request must be %s", name,
                    expected);
    return FALSE;
}

JsonNode *stead_body_member(const SteadRequest *request, const char *name, GError **error)
{
    JsonNode *node = member(request, name);
    if (node == NULL)
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "the request lacks '%s'", name);
    return node;
}

gboolean stead_body_string(const SteadRequest *request, const char *name, gboolean required,
                           const char **value, GError **error)
{
    JsonNode *node = required ? stead_body_member(request, name, error) : member(request, name);
    if (node == NULL)
        return !required;
    if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_STRING)
        return fail(error, name, "a string");
    *value = json_node_get_string(node);
    return TRUE;
}

gboolean stead_body_bool(const SteadRequest *request, const char *name, gboolean *value,
                         GError **error)
{
    JsonNode *node = member(request, name);
    if (node == NULL)
        return TRUE;
    if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_BOOLEAN)
        return fail(error, name, "true or false");
    *value = json_node_get_boolean(node);
    return TRUE;
}

gboolean stead_body_uint(const SteadRequest *request, const char *name, guint64 max, guint64 *value,
                         GError **error)
{
    JsonNode *node = member(request, name);
    if (node == NULL)
        return TRUE;
    gboolean is_int = JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_INT64;
    if (!is_int || json_node_get_int(node) < 0 || (guint64)json_node_get_int(node) > max) {
        g_autofree char *expected =
            g_strdup_printf("a whole number from 0 to %" G_GUINT64_FORMAT, max);
        return fail(error, name, expected);
    }
    *value = (guint64)json_node_get_int(node);
    return TRUE;
}

gboolean stead_body_size(const SteadRequest *request, const char *name, guint64 *value,
                         GError **error)
{
    JsonNode *node = member(request, name);
    if (node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING) {
        if (stead_parse_size(json_node_get_string(node), value, error))
            return TRUE;
        g_prefix_error(error, "'%s' in the request: ", name);
        return FALSE;
    }
    return stead_body_uint(request, name, STEAD_MAX_DISK, value, error);
}

gboolean stead_body_strings(const SteadRequest *request, const char *name, gboolean required,
                            guint max, GStrv *value, GError **error)
{
    JsonNode *node = required ? stead_body_member(request, name, error) : member(request, name);
    if (node == NULL)
        return !required;
    JsonArray *array = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    guint n = array ? json_array_get_length(array) : 0;
    g_autoptr(GStrvBuilder) words = g_strv_builder_new();
    gboolean valid = array && n >= (required ? 1 : 0) && n <= max;
    for (guint i = 0; valid && i < n; i++) {
        JsonNode *word = json_array_get_element(array, i);
        valid = JSON_NODE_HOLDS_VALUE(word) && json_node_get_value_type(word) == G_TYPE_STRING;
        if (valid)
            g_strv_builder_add(words, json_node_get_string(word));
    }
    if (valid) {
        *value = g_strv_builder_end(words);
        return TRUE;
    }
    g_autofree char *expected =
        g_strdup_printf("a list of %s%u strings", required ? "1 to " : "at most ", max);
    return fail(error, name, expected);
}

gboolean stead_body_only(const SteadRequest *request, GError **error, ...)
{
    if (request->body == NULL)
        return TRUE;
    g_autoptr(GPtrArray) known = g_ptr_array_new();
    va_list args;
    va_start(args, error);
    for (const char *name; (name = va_arg(args, const char *)) != NULL;)
        g_ptr_array_add(known, (gpointer)(gsize)name);
    va_end(args);
    g_autoptr(GList) members = json_object_get_members(json_node_get_object(request->body));
    for (GList *link = members; link; link = link->next) {
        if (g_ptr_array_find_with_equal_func(known, link->data, g_str_equal, NULL))
            continue;
        const char *nearest = stead_near(link->data, (const char *const *)known->pdata, known->len);
        g_autofree char *hint = nearest ? g_strdup_printf("Did you mean '%s'?", nearest) : NULL;
        stead_set_error(error, STEAD_ERROR_INVALID, hint,
                        "the request has an unknown member '%.64s'", (const char *)link->data);
        return FALSE;
    }
    return TRUE;
}

const char *stead_query_string(const SteadRequest *request, const char *name)
{
    return request->query ? g_hash_table_lookup(request->query, name) : NULL;
}

gboolean stead_query_flag(const SteadRequest *request, const char *name)
{
    const char *value = stead_query_string(request, name);
    return value && (*value == '\0' || g_str_equal(value, "1") || g_str_equal(value, "true"));
}
