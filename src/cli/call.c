/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines, in GNU style: options may stand anywhere before "--", as --name VALUE,
 * --name=VALUE, -n VALUE or -nVALUE; flags of one letter may be joined (-ft). The command's words
 * come first. For a command that passes the rest on (exec), the words after "--", or from the
 * second argument on, are arguments untouched.
 */
#include "cli/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/near.h"
#include "base/units.h"

/* The most commands or options that one group or command has, for looking up near words. */
#define MAX_WORDS_NEAR 128

typedef struct {
    const SteadOption *option;
    GPtrArray *values; /* char *, as given */
    guint64 number;    /* NUMBER, SIZE, DURATION: the last value */
} Given;

struct _SteadCall {
    const SteadCommand *command;
    gboolean help;
    GPtrArray *given;     /* Given */
    GPtrArray *arguments; /* char *, NULL-terminated at the end of parsing */
    guint n_arguments;
    SteadClient *client;
};

static void given_free(gpointer data)
{
    Given *given = data;
    g_ptr_array_unref(given->values);
    g_free(given);
}

static SteadCall *call_new(void)
{
    SteadCall *call = g_new0(SteadCall, 1);
    call->given = g_ptr_array_new_with_free_func(given_free);
    call->arguments = g_ptr_array_new_with_free_func(g_free);
    return call;
}

void stead_call_free(SteadCall *call)
{
    if (call == NULL)
        return;
    g_ptr_array_unref(call->given);
    g_ptr_array_unref(call->arguments);
    stead_client_free(call->client);
    g_free(call);
}

/* --- finding the command --- */

/* "Did you mean" among the words that can stand after `group` (NULL: the first word). */
static char *near_command(const char *word, const SteadCommand *group)
{
    const char *words[MAX_WORDS_NEAR];
    gsize n = 0;
    for (gsize i = 0; i < stead_n_commands && n < MAX_WORDS_NEAR; i++) {
        const SteadCommand *command = stead_commands[i];
        if (command->section == STEAD_SECTION_HIDDEN)
            continue;
        if (group == NULL && strchr(command->name, ' ') == NULL)
            words[n++] = command->name;
        else if (group != NULL && stead_command_is_in(command, group))
            words[n++] = strchr(command->name, ' ') + 1;
    }
    const char *near = stead_near(word, words, n);
    g_autofree char *prefix = group ? g_strconcat(group->name, " ", NULL) : g_strdup("");
    if (near != NULL)
        return g_strdup_printf("Did you mean 'stead %s%s'?", prefix, near);
    return g_strdup_printf("'stead %s--help' lists the commands.", prefix);
}

static gboolean unknown_command(const char *word, const SteadCommand *group, GError **error)
{
    g_autofree char *hint = near_command(word, group);
    stead_set_error(error, STEAD_ERROR_INVALID, hint, "there is no command 'stead %s%s%s'",
                    group ? group->name : "", group ? " " : "", word);
    return FALSE;
}

/* Sets call->command from the leading words; *used is how many of them it took. */
static gboolean find_command(SteadCall *call, int argc, const char *const argv[], int *used,
                             GError **error)
{
    *used = 0;
    if (argc < 2 || argv[1][0] == '-')
        return TRUE;
    call->command = stead_command_find(argv[1]);
    if (call->command == NULL || strchr(argv[1], ' ') != NULL)
        return unknown_command(argv[1], NULL, error);
    *used = 1;
    if (call->command->run != NULL || argc < 3 || argv[2][0] == '-')
        return TRUE;
    g_autofree char *name = g_strconcat(argv[1], " ", argv[2], NULL);
    const SteadCommand *member = stead_command_find(name);
    if (member == NULL)
        return unknown_command(argv[2], call->command, error);
    call->command = member;
    *used = 2;
    return TRUE;
}

/* --- options --- */

static const SteadOption *find_option(const SteadCommand *command, const char *name, gsize length)
{
    for (const SteadOption *o = command ? command->options : NULL; o != NULL && o->name; o++)
        if (strlen(o->name) == length && strncmp(o->name, name, length) == 0)
            return o;
    return NULL;
}

static const SteadOption *find_letter(const SteadCommand *command, char letter)
{
    for (const SteadOption *o = command ? command->options : NULL; o != NULL && o->name; o++)
        if (o->letter != '\0' && o->letter == letter)
            return o;
    return NULL;
}

static gboolean unknown_option(const SteadCall *call, const char *word, const char *name,
                               GError **error)
{
    const char *words[MAX_WORDS_NEAR] = {"help"};
    gsize n = 1;
    const SteadOption *options = call->command ? call->command->options : NULL;
    for (; options != NULL && options->name != NULL && n < MAX_WORDS_NEAR; options++)
        words[n++] = options->name;
    const char *near = stead_near(name, words, n);
    const char *command = call->command ? call->command->name : "";
    const char *space = call->command ? " " : "";
    g_autofree char *hint =
        near ? g_strdup_printf("Did you mean '--%s'?", near)
             : g_strdup_printf("'stead%s%s --help' lists the options.", space, command);
    stead_set_error(error, STEAD_ERROR_INVALID, hint, "'stead%s%s' has no option '%s'", space,
                    command, word);
    return FALSE;
}

