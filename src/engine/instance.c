/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of an instance's record: checked against the state machine, written, then told. And the
 * forms in which instances are shown.
 */
#include "base/error.h"
#include "engine/state.h"

SteadOp *stead_op_new(SteadEngine *engine, const char *id, const char *name)
{
    SteadOp *op = g_new0(SteadOp, 1);
    op->engine = engine;
    op->id = g_strdup(id);
    op->name = g_strdup(name);
    return op;
}

void stead_op_free(gpointer data)
{
    SteadOp *op = data;
    if (op == NULL)
        return;
    if (op->free_extra && op->extra)
        op->free_extra(op->extra);
    g_free(op->id);
    g_free(op->name);
    g_free(op);
}

char *stead_engine_instance_dir(SteadEngine *engine, const char *id)
{
    return g_build_filename(engine->paths->state, "instances", id, NULL);
}

char *stead_engine_instance_run_dir(SteadEngine *engine, const char *id)
{
    return g_build_filename(engine->paths->run, "instances", id, NULL);
}

char *stead_engine_instance_lock(const char *id)
{
    return g_strconcat(STEAD_INSTANCE_LOCK, id, NULL);
}

const char *stead_engine_hostname(const SteadInstance *instance)
{
    return instance->spec->hostname ? instance->spec->hostname : instance->name;
}

gboolean stead_instance_is_up(const SteadInstance *instance)
{
    return instance &&
           (instance->state == STEAD_STATE_RUNNING || instance->state == STEAD_STATE_PAUSED);
}

SteadJob *stead_engine_submit_on(SteadEngine *engine, const SteadInstance *instance,
                                 const char *type, SteadJobFunc body, SteadOp *op, GError **error)
{
    g_autofree char *lock = stead_engine_instance_lock(instance->id);
    op->runtime = stead_engine_runtime(engine, instance->kind);
    SteadJobOptions options = {.type = type,
                               .subject = instance->name,
                               .id = instance->id,
                               .lock = lock,
                               .func = body,
                               .data = op,
                               .free_data = stead_op_free};
    return stead_jobs_submit(engine->jobs, &options, error);
}

char *stead_engine_lock_of(const char *what, const char *name)
{
    return g_strconcat(what, "/", name, NULL);
}

SteadJob *stead_engine_submit_named(SteadEngine *engine, const char *what, const char *type,
                                    SteadJobFunc body, SteadOp *op, GError **error)
{
    g_autofree char *lock = stead_engine_lock_of(what, op->name);
    SteadJobOptions options = {.type = type,
                               .subject = op->name,
                               .lock = lock,
                               .func = body,
                               .data = op,
                               .free_data = stead_op_free};
    return stead_jobs_submit(engine->jobs, &options, error);
}

SteadJob *stead_engine_submit_question(SteadEngine *engine, const char *type, SteadJobFunc body,
                                       SteadOp *op, GError **error)
{
    SteadJobOptions options = {
        .type = type, .quiet = TRUE, .func = body, .data = op, .free_data = stead_op_free};
    return stead_jobs_submit(engine->jobs, &options, error);
}

SteadInstance *stead_engine_expect(SteadEngine *engine, const char *id, GError **error)
{
    SteadInstance *instance = stead_table_get(engine->instances, id);
    if (instance == NULL)
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "the instance was removed meanwhile");
    return instance;
}

static const char *state_name(SteadState state)
{
    return stead_name_of(&stead_state_names, (int)state);
}

gboolean stead_engine_set_state(SteadEngine *engine, SteadInstance *instance, SteadState state,
                                const char *message, GError **error)
{
    SteadState from = instance->state;
    if (from != state && !stead_state_may_follow(from, state)) {
        stead_set_error(error, STEAD_ERROR_STATE, NULL, "%s is %s, and cannot go to %s from there",
                        instance->name, state_name(from), state_name(state));
        return FALSE;
    }
    g_autofree char *old_error = g_steal_pointer(&instance->error);
    gboolean was_ready = instance->ready;
    instance->state = state;
    instance->error = g_strdup(message);
    if (state != STEAD_STATE_RUNNING && state != STEAD_STATE_PAUSED)
        instance->ready = FALSE;
    if (!stead_table_save(engine->instances, instance, error)) {
        instance->state = from;
        instance->ready = was_ready;
        g_free(instance->error);
        instance->error = g_steal_pointer(&old_error);
        return FALSE;
    }
    SteadLive *live = stead_engine_live(engine, instance->id);
    live->asked_unwritten = FALSE;
    live->changed = g_get_monotonic_time();
    if (from != state || message)
        stead_events_emit(engine->events, "instance.state", instance->name,
                          stead_event_data("from", state_name(from), "to", state_name(state),
                                           "error", message, NULL));
    return TRUE;
}

