/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/instances/{name}/snapshots. */
#include "api/handlers.h"
#include "base/error.h"

/* Snapshots are shown without the runtime's own part. */
static JsonNode *show(SteadEngine *engine, gconstpointer snapshot)
{
    JsonNode *node = stead_snapshot_to_json(snapshot);
    json_object_remove_member(json_node_get_object(node), "layers");
    return node;
}

STEAD_HANDLER(snapshot_list)
{
    SteadInstance *instance = stead_engine_instance(request->engine, request->params[0], error);
    if (instance == NULL)
        return FALSE;
    return stead_reply_list(request, reply, stead_engine_snapshots(request->engine, instance->id),
                            show);
}

STEAD_HANDLER(snapshot_create)
{
    const char *name = NULL;
    gboolean memory = FALSE;
    SteadInstance *instance = stead_engine_instance(request->engine, request->params[0], error);
    if (instance == NULL || !stead_body_only(request, error, "name", "memory", NULL) ||
        !stead_body_string(request, "name", TRUE, &name, error) ||
        !stead_body_bool(request, "memory", &memory, error))
        return FALSE;
    gboolean said = json_object_has_member(json_node_get_object(request->body), "memory");
    return stead_reply_job(reply, stead_engine_snapshot(request->engine, instance->id, name,
                                                        said ? memory : -1, error));
}

STEAD_HANDLER(snapshot_restore)
{
    SteadInstance *instance = stead_engine_instance(request->engine, request->params[0], error);
    return instance && stead_reply_job(reply, stead_engine_restore(request->engine, instance->id,
                                                                   request->params[1], error));
}

STEAD_HANDLER(snapshot_remove)
{
    SteadInstance *instance = stead_engine_instance(request->engine, request->params[0], error);
    return instance &&
           stead_reply_job(reply, stead_engine_remove_snapshot(request->engine, instance->id,
                                                               request->params[1], error));
}
