/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel and initramfs of an image. The stored qcow2 becomes a sparse raw file, in which they are
 * found and copied (boot_disk.c); they are put together in a folder of the staging, which the store
 * takes over by a rename. So a boot folder is whole or absent. An initramfs with the agent's piece
 * comes and goes beside it in the same way.
 *
 * Two threads may do the same work at once; the first rename counts. A lock keeps them from taking
 * an image apart in vain; who finds the folder there does not wait for it.
 */
#include "image/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/paths.h"
#include "image/boot_folder.h"
#include "image/boot_parts.h"
#include "image/confined.h"
#include "image/format.h"
#include "image/inspect.h"
#include "image/space.h"
#include "image/unpack.h"

#define KERNEL "kernel"
#define INITRD "initrd"
#define ROOT "root"
#define ROOT_PREFIX "UUID="
#define AGENT "agent"
/* An initramfs of another agent that nothing asked for in so long is removed. */
#define KEEP_SECONDS 3600
/* Digits of the piece's SHA-256 in the name of an initramfs. */
#define PIECE_DIGITS 16

#define INPUT                                                                                      \
    "json:{\"driver\":\"qcow2\",\"backing\":null,\"file\":{\"driver\":\"file\","                   \
    "\"filename\":\"/proc/self/fd/10\"}}"
#define OUTPUT "/proc/self/fd/11"
G_STATIC_ASSERT(STEAD_CONFINED_FD == 10);

static GMutex taking_apart;

typedef struct {
    SteadImageStore *store;
    const char *digest;
    GCancellable *cancellable;
} Job;

void stead_boot_files_free(SteadBootFiles *files)
{
    if (files == NULL)
        return;
    g_free(files->kernel);
    g_free(files->initrd);
    g_free(files->root);
    g_free(files);
}

static gboolean fail_errno(GError **error, const char *doing, const char *path)
{
    int saved = errno;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "%s %s: %s", doing, path,
                g_strerror(saved));
    return FALSE;
}

static gboolean exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* --- The disk as a raw file --- */

/* Told how far qemu-img is: content that was packed well must not fill the host's disk. */
static gboolean watch_space(const guint8 *bytes, gsize n, gpointer data, GError **error)
{
    return stead_space_check(*(const int *)data, 0, "reading the image", error);
}

static gboolean convert(const Job *job, int from, int to, guint64 size, GError **error)
{
    static const char *const argv[] = {"qemu-img", "convert", "-p",   "-O",
                                       "raw",      INPUT,     OUTPUT, NULL};
    const int fds[] = {from, to};
    const SteadConfinedOptions options = {.argv = argv,
                                          .input = -1,
                                          .fds = fds,
                                          .n_fds = G_N_ELEMENTS(fds),
                                          .max_file = size,
                                          .on_output = watch_space,
                                          .data = &to};
    return stead_confined_share(to, TRUE, error) &&
           stead_confined_run(&options, job->cancellable, error) &&
           stead_confined_share(to, FALSE, error);
}

/* The raw disk of the image: an open file without a name, gone when it is closed. */
static int open_raw(const Job *job, guint64 *size, GError **error)
{
    struct stat st;
    g_autofree char *path = stead_image_store_path(job->store, job->digest);
    stead_autofd image = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (image < 0 || fstat(image, &st) != 0) {
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, "Pull or import it again.",
                        "the stored file of the image %.12s is gone", job->digest);
        return -1;
    }
    stead_autofd raw = -1;
    stead_autounlink name = stead_image_store_stage(job->store, ".raw", &raw, error);
    if (name == NULL || !stead_disk_format_inspect(image, STEAD_DISK_FORMAT_QCOW2, size, error) ||
        !stead_space_check(raw, (guint64)st.st_size, "reading the image", error) ||
        !convert(job, image, raw, *size, error))
        return -1;
    return stead_steal_fd(&raw);
}

/* --- The folder --- */

