/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of values as a file or a request gives them, before anything is known of their meaning.
 * YAML and JSON both end here, so that one decoder serves both.
 *
 * A tree is bounded however it was made: STEAD_MAX_SPEC_BYTES of text, STEAD_MAX_NODES values and
 * STEAD_MAX_NODE_DEPTH levels. A YAML alias shares the nodes of its anchor, but counts as if they
 * stood there again, so a small file cannot unfold into a large one.
 */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>

#include "model/spec.h"

#define STEAD_MAX_NODES 100000
#define STEAD_MAX_NODE_DEPTH 32

typedef enum {
    STEAD_NODE_NULL,   /* nothing, "~", "null" */
    STEAD_NODE_PLAIN,  /* a YAML scalar without quotes: its field decides what it means */
    STEAD_NODE_STRING, /* a quoted or block scalar, a JSON string: never a number */
    STEAD_NODE_NUMBER, /* a JSON number or boolean, as text: never a string */
    STEAD_NODE_LIST,
    STEAD_NODE_MAP
} SteadNodeType;

typedef struct _SteadNode SteadNode;

struct _SteadNode {
    SteadNodeType type;
    guint line, column; /* from 1; 0 where there is no file */
    guint depth;        /* levels above it */
    guint weight;       /* nodes in it, itself included; once it is closed */
    guint height;       /* levels below it; likewise */
    const char *text;   /* scalars: UTF-8 without NUL; "" otherwise */
    SteadNode *first;   /* lists and maps: the first item */
    SteadNode *last;
    SteadNode *next; /* the next item of the same list or map */
    /* In a map: its key, and where that stands. */
    const char *key;
    guint key_line, key_column;
    const SteadNode *alias; /* a YAML alias: the node that it stands for; see stead_node_real() */
    JsonNode *json;         /* from JSON: the node it was made of; NULL from YAML */
};

typedef struct _SteadTree SteadTree;

/* Reads a YAML text of one document (JSON is YAML). `length` bytes; `file` names it in messages.
 * The error is INVALID: "FILE:LINE:COLUMN: what is wrong". Owned by the caller. */
SteadTree *stead_tree_from_yaml(const char *text, gsize length, const char *file, GError **error);

/* The tree of parsed JSON. It borrows the strings of `node`, which must outlive it. */
SteadTree *stead_tree_from_json(JsonNode *node, GError **error);

void stead_tree_free(SteadTree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadTree, stead_tree_free)

/* The whole; owned by the tree. */
const SteadNode *stead_tree_root(const SteadTree *tree);

/* What an alias stands for, and any other node itself. */
static inline const SteadNode *stead_node_real(const SteadNode *node)
{
    return node->alias ? node->alias : node;
}

/* The deepest node that exists on the way `path` ("web.networks[0].address") from `node`. */
const SteadNode *stead_node_find(const SteadNode *node, const char *path);

/* What a node is, for a message: "'two'", "a list", "nothing". Owned by the caller. */
char *stead_node_describe(const SteadNode *node);

/* For the two readers. */
SteadTree *stead_tree_new(void);
/* A new node, the last item of `parent` (NULL: the root). NULL, with an INVALID error that has no
 * place in it, when a limit is reached. */
SteadNode *stead_tree_add(SteadTree *tree, SteadNode *parent, SteadNodeType type, GError **error);
/* Makes `node` an alias of `target`, which is complete; counts what that brings in. */
gboolean stead_tree_alias(SteadTree *tree, SteadNode *node, const SteadNode *target,
                          GError **error);
/* To be called when all items of a list or map are there. */
void stead_node_close(SteadNode *node);
/* A copy of `text` that lives as long as the tree. */
const char *stead_tree_strdup(SteadTree *tree, const char *text, gsize length);
