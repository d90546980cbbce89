/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's records: their types, their loading, and what is said of those that cannot be read.
 *
 * One damaged record costs what it describes, and nothing else: the daemon starts and serves the
 * rest. What the record made is left alone, since it may run, and hold what others stand on. Which
 * that is cannot be known: so no image's content, no network and no layer that it may use is
 * removed until it is mended, or given up by whoever reads what the doctor says.
 */
#include "base/error.h"
#include "engine/state.h"

#include <string.h>

static const SteadTableType instance_type = {
    .bucket = "instance",
    .what = "instance",
    .to_json = (JsonNode * (*)(gconstpointer)) stead_instance_to_json,
    .from_json = (gpointer(*)(JsonNode *, GError **))stead_instance_from_json,
    .free = (GDestroyNotify)stead_instance_free,
    .id_offset = G_STRUCT_OFFSET(SteadInstance, id),
    .name_offset = G_STRUCT_OFFSET(SteadInstance, name),
    .unique_names = TRUE,
};

static const SteadTableType snapshot_type = {
    .bucket = "snapshot",
    .what = "snapshot",
    .to_json = (JsonNode * (*)(gconstpointer)) stead_snapshot_to_json,
    .from_json = (gpointer(*)(JsonNode *, GError **))stead_snapshot_from_json,
    .free = (GDestroyNotify)stead_snapshot_free,
    .id_offset = G_STRUCT_OFFSET(SteadSnapshot, id),
    .name_offset = G_STRUCT_OFFSET(SteadSnapshot, name),
};

static const SteadTableType network_type = {
    .bucket = "network",
    .what = "network",
    .to_json = (JsonNode * (*)(gconstpointer)) stead_network_to_json,
    .from_json = (gpointer(*)(JsonNode *, GError **))stead_network_from_json,
    .free = (GDestroyNotify)stead_network_free,
    .id_offset = G_STRUCT_OFFSET(SteadNetwork, id),
    .name_offset = G_STRUCT_OFFSET(SteadNetwork, name),
    .unique_names = TRUE,
};

static const SteadTableType volume_type = {
    .bucket = "volume",
    .what = "volume",
    .to_json = (JsonNode * (*)(gconstpointer)) stead_volume_to_json,
    .from_json = (gpointer(*)(JsonNode *, GError **))stead_volume_from_json,
    .free = (GDestroyNotify)stead_volume_free,
    .id_offset = G_STRUCT_OFFSET(SteadVolume, id),
    .name_offset = G_STRUCT_OFFSET(SteadVolume, name),
    .unique_names = TRUE,
};

static const SteadTableType template_type = {
    .bucket = "template",
    .what = "template",
    .to_json = (JsonNode * (*)(gconstpointer)) stead_template_to_json,
    .from_json = (gpointer(*)(JsonNode *, GError **))stead_template_from_json,
    .free = (GDestroyNotify)stead_template_free,
    .id_offset = G_STRUCT_OFFSET(SteadTemplate, id),
    .name_offset = G_STRUCT_OFFSET(SteadTemplate, name),
    .unique_names = TRUE,
};

/* An image's name is its id: a name stands for one content at a time. */
static const SteadTableType image_type = {
    .bucket = "image",
    .what = "image",
    .to_json = (JsonNode * (*)(gconstpointer)) stead_image_to_json,
    .from_json = (gpointer(*)(JsonNode *, GError **))stead_image_from_json,
    .free = (GDestroyNotify)stead_image_free,
    .id_offset = G_STRUCT_OFFSET(SteadImage, name),
    .name_offset = G_STRUCT_OFFSET(SteadImage, name),
    .unique_names = TRUE,
};

gboolean stead_engine_load_records(SteadEngine *engine, GError **error)
{
    return (engine->instances = stead_table_load(engine->store, &instance_type, error)) &&
           (engine->snapshots = stead_table_load(engine->store, &snapshot_type, error)) &&
           (engine->networks = stead_table_load(engine->store, &network_type, error)) &&
           (engine->volumes = stead_table_load(engine->store, &volume_type, error)) &&
           (engine->images = stead_table_load(engine->store, &image_type, error)) &&
           (engine->templates = stead_table_load(engine->store, &template_type, error));
}

