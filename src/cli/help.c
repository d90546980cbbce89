/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --help. Two columns, left as wide as its widest entry up to LEFT_MAX; an entry that is wider has
 * its text on the next line.
 */
#include "cli/help.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/text.h"

#define LEFT_MAX 32
#define INDENT 2

static const SteadOption help_option = {.name = "help", .letter = 'h', .doc = "show this help"};
static const SteadOption version_option = {.name = "version", .doc = "show the version"};

char *stead_help_option(const SteadOption *option)
{
    GString *text = g_string_new(NULL);
    if (option->letter != '\0')
        g_string_append_printf(text, "-%c, ", option->letter);
    g_string_append_printf(text, "--%s", option->name);
    if (option->metavar != NULL || option->choices != NULL)
        g_string_append_printf(text, " %s", option->metavar ? option->metavar : option->choices);
    return g_string_free(text, FALSE);
}

char *stead_help_option_text(const SteadOption *option)
{
    return option->fallback ? g_strdup_printf("%s (default: %s)", option->doc, option->fallback)
                            : g_strdup(option->doc);
}

char *stead_help_argument(const SteadArgument *argument)
{
    return g_strconcat(argument->name, argument->many ? "..." : "", NULL);
}

/* What a script needs to know of a class of errors. */
static const char *const exit_docs[] = {
    [STEAD_ERROR_INTERNAL] = "stead itself failed, or nothing below says why",
    [STEAD_ERROR_INVALID] = "the command line or the spec is wrong",
    [STEAD_ERROR_NOT_FOUND] = "there is no such instance, image, network, ...",
    [STEAD_ERROR_CONFLICT] = "the name, address, port or subnet is taken",
    [STEAD_ERROR_STATE] = "it is not possible in the present state",
    [STEAD_ERROR_BUSY] = "something else uses it, or works on it",
    [STEAD_ERROR_EXHAUSTED] = "no space, memory, address or slot is left",
    [STEAD_ERROR_VERIFICATION] = "a checksum or signature does not match",
    [STEAD_ERROR_DENIED] = "you, or the daemon, may not do it",
    [STEAD_ERROR_UNAVAILABLE] = "the daemon, libvirt or a server does not answer",
    [STEAD_ERROR_MISSING] = "a program or file that the host should have is not there",
    [STEAD_ERROR_UNSUPPORTED] = "this host, kind or pool cannot do it",
    [STEAD_ERROR_GUEST] = "the guest, or the agent in it, failed or does not answer",
    [STEAD_ERROR_TIMEOUT] = "it did not happen in the time allowed",
    [STEAD_ERROR_CANCELLED] = "a user cancelled it",
};
G_STATIC_ASSERT(G_N_ELEMENTS(exit_docs) == STEAD_N_ERRORS);

char *stead_help_exit(SteadErrorCode code)
{
    return g_strdup_printf("%s: %s", stead_error_code_name(code), exit_docs[code]);
}

char *stead_help_usage(const SteadCommand *command)
{
    GString *text = g_string_new("stead");
    if (command == NULL) {
        g_string_append(text, " COMMAND [OPTIONS] [ARGUMENTS]");
        return g_string_free(text, FALSE);
    }
    g_string_append_printf(text, " %s", command->name);
    if (command->run == NULL)
        g_string_append(text, " COMMAND");
    if (command->options != NULL)
        g_string_append(text, " [OPTIONS]");
    const SteadArgument *argument = command->arguments;
    for (guint n = 0; argument != NULL && argument->name != NULL; argument++, n++) {
        g_autofree char *name = stead_help_argument(argument);
        const char *dashes = command->passes_rest && n == 1 ? "-- " : "";
        g_string_append_printf(text, argument->optional ? " [%s%s]" : " %s%s", dashes, name);
    }
    return g_string_free(text, FALSE);
}

/* --- two columns --- */

typedef struct {
    GPtrArray *left;
    GPtrArray *right;
} Rows;

static Rows rows_new(void)
{
    return (Rows){g_ptr_array_new_with_free_func(g_free), g_ptr_array_new_with_free_func(g_free)};
}

/* Takes both texts over. */
static void rows_add(Rows *rows, char *left, char *right)
{
    g_ptr_array_add(rows->left, left);
    g_ptr_array_add(rows->right, right);
}

static guint left_width(const Rows *rows)
{
    guint widest = 0;
    for (guint i = 0; i < rows->left->len; i++) {
        guint width = stead_text_width(g_ptr_array_index(rows->left, i));
        if (width <= LEFT_MAX)
            widest = MAX(widest, width);
    }
    return widest;
}

static void put_rows(GString *out, Rows *rows)
{
    guint width = left_width(rows), column = INDENT + width + 2;
    for (guint i = 0; i < rows->left->len; i++) {
        const char *left = g_ptr_array_index(rows->left, i);
        g_autoptr(GString) right = g_string_new(NULL);
        stead_text_wrap(right, g_ptr_array_index(rows->right, i), column, STEAD_HELP_COLUMNS);
        if (stead_text_width(left) > width) {
            g_string_append_printf(out, "%*s%s\n%s", INDENT, "", left, right->str);
            continue;
        }
        g_string_append_printf(out, "%*s", INDENT, "");
        stead_text_pad(out, left, width + 2);
        g_string_append(out, right->str + MIN(column, right->len));
    }
    g_ptr_array_unref(rows->left);
    g_ptr_array_unref(rows->right);
}

/* --- the parts of a page --- */

