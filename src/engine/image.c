/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images: fetched, built or imported by a job; the record is written last, when the content is in
 * the store and verified. Two requests for one name share one job.
 */
#include <glib/gstdio.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "engine/state.h"
#include "image/build.h"
#include "image/catalogue.h"
#include "image/import.h"
#include "image/pull.h"
#include "model/check.h"

SteadImage *stead_engine_image(SteadEngine *engine, const char *name, GError **error)
{
    return stead_table_find(engine->images, name, error);
}

GPtrArray *stead_engine_images(SteadEngine *engine)
{
    return stead_table_list(engine->images);
}

static JsonArray *users_of(SteadEngine *engine, const SteadImage *image)
{
    JsonArray *users = json_array_new();
    g_autoptr(GPtrArray) instances = stead_table_list(engine->instances);
    for (guint i = 0; i < instances->len; i++) {
        const SteadInstance *instance = instances->pdata[i];
        if (g_strcmp0(instance->image_digest, image->digest) == 0)
            json_array_add_string_element(users, instance->name);
    }
    return users;
}

JsonNode *stead_engine_show_image(SteadEngine *engine, const SteadImage *image)
{
    JsonNode *node = stead_image_to_json(image);
    json_object_set_array_member(json_node_get_object(node), "used-by", users_of(engine, image));
    return node;
}

static void add_entry(SteadEngine *engine, const SteadCatalogueEntry *entry, JsonArray *array)
{
    JsonObject *object = json_object_new();
    JsonArray *aliases = json_array_new();
    for (guint i = 0; entry->aliases[i]; i++)
        json_array_add_string_element(aliases, entry->aliases[i]);
    json_object_set_string_member(object, "name", entry->name);
    json_object_set_string_member(object, "title", entry->title ? entry->title : entry->name);
    json_object_set_string_member(object, "address", entry->url);
    json_object_set_array_member(object, "aliases", aliases);
    json_object_set_boolean_member(object, "local",
                                   stead_table_by_name(engine->images, entry->name) != NULL);
    json_array_add_object_element(array, object);
}

JsonNode *stead_engine_catalogue(SteadEngine *engine, GError **error)
{
    g_autoptr(SteadCatalogue) catalogue = stead_catalogue_load(error);
    if (catalogue == NULL)
        return NULL;
    JsonArray *array = json_array_new();
    for (guint i = 0; i < stead_catalogue_count(catalogue); i++)
        add_entry(engine, stead_catalogue_get(catalogue, i), array);
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);
    json_node_take_array(node, array);
    return node;
}

/* ---- adding ---- */

/* Puts an image on record, in the place of one of the same name. */
static gboolean keep(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadEngine *engine = op->engine;
    SteadImage *image = op->extra;
    if (!stead_table_put(engine->images, image, error))
        return FALSE;
    op->extra = NULL; /* the table's now */
    stead_events_emit(engine->events, "image.added", image->name,
                      stead_event_data("digest", image->digest, "source", image->source, NULL));
    return TRUE;
}

static gboolean keep_image(SteadOp *op, SteadJob *job, SteadImage *image, GError **error)
{
    if (image == NULL)
        return FALSE;
    g_autofree char *digest = g_strdup(image->digest);
    op->extra = image;
    op->free_extra = (GDestroyNotify)stead_image_free;
    stead_job_set_result(job, stead_event_data("image", image->name, "digest", digest, NULL));
    gboolean kept = stead_job_sync(job, keep, op, error);
    stead_image_store_settle(op->engine->image_store, digest);
    return kept;
}

/* What can be done where there is no route to the image. */
static void add_way_out(const char *name, GError **error)
{
    g_autofree char *message = g_strdup((*error)->message);
    g_autofree char *hint =
        stead_image_build_known(name)
            ? g_strdup_printf(
                  "Without a route to it, build one from packages: stead image build %s", name)
            : g_strdup_printf("Without a route to it, import a disk: stead image import FILE "
                              "--name %s; or build another: stead image build debian:12",
                              name);
    g_clear_error(error);
    stead_set_error(error, STEAD_ERROR_UNAVAILABLE, hint, "%s", message);
}

