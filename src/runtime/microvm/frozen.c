/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sums count blocks by their place and content and leave out those of zeros, so that reading a
 * sparse file costs what is in it, and a file system that fills holes changes nothing.
 *
 * A memory file lives as long as this cache or a machine that maps it; sealed against writing,
 * growing and shrinking, it is the one thing that the engines of different guests share.
 */
#include "runtime/microvm/frozen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/paths.h"

#define CHUNK ((gsize)1 << 20)
#define BLOCK 4096
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

typedef struct {
    int memory, state; /* sealed; -1 */
} Frozen;

struct _SteadFrozenCache {
    GMutex lock;          /* held while one is read, so that others wait for it */
    GHashTable *machines; /* folder → Frozen */
};

static void frozen_free(gpointer data)
{
    Frozen *frozen = data;
    stead_clear_fd(&frozen->memory);
    stead_clear_fd(&frozen->state);
    g_free(frozen);
}

SteadFrozenCache *stead_frozen_cache_new(void)
{
    SteadFrozenCache *cache = g_new0(SteadFrozenCache, 1);
    g_mutex_init(&cache->lock);
    cache->machines = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, frozen_free);
    return cache;
}

void stead_frozen_cache_free(SteadFrozenCache *cache)
{
    if (cache == NULL)
        return;
    g_hash_table_unref(cache->machines);
    g_mutex_clear(&cache->lock);
    g_free(cache);
}

static gboolean fail(GError **error, const char *what, const char *path)
{
    int saved = errno;
    if (saved == ENOENT)
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "%s %s: it is gone", what, path);
    else
        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "%s %s: %s", what, path,
                    g_strerror(saved));
    return FALSE;
}

/* ---- files, with holes as they are ---- */

typedef gboolean (*ChunkFunc)(const guint8 *bytes, gsize n, off_t at, gpointer data);

/* Hands over all data of a file; `data` of length 0 stands for a hole up to the next call. */
static gboolean each_chunk(int fd, off_t size, ChunkFunc func, gpointer data)
{
    g_autofree guint8 *bytes = g_malloc(CHUNK);
    off_t at = 0;
    while (at < size) {
        off_t begin = lseek(fd, at, SEEK_DATA);
        if (begin < 0)
            return errno == ENXIO;
        off_t end = lseek(fd, begin, SEEK_HOLE);
        end = end < 0 || end > size ? size : end;
        for (at = begin; at < end;) {
            ssize_t n = pread(fd, bytes, MIN(CHUNK, (gsize)(end - at)), at);
            if (n <= 0 || !func(bytes, (gsize)n, at, data))
                return FALSE;
            at += n;
        }
    }
    return TRUE;
}

typedef struct {
    GChecksum *sum;
    int copy; /* -1: none */
} Reading;

static gboolean is_zero(const guint8 *bytes, gsize n)
{
    return n > 0 && bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0;
}

/* A block counts by its place and content, and not at all where it is zero: so holes, whatever the
 * file system makes of them, do not matter, and need not be read. */
static gboolean take_chunk(const guint8 *bytes, gsize n, off_t at, gpointer data)
{
    const Reading *reading = data;
    for (gsize i = 0; i < n; i += BLOCK) {
        gsize part = MIN(BLOCK, n - i);
        guint64 place = GUINT64_TO_LE((guint64)at + i);
        if (is_zero(bytes + i, part))
            continue;
        g_checksum_update(reading->sum, (const guchar *)&place, sizeof place);
        g_checksum_update(reading->sum, bytes + i, (gssize)part);
        if (reading->copy >= 0 &&
            pwrite(reading->copy, bytes + i, part, at + (off_t)i) != (ssize_t)part)
            return FALSE;
    }
    return TRUE;
}

/* "SIZE SHA256" of an open file, copied to `copy` on the way; owned by the caller. */
static char *read_sum(int fd, int copy, const char *path, GError **error)
{
    struct stat st;
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    Reading reading = {sum, copy};
    if (fstat(fd, &st) != 0 || (copy >= 0 && ftruncate(copy, st.st_size) != 0) ||
        !each_chunk(fd, st.st_size, take_chunk, &reading)) {
        fail(error, "reading", path);
        return NULL;
    }
    return g_strdup_printf("%" G_GINT64_FORMAT " %s", (gint64)st.st_size,
                           g_checksum_get_string(sum));
}