void stead_engine_save(SteadEngine *engine, SteadInstance *instance)
{
    g_autoptr(GError) error = NULL;
    if (!stead_table_save(engine->instances, instance, &error))
        g_warning("the record of %s could not be written: %s", instance->name, error->message);
    else
        stead_engine_live(engine, instance->id)->asked_unwritten = FALSE;
}

SteadInstance *stead_engine_instance(SteadEngine *engine, const char *name_or_id, GError **error)
{
    return stead_table_find(engine->instances, name_or_id, error);
}

GPtrArray *stead_engine_instances(SteadEngine *engine, const char *project)
{
    GPtrArray *list = stead_table_list(engine->instances);
    for (guint i = list->len; project && i-- > 0;)
        if (g_strcmp0(((SteadInstance *)list->pdata[i])->project, project) != 0)
            g_ptr_array_remove_index(list, i);
    return list;
}

static void add_text(JsonObject *object, const char *name, const char *value)
{
    if (value)
        json_object_set_string_member(object, name, value);
}

/* Those that were seen; before any was, those that are reserved for it. */
static JsonArray *addresses_to_json(const SteadInstance *instance)
{
    JsonArray *array = json_array_new();
    for (guint i = 0; instance->addresses && instance->addresses[i]; i++)
        json_array_add_string_element(array, instance->addresses[i]);
    for (guint i = 0; json_array_get_length(array) == 0 && i < instance->nics->len; i++) {
        const SteadNicRecord *nic = instance->nics->pdata[i];
        if (nic->address && *nic->address)
            json_array_add_string_element(array, nic->address);
    }
    return array;
}

static JsonNode *show_short(SteadEngine *engine, const SteadInstance *instance)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "id", instance->id);
    json_object_set_string_member(object, "name", instance->name);
    add_text(object, "project", instance->project);
    json_object_set_string_member(object, "kind",
                                  stead_name_of(&stead_kind_names, (int)instance->kind));
    json_object_set_string_member(object, "state", state_name(instance->state));
    json_object_set_boolean_member(object, "ready", instance->ready);
    const SteadLive *live = g_hash_table_lookup(engine->live, instance->id);
    if (live && live->late && !instance->ready)
        json_object_set_boolean_member(object, "late", TRUE);
    add_text(object, "stage", instance->stage);
    add_text(object, "image", instance->spec->image);
    json_object_set_int_member(object, "cpus", instance->spec->cpus);
    json_object_set_int_member(object, "memory", (gint64)instance->spec->memory.max);
    json_object_set_array_member(object, "addresses", addresses_to_json(instance));
    json_object_set_int_member(object, "created", instance->created);
    json_object_set_int_member(object, "started", instance->started);
    add_text(object, "accel", instance->accel);
    add_text(object, "error", instance->error);
    json_object_set_boolean_member(object, "restart-needed", instance->restart_needed);
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, object);
    return node;
}

static JsonArray *nics_to_json(const SteadInstance *instance)
{
    JsonArray *array = json_array_new();
    for (guint i = 0; i < instance->nics->len; i++) {
        const SteadNicRecord *nic = instance->nics->pdata[i];
        JsonObject *object = json_object_new();
        add_text(object, "network", nic->network);
        add_text(object, "mac", nic->mac);
        add_text(object, "address", nic->address);
        json_array_add_object_element(array, object);
    }
    return array;
}

JsonNode *stead_engine_show_instance(SteadEngine *engine, const SteadInstance *instance,
                                     gboolean is_short)
{
    if (is_short)
        return show_short(engine, instance);
    JsonNode *node = stead_instance_to_json(instance);
    JsonObject *object = json_node_get_object(node);
    g_autofree char *domain = g_strdup_printf("stead%s-%s", engine->paths->tag, instance->name);
    json_object_set_string_member(object, "domain", domain);
    json_object_set_array_member(object, "networks", nics_to_json(instance));
    json_object_set_array_member(object, "addresses", addresses_to_json(instance));
    json_object_set_boolean_member(object, "ready", instance->ready);
    const SteadLive *live = g_hash_table_lookup(engine->live, instance->id);
    if (live && live->run_started)
        json_object_set_int_member(object, "uptime-ms",
                                   (g_get_monotonic_time() - live->run_started) / 1000);
    g_autofree char *lock = stead_engine_instance_lock(instance->id);
    SteadJob *job = stead_jobs_active_with_lock(engine->jobs, lock);
    if (job)
        json_object_set_string_member(object, "job", stead_job_id(job));
    return node;
}
