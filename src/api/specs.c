/* SPDX-License-Identifier: Apache-2.0 */
/* Whole specs: /v1/plan, /v1/up, /v1/down. */
#include "api/handlers.h"
#include "base/error.h"
#include "model/check.h"

static SteadSpec *read_spec(SteadRequest *request, GError **error)
{
    JsonNode *member = NULL;
    if (!stead_body_only(request, error, "spec", NULL) ||
        !(member = stead_body_member(request, "spec", error)))
        return NULL;
    g_autoptr(SteadSpec) spec = stead_spec_from_json(member, error);
    for (guint i = 0; spec && i < spec->instances->len; i++) {
        if (!stead_instance_spec_names_files(spec->instances->pdata[i]))
            continue;
        stead_set_error(
            error, STEAD_ERROR_INVALID, NULL,
            "instance '%s' names files, which the client must read: send their contents",
            (const char *)spec->instance_names->pdata[i]);
        return NULL;
    }
    return g_steal_pointer(&spec);
}

STEAD_HANDLER(plan)
{
    g_autoptr(SteadSpec) spec = read_spec(request, error);
    return spec && stead_reply_json(reply, stead_engine_plan(request->engine, spec, error));
}

STEAD_HANDLER(up)
{
    SteadSpec *spec = read_spec(request, error);
    return spec && stead_reply_job(reply, stead_engine_up(request->engine, spec, error));
}

STEAD_HANDLER(down)
{
    const char *project = NULL;
    gboolean volumes = FALSE;
    return stead_body_only(request, error, "project", "volumes", NULL) &&
           stead_body_string(request, "project", TRUE, &project, error) &&
           stead_body_bool(request, "volumes", &volumes, error) &&
           stead_name_check("spec", project, error) &&
           stead_reply_job(reply, stead_engine_down(request->engine, project, volumes, error));
}
