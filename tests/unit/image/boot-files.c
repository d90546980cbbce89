/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot-files QCOW2 STATE AGENT: what a microVM boots of an image, for the integration tests. Puts a
 * copy of the image into the store below STATE, and prints the paths of kernel and initramfs and
 * what is the root, each on a line.
 */
#include <stdio.h>

#include "image/boot.h"
#include "image/import.h"

static SteadBootFiles *get(const char *file, const char *state, const char *agent, GError **error)
{
    const SteadImportOptions options = {.origin = {.name = "test:1"}};
    g_autoptr(SteadImageStore) store = stead_image_store_open(state, error);
    g_autoptr(SteadImage) image =
        store ? stead_image_import(store, file, &options, NULL, NULL, NULL, error) : NULL;
    return image ? stead_boot_files(store, image->digest, agent, NULL, error) : NULL;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: boot-files QCOW2 STATE AGENT\n");
        return 2;
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadBootFiles) files = get(argv[1], argv[2], argv[3], &error);
    if (files == NULL) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    printf("%s\n%s\n%s\n", files->kernel, files->initrd ? files->initrd : "", files->root);
    return 0;
}
