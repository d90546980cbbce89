/* SPDX-License-Identifier: Apache-2.0 */
/* The wrappers, over a driver that does almost nothing. */
#include "runtime/runtime.h"

#include "base/error.h"

static gboolean starts(gpointer self, const SteadMachine *machine, GError **error)
{
    ++*(int *)self;
    return TRUE;
}

static gboolean fails(gpointer self, const char *id, GError **error)
{
    stead_set_error(error, STEAD_ERROR_GUEST, "Look.", "it does not want to");
    return FALSE;
}

static gboolean does_not_pause(gpointer self, const char *id, GCancellable *cancellable,
                               GError **error)
{
    return fails(self, id, error);
}

static const SteadDriver driver = {.name = "vm",
                                   .kind = STEAD_KIND_VM,
                                   .features = STEAD_FEATURE_PAUSE,
                                   .start = starts,
                                   .pause = does_not_pause,
                                   .agent_ping = fails};

static void test_calls_reach_the_driver(void)
{
    int calls = 0;
    SteadRuntime *runtime = stead_runtime_new(&driver, &calls);
    g_autoptr(SteadMachine) machine = stead_machine_new();
    machine->name = g_strdup("web");
    g_assert_true(stead_runtime_start(runtime, machine, NULL));
    g_assert_cmpint(calls, ==, 1);
    g_assert_cmpint((int)stead_runtime_kind(runtime), ==, STEAD_KIND_VM);
    stead_runtime_free(runtime);
}

static void test_errors_say_what_was_done(void)
{
    g_autoptr(GError) error = NULL;
    SteadRuntime *runtime = stead_runtime_new(&driver, NULL);
    g_assert_false(stead_runtime_pause(runtime, "web", NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_GUEST);
    g_assert_cmpstr(error->message, ==, "pausing web: it does not want to");
    g_assert_cmpstr(stead_error_hint(error), ==, "Look.");
    stead_runtime_free(runtime);
}

/* A slot that is there does not count without its feature, nor a feature without its slot. */
static void test_what_a_driver_lacks_is_unsupported(void)
{
    g_autoptr(GError) no_feature = NULL, no_slot = NULL, no_list = NULL;
    SteadRuntime *runtime = stead_runtime_new(&driver, NULL);
    g_assert_false(stead_runtime_agent_ping(runtime, "web", &no_feature));
    g_assert_error(no_feature, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED);
    g_assert_false(stead_runtime_resume(runtime, "web", &no_slot));
    g_assert_error(no_slot, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED);
    g_assert_null(stead_runtime_list(runtime, &no_list));
    g_assert_error(no_list, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED);
    g_assert_true(stead_runtime_has(runtime, STEAD_FEATURE_PAUSE));
    g_assert_false(stead_runtime_has(runtime, STEAD_FEATURE_PAUSE | STEAD_FEATURE_EXEC));
    stead_runtime_free(runtime);
}

static void test_nothing_can_be_freed(void)
{
    stead_runtime_free(NULL);
    stead_machine_free(NULL);
    stead_machine_disk_free(NULL);
    stead_machine_nic_free(NULL);
    stead_actual_free(NULL);
    stead_exec_result_free(NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/runtime/calls-reach-the-driver", test_calls_reach_the_driver);
    g_test_add_func("/runtime/errors-say-what-was-done", test_errors_say_what_was_done);
    g_test_add_func("/runtime/what-a-driver-lacks-is-unsupported",
                    test_what_a_driver_lacks_is_unsupported);
    g_test_add_func("/runtime/nothing-can-be-freed", test_nothing_can_be_freed);
    return g_test_run();
}
