/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completion. The shells' scripts are thin: each asks `stead __complete -- WORD...`, which answers
 * a line a candidate ("word<TAB>what it is"), or ":file" for names of files. Names of instances
 * and the like come from the daemon, which has a second to answer; a failure prints nothing.
 */
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/candidates.h"
#include "cli/json.h"
#include "cli/text.h"

#define TIMEOUT_SECONDS 1

static const char bash_script[] =
    "# bash completion for stead; load it with: source <(stead completion bash)\n"
    "_stead()\n"
    "{\n"
    "    local cur cword words line\n"
    "    if declare -F _get_comp_words_by_ref > /dev/null; then\n"
    "        _get_comp_words_by_ref -n := cur words cword\n"
    "    else\n"
    "        cur=${COMP_WORDS[COMP_CWORD]} cword=$COMP_CWORD words=(\"${COMP_WORDS[@]}\")\n"
    "    fi\n"
    "    COMPREPLY=()\n"
    "    while IFS= read -r line; do\n"
    "        if [[ $line == :file ]]; then\n"
    "            compopt -o filenames 2> /dev/null\n"
    "            while IFS= read -r line; do\n"
    "                COMPREPLY+=(\"$line\")\n"
    "            done < <(compgen -f -- \"$cur\")\n"
    "        else\n"
    "            COMPREPLY+=(\"${line%%$'\\t'*}\")\n"
    "        fi\n"
    "    done < <(stead __complete -- \"${words[@]:1:cword}\" 2> /dev/null)\n"
    "    if declare -F __ltrim_colon_completions > /dev/null; then\n"
    "        __ltrim_colon_completions \"$cur\"\n"
    "    fi\n"
    "}\n"
    "complete -F _stead stead\n";

static const char zsh_script[] =
    "#compdef stead\n"
    "# zsh completion for stead; load it with: source <(stead completion zsh)\n"
    "_stead()\n"
    "{\n"
    "    local line\n"
    "    local -a lines described\n"
    "    lines=(\"${(@f)$(stead __complete -- \"${(@)words[2,CURRENT]}\" 2> /dev/null)}\")\n"
    "    for line in $lines; do\n"
    "        if [[ $line == :file ]]; then\n"
    "            _files\n"
    "        elif [[ $line == *$'\\t'* ]]; then\n"
    "            described+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\")\n"
    "        elif [[ -n $line ]]; then\n"
    "            described+=(\"${line//:/\\\\:}\")\n"
    "        fi\n"
    "    done\n"
    "    (( ${#described} )) && _describe stead described\n"
    "}\n"
    "if [[ $funcstack[1] == _stead ]]; then\n"
    "    _stead \"$@\"\n"
    "else\n"
    "    compdef _stead stead\n"
    "fi\n";

static const char fish_script[] =
    "# fish completion for stead; load it with: stead completion fish | source\n"
    "function __stead_complete\n"
    "    set -l words (commandline -opc)\n"
    "    set -l current (commandline -ct)\n"
    "    for line in (stead __complete -- $words[2..-1] \"$current\" 2> /dev/null)\n"
    "        if test \"$line\" = ':file'\n"
    "            __fish_complete_path \"$current\"\n"
    "        else\n"
    "            echo $line\n"
    "        end\n"
    "    end\n"
    "end\n"
    "complete -c stead -f -a '(__stead_complete)'\n";

static const struct {
    const char *shell, *script;
} scripts[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};

static int run_completion(SteadCall *call, GError **error)
{
    const char *shell = stead_call_argument(call, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(scripts); i++)
        if (strcmp(shell, scripts[i].shell) == 0) {
            fputs(scripts[i].script, stdout);
            return 0;
        }
    stead_set_error(error, STEAD_ERROR_INVALID, "Say bash, zsh or fish.",
                    "there is no completion for the shell '%s'", shell);
    return 2;
}

/* --- names that the daemon knows --- */

/* Where a kind's names are; the instance's name is put in for %s. */
static const struct {
    SteadComplete kind;
    const char *path, *member;
} sources[] = {
    {STEAD_COMPLETE_INSTANCE, "/v1/instances", "name"},
    {STEAD_COMPLETE_PROJECT, "/v1/instances", "project"},
    {STEAD_COMPLETE_IMAGE, "/v1/images", "name"},
    {STEAD_COMPLETE_IMAGE, "/v1/catalogue", "name"},
    {STEAD_COMPLETE_CATALOGUE, "/v1/catalogue", "name"},
    {STEAD_COMPLETE_NETWORK, "/v1/networks", "name"},
    {STEAD_COMPLETE_VOLUME, "/v1/volumes", "name"},
    {STEAD_COMPLETE_TEMPLATE, "/v1/templates", "name"},
    {STEAD_COMPLETE_JOB, "/v1/jobs?active=1", "id"},
};

