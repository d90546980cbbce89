/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU writes a machine down by migrating it into a pipe, whose stream is taken apart
 * (migration.h), and takes it up again by an incoming migration.
 */
#include <string.h>
#include <unistd.h>

#include <glib-unix.h>

#include "base/cleanup.h"
#include "runtime/json_member.h"
#include "runtime/microvm/engine.h"
#include "runtime/microvm/migration.h"

#define MEMORY_BLOCK "ram"
#define FULL_SPEED (G_GINT64_CONSTANT(1) << 40)
#define LOAD_TIMEOUT_MS 20000
/* Until it has given up. */
#define END_TIMEOUT_MS 20000
#define SHORT_TIMEOUT_MS 1000

static JsonObject *one_string(const char *name, const char *value)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, name, value);
    return object;
}

/* Memory comes by other means, and the end of a migration is told. */
static JsonObject *capabilities(void)
{
    static const char *const names[] = {"x-ignore-shared", "events"};
    JsonObject *arguments = json_object_new();
    JsonArray *list = json_array_new();
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        JsonObject *capability = one_string("capability", names[i]);
        json_object_set_boolean_member(capability, "state", TRUE);
        json_array_add_object_element(list, capability);
    }
    json_object_set_array_member(arguments, "capabilities", list);
    return arguments;
}

/* Nobody has to learn where it went: it is where it was, or not yet let into its networks. */
static JsonObject *no_announcement(void)
{
    JsonObject *arguments = json_object_new();
    json_object_set_int_member(arguments, "announce-rounds", 0);
    return arguments;
}

static JsonObject *full_speed(void)
{
    JsonObject *arguments = json_object_new();
    json_object_set_int_member(arguments, "max-bandwidth", FULL_SPEED);
    return arguments;
}

/* Of an engine that may not answer any more. */
static JsonNode *ask_shortly(SteadMonitor *monitor, const char *what)
{
    const SteadQmpCommand command = {.name = what, .fd = -1, .timeout_ms = SHORT_TIMEOUT_MS};
    return stead_qmp_ask(monitor->qmp, &command, NULL);
}

/* Why the engine gave up, where the stream that it wrote makes no sense. */
static void explain(SteadMonitor *monitor, GError **error)
{
    g_autoptr(JsonNode) answer = ask_shortly(monitor, "query-migrate");
    const char *words = stead_json_text_in(stead_json_object(answer), "error-desc");
    if (words)
        g_prefix_error(error, "%.300s: ", words);
}

/* The engine has to be done with it before its guest may go on: it would be stopped again. */
static void give_up(SteadMonitor *monitor, gboolean begun)
{
    gint64 deadline = g_get_monotonic_time() + END_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;
    g_autoptr(JsonNode) answer = ask_shortly(monitor, "migrate_cancel");
    if (answer && begun)
        stead_monitor_await_migration(monitor, deadline, NULL);
}

/* FALSE when it has not begun. */
static gboolean begin(SteadMonitor *monitor, int to, GError **error)
{
    stead_monitor_begin_migration(monitor);
    return stead_qmp_do(monitor->qmp, "migrate-set-capabilities", capabilities(), -1, error) &&
           stead_qmp_do(monitor->qmp, "migrate-set-parameters", full_speed(), -1, error) &&
           stead_qmp_do(monitor->qmp, "getfd", one_string("fdname", "state"), to, error) &&
           stead_qmp_do(monitor->qmp, "migrate", one_string("uri", "fd:state"), -1, error);
}

gboolean stead_qemu_save(SteadMonitor *monitor, const SteadMachine *machine, const char *dir,
                         GCancellable *cancellable, GError **error)
{
    int ends[2];
    stead_autofd memory = stead_frozen_make(dir, "memory", error);
    stead_autofd state = memory < 0 ? -1 : stead_frozen_make(dir, "state", error);
    if (state < 0)
        return FALSE;
    if (ftruncate(memory, (off_t)machine->spec->memory.max) != 0 ||
        !g_unix_open_pipe(ends, FD_CLOEXEC, error))
        return FALSE;
    stead_autofd from = ends[0];
    stead_autofd to = ends[1];
    gboolean begun = begin(monitor, to, error);
    stead_clear_fd(&to);
    const SteadMigration migration = {.from = from,
                                      .block = MEMORY_BLOCK,
                                      .size = machine->spec->memory.max,
                                      .memory = memory,
                                      .state = state,
                                      .cancellable = cancellable};
    if (begun && stead_migration_split(&migration, error))
        return TRUE;
    stead_clear_fd(&from);
    if (begun)
        explain(monitor, error);
    give_up(monitor, begun);
    return FALSE;
}

/* The state was taken of a machine that stood still, and is loaded as such. */
gboolean stead_qemu_load(SteadMonitor *monitor, int state, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + LOAD_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;
    stead_monitor_begin_migration(monitor);
    return stead_qmp_do(monitor->qmp, "migrate-set-capabilities", capabilities(), -1, error) &&
           stead_qmp_do(monitor->qmp, "migrate-set-parameters", no_announcement(), -1, error) &&
           stead_qmp_do(monitor->qmp, "getfd", one_string("fdname", "state"), state, error) &&
           stead_qmp_do(monitor->qmp, "migrate-incoming", one_string("uri", "fd:state"), -1,
                        error) &&
           stead_monitor_await_migration(monitor, deadline, error);
}
