/* SPDX-License-Identifier: Apache-2.0 */
/* stead-vmm writes both files itself, and maps the memory's when it takes a machine up again. */
#include "base/cleanup.h"
#include "runtime/microvm/engine.h"

/* Of the answer, beside a slow disk's time for each byte of memory. */
#define SAVE_TIMEOUT_MS 60000
#define SAVE_BYTES_PER_MS 10000

static gboolean name_fd(SteadMonitor *monitor, const char *name, int fd, GError **error)
{
    JsonObject *arguments = json_object_new();
    json_object_set_string_member(arguments, "fdname", name);
    return stead_qmp_do(monitor->qmp, "getfd", arguments, fd, error);
}

gboolean stead_vmm_save(SteadMonitor *monitor, const SteadMachine *machine, const char *dir,
                        GCancellable *cancellable, GError **error)
{
    stead_autofd memory = stead_frozen_make(dir, "memory", error);
    stead_autofd state = memory < 0 ? -1 : stead_frozen_make(dir, "state", error);
    if (state < 0 || !name_fd(monitor, "memory", memory, error) ||
        !name_fd(monitor, "state", state, error))
        return FALSE;
    JsonObject *arguments = json_object_new();
    json_object_set_string_member(arguments, "memory", "memory");
    json_object_set_string_member(arguments, "state", "state");
    const SteadQmpCommand command = {.name = "snapshot-save",
                                     .arguments = arguments,
                                     .fd = -1,
                                     .timeout_ms = SAVE_TIMEOUT_MS +
                                                   machine->spec->memory.max / SAVE_BYTES_PER_MS,
                                     .cancellable = cancellable};
    g_autoptr(JsonNode) saved = stead_qmp_ask(monitor->qmp, &command, error);
    return saved != NULL;
}

gboolean stead_vmm_load(SteadMonitor *monitor, int state, GError **error)
{
    JsonObject *arguments = json_object_new();
    json_object_set_string_member(arguments, "state", "state");
    if (name_fd(monitor, "state", state, error))
        return stead_qmp_do(monitor->qmp, "snapshot-load", arguments, -1, error);
    json_object_unref(arguments);
    return FALSE;
}
