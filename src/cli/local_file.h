/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the user's own that a spec or an option names: the client reads them, since the daemon
 * may run as another user, on another machine, and must not be made to read anybody's files.
 */
#pragma once

#include <glib.h>

#include "model/spec.h"

/* The largest file of public keys. */
#define STEAD_MAX_KEY_FILE (256 * 1024)

/* Adds the key, or those of the file that it names, to `keys` (char *). Relative paths are taken
 * from `folder` (NULL: the working directory). */
gboolean stead_local_keys(const char *entry, const char *folder, GPtrArray *keys, GError **error);

/* The text of a user-data file: UTF-8, at most STEAD_MAX_USER_DATA. Owned by the caller. */
char *stead_local_user_data(const char *path, const char *folder, GError **error);

/*
 * A spec file, read and checked, with the files it names put in their places. Errors name
 * file:line:column. "-" reads standard input.
 */
SteadSpec *stead_local_spec(const char *path, GError **error);

/* Replaces the names of files in `spec` by their contents. `text` is what it was read from and
 * `file` its name, for messages; relative paths are taken from the file's folder. */
gboolean stead_local_resolve(SteadSpec *spec, const char *text, const char *file, GError **error);
