/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what sfdisk and debugfs say of a disk: whatever is taken from them keeps to its
 * bounds, and no text of theirs can end a word on a kernel's command line.
 */
#include <string.h>

#include <glib.h>

#include "fuzz.h"
#include "image/boot_parts.h"

#define MAX_BYTES (64 * 1024)
#define DISK_SIZE (G_GUINT64_CONSTANT(4) << 30)

static void try_partitions(const char *text, gsize length)
{
    g_autoptr(GArray) starts = stead_boot_parse_partitions(text, length, DISK_SIZE);
    if (starts == NULL)
        return;
    g_assert_cmpuint(starts->len, <=, STEAD_BOOT_PARTITIONS_MAX);
    for (guint i = 0; i < starts->len; i++) {
        guint64 start = g_array_index(starts, guint64, i);
        g_assert_true(start > 0 && start < DISK_SIZE && start % 512 == 0);
    }
}

static void check_entry(const SteadBootEntry *entry)
{
    g_assert_cmpuint(entry->inode, >, 0);
    g_assert_cmpuint(entry->size, <=, G_MAXINT64);
    g_assert_true(*entry->name && strlen(entry->name) <= 255);
    g_assert_null(strpbrk(entry->name, "/\n"));
}

static void try_listing(const char *text)
{
    SteadBootKernel kernel;
    g_autoptr(GArray) listing = stead_boot_parse_listing(text);
    g_assert_cmpuint(listing->len, <=, STEAD_BOOT_ENTRIES_MAX);
    for (guint i = 0; i < listing->len; i++)
        check_entry(&g_array_index(listing, SteadBootEntry, i));
    if (!stead_boot_choose(listing, &kernel))
        return;
    g_assert_cmpuint(kernel.kernel_size, <=, STEAD_BOOT_KERNEL_MAX);
    g_assert_cmpuint(kernel.initrd_size, <=, STEAD_BOOT_INITRD_MAX);
    g_assert_true((kernel.initrd == 0) == (kernel.initrd_size == 0));
    g_assert_null(strpbrk(kernel.version, " /\n"));
    g_assert_cmpint(stead_boot_compare(&kernel, &kernel), ==, 0);
}

static void try_uuid(const char *text)
{
    g_autofree char *uuid = stead_boot_parse_uuid(text);
    g_assert_true(uuid == NULL || g_uuid_string_is_valid(uuid));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > MAX_BYTES)
        return 0;
    g_autofree char *text = g_strndup((const char *)data, size);
    try_partitions((const char *)data, size);
    try_listing(text);
    try_uuid(text);
    return 0;
}
