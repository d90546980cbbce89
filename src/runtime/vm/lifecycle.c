/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From defined to running and back, and which domains there are. Each operation looks at the state
 * first and is done when that is already the one wanted, so that repeating it after a crash of the
 * daemon is harmless.
 */
#include "base/error.h"
#include "runtime/vm/domain_xml.h"
#include "runtime/vm/host_fit.h"
#include "runtime/vm/internal.h"

/* A guest that is still booting loses the request to shut down: it is asked again. */
#define ASK_AGAIN_MS 10000

static gboolean lookup_if_any(SteadVm *vm, const char *id, virConnectPtr *conn,
                              virDomainPtr *domain, GError **error)
{
    g_autoptr(GError) reason = NULL;
    *conn = stead_libvirt_get(vm->libvirt, error);
    if (*conn == NULL)
        return FALSE;
    *domain = stead_vm_lookup(vm, *conn, id, &reason);
    if (*domain || g_error_matches(reason, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&reason));
    return FALSE;
}

gboolean stead_vm_prepare(gpointer self, const SteadMachine *machine, GError **error)
{
    g_autoptr(virConnect) conn = NULL;
    g_autoptr(virDomain) domain = NULL;
    if (!stead_vm_fits_host(machine->spec, NULL, error) ||
        !stead_vm_open_dirs(self, machine, error) ||
        !lookup_if_any(self, machine->id, &conn, &domain, error))
        return FALSE;
    g_autoptr(SteadMachine) current = stead_vm_current(machine, domain, error);
    return current && stead_vm_define(self, conn, current, error);
}

/*
 * libvirt goes on with a call whose caller died, and between its steps there is no job to be seen.
 * But a call that changes the domain waits until all before it are done. The title is the one that
 * there is: nothing changes.
 */
gboolean stead_vm_await_calls(virDomainPtr domain, GError **error)
{
    if (!stead_vm_is_active(domain))
        return TRUE;
    char *title = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_TITLE, NULL, 0);
    int done = virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_TITLE, title, NULL, NULL,
                                    VIR_DOMAIN_AFFECT_LIVE);
    free(title);
    return done == 0 || !stead_vm_is_active(domain) ||
           stead_libvirt_error(error, "waiting for libvirt");
}

/* Defines it as the machine says; *domain, which may be NULL, becomes the new definition's. */
static gboolean define_again(SteadVm *vm, virConnectPtr conn, const SteadMachine *machine,
                             virDomainPtr *domain, GError **error)
{
    g_autoptr(SteadMachine) current = stead_vm_current(machine, *domain, error);
    if (current == NULL || !stead_vm_open_dirs(vm, machine, error) ||
        !stead_vm_define(vm, conn, current, error))
        return FALSE;
    g_clear_pointer(domain, stead_vir_domain_free);
    *domain = stead_vm_lookup(vm, conn, machine->id, error);
    return *domain != NULL;
}

gboolean stead_vm_start(gpointer self, const SteadMachine *machine, GError **error)
{
    g_autoptr(virConnect) conn = NULL;
    g_autoptr(virDomain) domain = NULL;
    if (!lookup_if_any(self, machine->id, &conn, &domain, error))
        return FALSE;
    stead_vm_know(self, machine->id);
    if (domain && !stead_vm_await_calls(domain, error))
        return FALSE;
    if (domain && stead_vm_is_active(domain))
        return TRUE;
    if (!stead_vm_fits_host(machine->spec, NULL, error) ||
        (!(machine->prepared && domain) && !define_again(self, conn, machine, &domain, error)))
        return FALSE;
    if (virDomainCreateWithFlags(domain, VIR_DOMAIN_START_FORCE_BOOT) == 0)
        return TRUE;
    /* What a dead daemon had asked libvirt for may have come true meanwhile. */
    g_autoptr(GError) reason = NULL;
    stead_libvirt_error(&reason, "libvirt");
    if (stead_vm_await_calls(domain, NULL) && stead_vm_is_active(domain))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&reason));
    return FALSE;
}

