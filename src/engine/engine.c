/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing the engine, and what it says about itself.
 *
 * The order matters: records are loaded before anything on the host is looked at; the runtime is
 * listened to from the beginning, but its word counts only after the first reconciliation.
 */
#include "base/error.h"
#include "engine/template.h"
#include "host/checks.h"
#include "runtime/microvm/microvm.h"
#include "runtime/vm/vm.h"

#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#define SHUTDOWN_MS 5000

/* Emulation is the answer to every doubt: it works wherever KVM does, if slower. */
static void find_accel(SteadEngine *engine)
{
    g_autofree char *cache = g_build_filename(engine->paths->state, "kvm", NULL);
    g_autoptr(GError) error = NULL;
    engine->kvm = stead_kvm_probe(NULL, cache, NULL, &error);
    if (engine->kvm == NULL)
        g_warning("KVM could not be probed, so guests are emulated: %s", error->message);
}

const char *stead_engine_accel(SteadEngine *engine)
{
    return engine->kvm && engine->kvm->status == STEAD_KVM_USABLE ? "kvm" : "tcg";
}

char *stead_engine_accel_reason(SteadEngine *engine)
{
    g_autofree char *kvm = engine->kvm ? stead_kvm_describe(engine->kvm) : NULL;
    return g_strdup_printf("KVM is %s", kvm ? kvm : "not probed");
}

void stead_engine_note_choice(SteadInstance *instance, const SteadMachine *machine)
{
    stead_set_string(&instance->accel, machine->accel);
    stead_set_string(&instance->engine, machine->engine);
    stead_set_string(&instance->engine_reason, machine->engine_reason);
}

static void on_libvirt(gboolean connected, gpointer data)
{
    SteadEngine *engine = data;
    stead_events_emit(engine->events, "host.libvirt", "libvirt",
                      stead_event_data("connected", connected ? "yes" : "no", NULL));
    if (connected)
        stead_engine_reconcile(engine);
}

static gboolean make_folders(const SteadPaths *paths, GError **error)
{
    g_autofree char *state = g_build_filename(paths->state, "instances", NULL);
    g_autofree char *run = g_build_filename(paths->run, "instances", NULL);
    return stead_make_dir(paths->state, 0711, error) && stead_make_dir(paths->run, 0711, error) &&
           stead_make_dir(state, 0711, error) && stead_make_dir(run, 0711, error);
}

static gboolean open_parts(SteadEngine *engine, GError **error)
{
    g_autofree char *db = g_build_filename(engine->paths->state, "stead.db", NULL);
    if (!make_folders(engine->paths, error) || !(engine->store = stead_store_open(db, error)) ||
        !stead_engine_load_records(engine, error) ||
        !(engine->image_store = stead_image_store_open(engine->paths->state, error)))
        return FALSE;
    engine->events = stead_events_new(engine->store);
    engine->jobs = stead_jobs_new(engine->events);
    engine->libvirt = stead_libvirt_new(NULL);
    engine->runtimes[STEAD_KIND_VM] = stead_vm_runtime_new(engine->libvirt, engine->paths);
    find_accel(engine);
    engine->runtimes[STEAD_KIND_MICROVM] = stead_microvm_runtime_new(engine->paths, engine->kvm);
    return TRUE;
}

SteadEngine *stead_engine_open(const SteadPaths *paths, GError **error)
{
    SteadEngine *engine = g_new0(SteadEngine, 1);
    engine->paths = paths;
    engine->opened = g_get_monotonic_time();
    engine->warm = stead_warm_new();
    engine->live = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, stead_live_free);
    engine->heard =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)stead_actual_free);
    g_mutex_init(&engine->change_mutex);
    g_cond_init(&engine->change_cond);
    g_mutex_init(&engine->slots_mutex);
    g_cond_init(&engine->slots_cond);
    if (!open_parts(engine, error)) {
        stead_engine_close(engine);
        return NULL;
    }
    for (guint i = 0; i < STEAD_N_KINDS; i++)
        if (engine->runtimes[i])
            stead_runtime_watch(engine->runtimes[i], stead_engine_on_actual, engine);
    stead_jobs_watch(engine->jobs, stead_engine_on_job_ended, engine);
    stead_libvirt_set_watch(engine->libvirt, on_libvirt, engine);
    stead_engine_tell_damage(engine);
    stead_engine_reconcile_always(engine);
    return engine;
}

