/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Engines that were started ahead, for clones of a template that nobody has asked for yet. Each has
 * loaded the template's state, has answered once through its agent, so that what a clone runs first
 * is in memory (and, where it is emulated, translated), and stands still.
 *
 * One belongs to nobody: no record names it. It has an id, and the folders and disks of that id, as
 * the instance would have that takes it; taking it is to make a record with that id. So nothing has
 * to be remembered: what a killed daemon leaves is removed like anything else without a record, and
 * the next one starts others.
 */
#include <string.h>

#include "base/error.h"
#include "engine/template.h"
#include "storage/disk.h"

#define SEED_SIZE (512 * 1024)
#define WARM_UP_TIMEOUT_MS 60000
#define WARM_UP_ROUNDS 2
/* After one was taken, so long nothing is started ahead. */
#define QUIET_MS 1000

/* One that is ready. Main loop only, but for what a job still makes. */
typedef struct {
    char *id;
    char *template; /* its id */
    GPtrArray *disks;
    guint64 memory; /* its own, in bytes: it stands still */
} Warm;

static void warm_free(gpointer data)
{
    Warm *warm = data;
    if (warm == NULL)
        return;
    g_free(warm->id);
    g_free(warm->template);
    g_ptr_array_unref(warm->disks);
    g_free(warm);
}

GPtrArray *stead_warm_new(void)
{
    return g_ptr_array_new_with_free_func(warm_free);
}

guint stead_warm_ready(SteadEngine *engine, const char *template)
{
    guint n = 0;
    for (guint i = 0; i < engine->warm->len; i++)
        n += g_str_equal(((Warm *)engine->warm->pdata[i])->template, template);
    return n;
}

guint64 stead_warm_memory(SteadEngine *engine, const char *template)
{
    guint64 memory = 0;
    for (guint i = 0; i < engine->warm->len; i++) {
        const Warm *warm = engine->warm->pdata[i];
        memory += g_str_equal(warm->template, template) ? warm->memory : 0;
    }
    return memory;
}

/* ---- making one ---- */

typedef struct {
    SteadOp *op; /* id: its own; name: the template's id */
    SteadTemplate *template;
    GPtrArray *networks; /* SteadNetwork of each of its interfaces; NULL where one is gone */
    SteadMachine *machine;
    Warm *warm;
} Making;

static void making_clear(Making *making)
{
    g_clear_pointer(&making->template, stead_template_free);
    g_clear_pointer(&making->networks, g_ptr_array_unref);
    g_clear_pointer(&making->machine, stead_machine_free);
    g_clear_pointer(&making->warm, warm_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Making, making_clear)

static gboolean copy_template(gpointer data, GError **error)
{
    Making *making = data;
    SteadEngine *engine = making->op->engine;
    const SteadTemplate *template = stead_table_get(engine->templates, making->op->name);
    if (template == NULL || !template->complete) {
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "its template is gone");
        return FALSE;
    }
    making->op->runtime = stead_engine_runtime(engine, template->kind);
    making->template = stead_template_copy(template);
    making->networks = g_ptr_array_new_with_free_func((GDestroyNotify)stead_network_free);
    for (guint i = 0; i < template->nics->len; i++) {
        const SteadNicRecord *nic = template->nics->pdata[i];
        const SteadNetwork *network = stead_table_by_name(engine->networks, nic->network);
        g_ptr_array_add(making->networks, network ? stead_network_copy(network) : NULL);
    }
    return TRUE;
}

/* It is described as its template is, on no network. */
static void describe(Making *making)
{
    SteadEngine *engine = making->op->engine;
    const SteadTemplate *template = making->template;
    SteadMachine *machine = making->machine = stead_machine_new();
    machine->id = g_strdup(making->op->id);
    machine->name = g_strdup(template->name);
    machine->domain = g_strdup_printf("stead%s-%s", engine->paths->tag, template->name);
    machine->dir = stead_engine_instance_dir(engine, machine->id);
    machine->run_dir = stead_engine_instance_run_dir(engine, machine->id);
    machine->accel = g_strdup(template->accel);
    machine->engine = g_strdup(template->engine);
    machine->spec = stead_instance_spec_copy(template->spec);
    machine->frozen = stead_engine_template_dir(engine, template->id);
    machine->seed = template->spec->image ? g_build_filename(machine->dir, "seed.iso", NULL) : NULL;
    for (guint i = 0; i < making->warm->disks->len; i++) {
        const SteadDiskRecord *record = making->warm->disks->pdata[i];
        SteadMachineDisk *disk = g_new0(SteadMachineDisk, 1);
        disk->path = g_strdup(record->path);
        disk->format = g_strdup(record->format);
        disk->backing = g_strdupv(record->backing);
        g_ptr_array_add(machine->disks, disk);
    }
    for (guint i = 0; i < template->nics->len; i++) {
        SteadMachineNic *nic = g_new0(SteadMachineNic, 1);
        nic->mac = g_strdup(((SteadNicRecord *)template->nics->pdata[i])->mac);
        g_ptr_array_add(machine->nics, nic);
    }
}

