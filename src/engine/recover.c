/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reconciliation: after a start of the daemon, after libvirtd came back, and now and then, records
 * and host are made to agree.
 *
 *     on the host, no record    removed: the record comes first and goes last, so nobody owns it
 *     record, half-made         made again from the record (create, start, stop, remove, restore
 *                               go on; a snapshot that is not complete is undone)
 *     record says it runs       adopted when it does; else marked, or started again by its policy
 *
 * What is removed carries the root's mark (metadata, pool, folder): other people's domains,
 * networks and files are never touched.
 */
#include "base/error.h"
#include "base/memory.h"
#include "engine/template.h"
#include "net/network.h"
#include "net/ports.h"
#include "storage/disk.h"
#include "storage/pool.h"

#define EVERY_SECONDS 30

typedef struct {
    SteadEngine *engine;
    gint64 begun;          /* monotonic, microseconds */
    GHashTable *instances; /* ids on record */
    GHashTable *disks;     /* ids of instances and volumes */
    GHashTable *networks;  /* ids */
    GHashTable *images;    /* digests */
    GHashTable *templates; /* ids */
    gboolean images_known; /* all of those */
    GPtrArray *actual;     /* SteadActual */
} Survey;

static void forget_records(Survey *survey)
{
    g_clear_pointer(&survey->instances, g_hash_table_unref);
    g_clear_pointer(&survey->disks, g_hash_table_unref);
    g_clear_pointer(&survey->networks, g_hash_table_unref);
    g_clear_pointer(&survey->images, g_hash_table_unref);
    g_clear_pointer(&survey->templates, g_hash_table_unref);
}

static void survey_free(gpointer data)
{
    Survey *survey = data;
    forget_records(survey);
    g_clear_pointer(&survey->actual, g_ptr_array_unref);
    g_free(survey);
}

static GHashTable *new_set(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

/* What is on record now; taken after the host was listed, so that what was made in between is not
 * mistaken for an orphan. */
static gboolean take_records(gpointer data, GError **error)
{
    Survey *survey = data;
    SteadEngine *engine = survey->engine;
    forget_records(survey);
    survey->instances = new_set();
    survey->disks = new_set();
    survey->networks = new_set();
    survey->images = stead_engine_image_digests(engine);
    survey->images_known = stead_engine_knows_images(engine);
    stead_table_add_ids(engine->instances, survey->instances);
    stead_table_add_ids(engine->instances, survey->disks);
    stead_table_add_ids(engine->volumes, survey->disks);
    stead_table_add_ids(engine->networks, survey->networks);
    survey->templates = new_set();
    stead_table_add_ids(engine->templates, survey->templates);
    return TRUE;
}

/* ---- orphans; the first reconciliation only ---- */

static void warn(GError **error, const char *what)
{
    if (*error)
        g_warning("%s: %s", what, (*error)->message);
    g_clear_error(error);
}

static void remove_orphan_domains(Survey *survey)
{
    g_autoptr(GError) error = NULL;
    for (guint i = 0; i < survey->actual->len; i++) {
        const SteadActual *actual = survey->actual->pdata[i];
        if (g_hash_table_contains(survey->instances, actual->id))
            continue;
        g_message("removing %s, which has no record", actual->domain);
        stead_runtime_destroy(stead_engine_runtime(survey->engine, actual->kind), actual->id,
                              &error);
        warn(&error, actual->domain);
    }
}

static GPtrArray *list_networks(Survey *survey, GError **error)
{
    SteadEngine *engine = survey->engine;
    return stead_network_orphans(engine->libvirt, engine->paths, survey->networks, error);
}

static gboolean remove_network(Survey *survey, const char *network, GError **error)
{
    SteadEngine *engine = survey->engine;
    return stead_network_remove_orphan(engine->libvirt, engine->paths, network, error);
}

static GPtrArray *list_disks(Survey *survey, GError **error)
{
    SteadEngine *engine = survey->engine;
    return stead_storage_orphans(engine->libvirt, engine->paths, survey->disks, error);
}

static gboolean remove_disk(Survey *survey, const char *disk, GError **error)
{
    return stead_disk_remove(survey->engine->libvirt, disk, error);
}

static GPtrArray *list_images(Survey *survey, GError **error)
{
    return survey->images_known
               ? stead_image_store_orphans(survey->engine->image_store, survey->images, error)
               : NULL;
}

static gboolean remove_image(Survey *survey, const char *digest, GError **error)
{
    return stead_image_store_remove_digest(survey->engine->image_store, digest, NULL, error);
}

static void add_folders(GHashTable *known, const char *top, const char *what, GPtrArray *orphans)
{
    g_autofree char *path = g_build_filename(top, what, NULL);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir)) != NULL;)
        if (!g_hash_table_contains(known, name) && g_uuid_string_is_valid(name))
            g_ptr_array_add(orphans, g_build_filename(path, name, NULL));
}