static gboolean is_choice(const char *choices, const char *value)
{
    g_auto(GStrv) words = g_strsplit(choices, "|", -1);
    return g_strv_contains((const char *const *)words, value);
}

/* Checks `value` by the option's type; *number gets what it stands for. */
static gboolean read_value(const SteadOption *option, const char *value, guint64 *number,
                           GError **error)
{
    switch (option->type) {
    case STEAD_OPTION_FLAG:
        return TRUE;
    case STEAD_OPTION_TEXT:
    case STEAD_OPTION_LIST:
        if (*value == '\0')
            stead_set_error(error, STEAD_ERROR_INVALID, NULL, "it is empty");
        return *value != '\0';
    case STEAD_OPTION_NUMBER:
        if (g_ascii_string_to_unsigned(value, 10, 0, G_MAXINT64, number, NULL))
            return TRUE;
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "'%.64s' is not a whole number", value);
        return FALSE;
    case STEAD_OPTION_SIZE:
        return stead_parse_size(value, number, error);
    case STEAD_OPTION_DURATION:
        return stead_parse_duration(value, number, error);
    case STEAD_OPTION_CHOICE:
        if (is_choice(option->choices, value))
            return TRUE;
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "'%.64s' is not one of %s", value,
                        option->choices);
        return FALSE;
    }
    return FALSE;
}

static Given *given_of(const SteadCall *call, const SteadOption *option)
{
    for (guint i = 0; i < call->given->len; i++) {
        Given *given = g_ptr_array_index(call->given, i);
        if (given->option == option)
            return given;
    }
    return NULL;
}

static gboolean give(SteadCall *call, const SteadOption *option, const char *value, GError **error)
{
    guint64 number = 0;
    if (!read_value(option, value, &number, error)) {
        g_prefix_error(error, "--%s: ", option->name);
        return FALSE;
    }
    Given *given = given_of(call, option);
    gint n = given ? (gint)given->values->len : 0;
    if (given == NULL) {
        given = g_new0(Given, 1);
        given->option = option;
        given->values = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(call->given, given);
    }
    /* values is NULL-terminated; the last one of an option that is no list counts. */
    g_ptr_array_set_size(given->values, option->type == STEAD_OPTION_LIST ? MAX(n, 1) - 1 : 0);
    g_ptr_array_add(given->values, g_strdup(value));
    g_ptr_array_add(given->values, NULL);
    given->number = number;
    return TRUE;
}

static gboolean missing_value(const SteadOption *option, GError **error)
{
    stead_set_error(error, STEAD_ERROR_INVALID, NULL, "--%s needs a value: --%s %s", option->name,
                    option->name, option->metavar ? option->metavar : option->choices);
    return FALSE;
}

/* --name, --name=VALUE or --name VALUE; *next is the word after it, moved on when used up. */
static gboolean read_long(SteadCall *call, const char *word, const char *const **next,
                          GError **error)
{
    const char *name = word + 2;
    const char *equals = strchr(name, '=');
    gsize length = equals ? (gsize)(equals - name) : strlen(name);
    if (length == 4 && strncmp(name, "help", 4) == 0 && equals == NULL) {
        call->help = TRUE;
        return TRUE;
    }
    const SteadOption *option = find_option(call->command, name, length);
    if (option == NULL) {
        g_autofree char *bare = g_strndup(name, length);
        return unknown_option(call, word, bare, error);
    }
    if (option->type == STEAD_OPTION_FLAG) {
        if (equals == NULL)
            return give(call, option, "", error);
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "--%s takes no value", option->name);
        return FALSE;
    }
    if (equals != NULL)
        return give(call, option, equals + 1, error);
    if (**next == NULL)
        return missing_value(option, error);
    return give(call, option, *(*next)++, error);
}

/* -f, -ft, -nVALUE or -n VALUE. */
static gboolean read_letters(SteadCall *call, const char *word, const char *const **next,
                             GError **error)
{
    for (const char *p = word + 1; *p != '\0'; p++) {
        if (*p == 'h' && find_letter(call->command, 'h') == NULL) {
            call->help = TRUE;
            continue;
        }
        const SteadOption *option = find_letter(call->command, *p);
        if (option == NULL)
            return unknown_option(call, word, word + 1, error);
        if (option->type == STEAD_OPTION_FLAG) {
            if (!give(call, option, "", error))
                return FALSE;
            continue;
        }
        if (p[1] != '\0')
            return give(call, option, p + 1 + (p[1] == '='), error);
        if (**next == NULL)
            return missing_value(option, error);
        return give(call, option, *(*next)++, error);
    }
    return TRUE;
}

/* --- arguments --- */

static void take_rest(SteadCall *call, const char *const *words)
{
    for (; *words != NULL; words++)
        g_ptr_array_add(call->arguments, g_strdup(*words));
}

