/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records in the same tables as specs. A record that a newer version wrote may have fields that
 * this one does not know; they are skipped. A value of a wrong type means that the record is
 * damaged, and is an error.
 */
#include "model/instance.h"

#include "base/error.h"
#include "model/format.h"
#include "model/spec-fields.h"

#define STRING(s, m, name, form, ...)                                                              \
    STEAD_ROW(STRING, s, m, char *, name, .format = &stead_text_##form, __VA_ARGS__)
#define STRINGS(s, m, name, form)                                                                  \
    STEAD_ROW(STRINGS, s, m, GStrv, name, .format = &stead_text_##form)
#define NUMBER(s, m, type, name, ...)                                                              \
    STEAD_ROW(NUMBER, s, m, type, name, .max = G_MAXINT64, __VA_ARGS__)
#define UINT(s, m, name) STEAD_ROW(UINT, s, m, guint, name, .max = G_MAXUINT)
#define BOOL(s, m, name, ...) STEAD_ROW(BOOL, s, m, gboolean, name, __VA_ARGS__)
#define ENUM(s, m, name, type, words, ...)                                                         \
    STEAD_ROW(ENUM, s, m, type, name, .names = &(words), __VA_ARGS__)
#define SPEC(s, type, tab) STEAD_ROW(POINTER, s, spec, type *, "spec", .table = &(tab), REQUIRED)
#define REQUIRED .flags = STEAD_FIELD_REQUIRED
#define ALWAYS .flags = STEAD_FIELD_ALWAYS

#define OBJECTS(s, m, name, tab)                                                                   \
    STEAD_ROW(OBJECTS, s, m, GPtrArray *, name, .table = &(tab), .max = STEAD_MAX_RECORD_ITEMS)

/* What an instance was given: no more than its spec may ask for, and what was attached later. */
#define STEAD_MAX_RECORD_ITEMS 64

/* A struct within a record: its table, and the function that frees one. */
#define PART(type, name, what_)                                                                    \
    static void name##_destroy(gpointer part);                                                     \
    static const SteadStruct name##_table = {.what = what_,                                        \
                                             .fields = name##_fields,                              \
                                             .n = G_N_ELEMENTS(name##_fields),                     \
                                             .size = sizeof(type),                                 \
                                             .destroy = name##_destroy};                           \
    static void name##_destroy(gpointer part)                                                      \
    {                                                                                              \
        stead_object_free(&name##_table, part);                                                    \
    }                                                                                              \
    void stead_##name##_free(type *part)                                                           \
    {                                                                                              \
        stead_object_free(&name##_table, part);                                                    \
    }

static const SteadField disk_record_fields[] = {
    STRING(SteadDiskRecord, path, "path", line, REQUIRED),
    STRING(SteadDiskRecord, format, "format", line, REQUIRED),
    STRING(SteadDiskRecord, volume, "volume", name),
    BOOL(SteadDiskRecord, read_only, "read-only"),
    BOOL(SteadDiskRecord, leaving, "leaving"),
    STRINGS(SteadDiskRecord, backing, "backing", line),
};
PART(SteadDiskRecord, disk_record, "a disk")

static const SteadField nic_record_fields[] = {
    STRING(SteadNicRecord, network, "network", name, REQUIRED),
    STRING(SteadNicRecord, mac, "mac", line, REQUIRED),
    STRING(SteadNicRecord, address, "address", line),
};
PART(SteadNicRecord, nic_record, "an interface")

/* An id is a UUID, which a name's format covers: it is safe in a path. */
#define I(kind, member, ...) kind(SteadInstance, member, __VA_ARGS__)

static const SteadField instance_fields[] = {
    I(STRING, id, "id", name, REQUIRED),
    I(STRING, name, "name", name, REQUIRED),
    I(STRING, project, "project", name),
    I(ENUM, kind, "kind", SteadKind, stead_kind_names, ALWAYS),
    I(STRING, kind_reason, "kind-reason", text),
    SPEC(SteadInstance, SteadInstanceSpec, stead_instance_spec_table),
    I(STRING, image_digest, "image-digest", digest),
    I(STRING, template, "template", name),
    I(BOOL, unborn, "unborn"),
    I(BOOL, warm, "warm"),
    I(OBJECTS, disks, "disks", disk_record_table),
    I(OBJECTS, nics, "nics", nic_record_table),
    I(STRING, restoring, "restoring", name),
    I(ENUM, state, "state", SteadState, stead_state_names, ALWAYS),
    I(BOOL, want_running, "want-running", ALWAYS),
    I(ENUM, asked, "asked", SteadAction, stead_action_names),
    I(BOOL, asked_force, "asked-force"),
    I(NUMBER, asked_timeout, guint64, "asked-timeout-ms"),
    I(BOOL, ready, "ready", ALWAYS),
    I(BOOL, ending, "ending"),
    I(BOOL, restart_needed, "restart-needed"),
    I(STRING, stage, "stage", text),
    I(STRINGS, addresses, "addresses", line),
    I(STRING, accel, "accel", line),
    I(STRING, engine, "engine", line),
    I(STRING, engine_reason, "engine-reason", text),
    I(STRING, error, "error", text),
    I(UINT, restarts, "restarts"),
    I(NUMBER, created, gint64, "created"),
    I(NUMBER, started, gint64, "started"),
};

#define S(kind, member, ...) kind(SteadSnapshot, member, __VA_ARGS__)

static const SteadField snapshot_fields[] = {
    S(STRING, id, "id", name, REQUIRED),
    S(STRING, instance, "instance", name, REQUIRED),
    S(STRING, name, "name", name, REQUIRED),
    S(STRING, parent, "parent", name),
    S(BOOL, memory, "memory", ALWAYS),
    S(BOOL, ready, "ready"),
    S(BOOL, complete, "complete", ALWAYS),
    S(NUMBER, size, guint64, "size", ALWAYS),
    SPEC(SteadSnapshot, SteadInstanceSpec, stead_instance_spec_table),
    STEAD_ROW(JSON, SteadSnapshot, layers, JsonNode *, "layers", 0),
    S(NUMBER, created, gint64, "created"),
};

#define N(kind, member, ...) kind(SteadNetwork, member, __VA_ARGS__)

static const SteadField network_fields[] = {
    N(STRING, id, "id", name, REQUIRED),
    N(STRING, name, "name", name, REQUIRED),
    N(STRING, project, "project", name),
    SPEC(SteadNetwork, SteadNetworkSpec, stead_network_spec_table),
    N(STRING, libvirt_name, "libvirt-name", line),
    N(STRING, bridge, "bridge", line),
    N(BOOL, removing, "removing"),
    N(NUMBER, created, gint64, "created"),
};

#define V(kind, member, ...) kind(SteadVolume, member, __VA_ARGS__)

static const SteadField volume_fields[] = {
    V(STRING, id, "id", name, REQUIRED),
    V(STRING, name, "name", name, REQUIRED),
    V(STRING, project, "project", name),
    SPEC(SteadVolume, SteadVolumeSpec, stead_volume_spec_table),
    V(STRING, path, "path", line),
    V(STRING, attached, "attached", name),
    V(BOOL, removing, "removing"),
    V(NUMBER, created, gint64, "created"),
};

#define T(kind, member, ...) kind(SteadTemplate, member, __VA_ARGS__)

static const SteadField template_fields[] = {
    T(STRING, id, "id", name, REQUIRED),
    T(STRING, name, "name", name, REQUIRED),
    T(STRING, from, "from", name),
    T(STRING, parent, "parent", name),
    T(ENUM, kind, "kind", SteadKind, stead_kind_names, ALWAYS),
    SPEC(SteadTemplate, SteadInstanceSpec, stead_instance_spec_table),
    T(STRING, image_digest, "image-digest", digest),
    T(STRING, accel, "accel", line),
    T(STRING, engine, "engine", line),
    T(OBJECTS, disks, "disks", disk_record_table),
    T(OBJECTS, nics, "nics", nic_record_table),
    T(STRINGS, host_keys, "host-keys", line),
    T(UINT, warm, "warm"),
    T(BOOL, complete, "complete", ALWAYS),
    T(NUMBER, size, guint64, "size", ALWAYS),
    T(NUMBER, created, gint64, "created"),
};

#define M(kind, member, ...) kind(SteadImage, member, __VA_ARGS__)

static const SteadField image_fields[] = {
    M(STRING, name, "name", image, REQUIRED),
    M(STRING, digest, "digest", digest, REQUIRED),
    M(STRING, source, "source", text),
    M(STRING, published, "published", line),
    M(NUMBER, size, guint64, "size", ALWAYS),
    M(NUMBER, virtual_size, guint64, "virtual-size", ALWAYS),
    M(BOOL, agent, "agent", ALWAYS),
    M(NUMBER, created, gint64, "created"),
};

static gpointer from_json(const SteadStruct *table, JsonNode *node, GError **error)
{
    g_autoptr(SteadTree) tree = stead_tree_from_json(node, error);
    if (!tree)
        return NULL;
    g_autoptr(SteadProblems) problems = stead_problems_new(NULL);
    gpointer record = stead_object_new(table);
    stead_object_decode(table, stead_tree_root(tree), record, STEAD_READ_RECORD, problems);
    if (stead_problems_finish(problems, error))
        return record;
    g_prefix_error(error, "the record of %s is damaged: ", table->what);
    table->destroy(record);
    return NULL;
}

/* What every record has: its table and the functions of instance.h. */
#define RECORD(type, name, what_)                                                                  \
    static void name##_destroy(gpointer record);                                                   \
    static const SteadStruct name##_table = {.what = what_,                                        \
                                             .fields = name##_fields,                              \
                                             .n = G_N_ELEMENTS(name##_fields),                     \
                                             .size = sizeof(type),                                 \
                                             .destroy = name##_destroy};                           \
    static void name##_destroy(gpointer record)                                                    \
    {                                                                                              \
        stead_object_free(&name##_table, record);                                                  \
    }                                                                                              \
    void stead_##name##_free(type *record)                                                         \
    {                                                                                              \
        stead_object_free(&name##_table, record);                                                  \
    }                                                                                              \
    type *stead_##name##_copy(const type *record)                                                  \
    {                                                                                              \
        return record ? stead_object_copy(&name##_table, record) : NULL;                           \
    }                                                                                              \
    JsonNode *stead_##name##_to_json(const type *record)                                           \
    {                                                                                              \
        return stead_object_encode(&name##_table, record);                                         \
    }                                                                                              \
    type *stead_##name##_from_json(JsonNode *node, GError **error)                                 \
    {                                                                                              \
        return from_json(&name##_table, node, error);                                              \
    }

RECORD(SteadInstance, instance, "an instance")
RECORD(SteadSnapshot, snapshot, "a snapshot")
RECORD(SteadNetwork, network, "a network")
RECORD(SteadVolume, volume, "a volume")
RECORD(SteadTemplate, template, "a template")
RECORD(SteadImage, image, "an image")