static gboolean ask_to_shut_down(virDomainPtr domain, GError **error)
{
    int state = stead_vm_state(domain, NULL);
    if (state == VIR_DOMAIN_PAUSED && virDomainResume(domain) < 0)
        return stead_libvirt_error(error, "waking it");
    if (virDomainShutdown(domain) == 0 || !stead_vm_is_active(domain))
        return TRUE;
    /* It may be going down already, or be busy: the wait will tell. */
    g_autoptr(GError) reason = NULL;
    stead_libvirt_error(&reason, "asking it to shut down");
    if (stead_error_code(reason) != STEAD_ERROR_UNAVAILABLE) {
        g_debug("%s", reason->message);
        return TRUE;
    }
    g_propagate_error(error, g_steal_pointer(&reason));
    return FALSE;
}

static gboolean await_stopped(SteadVm *vm, virDomainPtr domain, guint64 timeout_ms,
                              GCancellable *cancellable, GError **error)
{
    gint64 now = g_get_monotonic_time(), ask = now;
    gint64 deadline = now + (gint64)MIN(timeout_ms, G_MAXINT32) * G_TIME_SPAN_MILLISECOND;
    for (;;) {
        guint seen = stead_vm_events_seen(vm);
        int active = virDomainIsActive(domain);
        if (active == 0)
            return TRUE;
        if (active < 0)
            return stead_libvirt_error(error, "libvirt");
        now = g_get_monotonic_time();
        if (now >= deadline) {
            stead_set_error(error, STEAD_ERROR_TIMEOUT, "End it at once: stead stop --force.",
                            "the guest did not shut down in %.0f s", (double)timeout_ms / 1000.0);
            return FALSE;
        }
        if (now >= ask) {
            ask = now + ASK_AGAIN_MS * G_TIME_SPAN_MILLISECOND;
            if (!ask_to_shut_down(domain, error))
                return FALSE;
        }
        if (!stead_vm_wait(vm, seen, deadline, cancellable, error))
            return FALSE;
    }
}

gboolean stead_vm_stop(gpointer self, const char *id, guint64 timeout_ms, GCancellable *cancellable,
                       GError **error)
{
    g_autoptr(virConnect) conn = NULL;
    g_autoptr(virDomain) domain = NULL;
    if (!lookup_if_any(self, id, &conn, &domain, error))
        return FALSE;
    return domain == NULL || await_stopped(self, domain, timeout_ms, cancellable, error);
}

static gboolean end_domain(virDomainPtr domain, GError **error)
{
    if (!stead_vm_is_active(domain))
        return TRUE;
    if (virDomainDestroy(domain) == 0 || !stead_vm_is_active(domain))
        return TRUE;
    return stead_libvirt_error(error, "libvirt");
}

gboolean stead_vm_kill(gpointer self, const char *id, GError **error)
{
    g_autoptr(virConnect) conn = NULL;
    g_autoptr(virDomain) domain = NULL;
    if (!lookup_if_any(self, id, &conn, &domain, error))
        return FALSE;
    return domain == NULL || end_domain(domain, error);
}

gboolean stead_vm_pause(gpointer self, const char *id, GCancellable *cancellable, GError **error)
{
    g_autoptr(virDomain) domain = stead_vm_find(self, id, error);
    if (domain == NULL)
        return FALSE;
    if (stead_vm_state(domain, NULL) == VIR_DOMAIN_PAUSED || virDomainSuspend(domain) == 0)
        return TRUE;
    return stead_libvirt_error(error, "libvirt");
}

gboolean stead_vm_resume(gpointer self, const char *id, GError **error)
{
    g_autoptr(virDomain) domain = stead_vm_find(self, id, error);
    if (domain == NULL)
        return FALSE;
    if (stead_vm_state(domain, NULL) == VIR_DOMAIN_RUNNING || virDomainResume(domain) == 0)
        return TRUE;
    return stead_libvirt_error(error, "libvirt");
}

