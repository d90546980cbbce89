/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing an instance's spec: disks grow and ports move at once, the rest waits for a restart. The
 * new spec is on record before the ports follow it; where they cannot, the old one returns.
 */
#include "base/error.h"
#include "engine/claims.h"
#include "engine/state.h"

gboolean stead_engine_check_changes(GPtrArray *changes, const char *name, GError **error)
{
    for (guint i = 0; i < changes->len; i++) {
        const SteadChange *change = changes->pdata[i];
        if (change->effect != STEAD_EFFECT_RECREATE)
            continue;
        g_autofree char *hint = g_strdup_printf(
            "Undo it in the spec, or make the instance anew: stead rm %s, then up.", name);
        stead_set_error(error, STEAD_ERROR_STATE, hint,
                        "%s: '%s' (%.64s → %.64s) can only be changed in a new instance", name,
                        change->field, change->from ? change->from : "unset",
                        change->to ? change->to : "unset");
        return FALSE;
    }
    return TRUE;
}

/* The new spec is in op->extra; take_spec() leaves the old one there. */
typedef struct {
    SteadOp *op;
    gboolean ports, restart_needed; /* the ports differ; as it was before */
} Change;

static gboolean grows_disk(gpointer data, GError **error)
{
    SteadOp *op = data;
    const SteadInstance *instance = stead_table_get(op->engine->instances, op->id);
    const SteadInstanceSpec *wanted = op->extra;
    return instance && wanted->disk > instance->spec->disk;
}

/* Exchanges the record's spec and op->extra. */
static gboolean exchange(SteadOp *op, SteadInstance *instance, gboolean restart_needed,
                         GError **error)
{
    SteadInstanceSpec *spec = instance->spec;
    gboolean needed = instance->restart_needed;
    instance->spec = op->extra;
    instance->restart_needed = restart_needed;
    if (stead_table_save(op->engine->instances, instance, error)) {
        op->extra = spec;
        return TRUE;
    }
    instance->spec = spec;
    instance->restart_needed = needed;
    return FALSE;
}

static gboolean take_spec(gpointer data, GError **error)
{
    Change *change = data;
    SteadOp *op = change->op;
    SteadInstance *instance = stead_engine_expect(op->engine, op->id, error);
    if (instance == NULL)
        return FALSE;
    SteadInstanceSpec *wanted = op->extra;
    wanted->disk = MAX(wanted->disk, instance->spec->disk);
    g_autoptr(GPtrArray) all = stead_table_list(op->engine->instances);
    g_autoptr(GPtrArray) changes = stead_instance_spec_diff(instance->spec, wanted);
    if (!stead_engine_check_changes(changes, instance->name, error) ||
        !stead_claims_check(all, op->id, wanted, error))
        return FALSE;
    gboolean is_up = stead_instance_is_up(instance);
    gboolean restart_needed = instance->restart_needed;
    change->restart_needed = restart_needed;
    for (guint i = 0; i < changes->len; i++) {
        const SteadChange *one = changes->pdata[i];
        restart_needed |= is_up && one->effect == STEAD_EFFECT_RESTART;
        change->ports |= is_up && g_str_has_prefix(one->field, "ports");
    }
    return exchange(op, instance, restart_needed, error);
}

static gboolean put_back(gpointer data, GError **error)
{
    Change *change = data;
    SteadInstance *instance = stead_engine_expect(change->op->engine, change->op->id, error);
    return instance && exchange(change->op, instance, change->restart_needed, error);
}

static gboolean change_body(SteadJob *job, gpointer data, GError **error)
{
    SteadOp *op = data;
    SteadEngine *engine = op->engine;
    Change change = {.op = op};
    if (stead_job_sync(job, grows_disk, op, NULL) &&
        !stead_engine_grow_root_in_job(engine, job, op->id, ((SteadInstanceSpec *)op->extra)->disk,
                                       error))
        return FALSE;
    if (!stead_job_sync(job, take_spec, &change, error))
        return FALSE;
    if (!change.ports || stead_engine_publish_in_job(engine, job, op->id, error))
        return TRUE;
    if (stead_job_sync(job, put_back, &change, NULL))
        stead_engine_publish_in_job(engine, job, op->id, NULL);
    return FALSE;
}

SteadJob *stead_engine_change(SteadEngine *engine, const char *id, SteadInstanceSpec *spec,
                              GError **error)
{
    g_autoptr(SteadInstanceSpec) owned = spec;
    SteadInstance *instance = stead_engine_expect(engine, id, error);
    if (instance == NULL)
        return NULL;
    owned->count = 1;
    g_autoptr(GPtrArray) changes = stead_instance_spec_diff(instance->spec, owned);
    if (!stead_engine_check_changes(changes, instance->name, error))
        return NULL;
    SteadOp *op = stead_op_new(engine, id, instance->name);
    op->extra = g_steal_pointer(&owned);
    op->free_extra = (GDestroyNotify)stead_instance_spec_free;
    return stead_engine_submit_on(engine, instance, "instance.change", change_body, op, error);
}
