/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command is. Each cmd_*.c defines constant SteadCommands; commands.c lists them all in the
 * order of the help. Parsing, --help, completion, the manual page and README's table come from
 * these tables and from nowhere else.
 */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>

#include "cli/client.h"

/* What a shell offers for a word. The names in commands.c (stead_complete_names) are the KINDs of
 * `stead __complete KIND`. */
typedef enum {
    STEAD_COMPLETE_NONE,
    STEAD_COMPLETE_INSTANCE,
    STEAD_COMPLETE_IMAGE,
    STEAD_COMPLETE_CATALOGUE,
    STEAD_COMPLETE_NETWORK,
    STEAD_COMPLETE_VOLUME,
    STEAD_COMPLETE_SNAPSHOT, /* of the instance that is named before it */
    STEAD_COMPLETE_JOB,
    STEAD_COMPLETE_PROJECT,
    STEAD_COMPLETE_FILE,
    STEAD_COMPLETE_COMMAND,
    STEAD_COMPLETE_TEMPLATE,
    STEAD_N_COMPLETES
} SteadComplete;

extern const char *const stead_complete_names[STEAD_N_COMPLETES];

/* How an option's value is read; what does not read is refused before the command runs. */
typedef enum {
    STEAD_OPTION_FLAG,     /* no value */
    STEAD_OPTION_TEXT,     /* any text that is not empty */
    STEAD_OPTION_LIST,     /* text; may be repeated */
    STEAD_OPTION_NUMBER,   /* a whole number, at least 0 */
    STEAD_OPTION_SIZE,     /* "20G" */
    STEAD_OPTION_DURATION, /* "90s" */
    STEAD_OPTION_CHOICE    /* one of `choices` */
} SteadOptionType;

typedef struct {
    const char *name; /* long, without dashes; NULL ends a table */
    char letter;      /* '\0': none */
    SteadOptionType type;
    const char *metavar;  /* "SIZE"; NULL for flags and choices */
    const char *doc;      /* begins in lower case, no full stop */
    const char *fallback; /* the default in words or as a value; NULL: none */
    const char *choices;  /* "table|json" */
    SteadComplete complete;
} SteadOption;

typedef struct {
    const char *name; /* "NAME"; NULL ends a table */
    const char *doc;
    gboolean optional;
    gboolean many; /* takes all that follow; the last one only */
    SteadComplete complete;
} SteadArgument;

typedef struct {
    const char *command; /* NULL ends a table */
    const char *doc;
} SteadExample;

typedef struct {
    int code;
    const char *doc; /* NULL ends a table */
} SteadExit;

/* Under which heading of `stead --help` a command stands. */
typedef enum {
    STEAD_SECTION_SPEC,
    STEAD_SECTION_INSTANCE,
    STEAD_SECTION_INSIDE,
    STEAD_SECTION_STORE,
    STEAD_SECTION_HOST,
    STEAD_SECTION_HIDDEN, /* for scripts of stead's own */
    STEAD_N_SECTIONS
} SteadSection;

typedef struct _SteadCall SteadCall;
typedef struct SteadCollection SteadCollection; /* cli/collection.h */

/*
 * Does the work. Returns the exit code. When *error is set, the entry point prints it and exits
 * with the code of its class instead.
 */
typedef int (*SteadCommandFunc)(SteadCall *call, GError **error);

typedef struct {
    const char *name; /* all its words: "snapshot create" */
    SteadSection section;
    const char *summary;               /* one line, begins with a capital, no full stop */
    const char *description;           /* paragraphs, separated by an empty line; NULL */
    const SteadArgument *arguments;    /* NULL: none */
    const SteadOption *options;        /* NULL: none but --help */
    const SteadExample *examples;      /* NULL */
    const SteadExit *exits;            /* NULL: the general ones */
    const SteadCollection *collection; /* what it lists, shows or removes; NULL: `run` knows */
    SteadCommandFunc run;              /* NULL: a group, whose commands have it as first word */
    gboolean passes_rest; /* all from the second argument on is passed on, dashes and all */
} SteadCommand;

/* Every command, groups before their members. */
extern const SteadCommand *const stead_commands[];
extern const gsize stead_n_commands;
extern const char *const stead_section_titles[STEAD_N_SECTIONS];

/* The command of that whole name; NULL when there is none. */
const SteadCommand *stead_command_find(const char *name);

/* Whether `command` is a member of `group` ("snapshot create" of "snapshot"). */
gboolean stead_command_is_in(const SteadCommand *command, const SteadCommand *group);

/* The option that every command that shows things has. */
#define STEAD_FORMAT_OPTION                                                                        \
    {                                                                                              \
        .name = "format", .type = STEAD_OPTION_CHOICE, .choices = "table|json",                    \
        .doc = "what to print", .fallback = "table"                                                \
    }
/* Whole tables of options: it alone; and with --quiet, for lists of things with names. */
extern const SteadOption stead_format_options[];
extern const SteadOption stead_list_options[];

/* --- a call: the parsed command line of the command that runs --- */

/* The longest command line, in words. */
#define STEAD_MAX_WORDS 65536

/*
 * Finds the command and reads its options and arguments. argv[0] is the program. INVALID with the
 * nearest word as hint when something does not fit. `--help` (also `help CMD`) is left to the
 * caller: stead_call_help() tells.
 */
SteadCall *stead_call_parse(int argc, const char *const argv[], GError **error);
void stead_call_free(SteadCall *call);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadCall, stead_call_free)

const SteadCommand *stead_call_command(const SteadCall *call); /* NULL: just `stead` */
gboolean stead_call_help(const SteadCall *call);               /* --help was given */

/* Options by long name; asking for one that the command does not have is a defect (aborts). */
gboolean stead_call_flag(const SteadCall *call, const char *option);
const char *stead_call_text(const SteadCall *call, const char *option); /* NULL: not given */
GStrv stead_call_list(const SteadCall *call,
                      const char *option); /* owned by the call; maybe empty */
/* A NUMBER, SIZE (bytes) or DURATION (ms); `fallback` when not given. */
guint64 stead_call_number(const SteadCall *call, const char *option, guint64 fallback);
gboolean stead_call_has(const SteadCall *call, const char *option);
gboolean stead_call_json(const SteadCall *call); /* --format json; FALSE without the option */

/* Arguments: the nth, NULL past the end; and all from the nth on, NULL-terminated. */
const char *stead_call_argument(const SteadCall *call, guint n);
const char *const *stead_call_arguments(const SteadCall *call, guint from);
guint stead_call_n_arguments(const SteadCall *call);

/* The connection to the daemon, made at first use; owned by the call. NULL with an error when
 * STEAD_ROOT is not usable; whether the daemon answers shows in the first request. */
SteadClient *stead_call_client(SteadCall *call, GError **error);

/* As stead_client_call() on the call's own client. */
JsonNode *stead_call_request(SteadCall *call, const char *method, const char *path, JsonNode *body,
                             GError **error);
