/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sums count blocks by their place and content and leave out those of zeros, so that reading a
 * sparse file costs what is in it, and a file system that fills holes changes nothing.
 *
 * Whoever changes a file moves its times, if not its size, and whoever replaces it its number: the
 * same file with the same times need not be read again. But a clock has a grain: in the moment
 * after a change another one might leave the times as they are, so such a file is read once more.
 */
#include "runtime/microvm/frozen_sums.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/paths.h"

#define NAME "sums"
#define HEADER "stead-frozen 2"
#define FILES_MAX 256
#define CHUNK ((gsize)1 << 20)
#define BLOCK 4096
/* Longer than the grain of any file system's clock that counts in less than seconds. */
#define GRAIN (100 * G_TIME_SPAN_MILLISECOND)

static void sum_free(gpointer data)
{
    SteadFrozenSum *sum = data;
    g_free(sum->name);
    g_free(sum->sum);
    g_free(sum);
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

/* ---- the sum of a file, with holes as they are ---- */

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
static gboolean take_chunk(const Reading *reading, const guint8 *bytes, gsize n, off_t at)
{
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

static gboolean read_data(int fd, off_t size, const Reading *reading)
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
            if (n <= 0 || !take_chunk(reading, bytes, (gsize)n, at))
                return FALSE;
            at += n;
        }
    }
    return TRUE;
}

/* "SIZE SHA256" of an open file of that size; owned by the caller. */
static char *read_sum(int fd, off_t size, int copy, const char *path, GError **error)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    const Reading reading = {sum, copy};
    if ((copy >= 0 && ftruncate(copy, size) != 0) || !read_data(fd, size, &reading)) {
        fail(error, "reading", path);
        return NULL;
    }
    return g_strdup_printf("%" G_GINT64_FORMAT " %s", (gint64)size, g_checksum_get_string(sum));
}

/* ---- checking ---- */

static gboolean is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static gboolean is_settled(const struct stat *st)
{
    gint64 changed = (gint64)st->st_ctim.tv_sec * G_USEC_PER_SEC + st->st_ctim.tv_nsec / 1000;
    return ABS(g_get_real_time() - changed) > GRAIN;
}

/* What it is before it is read: whoever changes it meanwhile is found out the next time. */
static gboolean check(SteadFrozenSum *sum, const char *dir, int copy, gboolean again,
                      GError **error)
{
    struct stat now;
    g_autofree char *path = g_build_filename(dir, sum->name, NULL);
    stead_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &now) != 0)
        return fail(error, "opening", path);
    gboolean settled = is_settled(&now);
    if (again && is_same(&now, &sum->seen))
        return TRUE;
    sum->seen.st_size = -1;
    g_autofree char *found = read_sum(fd, now.st_size, copy, path, error);
    if (found == NULL)
        return FALSE;
    if (!g_str_equal(found, sum->sum)) {
        stead_set_error(error, STEAD_ERROR_VERIFICATION,
                        "It was changed or damaged: remove what was frozen, and make it anew.",
                        "%s is not what was frozen: its checksum differs", path);
        return FALSE;
    }
    if (settled)
        sum->seen = now;
    return TRUE;
}

gboolean stead_frozen_sum_check(SteadFrozenSum *sum, const char *dir, int copy, GError **error)
{
    return check(sum, dir, copy, FALSE, error);
}

gboolean stead_frozen_sum_check_again(SteadFrozenSum *sum, const char *dir, GError **error)
{
    return check(sum, dir, -1, TRUE, error);
}

/* ---- the file of sums ---- */

/* "SIZE SHA256 NAME"; NULL when it is something else. */
static SteadFrozenSum *parse_line(const char *line)
{
    const char *first = strchr(line, ' ');
    const char *second = first ? strchr(first + 1, ' ') : NULL;
    const char *name = second ? second + 1 : "";
    if (first == line || second == first + 1 || *name == '\0' || *name == '.' || strchr(name, '/'))
        return NULL;
    SteadFrozenSum *sum = g_new0(SteadFrozenSum, 1);
    sum->name = g_strdup(name);
    sum->sum = g_strndup(line, (gsize)(second - line));
    sum->seen.st_size = -1;
    return sum;
}

