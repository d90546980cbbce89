/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that one disk consists of once it has snapshots. The model is at the head of layers.c.
 * Everything here works on files that no running QEMU writes to.
 */
#pragma once

#include "runtime/runtime.h"

/* Layers of one disk that are looked at; more is an error (EXHAUSTED). */
#define STEAD_LAYERS_MAX 512

/* The name of the layer beside `path` that `id` (a UUID) stands for: "DIR/STEM.1a2b3c4d.qcow2".
 * Owned by the caller. Pure. */
char *stead_layer_path(const char *path, const char *id);

/* Whether both files are, or may be, layers of the same disk: same folder and stem. Pure. */
gboolean stead_layer_same_family(const char *a, const char *b);

/* All layers of the disk that `path` is one of, as paths. */
GPtrArray *stead_layer_family(const char *path, GError **error);

/* The file that `path` stands on, or NULL, and its format. TRUE also when there is none. */
gboolean stead_layer_backing(const char *path, char **backing, char **format, GError **error);

/* The layers of the family that stand right on `path`. */
GPtrArray *stead_layer_children(const char *path, GError **error);

/* Makes an empty layer on top of `backing`; replaces a file that is there. */
gboolean stead_layer_create(const char *path, const char *backing, const char *format,
                            GError **error);

/* Whether it is frozen: of a snapshot, never written again. */
gboolean stead_layer_is_frozen(const char *path);
gboolean stead_layer_freeze(const char *path, gboolean frozen, GError **error);

/* Merges what `child` needs of its backing file into it, so that it stands on that file's own
 * backing file instead. `in_place`: nobody has the child open. Otherwise it may be open for reading
 * elsewhere, and is replaced, not changed. */
gboolean stead_layer_absorb(const char *child, gboolean in_place, GError **error);

/* Removes what crashes left of this disk: layers that are neither frozen nor `current`. */
gboolean stead_layer_sweep(const char *current, GError **error);

/* The same where `current` is known to have absorbed what it stood on, which may be the very file
 * that the disk was born as. */
gboolean stead_layer_sweep_absorbed(const char *current, GError **error);

/* Deletes the file; success when there is none. */
gboolean stead_layer_delete(const char *path, GError **error);

/* Bytes that the file takes on disk; 0 when there is none. */
guint64 stead_layer_size(const char *path);
