/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to the layer: the folders below images/boot/, for the store, which keeps them from being
 * used by two at once. */
#pragma once

#include <glib.h>

/* Removes the folders below `boot` whose image is not below `content`: they are left where somebody
 * removes a content by hand. */
gboolean stead_boot_folders_sweep(const char *boot, const char *content, GError **error);

/* Renames a folder to `target`; where there is one already, the folder is removed instead. */
gboolean stead_boot_folder_take(const char *folder, const char *target, GError **error);
