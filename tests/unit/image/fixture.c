/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/paths.h"
#include "base/subprocess.h"

void fixture_set_up(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    fixture->folder = g_dir_make_tmp("stead-image-XXXXXX", &error);
    g_assert_no_error(error);
    g_autofree char *state = fixture_path(fixture, "state");
    fixture->store = stead_image_store_open(state, &error);
    g_assert_no_error(error);
}

void fixture_tear_down(Fixture *fixture, gconstpointer data)
{
    stead_image_store_free(fixture->store);
    stead_remove_tree(fixture->folder, NULL);
    g_free(fixture->folder);
}

char *fixture_path(Fixture *fixture, const char *name)
{
    return g_build_filename(fixture->folder, name, NULL);
}

char *fixture_write(Fixture *fixture, const char *name, const void *bytes, gssize length)
{
    g_autoptr(GError) error = NULL;
    char *path = fixture_path(fixture, name);
    g_file_set_contents(path, bytes, length, &error);
    g_assert_no_error(error);
    return path;
}

char *fixture_raw(Fixture *fixture, const char *name, guint mib)
{
    char *path = fixture_path(fixture, name);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    guint8 pattern[4096];
    for (gsize i = 0; i < sizeof pattern; i++)
        pattern[i] = (guint8)(i * 7 + 1);
    off_t size = (off_t)mib << 20;
    g_assert_cmpint(ftruncate(fd, size), ==, 0);
    g_assert_cmpint(pwrite(fd, pattern, sizeof pattern, 0), ==, sizeof pattern);
    g_assert_cmpint(pwrite(fd, pattern, sizeof pattern, size - 4096), ==, sizeof pattern);
    close(fd);
    return path;
}

void fixture_run(const char *program, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autoptr(GError) error = NULL;
    va_list args;
    va_start(args, program);
    for (const char *arg = program; arg; arg = va_arg(args, const char *))
        g_ptr_array_add(argv, (gpointer)(gsize)arg);
    va_end(args);
    g_ptr_array_add(argv, NULL);
    stead_run((const char *const *)argv->pdata, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
}

guint fixture_count(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    guint n = 0;
    g_assert_nonnull(dir);
    while (g_dir_read_name(dir))
        n++;
    return n;
}

void fixture_assert_clean(Fixture *fixture, guint images)
{
    g_autofree char *content = fixture_path(fixture, "state/images/sha256");
    g_assert_cmpuint(fixture_count(stead_image_store_staging(fixture->store)), ==, 0);
    g_assert_cmpuint(fixture_count(content), ==, images);
}
