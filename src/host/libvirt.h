/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one connection to libvirtd, shared by networks, pools and the vm runtime. It comes back by
 * itself after libvirtd was restarted; whoever keeps state in libvirt is told when it does.
 *
 * Threads: the object is made and freed on the main loop's thread, which also runs libvirt's
 * event loop. stead_libvirt_get() may be called from any thread; calls through a virConnectPtr
 * block, so they belong into jobs' threads.
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "base/error.h"

typedef struct _SteadLibvirt SteadLibvirt;

/*
 * Does not connect yet. `uri` NULL means "qemu:///system". Where nothing listens and no systemd
 * runs, the first connection starts `virtlogd -d` and `libvirtd -d`.
 */
SteadLibvirt *stead_libvirt_new(const char *uri);
void stead_libvirt_free(SteadLibvirt *libvirt);

/*
 * The connection, made where there is none. The caller owns one reference (virConnectClose()).
 * Fails with UNAVAILABLE, and the hint how to start libvirtd, when it cannot be reached.
 */
virConnectPtr stead_libvirt_get(SteadLibvirt *libvirt, GError **error);

/* Called on the main loop each time a connection was made (connected TRUE) or lost (FALSE). After
 * a loss the object tries again by itself, with growing pauses of at most 5 s. */
typedef void (*SteadLibvirtFunc)(gboolean connected, gpointer data);
void stead_libvirt_set_watch(SteadLibvirt *libvirt, SteadLibvirtFunc func, gpointer data);

/* Further watches, for the layers below the one that sets the watch above; they are told before it,
 * and once upon joining when there is a connection already. Main loop only. Returns a handle. */
guint stead_libvirt_add_watch(SteadLibvirt *libvirt, SteadLibvirtFunc func, gpointer data);
void stead_libvirt_remove_watch(SteadLibvirt *libvirt, guint handle);

/*
 * Sets `error` from the calling thread's last libvirt error, classed (no domain, network, ... →
 * NOT_FOUND; exists → CONFLICT; operation invalid → STATE; agent → GUEST; lost connection →
 * UNAVAILABLE; no space → EXHAUSTED; ...) and prefixed by "what: ". Returns FALSE for brevity.
 */
gboolean stead_libvirt_error(GError **error, const char *what, ...) G_GNUC_PRINTF(2, 3);

/* The class of a libvirt error. Pure. */
SteadErrorCode stead_libvirt_error_class(const virError *failure);

/* The uid and gid that QEMU runs as under this libvirtd (capabilities' dac baselabel); cached. */
gboolean stead_libvirt_qemu_ids(SteadLibvirt *libvirt, guint *uid, guint *gid, GError **error);

/* Whether there is a connection now, and then the version of libvirtd as libvirt counts it (8.0.0
 * is 8000000), 0: unknown. Never connects, never blocks. */
gboolean stead_libvirt_is_connected(SteadLibvirt *libvirt, gulong *version);

static inline void stead_vir_domain_free(virDomainPtr p)
{
    virDomainFree(p);
}
static inline void stead_vir_network_free(virNetworkPtr p)
{
    virNetworkFree(p);
}
static inline void stead_vir_pool_free(virStoragePoolPtr p)
{
    virStoragePoolFree(p);
}
static inline void stead_vir_vol_free(virStorageVolPtr p)
{
    virStorageVolFree(p);
}
static inline void stead_vir_connect_close(virConnectPtr p)
{
    virConnectClose(p);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(virDomain, stead_vir_domain_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virNetwork, stead_vir_network_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virStoragePool, stead_vir_pool_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virStorageVol, stead_vir_vol_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virConnect, stead_vir_connect_close)