/* bzImage (Documentation/arch/x86/boot.rst of Linux) or ELF. */
static gboolean check_kernel(int fd, GError **error)
{
    guint8 head[0x206] = {0};
    gsize n;
    if (!stead_read_some(fd, 0, head, sizeof head, &n, error))
        return FALSE;
    if (memcmp(head + 0x202, "HdrS", 4) == 0 || memcmp(head, "\177ELF", 4) == 0)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_UNSUPPORTED, "Give another with --kernel.",
                    "the image's kernel is neither a bzImage nor ELF");
    return FALSE;
}

/* Opens a new file of a folder that is being made, for all to read. */
static int make_file(const char *folder, const char *name, GError **error)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    stead_autofd fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || fchmod(fd, 0644) != 0) {
        fail_errno(error, "making", path);
        return -1;
    }
    return stead_steal_fd(&fd);
}

static gboolean take(const Job *job, int raw, const SteadBootPlace *place, gboolean initrd,
                     const char *folder, GError **error)
{
    const char *name = initrd ? INITRD : KERNEL;
    guint64 size = initrd ? place->kernel.initrd_size : place->kernel.kernel_size;
    guint32 inode = initrd ? place->kernel.initrd : place->kernel.kernel;
    stead_autofd fd = make_file(folder, name, error);
    if (fd < 0 || !stead_space_check(fd, size, "the image's kernel", error) ||
        !stead_boot_take(raw, place->offset, inode, size, fd, job->cancellable, error) ||
        !(initrd || check_kernel(fd, error)))
        return FALSE;
    return fsync(fd) == 0 ? TRUE : fail_errno(error, "writing", name);
}

static gboolean fill_folder(const Job *job, const char *folder, GError **error)
{
    guint64 size;
    SteadBootPlace place;
    stead_autofd raw = open_raw(job, &size, error);
    if (raw < 0 || !stead_boot_find(raw, size, &place, job->cancellable, error) ||
        !take(job, raw, &place, FALSE, folder, error) ||
        (place.kernel.initrd && !take(job, raw, &place, TRUE, folder, error)))
        return FALSE;
    g_autofree char *path = g_build_filename(folder, ROOT, NULL);
    g_autofree char *text = g_strconcat(ROOT_PREFIX, place.root, "\n", NULL);
    return stead_write_file(path, text, -1, 0644, error);
}

/* Makes the image's boot folder. */
static gboolean make_folder(const Job *job, GError **error)
{
    g_autofree char *folder =
        g_build_filename(stead_image_store_staging(job->store), "boot-XXXXXX", NULL);
    if (g_mkdtemp(folder) == NULL || chmod(folder, 0711) != 0)
        return fail_errno(error, "making", folder);
    gboolean done = fill_folder(job, folder, error) &&
                    stead_image_store_add_boot(job->store, job->digest, folder, error);
    if (!done)
        stead_remove_tree(folder, NULL);
    return done;
}

static gboolean ensure_folder(const Job *job, const char *target, GError **error)
{
    if (exists(target))
        return TRUE;
    g_mutex_lock(&taking_apart);
    gboolean done = exists(target) || make_folder(job, error);
    g_mutex_unlock(&taking_apart);
    return done;
}

/* --- The initramfs with the agent --- */

/* The program of the build tree that the running one lies in, else the installed one. NULL when
 * there is none. */
static char *find_agent(void)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *own = g_path_get_dirname(self ? self : "/");
    g_autofree char *beside = g_build_filename(own, "..", "guest", AGENT, NULL);
    g_autofree char *installed = g_build_filename(STEAD_LIBEXECDIR, AGENT, NULL);
    if (g_file_test(beside, G_FILE_TEST_IS_REGULAR))
        return g_steal_pointer(&beside);
    return g_file_test(installed, G_FILE_TEST_IS_REGULAR) ? g_steal_pointer(&installed) : NULL;
}

static gboolean append(int fd, GBytes *piece, GError **error)
{
    struct stat st;
    gsize n;
    const guint8 *bytes = g_bytes_get_data(piece, &n);
    if (fstat(fd, &st) != 0)
        return fail_errno(error, "reading", INITRD);
    off_t at = st.st_size + (off_t)stead_boot_padding((guint64)st.st_size);
    for (ssize_t written = 0; n > 0; bytes += written, at += written, n -= (gsize)written) {
        written = pwrite(fd, bytes, n, at);
        if (written < 0)
            return fail_errno(error, "writing", INITRD);
    }
    return TRUE;
}

