/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freezing: the guest stands still while the engine writes its state and `copy_disks` copies its
 * disks, so that all of it is of one moment; then it goes on. Whatever fails, it goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/error.h"
#include "runtime/microvm/engine.h"
#include "runtime/microvm/frozen_sums.h"

#define SYNC_TIMEOUT_MS 60000
/* What a guest has put off for a moment (freeing what ended processes had, timers that were due) is
 * done in this time, once, and not by each clone. */
#define SETTLE_MS 200

int stead_frozen_make(const char *dir, const char *name, GError **error)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(errno), "making %s: %s", path,
                    g_strerror(errno));
    return fd;
}

static gboolean settle(const SteadMonitor *monitor, GCancellable *cancellable, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + SETTLE_MS * G_TIME_SPAN_MILLISECOND;
    g_autoptr(GError) why = NULL;
    gboolean ended = stead_monitor_await_end(monitor, deadline, cancellable, &why);
    if (g_error_matches(why, STEAD_ERROR, STEAD_ERROR_TIMEOUT))
        return TRUE;
    if (!ended) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    stead_set_error(error, STEAD_ERROR_STATE, NULL, "it ended before it was frozen");
    return FALSE;
}

gboolean stead_microvm_freeze(gpointer self, const SteadMachine *machine, const char *dir,
                              SteadCopyFunc copy_disks, gpointer data, GCancellable *cancellable,
                              GError **error)
{
    gint64 deadline = g_get_monotonic_time() + SYNC_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;
    const SteadEngineProgram *program = stead_engine_program(machine->engine);
    g_autoptr(SteadMonitor) monitor = stead_monitor_find(self, machine->id, cancellable, error);
    if (monitor == NULL || !stead_agent_sync(monitor->agent, deadline, cancellable, error) ||
        !settle(monitor, cancellable, error) || !stead_monitor_halt(monitor, cancellable, error))
        return FALSE;
    gboolean done = program->save(monitor, machine, dir, cancellable, error) &&
                    (copy_disks == NULL || copy_disks(data, error));
    if (done)
        return stead_monitor_go_on(monitor, error) && stead_frozen_sums_write(dir, error);
    stead_monitor_let_go(monitor);
    return FALSE;
}