/* ---- opening ---- */

static int read_sealed(const char *dir, const char *name, const char *wanted, GError **error)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    stead_autofd file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    stead_autofd copy = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0 || copy < 0) {
        fail(error, "opening", path);
        return -1;
    }
    g_autofree char *sum = read_sum(file, copy, path, error);
    if (sum == NULL)
        return -1;
    if (!g_str_equal(sum, wanted)) {
        stead_set_error(error, STEAD_ERROR_VERIFICATION,
                        "Its files were changed or damaged: make it anew.",
                        "%s is not what was frozen: its checksum differs", path);
        return -1;
    }
    if (fcntl(copy, F_ADD_SEALS, SEALS) != 0) {
        fail(error, "sealing", path);
        return -1;
    }
    return stead_steal_fd(&copy);
}

static Frozen *read_frozen(const char *dir, GError **error)
{
    g_autofree char *path = g_build_filename(dir, "sums", NULL);
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "the frozen machine %s is gone", dir);
        return NULL;
    }
    g_auto(GStrv) sums = g_strsplit(g_strchomp(text), "\n", 3);
    if (g_strv_length(sums) != 2) {
        stead_set_error(error, STEAD_ERROR_VERIFICATION, NULL, "%s makes no sense", path);
        return NULL;
    }
    Frozen *frozen = g_new0(Frozen, 1);
    frozen->memory = read_sealed(dir, "memory", sums[0], error);
    frozen->state = frozen->memory < 0 ? -1 : read_sealed(dir, "state", sums[1], error);
    if (frozen->state >= 0)
        return frozen;
    frozen_free(frozen);
    return NULL;
}

/* A descriptor of the same file with a position of its own. */
static int open_again(int fd)
{
    char path[64];
    g_snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC);
}

gboolean stead_frozen_open(SteadFrozenCache *cache, const char *dir, int *memory, int *state,
                           GError **error)
{
    *memory = *state = -1;
    g_mutex_lock(&cache->lock);
    Frozen *frozen = g_hash_table_lookup(cache->machines, dir);
    if (frozen == NULL) {
        frozen = read_frozen(dir, error);
        if (frozen)
            g_hash_table_insert(cache->machines, g_strdup(dir), frozen);
    }
    if (frozen) {
        *memory = fcntl(frozen->memory, F_DUPFD_CLOEXEC, 3);
        *state = open_again(frozen->state);
    }
    g_mutex_unlock(&cache->lock);
    if (frozen && (*memory < 0 || *state < 0)) {
        stead_clear_fd(memory);
        stead_clear_fd(state);
        return fail(error, "opening", dir);
    }
    return frozen != NULL;
}

void stead_frozen_drop(SteadFrozenCache *cache, const char *dir)
{
    g_mutex_lock(&cache->lock);
    g_hash_table_remove(cache->machines, dir);
    g_mutex_unlock(&cache->lock);
}

guint64 stead_frozen_resident(SteadFrozenCache *cache, const char *dir)
{
    struct stat memory = {0}, state = {0};
    g_mutex_lock(&cache->lock);
    const Frozen *frozen = g_hash_table_lookup(cache->machines, dir);
    gboolean known =
        frozen && fstat(frozen->memory, &memory) == 0 && fstat(frozen->state, &state) == 0;
    g_mutex_unlock(&cache->lock);
    return known ? ((guint64)memory.st_blocks + (guint64)state.st_blocks) * 512 : 0;
}

/* ---- sealing ---- */

static char *sum_file(const char *dir, const char *name, GError **error)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    stead_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fdatasync(fd) != 0) {
        fail(error, "reading", path);
        return NULL;
    }
    return read_sum(fd, -1, path, error);
}

gboolean stead_frozen_seal(const char *dir, GError **error)
{
    g_autofree char *path = g_build_filename(dir, "sums", NULL);
    g_autofree char *memory = sum_file(dir, "memory", error);
    g_autofree char *state = memory ? sum_file(dir, "state", error) : NULL;
    if (state == NULL)
        return FALSE;
    g_autofree char *text = g_strdup_printf("%s\n%s\n", memory, state);
    return stead_write_file(path, text, -1, 0600, error);
}