/* The seed that it has open is nobody's, and empty; the instance gets its own for the day when it
 * boots. */
static gboolean make_files(const SteadMachine *machine, GError **error)
{
    g_autofree char *nothing = g_malloc0(SEED_SIZE);
    return stead_make_dir(machine->dir, 0711, error) &&
           stead_make_dir(machine->run_dir, 0711, error) &&
           (machine->seed == NULL ||
            stead_write_file(machine->seed, nothing, SEED_SIZE, 0600, error));
}

/* What a clone does first is done once: its answers are thrown away, the ways to them stay. */
static gboolean warm_up(const Making *making, SteadJob *job, GError **error)
{
    static const char *const command[] = {"hostname", NULL};
    const SteadTemplate *template = making->template;
    SteadRuntime *runtime = making->op->runtime;
    GCancellable *cancellable = stead_job_cancellable(job);
    if (!stead_clone_rehearse(runtime, making->machine, template, making->networks, cancellable,
                              error))
        return FALSE;
    for (guint i = 0; i < WARM_UP_ROUNDS; i++) {
        g_autoptr(SteadExecResult) answer = stead_runtime_exec(
            runtime, making->machine->id, command, NULL, WARM_UP_TIMEOUT_MS, cancellable, error);
        if (answer == NULL)
            return FALSE;
    }
    SteadStats stats = {0};
    if (!stead_runtime_stats(runtime, making->machine->id, &stats, error) ||
        !stead_runtime_pause(runtime, making->machine->id, cancellable, error))
        return FALSE;
    making->warm->memory = stats.memory_resident;
    return TRUE;
}

static gboolean keep(gpointer data, GError **error)
{
    Making *making = data;
    SteadEngine *engine = making->op->engine;
    const SteadTemplate *template = stead_table_get(engine->templates, making->op->name);
    if (template == NULL || !template->complete || engine->closing) {
        stead_set_error(error, STEAD_ERROR_CANCELLED, NULL, "it is not wanted any more");
        return FALSE;
    }
    g_ptr_array_add(engine->warm, g_steal_pointer(&making->warm));
    return TRUE;
}

/* (any thread) */
static void discard(SteadEngine *engine, SteadRuntime *runtime, const char *id)
{
    g_autofree char *dir = stead_engine_instance_dir(engine, id);
    g_autofree char *run_dir = stead_engine_instance_run_dir(engine, id);
    g_autoptr(GError) error = NULL;
    if (!stead_runtime_destroy(runtime, id, &error) ||
        !stead_disk_remove_all(engine->libvirt, engine->paths, NULL, id, &error) ||
        !stead_remove_tree(dir, &error) || !stead_remove_tree(run_dir, &error))
        g_warning("an engine that was started ahead stays to be removed: %s", error->message);
}

static gboolean make_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    g_auto(Making) making = {.op = op};
    if (!stead_job_sync(job, copy_template, &making, error))
        return FALSE;
    making.warm = g_new0(Warm, 1);
    making.warm->id = g_strdup(op->id);
    making.warm->template = g_strdup(op->name);
    making.warm->disks = g_ptr_array_new_with_free_func((GDestroyNotify)stead_disk_record_free);
    gboolean done = stead_clone_make_disks(op->engine->paths, making.template, op->id,
                                           making.template->name, making.warm->disks, error);
    if (done)
        describe(&making);
    done = done && stead_runtime_choose(op->runtime, making.machine, error) &&
           make_files(making.machine, error) &&
           stead_runtime_start(op->runtime, making.machine, error) &&
           warm_up(&making, job, error) && stead_job_sync(job, keep, &making, error);
    if (!done) {
        if (error && !g_error_matches(*error, STEAD_ERROR, STEAD_ERROR_CANCELLED))
            g_warning("no engine is started ahead for the template %s: %s", making.template->name,
                      (*error)->message);
        discard(op->engine, op->runtime, op->id);
    }
    return done;
}

