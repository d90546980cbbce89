/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client may send, up to where a handler would act on it: "METHOD PATH?QUERY", a line end,
 * and the body. The route is found, its parameters decoded, the body parsed in its bounds, each
 * member that the route knows read as every type, and a spec in it read as a spec.
 */
#include <string.h>

#include "fuzz.h"

#include "api/routes.h"

static void read_member(const SteadRequest *request, const char *name)
{
    const char *text = NULL;
    gboolean flag = FALSE;
    guint64 number = 0;
    stead_body_string(request, name, TRUE, &text, NULL);
    stead_body_bool(request, name, &flag, NULL);
    if (stead_body_uint(request, name, 1000, &number, NULL))
        g_assert_cmpuint(number, <=, 1000);
    stead_body_size(request, name, &number, NULL);
    if (text)
        g_assert_true(g_utf8_validate(text, -1, NULL));
}

static void read_spec(const SteadRequest *request)
{
    JsonNode *node = stead_body_member(request, "spec", NULL);
    if (node == NULL)
        return;
    stead_spec_free(stead_spec_from_json(node, NULL));
    stead_instance_spec_free(stead_instance_spec_from_json(node, NULL));
    stead_network_spec_free(stead_network_spec_from_json(node, NULL));
    stead_volume_spec_free(stead_volume_spec_from_json(node, NULL));
}

static void read_request(SteadRequest *request, const SteadRoute *route)
{
    g_auto(GStrv) members = g_strsplit_set(route->body ? route->body : "", " !", -1);
    g_auto(GStrv) queries = g_strsplit(route->query ? route->query : "", " ", -1);
    for (char **name = members; *name && request->body; name++)
        if (**name != '\0')
            read_member(request, *name);
    for (char **name = queries; *name; name++) {
        stead_query_flag(request, *name);
        stead_query_string(request, *name);
    }
    if (request->body)
        read_spec(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const uint8_t *line_end = memchr(data, '\n', size);
    gsize head = line_end ? (gsize)(line_end - data) : size;
    gsize rest = line_end ? size - head - 1 : 0;
    g_autofree char *line = g_strndup((const char *)data, head);
    char *path = strchr(line, ' ');
    if (path == NULL)
        return 0;
    *path++ = '\0';
    char *query = strchr(path, '?');
    if (query)
        *query++ = '\0';

    SteadRequest request = {0};
    const SteadRoute *route = stead_route_find(line, path, request.params, NULL);
    if (query)
        request.query = soup_form_decode(query);
    if (stead_body_parse((const char *)data + size - rest, rest, &request.body, NULL) && route)
        read_request(&request, route);
    for (gsize i = 0; i < G_N_ELEMENTS(request.params); i++)
        g_free(request.params[i]);
    g_clear_pointer(&request.query, g_hash_table_unref);
    g_clear_pointer(&request.body, json_node_unref);
    return 0;
}