/* What a writer left that was killed. */
static void sweep(Survey *survey, const char *folder)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *snapshots = g_build_filename(folder, "snapshots", NULL);
    gint64 opened = g_get_real_time() - (g_get_monotonic_time() - survey->engine->opened);
    if (stead_sweep_temporaries(folder, opened, &error))
        stead_sweep_temporaries(snapshots, opened, &error);
    warn(&error, folder);
}

static void sweep_all(Survey *survey)
{
    GHashTableIter iter;
    gpointer id;
    g_hash_table_iter_init(&iter, survey->instances);
    while (g_hash_table_iter_next(&iter, &id, NULL)) {
        g_autofree char *folder = stead_engine_instance_dir(survey->engine, id);
        sweep(survey, folder);
    }
}

static GPtrArray *list_folders(Survey *survey, GError **error)
{
    GPtrArray *orphans = g_ptr_array_new_with_free_func(g_free);
    add_folders(survey->instances, survey->engine->paths->state, "instances", orphans);
    add_folders(survey->instances, survey->engine->paths->run, "instances", orphans);
    add_folders(survey->templates, survey->engine->paths->state, "templates", orphans);
    return orphans;
}

static gboolean remove_folder(Survey *survey, const char *folder, GError **error)
{
    return stead_ports_unpublish(folder, error) && stead_remove_tree(folder, error);
}

/* What may be left without a record, in the order in which it is removed. */
static const struct {
    const char *what;
    GPtrArray *(*list)(Survey *survey, GError **error); /* names that the records do not know */
    gboolean (*remove)(Survey *survey, const char *name, GError **error);
} remains[] = {
    {"networks without a record", list_networks, remove_network},
    {"disks without a record", list_disks, remove_disk},
    {"images without a record", list_images, remove_image},
    {"folders without a record", list_folders, remove_folder},
};

static void remove_each(Survey *survey, gsize which, GPtrArray *before, GPtrArray *after)
{
    for (guint i = 0; i < after->len; i++) {
        g_autoptr(GError) error = NULL;
        const char *name = after->pdata[i];
        if (g_ptr_array_find_with_equal_func(before, name, g_str_equal, NULL) &&
            !remains[which].remove(survey, name, &error))
            g_warning("%s: %s: %s", remains[which].what, name, error->message);
    }
}

/*
 * The API is open meanwhile, so a list of the host may be newer than the records that it was
 * compared with. Each is made twice, the second time with records that are newer than the first:
 * what is in both was there before those records were taken, and they do not know it.
 */
