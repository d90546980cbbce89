/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a running domain's VNC server listens, and its password. The password exists in libvirt's
 * secure definition alone, which only this function asks for.
 */
#include <stdlib.h>

#include "base/error.h"
#include "runtime/vm/internal.h"

#define VNC "/domain/devices/graphics[@type='vnc']"

JsonNode *stead_vm_display(gpointer self, const char *id, GError **error)
{
    g_autoptr(virDomain) domain = stead_vm_find(self, id, error);
    g_autoptr(xmlDoc) doc = domain ? stead_vm_describe(domain, VIR_DOMAIN_XML_SECURE, error) : NULL;
    if (doc == NULL)
        return NULL;
    g_autofree char *listen = stead_xml_string(doc, VNC "/@listen");
    g_autofree char *port = stead_xml_string(doc, VNC "/@port");
    g_autofree char *password = stead_xml_string(doc, VNC "/@passwd");
    gint64 number = port ? g_ascii_strtoll(port, NULL, 10) : -1;
    if (listen == NULL || number <= 0) {
        stead_set_error(error, STEAD_ERROR_STATE, "Start it first.", "it has no display now");
        return NULL;
    }
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "listen");
    json_builder_add_string_value(builder, listen);
    json_builder_set_member_name(builder, "port");
    json_builder_add_int_value(builder, number);
    json_builder_set_member_name(builder, "password");
    json_builder_add_string_value(builder, password ? password : "");
    json_builder_end_object(builder);
    return json_builder_get_root(builder);
}
