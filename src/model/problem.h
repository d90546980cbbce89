/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong with a spec, gathered while it is read and reported at once, in the order of the
 * file. A problem's place is line and column where there is a file, else the path of a field.
 */
#pragma once

#include <glib.h>

#include "model/node.h"

/* More are counted, but not told: a file of another format is one problem, not a thousand. */
#define STEAD_MAX_PROBLEMS 50

/* The way from the root to a value; a list of frames on the stack of the decoder. */
typedef struct _SteadPath SteadPath;

struct _SteadPath {
    const SteadPath *up; /* NULL: this is the root, and has no name */
    const char *name;    /* of a field or of a map's item; NULL: an item of a list */
    guint index;         /* of an item of a list, from 0 */
    gboolean inner;      /* a field of an object that is itself one value: memory.max */
};

typedef struct _SteadProblems SteadProblems;

/* `file` names the text in messages; NULL for JSON without a file. */
SteadProblems *stead_problems_new(const char *file);
void stead_problems_free(SteadProblems *problems);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadProblems, stead_problems_free)

/* How many there are so far. */
guint stead_problems_count(const SteadProblems *problems);

/* Whether further ones are only counted: then nothing costly need be found out about them. */
gboolean stead_problems_full(const SteadProblems *problems);

/* Adds one about `node`, which `path` leads to. "%s" in front of the sentence, as the value's name,
 * is the caller's to give: stead_path_label(). */
void stead_problem_at(SteadProblems *problems, const SteadNode *node, const SteadPath *path,
                      const char *format, ...) G_GNUC_PRINTF(4, 5);

/* Likewise about the key of `node`. */
void stead_problem_at_key(SteadProblems *problems, const SteadNode *node, const SteadPath *path,
                          const char *format, ...) G_GNUC_PRINTF(4, 5);

/* An object that is being checked as a whole. */
typedef struct {
    SteadProblems *problems;
    const SteadNode *node;
    const SteadPath *path;
} SteadWhere;

/* Adds one about what `sub` ("networks[0].address"; "" for the object) names below an object. */
void stead_problem(const SteadWhere *where, const char *sub, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* What a message calls the value at `path`: "cpus", "memory.max", "item 2 of ssh-keys". Owned by
 * the caller. */
char *stead_path_label(const SteadPath *path);

/* Returns TRUE when there is no problem; else sets an INVALID error with a line for each. */
gboolean stead_problems_finish(SteadProblems *problems, GError **error);
