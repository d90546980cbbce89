/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzzer's function over files, without libFuzzer: over every file of each folder given as
 * an argument, in the order of their names, and over each file given. What the function does not
 * survive, this does not either; a folder without a file is an error, so that a corpus that went
 * astray does not pass for a test.
 */
#include <stdio.h>

#include <glib.h>

#include "fuzz.h"

static gboolean replay_file(const char *path)
{
    g_autofree char *bytes = NULL;
    gsize length;
    g_autoptr(GError) error = NULL;
    if (!g_file_get_contents(path, &bytes, &length, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return FALSE;
    }
    fprintf(stderr, "%s\n", path); /* the last one named is the one that failed */
    /* A copy of the very size: what is read beyond its end, the sanitizer sees. */
    g_autofree guint8 *input = g_memdup2(bytes, length);
    LLVMFuzzerTestOneInput(input, length);
    return TRUE;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    return g_strcmp0(*(char *const *)a, *(char *const *)b);
}

static gboolean replay_folder(const char *path, guint *count)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(path, 0, &error);
    if (!dir) {
        fprintf(stderr, "%s\n", error->message);
        return FALSE;
    }
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(g_free);
    const char *name;
    while ((name = g_dir_read_name(dir)))
        g_ptr_array_add(files, g_build_filename(path, name, NULL));
    g_ptr_array_sort(files, by_name);
    for (guint i = 0; i < files->len; i++)
        if (!replay_file(files->pdata[i]))
            return FALSE;
    *count += files->len;
    return TRUE;
}

int main(int argc, char **argv)
{
    guint count = 0;
    for (int i = 1; i < argc; i++) {
        gboolean folder = g_file_test(argv[i], G_FILE_TEST_IS_DIR);
        if (folder ? !replay_folder(argv[i], &count) : !replay_file(argv[i]))
            return 1;
        count += !folder;
    }
    printf("%u inputs\n", count);
    return count > 0 ? 0 : 1;
}
