/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting an instance, and what a running one stands on: its run folder, its networks and the
 * addresses reserved in them, its published ports. The record says `starting` before any of that is
 * touched; when something fails it is taken back, and the record says why.
 */
#include "base/error.h"
#include "engine/template.h"
#include "image/boot.h"
#include "net/network.h"
#include "net/ports.h"
#include "net/reservations.h"

/* For any kernel: where it talks, and that a panic ends it. */
#define STEAD_CMDLINE "console=ttyS0 reboot=t panic=-1"

/* What a start needs, copied on the main loop. */
typedef struct {
    SteadEngine *engine;
    const char *id;
    SteadRuntime *runtime;
    SteadMachine *machine;
    GPtrArray *networks; /* SteadNetwork, one for each interface */
    GPtrArray *nics;     /* SteadNicRecord */
    char *hostname;
    char *digest;            /* of its image */
    SteadTemplate *template; /* a copy, of a clone that has not gone on from it yet; NULL */
    const char *address;     /* of the first interface that has one; NULL */
    gboolean fresh;          /* this job has just defined it */
    gboolean warm;           /* its engine was started ahead, and stands still */
    gboolean running;        /* it runs already */
} Start;

static void start_clear(Start *start)
{
    g_clear_pointer(&start->machine, stead_machine_free);
    g_clear_pointer(&start->networks, g_ptr_array_unref);
    g_clear_pointer(&start->nics, g_ptr_array_unref);
    g_clear_pointer(&start->hostname, g_free);
    g_clear_pointer(&start->digest, g_free);
    g_clear_pointer(&start->template, stead_template_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Start, start_clear)

const char *stead_engine_reserved_address(const GPtrArray *nics)
{
    for (guint i = 0; i < nics->len; i++) {
        const SteadNicRecord *nic = nics->pdata[i];
        if (nic->address && *nic->address)
            return nic->address;
    }
    return NULL;
}

static void copy_networks(Start *start, const SteadInstance *instance)
{
    start->networks = g_ptr_array_new_with_free_func((GDestroyNotify)stead_network_free);
    start->nics = g_ptr_array_new_with_free_func((GDestroyNotify)stead_nic_record_free);
    for (guint i = 0; i < instance->nics->len; i++) {
        const SteadNicRecord *nic = instance->nics->pdata[i];
        const SteadNetwork *network = stead_table_by_name(start->engine->networks, nic->network);
        SteadNicRecord *copy = g_new0(SteadNicRecord, 1);
        copy->network = g_strdup(nic->network);
        copy->mac = g_strdup(nic->mac);
        copy->address = g_strdup(nic->address);
        g_ptr_array_add(start->nics, copy);
        g_ptr_array_add(start->networks, stead_network_copy(network));
    }
    start->address = stead_engine_reserved_address(start->nics);
}

/* A clone goes on from its template once; after that it boots, as any other. */
static gboolean copy_template(Start *start, const SteadInstance *instance, GError **error)
{
    SteadEngine *engine = start->engine;
    const SteadTemplate *template = stead_table_get(engine->templates, instance->template);
    if (template == NULL) {
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "the template of %s is gone",
                        instance->name);
        return FALSE;
    }
    start->template = stead_template_copy(template);
    start->machine->frozen = stead_engine_template_dir(engine, template->id);
    stead_set_string(&start->machine->engine, template->engine);
    stead_set_string(&start->machine->accel, template->accel);
    return TRUE;
}

static gboolean begin_start(gpointer data, GError **error)
{
    Start *start = data;
    SteadInstance *instance = stead_engine_expect(start->engine, start->id, error);
    if (instance == NULL)
        return FALSE;
    start->running = instance->state == STEAD_STATE_RUNNING;
    start->runtime = stead_engine_runtime(start->engine, instance->kind);
    if (start->running)
        return TRUE;
    if (instance->state == STEAD_STATE_PAUSED) {
        stead_set_error(error, STEAD_ERROR_STATE, "Resume it: stead resume.", "%s is paused",
                        instance->name);
        return FALSE;
    }
    start->machine = stead_engine_machine(start->engine, instance, error);
    if (start->machine == NULL)
        return FALSE;
    start->hostname = g_strdup(stead_engine_hostname(instance));
    start->digest = g_strdup(instance->image_digest);
    start->warm = instance->warm;
    copy_networks(start, instance);
    if (instance->unborn && !copy_template(start, instance, error))
        return FALSE;
    gboolean wanted = instance->want_running;
    instance->want_running = TRUE;
    g_clear_pointer(&instance->stage, g_free);
    if (stead_engine_set_state(start->engine, instance, STEAD_STATE_STARTING, NULL, error))
        return TRUE;
    instance->want_running = wanted;
    return FALSE;
}

