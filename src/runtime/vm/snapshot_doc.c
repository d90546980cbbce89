/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot is known to three readers by three documents: to us by JSON on its record, to libvirt
 * by <domainsnapshot>, and to the guest that comes back by its saved definition, in which the disks
 * have moved since. All of them name files; which of those are the same disk is told by folder and
 * stem (layers.c), never by position, since disks come and go between snapshots.
 */
#include "runtime/vm/snapshot_doc.h"

#include <string.h>

#include "base/error.h"
#include "host/xml.h"
#include "runtime/json_member.h"
#include "runtime/vm/layers.h"

static void frozen_disk_free(gpointer data)
{
    SteadFrozenDisk *disk = data;
    g_free(disk->target);
    g_free(disk->frozen);
    g_free(disk->format);
    g_free(disk->current);
    g_free(disk);
}

SteadLayers *stead_layers_new(void)
{
    SteadLayers *layers = g_new0(SteadLayers, 1);
    layers->disks = g_ptr_array_new_with_free_func(frozen_disk_free);
    return layers;
}

void stead_layers_free(SteadLayers *layers)
{
    if (layers == NULL)
        return;
    g_ptr_array_unref(layers->disks);
    g_free(layers->memory);
    g_free(layers->nvram);
    g_free(layers);
}

static void add_string(JsonBuilder *builder, const char *name, const char *value)
{
    if (value == NULL)
        return;
    json_builder_set_member_name(builder, name);
    json_builder_add_string_value(builder, value);
}

static void add_size(JsonBuilder *builder, guint64 size)
{
    json_builder_set_member_name(builder, "size");
    json_builder_add_int_value(builder, (gint64)size);
}

JsonNode *stead_layers_to_json(const SteadLayers *layers)
{
    guint64 total = layers->memory ? stead_layer_size(layers->memory) : 0;
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "disks");
    json_builder_begin_array(builder);
    for (guint i = 0; i < layers->disks->len; i++) {
        const SteadFrozenDisk *disk = layers->disks->pdata[i];
        json_builder_begin_object(builder);
        add_string(builder, "target", disk->target);
        add_string(builder, "frozen", disk->frozen);
        add_string(builder, "format", disk->format);
        add_string(builder, "current", disk->current);
        add_size(builder, disk->size);
        json_builder_end_object(builder);
        total += disk->size;
    }
    json_builder_end_array(builder);
    add_string(builder, "memory", layers->memory);
    add_string(builder, "nvram", layers->nvram);
    add_size(builder, total);
    json_builder_end_object(builder);
    return json_builder_get_root(builder);
}

static SteadFrozenDisk *read_disk(JsonNode *node)
{
    JsonObject *object = stead_json_object(node);
    SteadFrozenDisk *disk = g_new0(SteadFrozenDisk, 1);
    disk->target = g_strdup(stead_json_text_in(object, "target"));
    disk->frozen = g_strdup(stead_json_text_in(object, "frozen"));
    disk->format = g_strdup(stead_json_text_in(object, "format"));
    disk->current = g_strdup(stead_json_text_in(object, "current"));
    disk->size = stead_json_count_in(object, "size");
    if (disk->target && disk->frozen && disk->format)
        return disk;
    frozen_disk_free(disk);
    return NULL;
}

SteadLayers *stead_layers_from_json(JsonNode *node, GError **error)
{
    g_autoptr(SteadLayers) layers = stead_layers_new();
    JsonObject *object = node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
    JsonNode *disks = object ? json_object_get_member(object, "disks") : NULL;
    gboolean good = disks && JSON_NODE_HOLDS_ARRAY(disks);
    for (guint i = 0; good && i < json_array_get_length(json_node_get_array(disks)); i++) {
        SteadFrozenDisk *disk = read_disk(json_array_get_element(json_node_get_array(disks), i));
        good = disk != NULL;
        if (disk)
            g_ptr_array_add(layers->disks, disk);
    }
    if (!good) {
        stead_set_error(error, STEAD_ERROR_INTERNAL, NULL,
                        "the record of the snapshot's files is damaged");
        return NULL;
    }
    layers->memory = g_strdup(stead_json_text_in(object, "memory"));
    layers->nvram = g_strdup(stead_json_text_in(object, "nvram"));
    return g_steal_pointer(&layers);
}

