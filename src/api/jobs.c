/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/jobs. */
#include "api/handlers.h"

static void add_job(SteadJob *job, gpointer data)
{
    json_array_add_element(data, stead_job_to_json(job));
}

STEAD_HANDLER(job_list)
{
    JsonArray *array = json_array_new();
    stead_jobs_each(stead_engine_jobs(request->engine), stead_query_flag(request, "active"),
                    add_job, array);
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);
    json_node_take_array(node, array);
    return stead_reply_json(reply, node);
}

STEAD_HANDLER(job_show)
{
    SteadJob *job = stead_jobs_find(stead_engine_jobs(request->engine), request->params[0], error);
    return job && stead_reply_json(reply, stead_job_to_json(job));
}

STEAD_HANDLER(job_cancel)
{
    SteadJob *job = stead_jobs_find(stead_engine_jobs(request->engine), request->params[0], error);
    if (job == NULL)
        return FALSE;
    stead_job_cancel(job);
    return stead_reply_nothing(reply);
}
