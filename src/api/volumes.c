/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/volumes, and the volumes of an instance. */
#include "api/handlers.h"
#include "base/error.h"

STEAD_HANDLER(volume_list)
{
    return stead_reply_list(request, reply, stead_engine_volumes(request->engine),
                            (SteadShowFunc)stead_engine_show_volume);
}

STEAD_HANDLER(volume_create)
{
    const char *name = NULL;
    JsonNode *member = NULL;
    if (!stead_body_only(request, error, "name", "spec", NULL) ||
        !stead_body_string(request, "name", TRUE, &name, error) ||
        !(member = stead_body_member(request, "spec", error)))
        return FALSE;
    SteadVolumeSpec *spec = stead_volume_spec_from_json(member, error);
    if (spec == NULL)
        return FALSE;
    return stead_reply_job(reply,
                           stead_engine_create_volume(request->engine, name, spec, NULL, error));
}

STEAD_HANDLER(volume_show)
{
    SteadVolume *volume = stead_engine_volume(request->engine, request->params[0], error);
    return volume && stead_reply_json(reply, stead_engine_show_volume(request->engine, volume));
}

STEAD_HANDLER(volume_remove)
{
    return stead_reply_job(reply,
                           stead_engine_remove_volume(request->engine, request->params[0], error));
}

STEAD_HANDLER(volume_resize)
{
    guint64 size = 0;
    return stead_body_only(request, error, "size", NULL) &&
           stead_body_member(request, "size", error) &&
           stead_body_size(request, "size", &size, error) &&
           stead_reply_job(
               reply, stead_engine_resize_volume(request->engine, request->params[0], size, error));
}

STEAD_HANDLER(volume_attach)
{
    const char *volume = NULL;
    gboolean read_only = FALSE;
    SteadInstance *instance = stead_engine_instance(request->engine, request->params[0], error);
    if (instance == NULL || !stead_body_only(request, error, "volume", "read-only", NULL) ||
        !stead_body_string(request, "volume", TRUE, &volume, error) ||
        !stead_body_bool(request, "read-only", &read_only, error))
        return FALSE;
    return stead_reply_job(
        reply, stead_engine_attach(request->engine, instance->id, volume, read_only, error));
}

STEAD_HANDLER(volume_detach)
{
    SteadInstance *instance = stead_engine_instance(request->engine, request->params[0], error);
    return instance && stead_reply_job(reply, stead_engine_detach(request->engine, instance->id,
                                                                  request->params[1], error));
}
