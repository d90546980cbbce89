/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's table, and its object.
 */
#include "runtime/microvm/internal.h"
#include "runtime/microvm/tsc.h"

/* Engines that are looked at at a time. */
#define LOOKS_MAX 32

static void clear(gpointer data)
{
    SteadMicrovm *microvm = data;
    g_hash_table_unref(microvm->monitors);
    g_hash_table_unref(microvm->processes);
    g_hash_table_unref(microvm->attaching);
    stead_frozen_cache_free(microvm->frozen);
    g_mutex_clear(&microvm->lock);
    g_cond_clear(&microvm->attached);
}

SteadMicrovm *stead_microvm_ref(SteadMicrovm *microvm)
{
    return g_atomic_rc_box_acquire(microvm);
}

void stead_microvm_unref(gpointer microvm)
{
    g_atomic_rc_box_release_full(microvm, clear);
}

char *stead_microvm_path(const SteadMicrovm *microvm, const char *id, const char *name)
{
    return g_build_filename(microvm->paths->run, "instances", id, name, NULL);
}

static void microvm_watch(gpointer self, SteadActualFunc func, gpointer data)
{
    SteadMicrovm *microvm = self;
    microvm->func = func;
    microvm->data = data;
}

static guint64 frozen_resident(gpointer self, const char *dir)
{
    return stead_frozen_resident(((SteadMicrovm *)self)->frozen, dir);
}

static void frozen_drop(gpointer self, const char *dir)
{
    stead_frozen_drop(((SteadMicrovm *)self)->frozen, dir);
}

/* The engines go on; only the daemon's connections end. */
static void microvm_free(gpointer self)
{
    SteadMicrovm *microvm = self;
    microvm->closed = TRUE;
    stead_wires_close(microvm->wires);
    g_thread_pool_free(g_steal_pointer(&microvm->looks), FALSE, TRUE);
    stead_process_forget_all(microvm);
    stead_wires_free(g_steal_pointer(&microvm->wires));
    g_mutex_lock(&microvm->lock);
    g_hash_table_remove_all(microvm->monitors);
    g_mutex_unlock(&microvm->lock);
    stead_microvm_unref(microvm);
}

static const SteadDriver driver = {
    .name = "microvm",
    .kind = STEAD_KIND_MICROVM,
    .features = STEAD_FEATURE_PAUSE | STEAD_FEATURE_SNAPSHOT | STEAD_FEATURE_SNAPSHOT_MEMORY |
                STEAD_FEATURE_EXEC | STEAD_FEATURE_CONSOLE | STEAD_FEATURE_TEMPLATE |
                STEAD_FEATURE_BALLOON | STEAD_FEATURE_STREAM,
    .choose = stead_microvm_choose,
    .prepare = stead_microvm_prepare,
    .start = stead_microvm_start,
    .stop = stead_microvm_stop,
    .kill = stead_microvm_kill,
    .pause = stead_microvm_pause,
    .resume = stead_microvm_resume,
    .destroy = stead_microvm_destroy,
    .snapshot = stead_microvm_snapshot,
    .restore = stead_microvm_restore,
    .snapshot_remove = stead_microvm_snapshot_remove,
    .exec = stead_microvm_exec,
    .stream = stead_microvm_stream,
    .agent_ping = stead_microvm_agent_ping,
    .addresses = stead_microvm_addresses,
    .stats = stead_microvm_stats,
    .freeze = stead_microvm_freeze,
    .renew = stead_microvm_renew,
    .frozen_resident = frozen_resident,
    .frozen_drop = frozen_drop,
    .balloon = stead_microvm_balloon,
    .list = stead_microvm_list,
    .watch = microvm_watch,
    .free = microvm_free,
};

SteadRuntime *stead_microvm_runtime_new(const SteadPaths *paths, const SteadKvm *kvm)
{
    SteadMicrovm *microvm = g_atomic_rc_box_new0(SteadMicrovm);
    microvm->paths = paths;
    microvm->kvm = kvm;
    stead_tsc_begin();
    microvm->wires = stead_wires_new();
    microvm->frozen = stead_frozen_cache_new();
    microvm->monitors = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, stead_monitor_unref);
    microvm->processes =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, stead_process_unref);
    microvm->looks = g_thread_pool_new(stead_microvm_run_look, microvm, LOOKS_MAX, FALSE, NULL);
    microvm->attaching = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_mutex_init(&microvm->lock);
    g_cond_init(&microvm->attached);
    return stead_runtime_new(&driver, microvm);
}
