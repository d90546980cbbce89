/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a shell may offer for the word that is being typed, from the table of commands. Pure: names
 * that only the daemon knows are left to the caller, who is told of what kind they are.
 */
#pragma once

#include "cli/command.h"

typedef struct {
    GPtrArray *words;   /* char *: "word" or "word<TAB>what it is" */
    SteadComplete kind; /* names of this kind as well */
    char *context;      /* the first argument, for names that belong to it; NULL */
} SteadCandidates;

/* `words` are those after `stead` (NULL-terminated); the last one is being typed and may be
 * empty. Owned by the caller. */
SteadCandidates *stead_candidates_find(const char *const words[]);
void stead_candidates_free(SteadCandidates *candidates);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadCandidates, stead_candidates_free)