gboolean stead_vm_destroy(gpointer self, const char *id, GError **error)
{
    g_autoptr(virConnect) conn = NULL;
    g_autoptr(virDomain) domain = NULL;
    if (!lookup_if_any(self, id, &conn, &domain, error))
        return FALSE;
    stead_vm_forget(self, id);
    if (domain == NULL)
        return TRUE;
    if (!end_domain(domain, error))
        return FALSE;
    if (virDomainUndefineFlags(
            domain, VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                        VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | VIR_DOMAIN_UNDEFINE_NVRAM) == 0)
        return TRUE;
    g_autoptr(GError) reason = NULL;
    stead_libvirt_error(&reason, "libvirt");
    if (g_error_matches(reason, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&reason));
    return FALSE;
}

/* States in which libvirt stops a guest for a moment, for reasons of its own. */
static gboolean is_really_paused(int reason)
{
    return reason != VIR_DOMAIN_PAUSED_SNAPSHOT && reason != VIR_DOMAIN_PAUSED_SAVE &&
           reason != VIR_DOMAIN_PAUSED_STARTING_UP && reason != VIR_DOMAIN_PAUSED_MIGRATION;
}

SteadActual *stead_vm_actual_new(const char *id, const char *name, int state, int reason)
{
    SteadActual *actual = g_new0(SteadActual, 1);
    actual->id = g_strdup(id);
    actual->domain = g_strdup(name);
    switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
        actual->state = STEAD_STATE_RUNNING;
        break;
    case VIR_DOMAIN_PAUSED:
        actual->state = is_really_paused(reason) ? STEAD_STATE_PAUSED : STEAD_STATE_RUNNING;
        actual->failed = reason == VIR_DOMAIN_PAUSED_IOERROR || reason == VIR_DOMAIN_PAUSED_CRASHED;
        break;
    case VIR_DOMAIN_PMSUSPENDED:
        actual->state = STEAD_STATE_PAUSED;
        break;
    case VIR_DOMAIN_SHUTDOWN:
        actual->state = STEAD_STATE_STOPPING;
        break;
    default:
        actual->state = STEAD_STATE_STOPPED;
        actual->failed = state == VIR_DOMAIN_CRASHED || reason == VIR_DOMAIN_SHUTOFF_CRASHED ||
                         reason == VIR_DOMAIN_SHUTOFF_FAILED;
    }
    return actual;
}

static gboolean is_of_this_root(SteadVm *vm, virDomainPtr domain)
{
    char *text = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, STEAD_VM_XMLNS, 0);
    if (text == NULL)
        return FALSE;
    g_autoptr(xmlDoc) doc = stead_xml_parse("a domain's metadata", text, NULL);
    free(text);
    g_autofree char *root = doc ? stead_xml_string(doc, "/*/@root") : NULL;
    return g_strcmp0(root, vm->paths->state) == 0;
}

GPtrArray *stead_vm_list(gpointer self, GError **error)
{
    SteadVm *vm = self;
    g_autoptr(virConnect) conn = stead_libvirt_get(vm->libvirt, error);
    if (conn == NULL)
        return NULL;
    virDomainPtr *domains = NULL;
    int n = virConnectListAllDomains(conn, &domains, 0);
    if (n < 0) {
        stead_libvirt_error(error, "libvirt");
        return NULL;
    }
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)stead_actual_free);
    for (int i = 0; i < n; i++) {
        g_autoptr(virDomain) domain = domains[i];
        char id[VIR_UUID_STRING_BUFLEN];
        int reason = 0, state = stead_vm_state(domain, &reason);
        if (state < 0 || virDomainGetUUIDString(domain, id) < 0 || !is_of_this_root(vm, domain))
            continue;
        stead_vm_know(vm, id);
        g_ptr_array_add(list, stead_vm_actual_new(id, virDomainGetName(domain), state, reason));
    }
    free(domains);
    return list;
}
