/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a disk without mounting it: sfdisk tells where partitions begin, and debugfs lists and
 * copies files of ext2, ext3 and ext4. Both run confined and get the disk as a descriptor; files
 * are named to them by inode number alone.
 *
 * The kernel is in /boot of the root file system, or at the top of a file system of its own that is
 * mounted there. The root is known by its folders.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "image/boot_parts.h"
#include "image/confined.h"

#define DISK_NAME "/proc/self/fd/10"
G_STATIC_ASSERT(STEAD_CONFINED_FD == 10);
#define ROOT_INODE 2
#define BOOT_BY_ITSELF                                                                             \
    "A microVM boots the kernel of its image directly. This image may boot by itself: run it "     \
    "with "                                                                                        \
    "--kind vm, or give a kernel with --kernel."

typedef struct {
    int fd;
    GCancellable *cancellable;
} Disk;

/* --- Asking --- */

static gboolean collect(const guint8 *bytes, gsize n, gpointer data, GError **error)
{
    GString *text = data;
    if (text->len + n > STEAD_BOOT_ANSWER_MAX) {
        stead_set_error(error, STEAD_ERROR_UNSUPPORTED, NULL,
                        "there is more in a folder of it than is read");
        return FALSE;
    }
    g_string_append_len(text, (const char *)bytes, (gssize)n);
    return TRUE;
}

/* What a program says of the disk, for what it cannot read nothing. NULL with an error when it
 * could not be asked. */
static GString *ask(const Disk *disk, const char *const argv[], GError **error)
{
    g_autoptr(GString) answer = g_string_new(NULL);
    g_autoptr(GError) why = NULL;
    const SteadConfinedOptions options = {.argv = argv,
                                          .input = -1,
                                          .fds = &disk->fd,
                                          .n_fds = 1,
                                          .on_output = collect,
                                          .data = answer};
    if (!stead_confined_run(&options, disk->cancellable, &why)) {
        if (stead_error_code(why) != STEAD_ERROR_INVALID) {
            g_propagate_error(error, g_steal_pointer(&why));
            return NULL;
        }
        g_string_truncate(answer, 0);
    }
    return g_steal_pointer(&answer);
}

/* As ask(), for a request to debugfs about the file system at `offset`. */
static GString *ask_debugfs(const Disk *disk, guint64 offset, const char *request, GError **error)
{
    g_autofree char *name = g_strdup_printf(DISK_NAME "?offset=%" G_GUINT64_FORMAT, offset);
    const char *const argv[] = {"debugfs", "-R", request, name, NULL};
    return ask(disk, argv, error);
}

static GArray *list_folder(const Disk *disk, guint64 offset, guint32 inode, GError **error)
{
    g_autofree char *request = g_strdup_printf("ls -p <%u>", inode);
    g_autoptr(GString) answer = ask_debugfs(disk, offset, request, error);
    return answer ? stead_boot_parse_listing(answer->str) : NULL;
}

/* --- Finding --- */

/* What is known so far. */
typedef struct {
    SteadBootPlace place;
    gboolean has_kernel;
} Search;

static void take_kernel(Search *search, const GArray *listing, guint64 offset)
{
    SteadBootKernel kernel;
    if (!stead_boot_choose(listing, &kernel) ||
        (search->has_kernel && stead_boot_compare(&kernel, &search->place.kernel) <= 0))
        return;
    search->place.kernel = kernel;
    search->place.offset = offset;
    search->has_kernel = TRUE;
}

static gboolean take_root(const Disk *disk, Search *search, const GArray *top, guint64 offset,
                          GError **error)
{
    g_autoptr(GString) stats = ask_debugfs(disk, offset, "stats -h", error);
    g_autofree char *uuid = stats ? stead_boot_parse_uuid(stats->str) : NULL;
    guint32 boot = stead_boot_find_folder(top, "boot");
    if (stats == NULL)
        return FALSE;
    if (uuid == NULL || *search->place.root)
        return TRUE;
    g_strlcpy(search->place.root, uuid, sizeof search->place.root);
    g_autoptr(GArray) folder = boot ? list_folder(disk, offset, boot, error) : NULL;
    if (folder)
        take_kernel(search, folder, offset);
    return folder != NULL || boot == 0;
}

