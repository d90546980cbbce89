/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sfdisk and debugfs say about a disk whose maker is not trusted. Names in it may hold
 * anything, line ends and slashes too, and so pretend to be other lines. That leads nowhere but to
 * another file of the same disk, which its maker could have named as he liked; what counts is that
 * each number is bounded and that no text of the disk becomes part of a command or a path.
 */
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json_shape.h"
#include "image/boot_parts.h"

#define JSON_DEPTH_MAX 8
#define JSON_VALUES_MAX 4096
#define SECTOR_MIN 512
#define SECTOR_MAX 4096
#define NAME_MAX_ 255
#define KERNEL_PREFIX "vmlinuz-"

/* --- Partitions --- */

static guint64 number_member(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);
    gint64 value =
        node && json_node_get_value_type(node) == G_TYPE_INT64 ? json_node_get_int(node) : -1;
    return value > 0 ? (guint64)value : 0;
}

static JsonObject *object_of(JsonNode *node)
{
    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static void take_partition(GArray *starts, JsonNode *node, guint64 sector, guint64 disk_size)
{
    JsonObject *partition = object_of(node);
    guint64 start = partition ? number_member(partition, "start") : 0;
    if (start == 0 || start >= disk_size / sector || starts->len >= STEAD_BOOT_PARTITIONS_MAX)
        return;
    start *= sector;
    g_array_append_val(starts, start);
}

GArray *stead_boot_parse_partitions(const char *json, gsize length, guint64 disk_size)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    if (stead_json_refuses(json, length, JSON_DEPTH_MAX, JSON_VALUES_MAX) ||
        !json_parser_load_from_data(parser, json, (gssize)length, NULL))
        return NULL;
    JsonObject *root = object_of(json_parser_get_root(parser));
    JsonObject *table = root ? object_of(json_object_get_member(root, "partitiontable")) : NULL;
    JsonNode *list = table ? json_object_get_member(table, "partitions") : NULL;
    if (list == NULL || !JSON_NODE_HOLDS_ARRAY(list))
        return NULL;
    /* Versions before 2.35 do not tell it. */
    guint64 sector = json_object_has_member(table, "sectorsize")
                         ? number_member(table, "sectorsize")
                         : SECTOR_MIN;
    if (sector < SECTOR_MIN || sector > SECTOR_MAX || sector % SECTOR_MIN != 0)
        return NULL;
    GArray *starts = g_array_new(FALSE, FALSE, sizeof(guint64));
    JsonArray *array = json_node_get_array(list);
    for (guint i = 0; i < json_array_get_length(array); i++)
        take_partition(starts, json_array_get_element(array, i), sector, disk_size);
    return starts;
}

/* --- Listings --- */

static void entry_clear(gpointer data)
{
    g_free(((SteadBootEntry *)data)->name);
}

/* "/INODE/MODE/UID/GID/NAME/SIZE/", where a folder has no size. */
static gboolean parse_entry(const char *line, SteadBootEntry *entry)
{
    g_auto(GStrv) fields = g_strsplit(line, "/", 9);
    guint64 inode, mode = 0, size = 0;
    if (g_strv_length(fields) != 8 || *fields[0] || *fields[7] ||
        !g_ascii_string_to_unsigned(fields[1], 10, 1, G_MAXUINT32, &inode, NULL) ||
        !g_ascii_string_to_unsigned(fields[2], 8, 0, 0177777, &mode, NULL))
        return FALSE;
    if (!S_ISREG(mode) && !S_ISDIR(mode))
        return FALSE;
    if (S_ISREG(mode) && !g_ascii_string_to_unsigned(fields[6], 10, 0, G_MAXINT64, &size, NULL))
        return FALSE;
    if (*fields[5] == '\0' || strlen(fields[5]) > NAME_MAX_)
        return FALSE;
    *entry = (SteadBootEntry){.inode = (guint32)inode,
                              .kind = S_ISREG(mode) ? STEAD_BOOT_FILE : STEAD_BOOT_FOLDER,
                              .size = size,
                              .name = g_strdup(fields[5])};
    return TRUE;
}

