/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's agent may say, and what it may not. */
#include "runtime/vm/agent_reply.h"

#include <string.h>

#include "base/error.h"

static JsonNode *parse(const char *reply)
{
    g_autoptr(GError) error = NULL;
    JsonNode *node = stead_agent_reply_parse(reply, &error);
    if (node == NULL)
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_GUEST);
    return node;
}

static void test_status_of_a_command_that_ended(void)
{
    g_autoptr(JsonNode) node =
        parse("{\"return\":{\"exited\":true,\"exitcode\":3,\"out-data\":\"aGk=\","
              "\"err-data\":\"\",\"out-truncated\":true}}");
    SteadExecResult *result = NULL;
    g_assert_true(stead_agent_reply_status(node, &result, NULL));
    g_assert_cmpint(result->exit_code, ==, 3);
    gsize length = 0;
    const void *out = g_bytes_get_data(result->out, &length);
    g_assert_cmpmem(out, length, "hi", 2);
    g_assert_cmpuint(g_bytes_get_size(result->err), ==, 0);
    g_assert_true(result->truncated);
    stead_exec_result_free(result);
}

static void test_a_signal_is_128_and_more(void)
{
    g_autoptr(JsonNode) node = parse("{\"return\":{\"exited\":true,\"signal\":9}}");
    SteadExecResult *result = NULL;
    g_assert_true(stead_agent_reply_status(node, &result, NULL));
    g_assert_cmpint(result->exit_code, ==, 137);
    stead_exec_result_free(result);
}

static void test_a_command_that_runs_has_no_result(void)
{
    g_autoptr(JsonNode) node = parse("{\"return\":{\"exited\":false}}");
    SteadExecResult *result = NULL;
    g_assert_true(stead_agent_reply_status(node, &result, NULL));
    g_assert_null(result);
}

static void test_nonsense_is_refused(void)
{
    static const char *const nonsense[] = {
        "", "{", "[]", "3", "null", "{}", "{\"error\":{}}", "\"return\""};
    for (gsize i = 0; i < G_N_ELEMENTS(nonsense); i++)
        g_assert_null(parse(nonsense[i]));
}

static void test_values_are_bounded(void)
{
    g_autoptr(GString) text = g_string_new("{\"return\":[0");
    for (guint i = 0; i < STEAD_AGENT_VALUES_MAX; i++)
        g_string_append(text, ",0");
    g_string_append(text, "]}");
    g_assert_null(parse(text->str));
    g_assert_null(parse("/*\"*/{\"return\":0}"));
}

static void test_members_of_wrong_types_do_no_harm(void)
{
    static const char *const replies[] = {
        "{\"return\":{\"exited\":\"yes\"}}",
        "{\"return\":{\"exited\":true,\"exitcode\":{},\"signal\":[],\"out-data\":7}}",
        "{\"return\":{\"exited\":true,\"exitcode\":99999999999,\"out-data\":\"%%%\"}}",
        "{\"return\":{\"exited\":true,\"signal\":-5,\"err-data\":null}}",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(replies); i++) {
        g_autoptr(JsonNode) node = parse(replies[i]);
        SteadExecResult *result = NULL;
        g_assert_true(stead_agent_reply_status(node, &result, NULL));
        if (result)
            g_assert_cmpint(result->exit_code, <=, 255);
        stead_exec_result_free(result);
    }
    g_autoptr(JsonNode) list = parse("{\"return\":[]}");
    g_autoptr(GError) error = NULL;
    SteadExecResult *result = NULL;
    gint64 pid = 0;
    g_assert_false(stead_agent_reply_status(list, &result, &error));
    g_assert_false(stead_agent_reply_pid(list, &pid, NULL));
    g_autoptr(JsonNode) text = parse("{\"return\":{\"pid\":\"7\"}}");
    g_assert_false(stead_agent_reply_pid(text, &pid, NULL));
}

/* Parsed as it is, this would overflow the stack. */
static void test_depth_is_bounded(void)
{
    gsize n = 1000000;
    g_autofree char *deep = g_malloc(n + 1);
    memset(deep, '[', n);
    deep[n] = '\0';
    g_assert_null(parse(deep));
    g_autoptr(JsonNode) text = parse("{\"return\":\"[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[[[[\"}");
    g_assert_nonnull(text);
}

static void test_requests_hold_what_was_given(void)
{
    const char *const argv[] = {"sh", "-c", "echo \"$HOME\" \\ \n", NULL};
    g_autofree char *request = stead_agent_exec_request(argv, "in");
    g_autoptr(JsonNode) node = json_from_string(request, NULL);
    JsonObject *arguments = json_object_get_object_member(json_node_get_object(node), "arguments");
    g_assert_cmpstr(json_object_get_string_member(arguments, "path"), ==, "sh");
    JsonArray *rest = json_object_get_array_member(arguments, "arg");
    g_assert_cmpuint(json_array_get_length(rest), ==, 2);
    g_assert_cmpstr(json_array_get_string_element(rest, 1), ==, argv[2]);
    g_assert_cmpstr(json_object_get_string_member(arguments, "input-data"), ==, "aW4=");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/agent/status-of-a-command-that-ended", test_status_of_a_command_that_ended);
    g_test_add_func("/agent/a-signal-is-128-and-more", test_a_signal_is_128_and_more);
    g_test_add_func("/agent/a-command-that-runs-has-no-result",
                    test_a_command_that_runs_has_no_result);
    g_test_add_func("/agent/nonsense-is-refused", test_nonsense_is_refused);
    g_test_add_func("/agent/values-are-bounded", test_values_are_bounded);
    g_test_add_func("/agent/members-of-wrong-types-do-no-harm",
                    test_members_of_wrong_types_do_no_harm);
    g_test_add_func("/agent/depth-is-bounded", test_depth_is_bounded);
    g_test_add_func("/agent/requests-hold-what-was-given", test_requests_hold_what_was_given);
    return g_test_run();
}
