/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/subprocess.h"
#include "host/requirements.h"

void host_set_up(Host *f, gconstpointer unused)
{
    f->folder = g_dir_make_tmp("stead-checks-XXXXXX", NULL);
    f->bin = g_build_filename(f->folder, "bin", NULL);
    f->root = g_build_filename(f->folder, "root", NULL);
    g_assert_true(stead_make_dir(f->bin, 0755, NULL));
    g_assert_true(stead_make_dir(f->root, 0755, NULL));
    f->paths = stead_paths_new_for_root(f->folder, NULL);
    f->kvm = (SteadKvm){.status = STEAD_KVM_USABLE, .detail = (char *)(gsize) ""};
    f->context = (SteadCheckContext){
        .paths = f->paths, .search_path = f->bin, .system_root = f->root, .kvm = &f->kvm};
}

void host_tear_down(Host *f, gconstpointer unused)
{
    g_assert_true(stead_remove_tree(f->folder, NULL));
    stead_paths_free(f->paths);
    g_free(f->folder);
    g_free(f->bin);
    g_free(f->root);
}

void host_add_program(Host *f, const char *name, const char *script)
{
    g_autofree char *path = g_build_filename(f->bin, name, NULL);
    g_autofree char *text = g_strdup_printf("#!/bin/sh\n%s\n", script);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_assert_cmpint(g_chmod(path, 0755), ==, 0);
}

void host_add_folder(Host *f, const char *name)
{
    g_autofree char *path = g_build_filename(f->root, name, NULL);
    g_assert_true(stead_make_dir(path, 0755, NULL));
}

void host_add_file(Host *f, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(f->root, name, NULL);
    g_autofree char *folder = g_path_get_dirname(path);
    g_assert_true(stead_make_dir(folder, 0755, NULL));
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* A socket below the root; the descriptor is to be closed. */
int host_add_socket(Host *f, const char *name, gboolean is_listening)
{
    g_autofree char *path = g_build_filename(f->root, name, NULL);
    g_autofree char *folder = g_path_get_dirname(path);
    g_assert_true(stead_make_dir(folder, 0755, NULL));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_assert_cmpuint(strlen(path), <, sizeof address.sun_path);
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    if (is_listening)
        g_assert_cmpint(listen(fd, 1), ==, 0);
    return fd;
}

/* Runs one check of the table. */
SteadCheckResult *host_check(Host *f, const char *id)
{
    for (gsize i = 0; i < stead_n_requirements; i++) {
        const SteadRequirement *requirement = &stead_requirements[i];
        if (strcmp(requirement->id, id) != 0)
            continue;
        SteadCheckResult *result = g_new0(SteadCheckResult, 1);
        requirement->check(requirement, &f->context, result);
        g_assert_nonnull(result->found);
        return result;
    }
    g_assert_not_reached();
}

void host_expect(Host *f, const char *id, SteadCheckStatus status, const char *found,
                 const char *mend)
{
    g_autoptr(SteadCheckResult) result = host_check(f, id);
    if (found && strstr(result->found, found) == NULL)
        g_error("%s: found \"%s\", not \"%s\"", id, result->found, found);
    if (mend && (result->mend == NULL || strstr(result->mend, mend) == NULL))
        g_error("%s: mended by \"%s\", not \"%s\"", id, result->mend, mend);
    g_assert_cmpint(result->status, ==, status);
    g_assert_cmpint(result->mend == NULL, ==, status == STEAD_CHECK_OK);
}
