/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/networks. */
#include "api/handlers.h"
#include "base/error.h"

STEAD_HANDLER(network_list)
{
    return stead_reply_list(request, reply, stead_engine_networks(request->engine),
                            (SteadShowFunc)stead_engine_show_network);
}

STEAD_HANDLER(network_create)
{
    const char *name = NULL;
    if (!stead_body_only(request, error, "name", "spec", NULL) ||
        !stead_body_string(request, "name", TRUE, &name, error))
        return FALSE;
    JsonNode *member = json_object_get_member(json_node_get_object(request->body), "spec");
    SteadNetworkSpec *spec = member ? stead_network_spec_from_json(member, error)
                                    : stead_network_spec_parse("{}", -1, "request", error);
    if (spec == NULL)
        return FALSE;
    return stead_reply_job(reply,
                           stead_engine_create_network(request->engine, name, spec, NULL, error));
}

STEAD_HANDLER(network_show)
{
    return stead_reply_result(
        request, reply, stead_engine_inspect_network(request->engine, request->params[0], error));
}

STEAD_HANDLER(network_remove)
{
    return stead_reply_job(reply,
                           stead_engine_remove_network(request->engine, request->params[0], error));
}
