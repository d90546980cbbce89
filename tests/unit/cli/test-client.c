/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/client.h"

#include <string.h>

#include "base/error.h"

static void test_paths_are_encoded(void)
{
    g_autofree char *plain = stead_client_path("images", "debian:12", NULL);
    g_autofree char *hostile = stead_client_path("instances", "../x y?z=1", "logs", NULL);
    g_assert_cmpstr(plain, ==, "/v1/images/debian:12");
    g_assert_cmpstr(hostile, ==, "/v1/instances/..%2Fx%20y%3Fz%3D1/logs");
}

static void test_api_errors_keep_code_message_and_hint(void)
{
    const char *text = "{\"code\":\"busy\",\"message\":\"m\",\"hint\":\"h\"}";
    g_autoptr(GError) error = stead_client_error_from_reply(409, text, strlen(text));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_BUSY);
    g_assert_cmpstr(error->message, ==, "m");
    g_assert_cmpstr(stead_error_hint(error), ==, "h");
}

static void assert_strange(const char *text, const char *message)
{
    g_autoptr(GError) error = stead_client_error_from_reply(500, text, strlen(text));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INTERNAL);
    g_assert_cmpstr(error->message, ==, message);
}

static void test_other_errors_are_quoted(void)
{
    assert_strange("<html>\377", "the daemon answered with status 500: <html>\357\277\275");
    assert_strange("", "the daemon answered with status 500: ");
    assert_strange("[]", "the daemon answered with status 500: []");
    assert_strange("{\"code\":\"new\",\"message\":\"m\"}",
                   "the daemon answered with status 500: {\"code\":\"new\",\"message\":\"m\"}");
    assert_strange("{\"code\":3}", "the daemon answered with status 500: {\"code\":3}");
}

static void test_long_errors_are_cut(void)
{
    g_autofree char *text = g_strnfill(100000, 'x');
    g_autoptr(GError) error = stead_client_error_from_reply(500, text, 100000);
    g_assert_cmpuint(strlen(error->message), <, 300);
}

static void test_a_missing_daemon_is_unavailable(void)
{
    g_autoptr(SteadClient) client = stead_client_new_for_socket("/nonexistent/stead.sock");
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) reply = stead_client_call(client, "GET", "/v1", NULL, &error);
    g_assert_null(reply);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_UNAVAILABLE);
    g_assert_nonnull(strstr(stead_error_hint(error), "stead doctor"));
}

static void assert_connect_error(int io_code, SteadErrorCode expected)
{
    g_autoptr(SteadClient) client = stead_client_new_for_socket("/s");
    g_autoptr(GError) error =
        stead_client_connect_error(client, g_error_new_literal(G_IO_ERROR, io_code, "something"));
    g_assert_cmpint(stead_error_code(error), ==, expected);
}

static void test_connection_errors_have_classes(void)
{
    assert_connect_error(G_IO_ERROR_PERMISSION_DENIED, STEAD_ERROR_DENIED);
    assert_connect_error(G_IO_ERROR_CONNECTION_REFUSED, STEAD_ERROR_UNAVAILABLE);
    assert_connect_error(G_IO_ERROR_TIMED_OUT, STEAD_ERROR_UNAVAILABLE);
    assert_connect_error(G_IO_ERROR_CANCELLED, STEAD_ERROR_CANCELLED);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/client/paths-are-encoded", test_paths_are_encoded);
    g_test_add_func("/client/api-errors-keep-all", test_api_errors_keep_code_message_and_hint);
    g_test_add_func("/client/other-errors-are-quoted", test_other_errors_are_quoted);
    g_test_add_func("/client/long-errors-are-cut", test_long_errors_are_cut);
    g_test_add_func("/client/a-missing-daemon-is-unavailable",
                    test_a_missing_daemon_is_unavailable);
    g_test_add_func("/client/connection-errors-have-classes", test_connection_errors_have_classes);
    return g_test_run();
}
