/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates: a running, ready instance frozen with its memory, devices and disks, from which clones
 * go on. On record as incomplete, made, then complete; what a killed daemon left incomplete is
 * removed.
 *
 * A template shares nothing that can change with the instance it was made of: its disks are copies,
 * read-only from then on. Its clones' disks stand on them, so it stays as long as one of them, or a
 * template that was made of one, is there.
 */
#include "engine/template.h"

#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"
#include "model/check.h"
#include "storage/prepared.h"

#define SETTLE_TIMEOUT_MS (15 * 60 * 1000)
#define ASK_TIMEOUT_MS 20000

/* What a template is made of is not frozen in the middle of its first boot; nor while it asks for
 * its address, since each clone would go on asking in its name; nor in its first seconds, in which
 * a kernel settles on its clock and makes its interfaces known: each clone would do that again. */
static const char *const await_boot[] = {
    "/bin/sh", "-c",
    "while [ -d /run/cloud-init ] && [ ! -e /run/cloud-init/result.json ]; do sleep 1; done; "
    "n=0; while [ $n -lt 100 ] && pidof udhcpc > /dev/null 2>&1; do sleep 0.1; n=$((n+1)); done; "
    "read -r up rest < /proc/uptime; up=${up%.*}; [ \"$up\" -ge 8 ] || sleep $((8-up))",
    NULL};

static const char *const list_keys[] = {
    "/bin/sh", "-c",
    "for k in /etc/ssh/ssh_host_*_key; do [ -e \"$k\" ] && echo \"$k\"; done; :", NULL};

char *stead_engine_template_dir(SteadEngine *engine, const char *id)
{
    return g_build_filename(engine->paths->state, "templates", id, NULL);
}

SteadTemplate *stead_engine_template(SteadEngine *engine, const char *name, GError **error)
{
    return stead_table_find(engine->templates, name, error);
}

GPtrArray *stead_engine_templates(SteadEngine *engine)
{
    return stead_table_list(engine->templates);
}

SteadTemplate *stead_engine_template_of(SteadEngine *engine, const SteadInstanceSpec *spec,
                                        GError **error)
{
    if (spec->image == NULL || !g_str_has_prefix(spec->image, STEAD_TEMPLATE_PREFIX))
        return NULL;
    const char *name = spec->image + strlen(STEAD_TEMPLATE_PREFIX);
    SteadTemplate *template = stead_table_find(engine->templates, name, error);
    if (template == NULL || template->complete)
        return template;
    stead_set_error(error, STEAD_ERROR_STATE, NULL, "the template '%s' is not complete yet",
                    template->name);
    return NULL;
}

/* ---- making one ---- */

typedef struct {
    SteadOp *op; /* id: the instance's; name: the template's id */
    SteadMachine *machine;
    SteadTemplate *template; /* a copy */
    char *dir;
} Work;