static gboolean pull_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    g_autoptr(SteadCatalogue) catalogue = stead_catalogue_load(error);
    const SteadCatalogueEntry *entry =
        catalogue ? stead_catalogue_find(catalogue, op->name, error) : NULL;
    if (entry == NULL)
        return FALSE;
    SteadImage *image = stead_image_pull(op->engine->image_store, entry, stead_job_progress, job,
                                         stead_job_cancellable(job), error);
    if (image == NULL && stead_error_code(*error) == STEAD_ERROR_UNAVAILABLE)
        add_way_out(op->name, error);
    return keep_image(op, job, image, error);
}

typedef struct {
    char *release;
    char *path;
} Source;

static void source_free(gpointer data)
{
    Source *source = data;
    g_free(source->release);
    g_free(source->path);
    g_free(source);
}

static gboolean build_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadImageStore *store = op->engine->image_store;
    Source *source = op->extra;
    g_autofree char *cache = g_build_filename(op->engine->paths->state, "cache", "packages", NULL);
    g_autofree char *work = g_build_filename(op->engine->paths->state, "cache", "build", NULL);
    g_autofree char *release = g_strdup(source->release);
    stead_autounlink output = stead_image_store_stage(store, ".qcow2", NULL, error);
    if (output == NULL || !stead_make_dir(cache, 0755, error))
        return FALSE;
    SteadBuildOptions options = {
        .release = release, .output = output, .work_dir = work, .cache_dir = cache};
    if (!stead_image_build(&options, stead_job_progress, job, stead_job_cancellable(job), error))
        return FALSE;
    g_clear_pointer(&op->extra, source_free);
    SteadImageOrigin origin = {.name = op->name, .source = "build", .agent = TRUE};
    return keep_image(op, job,
                      stead_image_store_add(store, output, &origin, stead_job_progress, job,
                                            stead_job_cancellable(job), error),
                      error);
}

static gboolean import_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    Source *source = op->extra;
    g_autofree char *path = g_strdup(source->path);
    g_clear_pointer(&op->extra, source_free);
    SteadImportOptions options = {.origin = {.name = op->name}};
    return keep_image(op, job,
                      stead_image_import(op->engine->image_store, path, &options,
                                         stead_job_progress, job, stead_job_cancellable(job),
                                         error),
                      error);
}

static SteadJob *submit(SteadEngine *engine, const char *type, const char *name, Source *source,
                        SteadJobFunc body, GError **error)
{
    SteadOp *op = stead_op_new(engine, NULL, name);
    op->extra = source;
    op->free_extra = source_free;
    return stead_engine_submit_named(engine, "image", type, body, op, error);
}

/* What the catalogue does not have may be one to build. */
static void name_the_build(const char *name, GError **error)
{
    if (!stead_image_build_known(name) || error == NULL ||
        stead_error_code(*error) != STEAD_ERROR_NOT_FOUND)
        return;
    g_clear_error(error);
    g_autofree char *hint = g_strdup_printf("Build it: stead image build %s", name);
    stead_set_error(error, STEAD_ERROR_NOT_FOUND, hint, "%s is not fetched but built from packages",
                    name);
}

SteadJob *stead_engine_pull(SteadEngine *engine, const char *name, GError **error)
{
    if (!stead_image_ref_check(name, error))
        return NULL;
    g_autoptr(SteadCatalogue) catalogue = stead_catalogue_load(error);
    const SteadCatalogueEntry *entry =
        catalogue ? stead_catalogue_find(catalogue, name, error) : NULL;
    if (entry == NULL) {
        name_the_build(name, error);
        return NULL;
    }
    SteadJob *under_way = stead_jobs_find_active(engine->jobs, "image.pull", entry->name);
    return under_way ? under_way
                     : submit(engine, "image.pull", entry->name, NULL, pull_body, error);
}