/* ---- records that were set aside ---- */

/* SteadDamage of all types; the list is the caller's. */
static GPtrArray *list_damage(SteadEngine *engine)
{
    SteadTable *tables[] = {engine->instances, engine->snapshots, engine->networks,
                            engine->volumes,   engine->images,    engine->templates};
    GPtrArray *list = g_ptr_array_new();
    for (gsize i = 0; i < G_N_ELEMENTS(tables); i++) {
        const GPtrArray *damaged = stead_table_damaged(tables[i]);
        for (guint n = 0; n < damaged->len; n++)
            g_ptr_array_add(list, damaged->pdata[n]);
    }
    return list;
}

static const char *name_of(const SteadDamage *damage)
{
    return damage->name ? damage->name : damage->key;
}

void stead_engine_tell_damage(SteadEngine *engine)
{
    g_autoptr(GPtrArray) list = list_damage(engine);
    for (guint i = 0; i < list->len; i++) {
        const SteadDamage *damage = list->pdata[i];
        g_warning("the record of %s %s (%s) cannot be read, and is left as it is, with all that it "
                  "made; 'stead doctor' says how to mend it: %s",
                  damage->what, name_of(damage), damage->key, damage->why);
        stead_events_emit(
            engine->events, "record.damaged", name_of(damage),
            stead_event_data("type", damage->what, "key", damage->key, "why", damage->why, NULL));
    }
}

/* As an SQL text. */
static char *quote(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, "'", -1);
    g_autofree char *doubled = g_strjoinv("''", parts);
    return g_strdup_printf("'%s'", doubled);
}

static char *mend_damage(SteadEngine *engine, const SteadDamage *damage)
{
    g_autofree char *key = quote(damage->key);
    return g_strdup_printf("Put a copy of %s/stead.db back, or mend the record there (bucket '%s', "
                           "key %s), and restart the daemon. To give it up, with all that it made: "
                           "sqlite3 %s/stead.db \"DELETE FROM record WHERE bucket = '%s' AND "
                           "key = %s\", and restart the daemon.",
                           engine->paths->state, damage->bucket, key, engine->paths->state,
                           damage->bucket, key);
}

SteadCheckResult *stead_engine_check_records(SteadEngine *engine)
{
    g_autoptr(GPtrArray) list = list_damage(engine);
    SteadCheckResult *result = g_new0(SteadCheckResult, 1);
    result->id = "records";
    result->title = "Records";
    result->why = "what a damaged record describes is neither served nor touched";
    if (list->len == 0) {
        result->found = g_strdup("all can be read");
        return result;
    }
    const SteadDamage *first = list->pdata[0];
    g_autofree char *more =
        list->len > 1
            ? g_strdup_printf("; and %u more, which the daemon's log names", list->len - 1)
            : g_strdup("");
    result->status = STEAD_CHECK_FAIL;
    result->found = g_strdup_printf("%s %s: %.*s%s", first->what, name_of(first),
                                    (int)strcspn(first->why, "\r\n"), first->why, more);
    result->mend = mend_damage(engine, first);
    return result;
}

gboolean stead_engine_check_users_known(SteadEngine *engine, const char *what, const char *name,
                                        GError **error)
{
    const GPtrArray *damaged = stead_table_damaged(engine->instances);
    if (damaged->len == 0)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_BUSY, "'stead doctor' says how to mend the record.",
                    "the %s '%s' may be used by the instance %s, whose record cannot be read", what,
                    name, name_of(damaged->pdata[0]));
    return FALSE;
}

gboolean stead_engine_knows_images(SteadEngine *engine)
{
    return stead_table_damaged(engine->instances)->len == 0 &&
           stead_table_damaged(engine->images)->len == 0 &&
           stead_table_damaged(engine->templates)->len == 0;
}
