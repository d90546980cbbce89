/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creating an instance: record first, then image, network, addresses, disks, seed, and at last the
 * definition on the host. Every step can be repeated, so a creation that was cut off by a kill is
 * begun again from its record; one that fails is undone, record and all.
 */
#include "base/error.h"
#include "base/units.h"
#include "engine/claims.h"
#include "engine/state.h"
#include "model/check.h"
#include "net/addresses.h"
#include "net/network.h"
#include "net/network_xml.h"
#include "net/ports.h"
#include "net/reservations.h"
#include "storage/disk.h"
#include "storage/disk_name.h"
#include "image/seed.h"

/* Seeds are small; what they name lives as long as the struct. */
typedef struct {
    SteadEngine *engine;
    SteadJob *job;
    const char *id;
    SteadInstance *instance; /* a copy */
    SteadImage *image;       /* a copy; NULL until it is there */
    SteadJob *pull;          /* the job that fetches the image; NULL */
    GPtrArray *networks;     /* SteadNetwork copies, one for each interface */
    GPtrArray *volumes;      /* SteadVolume copies, one for each disk; NULL entries */
} Create;

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

/* ---- interfaces ---- */

static gboolean uses_default(gpointer data, GError **error)
{
    Create *create = data;
    SteadInstance *instance = stead_engine_expect(create->engine, create->id, error);
    gboolean used = FALSE;
    for (guint i = 0; instance && i < instance->spec->networks->len; i++)
        used |=
            g_str_equal(((SteadNicSpec *)instance->spec->networks->pdata[i])->network, "default");
    return used;
}

/* The addresses that others have, or were given on paper, in a network. */
static GStrv addresses_taken(SteadEngine *engine, const SteadInstance *except, const char *network)
{
    g_autoptr(GStrvBuilder) taken = g_strv_builder_new();
    g_autoptr(GPtrArray) instances = stead_table_list(engine->instances);
    for (guint i = 0; i < instances->len; i++) {
        const SteadInstance *other = instances->pdata[i];
        for (guint n = 0; other != except && n < other->nics->len; n++) {
            const SteadNicRecord *nic = other->nics->pdata[n];
            if (nic->address && g_str_equal(nic->network, network))
                g_strv_builder_add(taken, nic->address);
        }
    }
    return g_strv_builder_end(taken);
}

static gboolean choose_address(Create *create, SteadInstance *instance, const SteadNicSpec *spec,
                               const SteadNetwork *network, SteadNicRecord *nic, GError **error)
{
    SteadAddressPlan plan;
    if (network->spec->mode == STEAD_NETWORK_BRIDGE) {
        if (spec->address == NULL)
            return TRUE;
        stead_set_error(error, STEAD_ERROR_INVALID,
                        "Leave it out, and give it by DHCP or in the instance's user-data.",
                        "stead gives out no addresses on the bridge network '%s', so %s cannot "
                        "have %s",
                        network->name, instance->name, spec->address);
        return FALSE;
    }
    if (!stead_address_plan(network->spec, &plan, error))
        return FALSE;
    g_auto(GStrv) taken = addresses_taken(create->engine, instance, network->name);
    if (spec->address) {
        if (g_strv_contains((const char *const *)taken, spec->address)) {
            stead_set_error(error, STEAD_ERROR_CONFLICT, "Choose another address.",
                            "the address %s of network '%s' is taken", spec->address,
                            network->name);
            return FALSE;
        }
        nic->address = g_strdup(spec->address);
        return stead_address_check(&plan, spec->address, error);
    }
    g_autoptr(GHashTable) set = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; taken[i]; i++)
        g_hash_table_add(set, taken[i]);
    nic->address = stead_address_choose(&plan, set, error);
    return nic->address != NULL;
}

/* With a prepared address comes its MAC. */
static char *choose_mac(const SteadInstance *instance, const SteadNetwork *network,
                        const SteadNicRecord *nic, guint n)
{
    SteadAddressPlan plan;
    char *mac = nic->address && stead_address_plan(network->spec, &plan, NULL)
                    ? stead_address_mac(&plan, network->id, nic->address)
                    : NULL;
    return mac ? mac : stead_mac_derive(instance->id, n);
}