static gboolean finish_start(gpointer data, GError **error)
{
    Start *start = data;
    SteadInstance *instance = stead_engine_expect(start->engine, start->id, error);
    if (instance == NULL)
        return FALSE;
    instance->started = g_get_real_time();
    instance->restart_needed = FALSE;
    instance->unborn = FALSE;
    instance->warm = FALSE;
    if (instance->state == STEAD_STATE_STARTING &&
        !stead_engine_set_state(start->engine, instance, STEAD_STATE_RUNNING, NULL, error))
        return FALSE;
    /* With a rule that asks for nothing it is ready at once. */
    if (start->template)
        stead_engine_agent_answered(start->engine, instance);
    else
        stead_engine_await_ready(start->engine, stead_engine_live(start->engine, start->id));
    return TRUE;
}

static gboolean begin_watch(gpointer data, GError **error)
{
    Start *start = data;
    SteadInstance *instance = stead_engine_expect(start->engine, start->id, error);
    if (instance == NULL)
        return FALSE;
    stead_engine_note_choice(instance, start->machine);
    stead_engine_watch(start->engine, instance, TRUE);
    return TRUE;
}

typedef struct {
    SteadEngine *engine;
    const char *id;
    const GError *why;
} Failure;

static gboolean fail_start(gpointer data, GError **error)
{
    Failure *failure = data;
    SteadInstance *instance = stead_table_get(failure->engine->instances, failure->id);
    if (instance == NULL)
        return TRUE;
    stead_engine_unwatch(failure->engine, failure->id);
    instance->want_running = FALSE;
    return stead_engine_set_state(failure->engine, instance, STEAD_STATE_FAILED,
                                  failure->why->message, error);
}

static gboolean start_networks(Start *start, GError **error)
{
    SteadEngine *engine = start->engine;
    for (guint i = 0; i < start->networks->len; i++)
        if (!stead_network_ensure_started(engine->libvirt, start->networks->pdata[i], engine->paths,
                                          error))
            return FALSE;
    return TRUE;
}

