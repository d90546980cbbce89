/* SPDX-License-Identifier: Apache-2.0 */
#include "api/routes.h"

#include <string.h>

#include "base/error.h"

static void clear(char *params[STEAD_API_MAX_PARAMS])
{
    for (guint i = 0; i < STEAD_API_MAX_PARAMS; i++)
        g_clear_pointer(&params[i], g_free);
}

/* The path with "x" for each parameter. */
static char *example(const SteadRoute *route)
{
    GString *path = g_string_new(NULL);
    for (const char *at = route->path; *at; at++) {
        g_string_append_c(path, *at == '{' ? 'x' : *at);
        if (*at == '{')
            at = strchr(at, '}');
    }
    return g_string_free(path, FALSE);
}

static void test_each_route_is_found(void)
{
    for (gsize i = 0; i < stead_n_routes; i++) {
        char *params[STEAD_API_MAX_PARAMS];
        g_autofree char *path = example(&stead_routes[i]);
        const SteadRoute *found = stead_route_find(stead_routes[i].method, path, params, NULL);
        g_assert_true(found == &stead_routes[i]); /* so no earlier one takes its requests */
        clear(params);
    }
}

static void test_no_two_routes_are_the_same(void)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (gsize i = 0; i < stead_n_routes; i++) {
        g_autofree char *path = example(&stead_routes[i]);
        g_assert_true(g_hash_table_add(seen, g_strconcat(stead_routes[i].method, " ", path, NULL)));
    }
}

static void test_parameters_are_decoded(void)
{
    char *params[STEAD_API_MAX_PARAMS];
    g_assert_nonnull(
        stead_route_find("DELETE", "/v1/instances/we%62/snapshots/a%20b", params, NULL));
    g_assert_cmpstr(params[0], ==, "web");
    g_assert_cmpstr(params[1], ==, "a b");
    clear(params);
}

static void test_another_method_is_refused(void)
{
    static const char *const methods[] = {"PUT", "PATCH", "HEAD", "OPTIONS", "get", ""};
    for (gsize i = 0; i < G_N_ELEMENTS(methods); i++) {
        char *params[STEAD_API_MAX_PARAMS];
        g_autoptr(GError) error = NULL;
        g_assert_null(stead_route_find(methods[i], "/v1/instances/web", params, &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
        g_assert_null(params[0]);
    }
}

static void test_the_methods_of_a_path(void)
{
    static const struct {
        const char *path, *allowed;
    } paths[] = {
        {"/v1", "GET"},
        {"/v1/instances", "GET, POST"},
        {"/v1/instances/web", "GET, DELETE"},
        {"/v1/images/pull", "POST, GET, DELETE"}, /* an image may be called "pull" */
        {"/v1/nothing", NULL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *allowed = stead_route_allowed(paths[i].path);
        g_assert_cmpstr(allowed, ==, paths[i].allowed);
    }
}

static void test_hostile_paths_are_not_found(void)
{
    static const char *const paths[] = {
        "",
        "/",
        "v1",
        "/v1/",
        "//v1",
        "/v1/instances/",
        "/v1/instances//start",
        "/v1/instances/web/",
        "/v1/instances/web/start/now",
        "/v1/instances/a%2fb",
        "/v1/instances/a%2Fb",
        "/v1/instances/%00",
        "/v1/instances/a%00b",
        "/v1/instances/%",
        "/v1/instances/%4",
        "/v1/instances/%zz",
        "/v1/../v1",
        "/v2",
        "/v1/instances/web/snapshots/a/restore/b",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        char *params[STEAD_API_MAX_PARAMS];
        g_autoptr(GError) error = NULL;
        g_assert_null(stead_route_find("GET", paths[i], params, &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
        g_assert_null(params[0]);
    }
}

static void test_a_long_path_is_told_in_short(void)
{
    char *params[STEAD_API_MAX_PARAMS];
    g_autofree char *path = g_strnfill(100000, 'a');
    g_autoptr(GError) error = NULL;
    path[0] = '/';
    g_assert_null(stead_route_find("GET", path, params, &error));
    g_assert_cmpuint(strlen(error->message), <, 400);
}

static void test_tables_name_their_parts(void)
{
    for (gsize i = 0; i < stead_n_routes; i++) {
        const SteadRoute *route = &stead_routes[i];
        g_assert_nonnull(route->handle);
        g_assert_true(g_str_has_prefix(route->path, "/v1"));
        gboolean stream = route->answer_type == STEAD_ANSWER_STREAM;
        g_assert_true(route->body == NULL || stream || g_str_equal(route->method, "POST"));
        g_assert_true(!stream || (route->body && g_str_equal(route->method, "GET")));
        g_assert_true(route->summary && g_ascii_isupper(*route->summary));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/routes/each-is-found", test_each_route_is_found);
    g_test_add_func("/routes/no-two-are-the-same", test_no_two_routes_are_the_same);
    g_test_add_func("/routes/parameters-are-decoded", test_parameters_are_decoded);
    g_test_add_func("/routes/another-method", test_another_method_is_refused);
    g_test_add_func("/routes/methods-of-a-path", test_the_methods_of_a_path);
    g_test_add_func("/routes/hostile-paths", test_hostile_paths_are_not_found);
    g_test_add_func("/routes/a-long-path", test_a_long_path_is_told_in_short);
    g_test_add_func("/routes/parts", test_tables_name_their_parts);
    return g_test_run();
}
