/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creating an instance: record first, then image, addresses, disks, seed, and at last the
 * definition on the host. Every
 * step can be repeated, so a creation that was cut off by a kill is begun again from its record;
 * one that fails is undone, record and all.
 */
#include "base/error.h"
#include "engine/claims.h"
#include "engine/create.h"
#include "engine/template.h"
#include "image/kernel.h"
#include "image/boot.h"
#include "image/build.h"
#include "image/seed.h"
#include "model/check.h"
#include "net/addresses.h"
#include "net/network_xml.h"
#include "net/ports.h"

static void create_clear(Create *create)
{
    g_clear_pointer(&create->instance, stead_instance_free);
    g_clear_pointer(&create->image, stead_image_free);
    g_clear_pointer(&create->pull, stead_job_unref);
    g_clear_pointer(&create->networks, g_ptr_array_unref);
    g_clear_pointer(&create->volumes, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Create, create_clear)

/* ---- image ---- */

static gboolean find_image(gpointer data, GError **error)
{
    Create *create = data;
    SteadInstance *instance = stead_engine_expect(create->engine, create->id, error);
    if (instance == NULL)
        return FALSE;
    g_clear_pointer(&create->instance, stead_instance_free);
    create->instance = stead_instance_copy(instance);
    SteadImage *image = stead_engine_image(create->engine, instance->spec->image, NULL);
    if (image) {
        create->image = stead_image_copy(image);
        stead_set_string(&instance->image_digest, image->digest);
        return stead_table_save(create->engine->instances, instance, error);
    }
    SteadJob *job = stead_engine_pull(create->engine, instance->spec->image, error);
    if (job)
        create->pull = stead_job_ref(job);
    return job != NULL;
}

static gboolean ensure_image(Create *create, GError **error)
{
    if (create->instance->template || create->instance->spec->image == NULL)
        return TRUE;
    if (!stead_job_sync(create->job, find_image, create, error))
        return FALSE;
    if (create->image)
        return TRUE;
    stead_job_progress("fetching the image", -1, create->job);
    if (!stead_job_wait(create->job, create->pull, FALSE, error))
        return FALSE;
    g_clear_pointer(&create->pull, stead_job_unref);
    if (!stead_job_sync(create->job, find_image, create, error))
        return FALSE;
    if (create->image)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "the image '%s' went away again",
                    create->instance->spec->image);
    return FALSE;
}

/* A kernel of the user's own: as it is now, whatever becomes of that file. */
static gboolean copy_kernel(const Create *create, GError **error)
{
    const SteadInstanceSpec *spec = create->instance->spec;
    g_autofree char *dir = stead_engine_instance_dir(create->engine, create->id);
    return stead_make_dir(dir, 0711, error) &&
           stead_kernel_take(spec->kernel, dir, "kernel", error) &&
           (spec->initrd == NULL || stead_kernel_take(spec->initrd, dir, "initrd", error));
}

static gboolean boots_alone(const Create *create, GError **error)
{
    if (create->image == NULL || !stead_image_build_is_tiny(create->image->name))
        return TRUE;
    stead_set_error(error, STEAD_ERROR_UNSUPPORTED, "Run it with --kind microvm.",
                    "%s has no boot loader: only a microVM boots it", create->image->name);
    return FALSE;
}

/* What cannot boot is told now, and not when it is first started. */
static gboolean find_kernel(const Create *create, GError **error)
{
    if (create->instance->kind == STEAD_KIND_VM)
        return boots_alone(create, error);
    if (create->instance->spec->kernel && !copy_kernel(create, error))
        return FALSE;
    if (create->instance->spec->kernel || create->instance->kind != STEAD_KIND_MICROVM ||
        create->image == NULL)
        return TRUE;
    stead_job_progress("taking the kernel out of the image", -1, create->job);
    g_autoptr(SteadBootFiles) files =
        stead_boot_files(create->engine->image_store, create->image->digest, NULL,
                         stead_job_cancellable(create->job), error);
    return files != NULL;
}

/* ---- seed ---- */

/* By which server and domain the guest finds a network's other instances by their bare names.
 * `text` keeps what the interface points to. */
static void set_names(SteadSeedNic *nic, const SteadNetwork *network, GStringChunk *text)
{
    SteadAddressPlan plan;
    const char *domain = network->spec->domain ? network->spec->domain : network->name;
    if (network->spec->mode == STEAD_NETWORK_BRIDGE || !stead_dns_name_is_valid(domain) ||
        !stead_address_plan(network->spec, &plan, NULL))
        return;
    g_autofree char *server = stead_ipv4_format(plan.gateway);
    nic->dns = g_string_chunk_insert(text, server);
    nic->search = domain;
}