/* Gives each interface its MAC and address, on the main loop, so that no two get the same. */
static gboolean assign_nics(gpointer data, GError **error)
{
    Create *create = data;
    SteadEngine *engine = create->engine;
    SteadInstance *instance = stead_engine_expect(engine, create->id, error);
    if (instance == NULL)
        return FALSE;
    create->networks = g_ptr_array_new_with_free_func((GDestroyNotify)stead_network_free);
    gboolean assigned = instance->nics->len > 0; /* by an attempt that was cut off */
    for (guint i = 0; i < instance->spec->networks->len; i++) {
        const SteadNicSpec *spec = instance->spec->networks->pdata[i];
        SteadNetwork *network = stead_table_find(engine->networks, spec->network, error);
        if (network == NULL)
            return FALSE;
        if (network->removing) {
            stead_set_error(error, STEAD_ERROR_BUSY, NULL, "the network '%s' is being removed",
                            network->name);
            return FALSE;
        }
        g_ptr_array_add(create->networks, stead_network_copy(network));
        if (assigned)
            continue;
        SteadNicRecord *nic = g_new0(SteadNicRecord, 1);
        g_ptr_array_add(instance->nics, nic);
        nic->network = g_strdup(network->name);
        if (!choose_address(create, instance, spec, network, nic, error))
            return FALSE;
        nic->mac = spec->mac ? g_strdup(spec->mac) : choose_mac(instance, network, nic, i);
    }
    g_clear_pointer(&create->instance, stead_instance_free);
    create->instance = stead_instance_copy(instance);
    return stead_table_save(engine->instances, instance, error);
}