/* One after the other: they are for times when nobody waits. */
void stead_warm_refill(SteadEngine *engine, const SteadTemplate *template)
{
    g_autofree char *lock = stead_engine_lock_of("warm", template->id);
    g_autofree char *id = g_uuid_string_random();
    if (!template->complete || stead_warm_ready(engine, template->id) >= template->warm ||
        stead_jobs_active_with_lock(engine->jobs, lock) || engine->closing || !engine->adopted)
        return;
    SteadJobOptions options = {.type = "template.warm",
                               .subject = template->name,
                               .lock = lock,
                               .quiet = TRUE,
                               .func = make_body,
                               .data = stead_op_new(engine, id, template->id),
                               .free_data = stead_op_free};
    stead_jobs_submit(engine->jobs, &options, NULL);
}

void stead_warm_refill_all(SteadEngine *engine)
{
    g_autoptr(GPtrArray) templates = stead_table_list(engine->templates);
    for (guint i = 0; i < templates->len; i++)
        stead_warm_refill(engine, templates->pdata[i]);
}

void stead_warm_on_job_ended(SteadJob *job, SteadEngine *engine)
{
    const char *lock = stead_job_lock(job);
    if (lock && g_str_has_prefix(lock, "warm/") && stead_job_error(job) == NULL) {
        const SteadTemplate *template = stead_table_get(engine->templates, lock + strlen("warm/"));
        if (template)
            stead_warm_refill(engine, template);
    }
}

/* ---- taking one ---- */

static gboolean on_quiet(gpointer data)
{
    SteadEngine *engine = data;
    engine->warm_timer = 0;
    stead_warm_refill_all(engine);
    return G_SOURCE_REMOVE;
}

/* Not while whoever took one uses it for the first time. */
static void refill_later(SteadEngine *engine)
{
    g_clear_handle_id(&engine->warm_timer, g_source_remove);
    engine->warm_timer = g_timeout_add(QUIET_MS, on_quiet, engine);
}

gboolean stead_warm_take(SteadEngine *engine, const SteadTemplate *template,
                         SteadInstance *instance)
{
    for (guint i = 0; i < engine->warm->len; i++) {
        Warm *warm = engine->warm->pdata[i];
        if (!g_str_equal(warm->template, template->id))
            continue;
        g_free(instance->id);
        instance->id = g_strdup(warm->id);
        instance->warm = TRUE;
        g_ptr_array_unref(instance->disks);
        instance->disks = g_ptr_array_ref(warm->disks);
        g_ptr_array_remove_index(engine->warm, i);
        refill_later(engine);
        return TRUE;
    }
    return FALSE;
}

void stead_warm_give_back(SteadEngine *engine, const SteadInstance *instance)
{
    Warm *warm = g_new0(Warm, 1);
    warm->id = g_strdup(instance->id);
    warm->template = g_strdup(instance->template);
    warm->disks = g_ptr_array_ref(instance->disks);
    g_ptr_array_add(engine->warm, warm);
}

/* ---- giving them up ---- */

static gboolean discard_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    discard(op->engine, op->runtime, op->id);
    return TRUE;
}

void stead_warm_drop(SteadEngine *engine, const SteadTemplate *template)
{
    for (guint i = engine->warm->len; i-- > 0;) {
        const Warm *warm = engine->warm->pdata[i];
        if (!g_str_equal(warm->template, template->id))
            continue;
        SteadOp *op = stead_op_new(engine, warm->id, template->name);
        op->runtime = stead_engine_runtime(engine, template->kind);
        stead_engine_submit_question(engine, "template.cool", discard_body, op, NULL);
        g_ptr_array_remove_index(engine->warm, i);
    }
}

void stead_warm_end(SteadEngine *engine)
{
    g_clear_handle_id(&engine->warm_timer, g_source_remove);
    for (guint i = 0; engine->warm && i < engine->warm->len; i++) {
        const Warm *warm = engine->warm->pdata[i];
        discard(engine, engine->runtimes[STEAD_KIND_MICROVM], warm->id);
    }
    g_clear_pointer(&engine->warm, g_ptr_array_unref);
}