static gboolean write_seed(Create *create, GError **error)
{
    const SteadInstance *instance = create->instance;
    g_autofree char *dir = stead_engine_instance_dir(create->engine, instance->id);
    g_autofree char *path = g_build_filename(dir, "seed.iso", NULL);
    g_autoptr(GStringChunk) text = g_string_chunk_new(64);
    g_autofree SteadSeedNic *nics = g_new0(SteadSeedNic, MAX(1, instance->nics->len));
    for (guint i = 0; i < instance->nics->len; i++) {
        nics[i].mac = ((SteadNicRecord *)instance->nics->pdata[i])->mac;
        set_names(&nics[i], create->networks->pdata[i], text);
    }
    if (instance->spec->image == NULL)
        return stead_make_dir(dir, 0711, error);
    SteadSeedOptions options = {
        .instance_id = instance->id,
        .hostname = stead_engine_hostname(instance),
        .spec = instance->spec,
        .nics = nics,
        .n_nics = instance->nics->len,
        .install_agent = instance->kind == STEAD_KIND_VM && !create->image->agent,
        .keep_host_keys = instance->template != NULL,
    };
    stead_job_progress("writing the seed", -1, create->job);
    return stead_make_dir(dir, 0711, error) && stead_seed_write(&options, path, error);
}

/* ---- the whole ---- */

static gboolean write_disks(gpointer data, GError **error)
{
    Create *create = data;
    SteadEngine *engine = create->engine;
    SteadInstance *instance = stead_engine_expect(engine, create->id, error);
    if (instance == NULL)
        return FALSE;
    g_ptr_array_unref(instance->disks);
    instance->disks = g_ptr_array_ref(create->instance->disks);
    return stead_table_save(engine->instances, instance, error);
}

/* Last: what is STOPPED on record is all there. */
static gboolean finish_create(gpointer data, GError **error)
{
    Create *create = data;
    SteadInstance *instance = stead_engine_expect(create->engine, create->id, error);
    return instance &&
           stead_engine_set_state(create->engine, instance, STEAD_STATE_STOPPED, NULL, error);
}

static gboolean resolve(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadInstance *instance = stead_engine_expect(op->engine, op->id, error);
    op->extra = instance ? stead_engine_machine(op->engine, instance, error) : NULL;
    op->free_extra = (GDestroyNotify)stead_machine_free;
    return op->extra != NULL;
}

/* A taken port is told before an image is fetched for nothing. */
static gboolean check_ports(Create *create, GError **error)
{
    return !create->instance->want_running ||
           stead_ports_check_free(create->instance->spec->ports, error);
}

static gboolean copy_instance(gpointer data, GError **error)
{
    Create *create = data;
    const SteadInstance *instance = stead_engine_expect(create->engine, create->id, error);
    create->instance = instance ? stead_instance_copy(instance) : NULL;
    return instance != NULL;
}

static gboolean create_on_host(SteadOp *op, SteadJob *job, GError **error)
{
    g_auto(Create) create = {.engine = op->engine, .job = job, .id = op->id};
    return stead_job_sync(job, copy_instance, &create, error) && check_ports(&create, error) &&
           ensure_image(&create, error) && find_kernel(&create, error) &&
           stead_create_nics(&create, error) && stead_create_disks(&create, error) &&
           write_seed(&create, error) && stead_job_sync(job, write_disks, &create, error) &&
           stead_job_sync(job, resolve, op, error) &&
           stead_make_dir(((SteadMachine *)op->extra)->run_dir, 0711, error) &&
           stead_runtime_prepare(op->runtime, op->extra, error) &&
           stead_job_sync(job, finish_create, &create, error);
}

static gboolean wants_start(gpointer data, GError **error)
{
    SteadOp *op = data;
    const SteadInstance *instance = stead_table_get(op->engine->instances, op->id);
    return instance && instance->want_running;
}

static gboolean is_closing(gpointer data, GError **error)
{
    SteadOp *op = data;
    return op->engine->closing;
}

/* A creation that fails leaves nothing; one that only the daemon's end cut off is begun again from
 * its record by the next. */
static void undo(SteadOp *op, SteadJob *job)
{
    g_autoptr(GError) error = NULL;
    if (!stead_job_sync(job, is_closing, op, NULL) &&
        !stead_engine_remove_in_job(op->engine, job, op->id, &error))
        g_warning("%s could not be undone, and stays to be removed: %s", op->name, error->message);
}