/* `stead exec web uname -r`: from the second argument on, the words are another program's. */
static gboolean is_rest(const SteadCall *call, const char *word)
{
    return call->command != NULL && call->command->passes_rest && word[0] != '-' &&
           call->arguments->len > 0;
}

static gboolean read_words(SteadCall *call, const char *const *words, GError **error)
{
    while (*words != NULL) {
        const char *word = *words++;
        gboolean read = TRUE;
        if (strcmp(word, "--") == 0) {
            take_rest(call, words);
            return TRUE;
        }
        if (is_rest(call, word)) {
            take_rest(call, words - 1);
            return TRUE;
        }
        if (g_str_has_prefix(word, "--"))
            read = read_long(call, word, &words, error);
        else if (word[0] == '-' && word[1] != '\0')
            read = read_letters(call, word, &words, error);
        else
            g_ptr_array_add(call->arguments, g_strdup(word));
        if (!read)
            return FALSE;
    }
    return TRUE;
}

static gboolean check_arguments(const SteadCall *call, GError **error)
{
    const SteadCommand *command = call->command;
    guint n = 0;
    const SteadArgument *argument = command->arguments;
    for (; argument != NULL && argument->name != NULL; argument++, n++) {
        if (call->n_arguments <= n && !argument->optional) {
            g_autofree char *hint = g_strdup_printf("'stead %s --help' shows how.", command->name);
            stead_set_error(error, STEAD_ERROR_INVALID, hint, "'stead %s' needs %s: %s",
                            command->name, argument->name, argument->doc);
            return FALSE;
        }
        if (argument->many)
            return TRUE;
    }
    if (call->n_arguments <= n)
        return TRUE;
    g_autofree char *hint = g_strdup_printf("'stead %s --help' shows how.", command->name);
    stead_set_error(error, STEAD_ERROR_INVALID, hint, "'stead %s' does not take '%s'",
                    command->name, stead_call_argument(call, n));
    return FALSE;
}

/* A group without one of its commands, or just `stead`, shows its help. */
static gboolean check_call(SteadCall *call, GError **error)
{
    if (call->help)
        return TRUE;
    if (call->command != NULL && call->command->run != NULL)
        return check_arguments(call, error);
    call->help = TRUE;
    return TRUE;
}

SteadCall *stead_call_parse(int argc, const char *const argv[], GError **error)
{
    g_autoptr(SteadCall) call = call_new();
    int used;
    if (argc > STEAD_MAX_WORDS) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "too many words on the command line");
        return NULL;
    }
    if (!find_command(call, argc, argv, &used, error) ||
        !read_words(call, argv + MIN(argc, 1 + used), error))
        return NULL;
    call->n_arguments = call->arguments->len;
    g_ptr_array_add(call->arguments, NULL);
    return check_call(call, error) ? g_steal_pointer(&call) : NULL;
}

/* --- what the commands ask --- */

const SteadCommand *stead_call_command(const SteadCall *call)
{
    return call->command;
}

gboolean stead_call_help(const SteadCall *call)
{
    return call->help;
}

static const Given *must_find(const SteadCall *call, const char *name)
{
    const SteadOption *option = find_option(call->command, name, strlen(name));
    if (option == NULL)
        g_error("%s has no option --%s", call->command->name, name);
    return given_of(call, option);
}

gboolean stead_call_has(const SteadCall *call, const char *option)
{
    return must_find(call, option) != NULL;
}

gboolean stead_call_flag(const SteadCall *call, const char *option)
{
    return must_find(call, option) != NULL;
}

const char *stead_call_text(const SteadCall *call, const char *option)
{
    const Given *given = must_find(call, option);
    return given ? g_ptr_array_index(given->values, given->values->len - 2) : NULL;
}

GStrv stead_call_list(const SteadCall *call, const char *option)
{
    static char *nothing[] = {NULL};
    const Given *given = must_find(call, option);
    return given ? (GStrv)given->values->pdata : nothing;
}

guint64 stead_call_number(const SteadCall *call, const char *option, guint64 fallback)
{
    const Given *given = must_find(call, option);
    return given ? given->number : fallback;
}

gboolean stead_call_json(const SteadCall *call)
{
    return find_option(call->command, "format", strlen("format")) != NULL &&
           g_strcmp0(stead_call_text(call, "format"), "json") == 0;
}

const char *stead_call_argument(const SteadCall *call, guint n)
{
    return n < call->n_arguments ? g_ptr_array_index(call->arguments, n) : NULL;
}

const char *const *stead_call_arguments(const SteadCall *call, guint from)
{
    return (const char *const *)call->arguments->pdata + MIN(from, call->n_arguments);
}

guint stead_call_n_arguments(const SteadCall *call)
{
    return call->n_arguments;
}

SteadClient *stead_call_client(SteadCall *call, GError **error)
{
    if (call->client == NULL)
        call->client = stead_client_new(error);
    return call->client;
}

JsonNode *stead_call_request(SteadCall *call, const char *method, const char *path, JsonNode *body,
                             GError **error)
{
    SteadClient *client = stead_call_client(call, error);
    return client ? stead_client_call(client, method, path, body, error) : NULL;
}