static gboolean look_into(const Disk *disk, Search *search, guint64 offset, GError **error)
{
    g_autoptr(GArray) top = list_folder(disk, offset, ROOT_INODE, error);
    if (top == NULL)
        return FALSE;
    take_kernel(search, top, offset);
    gboolean is_root = stead_boot_find_folder(top, "etc") && stead_boot_find_folder(top, "usr");
    return !is_root || take_root(disk, search, top, offset, error);
}

/* Where file systems may begin. */
static GArray *find_starts(const Disk *disk, guint64 disk_size, GError **error)
{
    static const char *const argv[] = {"sfdisk", "--json", DISK_NAME, NULL};
    const guint64 whole = 0;
    g_autoptr(GString) answer = ask(disk, argv, error);
    if (answer == NULL)
        return NULL;
    GArray *starts = stead_boot_parse_partitions(answer->str, answer->len, disk_size);
    if (starts == NULL) {
        starts = g_array_new(FALSE, FALSE, sizeof(guint64));
        g_array_append_val(starts, whole);
    }
    return starts;
}

gboolean stead_boot_find(int fd, guint64 disk_size, SteadBootPlace *place,
                         GCancellable *cancellable, GError **error)
{
    const Disk disk = {fd, cancellable};
    Search search = {0};
    g_autoptr(GArray) starts = find_starts(&disk, disk_size, error);
    if (starts == NULL)
        return FALSE;
    for (guint i = 0; i < starts->len; i++)
        if (!look_into(&disk, &search, g_array_index(starts, guint64, i), error))
            return FALSE;
    if (!search.has_kernel || *search.place.root == '\0') {
        stead_set_error(error, STEAD_ERROR_UNSUPPORTED, BOOT_BY_ITSELF,
                        search.has_kernel
                            ? "the image has no ext4 file system that is a root"
                            : "the image has no Linux kernel in /boot of an ext4 file "
                              "system");
        return FALSE;
    }
    *place = search.place;
    return TRUE;
}

/* --- Taking --- */

typedef struct {
    int to;
    guint64 left;
} Copy;

static gboolean write_bytes(const guint8 *bytes, gsize n, gpointer data, GError **error)
{
    Copy *copy = data;
    if (n > copy->left) {
        stead_set_error(error, STEAD_ERROR_UNSUPPORTED, NULL,
                        "a file in it is longer than it says");
        return FALSE;
    }
    copy->left -= n;
    while (n > 0) {
        ssize_t written = write(copy->to, bytes, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            int saved = errno;
            g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "writing: %s",
                        g_strerror(saved));
            return FALSE;
        }
        bytes += written;
        n -= (gsize)written;
    }
    return TRUE;
}

gboolean stead_boot_take(int fd, guint64 offset, guint32 inode, guint64 size, int to,
                         GCancellable *cancellable, GError **error)
{
    g_autofree char *name = g_strdup_printf(DISK_NAME "?offset=%" G_GUINT64_FORMAT, offset);
    g_autofree char *request = g_strdup_printf("cat <%u>", inode);
    const char *const argv[] = {"debugfs", "-R", request, name, NULL};
    Copy copy = {.to = to, .left = size};
    const SteadConfinedOptions options = {
        .argv = argv, .input = -1, .fds = &fd, .n_fds = 1, .on_output = write_bytes, .data = &copy};
    if (!stead_confined_run(&options, cancellable, error))
        return FALSE;
    if (copy.left == 0)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_UNSUPPORTED, "The image is damaged.",
                    "a file in it is shorter than it says");
    return FALSE;
}
