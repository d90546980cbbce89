/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of an instance beside its disks: the firmware's variables, and what each snapshot keeps
 * in the folder `snapshots`.
 */
#include <glib/gstdio.h>

#include "base/error.h"
#include "runtime/vm/internal.h"

char *stead_vm_snapshot_file(const SteadMachine *machine, const char *snapshot_id,
                             const char *suffix)
{
    return g_strdup_printf("%s/snapshots/%s.%s", machine->dir, snapshot_id, suffix);
}

char *stead_vm_nvram_file(const SteadMachine *machine)
{
    return g_build_filename(machine->dir, "nvram.fd", NULL);
}

gboolean stead_vm_copy_if_any(const char *from, const char *to, GError **error)
{
    g_autofree char *bytes = NULL;
    gsize length = 0;
    g_autoptr(GError) reason = NULL;
    if (g_file_get_contents(from, &bytes, &length, &reason))
        return stead_write_file(to, bytes, (gssize)length, 0600, error);
    if (g_error_matches(reason, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&reason));
    return FALSE;
}

gboolean stead_vm_remove_prefixed(const char *folder, const char *prefix, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autoptr(GDir) dir = g_dir_open(folder, 0, &reason);
    if (dir == NULL && !g_error_matches(reason, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
        g_propagate_error(error, g_steal_pointer(&reason));
        return FALSE;
    }
    for (const char *name = dir ? g_dir_read_name(dir) : NULL; name; name = g_dir_read_name(dir)) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        if (g_str_has_prefix(name, prefix) && !stead_remove_tree(path, error))
            return FALSE;
    }
    return TRUE;
}
