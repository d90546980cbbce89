/* SPDX-License-Identifier: Apache-2.0 */
/* Help, manual pages and README's table, as texts made from the table of commands. Pure. */
#pragma once

#include "base/error.h"
#include "cli/command.h"

/* Help is laid out for this width. */
#define STEAD_HELP_COLUMNS 96

/* `stead CMD --help`; NULL for `stead --help`. Owned by the caller. */
char *stead_help_text(const SteadCommand *command);

/* "stead snapshot create [OPTIONS] NAME SNAPSHOT". Owned by the caller. */
char *stead_help_usage(const SteadCommand *command);

/* "NAME", "NAME..." where it takes all that follow. Owned by the caller. */
char *stead_help_argument(const SteadArgument *argument);

/* "-f, --follow", "--size SIZE", "--format table|json". Owned by the caller. */
char *stead_help_option(const SteadOption *option);

/* The option's text with its default, if it has one. Owned by the caller. */
char *stead_help_option_text(const SteadOption *option);

/* "not-found: there is no such instance, ...": what the exit code of an error means. Owned by the
 * caller. */
char *stead_help_exit(SteadErrorCode code);

/* stead(1) and stead.yaml(5) as man(7) source. Owned by the caller. */
char *stead_help_manual(void);
char *stead_help_spec_manual(void);

/* The commands as a Markdown table. Owned by the caller. */
char *stead_help_markdown(void);

/* Prints the help of the command of these words (none: the whole). NOT_FOUND → INVALID. */
int stead_help_run(SteadCall *call, GError **error);