static void set_result(SteadJob *job, const char *name)
{
    stead_job_set_result(job, stead_event_data("instance", name, NULL));
}

static gboolean create_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    g_autoptr(GError) why = NULL;
    set_result(job, op->name);
    gboolean done = create_on_host(op, job, &why) &&
                    !g_cancellable_set_error_if_cancelled(stead_job_cancellable(job), &why);
    if (done && stead_job_sync(job, wants_start, op, NULL))
        done = stead_engine_start_in_job(op->engine, job, op->id, TRUE, &why);
    else if (done)
        done = stead_engine_make_ground_in_job(op->engine, job, op->id, &why);
    if (done)
        return TRUE;
    undo(op, job);
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

SteadJob *stead_engine_submit_create(SteadEngine *engine, const SteadInstance *instance,
                                     GError **error)
{
    return stead_engine_submit_on(engine, instance, "instance.create", create_body,
                                  stead_op_new(engine, instance->id, instance->name), error);
}

/* Why this kind. */
static void choose_kind(SteadInstance *instance, const SteadTemplate *template)
{
    if (template) {
        instance->kind = template->kind;
        instance->kind_reason = g_strdup("as its template");
    } else if (instance->spec->kind != STEAD_KIND_AUTO) {
        instance->kind = instance->spec->kind;
        instance->kind_reason = g_strdup("asked for");
    } else if (instance->spec->kernel) {
        instance->kind = STEAD_KIND_MICROVM;
        instance->kind_reason = g_strdup("it has a kernel of its own");
    } else {
        instance->kind = STEAD_KIND_VM;
        instance->kind_reason = g_strdup("the image is a disk with a system of its own");
    }
}

/* What makes a record that of a clone; its template is in use from then on. */
static gboolean begin_clone(SteadInstance *instance, const SteadTemplate *template, GError **error)
{
    if (!stead_clone_fit(template, instance->spec, error))
        return FALSE;
    instance->template = g_strdup(template->id);
    instance->image_digest = g_strdup(template->image_digest);
    instance->unborn = TRUE;
    return TRUE;
}

SteadJob *stead_engine_create(SteadEngine *engine, const char *name, SteadInstanceSpec *spec,
                              const char *project, gboolean start, GError **error)
{
    g_autoptr(SteadInstance) instance = g_new0(SteadInstance, 1);
    instance->spec = spec;
    instance->spec->count = 1;
    instance->disks = g_ptr_array_new_with_free_func((GDestroyNotify)stead_disk_record_free);
    instance->nics = g_ptr_array_new_with_free_func((GDestroyNotify)stead_nic_record_free);
    if (!stead_name_check("instance", name, error))
        return NULL;
    if ((spec->image == NULL && spec->kernel == NULL) || stead_instance_spec_names_files(spec)) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "%s",
                        spec->image ? "files must be read by the client: send their contents"
                                    : "an instance needs an image");
        return NULL;
    }
    instance->id = g_uuid_string_random();
    instance->name = g_strdup(name);
    instance->project = g_strdup(project);
    instance->state = STEAD_STATE_CREATING;
    instance->want_running = start;
    instance->created = g_get_real_time();
    g_autoptr(GError) why = NULL;
    const SteadTemplate *template = stead_engine_template_of(engine, spec, &why);
    if (why) {
        g_propagate_error(error, g_steal_pointer(&why));
        return NULL;
    }
    choose_kind(instance, template);
    if (template && !begin_clone(instance, template, error))
        return NULL;
    g_autoptr(GPtrArray) others = stead_table_list(engine->instances);
    if (!stead_claims_check(others, NULL, spec, error))
        return NULL;
    gboolean warm = template && start && stead_warm_take(engine, template, instance);
    if (!stead_table_add(engine->instances, instance, error)) {
        if (warm)
            stead_warm_give_back(engine, instance);
        return NULL;
    }
    SteadInstance *kept = g_steal_pointer(&instance);
    stead_engine_live(engine, kept->id)->settled = TRUE;
    SteadJob *job = stead_engine_submit_create(engine, kept, error);
    if (job == NULL) {
        if (warm)
            stead_warm_give_back(engine, kept);
        stead_table_remove(engine->instances, kept->id, NULL);
        return NULL;
    }
    stead_events_emit(engine->events, "instance.created", kept->name,
                      stead_event_data("image", kept->spec->image, "kind",
                                       stead_name_of(&stead_kind_names, (int)kept->kind), NULL));
    return job;
}
