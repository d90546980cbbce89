/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disks of a domain as libvirt knows them: where they are, and changing them while the guest
 * runs. A running domain has two definitions, the live one and the one for its next start; a change
 * is made to both, each as it needs it.
 */
#include <string.h>

#include "base/error.h"
#include "base/subprocess.h"
#include "base/units.h"
#include "runtime/vm/domain_xml.h"
#include "runtime/vm/internal.h"
#include "runtime/vm/layers.h"

/* How long a guest may take to let go of a disk. */
#define DETACH_TIMEOUT_MS 30000

#define DISKS "/domain/devices/disk[@device='disk']"

gboolean stead_vm_source_of(xmlDocPtr doc, const char *target, char **path, char **format)
{
    g_autofree char *disk = g_strdup_printf(DISKS "[target/@dev='%s']", target);
    g_autofree char *source_xpath =
        g_strconcat(disk, "/source/@*[name()='file' or name()='dev']", NULL);
    g_autofree char *format_xpath = g_strconcat(disk, "/driver/@type", NULL);
    *path = stead_xml_string(doc, source_xpath);
    *format = *path ? stead_xml_string(doc, format_xpath) : NULL;
    return *path != NULL;
}

char *stead_vm_target_of(xmlDocPtr doc, const char *path)
{
    g_auto(GStrv) targets = stead_xml_strings(doc, DISKS "/target/@dev");
    for (char **target = targets; *target; target++) {
        g_autofree char *source = NULL, *format = NULL;
        if (stead_vm_source_of(doc, *target, &source, &format) &&
            stead_layer_same_family(source, path))
            return g_strdup(*target);
    }
    return NULL;
}

static char *expect_target(xmlDocPtr doc, const char *path, GError **error)
{
    char *target = stead_vm_target_of(doc, path);
    if (target == NULL)
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "it has no disk on %s", path);
    return target;
}

/* The one after the last: so disks stand in the order in which they were attached, which is that
 * of the records. The letters are dealt anew at each start. */
static char *free_target(xmlDocPtr doc)
{
    g_auto(GStrv) targets = stead_xml_strings(doc, DISKS "/target/@dev");
    for (guint i = STEAD_VM_MAX_DISKS; i > 0; i--) {
        g_autofree char *target = stead_vm_disk_target(i - 1);
        if (g_strv_contains((const char *const *)targets, target))
            return i < STEAD_VM_MAX_DISKS ? stead_vm_disk_target(i) : NULL;
    }
    return stead_vm_disk_target(0);
}

GStrv stead_vm_disks(gpointer self, const char *id, GError **error)
{
    g_autoptr(virDomain) domain = stead_vm_find(self, id, error);
    g_autoptr(xmlDoc) doc = domain ? stead_vm_describe(domain, 0, error) : NULL;
    if (doc == NULL)
        return NULL;
    g_autoptr(GPtrArray) paths = g_ptr_array_new();
    for (guint i = 0; i < STEAD_VM_MAX_DISKS; i++) {
        g_autofree char *target = stead_vm_disk_target(i), *format = NULL;
        char *path = NULL;
        if (stead_vm_source_of(doc, target, &path, &format))
            g_ptr_array_add(paths, path);
    }
    g_ptr_array_add(paths, NULL);
    return (GStrv)g_ptr_array_free(g_steal_pointer(&paths), FALSE);
}

/* One of a domain's definitions: of now, and of its next start. */
static gboolean attach_to(virDomainPtr domain, const SteadMachineDisk *disk, guint definition,
                          GError **error)
{
    guint which = definition == VIR_DOMAIN_AFFECT_CONFIG ? VIR_DOMAIN_XML_INACTIVE : 0;
    g_autoptr(xmlDoc) doc = stead_vm_describe(domain, which, error);
    if (doc == NULL)
        return FALSE;
    g_autofree char *there = stead_vm_target_of(doc, disk->path);
    if (there)
        return TRUE;
    g_autofree char *target = free_target(doc);
    if (target == NULL) {
        stead_set_error(error, STEAD_ERROR_EXHAUSTED, "Restart it, or detach another first.",
                        "no place for one more disk is left");
        return FALSE;
    }
    g_autofree char *xml = stead_vm_disk_xml(disk, target);
    if (virDomainAttachDeviceFlags(domain, xml, definition) < 0)
        return stead_libvirt_error(error, "%s", disk->path);
    return TRUE;
}

/* One may have it already: that of the next start, when a snapshot from before was restored; or
 * both, when a killed daemon's attaching is repeated. */