static void work_clear(Work *work)
{
    g_clear_pointer(&work->machine, stead_machine_free);
    g_clear_pointer(&work->template, stead_template_free);
    g_clear_pointer(&work->dir, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Work, work_clear)

static gboolean resolve(gpointer data, GError **error)
{
    Work *work = data;
    SteadEngine *engine = work->op->engine;
    const SteadInstance *instance = stead_engine_expect(engine, work->op->id, error);
    const SteadTemplate *template = stead_table_get(engine->templates, work->op->name);
    if (instance == NULL || template == NULL)
        return FALSE;
    if (instance->state != STEAD_STATE_RUNNING || !instance->ready) {
        stead_set_error(error, STEAD_ERROR_STATE, NULL, "%s is not ready", instance->name);
        return FALSE;
    }
    work->template = stead_template_copy(template);
    work->dir = stead_engine_template_dir(engine, template->id);
    work->machine = stead_engine_machine(engine, instance, error);
    return work->machine != NULL;
}

/* "/etc/ssh/ssh_host_ed25519_key" → "ed25519". */
static GStrv parse_keys(const char *text)
{
    g_autoptr(GStrvBuilder) types = g_strv_builder_new();
    g_auto(GStrv) lines = g_strsplit(text, "\n", 16);
    for (guint i = 0; lines[i]; i++) {
        g_autofree char *base = g_path_get_basename(lines[i]);
        if (!g_str_has_prefix(base, "ssh_host_") || !g_str_has_suffix(base, "_key"))
            continue;
        g_autofree char *type = g_strndup(base + 9, strlen(base) - 9 - 4);
        if (stead_name_is_valid(type))
            g_strv_builder_add(types, type);
    }
    return g_strv_builder_end(types);
}

static gboolean ask_guest(const Work *work, SteadJob *job, GError **error)
{
    SteadRuntime *runtime = work->op->runtime;
    const char *id = work->op->id;
    GCancellable *cancellable = stead_job_cancellable(job);
    stead_job_progress("waiting for its first boot to end", -1, job);
    g_autoptr(SteadExecResult) booted =
        stead_runtime_exec(runtime, id, await_boot, NULL, SETTLE_TIMEOUT_MS, cancellable, error);
    g_autoptr(SteadExecResult) keys =
        booted == NULL
            ? NULL
            : stead_runtime_exec(runtime, id, list_keys, NULL, ASK_TIMEOUT_MS, cancellable, error);
    if (keys == NULL)
        return FALSE;
    gsize length;
    const char *bytes = g_bytes_get_data(keys->out, &length);
    g_autofree char *text = g_strndup(bytes ? bytes : "", MIN(length, 4096));
    g_strfreev(work->template->host_keys);
    work->template->host_keys = parse_keys(text);
    return TRUE;
}

static char *disk_file(const Work *work, const char *what, guint n)
{
    g_autofree char *name = g_strdup_printf("%s%u.qcow2", what, n);
    return g_build_filename(work->dir, name, NULL);
}

/* Where a clone's disk begins: an empty file that stands on the template's. */
static gboolean prepare_overlay(const Work *work, const SteadMachineDisk *disk, const char *path,
                                guint n, GError **error)
{
    g_autofree char *overlay = disk_file(work, "overlay", n);
    SteadDiskRecord *record = g_new0(SteadDiskRecord, 1);
    record->path = g_strdup(path);
    record->format = g_strdup("qcow2");
    record->backing = disk->backing ? g_strdupv(disk->backing) : g_new0(char *, 1);
    g_ptr_array_add(work->template->disks, record);
    return stead_disk_prepare_overlay(overlay, path, 0, error);
}

/* While the guest stands still. All of it is there when the files are summed. */
static gboolean copy_disks(gpointer data, GError **error)
{
    const Work *work = data;
    for (guint i = 0; i < work->machine->disks->len; i++) {
        const SteadMachineDisk *disk = work->machine->disks->pdata[i];
        g_autofree char *path = disk_file(work, "disk", i);
        if (!stead_disk_file_clone(disk->path, path, error) ||
            !prepare_overlay(work, disk, path, i, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean complete(gpointer data, GError **error)
{
    Work *work = data;
    SteadEngine *engine = work->op->engine;
    SteadTemplate *kept = stead_template_copy(work->template);
    kept->complete = TRUE;
    kept->size = stead_folder_size(work->dir);
    if (!stead_table_put(engine->templates, kept, error)) {
        stead_template_free(kept);
        return FALSE;
    }
    stead_events_emit(engine->events, "template.created", kept->name,
                      stead_event_data("from", kept->from, NULL));
    stead_warm_refill(engine, kept);
    return TRUE;
}

static gboolean forget(gpointer data, GError **error)
{
    SteadOp *op = data;
    return stead_table_get(op->engine->templates, op->name) == NULL ||
           stead_table_remove(op->engine->templates, op->name, error);
}

static gboolean is_closing(gpointer data, GError **error)
{
    SteadOp *op = data;
    return op->engine->closing;
}

static void undo(SteadOp *op, SteadJob *job)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *dir = stead_engine_template_dir(op->engine, op->name);
    if (stead_job_sync(job, is_closing, op, NULL))
        return; /* the next daemon does it */
    if (!stead_remove_tree(dir, &error) || !stead_job_sync(job, forget, op, &error))
        g_warning("a template could not be undone: %s", error->message);
}

static gboolean create_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    g_auto(Work) work = {.op = op};
    gboolean done = stead_job_sync(job, resolve, &work, error) && ask_guest(&work, job, error) &&
                    stead_make_dir(work.dir, 0711, error);
    if (done) {
        stead_job_progress("freezing it", -1, job);
        done = stead_runtime_freeze(op->runtime, work.machine, work.dir, copy_disks, &work,
                                    stead_job_cancellable(job), error) &&
               stead_job_sync(job, complete, &work, error);
    }
    if (!done)
        undo(op, job);
    return done;
}

static gboolean may_freeze(SteadEngine *engine, const SteadInstance *instance, GError **error)
{
    g_autofree char *hint = g_strdup_printf("Wait until it is: stead wait %s", instance->name);
    if (!stead_runtime_has(stead_engine_runtime(engine, instance->kind), STEAD_FEATURE_TEMPLATE)) {
        stead_set_error(error, STEAD_ERROR_UNSUPPORTED, "Run it as one: stead run --kind microvm",
                        "%s is of kind %s: only a microvm can be made a template", instance->name,
                        stead_name_of(&stead_kind_names, (int)instance->kind));
        return FALSE;
    }
    if (instance->state != STEAD_STATE_RUNNING || !instance->ready) {
        stead_set_error(error, STEAD_ERROR_STATE, hint,
                        "%s is not running and ready, which a template's clones would be",
                        instance->name);
        return FALSE;
    }
    for (guint i = 0; i < instance->disks->len; i++) {
        const SteadDiskRecord *disk = instance->disks->pdata[i];
        if (disk->volume == NULL && g_str_equal(disk->format, "qcow2"))
            continue;
        stead_set_error(error, STEAD_ERROR_UNSUPPORTED, "Detach it first.",
                        "%s has a disk that cannot be cloned: %s", instance->name, disk->path);
        return FALSE;
    }
    return TRUE;
}

static SteadTemplate *describe(const SteadInstance *instance, const char *name)
{
    SteadTemplate *template = g_new0(SteadTemplate, 1);
    template->id = g_uuid_string_random();
    template->name = g_strdup(name);
    template->from = g_strdup(instance->name);
    template->parent = g_strdup(instance->template);
    template->kind = instance->kind;
    template->spec = stead_instance_spec_copy(instance->spec);
    template->image_digest = g_strdup(instance->image_digest);
    template->accel = g_strdup(instance->accel);
    template->engine = g_strdup(instance->engine);
    template->host_keys = g_new0(char *, 1);
    template->disks = g_ptr_array_new_with_free_func((GDestroyNotify)stead_disk_record_free);
    template->nics = g_ptr_array_new_with_free_func((GDestroyNotify)stead_nic_record_free);
    for (guint i = 0; i < instance->nics->len; i++) {
        const SteadNicRecord *nic = instance->nics->pdata[i];
        SteadNicRecord *copy = g_new0(SteadNicRecord, 1);
        copy->network = g_strdup(nic->network);
        copy->mac = g_strdup(nic->mac);
        copy->address = g_strdup(nic->address);
        g_ptr_array_add(template->nics, copy);
    }
    template->created = g_get_real_time();
    return template;
}

static gboolean check_warm(guint64 warm, GError **error)
{
    if (warm <= STEAD_MAX_WARM || warm == STEAD_WARM_AS_IT_PAYS)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INVALID, NULL, "at most %d engines are started ahead",
                    STEAD_MAX_WARM);
    return FALSE;
}

static guint how_many(const SteadTemplate *template, guint64 warm)
{
    if (warm == STEAD_WARM_AS_IT_PAYS)
        return g_strcmp0(template->accel, "tcg") == 0 ? 1 : 0;
    return (guint)warm;
}

gboolean stead_engine_warm_template(SteadEngine *engine, const char *name, guint64 warm,
                                    GError **error)
{
    SteadTemplate *template = stead_engine_template(engine, name, error);
    if (template == NULL || !check_warm(warm, error))
        return FALSE;
    guint before = template->warm;
    template->warm = how_many(template, warm);
    if (!stead_table_save(engine->templates, template, error)) {
        template->warm = before;
        return FALSE;
    }
    if (template->warm < before)
        stead_warm_drop(engine, template);
    stead_warm_refill(engine, template);
    return TRUE;
}

SteadJob *stead_engine_create_template(SteadEngine *engine, const char *name, const char *from,
                                       guint64 warm, GError **error)
{
    SteadInstance *instance = stead_engine_instance(engine, from, error);
    if (instance == NULL || !stead_name_check("template", name, error) ||
        !check_warm(warm, error) || !may_freeze(engine, instance, error))
        return NULL;
    g_autoptr(SteadTemplate) template = describe(instance, name);
    template->warm = how_many(template, warm);
    if (!stead_table_add(engine->templates, template, error))
        return NULL;
    SteadTemplate *kept = g_steal_pointer(&template);
    SteadJob *job = stead_engine_submit_on(engine, instance, "template.create", create_body,
                                           stead_op_new(engine, instance->id, kept->id), error);
    if (job == NULL)
        stead_table_remove(engine->templates, kept->id, NULL);
    return job;
}

/* ---- showing and removing ---- */

/* Names of what stands on it. The array is the caller's; its strings are borrowed. */
static GPtrArray *users_of(SteadEngine *engine, const SteadTemplate *template)
{
    GPtrArray *users = g_ptr_array_new();
    g_autoptr(GPtrArray) instances = stead_table_list(engine->instances);
    g_autoptr(GPtrArray) templates = stead_table_list(engine->templates);
    for (guint i = 0; i < instances->len; i++)
        if (g_strcmp0(((SteadInstance *)instances->pdata[i])->template, template->id) == 0)
            g_ptr_array_add(users, ((SteadInstance *)instances->pdata[i])->name);
    for (guint i = 0; i < templates->len; i++)
        if (g_strcmp0(((SteadTemplate *)templates->pdata[i])->parent, template->id) == 0)
            g_ptr_array_add(users, ((SteadTemplate *)templates->pdata[i])->name);
    return users;
}

JsonNode *stead_engine_show_template(SteadEngine *engine, const SteadTemplate *template)
{
    JsonNode *node = stead_template_to_json(template);
    JsonObject *object = json_node_get_object(node);
    g_autofree char *dir = stead_engine_template_dir(engine, template->id);
    g_autoptr(GPtrArray) users = users_of(engine, template);
    JsonArray *names = json_array_new();
    for (guint i = 0; i < users->len; i++)
        json_array_add_string_element(names, users->pdata[i]);
    json_object_set_array_member(object, "users", names);
    json_object_set_int_member(object, "clones", users->len);
    json_object_set_int_member(object, "warm-ready", stead_warm_ready(engine, template->id));
    json_object_set_int_member(object, "warm-memory",
                               (gint64)stead_warm_memory(engine, template->id));
    json_object_set_string_member(object, "image", template->spec->image);
    json_object_set_int_member(object, "memory", (gint64) template->spec->memory.max);
    json_object_set_int_member(object, "cpus", template->spec->cpus);
    json_object_set_int_member(
        object, "resident",
        (gint64)stead_runtime_frozen_resident(stead_engine_runtime(engine, template->kind), dir));
    return node;
}

static gboolean remove_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    g_autofree char *dir = stead_engine_template_dir(op->engine, op->name);
    return stead_remove_tree(dir, error) && stead_job_sync(job, forget, op, error);
}

static SteadJob *submit_remove(SteadEngine *engine, const SteadTemplate *template, GError **error)
{
    g_autofree char *dir = stead_engine_template_dir(engine, template->id);
    stead_warm_drop(engine, template);
    stead_runtime_frozen_drop(stead_engine_runtime(engine, template->kind), dir);
    return stead_engine_submit_named(engine, "template", "template.remove", remove_body,
                                     stead_op_new(engine, NULL, template->id), error);
}

SteadJob *stead_engine_remove_template(SteadEngine *engine, const char *name, GError **error)
{
    SteadTemplate *template = stead_engine_template(engine, name, error);
    if (template == NULL)
        return NULL;
    g_autoptr(GPtrArray) users = users_of(engine, template);
    if (users->len > 0) {
        stead_set_error(error, STEAD_ERROR_BUSY, "Remove what stands on it first.",
                        "the template '%s' is used by %s%s", template->name,
                        (const char *)users->pdata[0], users->len > 1 ? " and others" : "");
        return NULL;
    }
    /* From here on nothing new may stand on it. */
    template->complete = FALSE;
    if (!stead_table_save(engine->templates, template, error)) {
        template->complete = TRUE;
        return NULL;
    }
    return submit_remove(engine, template, error);
}

void stead_engine_settle_templates(SteadEngine *engine)
{
    g_autoptr(GPtrArray) templates = stead_table_list(engine->templates);
    for (guint i = 0; i < templates->len; i++) {
        const SteadTemplate *template = templates->pdata[i];
        g_autoptr(GError) error = NULL;
        if (!template->complete && !submit_remove(engine, template, &error))
            g_warning("template %s: %s", template->name, error->message);
    }
}
