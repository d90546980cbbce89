/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a machine to a running engine and back. An engine that runs is a process on record; each
 * operation looks for it first, and is done when it is as it should be.
 */
#include "base/detached.h"
#include "base/error.h"
#include "base/paths.h"
#include "runtime/microvm/choice.h"
#include "runtime/microvm/engine.h"
#include "runtime/microvm/logger.h"

/* The agent has so long to say that the guest will go down. */
#define ASK_TIMEOUT_MS 5000
/* A guest that is still booting loses the request to shut down: it is asked again. */
#define ASK_AGAIN_MS 10000

static gboolean refuse(GError **error, const char *field)
{
    stead_set_error(error, STEAD_ERROR_UNSUPPORTED, "Leave it out, or make it a vm: kind: vm.",
                    "a microvm has no %s", field);
    return FALSE;
}

gboolean stead_microvm_choose(gpointer self, SteadMachine *machine, GError **error)
{
    const SteadMicrovm *microvm = self;
    g_autofree char *vmm = stead_vmm_program.find(NULL);
    g_autofree char *why = microvm->kvm ? stead_kvm_describe(microvm->kvm) : NULL;
    const SteadEngineHost host = {
        .kvm = microvm->kvm && microvm->kvm->status == STEAD_KVM_USABLE,
        .why = why ? why : "not probed",
        .vmm = vmm != NULL,
    };
    return stead_engine_choice(&host, machine, error);
}

/* All that there is of one that does not run lies in its folders: what is left to do is to say
 * what it could not be. */
gboolean stead_microvm_prepare(gpointer self, const SteadMachine *machine, GError **error)
{
    const SteadInstanceSpec *spec = machine->spec;
    if (spec->cpu_pinning && spec->cpu_pinning[0])
        return refuse(error, "cpu-pinning");
    if (spec->numa.nodes)
        return refuse(error, "numa placement");
    if (spec->hugepages != STEAD_HUGEPAGES_OFF)
        return refuse(error, "huge pages");
    return spec->memory.reserve == 0 || refuse(error, "reserved memory");
}

gboolean stead_microvm_start(gpointer self, const SteadMachine *machine, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(SteadMonitor) running = stead_monitor_attach(self, machine->id, NULL, &why);
    /* One that was started ahead has had its disks open since. */
    if (running)
        return machine->frozen == NULL || stead_microvm_check_frozen(self, machine, error);
    if (why) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    if (machine->kernel || machine->frozen)
        return stead_microvm_launch(self, machine, error);
    stead_set_error(error, STEAD_ERROR_INVALID, NULL, "there is no kernel to boot");
    return FALSE;
}

/* The agent, where it answers, shuts the system down whatever its power button is set to. */
static gboolean ask_down(const SteadMonitor *monitor, GCancellable *cancellable, GError **error)
{
    const SteadQmpCommand button = {
        .name = "system_powerdown", .fd = -1, .cancellable = cancellable};
    gint64 deadline = g_get_monotonic_time() + ASK_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;
    if (stead_agent_is_ready(monitor->agent) &&
        stead_agent_shut_down(monitor->agent, deadline, cancellable, NULL))
        return TRUE;
    g_autoptr(JsonNode) pressed = stead_qmp_ask(monitor->qmp, &button, error);
    return pressed != NULL;
}

static gboolean await_down(const SteadMonitor *monitor, gint64 deadline, GCancellable *cancellable,
                           GError **error)
{
    for (;;) {
        g_autoptr(GError) why = NULL;
        gint64 again = g_get_monotonic_time() + ASK_AGAIN_MS * G_TIME_SPAN_MILLISECOND;
        if (!ask_down(monitor, cancellable, &why) && stead_qmp_is_open(monitor->qmp)) {
            g_propagate_error(error, g_steal_pointer(&why));
            return FALSE;
        }
        g_clear_error(&why);
        if (stead_monitor_await_end(monitor, MIN(again, deadline), cancellable, &why))
            return TRUE;
        if (!g_error_matches(why, STEAD_ERROR, STEAD_ERROR_TIMEOUT) ||
            g_get_monotonic_time() >= deadline) {
            g_propagate_error(error, g_steal_pointer(&why));
            return FALSE;
        }
    }
}

/* What an engine that has ended leaves in the run folder. */
static gboolean tidy(SteadMicrovm *microvm, const char *id, GError **error)
{
    static const char *const names[] = {"qmp.sock", "console.sock", "agent.sock"};
    g_autofree char *run_dir = g_build_filename(microvm->paths->run, "instances", id, NULL);
    g_autofree char *record = g_build_filename(run_dir, "engine.pid", NULL);
    if (!stead_logger_finish(run_dir, error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = stead_microvm_path(microvm, id, names[i]);
        if (!stead_remove_tree(path, error))
            return FALSE;
    }
    return stead_remove_tree(record, error);
}

gboolean stead_microvm_stop(gpointer self, const char *id, guint64 timeout_ms,
                            GCancellable *cancellable, GError **error)
{
    gint64 deadline =
        g_get_monotonic_time() + (gint64)MIN(timeout_ms, G_MAXINT32) * G_TIME_SPAN_MILLISECOND;
    g_autoptr(GError) why = NULL;
    g_autoptr(SteadMonitor) monitor = stead_monitor_attach(self, id, cancellable, &why);
    if (g_error_matches(why, STEAD_ERROR, STEAD_ERROR_TIMEOUT)) {
        stead_set_error(error, STEAD_ERROR_UNAVAILABLE, "End it without asking: stead stop --force",
                        "%s", why->message);
        return FALSE;
    }
    if (why) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    return (monitor == NULL || await_down(monitor, deadline, cancellable, error)) &&
           tidy(self, id, error);
}

gboolean stead_microvm_kill(gpointer self, const char *id, GError **error)
{
    g_autofree char *record = stead_microvm_path(self, id, "engine.pid");
    return stead_detached_end(record, TRUE, error) && tidy(self, id, error);
}

gboolean stead_microvm_pause(gpointer self, const char *id, GCancellable *cancellable,
                             GError **error)
{
    g_autoptr(SteadMonitor) monitor = stead_monitor_find(self, id, cancellable, error);
    return monitor && stead_monitor_pause(monitor, cancellable, error);
}

gboolean stead_microvm_resume(gpointer self, const char *id, GError **error)
{
    g_autoptr(SteadMonitor) monitor = stead_monitor_find(self, id, NULL, error);
    return monitor && stead_qmp_do(monitor->qmp, "cont", NULL, -1, error);
}

gboolean stead_microvm_destroy(gpointer self, const char *id, GError **error)
{
    return stead_microvm_kill(self, id, error);
}
