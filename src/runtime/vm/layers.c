/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layer tree of a disk.
 *
 * A disk is born as one file, STEM.qcow2, perhaps standing on an image. A snapshot freezes the file
 * that is current and puts an empty layer, STEM.XXXXXXXX.qcow2, on top, which becomes the current
 * one. Restoring throws the current layer away and puts a new one on the layer that the snapshot
 * froze. So the layers of a disk form a tree, in which at all times:
 *
 *   1. There is one layer for each snapshot, which that snapshot froze, and the current one.
 *   2. Only frozen layers have others on top of them. A frozen layer is never written to, except to
 *      replace it by an equal one.
 *   3. A frozen file is read-only in its mode; the current layer is not. A file that can be written
 *      to, is not current and has nothing on top of it is what a crash left, and may be removed.
 *
 * The tree itself stands nowhere but in the qcow2 headers: each layer names its backing file. Which
 * layer is current, libvirt's definition of the domain says. Records only name the frozen layer of
 * each snapshot.
 *
 * When a snapshot is removed, each layer on top of its frozen layer absorbs that layer and then
 * stands on what it stood on; then the frozen file is deleted. A frozen child of a running guest's
 * chain is open in QEMU, so it is replaced by an equal file under its name: QEMU keeps on reading
 * the files that it has open, whose content is the same, and whoever opens the name finds the new
 * one. Only the current layer of a running guest must absorb inside QEMU (snapshot.c).
 *
 * Every step leaves a valid tree behind, so each operation may be cut off and repeated.
 */
#include "runtime/vm/layers.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/subprocess.h"
#include "runtime/json_member.h"

#define SUFFIX ".qcow2"
#define ID_LENGTH 8
/* What replaces a layer while it is being made. */
#define NEW_SUFFIX ".new"

static gboolean is_layer_id(const char *text)
{
    for (int i = 0; i < ID_LENGTH; i++)
        if (!g_ascii_isxdigit(text[i]))
            return FALSE;
    return TRUE;
}

/* The path without ".qcow2" (or any other suffix) and without a layer's id. */
static char *stem_of(const char *path)
{
    g_autofree char *stem = g_strdup(path);
    char *slash = strrchr(stem, '/');
    char *dot = strrchr(slash ? slash : stem, '.');
    if (dot)
        *dot = '\0';
    dot = strrchr(slash ? slash : stem, '.');
    if (dot && strlen(dot) == 1 + ID_LENGTH && is_layer_id(dot + 1))
        *dot = '\0';
    return g_steal_pointer(&stem);
}

char *stead_layer_path(const char *path, const char *id)
{
    g_autofree char *stem = stem_of(path);
    return g_strdup_printf("%s.%.*s" SUFFIX, stem, ID_LENGTH, id);
}

gboolean stead_layer_same_family(const char *a, const char *b)
{
    if (g_str_equal(a, b))
        return TRUE;
    g_autofree char *stem_a = stem_of(a), *stem_b = stem_of(b);
    return g_str_equal(stem_a, stem_b) &&
           (g_str_has_suffix(a, SUFFIX) || g_str_has_suffix(b, SUFFIX));
}

GPtrArray *stead_layer_family(const char *path, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, error);
    if (dir == NULL)
        return NULL;
    g_autoptr(GPtrArray) family = g_ptr_array_new_with_free_func(g_free);
    for (const char *name = g_dir_read_name(dir); name; name = g_dir_read_name(dir)) {
        g_autofree char *candidate = g_build_filename(folder, name, NULL);
        if (g_str_has_suffix(name, NEW_SUFFIX) || !stead_layer_same_family(candidate, path))
            continue;
        g_ptr_array_add(family, g_steal_pointer(&candidate));
        if (family->len > STEAD_LAYERS_MAX) {
            stead_set_error(error, STEAD_ERROR_EXHAUSTED, "Remove snapshots.",
                            "%s has more than %d layers", path, STEAD_LAYERS_MAX);
            return NULL;
        }
    }
    return g_steal_pointer(&family);
}

/* A raw disk holds what the guest wrote, which may look like a header: its format is never guessed,
 * and it stands on nothing. */
gboolean stead_layer_backing(const char *path, char **backing, char **format, GError **error)
{
    const char *const argv[] = {"qemu-img", "info",          "-U", "-f",
                                "qcow2",    "--output=json", path, NULL};
    g_autofree char *output = NULL;
    *backing = *format = NULL;
    if (!g_str_has_suffix(path, SUFFIX))
        return TRUE;
    if (!stead_run(argv, NULL, NULL, &output, error))
        return FALSE;
    g_autoptr(JsonNode) node = json_from_string(output, NULL);
    if (node == NULL || !JSON_NODE_HOLDS_OBJECT(node)) {
        stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "qemu-img info %s says nothing", path);
        return FALSE;
    }
    JsonObject *object = json_node_get_object(node);
    *backing = g_strdup(stead_json_text_in(object, "full-backing-filename"));
    if (*backing == NULL)
        *backing = g_strdup(stead_json_text_in(object, "backing-filename"));
    *format = g_strdup(stead_json_text_in(object, "backing-filename-format"));
    return TRUE;
}