static gboolean compose(const Job *job, const char *plain, GBytes *piece, const char *target,
                        GError **error)
{
    stead_autofd from = open(plain, O_RDONLY | O_CLOEXEC);
    stead_autofd to = -1;
    stead_autounlink staged = stead_image_store_stage(job->store, ".initrd", &to, error);
    if (staged == NULL)
        return FALSE;
    if (from < 0)
        return fail_errno(error, "opening", plain);
    if (!stead_copy_sparse(from, to, NULL, NULL, job->cancellable, error) ||
        !append(to, piece, error))
        return FALSE;
    if (fchmod(to, 0644) != 0 || fsync(to) != 0 || g_rename(staged, target) != 0)
        return fail_errno(error, "making", target);
    g_autofree char *folder = g_path_get_dirname(target);
    return stead_sync(folder, error);
}

/* Removes those of other agents. One that was asked for may not be open yet, so it stays. */
static void forget_others(const char *folder, const char *kept)
{
    time_t before = (time_t)(g_get_real_time() / G_USEC_PER_SEC) - KEEP_SECONDS;
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    for (const char *name = dir ? g_dir_read_name(dir) : NULL; name; name = g_dir_read_name(dir)) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        struct stat st;
        if (g_str_has_prefix(name, INITRD "-") && strcmp(name, kept) != 0 &&
            lstat(path, &st) == 0 && st.st_mtime < before)
            g_unlink(path);
    }
}

/* The path of the initramfs with the agent's piece; NULL with an error. */
static char *ensure_initrd(const Job *job, const char *folder, const char *plain, const char *agent,
                           GError **error)
{
    g_autoptr(GBytes) piece = stead_boot_piece(agent, error);
    if (piece == NULL)
        return NULL;
    g_autofree char *sum = g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, piece);
    g_autofree char *name = g_strdup_printf(INITRD "-%.*s", PIECE_DIGITS, sum);
    g_autofree char *path = g_build_filename(folder, name, NULL);
    if (utimensat(AT_FDCWD, path, NULL, 0) == 0)
        return g_steal_pointer(&path);
    if (!compose(job, plain, piece, path, error))
        return NULL;
    forget_others(folder, name);
    return g_steal_pointer(&path);
}

/* --- All of it --- */

static char *read_root(const char *folder, GError **error)
{
    g_autofree char *path = g_build_filename(folder, ROOT, NULL);
    char *text = NULL;
    return g_file_get_contents(path, &text, NULL, error) ? g_strchomp(text) : NULL;
}

static SteadBootFiles *get_files(const Job *job, const char *agent, GError **error)
{
    g_autofree char *folder = stead_image_store_boot_folder(job->store, job->digest);
    if (folder == NULL) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "\"%s\" is no image's digest",
                        job->digest);
        return NULL;
    }
    if (!ensure_folder(job, folder, error))
        return NULL;
    g_autoptr(SteadBootFiles) files = g_new0(SteadBootFiles, 1);
    g_autofree char *plain = g_build_filename(folder, INITRD, NULL);
    g_autofree char *found = agent ? g_strdup(agent) : find_agent();
    files->kernel = g_build_filename(folder, KERNEL, NULL);
    files->root = read_root(folder, error);
    if (files->root == NULL)
        return NULL;
    if (!exists(plain))
        return g_steal_pointer(&files);
    files->initrd =
        found ? ensure_initrd(job, folder, plain, found, error) : g_steal_pointer(&plain);
    return files->initrd ? g_steal_pointer(&files) : NULL;
}

SteadBootFiles *stead_boot_files(SteadImageStore *store, const char *digest, const char *agent,
                                 GCancellable *cancellable, GError **error)
{
    const Job job = {store, digest, cancellable};
    SteadBootFiles *files = get_files(&job, agent, error);
    if (files == NULL)
        g_prefix_error(error, "what the image %.12s boots: ", digest);
    return files;
}
