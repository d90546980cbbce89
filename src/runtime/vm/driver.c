/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's table, its object, and what all its files share: finding a domain, reading its
 * state, waiting for something to happen to it.
 */
#include "base/error.h"
#include "runtime/vm/internal.h"

virDomainPtr stead_vm_lookup(SteadVm *vm, virConnectPtr conn, const char *id, GError **error)
{
    virDomainPtr domain = virDomainLookupByUUIDString(conn, id);
    if (domain == NULL)
        stead_libvirt_error(error, "libvirt");
    return domain;
}

virDomainPtr stead_vm_find(SteadVm *vm, const char *id, GError **error)
{
    g_autoptr(virConnect) conn = stead_libvirt_get(vm->libvirt, error);
    return conn ? stead_vm_lookup(vm, conn, id, error) : NULL;
}

gboolean stead_vm_is_active(virDomainPtr domain)
{
    return virDomainIsActive(domain) == 1;
}

int stead_vm_state(virDomainPtr domain, int *reason)
{
    int state = -1, ignored = 0;
    if (virDomainGetState(domain, &state, reason ? reason : &ignored, 0) < 0)
        return -1;
    return state;
}

xmlDocPtr stead_vm_describe(virDomainPtr domain, guint flags, GError **error)
{
    char *text = virDomainGetXMLDesc(domain, flags);
    if (text == NULL) {
        stead_libvirt_error(error, "reading the domain's definition");
        return NULL;
    }
    xmlDocPtr doc = stead_xml_parse("the domain's definition", text, error);
    free(text);
    return doc;
}

static void wake(GCancellable *cancellable, gpointer data)
{
    SteadVm *vm = data;
    g_mutex_lock(&vm->lock);
    g_cond_broadcast(&vm->happened);
    g_mutex_unlock(&vm->lock);
}

guint stead_vm_events_seen(SteadVm *vm)
{
    g_mutex_lock(&vm->lock);
    guint seen = vm->events;
    g_mutex_unlock(&vm->lock);
    return seen;
}

gboolean stead_vm_wait(SteadVm *vm, guint seen, gint64 deadline, GCancellable *cancellable,
                       GError **error)
{
    gint64 until = g_get_monotonic_time() + STEAD_VM_LOOK_MS * G_TIME_SPAN_MILLISECOND;
    gulong handler =
        cancellable ? g_cancellable_connect(cancellable, G_CALLBACK(wake), vm, NULL) : 0;
    g_mutex_lock(&vm->lock);
    while (vm->events == seen && !g_cancellable_is_cancelled(cancellable))
        if (!g_cond_wait_until(&vm->happened, &vm->lock, MIN(until, deadline)))
            break;
    g_mutex_unlock(&vm->lock);
    g_cancellable_disconnect(cancellable, handler);
    if (!g_cancellable_is_cancelled(cancellable))
        return TRUE;
    stead_set_error(error, STEAD_ERROR_CANCELLED, NULL, "cancelled");
    return FALSE;
}

static void vm_watch(gpointer self, SteadActualFunc func, gpointer data)
{
    SteadVm *vm = self;
    vm->func = func;
    vm->data = data;
}

static void clear(gpointer data)
{
    SteadVm *vm = data;
    g_hash_table_unref(vm->known);
    g_mutex_clear(&vm->lock);
    g_cond_clear(&vm->happened);
}

SteadVm *stead_vm_ref(SteadVm *vm)
{
    return g_atomic_rc_box_acquire(vm);
}

void stead_vm_unref(gpointer vm)
{
    g_atomic_rc_box_release_full(vm, clear);
}

static void vm_free(gpointer self)
{
    stead_vm_events_stop(self);
    stead_vm_unref(self);
}

static const SteadDriver driver = {
    .name = "vm",
    .kind = STEAD_KIND_VM,
    .engine = "libvirt",
    .features = STEAD_FEATURE_PAUSE | STEAD_FEATURE_SNAPSHOT | STEAD_FEATURE_SNAPSHOT_MEMORY |
                STEAD_FEATURE_EXEC | STEAD_FEATURE_CONSOLE | STEAD_FEATURE_VNC |
                STEAD_FEATURE_HOTPLUG | STEAD_FEATURE_LAYERS,
    .prepare = stead_vm_prepare,
    .start = stead_vm_start,
    .stop = stead_vm_stop,
    .kill = stead_vm_kill,
    .pause = stead_vm_pause,
    .resume = stead_vm_resume,
    .destroy = stead_vm_destroy,
    .snapshot = stead_vm_snapshot,
    .restore = stead_vm_restore,
    .snapshot_remove = stead_vm_snapshot_remove,
    .disks = stead_vm_disks,
    .exec = stead_vm_exec,
    .agent_ping = stead_vm_agent_ping,
    .addresses = stead_vm_addresses,
    .stats = stead_vm_stats,
    .display = stead_vm_display,
    .attach_disk = stead_vm_attach_disk,
    .detach_disk = stead_vm_detach_disk,
    .resize_disk = stead_vm_resize_disk,
    .list = stead_vm_list,
    .watch = vm_watch,
    .free = vm_free,
};

SteadRuntime *stead_vm_runtime_new(SteadLibvirt *libvirt, const SteadPaths *paths)
{
    SteadVm *vm = g_atomic_rc_box_new0(SteadVm);
    vm->libvirt = libvirt;
    vm->paths = paths;
    vm->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_mutex_init(&vm->lock);
    g_cond_init(&vm->happened);
    stead_vm_events_start(vm);
    return stead_runtime_new(&driver, vm);
}
