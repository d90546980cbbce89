/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of one instance: the same freezing as for templates, with the disks copied whole, so
 * that each snapshot stands alone and can be removed in any order.
 *
 *     STATE/instances/ID/snapshots/SNAPSHOT/    memory, state (with memory), disk0, disk1 ..., sums
 *
 * A restore that was cut off is done again from the start: nothing in the snapshot is changed by
 * it.
 */
#include <errno.h>
#include <glib/gstdio.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/paths.h"
#include "runtime/json_member.h"
#include "runtime/microvm/engine.h"
#include "runtime/microvm/frozen_sums.h"
#include "storage/prepared.h"

#define SYNC_TIMEOUT_MS 60000
#define CLOCK_TIMEOUT_MS 20000

static char *snapshot_dir(const SteadMachine *machine, const char *snapshot_id)
{
    return g_build_filename(machine->dir, "snapshots", snapshot_id, NULL);
}

static char *disk_copy(const char *dir, guint n)
{
    g_autofree char *name = g_strdup_printf("disk%u", n);
    return g_build_filename(dir, name, NULL);
}

typedef struct {
    const SteadMachine *machine;
    const char *dir;
} Copying;

static gboolean copy_disks(gpointer data, GError **error)
{
    const Copying *copying = data;
    for (guint i = 0; i < copying->machine->disks->len; i++) {
        const SteadMachineDisk *disk = copying->machine->disks->pdata[i];
        g_autofree char *path = disk_copy(copying->dir, i);
        if (!disk->read_only && !stead_disk_file_clone(disk->path, path, error))
            return FALSE;
    }
    return TRUE;
}

/* Disks of a running guest without its memory: what the guest has synced, at one moment. */
static gboolean copy_running(SteadMonitor *monitor, Copying *copying, GCancellable *cancellable,
                             GError **error)
{
    gint64 deadline = g_get_monotonic_time() + SYNC_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;
    if (stead_agent_is_ready(monitor->agent) &&
        !stead_agent_sync(monitor->agent, deadline, cancellable, error))
        return FALSE;
    if (!stead_monitor_halt(monitor, cancellable, error))
        return FALSE;
    if (copy_disks(copying, error))
        return stead_monitor_go_on(monitor, error);
    stead_monitor_let_go(monitor);
    return FALSE;
}

static gboolean take(SteadMicrovm *microvm, const SteadMachine *machine, const char *dir,
                     gboolean memory, GCancellable *cancellable, GError **error)
{
    Copying copying = {machine, dir};
    if (memory)
        return stead_microvm_freeze(microvm, machine, dir, copy_disks, &copying, cancellable,
                                    error);
    g_autoptr(GError) why = NULL;
    g_autoptr(SteadMonitor) monitor = stead_monitor_attach(microvm, machine->id, cancellable, &why);
    if (why) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    return (monitor ? copy_running(monitor, &copying, cancellable, error)
                    : copy_disks(&copying, error)) &&
           stead_frozen_sums_write(dir, error);
}

/* What a frozen machine is made of, since the spec may change before it is restored. */
static JsonNode *describe(const SteadMachine *machine, const char *dir, gboolean memory)
{
    JsonObject *object = json_object_new();
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    json_object_set_int_member(object, "size", (gint64)stead_folder_size(dir));
    if (memory) {
        json_object_set_int_member(object, "cpus", machine->spec->cpus);
        json_object_set_int_member(object, "memory", (gint64)machine->spec->memory.max);
        json_object_set_string_member(object, "engine",
                                      stead_engine_program(machine->engine)->name);
        json_object_set_string_member(object, "accel", machine->accel);
    }
    json_node_take_object(node, object);
    return node;
}

JsonNode *stead_microvm_snapshot(gpointer self, const SteadMachine *machine,
                                 const char *snapshot_id, gboolean memory,
                                 SteadProgressFunc progress, gpointer data,
                                 GCancellable *cancellable, GError **error)
{
    g_autofree char *dir = snapshot_dir(machine, snapshot_id);
    if (!stead_make_dir(dir, 0700, error))
        return NULL;
    if (take(self, machine, dir, memory, cancellable, error))
        return describe(machine, dir, memory);
    stead_remove_tree(dir, NULL);
    return NULL;
}

/* ---- restoring ---- */

