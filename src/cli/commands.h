/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that the cmd_*.c files define, one declaration each; commands.c lists them. */
#pragma once

#include "cli/command.h"

extern const SteadCommand stead_cmd_up;
extern const SteadCommand stead_cmd_down;

extern const SteadCommand stead_cmd_run;
extern const SteadCommand stead_cmd_ls;
extern const SteadCommand stead_cmd_show;
extern const SteadCommand stead_cmd_start;
extern const SteadCommand stead_cmd_stop;
extern const SteadCommand stead_cmd_restart;
extern const SteadCommand stead_cmd_pause;
extern const SteadCommand stead_cmd_resume;
extern const SteadCommand stead_cmd_resize;
extern const SteadCommand stead_cmd_rm;
extern const SteadCommand stead_cmd_wait;

extern const SteadCommand stead_cmd_exec;
extern const SteadCommand stead_cmd_cp;
extern const SteadCommand stead_cmd_console;
extern const SteadCommand stead_cmd_logs;
extern const SteadCommand stead_cmd_display;
extern const SteadCommand stead_cmd_top;
extern const SteadCommand stead_cmd_events;

extern const SteadCommand stead_cmd_snapshot;
extern const SteadCommand stead_cmd_snapshot_create;
extern const SteadCommand stead_cmd_snapshot_ls;
extern const SteadCommand stead_cmd_snapshot_restore;
extern const SteadCommand stead_cmd_snapshot_rm;

extern const SteadCommand stead_cmd_template;
extern const SteadCommand stead_cmd_template_create;
extern const SteadCommand stead_cmd_template_ls;
extern const SteadCommand stead_cmd_template_show;
extern const SteadCommand stead_cmd_template_warm;
extern const SteadCommand stead_cmd_template_rm;

extern const SteadCommand stead_cmd_balloon;
extern const SteadCommand stead_cmd_image;
extern const SteadCommand stead_cmd_image_pull;
extern const SteadCommand stead_cmd_image_build;
extern const SteadCommand stead_cmd_image_import;
extern const SteadCommand stead_cmd_image_ls;
extern const SteadCommand stead_cmd_image_show;
extern const SteadCommand stead_cmd_image_rm;
extern const SteadCommand stead_cmd_image_catalogue;

extern const SteadCommand stead_cmd_network;
extern const SteadCommand stead_cmd_network_create;
extern const SteadCommand stead_cmd_network_ls;
extern const SteadCommand stead_cmd_network_show;
extern const SteadCommand stead_cmd_network_rm;

extern const SteadCommand stead_cmd_pool;
extern const SteadCommand stead_cmd_pool_ls;
extern const SteadCommand stead_cmd_volume;
extern const SteadCommand stead_cmd_volume_create;
extern const SteadCommand stead_cmd_volume_ls;
extern const SteadCommand stead_cmd_volume_show;
extern const SteadCommand stead_cmd_volume_attach;
extern const SteadCommand stead_cmd_volume_detach;
extern const SteadCommand stead_cmd_volume_resize;
extern const SteadCommand stead_cmd_volume_rm;

extern const SteadCommand stead_cmd_job;
extern const SteadCommand stead_cmd_job_ls;
extern const SteadCommand stead_cmd_job_show;
extern const SteadCommand stead_cmd_job_cancel;

extern const SteadCommand stead_cmd_doctor;
extern const SteadCommand stead_cmd_info;
extern const SteadCommand stead_cmd_daemon;
extern const SteadCommand stead_cmd_daemon_start;
extern const SteadCommand stead_cmd_daemon_status;
extern const SteadCommand stead_cmd_daemon_stop;
extern const SteadCommand stead_cmd_completion;
extern const SteadCommand stead_cmd_help;

extern const SteadCommand stead_cmd_complete;
extern const SteadCommand stead_cmd_manual;
extern const SteadCommand stead_cmd_readme;
