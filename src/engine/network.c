/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks: on record first, then made; taken down first, then forgotten. A network that was made
 * knows its subnet and bridge; one that was not (a daemon was killed in between) is made again by
 * recover.c or by the next instance that needs it.
 */
#include "net/lease.h"
#include "net/network.h"
#include "base/error.h"
#include "engine/state.h"
#include "model/check.h"

#define DEFAULT "default"

SteadNetwork *stead_engine_network(SteadEngine *engine, const char *name, GError **error)
{
    return stead_table_find(engine->networks, name, error);
}

GPtrArray *stead_engine_networks(SteadEngine *engine)
{
    return stead_table_list(engine->networks);
}

/* The names of the instances that have an interface in it. */
static JsonArray *users_of(SteadEngine *engine, const char *name)
{
    JsonArray *users = json_array_new();
    g_autoptr(GPtrArray) instances = stead_table_list(engine->instances);
    for (guint i = 0; i < instances->len; i++) {
        const SteadInstance *instance = instances->pdata[i];
        for (guint n = 0; n < instance->spec->networks->len; n++) {
            const SteadNicSpec *nic = instance->spec->networks->pdata[n];
            if (g_str_equal(nic->network, name)) {
                json_array_add_string_element(users, instance->name);
                break;
            }
        }
    }
    return users;
}

JsonNode *stead_engine_show_network(SteadEngine *engine, const SteadNetwork *network)
{
    JsonNode *node = stead_network_to_json(network);
    json_object_set_array_member(json_node_get_object(node), "instances",
                                 users_of(engine, network->name));
    return node;
}

static gboolean copy_network(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadNetwork *network = stead_table_get(op->engine->networks, op->id);
    if (network == NULL)
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "the network was removed meanwhile");
    else
        op->extra = stead_network_copy(network);
    return network != NULL;
}

/* ---- with its leases, which only libvirtd knows; the rest is told without it, too ---- */

static JsonArray *leases_to_json(const GPtrArray *leases)
{
    JsonArray *array = json_array_new();
    for (guint i = 0; i < leases->len; i++) {
        const SteadLease *lease = leases->pdata[i];
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "mac", lease->mac);
        json_object_set_string_member(object, "address", lease->ip);
        if (lease->hostname)
            json_object_set_string_member(object, "hostname", lease->hostname);
        json_array_add_object_element(array, object);
    }
    return array;
}

typedef struct {
    SteadOp *op;
    JsonNode *shown;
} Inspection;

static gboolean show_it(gpointer data, GError **error)
{
    Inspection *inspection = data;
    if (!copy_network(inspection->op, error))
        return FALSE;
    inspection->shown = stead_engine_show_network(inspection->op->engine, inspection->op->extra);
    return TRUE;
}

static gboolean inspect_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    Inspection inspection = {op, NULL};
    if (!stead_job_sync(job, show_it, &inspection, error))
        return FALSE;
    JsonObject *object = json_node_get_object(inspection.shown);
    g_autoptr(GError) why = NULL;
    g_autoptr(GPtrArray) leases = stead_network_leases(op->engine->libvirt, op->extra, &why);
    if (leases) {
        json_object_set_array_member(object, "leases", leases_to_json(leases));
    } else if (stead_error_code(why) == STEAD_ERROR_UNAVAILABLE) {
        json_object_set_string_member(object, "leases-unknown", why->message);
    } else {
        json_node_unref(inspection.shown);
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    stead_job_set_result(job, inspection.shown);
    return TRUE;
}

SteadJob *stead_engine_inspect_network(SteadEngine *engine, const char *name, GError **error)
{
    SteadNetwork *network = stead_engine_network(engine, name, error);
    if (network == NULL)
        return NULL;
    SteadOp *op = stead_op_new(engine, network->id, network->name);
    op->free_extra = (GDestroyNotify)stead_network_free;
    return stead_engine_submit_question(engine, "network.show", inspect_body, op, error);
}

/* Takes over what making it found out. */
static gboolean finish_make(gpointer data, GError **error)
{
    SteadOp *op = data;
    const SteadNetwork *made = op->extra;
    SteadNetwork *network = stead_table_get(op->engine->networks, op->id);
    if (network == NULL)
        return TRUE;
    stead_set_string(&network->libvirt_name, made->libvirt_name);
    stead_set_string(&network->bridge, made->bridge);
    stead_set_string(&network->spec->subnet, made->spec->subnet);
    if (!stead_table_save(op->engine->networks, network, error))
        return FALSE;
    stead_events_emit(op->engine->events, "network.created", network->name, NULL);
    return TRUE;
}

static gboolean forget(gpointer data, GError **error)
{
    SteadOp *op = data;
    return stead_table_remove(op->engine->networks, op->id, error);
}

static gboolean make_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    op->free_extra = (GDestroyNotify)stead_network_free;
    if (!stead_job_sync(job, copy_network, op, error))
        return FALSE;
    stead_job_progress("making the network", -1, job);
    if (stead_network_make(op->engine->libvirt, op->extra, op->engine->paths, error))
        return stead_job_sync(job, finish_make, op, error);
    if (op->flag) /* new: nothing half-made stays */
        stead_job_sync(job, forget, op, NULL);
    return FALSE;
}