/* The copy takes the disk's place when all of it is on the disk beneath. */
static gboolean replace(const char *path, const char *copy, GError **error)
{
    g_autofree char *fresh = g_strconcat(path, ".restored", NULL);
    g_autofree char *folder = g_path_get_dirname(path);
    if (!stead_disk_file_clone(copy, fresh, error) || !stead_sync(fresh, error))
        return FALSE;
    if (g_rename(fresh, path) == 0)
        return stead_sync(folder, error);
    int saved = errno;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "replacing %s: %s", path,
                g_strerror(saved));
    return FALSE;
}

static gboolean put_back(const SteadMachine *machine, const char *dir, GError **error)
{
    for (guint i = 0; i < machine->disks->len; i++) {
        const SteadMachineDisk *disk = machine->disks->pdata[i];
        g_autofree char *copy = disk_copy(dir, i);
        if (!g_file_test(copy, G_FILE_TEST_EXISTS))
            continue; /* read-only, or attached since */
        if (!replace(disk->path, copy, error))
            return FALSE;
    }
    return TRUE;
}

/* Best effort: its clock stood still, and nothing else of it is wrong. */
static void set_clock(SteadMicrovm *microvm, const char *id)
{
    guint8 payload[16];
    gint64 deadline = g_get_monotonic_time() + CLOCK_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;
    GuestClock clock = {(guint64)g_get_real_time() * 1000};
    GuestFields fields = guest_fields_writer(payload, sizeof payload);
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadMonitor) monitor = stead_monitor_attach(microvm, id, NULL, NULL);
    guest_clock_fields(&fields, &clock);
    ssize_t length = guest_fields_end(&fields);
    if (monitor == NULL || length <= 0)
        return;
    g_autoptr(GBytes) done = stead_agent_ask(monitor->agent, GUEST_CLOCK, payload, (gsize)length,
                                             GUEST_OK, deadline, NULL, &error);
    if (done == NULL)
        g_message("the clock of %s: %s", id, error->message);
}

static void take_text(JsonNode *layers, const char *name, char **text)
{
    const char *found = stead_json_text_in(stead_json_object(layers), name);
    if (found == NULL)
        return;
    g_free(*text);
    *text = g_strdup(found);
}

/* As it was when its memory was taken. */
static gboolean take_back(SteadMicrovm *microvm, SteadMachine *machine, const char *dir,
                          JsonNode *layers, GError **error)
{
    machine->frozen = g_strdup(dir);
    machine->itself = TRUE;
    machine->spec->cpus = (guint)stead_json_count_in(stead_json_object(layers), "cpus");
    machine->spec->memory.max = stead_json_count_in(stead_json_object(layers), "memory");
    take_text(layers, "engine", &machine->engine);
    take_text(layers, "accel", &machine->accel);
    return stead_microvm_choose(microvm, machine, error);
}

static gboolean go_on(SteadMicrovm *microvm, const SteadMachine *machine, GError **error)
{
    if (!stead_microvm_launch(microvm, machine, error))
        return FALSE;
    set_clock(microvm, machine->id);
    return TRUE;
}

/* Before anything of the machine as it is now is given up. */
static gboolean is_whole(SteadMicrovm *microvm, const SteadMachine *machine, const char *dir,
                         GError **error)
{
    stead_autofd memory = -1, state = -1;
    return machine->frozen ? stead_microvm_check_frozen(microvm, machine, error) &&
                                 stead_frozen_open(microvm->frozen, dir, &memory, &state, error)
                           : stead_frozen_check(microvm->frozen, dir, error);
}

gboolean stead_microvm_restore(gpointer self, SteadMachine *machine, const char *snapshot_id,
                               JsonNode *layers, GError **error)
{
    g_autofree char *dir = snapshot_dir(machine, snapshot_id);
    gboolean memory = stead_json_count_in(stead_json_object(layers), "memory") > 0;
    gboolean done = (!memory || take_back(self, machine, dir, layers, error)) &&
                    is_whole(self, machine, dir, error) &&
                    stead_microvm_kill(self, machine->id, error) && put_back(machine, dir, error) &&
                    (!memory || go_on(self, machine, error));
    stead_frozen_drop(((SteadMicrovm *)self)->frozen, dir);
    return done;
}

gboolean stead_microvm_snapshot_remove(gpointer self, const SteadMachine *machine,
                                       const char *snapshot_id, JsonNode *layers, GError **error)
{
    SteadMicrovm *microvm = self;
    g_autofree char *dir = snapshot_dir(machine, snapshot_id);
    stead_frozen_drop(microvm->frozen, dir);
    return stead_remove_tree(dir, error);
}