static void take_names(JsonNode *list, const char *member, const char *typed, GHashTable *names)
{
    for (guint i = 0; i < stead_json_length(list); i++) {
        const char *text = stead_json_text(stead_json_element(list, i), member);
        if (text != NULL && g_str_has_prefix(text, typed))
            g_hash_table_add(names, stead_clean(text));
    }
}

static void ask(SteadClient *client, const char *path, const char *member, const char *typed,
                GHashTable *names)
{
    g_autoptr(JsonNode) list = stead_client_call(client, "GET", path, NULL, NULL);
    take_names(list, member, typed, names);
}

static void ask_all(SteadClient *client, const SteadCandidates *candidates, const char *typed,
                    GHashTable *names)
{
    for (gsize i = 0; i < G_N_ELEMENTS(sources); i++)
        if (sources[i].kind == candidates->kind)
            ask(client, sources[i].path, sources[i].member, typed, names);
    if (candidates->kind == STEAD_COMPLETE_SNAPSHOT && candidates->context != NULL) {
        g_autofree char *path =
            stead_client_path("instances", candidates->context, "snapshots", NULL);
        ask(client, path, "name", typed, names);
    }
}

static void print_names(SteadCall *call, const SteadCandidates *candidates, const char *typed)
{
    SteadClient *client = stead_call_client(call, NULL);
    if (client == NULL)
        return;
    stead_client_set_timeout(client, TIMEOUT_SECONDS);
    g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    ask_all(client, candidates, typed, names);
    g_autoptr(GList) sorted = g_list_sort(g_hash_table_get_keys(names), (GCompareFunc)strcmp);
    for (GList *name = sorted; name != NULL; name = name->next)
        puts(name->data);
}

static void print_command_words(const char *typed)
{
    for (gsize i = 0; i < stead_n_commands; i++)
        if (stead_commands[i]->section != STEAD_SECTION_HIDDEN &&
            strchr(stead_commands[i]->name, ' ') == NULL &&
            g_str_has_prefix(stead_commands[i]->name, typed))
            puts(stead_commands[i]->name);
}

static int run_complete(SteadCall *call, GError **error)
{
    const char *const *words = stead_call_arguments(call, 0);
    guint n = stead_call_n_arguments(call);
    const char *typed = n > 0 ? words[n - 1] : "";
    g_autoptr(SteadCandidates) candidates = stead_candidates_find(words);
    for (guint i = 0; i < candidates->words->len; i++)
        puts(g_ptr_array_index(candidates->words, i));
    switch (candidates->kind) {
    case STEAD_COMPLETE_NONE:
        break;
    case STEAD_COMPLETE_FILE:
        puts(":file");
        break;
    case STEAD_COMPLETE_COMMAND:
        print_command_words(typed);
        break;
    default:
        print_names(call, candidates, typed);
        if (candidates->kind == STEAD_COMPLETE_PROJECT)
            puts(":file");
    }
    return 0;
}

/* --- tables --- */

static const SteadArgument completion_arguments[] = {
    {.name = "SHELL", .doc = "bash, zsh or fish"},
    {NULL},
};

static const SteadArgument complete_arguments[] = {
    {.name = "WORD", .doc = "the words typed so far", .optional = TRUE, .many = TRUE},
    {NULL},
};

static const SteadExample completion_examples[] = {
    {"source <(stead completion bash)", "For this shell; put the line into ~/.bashrc for all:"},
    {NULL},
};

const SteadCommand stead_cmd_completion = {
    .name = "completion",
    .section = STEAD_SECTION_HOST,
    .summary = "Print the script that completes stead's words in a shell",
    .arguments = completion_arguments,
    .examples = completion_examples,
    .run = run_completion,
};

const SteadCommand stead_cmd_complete = {
    .name = "__complete",
    .section = STEAD_SECTION_HIDDEN,
    .summary = "Print what may be typed next",
    .arguments = complete_arguments,
    .run = run_complete,
};
