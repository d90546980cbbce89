/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of spec.h: each is the table's general one for one struct. */
#include "model/spec.h"

#include <string.h>

#include "base/error.h"
#include "model/check.h"
#include "model/spec-fields.h"

#define FALLBACK_NAME "lab"

/* Decodes a tree; on success the object, else NULL with all problems in the error. */
static gpointer decode_tree(const SteadStruct *table, const SteadTree *tree, const char *file,
                            GError **error)
{
    g_autoptr(SteadProblems) problems = stead_problems_new(file);
    gpointer object = stead_object_new(table);
    stead_object_decode(table, stead_tree_root(tree), object, STEAD_READ_SPEC, problems);
    if (stead_problems_finish(problems, error))
        return object;
    stead_object_free(table, object);
    return NULL;
}

static gpointer parse(const SteadStruct *table, const char *text, gssize length, const char *file,
                      GError **error)
{
    const char *name = file ? file : "spec";
    gsize bytes = length < 0 ? strlen(text) : (gsize)length;
    g_autoptr(SteadTree) tree = stead_tree_from_yaml(text, bytes, name, error);
    if (!tree)
        return NULL;
    if (stead_tree_root(tree)->type != STEAD_NODE_NULL)
        return decode_tree(table, tree, name, error);
    stead_set_error(error, STEAD_ERROR_INVALID, NULL, "%s:1:1: there is nothing in this file",
                    name);
    return NULL;
}

static gpointer from_json(const SteadStruct *table, JsonNode *node, GError **error)
{
    g_autoptr(SteadTree) tree = stead_tree_from_json(node, error);
    return tree ? decode_tree(table, tree, NULL, error) : NULL;
}

static GPtrArray *diff(const SteadStruct *table, gconstpointer from, gconstpointer to)
{
    GPtrArray *changes = stead_changes_new();
    stead_object_diff(table, from, to, "", changes);
    return changes;
}

/* A name made of a file's: "/home/me/My Lab.yaml" gives "my-lab", "edge/stead.yaml" gives "edge".
 */
static char *name_of_file(const char *file)
{
    g_autofree char *base = g_path_get_basename(file ? file : "");
    g_autofree char *dir = g_path_get_dirname(file ? file : "");
    g_autofree char *parent = g_path_get_basename(dir);
    gboolean usual = g_str_has_prefix(base, "stead.") && stead_name_is_valid(parent);
    g_autoptr(GString) name = g_string_new(NULL);
    for (const char *p = usual ? parent : base; *p && (usual || *p != '.'); p++) {
        char c = g_ascii_tolower(*p);
        gboolean word = g_ascii_isalnum(c);
        if (name->len < STEAD_MAX_NAME &&
            (word || (name->len > 0 && name->str[name->len - 1] != '-')))
            g_string_append_c(name, word ? c : '-');
    }
    while (name->len > 0 && name->str[name->len - 1] == '-')
        g_string_truncate(name, name->len - 1);
    return g_strdup(name->len > 0 ? name->str : FALLBACK_NAME);
}

SteadSpec *stead_spec_parse(const char *text, gssize length, const char *file, GError **error)
{
    SteadSpec *spec = parse(&stead_spec_table, text, length, file, error);
    if (spec && !spec->name)
        spec->name = name_of_file(file);
    return spec;
}

SteadSpec *stead_spec_from_json(JsonNode *node, GError **error)
{
    SteadSpec *spec = from_json(&stead_spec_table, node, error);
    if (!spec || spec->name)
        return spec;
    stead_set_error(error, STEAD_ERROR_INVALID, NULL, "a spec needs 'name' where it is no file");
    stead_spec_free(spec);
    return NULL;
}

SteadInstanceSpec *stead_instance_spec_new(void)
{
    SteadInstanceSpec *spec = stead_object_new(&stead_instance_spec_table);
    g_clear_pointer(&spec->image, g_free);
    return spec;
}

/* What every struct has, once a struct. */
#define LIFE(type, prefix)                                                                         \
    void prefix##_free(type *spec)                                                                 \
    {                                                                                              \
        stead_object_free(&prefix##_table, spec);                                                  \
    }                                                                                              \
    JsonNode *prefix##_to_json(const type *spec)                                                   \
    {                                                                                              \
        return stead_object_encode(&prefix##_table, spec);                                         \
    }

/* What every struct has that is also read and compared alone. */
#define PART(type, prefix)                                                                         \
    LIFE(type, prefix)                                                                             \
    type *prefix##_parse(const char *text, gssize length, const char *file, GError **error)        \
    {                                                                                              \
        return parse(&prefix##_table, text, length, file, error);                                  \
    }                                                                                              \
    type *prefix##_from_json(JsonNode *node, GError **error)                                       \
    {                                                                                              \
        return from_json(&prefix##_table, node, error);                                            \
    }                                                                                              \
    type *prefix##_copy(const type *spec)                                                          \
    {                                                                                              \
        return spec ? stead_object_copy(&prefix##_table, spec) : NULL;                             \
    }                                                                                              \
    GPtrArray *prefix##_diff(const type *from, const type *to)                                     \
    {                                                                                              \
        return diff(&prefix##_table, from, to);                                                    \
    }

LIFE(SteadSpec, stead_spec)
PART(SteadInstanceSpec, stead_instance_spec)
PART(SteadNetworkSpec, stead_network_spec)
PART(SteadVolumeSpec, stead_volume_spec)
