/* SPDX-License-Identifier: Apache-2.0 */
/* In a build tree all programs of src/ lie in folders beside each other. */
#include "host/helper.h"

char *stead_helper_installed(const char *program)
{
    return g_build_filename(STEAD_LIBEXECDIR, program, NULL);
}

char *stead_helper_find(const char *folder, const char *program)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *own = g_path_get_dirname(self ? self : "/");
    g_autofree char *beside = g_build_filename(own, "..", folder, program, NULL);
    g_autofree char *installed = stead_helper_installed(program);
    if (g_file_test(beside, G_FILE_TEST_IS_EXECUTABLE))
        return g_steal_pointer(&beside);
    return g_file_test(installed, G_FILE_TEST_IS_EXECUTABLE) ? g_steal_pointer(&installed) : NULL;
}