static void put_arguments(GString *out, const SteadCommand *command)
{
    if (command->arguments == NULL)
        return;
    Rows rows = rows_new();
    for (const SteadArgument *a = command->arguments; a->name != NULL; a++)
        rows_add(&rows, stead_help_argument(a), g_strdup(a->doc));
    g_string_append(out, "\nArguments:\n");
    put_rows(out, &rows);
}

static void add_option(Rows *rows, const SteadOption *option)
{
    g_autofree char *left = stead_help_option(option);
    /* Options without a letter stand below the others' long names. */
    char *aligned = option->letter != '\0' ? g_strdup(left) : g_strconcat("    ", left, NULL);
    rows_add(rows, aligned, stead_help_option_text(option));
}

static void put_options(GString *out, const SteadCommand *command)
{
    Rows rows = rows_new();
    for (const SteadOption *o = command ? command->options : NULL; o && o->name != NULL; o++)
        add_option(&rows, o);
    add_option(&rows, &help_option);
    if (command == NULL)
        add_option(&rows, &version_option);
    g_string_append(out, "\nOptions:\n");
    put_rows(out, &rows);
}

static void put_members(GString *out, const SteadCommand *group)
{
    Rows rows = rows_new();
    for (gsize i = 0; i < stead_n_commands; i++)
        if (stead_command_is_in(stead_commands[i], group))
            rows_add(&rows, g_strdup(strchr(stead_commands[i]->name, ' ') + 1),
                     g_strdup(stead_commands[i]->summary));
    g_string_append(out, "\nCommands:\n");
    put_rows(out, &rows);
}

static void put_examples(GString *out, const SteadCommand *command)
{
    if (command->examples == NULL)
        return;
    g_string_append(out, "\nExamples:\n");
    for (const SteadExample *example = command->examples; example->command != NULL; example++) {
        stead_text_wrap(out, example->doc, INDENT, STEAD_HELP_COLUMNS);
        g_string_append_printf(out, "%*s%s\n", 2 * INDENT, "", example->command);
    }
}

static void put_exits(GString *out, const SteadCommand *command)
{
    if (command->exits == NULL)
        return;
    Rows rows = rows_new();
    for (const SteadExit *exits = command->exits; exits->doc != NULL; exits++)
        rows_add(&rows, g_strdup_printf("%d", exits->code), g_strdup(exits->doc));
    g_string_append(out, "\nExit codes (others: 'stead help exits'):\n");
    put_rows(out, &rows);
}

static void put_sections(GString *out)
{
    for (int section = 0; section < STEAD_SECTION_HIDDEN; section++) {
        Rows rows = rows_new();
        for (gsize i = 0; i < stead_n_commands; i++)
            if (stead_commands[i]->section == (SteadSection)section &&
                strchr(stead_commands[i]->name, ' ') == NULL)
                rows_add(&rows, g_strdup(stead_commands[i]->name),
                         g_strdup(stead_commands[i]->summary));
        g_string_append_printf(out, "\n%s:\n", stead_section_titles[section]);
        put_rows(out, &rows);
    }
}

static char *whole_help(void)
{
    GString *out = g_string_new("stead: a spec becomes running virtual machines.\n\n");
    g_string_append(out, "Usage: stead COMMAND [OPTIONS] [ARGUMENTS]\n");
    put_sections(out);
    put_options(out, NULL);
    g_string_append(out,
                    "\nBegin with 'stead doctor', then 'stead run --name web debian:12'.\n"
                    "'stead COMMAND --help' tells more of a command; 'man stead' tells all.\n");
    return g_string_free(out, FALSE);
}

char *stead_help_text(const SteadCommand *command)
{
    if (command == NULL)
        return whole_help();
    GString *out = g_string_new(NULL);
    g_autofree char *usage = stead_help_usage(command);
    g_string_append_printf(out, "%s.\n\nUsage: %s\n", command->summary, usage);
    if (command->description != NULL) {
        g_string_append_c(out, '\n');
        stead_text_wrap(out, command->description, 0, STEAD_HELP_COLUMNS);
    }
    if (command->run == NULL)
        put_members(out, command);
    put_arguments(out, command);
    put_options(out, command);
    put_examples(out, command);
    put_exits(out, command);
    return g_string_free(out, FALSE);
}

/* --- the command --- */

/* The table of exit codes, from the errors' own. */
static char *exits_text(void)
{
    GString *out = g_string_new("Exit codes of stead:\n\n");
    Rows rows = rows_new();
    rows_add(&rows, g_strdup("0"), g_strdup("done"));
    for (int code = 0; code < STEAD_N_ERRORS; code++)
        rows_add(&rows, g_strdup_printf("%d", stead_error_exit_code((SteadErrorCode)code)),
                 stead_help_exit((SteadErrorCode)code));
    rows_add(&rows, g_strdup("130"), g_strdup("ended with Ctrl-C; what was begun goes on"));
    put_rows(out, &rows);
    return g_string_free(out, FALSE);
}

int stead_help_run(SteadCall *call, GError **error)
{
    g_autofree char *name = g_strjoinv(" ", (char **)stead_call_arguments(call, 0));
    g_autofree char *text = NULL;
    if (strcmp(name, "exits") == 0) {
        text = exits_text();
    } else {
        const SteadCommand *command = stead_command_find(name);
        if (command == NULL && *name != '\0') {
            stead_set_error(error, STEAD_ERROR_INVALID, "'stead --help' lists the commands.",
                            "there is no command 'stead %s'", name);
            return 2;
        }
        text = stead_help_text(command);
    }
    fputs(text, stdout);
    return 0;
}