static gboolean reserve_addresses(const Start *start, GError **error)
{
    for (guint i = 0; i < start->networks->len; i++) {
        const SteadNicRecord *nic = start->nics->pdata[i];
        const char *address = nic->address && *nic->address ? nic->address : NULL;
        if (!stead_network_reserve(start->engine->libvirt, start->networks->pdata[i], nic->mac,
                                   address, i == 0 ? start->hostname : NULL, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean copy_for_networks(gpointer data, GError **error)
{
    Start *start = data;
    const SteadInstance *instance = stead_engine_expect(start->engine, start->id, error);
    /* Resolving it finds networks that are gone. */
    start->machine = instance ? stead_engine_machine(start->engine, instance, error) : NULL;
    if (start->machine == NULL)
        return FALSE;
    start->hostname = g_strdup(stead_engine_hostname(instance));
    copy_networks(start, instance);
    return TRUE;
}

gboolean stead_engine_make_ground_in_job(SteadEngine *engine, SteadJob *job, const char *id,
                                         GError **error)
{
    g_auto(Start) start = {.engine = engine, .id = id};
    return stead_job_sync(job, copy_for_networks, &start, error) &&
           stead_make_dir(start.machine->run_dir, 0711, error) && start_networks(&start, error) &&
           reserve_addresses(&start, error);
}

static void set_no_address(GError **error)
{
    stead_set_error(error, STEAD_ERROR_INVALID,
                    "Give the instance a static address, or a network of mode nat.",
                    "ports cannot be published for an instance without a known address");
}

typedef struct {
    const Start *start;
    GError *error;
} Reserving;

static gpointer run_reserving(gpointer data)
{
    Reserving *reserving = data;
    return GINT_TO_POINTER(reserve_addresses(reserving->start, &reserving->error));
}

/* The guest asks for its address long after its first instruction, so the reservations are made
 * while QEMU starts. Ends when both have ended: whoever undoes a failure finds nobody at work. */
static gboolean start_machine(const Start *start, GError **error)
{
    Reserving reserving = {start, NULL};
    GThread *thread = g_thread_new("reserving", run_reserving, &reserving);
    gboolean started = stead_runtime_start(start->runtime, start->machine, error);
    gboolean reserved = GPOINTER_TO_INT(g_thread_join(thread));
    if (started && !reserved)
        g_propagate_error(error, g_steal_pointer(&reserving.error));
    g_clear_error(&reserving.error);
    return started && reserved;
}

/* What keeps a CPU busy until it is done is not begun more often than there are CPUs: all would
 * only wait for each other, and each guest would see its clock run away. */
static void take_slot(SteadEngine *engine)
{
    g_mutex_lock(&engine->slots_mutex);
    while (engine->slots_taken >= MAX(2, g_get_num_processors()))
        g_cond_wait(&engine->slots_cond, &engine->slots_mutex);
    engine->slots_taken++;
    g_mutex_unlock(&engine->slots_mutex);
}

static void give_slot(SteadEngine *engine)
{
    g_mutex_lock(&engine->slots_mutex);
    engine->slots_taken--;
    g_cond_signal(&engine->slots_cond);
    g_mutex_unlock(&engine->slots_mutex);
}

/* The same for a clone, which is somebody else until it was renewed. */
static gboolean go_on(const Start *start, GCancellable *cancellable, GError **error)
{
    SteadCloneKeys *making = stead_clone_keys_begin(start->template, start->machine->dir);
    gboolean started =
        start_machine(start, error) &&
        (!start->warm || stead_runtime_resume(start->runtime, start->machine->id, error));
    g_autoptr(GPtrArray) keys = stead_clone_keys_end(making, started ? error : NULL);
    return started && keys &&
           stead_clone_renew(start->runtime, start->machine, start->template, start->hostname,
                             start->networks, start->nics, keys, cancellable, error);
}

static gboolean start_clone(const Start *start, GCancellable *cancellable, GError **error)
{
    take_slot(start->engine);
    gboolean started = go_on(start, cancellable, error);
    give_slot(start->engine);
    return started;
}

static char *make_cmdline(const SteadMachine *machine, const char *root)
{
    if (machine->spec->cmdline)
        return g_strdup(machine->spec->cmdline);
    return root ? g_strdup_printf("root=%s ro " STEAD_CMDLINE, root) : g_strdup(STEAD_CMDLINE);
}

/* A kind that boots a kernel directly has its own, or takes it out of its image. */
static gboolean find_kernel(const Start *start, GError **error)
{
    SteadMachine *machine = start->machine;
    const SteadInstanceSpec *spec = machine->spec;
    g_autoptr(SteadBootFiles) files = NULL;
    if (stead_runtime_kind(start->runtime) != STEAD_KIND_MICROVM || machine->frozen)
        return TRUE;
    if (start->digest) {
        files = stead_boot_files(start->engine->image_store, start->digest, NULL, NULL, error);
        if (files == NULL)
            return FALSE;
    }
    machine->kernel = spec->kernel ? g_build_filename(machine->dir, "kernel", NULL)
                                   : g_strdup(files ? files->kernel : NULL);
    if (spec->initrd)
        machine->initrd = g_build_filename(machine->dir, "initrd", NULL);
    else if (spec->kernel == NULL && files)
        machine->initrd = g_strdup(files->initrd);
    machine->cmdline = make_cmdline(machine, files ? files->root : NULL);
    return TRUE;
}

static gboolean start_on_host(Start *start, SteadJob *job, GError **error)
{
    const GPtrArray *ports = start->machine->spec->ports;
    stead_job_progress("starting", -1, job);
    start->machine->prepared = start->fresh;
    if (!stead_make_dir(start->machine->dir, 0711, error) ||
        !stead_make_dir(start->machine->run_dir, 0711, error) || !start_networks(start, error) ||
        !find_kernel(start, error) || !stead_runtime_choose(start->runtime, start->machine, error))
        return FALSE;
    if (ports->len > 0 && start->address == NULL) {
        set_no_address(error);
        return FALSE;
    }
    if (ports->len > 0 &&
        !stead_ports_publish(start->machine->run_dir, ports, start->address, error))
        return FALSE;
    if (!stead_job_sync(job, begin_watch, start, error))
        return FALSE;
    return start->template ? start_clone(start, stead_job_cancellable(job), error)
                           : start_machine(start, error);
}

gboolean stead_engine_start_in_job(SteadEngine *engine, SteadJob *job, const char *id,
                                   gboolean fresh, GError **error)
{
    g_auto(Start) start = {.engine = engine, .id = id, .fresh = fresh};
    if (!stead_job_sync(job, begin_start, &start, error))
        return FALSE;
    if (start.running)
        return TRUE;
    g_autoptr(GError) why = NULL;
    if (start_on_host(&start, job, &why) && stead_job_sync(job, finish_start, &start, &why))
        return TRUE;
    stead_runtime_kill(start.runtime, id, NULL);
    stead_ports_unpublish(start.machine->run_dir, NULL);
    Failure failure = {engine, id, why};
    stead_job_sync(job, fail_start, &failure, NULL);
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

/* ---- ports of an instance that is up, or went down, without a start or stop of ours ---- */

typedef struct {
    SteadEngine *engine;
    const char *id;
    SteadInstance *instance; /* a copy */
} Ports;

static gboolean copy_instance(gpointer data, GError **error)
{
    Ports *ports = data;
    SteadInstance *instance = stead_engine_expect(ports->engine, ports->id, error);
    ports->instance = instance ? stead_instance_copy(instance) : NULL;
    return instance != NULL;
}

gboolean stead_engine_publish_in_job(SteadEngine *engine, SteadJob *job, const char *id,
                                     GError **error)
{
    Ports ports = {engine, id, NULL};
    if (!stead_job_sync(job, copy_instance, &ports, error))
        return FALSE;
    g_autoptr(SteadInstance) instance = ports.instance;
    g_autofree char *run_dir = stead_engine_instance_run_dir(engine, id);
    if (!stead_instance_is_up(instance) || instance->spec->ports->len == 0)
        return stead_ports_unpublish(run_dir, error);
    const char *address = stead_engine_reserved_address(instance->nics);
    if (address)
        return stead_ports_publish(run_dir, instance->spec->ports, address, error);
    set_no_address(error);
    return FALSE;
}

static gboolean ports_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    return stead_engine_publish_in_job(op->engine, job, op->id, error);
}

void stead_engine_submit_ports(SteadEngine *engine, const SteadInstance *instance)
{
    if (instance->spec->ports->len > 0)
        stead_engine_submit_on(engine, instance, "instance.ports", ports_body,
                               stead_op_new(engine, instance->id, instance->name), NULL);
}

/* ---- guests that know nothing by themselves ---- */

static gboolean tell_introduced(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadInstance *instance = stead_engine_expect(op->engine, op->id, error);
    if (instance && instance->state == STEAD_STATE_RUNNING && !instance->ready)
        stead_engine_agent_answered(op->engine, instance);
    return instance != NULL;
}

static gboolean introduce_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    g_auto(Start) start = {.engine = op->engine, .id = op->id};
    g_autoptr(GPtrArray) keys = g_ptr_array_new();
    return stead_job_sync(job, copy_for_networks, &start, error) &&
           stead_clone_renew(op->runtime, start.machine, NULL, start.hostname, start.networks,
                             start.nics, keys, stead_job_cancellable(job), error) &&
           stead_job_sync(job, tell_introduced, op, error);
}

void stead_engine_introduce(SteadEngine *engine, const SteadInstance *instance)
{
    g_autoptr(GError) error = NULL;
    if (!stead_engine_submit_on(engine, instance, "instance.introduce", introduce_body,
                                stead_op_new(engine, instance->id, instance->name), &error))
        g_warning("%s: %s", instance->name, error->message);
}
