/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/images and /v1/catalogue. */
#include "api/handlers.h"
#include "base/error.h"

STEAD_HANDLER(image_list)
{
    return stead_reply_list(request, reply, stead_engine_images(request->engine),
                            (SteadShowFunc)stead_engine_show_image);
}

STEAD_HANDLER(image_catalogue)
{
    return stead_reply_json(reply, stead_engine_catalogue(request->engine, error));
}

STEAD_HANDLER(image_pull)
{
    const char *name = NULL;
    return stead_body_only(request, error, "name", NULL) &&
           stead_body_string(request, "name", TRUE, &name, error) &&
           stead_reply_job(reply, stead_engine_pull(request->engine, name, error));
}

STEAD_HANDLER(image_build)
{
    const char *name = NULL, *as = NULL;
    if (!stead_body_only(request, error, "name", "as", NULL) ||
        !stead_body_string(request, "name", TRUE, &name, error) ||
        !stead_body_string(request, "as", FALSE, &as, error))
        return FALSE;
    return stead_reply_job(reply, stead_engine_build(request->engine, name, as ? as : name, error));
}

STEAD_HANDLER(image_import)
{
    const char *path = NULL, *name = NULL;
    return stead_body_only(request, error, "path", "name", NULL) &&
           stead_body_string(request, "path", TRUE, &path, error) &&
           stead_body_string(request, "name", TRUE, &name, error) &&
           stead_reply_job(reply, stead_engine_import(request->engine, path, name, error));
}

STEAD_HANDLER(image_show)
{
    SteadImage *image = stead_engine_image(request->engine, request->params[0], error);
    return image && stead_reply_json(reply, stead_engine_show_image(request->engine, image));
}

STEAD_HANDLER(image_remove)
{
    return stead_engine_remove_image(request->engine, request->params[0], error) &&
           stead_reply_nothing(reply);
}