GPtrArray *stead_layer_children(const char *path, GError **error)
{
    g_autoptr(GPtrArray) family = stead_layer_family(path, error);
    if (family == NULL)
        return NULL;
    g_autoptr(GPtrArray) children = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < family->len; i++) {
        const char *candidate = family->pdata[i];
        g_autofree char *backing = NULL, *format = NULL;
        if (g_str_equal(candidate, path))
            continue;
        if (!stead_layer_backing(candidate, &backing, &format, error))
            return NULL;
        if (g_strcmp0(backing, path) == 0)
            g_ptr_array_add(children, g_strdup(candidate));
    }
    return g_steal_pointer(&children);
}

gboolean stead_layer_create(const char *path, const char *backing, const char *format,
                            GError **error)
{
    const char *const argv[] = {"qemu-img", "create", "-q",   "-f", "qcow2", "-b",
                                backing,    "-F",     format, path, NULL};
    stead_autounlink half = g_strdup(path);
    if (!stead_run(argv, NULL, NULL, NULL, error))
        return FALSE;
    g_free(g_steal_pointer(&half));
    return TRUE;
}

gboolean stead_layer_is_frozen(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && (st.st_mode & 0222) == 0;
}

gboolean stead_layer_freeze(const char *path, gboolean frozen, GError **error)
{
    struct stat st;
    if (stat(path, &st) == 0 &&
        chmod(path, frozen ? st.st_mode & 07555 : (st.st_mode & 07777) | 0200) == 0)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_DENIED, NULL, "changing the mode of %s: %s", path,
                    g_strerror(errno));
    return FALSE;
}

/* A copy with the owner and the mode of the original. */
static gboolean copy_file(const char *from, const char *to, GError **error)
{
    const char *const argv[] = {"cp", "-p", "--sparse=always", "--reflink=auto", "--", from,
                                to,   NULL};
    return stead_run(argv, NULL, NULL, NULL, error);
}

static gboolean rebase(const char *path, const char *base, const char *format, GError **error)
{
    const char *const onto[] = {"qemu-img", "rebase", "-q",   "-f", "qcow2", "-b",
                                base,       "-F",     format, path, NULL};
    const char *const flat[] = {"qemu-img", "rebase", "-q", "-f", "qcow2", "-b", "", path, NULL};
    return stead_run(base ? onto : flat, NULL, NULL, NULL, error);
}

static gboolean absorb_in_copy(const char *child, const char *base, const char *format,
                               GError **error)
{
    stead_autounlink made = g_strconcat(child, NEW_SUFFIX, NULL);
    if (!copy_file(child, made, error) || !rebase(made, base, format, error))
        return FALSE;
    if (g_rename(made, child) == 0) {
        g_free(g_steal_pointer(&made));
        return TRUE;
    }
    stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "replacing %s: %s", child,
                    g_strerror(errno));
    return FALSE;
}

gboolean stead_layer_absorb(const char *child, gboolean in_place, GError **error)
{
    g_autofree char *parent = NULL, *parent_format = NULL, *base = NULL, *base_format = NULL;
    if (!stead_layer_backing(child, &parent, &parent_format, error))
        return FALSE;
    if (parent == NULL)
        return TRUE;
    if (!stead_layer_backing(parent, &base, &base_format, error))
        return FALSE;
    const char *format = base_format ? base_format : "raw";
    return in_place ? rebase(child, base, format, error)
                    : absorb_in_copy(child, base, format, error);
}

gboolean stead_layer_delete(const char *path, GError **error)
{
    if (g_unlink(path) == 0 || errno == ENOENT)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "removing %s: %s", path, g_strerror(errno));
    return FALSE;
}

/* Whether the name holds a layer's id: the file that a disk was born as has none. */
static gboolean is_overlay(const char *path)
{
    g_autofree char *stem = stem_of(path);
    return strlen(path) == strlen(stem) + 1 + ID_LENGTH + strlen(SUFFIX);
}

static gboolean sweep(const char *current, gboolean born, GError **error)
{
    g_autoptr(GPtrArray) family = stead_layer_family(current, error);
    if (family == NULL)
        return FALSE;
    for (guint i = 0; i < family->len; i++) {
        const char *path = family->pdata[i];
        if (g_str_equal(path, current) || (!born && !is_overlay(path)) ||
            stead_layer_is_frozen(path))
            continue;
        g_autoptr(GPtrArray) children = stead_layer_children(path, error);
        if (children == NULL || (children->len == 0 && !stead_layer_delete(path, error)))
            return FALSE;
    }
    return TRUE;
}

gboolean stead_layer_sweep(const char *current, GError **error)
{
    return sweep(current, FALSE, error);
}

gboolean stead_layer_sweep_absorbed(const char *current, GError **error)
{
    return sweep(current, TRUE, error);
}

guint64 stead_layer_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (guint64)st.st_blocks * 512 : 0;
}
