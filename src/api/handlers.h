/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers that routes.c puts into its table, by the file that holds them. */
#pragma once

#include "api/request.h"

#define STEAD_HANDLER(name)                                                                        \
    gboolean stead_api_##name(SteadRequest *request, SteadReply *reply, GError **error)

/* host.c */
STEAD_HANDLER(describe);
STEAD_HANDLER(doctor);
STEAD_HANDLER(pools);
STEAD_HANDLER(openapi);
STEAD_HANDLER(schema);

/* instances.c */
STEAD_HANDLER(instance_list);
STEAD_HANDLER(instance_create);
STEAD_HANDLER(instance_show);
STEAD_HANDLER(instance_remove);
STEAD_HANDLER(instance_start);
STEAD_HANDLER(instance_stop);
STEAD_HANDLER(instance_restart);
STEAD_HANDLER(instance_pause);
STEAD_HANDLER(instance_resume);
STEAD_HANDLER(instance_exec);
STEAD_HANDLER(instance_logs);
STEAD_HANDLER(instance_console);
STEAD_HANDLER(instance_display);
STEAD_HANDLER(instance_stats);
STEAD_HANDLER(all_stats);
STEAD_HANDLER(instance_resize);
STEAD_HANDLER(instance_balloon);

/* streams.c */
STEAD_HANDLER(stream_exec);
STEAD_HANDLER(stream_file);

/* snapshots.c */
STEAD_HANDLER(snapshot_list);
STEAD_HANDLER(snapshot_create);
STEAD_HANDLER(snapshot_restore);
STEAD_HANDLER(snapshot_remove);

/* images.c */
STEAD_HANDLER(image_list);
STEAD_HANDLER(image_catalogue);
STEAD_HANDLER(image_pull);
STEAD_HANDLER(image_build);
STEAD_HANDLER(image_import);
STEAD_HANDLER(image_show);
STEAD_HANDLER(image_remove);

/* templates.c */
STEAD_HANDLER(template_list);
STEAD_HANDLER(template_create);
STEAD_HANDLER(template_show);
STEAD_HANDLER(template_warm);
STEAD_HANDLER(template_remove);

/* networks.c */
STEAD_HANDLER(network_list);
STEAD_HANDLER(network_create);
STEAD_HANDLER(network_show);
STEAD_HANDLER(network_remove);

/* volumes.c */
STEAD_HANDLER(volume_list);
STEAD_HANDLER(volume_create);
STEAD_HANDLER(volume_show);
STEAD_HANDLER(volume_remove);
STEAD_HANDLER(volume_resize);
STEAD_HANDLER(volume_attach);
STEAD_HANDLER(volume_detach);

/* specs.c */
STEAD_HANDLER(plan);
STEAD_HANDLER(up);
STEAD_HANDLER(down);

/* jobs.c */
STEAD_HANDLER(job_list);
STEAD_HANDLER(job_show);
STEAD_HANDLER(job_cancel);
STEAD_HANDLER(events);