gboolean stead_vm_attach_disk(gpointer self, const char *id, const SteadMachineDisk *disk,
                              GError **error)
{
    g_autoptr(virDomain) domain = stead_vm_find(self, id, error);
    return domain &&
           (!stead_vm_is_active(domain) ||
            attach_to(domain, disk, VIR_DOMAIN_AFFECT_LIVE, error)) &&
           attach_to(domain, disk, VIR_DOMAIN_AFFECT_CONFIG, error);
}

/* The guest is asked to let go; the device is gone when it has. */
static gboolean await_removal(SteadVm *vm, virDomainPtr domain, const char *path, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + DETACH_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;
    for (;;) {
        guint seen = stead_vm_events_seen(vm);
        g_autoptr(xmlDoc) doc = stead_vm_describe(domain, 0, error);
        if (doc == NULL)
            return FALSE;
        g_autofree char *target = stead_vm_target_of(doc, path);
        if (target == NULL)
            return TRUE;
        if (g_get_monotonic_time() >= deadline) {
            stead_set_error(error, STEAD_ERROR_GUEST, "Unmount it in the guest, or stop the guest.",
                            "the guest did not let go of %s in %d s", path,
                            DETACH_TIMEOUT_MS / 1000);
            return FALSE;
        }
        stead_vm_wait(vm, seen, deadline, NULL, NULL);
    }
}

static gboolean detach_from(virDomainPtr domain, const char *path, guint definition, GError **error)
{
    guint which = definition == VIR_DOMAIN_AFFECT_CONFIG ? VIR_DOMAIN_XML_INACTIVE : 0;
    g_autoptr(xmlDoc) doc = stead_vm_describe(domain, which, error);
    if (doc == NULL)
        return FALSE;
    g_autofree char *target = stead_vm_target_of(doc, path);
    if (target == NULL)
        return TRUE;
    g_autofree char *source = NULL, *format = NULL;
    stead_vm_source_of(doc, target, &source, &format);
    SteadMachineDisk disk = {.path = source, .format = format};
    g_autofree char *xml = stead_vm_disk_xml(&disk, target);
    if (virDomainDetachDeviceFlags(domain, xml, definition) < 0)
        return stead_libvirt_error(error, "%s", path);
    return TRUE;
}

gboolean stead_vm_detach_disk(gpointer self, const char *id, const char *path, GError **error)
{
    g_autoptr(virDomain) domain = stead_vm_find(self, id, error);
    if (domain == NULL)
        return FALSE;
    if (stead_vm_is_active(domain) && (!detach_from(domain, path, VIR_DOMAIN_AFFECT_LIVE, error) ||
                                       !await_removal(self, domain, path, error)))
        return FALSE;
    return detach_from(domain, path, VIR_DOMAIN_AFFECT_CONFIG, error);
}

static gboolean resize_file(const char *path, const char *format, guint64 size, GError **error)
{
    g_autofree char *bytes = g_strdup_printf("%" G_GUINT64_FORMAT, size);
    const char *const argv[] = {"qemu-img", "resize", "-q", "-f", format, path, bytes, NULL};
    return stead_run(argv, NULL, NULL, NULL, error);
}

/* libvirt would cut the end off a disk in use without a word. */
static gboolean may_grow(virDomainPtr domain, const char *target, guint64 size, GError **error)
{
    virDomainBlockInfo info;
    if (virDomainGetBlockInfo(domain, target, &info, 0) < 0)
        return stead_libvirt_error(error, "the size of %s", target);
    if (size >= info.capacity)
        return TRUE;
    g_autofree char *has = stead_format_size(info.capacity);
    stead_set_error(error, STEAD_ERROR_INVALID, "Choose a greater size.",
                    "the disk has %s; it can be grown, not shrunk, since its end would be lost",
                    has);
    return FALSE;
}

gboolean stead_vm_resize_disk(gpointer self, const char *id, const char *path, guint64 size,
                              GError **error)
{
    g_autoptr(virDomain) domain = stead_vm_find(self, id, error);
    g_autoptr(xmlDoc) doc = domain ? stead_vm_describe(domain, 0, error) : NULL;
    g_autofree char *target = doc ? expect_target(doc, path, error) : NULL;
    if (target == NULL)
        return FALSE;
    if (!stead_vm_is_active(domain)) {
        g_autofree char *source = NULL, *format = NULL;
        stead_vm_source_of(doc, target, &source, &format);
        return resize_file(source, format ? format : "qcow2", size, error);
    }
    if (!may_grow(domain, target, size, error))
        return FALSE;
    if (virDomainBlockResize(domain, target, size, VIR_DOMAIN_BLOCK_RESIZE_BYTES) < 0)
        return stead_libvirt_error(error, "%s", path);
    return TRUE;
}
