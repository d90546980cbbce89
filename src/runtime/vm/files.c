/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of an instance beside its disks: the firmware's variables, and what each snapshot keeps
 * in the folder `snapshots`.
 */
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
