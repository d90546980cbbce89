/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memory file lives as long as this cache or a machine that maps it; sealed against writing,
 * growing and shrinking, it is the one thing that the engines of different guests share.
 *
 * Reading a large machine takes seconds: whoever wants the same one waits for it, and nobody else.
 */
#include "runtime/microvm/frozen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "runtime/microvm/frozen_sums.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static const char *const loaded[] = {"memory", "state"};

typedef struct {
    GMutex reading;    /* held while its files are read */
    GPtrArray *sums;   /* SteadFrozenSum; NULL: not read yet */
    int memory, state; /* sealed; -1; changed with both locks held */
} Frozen;

struct _SteadFrozenCache {
    GMutex lock;          /* never held for long */
    GHashTable *machines; /* folder → Frozen */
};

static void frozen_clear(gpointer data)
{
    Frozen *frozen = data;
    stead_clear_fd(&frozen->memory);
    stead_clear_fd(&frozen->state);
    g_clear_pointer(&frozen->sums, g_ptr_array_unref);
    g_mutex_clear(&frozen->reading);
}

static void frozen_unref(gpointer frozen)
{
    g_atomic_rc_box_release_full(frozen, frozen_clear);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Frozen, frozen_unref)

SteadFrozenCache *stead_frozen_cache_new(void)
{
    SteadFrozenCache *cache = g_new0(SteadFrozenCache, 1);
    g_mutex_init(&cache->lock);
    cache->machines = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, frozen_unref);
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
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "%s %s: %s", what, path,
                g_strerror(saved));
    return FALSE;
}

/* The caller owns a reference. */
static Frozen *find(SteadFrozenCache *cache, const char *dir)
{
    g_mutex_lock(&cache->lock);
    Frozen *frozen = g_hash_table_lookup(cache->machines, dir);
    if (frozen == NULL) {
        frozen = g_atomic_rc_box_new0(Frozen);
        frozen->memory = frozen->state = -1;
        g_mutex_init(&frozen->reading);
        g_hash_table_insert(cache->machines, g_strdup(dir), frozen);
    }
    g_atomic_rc_box_acquire(frozen);
    g_mutex_unlock(&cache->lock);
    return frozen;
}

/* ---- with `reading` held ---- */

static gboolean know_sums(Frozen *frozen, const char *dir, GError **error)
{
    if (frozen->sums == NULL)
        frozen->sums = stead_frozen_sums_read(dir, error);
    return frozen->sums != NULL;
}

static int read_sealed(const Frozen *frozen, const char *dir, const char *name, GError **error)
{
    SteadFrozenSum *sum = stead_frozen_sums_find(frozen->sums, name);
    stead_autofd copy = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (sum == NULL) {
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "there is no %s in %s", name, dir);
        return -1;
    }
    if (copy < 0) {
        fail(error, "making a copy of", name);
        return -1;
    }
    if (!stead_frozen_sum_check(sum, dir, copy, error))
        return -1;
    if (fcntl(copy, F_ADD_SEALS, SEALS) != 0) {
        fail(error, "sealing a copy of", name);
        return -1;
    }
    return stead_steal_fd(&copy);
}

static gboolean load(SteadFrozenCache *cache, Frozen *frozen, const char *dir, GError **error)
{
    if (frozen->memory >= 0)
        return TRUE;
    if (!know_sums(frozen, dir, error))
        return FALSE;
    stead_autofd memory = read_sealed(frozen, dir, loaded[0], error);
    stead_autofd state = memory < 0 ? -1 : read_sealed(frozen, dir, loaded[1], error);
    if (state < 0)
        return FALSE;
    g_mutex_lock(&cache->lock);
    frozen->memory = stead_steal_fd(&memory);
    frozen->state = stead_steal_fd(&state);
    g_mutex_unlock(&cache->lock);
    return TRUE;
}

static gboolean check_others(Frozen *frozen, const char *dir, GError **error)
{
    if (!know_sums(frozen, dir, error) || !stead_frozen_sums_cover(frozen->sums, dir, error))
        return FALSE;
    for (guint i = 0; i < frozen->sums->len; i++) {
        SteadFrozenSum *sum = frozen->sums->pdata[i];
        if (!g_str_equal(sum->name, loaded[0]) && !g_str_equal(sum->name, loaded[1]) &&
            !stead_frozen_sum_check_again(sum, dir, error))
            return FALSE;
    }
    return TRUE;
}

/* After a failure the next one begins anew, in case that somebody mended it. */
static gboolean forget_sums(Frozen *frozen)
{
    g_clear_pointer(&frozen->sums, g_ptr_array_unref);
    return FALSE;
}

/* ---- */

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
    g_autoptr(Frozen) frozen = find(cache, dir);
    g_mutex_lock(&frozen->reading);
    gboolean known = load(cache, frozen, dir, error) || forget_sums(frozen);
    g_mutex_unlock(&frozen->reading);
    if (!known)
        return FALSE;
    *memory = fcntl(frozen->memory, F_DUPFD_CLOEXEC, 3);
    *state = open_again(frozen->state);
    if (*memory >= 0 && *state >= 0)
        return TRUE;
    fail(error, "opening", dir);
    stead_clear_fd(memory);
    stead_clear_fd(state);
    return FALSE;
}

gboolean stead_frozen_check(SteadFrozenCache *cache, const char *dir, GError **error)
{
    g_autoptr(Frozen) frozen = find(cache, dir);
    g_mutex_lock(&frozen->reading);
    gboolean right = check_others(frozen, dir, error) || forget_sums(frozen);
    g_mutex_unlock(&frozen->reading);
    return right;
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
    gboolean known = frozen && frozen->memory >= 0 && fstat(frozen->memory, &memory) == 0 &&
                     fstat(frozen->state, &state) == 0;
    g_mutex_unlock(&cache->lock);
    return known ? ((guint64)memory.st_blocks + (guint64)state.st_blocks) * 512 : 0;
}