const SteadFrozenDisk *stead_layers_of(const SteadLayers *layers, const char *path)
{
    for (guint i = 0; i < layers->disks->len; i++) {
        const SteadFrozenDisk *disk = layers->disks->pdata[i];
        if (stead_layer_same_family(disk->frozen, path))
            return disk;
    }
    return NULL;
}

char *stead_vm_snapshot_xml(const SteadLayers *layers, const char *const left_alone[])
{
    GString *xml = g_string_new("<domainsnapshot>\n");
    if (layers->memory)
        stead_xml_add(xml, "  <memory snapshot='external' file='%s'/>\n", layers->memory);
    else
        stead_xml_add(xml, "  <memory snapshot='no'/>\n");
    stead_xml_add(xml, "  <disks>\n");
    for (guint i = 0; i < layers->disks->len; i++) {
        const SteadFrozenDisk *disk = layers->disks->pdata[i];
        stead_xml_add(xml,
                      "    <disk name='%s' snapshot='external' type='file'>\n"
                      "      <driver type='qcow2'/>\n      <source file='%s'/>\n    </disk>\n",
                      disk->target, disk->current);
    }
    for (const char *const *target = left_alone; *target; target++)
        stead_xml_add(xml, "    <disk name='%s' snapshot='no'/>\n", *target);
    stead_xml_add(xml, "  </disks>\n</domainsnapshot>\n");
    return g_string_free(xml, FALSE);
}

static xmlNodePtr child(xmlNodePtr node, const char *name)
{
    for (xmlNodePtr c = node ? node->children : NULL; c; c = c->next)
        if (c->type == XML_ELEMENT_NODE && strcmp((const char *)c->name, name) == 0)
            return c;
    return NULL;
}

static void remove_node(xmlNodePtr node)
{
    if (node == NULL)
        return;
    xmlUnlinkNode(node);
    xmlFreeNode(node);
}

/* The chain below, and libvirt's numbers for its parts, are found out anew. */
static void move_disk(xmlNodePtr disk, const SteadMachine *machine)
{
    xmlNodePtr source = child(disk, "source");
    xmlChar *file = source ? xmlGetProp(source, (const xmlChar *)"file") : NULL;
    for (guint i = 0; file && i < machine->disks->len; i++) {
        const SteadMachineDisk *current = machine->disks->pdata[i];
        if (!stead_layer_same_family((const char *)file, current->path))
            continue;
        xmlSetProp(source, (const xmlChar *)"file", (const xmlChar *)current->path);
        xmlUnsetProp(source, (const xmlChar *)"index");
        xmlSetProp(child(disk, "driver"), (const xmlChar *)"type",
                   (const xmlChar *)current->format);
        remove_node(child(disk, "backingStore"));
        break;
    }
    xmlFree(file);
}

char *stead_vm_move_disks(const char *xml, const SteadMachine *machine, GError **error)
{
    g_autoptr(xmlDoc) doc = stead_xml_parse("the saved guest's definition", xml, error);
    if (doc == NULL)
        return NULL;
    xmlNodePtr devices = child(xmlDocGetRootElement(doc), "devices");
    for (xmlNodePtr node = devices ? devices->children : NULL; node; node = node->next)
        if (node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, "disk") == 0)
            move_disk(node, machine);
    xmlChar *text = NULL;
    int length = 0;
    xmlDocDumpMemory(doc, &text, &length);
    char *copy = g_strndup((const char *)text, (gsize)length);
    xmlFree(text);
    return copy;
}
