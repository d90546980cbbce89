/* SPDX-License-Identifier: Apache-2.0 */
#include "api/openapi.h"

#include <string.h>

#include "api/routes.h"

static JsonObject *at(JsonObject *object, const char *name)
{
    g_assert_true(json_object_has_member(object, name));
    return json_object_get_object_member(object, name);
}

static void test_every_route_is_described(void)
{
    g_autoptr(JsonNode) node = stead_openapi();
    JsonObject *paths = at(json_node_get_object(node), "paths");
    guint n = 0;
    for (gsize i = 0; i < stead_n_routes; i++) {
        g_autofree char *method = g_ascii_strdown(stead_routes[i].method, -1);
        JsonObject *operation = at(at(paths, stead_routes[i].path), method);
        g_assert_cmpstr(json_object_get_string_member(operation, "summary"), ==,
                        stead_routes[i].summary);
        gboolean stream = stead_routes[i].answer_type == STEAD_ANSWER_STREAM;
        g_assert_true(json_object_has_member(operation, "requestBody") ==
                      (stead_routes[i].body != NULL && !stream));
        g_assert_true(json_object_has_member(operation, "x-first-frame") == stream);
        at(operation, "responses");
    }
    g_autoptr(GList) all = json_object_get_values(paths);
    for (GList *link = all; link; link = link->next)
        n += json_object_get_size(json_node_get_object(link->data));
    g_assert_cmpuint(n, ==, stead_n_routes);
}

/* Each {name} of a path is declared, and nothing else is, in the path. */
static void test_path_parameters_are_declared(void)
{
    g_autoptr(JsonNode) node = stead_openapi();
    JsonObject *paths = at(json_node_get_object(node), "paths");
    for (gsize i = 0; i < stead_n_routes; i++) {
        g_autofree char *method = g_ascii_strdown(stead_routes[i].method, -1);
        JsonArray *parameters =
            json_object_get_array_member(at(at(paths, stead_routes[i].path), method), "parameters");
        guint declared = 0, open = 0;
        for (guint p = 0; p < json_array_get_length(parameters); p++) {
            JsonObject *parameter = json_array_get_object_element(parameters, p);
            if (!g_str_equal(json_object_get_string_member(parameter, "in"), "path"))
                continue;
            g_autofree char *braced =
                g_strdup_printf("{%s}", json_object_get_string_member(parameter, "name"));
            g_assert_nonnull(strstr(stead_routes[i].path, braced));
            declared++;
        }
        for (const char *c = stead_routes[i].path; *c; c++)
            open += *c == '{';
        g_assert_cmpuint(declared, ==, open);
    }
}

static void check_references(JsonNode *node, JsonObject *schemas)
{
    if (JSON_NODE_HOLDS_ARRAY(node)) {
        JsonArray *array = json_node_get_array(node);
        for (guint i = 0; i < json_array_get_length(array); i++)
            check_references(json_array_get_element(array, i), schemas);
    }
    if (!JSON_NODE_HOLDS_OBJECT(node))
        return;
    JsonObjectIter iter;
    const char *name;
    JsonNode *value;
    json_object_iter_init(&iter, json_node_get_object(node));
    while (json_object_iter_next(&iter, &name, &value)) {
        check_references(value, schemas);
        if (!g_str_equal(name, "$ref"))
            continue;
        const char *ref = json_node_get_string(value);
        g_assert_true(g_str_has_prefix(ref, "#/components/schemas/"));
        g_assert_true(json_object_has_member(schemas, ref + strlen("#/components/schemas/")));
    }
}

static void test_references_are_valid(void)
{
    g_autoptr(JsonNode) node = stead_openapi();
    check_references(node, at(at(json_node_get_object(node), "components"), "schemas"));
}

static void test_every_answer_has_a_schema(void)
{
    g_autoptr(JsonNode) node = stead_openapi();
    JsonObject *schemas = at(at(json_node_get_object(node), "components"), "schemas");
    for (gsize i = 0; i < stead_n_routes; i++)
        if (stead_routes[i].answer)
            g_assert_true(json_object_has_member(schemas, stead_routes[i].answer));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/openapi/routes", test_every_route_is_described);
    g_test_add_func("/openapi/path-parameters", test_path_parameters_are_declared);
    g_test_add_func("/openapi/references", test_references_are_valid);
    g_test_add_func("/openapi/answers", test_every_answer_has_a_schema);
    return g_test_run();
}
