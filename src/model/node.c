/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees of values. Nodes and copied strings come from blocks that go away together, because a tree
 * lives only while it is decoded, and a list of a thousand records must not cost a malloc a value.
 */
#include "model/node.h"

#include <string.h>

#include "base/error.h"

#define BLOCK_BYTES 4096
#define DESCRIBED_CHARS 40

struct _SteadTree {
    SteadNode *root;
    GPtrArray *blocks;
    char *at; /* free room of the latest block */
    gsize room;
    guint count; /* nodes, with those that aliases bring in */
};

SteadTree *stead_tree_new(void)
{
    SteadTree *tree = g_new0(SteadTree, 1);
    tree->blocks = g_ptr_array_new_with_free_func(g_free);
    return tree;
}

void stead_tree_free(SteadTree *tree)
{
    if (!tree)
        return;
    g_ptr_array_unref(tree->blocks);
    g_free(tree);
}

const SteadNode *stead_tree_root(const SteadTree *tree)
{
    return tree->root;
}

static gpointer take(SteadTree *tree, gsize bytes)
{
    bytes = (bytes + 7) & ~(gsize)7;
    if (bytes > tree->room) {
        gsize block = MAX(bytes, BLOCK_BYTES);
        tree->at = g_malloc(block);
        tree->room = block;
        g_ptr_array_add(tree->blocks, tree->at);
    }
    gpointer taken = tree->at;
    tree->at += bytes;
    tree->room -= bytes;
    return taken;
}

const char *stead_tree_strdup(SteadTree *tree, const char *text, gsize length)
{
    char *copy = take(tree, length + 1);
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

static gboolean count_nodes(SteadTree *tree, guint weight, guint depth, GError **error)
{
    tree->count += weight;
    if (tree->count > STEAD_MAX_NODES) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "more than %d values", STEAD_MAX_NODES);
        return FALSE;
    }
    if (depth >= STEAD_MAX_NODE_DEPTH) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "nested deeper than %d levels",
                        STEAD_MAX_NODE_DEPTH);
        return FALSE;
    }
    return TRUE;
}

SteadNode *stead_tree_add(SteadTree *tree, SteadNode *parent, SteadNodeType type, GError **error)
{
    guint depth = parent ? parent->depth + 1 : 0;
    if (!count_nodes(tree, 1, depth, error))
        return NULL;
    SteadNode *node = take(tree, sizeof *node);
    *node = (SteadNode){.type = type, .depth = depth, .weight = 1, .text = ""};
    if (!parent)
        tree->root = node;
    else if (parent->last)
        parent->last->next = node;
    else
        parent->first = node;
    if (parent)
        parent->last = node;
    return node;
}

gboolean stead_tree_alias(SteadTree *tree, SteadNode *node, const SteadNode *target, GError **error)
{
    node->alias = stead_node_real(target);
    node->weight = node->alias->weight;
    node->height = node->alias->height;
    return count_nodes(tree, node->weight, node->depth + node->height, error);
}

void stead_node_close(SteadNode *node)
{
    for (const SteadNode *item = node->first; item; item = item->next) {
        node->weight += item->weight;
        node->height = MAX(node->height, item->height + 1);
    }
}

/* The item of a map by its key (n characters), or of a list by its index. */
static const SteadNode *item_by_key(const SteadNode *map, const char *key, gsize n)
{
    const SteadNode *item = map->type == STEAD_NODE_MAP ? map->first : NULL;
    while (item && (strncmp(item->key, key, n) != 0 || item->key[n] != '\0'))
        item = item->next;
    return item;
}

static const SteadNode *item_by_index(const SteadNode *list, guint64 index)
{
    const SteadNode *item = list->type == STEAD_NODE_LIST ? list->first : NULL;
    while (item && index-- > 0)
        item = item->next;
    return item;
}

const SteadNode *stead_node_find(const SteadNode *node, const char *path)
{
    const SteadNode *found = node;
    while (*path) {
        const SteadNode *next;
        if (*path == '[') {
            char *end;
            next = item_by_index(stead_node_real(found), g_ascii_strtoull(path + 1, &end, 10));
            path = *end == ']' ? end + 1 : end;
        } else {
            path += *path == '.';
            gsize n = strcspn(path, ".[");
            next = item_by_key(stead_node_real(found), path, n);
            path += n;
        }
        if (!next)
            break;
        found = next;
    }
    return found;
}

/* At most DESCRIBED_CHARS characters of the first line, without control characters. */
static char *describe_text(const char *text)
{
    GString *out = g_string_new(NULL);
    const char *p = text;
    for (guint n = 0; *p && *p != '\n' && n < DESCRIBED_CHARS; n++, p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        g_string_append_unichar(out, g_unichar_isprint(c) ? c : '?');
    }
    if (*p)
        g_string_append(out, "...");
    return g_string_free(out, FALSE);
}

char *stead_node_describe(const SteadNode *node)
{
    node = stead_node_real(node);
    if (node->type == STEAD_NODE_LIST)
        return g_strdup("a list");
    if (node->type == STEAD_NODE_MAP)
        return g_strdup("a mapping");
    if (node->type == STEAD_NODE_NULL)
        return g_strdup("nothing");
    g_autofree char *text = describe_text(node->text);
    return g_strdup_printf("'%s'", text);
}
