/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/instances. Handlers do three things: read what was sent, resolve the name in the path, hand
 * both to the engine. What takes time comes back as a job (202). Questions whose answer somebody
 * waits for (exec, stats, display) are jobs as well, but the reply is held back until they end, and
 * they end when the client goes.
 */
#include "api/console_socket.h"
#include "api/handlers.h"
#include "base/error.h"
#include "model/check.h"

#define MAX_TIMEOUT_MS (G_GUINT64_CONSTANT(24) * 3600 * 1000)

static SteadInstance *find(SteadRequest *request, GError **error)
{
    return stead_engine_instance(request->engine, request->params[0], error);
}

static JsonNode *show_short(SteadEngine *engine, gconstpointer instance)
{
    return stead_engine_show_instance(engine, instance, TRUE);
}

STEAD_HANDLER(instance_list)
{
    return stead_reply_list(
        request, reply,
        stead_engine_instances(request->engine, stead_query_string(request, "project")),
        show_short);
}

STEAD_HANDLER(instance_create)
{
    const char *name = NULL;
    gboolean start = TRUE;
    JsonNode *member = NULL;
    if (!stead_body_only(request, error, "name", "spec", "start", NULL) ||
        !stead_body_string(request, "name", TRUE, &name, error) ||
        !stead_body_bool(request, "start", &start, error) ||
        !(member = stead_body_member(request, "spec", error)))
        return FALSE;
    SteadInstanceSpec *spec = stead_instance_spec_from_json(member, error);
    if (spec == NULL)
        return FALSE;
    return stead_reply_job(reply,
                           stead_engine_create(request->engine, name, spec, NULL, start, error));
}

STEAD_HANDLER(instance_show)
{
    SteadInstance *instance = find(request, error);
    return instance &&
           stead_reply_json(reply, stead_engine_show_instance(request->engine, instance, FALSE));
}

static gboolean act(SteadRequest *request, SteadReply *reply, SteadAction action, gboolean force,
                    GError **error)
{
    SteadActionOptions options = {.force = force};
    SteadInstance *instance = find(request, error);
    if (instance == NULL || !stead_body_only(request, error, "timeout-ms", "force", NULL) ||
        !stead_body_uint(request, "timeout-ms", MAX_TIMEOUT_MS, &options.timeout_ms, error) ||
        !stead_body_bool(request, "force", &options.force, error))
        return FALSE;
    return stead_reply_job(
        reply, stead_engine_act(request->engine, instance->id, action, &options, error));
}

STEAD_HANDLER(instance_remove)
{
    return act(request, reply, STEAD_ACTION_REMOVE, stead_query_flag(request, "force"), error);
}

STEAD_HANDLER(instance_start)
{
    return act(request, reply, STEAD_ACTION_START, FALSE, error);
}

STEAD_HANDLER(instance_stop)
{
    return act(request, reply, STEAD_ACTION_STOP, FALSE, error);
}

STEAD_HANDLER(instance_restart)
{
    return act(request, reply, STEAD_ACTION_RESTART, FALSE, error);
}

STEAD_HANDLER(instance_pause)
{
    return act(request, reply, STEAD_ACTION_PAUSE, FALSE, error);
}

STEAD_HANDLER(instance_resume)
{
    return act(request, reply, STEAD_ACTION_RESUME, FALSE, error);
}

STEAD_HANDLER(instance_exec)
{
    const char *input = NULL;
    guint64 timeout_ms = 0;
    SteadInstance *instance = find(request, error);
    if (instance == NULL ||
        !stead_body_only(request, error, "command", "input", "timeout-ms", NULL) ||
        !stead_body_string(request, "input", FALSE, &input, error) ||
        !stead_body_uint(request, "timeout-ms", MAX_TIMEOUT_MS, &timeout_ms, error))
        return FALSE;
    g_auto(GStrv) command = NULL;
    if (!stead_body_strings(request, "command", TRUE, STEAD_API_MAX_WORDS, &command, error))
        return FALSE;
    return stead_reply_result(request, reply,
                              stead_engine_exec(request->engine, instance->id,
                                                (const char *const *)command, input, timeout_ms,
                                                error));
}

STEAD_HANDLER(instance_display)
{
    SteadInstance *instance = find(request, error);
    return instance &&
           stead_reply_result(request, reply,
                              stead_engine_display(request->engine, instance->id, error));
}

STEAD_HANDLER(instance_stats)
{
    SteadInstance *instance = find(request, error);
    return instance && stead_reply_result(request, reply,
                                          stead_engine_stats(request->engine, instance->id, error));
}

STEAD_HANDLER(all_stats)
{
    return stead_reply_result(request, reply, stead_engine_all_stats(request->engine, error));
}

STEAD_HANDLER(instance_resize)
{
    guint64 size = 0;
    SteadInstance *instance = find(request, error);
    if (instance == NULL || !stead_body_only(request, error, "disk", NULL) ||
        !stead_body_member(request, "disk", error) ||
        !stead_body_size(request, "disk", &size, error))
        return FALSE;
    return stead_reply_job(reply,
                           stead_engine_resize_root(request->engine, instance->id, size, error));
}

STEAD_HANDLER(instance_balloon)
{
    guint64 size = 0;
    SteadInstance *instance = find(request, error);
    if (instance == NULL || !stead_body_only(request, error, "size", NULL) ||
        !stead_body_member(request, "size", error) ||
        !stead_body_size(request, "size", &size, error))
        return FALSE;
    return stead_reply_result(request, reply,
                              stead_engine_balloon(request->engine, instance->id, size, error));
}