GArray *stead_boot_parse_listing(const char *text)
{
    GArray *listing = g_array_new(FALSE, FALSE, sizeof(SteadBootEntry));
    g_array_set_clear_func(listing, entry_clear);
    g_auto(GStrv) lines = g_strsplit(text, "\n", STEAD_BOOT_ENTRIES_MAX);
    SteadBootEntry entry;
    for (char **line = lines; *line; line++)
        if (parse_entry(*line, &entry))
            g_array_append_val(listing, entry);
    return listing;
}

guint32 stead_boot_find_folder(const GArray *listing, const char *name)
{
    for (guint i = 0; i < listing->len; i++) {
        const SteadBootEntry *entry = &g_array_index(listing, SteadBootEntry, i);
        if (entry->kind == STEAD_BOOT_FOLDER && strcmp(entry->name, name) == 0)
            return entry->inode;
    }
    return 0;
}

char *stead_boot_parse_uuid(const char *text)
{
    static const char label[] = "Filesystem UUID:";
    g_auto(GStrv) lines = g_strsplit(text, "\n", STEAD_BOOT_ENTRIES_MAX);
    for (char **line = lines; *line; line++) {
        if (!g_str_has_prefix(*line, label))
            continue;
        const char *uuid = g_strstrip(*line + strlen(label));
        return g_uuid_string_is_valid(uuid) ? g_ascii_strdown(uuid, -1) : NULL;
    }
    return NULL;
}

/* --- Kernels --- */

/* How distributions name the initramfs of a version. */
static const struct {
    const char *prefix, *suffix;
} initrd_names[] = {
    {"initrd.img-", ""},
    {"initramfs-", ".img"},
    {"initramfs-", ""},
    {"initrd-", ""},
};

static gboolean version_is_valid(const char *version)
{
    gsize length = strlen(version);
    return length > 0 && length <= STEAD_BOOT_VERSION_MAX &&
           strspn(version, G_CSET_a_2_z G_CSET_A_2_Z "0123456789.+-_~") == length &&
           !g_str_has_suffix(version, ".old") && !g_str_has_suffix(version, ".dpkg-bak");
}

static const SteadBootEntry *find_file(const GArray *listing, const char *name)
{
    for (guint i = 0; i < listing->len; i++) {
        const SteadBootEntry *entry = &g_array_index(listing, SteadBootEntry, i);
        if (entry->kind == STEAD_BOOT_FILE && entry->size > 0 && strcmp(entry->name, name) == 0)
            return entry;
    }
    return NULL;
}

static void find_initrd(const GArray *listing, SteadBootKernel *kernel)
{
    for (gsize i = 0; i < G_N_ELEMENTS(initrd_names); i++) {
        g_autofree char *name =
            g_strconcat(initrd_names[i].prefix, kernel->version, initrd_names[i].suffix, NULL);
        const SteadBootEntry *entry = find_file(listing, name);
        if (entry == NULL || entry->size > STEAD_BOOT_INITRD_MAX)
            continue;
        kernel->initrd = entry->inode;
        kernel->initrd_size = entry->size;
        return;
    }
}

static gboolean parse_kernel(const SteadBootEntry *entry, SteadBootKernel *kernel)
{
    if (entry->kind != STEAD_BOOT_FILE || entry->size == 0 || entry->size > STEAD_BOOT_KERNEL_MAX ||
        !g_str_has_prefix(entry->name, KERNEL_PREFIX))
        return FALSE;
    const char *version = entry->name + strlen(KERNEL_PREFIX);
    if (!version_is_valid(version))
        return FALSE;
    *kernel = (SteadBootKernel){.kernel = entry->inode, .kernel_size = entry->size};
    g_strlcpy(kernel->version, version, sizeof kernel->version);
    return TRUE;
}

int stead_boot_compare(const SteadBootKernel *a, const SteadBootKernel *b)
{
    if ((a->initrd != 0) != (b->initrd != 0))
        return a->initrd != 0 ? 1 : -1;
    return strverscmp(a->version, b->version);
}

gboolean stead_boot_choose(const GArray *listing, SteadBootKernel *kernel)
{
    gboolean found = FALSE;
    SteadBootKernel candidate;
    for (guint i = 0; i < listing->len; i++) {
        if (!parse_kernel(&g_array_index(listing, SteadBootEntry, i), &candidate))
            continue;
        find_initrd(listing, &candidate);
        if (!found || stead_boot_compare(&candidate, kernel) > 0)
            *kernel = candidate;
        found = TRUE;
    }
    return found;
}