void stead_engine_close(SteadEngine *engine)
{
    if (engine == NULL)
        return;
    engine->closing = TRUE;
    g_clear_handle_id(&engine->reconcile_timer, g_source_remove);
    if (engine->jobs && !stead_jobs_shutdown(engine->jobs, SHUTDOWN_MS)) {
        /* A call into libvirt hangs. What it was doing is on record; the next daemon goes on. */
        g_warning("some jobs did not end; they are taken up again by the next start");
        stead_events_free(engine->events);
        stead_store_free(engine->store);
        _exit(0);
    }
    if (engine->probes)
        g_thread_pool_free(engine->probes, TRUE, TRUE);
    stead_warm_end(engine);
    g_hash_table_unref(engine->live);
    g_hash_table_unref(engine->heard);
    for (guint i = 0; i < STEAD_N_KINDS; i++)
        stead_runtime_free(engine->runtimes[i]);
    stead_libvirt_free(engine->libvirt);
    stead_jobs_free(engine->jobs);
    stead_image_store_free(engine->image_store);
    stead_kvm_free(engine->kvm);
    stead_table_free(engine->instances);
    stead_table_free(engine->snapshots);
    stead_table_free(engine->networks);
    stead_table_free(engine->volumes);
    stead_table_free(engine->images);
    stead_table_free(engine->templates);
    stead_events_free(engine->events);
    stead_store_free(engine->store);
    g_mutex_clear(&engine->change_mutex);
    g_cond_clear(&engine->change_cond);
    g_mutex_clear(&engine->slots_mutex);
    g_cond_clear(&engine->slots_cond);
    g_free(engine);
}

const SteadPaths *stead_engine_paths(SteadEngine *engine)
{
    return engine->paths;
}

SteadEvents *stead_engine_events(SteadEngine *engine)
{
    return engine->events;
}

SteadJobs *stead_engine_jobs(SteadEngine *engine)
{
    return engine->jobs;
}

SteadRuntime *stead_engine_runtime(SteadEngine *engine, SteadKind kind)
{
    return engine->runtimes[kind];
}

/* Resident memory of this process in bytes (proc(5), statm). */
static gint64 resident(void)
{
    g_autofree char *text = NULL;
    guint64 pages = 0;
    if (g_file_get_contents("/proc/self/statm", &text, NULL, NULL) &&
        sscanf(text, "%*s %" G_GUINT64_FORMAT, &pages) == 1)
        return (gint64)pages * sysconf(_SC_PAGESIZE);
    return 0;
}

static JsonObject *describe_kvm(SteadEngine *engine)
{
    JsonObject *object = json_object_new();
    const SteadKvm *kvm = engine->kvm;
    json_object_set_string_member(object, "status",
                                  kvm ? stead_kvm_status_name(kvm->status) : "unknown");
    if (kvm && kvm->step)
        json_object_set_string_member(object, "step", kvm->step);
    if (kvm && kvm->detail)
        json_object_set_string_member(object, "detail", kvm->detail);
    return object;
}

static JsonObject *describe_libvirt(SteadEngine *engine)
{
    gulong version = 0;
    JsonObject *object = json_object_new();
    gboolean connected = stead_libvirt_is_connected(engine->libvirt, &version);
    json_object_set_boolean_member(object, "connected", connected);
    if (connected && version > 0) {
        g_autofree char *text = g_strdup_printf("%lu.%lu.%lu", version / 1000000,
                                                version / 1000 % 1000, version % 1000);
        json_object_set_string_member(object, "version", text);
    }
    return object;
}

static JsonObject *describe_host(SteadEngine *engine)
{
    struct utsname name = {0};
    uname(&name);
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "name", name.nodename);
    json_object_set_string_member(object, "kernel", name.release);
    json_object_set_int_member(object, "cpus", g_get_num_processors());
    json_object_set_int_member(object, "memory",
                               (gint64)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
    json_object_set_string_member(object, "accel", stead_engine_accel(engine));
    json_object_set_object_member(object, "kvm", describe_kvm(engine));
    json_object_set_object_member(object, "libvirt", describe_libvirt(engine));
    return object;
}

JsonNode *stead_engine_describe(SteadEngine *engine)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "name", "stead");
    json_object_set_string_member(object, "version", STEAD_VERSION);
    json_object_set_string_member(object, "api", "v1");
    json_object_set_object_member(object, "host", describe_host(engine));
    json_object_set_string_member(object, "root", engine->paths->state);
    json_object_set_int_member(object, "pid", getpid());
    json_object_set_int_member(object, "uptime-ms",
                               (g_get_monotonic_time() - engine->opened) / 1000);
    json_object_set_int_member(object, "instances", stead_table_size(engine->instances));
    json_object_set_int_member(object, "resident", resident());
    json_object_set_boolean_member(object, "adopted", engine->adopted);
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, object);
    return node;
}

typedef struct {
    SteadEngine *engine;
    GPtrArray *results;
} Doctor;

static gboolean check_records(gpointer data, GError **error)
{
    Doctor *doctor = data;
    g_ptr_array_add(doctor->results, stead_engine_check_records(doctor->engine));
    return TRUE;
}

static gboolean doctor_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadCheckContext context = {.paths = op->engine->paths, .kvm = op->engine->kvm};
    g_autoptr(GPtrArray) results = stead_checks_run(&context);
    Doctor doctor = {op->engine, results};
    if (!stead_job_sync(job, check_records, &doctor, error))
        return FALSE;
    g_autofree char *text = stead_checks_to_json(results);
    JsonNode *node = json_from_string(text, error);
    if (node)
        stead_job_set_result(job, node);
    return node != NULL;
}

SteadJob *stead_engine_doctor(SteadEngine *engine, GError **error)
{
    return stead_engine_submit_question(engine, "host.doctor", doctor_body,
                                        stead_op_new(engine, NULL, NULL), error);
}
