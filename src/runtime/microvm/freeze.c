/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freezing: the guest stands still while the engine writes its state and `copy_disks` copies its
 * disks, so that all of it is of one moment; then it goes on. Whatever fails, it goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <glib-unix.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "runtime/microvm/internal.h"
#include "runtime/microvm/migration.h"

#define MEMORY_BLOCK "ram"
#define FULL_SPEED (G_GINT64_CONSTANT(1) << 40)
#define SYNC_TIMEOUT_MS 60000
#define LOAD_TIMEOUT_MS 20000
/* What a guest has put off for a moment (freeing what ended processes had, timers that were due) is
 * done in this time, once, and not by each clone. */
#define SETTLE_MS 200

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

static JsonObject *full_speed(void)
{
    JsonObject *arguments = json_object_new();
    json_object_set_int_member(arguments, "max-bandwidth", FULL_SPEED);
    return arguments;
}

/* Nobody has to learn where it went: it is where it was, or not yet let into its networks. */
static JsonObject *no_announcement(void)
{
    JsonObject *arguments = json_object_new();
    json_object_set_int_member(arguments, "announce-rounds", 0);
    return arguments;
}

static int make_file(const char *dir, const char *name, GError **error)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(errno), "making %s: %s", path,
                    g_strerror(errno));
    return fd;
}

/* Why the engine gave up, where the stream that it wrote makes no sense. */
static void explain(SteadMonitor *monitor, GError **error)
{
    g_autoptr(JsonNode) answer = stead_qmp_call(monitor->qmp, "query-migrate", NULL, -1, NULL);
    JsonObject *object =
        answer && JSON_NODE_HOLDS_OBJECT(answer) ? json_node_get_object(answer) : NULL;
    const char *words =
        object ? json_object_get_string_member_with_default(object, "error-desc", NULL) : NULL;
    if (words)
        g_prefix_error(error, "%.300s: ", words);
}

static gboolean write_state(SteadMonitor *monitor, const SteadMachine *machine, const char *dir,
                            GError **error)
{
    int ends[2];
    stead_autofd memory = make_file(dir, "memory", error);
    stead_autofd state = memory < 0 ? -1 : make_file(dir, "state", error);
    if (state < 0)
        return FALSE;
    if (ftruncate(memory, (off_t)machine->spec->memory.max) != 0 ||
        !g_unix_open_pipe(ends, FD_CLOEXEC, error))
        return FALSE;
    stead_autofd from = ends[0];
    stead_autofd to = ends[1];
    gboolean begun =
        stead_qmp_do(monitor->qmp, "getfd", one_string("fdname", "state"), to, error) &&
        stead_qmp_do(monitor->qmp, "migrate", one_string("uri", "fd:state"), -1, error);
    stead_clear_fd(&to);
    if (!begun)
        return FALSE;
    if (stead_migration_split(from, MEMORY_BLOCK, machine->spec->memory.max, memory, state, error))
        return TRUE;
    stead_clear_fd(&from);
    explain(monitor, error);
    return FALSE;
}

/* The state was taken of a machine that stood still, and is loaded as such. */
gboolean stead_monitor_thaw(SteadMonitor *monitor, int state, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + LOAD_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;
    return stead_qmp_do(monitor->qmp, "migrate-set-capabilities", capabilities(), -1, error) &&
           stead_qmp_do(monitor->qmp, "migrate-set-parameters", no_announcement(), -1, error) &&
           stead_qmp_do(monitor->qmp, "getfd", one_string("fdname", "state"), state, error) &&
           stead_qmp_do(monitor->qmp, "migrate-incoming", one_string("uri", "fd:state"), -1,
                        error) &&
           stead_monitor_await_loaded(monitor, deadline, error) &&
           stead_qmp_do(monitor->qmp, "cont", NULL, -1, error);
}

static gboolean settle(const SteadMonitor *monitor, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + SETTLE_MS * G_TIME_SPAN_MILLISECOND;
    g_autoptr(GError) why = NULL;
    if (!stead_monitor_await_end(monitor, deadline, NULL, &why) &&
        g_error_matches(why, STEAD_ERROR, STEAD_ERROR_TIMEOUT))
        return TRUE;
    stead_set_error(error, STEAD_ERROR_STATE, NULL, "it ended before it was frozen");
    return FALSE;
}

gboolean stead_microvm_freeze(gpointer self, const SteadMachine *machine, const char *dir,
                              SteadCopyFunc copy_disks, gpointer data, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + SYNC_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;
    g_autoptr(SteadMonitor) monitor = stead_monitor_find(self, machine->id, error);
    if (monitor == NULL || !stead_agent_sync(monitor->agent, deadline, NULL, error) ||
        !stead_qmp_do(monitor->qmp, "migrate-set-capabilities", capabilities(), -1, error) ||
        !stead_qmp_do(monitor->qmp, "migrate-set-parameters", full_speed(), -1, error) ||
        !settle(monitor, error) || !stead_monitor_halt(monitor, TRUE, error))
        return FALSE;
    gboolean done = write_state(monitor, machine, dir, error) &&
                    (copy_disks == NULL || copy_disks(data, error));
    GError **why = done ? error : NULL;
    done = stead_monitor_halt(monitor, FALSE, why) && done;
    return done && stead_frozen_seal(dir, error);
}
