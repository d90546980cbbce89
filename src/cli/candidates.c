/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words before the one being typed are walked as the parser would, but leniently: what does
 * not fit is skipped, since a line under way is rarely right.
 */
#include "cli/candidates.h"

#include <string.h>

static void offer(SteadCandidates *candidates, const char *typed, const char *word, const char *doc)
{
    if (g_str_has_prefix(word, typed))
        g_ptr_array_add(candidates->words, g_strconcat(word, "\t", doc, NULL));
}

/* First words (group NULL) or the words after a group's. */
static void offer_commands(SteadCandidates *candidates, const char *typed,
                           const SteadCommand *group)
{
    for (gsize i = 0; i < stead_n_commands; i++) {
        const SteadCommand *command = stead_commands[i];
        const char *space = strchr(command->name, ' ');
        if (command->section == STEAD_SECTION_HIDDEN)
            continue;
        if (group == NULL && space == NULL)
            offer(candidates, typed, command->name, command->summary);
        else if (group != NULL && stead_command_is_in(command, group))
            offer(candidates, typed, space + 1, command->summary);
    }
}

static void offer_options(SteadCandidates *candidates, const char *typed,
                          const SteadCommand *command)
{
    for (const SteadOption *o = command->options; o != NULL && o->name != NULL; o++) {
        g_autofree char *word = g_strconcat("--", o->name, NULL);
        offer(candidates, typed, word, o->doc);
    }
    offer(candidates, typed, "--help", "show this help");
}

static void offer_values(SteadCandidates *candidates, const char *typed, const SteadOption *option)
{
    candidates->kind = option->complete;
    if (option->choices == NULL)
        return;
    g_auto(GStrv) choices = g_strsplit(option->choices, "|", -1);
    for (char **choice = choices; *choice != NULL; choice++)
        offer(candidates, typed, *choice, option->doc);
}

static void offer_argument(SteadCandidates *candidates, const SteadCommand *command, guint n)
{
    const SteadArgument *argument = command->arguments;
    for (guint i = 0; argument != NULL && argument->name != NULL; argument++, i++)
        if (i == n || argument->many) {
            candidates->kind = argument->complete;
            return;
        }
}

/* The option that takes the word after `word` as its value; NULL when none does. */
static const SteadOption *waits_for_value(const SteadCommand *command, const char *word)
{
    if (word[0] != '-' || strchr(word, '=') != NULL)
        return NULL;
    for (const SteadOption *o = command->options; o != NULL && o->name != NULL; o++) {
        gboolean is_long = g_str_has_prefix(word, "--") && strcmp(word + 2, o->name) == 0;
        gboolean is_short = o->letter != '\0' && word[1] == o->letter && word[2] == '\0';
        if (is_long || is_short)
            return o->type == STEAD_OPTION_FLAG ? NULL : o;
    }
    return NULL;
}

static void offer_for_command(SteadCandidates *candidates, const SteadCommand *command,
                              const char *const *words)
{
    const SteadOption *option = NULL;
    gboolean options_end = FALSE;
    guint n_arguments = 0;
    for (; words[1] != NULL; words++) {
        if (option != NULL) {
            option = NULL;
        } else if (!options_end && strcmp(*words, "--") == 0) {
            options_end = TRUE;
        } else if (!options_end && words[0][0] == '-') {
            option = waits_for_value(command, *words);
        } else {
            if (n_arguments++ == 0)
                candidates->context = g_strdup(*words);
            options_end = options_end || (command->passes_rest && n_arguments > 1);
        }
    }
    if (option != NULL)
        offer_values(candidates, *words, option);
    else if (!options_end && words[0][0] == '-')
        offer_options(candidates, *words, command);
    else
        offer_argument(candidates, command, n_arguments);
}

SteadCandidates *stead_candidates_find(const char *const words[])
{
    SteadCandidates *candidates = g_new0(SteadCandidates, 1);
    candidates->words = g_ptr_array_new_with_free_func(g_free);
    guint n = g_strv_length((char **)words);
    if (n <= 1) {
        offer_commands(candidates, n == 1 ? words[0] : "", NULL);
        return candidates;
    }
    const SteadCommand *command = stead_command_find(words[0]);
    if (command == NULL)
        return candidates;
    if (command->run != NULL) {
        offer_for_command(candidates, command, words + 1);
        return candidates;
    }
    g_autofree char *name = g_strconcat(words[0], " ", words[1], NULL);
    const SteadCommand *member = stead_command_find(name);
    if (n == 2)
        offer_commands(candidates, words[1], command);
    else if (member != NULL)
        offer_for_command(candidates, member, words + 2);
    return candidates;
}

void stead_candidates_free(SteadCandidates *candidates)
{
    if (candidates == NULL)
        return;
    g_ptr_array_unref(candidates->words);
    g_free(candidates->context);
    g_free(candidates);
}
