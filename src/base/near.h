/* SPDX-License-Identifier: Apache-2.0 */
/* The nearest known word to one that was mistyped. */
#pragma once

#include <glib.h>

/* The longest word that is looked at; longer input has no nearest word. */
#define STEAD_NEAR_MAX 64

/*
 * Returns the entry of `words` (n entries; NULL entries are skipped) with the least
 * Damerau-Levenshtein (optimal string alignment) distance to `word`, if that distance is small
 * enough for a slip of the fingers: at most one third of the longer length, at least 1.
 * Otherwise NULL. The result is owned by `words`.
 */
const char *stead_near(const char *word, const char *const *words, gsize n);