static gboolean reserve_addresses(Create *create, GError **error)
{
    SteadEngine *engine = create->engine;
    const SteadInstance *instance = create->instance;
    const char *host = stead_engine_hostname(instance);
    for (guint i = 0; i < create->networks->len; i++) {
        const SteadNetwork *network = create->networks->pdata[i];
        const SteadNicRecord *nic = instance->nics->pdata[i];
        if (!stead_network_ensure_started(engine->libvirt, network, engine->paths, error))
            return FALSE;
        if (!stead_network_reserve(engine->libvirt, network, nic->mac, nic->address,
                                   i == 0 ? host : NULL, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean make_nics(Create *create, GError **error)
{
    if (stead_job_sync(create->job, uses_default, create, NULL) &&
        !stead_engine_ensure_default_network(create->engine, create->job, error))
        return FALSE;
    return stead_job_sync(create->job, assign_nics, create, error) &&
           reserve_addresses(create, error);
}

/* ---- disks ---- */

static SteadDiskRecord *add_disk(SteadInstance *instance, const SteadDisk *disk)
{
    SteadDiskRecord *record = g_new0(SteadDiskRecord, 1);
    record->path = g_strdup(disk->path);
    record->format = g_strdup(disk->format);
    g_ptr_array_add(instance->disks, record);
    return record;
}

static gboolean clone_root(Create *create, GError **error)
{
    SteadEngine *engine = create->engine;
    SteadInstance *instance = create->instance;
    g_autofree char *stem = stead_disk_stem(instance->name, instance->id, 0);
    g_autofree char *path = stead_image_store_path(engine->image_store, create->image->digest);
    SteadDiskImage image = {path, "qcow2", create->image->virtual_size};
    guint64 size = instance->spec->disk;
    if (size && size < create->image->virtual_size) {
        g_autofree char *least = stead_format_size(create->image->virtual_size);
        stead_set_error(error, STEAD_ERROR_INVALID, NULL,
                        "the disk of %s must be at least %s, as its image '%s' is", instance->name,
                        least, create->image->name);
        return FALSE;
    }
    stead_job_progress("cloning the image", -1, create->job);
    g_autoptr(SteadDisk) disk = stead_disk_clone(
        engine->libvirt, engine->paths, (SteadDiskPlace){instance->spec->pool, stem}, &image, size,
        stead_job_progress, create->job, stead_job_cancellable(create->job), error);
    if (disk)
        add_disk(instance, disk);
    return disk != NULL;
}

/* Claims a named volume; one instance may have it at a time. */
static gboolean claim_volumes(gpointer data, GError **error)
{
    Create *create = data;
    SteadEngine *engine = create->engine;
    const SteadInstanceSpec *spec = create->instance->spec;
    create->volumes = g_ptr_array_new_with_free_func((GDestroyNotify)stead_volume_free);
    for (guint i = 0; i < spec->disks->len; i++) {
        const SteadDiskSpec *wanted = spec->disks->pdata[i];
        SteadVolume *volume = NULL;
        if (wanted->volume) {
            volume = stead_table_find(engine->volumes, wanted->volume, error);
            if (volume == NULL || !stead_engine_claim_volume(engine, volume, create->id, error))
                return FALSE;
        }
        g_ptr_array_add(create->volumes, volume ? stead_volume_copy(volume) : NULL);
    }
    return TRUE;
}

static gboolean make_disks(Create *create, GError **error)
{
    SteadEngine *engine = create->engine;
    SteadInstance *instance = create->instance;
    g_ptr_array_set_size(instance->disks, 0);
    if (!stead_job_sync(create->job, claim_volumes, create, error) || !clone_root(create, error))
        return FALSE;
    for (guint i = 0; i < instance->spec->disks->len; i++) {
        const SteadDiskSpec *wanted = instance->spec->disks->pdata[i];
        const SteadVolume *volume = create->volumes->pdata[i];
        g_autofree char *stem =
            stead_disk_stem(volume ? volume->name : instance->name,
                            volume ? volume->id : instance->id, volume ? 0 : i + 1);
        SteadDiskPlace place = {volume ? volume->spec->pool : wanted->pool, stem};
        g_autoptr(SteadDisk) disk =
            stead_disk_make(engine->libvirt, engine->paths, place,
                            volume ? volume->spec->size : wanted->size, error);
        if (disk == NULL)
            return FALSE;
        SteadDiskRecord *record = add_disk(instance, disk);
        record->read_only = wanted->read_only;
        record->volume = volume ? g_strdup(volume->id) : NULL;
    }
    return TRUE;
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
    SteadSeedOptions options = {
        .instance_id = instance->id,
        .hostname = stead_engine_hostname(instance),
        .spec = instance->spec,
        .nics = nics,
        .n_nics = instance->nics->len,
        .install_agent = !create->image->agent,
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
           ensure_image(&create, error) && make_nics(&create, error) &&
           make_disks(&create, error) && write_seed(&create, error) &&
           stead_job_sync(job, write_disks, &create, error) &&
           stead_job_sync(job, resolve, op, error) &&
           stead_make_dir(((SteadMachine *)op->extra)->run_dir, 0711, error) &&
           stead_runtime_prepare(op->engine->vm, op->extra, error) &&
           stead_job_sync(job, finish_create, &create, error);
}

static gboolean wants_start(gpointer data, GError **error)
{
    SteadOp *op = data;
    const SteadInstance *instance = stead_table_get(op->engine->instances, op->id);
    return instance && instance->want_running;
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
        done = stead_engine_start_in_job(op->engine, job, op->id, &why);
    if (done)
        return TRUE;
    g_autoptr(GError) undo = NULL;
    if (!stead_engine_remove_in_job(op->engine, job, op->id, &undo))
        g_warning("%s could not be undone, and stays to be removed: %s", op->name, undo->message);
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

SteadJob *stead_engine_submit_create(SteadEngine *engine, const SteadInstance *instance,
                                     GError **error)
{
    return stead_engine_submit_on(engine, instance, "instance.create", create_body,
                                  stead_op_new(engine, instance->id, instance->name), error);
}

/* Why this kind; `auto` has one answer as long as there is one kind. */
static void choose_kind(SteadInstance *instance)
{
    gboolean asked = instance->spec->kind != STEAD_KIND_AUTO;
    instance->kind = STEAD_KIND_VM;
    instance->kind_reason =
        g_strdup(asked ? "asked for" : "the image is a disk with a system of its own");
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
    if (spec->image == NULL || stead_instance_spec_names_files(spec)) {
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
    choose_kind(instance);
    g_autoptr(GPtrArray) others = stead_table_list(engine->instances);
    if (!stead_claims_check(others, NULL, spec, error) ||
        !stead_table_add(engine->instances, instance, error))
        return NULL;
    SteadInstance *kept = g_steal_pointer(&instance);
    stead_engine_live(engine, kept->id)->settled = TRUE;
    SteadJob *job = stead_engine_submit_create(engine, kept, error);
    if (job == NULL) {
        stead_table_remove(engine->instances, kept->id, NULL);
        return NULL;
    }
    stead_events_emit(engine->events, "instance.created", kept->name,
                      stead_event_data("image", kept->spec->image, "kind", "vm", NULL));
    return job;
}
