/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libvirt is asked to make. Disks are readable by their owner alone: libvirt hands them to
 * QEMU's user when a domain starts. A logical volume must not have an allocation of its own, since
 * libvirt would make it a snapshot; and its format is not a choice.
 */
#include "storage/disk_xml.h"

static void append_image(GString *xml, const SteadDiskImage *image)
{
    g_autofree char *element = g_markup_printf_escaped("  <backingStore>\n"
                                                       "    <path>%s</path>\n"
                                                       "    <format type='%s'/>\n"
                                                       "  </backingStore>\n",
                                                       image->path, image->format);
    g_string_append(xml, element);
}

char *stead_disk_xml(const char *name, guint64 size, gboolean files, const SteadDiskImage *image)
{
    g_autofree char *head =
        g_markup_printf_escaped("<volume>\n"
                                "  <name>%s</name>\n"
                                "  <capacity unit='bytes'>%" G_GUINT64_FORMAT "</capacity>\n",
                                name, size);
    GString *xml = g_string_new(head);
    if (files)
        g_string_append(xml, "  <allocation unit='bytes'>0</allocation>\n");
    g_string_append(xml, "  <target>\n");
    if (files)
        g_string_append(xml, "    <format type='qcow2'/>\n"
                             "    <compat>1.1</compat>\n");
    g_string_append(xml, "    <permissions>\n"
                         "      <mode>0600</mode>\n"
                         "    </permissions>\n"
                         "  </target>\n");
    if (files && image)
        append_image(xml, image);
    g_string_append(xml, "</volume>\n");
    return g_string_free(xml, FALSE);
}
