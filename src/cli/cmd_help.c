/* SPDX-License-Identifier: Apache-2.0 */
/* stead help, and the hidden commands by which manual pages and README's table are made. */
#include "cli/commands.h"

#include <stdio.h>

#include "cli/help.h"

static int run_manual(SteadCall *call, GError **error)
{
    gboolean spec = g_strcmp0(stead_call_argument(call, 0), "stead.yaml.5") == 0;
    g_autofree char *text = spec ? stead_help_spec_manual() : stead_help_manual();
    fputs(text, stdout);
    return 0;
}

static int run_readme(SteadCall *call, GError **error)
{
    g_autofree char *text = stead_help_markdown();
    fputs(text, stdout);
    return 0;
}

static const SteadArgument help_arguments[] = {
    {.name = "COMMAND",
     .doc = "the words of a command; 'exits' lists the exit codes",
     .optional = TRUE,
     .many = TRUE,
     .complete = STEAD_COMPLETE_COMMAND},
    {NULL},
};

static const SteadArgument manual_arguments[] = {
    {.name = "PAGE", .doc = "stead.1 or stead.yaml.5", .optional = TRUE},
    {NULL},
};

const SteadCommand stead_cmd_help = {
    .name = "help",
    .section = STEAD_SECTION_HOST,
    .summary = "Show the help of a command",
    .arguments = help_arguments,
    .run = stead_help_run,
};

const SteadCommand stead_cmd_manual = {
    .name = "__man",
    .section = STEAD_SECTION_HIDDEN,
    .summary = "Print a manual page's source",
    .arguments = manual_arguments,
    .run = run_manual,
};

const SteadCommand stead_cmd_readme = {
    .name = "__readme",
    .section = STEAD_SECTION_HIDDEN,
    .summary = "Print the table of commands as Markdown",
    .run = run_readme,
};