/* NULL when it makes no sense. */
static GPtrArray *parse(char *text)
{
    g_autoptr(GPtrArray) sums = g_ptr_array_new_with_free_func(sum_free);
    g_auto(GStrv) lines = g_strsplit(g_strchomp(text), "\n", FILES_MAX + 2);
    if (g_strcmp0(lines[0], HEADER) != 0)
        return NULL;
    for (guint i = 1; lines[i]; i++) {
        SteadFrozenSum *sum = parse_line(lines[i]);
        if (sum == NULL)
            return NULL;
        g_ptr_array_add(sums, sum);
    }
    return sums->len <= FILES_MAX ? g_steal_pointer(&sums) : NULL;
}

GPtrArray *stead_frozen_sums_read(const char *dir, GError **error)
{
    g_autofree char *path = g_build_filename(dir, NAME, NULL);
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "the frozen machine %s has no sums",
                        dir);
        return NULL;
    }
    GPtrArray *sums = parse(text);
    if (sums == NULL)
        stead_set_error(error, STEAD_ERROR_VERIFICATION,
                        "Remove what was frozen, and make it anew.",
                        "%s is damaged, or of another version of stead", path);
    return sums;
}

SteadFrozenSum *stead_frozen_sums_find(const GPtrArray *sums, const char *name)
{
    for (guint i = 0; i < sums->len; i++)
        if (g_str_equal(((SteadFrozenSum *)sums->pdata[i])->name, name))
            return sums->pdata[i];
    return NULL;
}

/* ---- the folder ---- */

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In an order that does not depend on the file system. The array owns the names. */
static GPtrArray *list_files(const char *dir, GError **error)
{
    g_autoptr(GDir) folder = g_dir_open(dir, 0, error);
    GPtrArray *names = folder ? g_ptr_array_new_with_free_func(g_free) : NULL;
    const char *name;
    while (folder && (name = g_dir_read_name(folder)))
        if (!g_str_equal(name, NAME))
            g_ptr_array_add(names, g_strdup(name));
    if (names)
        g_ptr_array_sort(names, by_name);
    return names;
}

gboolean stead_frozen_sums_cover(const GPtrArray *sums, const char *dir, GError **error)
{
    g_autoptr(GPtrArray) names = list_files(dir, error);
    for (guint i = 0; names && i < names->len; i++) {
        if (stead_frozen_sums_find(sums, names->pdata[i]))
            continue;
        stead_set_error(error, STEAD_ERROR_VERIFICATION,
                        "Remove what was frozen, and make it anew.",
                        "%s holds %s, which has no checksum", dir, (char *)names->pdata[i]);
        return FALSE;
    }
    return names != NULL;
}

static gboolean add_line(GString *text, const char *dir, const char *name, GError **error)
{
    struct stat now;
    g_autofree char *path = g_build_filename(dir, name, NULL);
    stead_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &now) != 0)
        return fail(error, "reading", path);
    g_autofree char *sum = read_sum(fd, now.st_size, -1, path, error);
    if (sum)
        g_string_append_printf(text, "%s %s\n", sum, name);
    return sum != NULL;
}

gboolean stead_frozen_sums_write(const char *dir, GError **error)
{
    g_autofree char *path = g_build_filename(dir, NAME, NULL);
    g_autoptr(GString) text = g_string_new(HEADER "\n");
    g_autoptr(GPtrArray) names = list_files(dir, error);
    if (names == NULL)
        return FALSE;
    for (guint i = 0; i < names->len; i++)
        if (!add_line(text, dir, names->pdata[i], error))
            return FALSE;
    return stead_write_file(path, text->str, (gssize)text->len, 0600, error) &&
           stead_sync_folder(dir, error);
}
