/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manual pages as man(7) source, and README's table. Every text of the tables stands in the page as
 * it does in --help. Each passes escape(), since a dot at the
 * begin of a line, a backslash or a dash means something to roff.
 */
#include "cli/help.h"

#include <string.h>

#include "base/error.h"
#include "model/roff.h"
#include "model/spec.h"

static void line(GString *out, const char *request, const char *text)
{
    g_string_append(out, request);
    stead_roff_append(out, text);
    g_string_append_c(out, '\n');
}

static void paragraphs(GString *out, const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, "\n\n", -1);
    for (char **part = parts; *part != NULL; part++) {
        g_string_append(out, ".PP\n");
        line(out, "", *part);
    }
}

/* A tagged paragraph. */
static void item(GString *out, const char *tag, const char *text)
{
    g_string_append(out, ".TP\n");
    line(out, ".B ", tag);
    line(out, "", text);
}

static void put_options(GString *out, const SteadCommand *command)
{
    for (const SteadOption *o = command->options; o != NULL && o->name != NULL; o++) {
        g_autofree char *tag = stead_help_option(o);
        g_autofree char *text = stead_help_option_text(o);
        item(out, tag, text);
    }
}

static void put_arguments(GString *out, const SteadCommand *command)
{
    for (const SteadArgument *a = command->arguments; a != NULL && a->name != NULL; a++) {
        g_autofree char *tag = stead_help_argument(a);
        item(out, tag, a->doc);
    }
}

static void put_examples(GString *out, const SteadCommand *command)
{
    for (const SteadExample *e = command->examples; e != NULL && e->command != NULL; e++) {
        g_string_append(out, ".PP\n");
        line(out, "", e->doc);
        g_string_append(out, ".PP\n.RS 4\n.nf\n");
        line(out, "", e->command);
        g_string_append(out, ".fi\n.RE\n");
    }
}

static void put_exits(GString *out, const SteadCommand *command)
{
    if (command->exits == NULL)
        return;
    GString *text = g_string_new("Exit codes of note:");
    for (const SteadExit *e = command->exits; e->doc != NULL; e++)
        g_string_append_printf(text, "%s %d: %s", e == command->exits ? "" : ";", e->code, e->doc);
    g_string_append_c(text, '.');
    paragraphs(out, text->str);
    g_string_free(text, TRUE);
}

static void put_command(GString *out, const SteadCommand *command)
{
    g_autofree char *usage = stead_help_usage(command);
    g_autofree char *summary = g_strconcat(command->summary, ".", NULL);
    line(out, ".SS ", usage);
    line(out, "", summary);
    if (command->description != NULL)
        paragraphs(out, command->description);
    put_arguments(out, command);
    put_options(out, command);
    put_examples(out, command);
    put_exits(out, command);
}

static void put_all_exits(GString *out)
{
    g_string_append(out, ".SH EXIT STATUS\n");
    item(out, "0", "done");
    for (int code = 0; code < STEAD_N_ERRORS; code++) {
        g_autofree char *tag = g_strdup_printf("%d", stead_error_exit_code((SteadErrorCode)code));
        g_autofree char *text = stead_help_exit((SteadErrorCode)code);
        item(out, tag, text);
    }
    item(out, "130", "ended with Ctrl-C; what was begun goes on");
}

static void put_environment(GString *out)
{
    g_string_append(out, ".SH ENVIRONMENT\n");
    item(out, "STEAD_ROOT",
         "A folder below which the daemon keeps everything, instead of /var/lib/stead and "
         "/run/stead; so several daemons run side by side.");
    item(out, "STEAD_DAEMON", "The program of the daemon, for 'stead daemon start' and doctor.");
    item(out, "NO_COLOR", "No colours when it is set and not empty.");
    g_string_append(out, ".SH FILES\n");
    item(out, "/run/stead/stead.sock", "The daemon's socket, for root and the group stead.");
    item(out, "/var/lib/stead", "Records, images and disks.");
    g_string_append(out, ".SH SEE ALSO\n.BR stead.yaml (5),\n.BR virsh (1),\n"
                         ".BR cloud\\-init (1)\n");
}

char *stead_help_manual(void)
{
    GString *out = g_string_new(".\\\" SPDX-License-Identifier: Apache-2.0\n"
                                ".TH STEAD 1 \"\" \"stead " STEAD_VERSION "\" \"User Commands\"\n"
                                ".SH NAME\nstead \\- a spec becomes running virtual machines\n"
                                ".SH SYNOPSIS\n.B stead\n.I COMMAND\n[\\fIOPTIONS\\fR]"
                                " [\\fIARGUMENTS\\fR]\n.SH DESCRIPTION\n");
    paragraphs(out,
               "stead turns a Linux host into a virtual edge node: it makes, runs, watches and "
               "removes virtual machines, from a spec or from the command line, with or "
               "without hardware virtualization. This command talks to the daemon over its "
               "socket.\n\nOptions may stand anywhere before --. Each command has --help, and "
               "stead itself --version. "
               "Where a command waits, Ctrl-C ends the waiting, and what was begun goes on. "
               "Lists have --format json, which prints what the API answers.");
    for (int section = 0; section < STEAD_SECTION_HIDDEN; section++) {
        g_autofree char *title = g_ascii_strup(stead_section_titles[section], -1);
        line(out, ".SH ", title);
        for (gsize i = 0; i < stead_n_commands; i++)
            if (stead_commands[i]->section == (SteadSection)section)
                put_command(out, stead_commands[i]);
    }
    put_all_exits(out);
    put_environment(out);
    return g_string_free(out, FALSE);
}

char *stead_help_spec_manual(void)
{
    g_autofree char *body = stead_spec_manual();
    return g_strconcat(".\\\" SPDX-License-Identifier: Apache-2.0\n"
                       ".TH STEAD.YAML 5 \"\" \"stead " STEAD_VERSION "\" \"File Formats\"\n"
                       ".SH NAME\nstead.yaml \\- what \\fBstead up\\fR brings up\n"
                       ".SH DESCRIPTION\nA spec in YAML or JSON: instances, networks and volumes "
                       "under one name, the project.\n"
                       "Only what differs from the defaults has to be said.\n",
                       body, ".SH SEE ALSO\n.BR stead (1)\n", NULL);
}

char *stead_help_markdown(void)
{
    GString *out = g_string_new("| command | what it does |\n|---|---|\n");
    for (gsize i = 0; i < stead_n_commands; i++) {
        const SteadCommand *command = stead_commands[i];
        if (command->run == NULL || command->section == STEAD_SECTION_HIDDEN)
            continue;
        g_autofree char *usage = stead_help_usage(command);
        g_auto(GStrv) parts = g_strsplit(usage, "|", -1);
        g_autofree char *escaped = g_strjoinv("\\|", parts);
        g_string_append_printf(out, "| `%s` | %s |\n", escaped, command->summary);
    }
    return g_string_free(out, FALSE);
}
