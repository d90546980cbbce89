/* SPDX-License-Identifier: Apache-2.0 */
/* The list of all commands, in the order of the help, and what several of their tables share. */
#include "cli/commands.h"

#include <string.h>

const char *const stead_complete_names[] = {
    [STEAD_COMPLETE_NONE] = "none",         [STEAD_COMPLETE_INSTANCE] = "instance",
    [STEAD_COMPLETE_IMAGE] = "image",       [STEAD_COMPLETE_CATALOGUE] = "catalogue",
    [STEAD_COMPLETE_NETWORK] = "network",   [STEAD_COMPLETE_VOLUME] = "volume",
    [STEAD_COMPLETE_SNAPSHOT] = "snapshot", [STEAD_COMPLETE_JOB] = "job",
    [STEAD_COMPLETE_PROJECT] = "project",   [STEAD_COMPLETE_FILE] = "file",
    [STEAD_COMPLETE_COMMAND] = "command",   [STEAD_COMPLETE_TEMPLATE] = "template",
};
G_STATIC_ASSERT(G_N_ELEMENTS(stead_complete_names) == STEAD_N_COMPLETES);

const char *const stead_section_titles[] = {
    [STEAD_SECTION_SPEC] = "Whole specs",
    [STEAD_SECTION_INSTANCE] = "Instances",
    [STEAD_SECTION_INSIDE] = "Looking inside",
    [STEAD_SECTION_STORE] = "Snapshots, templates, images, networks, storage",
    [STEAD_SECTION_HOST] = "The host and stead itself",
    [STEAD_SECTION_HIDDEN] = NULL,
};
G_STATIC_ASSERT(G_N_ELEMENTS(stead_section_titles) == STEAD_N_SECTIONS);

const SteadOption stead_format_options[] = {STEAD_FORMAT_OPTION, {NULL}};

const SteadOption stead_list_options[] = {
    {.name = "quiet", .letter = 'q', .doc = "names only, one a line"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

const SteadCommand *const stead_commands[] = {
    &stead_cmd_up,
    &stead_cmd_down,
    &stead_cmd_run,
    &stead_cmd_ls,
    &stead_cmd_show,
    &stead_cmd_start,
    &stead_cmd_stop,
    &stead_cmd_restart,
    &stead_cmd_pause,
    &stead_cmd_resume,
    &stead_cmd_resize,
    &stead_cmd_balloon,
    &stead_cmd_rm,
    &stead_cmd_wait,
    &stead_cmd_exec,
    &stead_cmd_cp,
    &stead_cmd_console,
    &stead_cmd_logs,
    &stead_cmd_display,
    &stead_cmd_top,
    &stead_cmd_events,
    &stead_cmd_snapshot,
    &stead_cmd_snapshot_create,
    &stead_cmd_snapshot_ls,
    &stead_cmd_snapshot_restore,
    &stead_cmd_snapshot_rm,
    &stead_cmd_template,
    &stead_cmd_template_create,
    &stead_cmd_template_ls,
    &stead_cmd_template_show,
    &stead_cmd_template_warm,
    &stead_cmd_template_rm,
    &stead_cmd_image,
    &stead_cmd_image_pull,
    &stead_cmd_image_build,
    &stead_cmd_image_import,
    &stead_cmd_image_ls,
    &stead_cmd_image_show,
    &stead_cmd_image_rm,
    &stead_cmd_image_catalogue,
    &stead_cmd_network,
    &stead_cmd_network_create,
    &stead_cmd_network_ls,
    &stead_cmd_network_show,
    &stead_cmd_network_rm,
    &stead_cmd_pool,
    &stead_cmd_pool_ls,
    &stead_cmd_volume,
    &stead_cmd_volume_create,
    &stead_cmd_volume_ls,
    &stead_cmd_volume_show,
    &stead_cmd_volume_attach,
    &stead_cmd_volume_detach,
    &stead_cmd_volume_resize,
    &stead_cmd_volume_rm,
    &stead_cmd_job,
    &stead_cmd_job_ls,
    &stead_cmd_job_show,
    &stead_cmd_job_cancel,
    &stead_cmd_doctor,
    &stead_cmd_info,
    &stead_cmd_daemon,
    &stead_cmd_daemon_start,
    &stead_cmd_daemon_status,
    &stead_cmd_daemon_stop,
    &stead_cmd_completion,
    &stead_cmd_help,
    &stead_cmd_complete,
    &stead_cmd_manual,
    &stead_cmd_readme,
};
const gsize stead_n_commands = G_N_ELEMENTS(stead_commands);

const SteadCommand *stead_command_find(const char *name)
{
    for (gsize i = 0; i < stead_n_commands; i++)
        if (strcmp(stead_commands[i]->name, name) == 0)
            return stead_commands[i];
    return NULL;
}

gboolean stead_command_is_in(const SteadCommand *command, const SteadCommand *group)
{
    gsize length = strlen(group->name);
    return strncmp(command->name, group->name, length) == 0 && command->name[length] == ' ';
}