static SteadJob *submit(SteadEngine *engine, const SteadNetwork *network, const char *type,
                        SteadJobFunc body, gboolean is_new, GError **error)
{
    SteadOp *op = stead_op_new(engine, network->id, network->name);
    op->flag = is_new;
    return stead_engine_submit_named(engine, "network", type, body, op, error);
}

SteadJob *stead_engine_create_network(SteadEngine *engine, const char *name, SteadNetworkSpec *spec,
                                      const char *project, GError **error)
{
    g_autoptr(SteadNetwork) network = g_new0(SteadNetwork, 1);
    network->spec = spec;
    if (!stead_name_check("network", name, error))
        return NULL;
    network->id = g_uuid_string_random();
    network->name = g_strdup(name);
    network->project = g_strdup(project);
    network->created = g_get_real_time();
    if (!stead_table_add(engine->networks, network, error))
        return NULL;
    SteadNetwork *kept = g_steal_pointer(&network);
    SteadJob *job = submit(engine, kept, "network.create", make_body, TRUE, error);
    if (job == NULL)
        stead_table_remove(engine->networks, kept->id, NULL);
    return job;
}

SteadJob *stead_engine_make_network_again(SteadEngine *engine, const SteadNetwork *network,
                                          GError **error)
{
    return submit(engine, network, "network.make", make_body, FALSE, error);
}

static gboolean check_unused(gpointer data, GError **error)
{
    SteadOp *op = data;
    g_autoptr(JsonArray) users = users_of(op->engine, op->name);
    guint n = json_array_get_length(users);
    if (n == 0)
        return stead_engine_check_users_known(op->engine, "network", op->name, error);
    stead_set_error(error, STEAD_ERROR_BUSY, "Remove them first.",
                    "the network '%s' is used by %s%s", op->name,
                    json_array_get_string_element(users, 0), n > 1 ? " and others" : "");
    return FALSE;
}

static gboolean finish_remove(gpointer data, GError **error)
{
    SteadOp *op = data;
    if (!stead_table_remove(op->engine->networks, op->id, error))
        return FALSE;
    stead_events_emit(op->engine->events, "network.removed", op->name, NULL);
    return TRUE;
}

/* It stays after all. */
static gboolean undo_remove(gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadNetwork *network = stead_table_get(op->engine->networks, op->id);
    if (network)
        network->removing = FALSE;
    return network == NULL || stead_table_save(op->engine->networks, network, error);
}

static gboolean remove_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    op->free_extra = (GDestroyNotify)stead_network_free;
    if (!stead_job_sync(job, check_unused, op, error)) {
        stead_job_sync(job, undo_remove, op, NULL);
        return FALSE;
    }
    return stead_job_sync(job, copy_network, op, error) &&
           stead_network_remove(op->engine->libvirt, op->extra, error) &&
           stead_job_sync(job, finish_remove, op, error);
}

SteadJob *stead_engine_remove_network(SteadEngine *engine, const char *name, GError **error)
{
    SteadNetwork *network = stead_engine_network(engine, name, error);
    if (network == NULL)
        return NULL;
    SteadOp op = {.engine = engine, .name = network->name};
    if (!check_unused(&op, error))
        return NULL;
    gboolean was_removing = network->removing;
    network->removing = TRUE;
    if (!stead_table_save(engine->networks, network, error)) {
        network->removing = was_removing;
        return NULL;
    }
    SteadJob *job = submit(engine, network, "network.remove", remove_body, FALSE, error);
    if (job == NULL) { /* refused after all */
        network->removing = was_removing;
        stead_table_save(engine->networks, network, NULL);
    }
    return job;
}

/* ---- the network `default` ---- */

typedef struct {
    SteadEngine *engine;
    SteadJob *job; /* a reference; NULL when it is there */
} Default;

/* Several instances may ask at the same time: the first makes it, the others wait for its job. */
static gboolean begin_default(gpointer data, GError **error)
{
    Default *ask = data;
    g_autofree char *lock = stead_engine_lock_of("network", DEFAULT);
    SteadJob *job = stead_jobs_active_with_lock(ask->engine->jobs, lock);
    if (job == NULL && stead_table_by_name(ask->engine->networks, DEFAULT))
        return TRUE;
    if (job == NULL) {
        SteadNetworkSpec *spec = stead_network_spec_parse("{}", -1, DEFAULT, error);
        if (spec == NULL)
            return FALSE;
        job = stead_engine_create_network(ask->engine, DEFAULT, spec, NULL, error);
    }
    ask->job = job ? stead_job_ref(job) : NULL;
    return job != NULL;
}

gboolean stead_engine_ensure_default_network(SteadEngine *engine, SteadJob *job, GError **error)
{
    Default ask = {engine, NULL};
    /* Again, since the job that was waited for may have been its removal. */
    for (;;) {
        if (!stead_job_sync(job, begin_default, &ask, error))
            return FALSE;
        g_autoptr(SteadJob) making = g_steal_pointer(&ask.job);
        if (making == NULL)
            return TRUE;
        if (!stead_job_wait(job, making, FALSE, error) ||
            g_cancellable_set_error_if_cancelled(stead_job_cancellable(job), error))
            return FALSE;
    }
}
