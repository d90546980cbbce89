/* SPDX-License-Identifier: Apache-2.0 */
/* The host: /v1, /v1/doctor, /v1/pools, and the two descriptions of the API itself. */
#include "api/handlers.h"
#include "api/openapi.h"

STEAD_HANDLER(describe)
{
    return stead_reply_json(reply, stead_engine_describe(request->engine));
}

STEAD_HANDLER(doctor)
{
    return stead_reply_result(request, reply, stead_engine_doctor(request->engine, error));
}

STEAD_HANDLER(pools)
{
    return stead_reply_result(request, reply, stead_engine_pools(request->engine, error));
}

STEAD_HANDLER(openapi)
{
    return stead_reply_json(reply, stead_openapi());
}

STEAD_HANDLER(schema)
{
    g_autofree char *text = stead_spec_json_schema();
    return stead_reply_json(reply, json_from_string(text, error));
}
