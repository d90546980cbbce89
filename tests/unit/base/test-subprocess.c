/* SPDX-License-Identifier: Apache-2.0 */
#include "base/subprocess.h"

#include <signal.h>
#include <string.h>

#include "base/error.h"

static void test_output_and_input(void)
{
    const char *const argv[] = {"tr", "a-z", "A-Z", NULL};
    SteadRunOptions options = {.input = "hello"};
    g_autofree char *output = NULL;
    g_autoptr(GError) error = NULL;
    g_assert_true(stead_run(argv, &options, NULL, &output, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(output, ==, "HELLO");
}

static void test_failure_says_why(void)
{
    const char *const argv[] = {"sh", "-c", "echo broken disk >&2; exit 3", NULL};
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_run(argv, NULL, NULL, NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INTERNAL);
    g_assert_cmpstr(error->message, ==, "sh failed (exit code 3): broken disk");
}

static void test_missing_program(void)
{
    const char *const argv[] = {"no-such-program-here", NULL};
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_run(argv, NULL, NULL, NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_MISSING);
}

static void collect(const char *line, gpointer data)
{
    g_ptr_array_add(data, g_strdup(line));
}

static void test_lines_arrive_one_by_one(void)
{
    const char *const argv[] = {"printf", "one\\ntwo\\rthree", NULL};
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    SteadRunOptions options = {.on_line = collect, .data = lines};
    g_assert_true(stead_run(argv, &options, NULL, NULL, NULL));
    g_assert_cmpuint(lines->len, ==, 3);
    g_assert_cmpstr(lines->pdata[1], ==, "two");
    g_assert_cmpstr(lines->pdata[2], ==, "three");
}

static void test_lines_of_standard_error(void)
{
    const char *const argv[] = {"sh", "-c", "echo one >&2; echo apart; printf two >&2; exit 3",
                                NULL};
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    SteadRunOptions options = {.on_error_line = collect, .data = lines};
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_run(argv, &options, NULL, NULL, &error));
    g_assert_cmpuint(lines->len, ==, 2);
    g_assert_cmpstr(lines->pdata[0], ==, "one");
    g_assert_cmpstr(lines->pdata[1], ==, "two");
    g_assert_cmpstr(error->message, ==, "sh failed (exit code 3): one\ntwo");
}

static gboolean cancel_now(gpointer cancellable)
{
    g_cancellable_cancel(cancellable);
    return G_SOURCE_REMOVE;
}

static gpointer cancel_soon(gpointer cancellable)
{
    g_usleep(50 * 1000);
    cancel_now(cancellable);
    return NULL;
}

static void test_cancelling_ends_the_program(void)
{
    const char *const argv[] = {"sleep", "1000", NULL};
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    GThread *thread = g_thread_new("cancel", cancel_soon, cancellable);
    g_assert_false(stead_run(argv, NULL, cancellable, NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CANCELLED);
    g_thread_join(thread);
}

/* The child in the background holds standard output for as long as it runs. */
static void test_cancelling_waits_for_no_grandchild(void)
{
    const char *const argv[] = {"sh", "-c", "sleep 20 & echo $!; exec sleep 1000", NULL};
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    SteadRunOptions options = {.on_line = collect, .data = lines};
    g_autoptr(GError) error = NULL;
    gint64 begun = g_get_monotonic_time();
    GThread *thread = g_thread_new("cancel", cancel_soon, cancellable);
    g_assert_false(stead_run(argv, &options, cancellable, NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CANCELLED);
    g_assert_cmpint(g_get_monotonic_time() - begun, <, 10 * G_TIME_SPAN_SECOND);
    g_thread_join(thread);
    if (lines->len > 0)
        kill((pid_t)g_ascii_strtoll(lines->pdata[0], NULL, 10), SIGKILL);
}

static void test_endless_output_is_cut_off(void)
{
    const char *const argv[] = {"yes", NULL};
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_run(argv, NULL, NULL, NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_EXHAUSTED);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/run/output-and-input", test_output_and_input);
    g_test_add_func("/run/failure-says-why", test_failure_says_why);
    g_test_add_func("/run/missing-program", test_missing_program);
    g_test_add_func("/run/lines-arrive-one-by-one", test_lines_arrive_one_by_one);
    g_test_add_func("/run/lines-of-standard-error", test_lines_of_standard_error);
    g_test_add_func("/run/cancelling-ends-the-program", test_cancelling_ends_the_program);
    g_test_add_func("/run/cancelling-waits-for-no-grandchild",
                    test_cancelling_waits_for_no_grandchild);
    g_test_add_func("/run/endless-output-is-cut-off", test_endless_output_is_cut_off);
    return g_test_run();
}