static gboolean remove_remains(Survey *survey, SteadJob *job, GError **error)
{
    g_autoptr(GPtrArray) before = g_ptr_array_new_with_free_func((GDestroyNotify)g_ptr_array_unref);
    for (gsize i = 0; i < G_N_ELEMENTS(remains); i++) {
        g_autoptr(GError) why = NULL;
        GPtrArray *list = remains[i].list(survey, &why);
        if (why)
            g_warning("%s: %s", remains[i].what, why->message);
        g_ptr_array_add(before, list ? list : g_ptr_array_new_with_free_func(g_free));
    }
    if (!stead_job_sync(job, take_records, survey, error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(remains); i++) {
        GPtrArray *first = before->pdata[i];
        g_autoptr(GPtrArray) after = first->len > 0 ? remains[i].list(survey, NULL) : NULL;
        if (after)
            remove_each(survey, i, first, after);
    }
    return TRUE;
}

/* ---- records ---- */

static const SteadActual *listed(Survey *survey, const char *id)
{
    for (guint i = 0; i < survey->actual->len; i++)
        if (g_str_equal(((SteadActual *)survey->actual->pdata[i])->id, id))
            return survey->actual->pdata[i];
    return NULL;
}

static void submit_action(SteadEngine *engine, const SteadInstance *instance, SteadAction action,
                          gboolean force)
{
    SteadActionOptions options = {.force = force, .on_record = TRUE};
    g_autoptr(GError) error = NULL;
    if (!stead_engine_act(engine, instance->id, action, &options, &error))
        g_warning("%s: %s", instance->name, error->message);
}

/* Goes on with what a job that is gone was doing; TRUE when there was something. */
static gboolean resume(SteadEngine *engine, SteadInstance *instance, gboolean runs)
{
    g_autoptr(GError) error = NULL;
    switch (instance->state) {
    case STEAD_STATE_CREATING:
        stead_engine_submit_create(engine, instance, &error);
        break;
    case STEAD_STATE_STARTING:
        submit_action(engine, instance, STEAD_ACTION_START, FALSE);
        break;
    case STEAD_STATE_STOPPING:
        submit_action(engine, instance,
                      instance->want_running ? STEAD_ACTION_RESTART : STEAD_ACTION_STOP,
                      !runs || instance->ending);
        break;
    case STEAD_STATE_REMOVING:
        submit_action(engine, instance, STEAD_ACTION_REMOVE, TRUE);
        break;
    case STEAD_STATE_STOPPED:
    case STEAD_STATE_RUNNING:
    case STEAD_STATE_PAUSED:
    case STEAD_STATE_FAILED:
    case STEAD_N_STATES:
        return FALSE;
    }
    if (error)
        g_warning("%s: %s", instance->name, error->message);
    return TRUE;
}

static void finish_snapshots(SteadEngine *engine, const SteadInstance *instance)
{
    g_autoptr(GPtrArray) snapshots = stead_engine_snapshots(engine, instance->id);
    for (guint i = 0; i < snapshots->len; i++) {
        const SteadSnapshot *snapshot = snapshots->pdata[i];
        g_autoptr(GError) error = NULL;
        gboolean restoring = g_strcmp0(instance->restoring, snapshot->id) == 0;
        if (snapshot->complete && !restoring)
            continue;
        if (!stead_engine_finish_snapshot(engine, instance, snapshot, &error))
            g_warning("%s: %s", instance->name, error->message);
    }
}

/* An instance that the record says is up, and the host, too. */
static void adopt(SteadEngine *engine, SteadInstance *instance, const SteadActual *actual)
{
    if (!actual->silent)
        instance->state =
            actual->state == STEAD_STATE_PAUSED ? STEAD_STATE_PAUSED : STEAD_STATE_RUNNING;
    stead_engine_watch(engine, instance, FALSE);
    stead_engine_submit_ports(engine, instance);
}

/* What was told since the host was listed is newer. */
static SteadActual *take_heard(SteadEngine *engine, const char *id)
{
    g_autofree char *key = NULL;
    SteadActual *heard = NULL;
    g_hash_table_steal_extended(engine->heard, id, (gpointer *)&key, (gpointer *)&heard);
    return heard;
}

static void settle_at_start(SteadEngine *engine, SteadInstance *instance, const SteadActual *actual)
{
    gboolean runs = actual && actual->state != STEAD_STATE_STOPPED;
    if (resume(engine, instance, runs))
        return;
    stead_engine_finish_attachments(engine, instance);
    gboolean ended =
        instance->state == STEAD_STATE_STOPPED || instance->state == STEAD_STATE_FAILED;
    if (runs && stead_instance_is_up(instance))
        adopt(engine, instance, actual);
    else if (ended && !runs && instance->want_running) /* between two steps, or two restarts */
        submit_action(engine, instance, STEAD_ACTION_START, FALSE);
    else if (stead_instance_is_up(instance) || runs)
        stead_engine_on_actual(
            actual ? actual : &(SteadActual){.id = instance->id, .state = STEAD_STATE_STOPPED},
            engine);
}

static void settle_volume(SteadEngine *engine, SteadVolume *volume)
{
    g_autoptr(GError) error = NULL;
    if (volume->removing)
        stead_engine_remove_volume(engine, volume->name, &error);
    else if (volume->path == NULL)
        stead_engine_make_volume_again(engine, volume, &error);
    if (volume->attached && !stead_table_knows(engine->instances, volume->attached)) {
        g_clear_pointer(&volume->attached, g_free);
        stead_table_save(engine->volumes, volume, NULL);
    }
    if (error)
        g_warning("volume %s: %s", volume->name, error->message);
}

static void settle_parts(SteadEngine *engine)
{
    g_autoptr(GPtrArray) networks = stead_table_list(engine->networks);
    g_autoptr(GPtrArray) volumes = stead_table_list(engine->volumes);
    g_autoptr(GPtrArray) snapshots = stead_table_list(engine->snapshots);
    for (guint i = 0; i < networks->len; i++) {
        const SteadNetwork *network = networks->pdata[i];
        if (network->removing)
            stead_engine_remove_network(engine, network->name, NULL);
        else if (network->bridge == NULL)
            stead_engine_make_network_again(engine, network, NULL);
    }
    for (guint i = 0; i < volumes->len; i++)
        settle_volume(engine, volumes->pdata[i]);
    for (guint i = 0; i < snapshots->len; i++) {
        const SteadSnapshot *snapshot = snapshots->pdata[i];
        if (!stead_table_knows(engine->instances, snapshot->instance))
            stead_table_remove(engine->snapshots, snapshot->id, NULL);
    }
}

/* Whether the survey was begun before the instance's state last changed: then it knows less. */
static gboolean is_older(const Survey *survey, const SteadInstance *instance)
{
    const SteadLive *live = g_hash_table_lookup(survey->engine->live, instance->id);
    return live && live->changed >= survey->begun;
}

static gboolean settle(gpointer data, GError **error)
{
    Survey *survey = data;
    SteadEngine *engine = survey->engine;
    gboolean first = !engine->adopted;
    engine->adopted = TRUE;
    if (first)
        settle_parts(engine);
    if (first) {
        stead_engine_settle_templates(engine);
        stead_warm_refill_all(engine);
    }
    g_autoptr(GPtrArray) instances = stead_table_list(engine->instances);
    for (guint i = 0; i < instances->len; i++) {
        SteadInstance *instance = instances->pdata[i];
        g_autofree char *lock = stead_engine_instance_lock(instance->id);
        if (stead_jobs_active_with_lock(engine->jobs, lock))
            continue;
        g_autoptr(SteadActual) heard = take_heard(engine, instance->id);
        const SteadActual *actual = heard ? heard : listed(survey, instance->id);
        gboolean runs = actual && actual->state != STEAD_STATE_STOPPED;
        SteadLive *live = stead_engine_live(engine, instance->id);
        gboolean settled = live->settled;
        live->settled = TRUE;
        finish_snapshots(engine, instance);
        gboolean restoring =
            instance->restoring != NULL; /* what it leads to is watched when it is there */
        if (!restoring && !settled)
            settle_at_start(engine, instance, actual);
        else if (!restoring && !is_older(survey, instance) && !resume(engine, instance, runs) &&
                 (actual || stead_instance_is_up(instance)))
            stead_engine_on_actual(
                actual ? actual : &(SteadActual){.id = instance->id, .state = STEAD_STATE_STOPPED},
                engine);
        stead_engine_ask_again(engine, instance);
    }
    return TRUE;
}

static void note_other(SteadJob *job, gpointer data)
{
    *(gboolean *)data |= !stead_job_is_quiet(job);
}

/* An idle daemon takes no more than it needs. */
static gboolean tidy(gpointer data, GError **error)
{
    Survey *survey = data;
    gboolean busy = FALSE;
    stead_jobs_each(survey->engine->jobs, TRUE, note_other, &busy);
    if (!busy)
        stead_memory_give_back();
    return TRUE;
}

static gboolean list_all(Survey *survey, GError **error)
{
    SteadEngine *engine = survey->engine;
    survey->actual = g_ptr_array_new_with_free_func((GDestroyNotify)stead_actual_free);
    for (guint i = 0; i < STEAD_N_KINDS; i++) {
        if (engine->runtimes[i] == NULL)
            continue;
        g_autoptr(GPtrArray) list = stead_runtime_list(engine->runtimes[i], error);
        if (list == NULL)
            return FALSE;
        g_ptr_array_extend_and_steal(survey->actual, g_steal_pointer(&list));
    }
    return TRUE;
}

static gboolean reconcile_body(SteadJob *job, gpointer data, GError **error)
{
    Survey *survey = data;
    SteadEngine *engine = survey->engine;
    gboolean first = !engine->adopted;
    survey->begun = g_get_monotonic_time();
    if (first && !stead_pool_ensure_default(engine->libvirt, engine->paths, error))
        return FALSE;
    if (!list_all(survey, error) || !stead_job_sync(job, take_records, survey, error))
        return FALSE;
    if (first) {
        remove_orphan_domains(survey);
        if (!remove_remains(survey, job, error))
            return FALSE;
        sweep_all(survey);
    }
    return stead_job_sync(job, settle, survey, error) && stead_job_sync(job, tidy, survey, error);
}

void stead_engine_reconcile(SteadEngine *engine)
{
    if (stead_jobs_active_with_lock(engine->jobs, "host"))
        return;
    Survey *survey = g_new0(Survey, 1);
    survey->engine = engine;
    SteadJobOptions options = {.type = "host.reconcile",
                               .lock = "host",
                               .quiet = TRUE,
                               .func = reconcile_body,
                               .data = survey,
                               .free_data = survey_free};
    stead_jobs_submit(engine->jobs, &options, NULL);
}

static gboolean on_timer(gpointer engine)
{
    stead_engine_reconcile(engine);
    return G_SOURCE_CONTINUE;
}

void stead_engine_reconcile_always(SteadEngine *engine)
{
    stead_engine_reconcile(engine);
    engine->reconcile_timer = g_timeout_add_seconds(EVERY_SECONDS, on_timer, engine);
}