SteadJob *stead_engine_build(SteadEngine *engine, const char *release, const char *as,
                             GError **error)
{
    if (!stead_image_ref_check(as, error))
        return NULL;
    if (!stead_image_build_known(release)) {
        g_autofree char *known = g_strjoinv(", ", (char **)(gsize)stead_image_build_releases());
        g_autofree char *hint = g_strdup_printf("It can build %s.", known);
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, hint, "stead cannot build '%.64s'", release);
        return NULL;
    }
    SteadJob *under_way = stead_jobs_find_active(engine->jobs, "image.build", as);
    if (under_way)
        return under_way;
    Source *source = g_new0(Source, 1);
    source->release = g_strdup(release);
    return submit(engine, "image.build", as, source, build_body, error);
}

SteadJob *stead_engine_import(SteadEngine *engine, const char *path, const char *name,
                              GError **error)
{
    if (!stead_image_ref_check(name, error))
        return NULL;
    Source *source = g_new0(Source, 1);
    source->path = g_strdup(path);
    return submit(engine, "image.import", name, source, import_body, error);
}

/* ---- removing ---- */

static GHashTable *digests_in_use(SteadEngine *engine, const SteadImage *except)
{
    GHashTable *digests = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) images = stead_table_list(engine->images);
    g_autoptr(GPtrArray) instances = stead_table_list(engine->instances);
    for (guint i = 0; i < images->len; i++)
        if (images->pdata[i] != except)
            g_hash_table_add(digests, g_strdup(((SteadImage *)images->pdata[i])->digest));
    for (guint i = 0; i < instances->len; i++) {
        const SteadInstance *instance = instances->pdata[i];
        if (instance->image_digest)
            g_hash_table_add(digests, g_strdup(instance->image_digest));
    }
    g_autoptr(GPtrArray) templates = stead_table_list(engine->templates);
    for (guint i = 0; i < templates->len; i++) {
        const SteadTemplate *template = templates->pdata[i];
        if (template->image_digest)
            g_hash_table_add(digests, g_strdup(template->image_digest));
    }
    return digests;
}

GHashTable *stead_engine_image_digests(SteadEngine *engine)
{
    return digests_in_use(engine, NULL);
}

static gboolean discard_body(SteadJob *job, gpointer data, GError **error)
{
    const SteadOp *op = data;
    g_unlink(op->name);
    return TRUE;
}

/* Unlinking gigabytes takes its time, which is not the main loop's. */
static void discard(SteadEngine *engine, const char *file)
{
    if (file)
        stead_engine_submit_question(engine, "image.discard", discard_body,
                                     stead_op_new(engine, NULL, file), NULL);
}

gboolean stead_engine_remove_image(SteadEngine *engine, const char *name, GError **error)
{
    SteadImage *image = stead_engine_image(engine, name, error);
    if (image == NULL)
        return FALSE;
    g_autoptr(JsonArray) users = users_of(engine, image);
    if (json_array_get_length(users) > 0) {
        stead_set_error(error, STEAD_ERROR_BUSY, "Remove those instances first.",
                        "the image '%s' is used by %s%s", image->name,
                        json_array_get_string_element(users, 0),
                        json_array_get_length(users) > 1 ? " and others" : "");
        return FALSE;
    }
    /* The record goes first: content without a record is an orphan, which the next start of the
     * daemon clears; a record without content would be a lie. */
    g_autoptr(SteadImage) copy = stead_image_copy(image);
    g_autoptr(GHashTable) in_use = digests_in_use(engine, image);
    g_autofree char *file = NULL;
    if (!stead_table_remove(engine->images, copy->name, error) ||
        (stead_engine_knows_images(engine) &&
         !stead_image_store_withdraw(engine->image_store, copy, in_use, &file, error)))
        return FALSE;
    discard(engine, file);
    stead_events_emit(engine->events, "image.removed", copy->name, NULL);
    return TRUE;
}
