/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/templates. */
#include "api/handlers.h"
#include "base/error.h"

STEAD_HANDLER(template_list)
{
    return stead_reply_list(request, reply, stead_engine_templates(request->engine),
                            (SteadShowFunc)stead_engine_show_template);
}

STEAD_HANDLER(template_create)
{
    const char *name = NULL, *from = NULL;
    guint64 warm = STEAD_WARM_AS_IT_PAYS;
    return stead_body_only(request, error, "name", "from", "warm", NULL) &&
           stead_body_string(request, "name", TRUE, &name, error) &&
           stead_body_string(request, "from", TRUE, &from, error) &&
           stead_body_uint(request, "warm", STEAD_MAX_WARM, &warm, error) &&
           stead_reply_job(reply,
                           stead_engine_create_template(request->engine, name, from, warm, error));
}

STEAD_HANDLER(template_show)
{
    SteadTemplate *template = stead_engine_template(request->engine, request->params[0], error);
    return template &&
           stead_reply_json(reply, stead_engine_show_template(request->engine, template));
}

STEAD_HANDLER(template_warm)
{
    guint64 warm = 0;
    return stead_body_only(request, error, "count", NULL) &&
           stead_body_member(request, "count", error) &&
           stead_body_uint(request, "count", STEAD_MAX_WARM, &warm, error) &&
           stead_engine_warm_template(request->engine, request->params[0], warm, error) &&
           stead_reply_nothing(reply);
}

STEAD_HANDLER(template_remove)
{
    return stead_reply_job(
        reply, stead_engine_remove_template(request->engine, request->params[0], error));
}
