/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Positions over rotated files.
 *
 * The model is a list of files, newest first: console.log, console.log.0, console.log.1, ... Each
 * has an identity (inode and birth time; the birth time because a file system hands the inode of a
 * deleted file to the next one made) and a base, the position of its first byte. A rotation gives
 * every file another name, but no other identity, so the bases are carried over by identity:
 *
 *   - a file that was known keeps its base;
 *   - a newer one begins where the one before it ended;
 *   - an older one (known only after a restart, when the mark names just the newest) ends where
 *     the next begins;
 *   - if the file that was newest is gone altogether, nobody knows how much was logged since, and
 *     counting goes on from the last position seen, so that positions at least never go back;
 *   - a file that shrank was truncated: its bytes are new ones and begin at the last position seen.
 *
 * No descriptor is kept between reads: a thousand idle consoles would cost a thousand. Instead a
 * file that was opened is compared with the identity expected, and the names are read anew when
 * virtlogd renamed it in between.
 */
#include "console/log.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

#define OPEN_TRIES 4
#define TAIL_BLOCK 16384

typedef struct {
    guint64 inode;
    gint64 birth;
    guint64 base;
    guint64 size;
} File;

struct _SteadLog {
    char *path;
    GArray *files; /* File, newest first */
    guint64 end;   /* the greatest position ever seen */
    gint64 modified;
};

static gboolean look_at(int folder, const char *path, int flags, File *file, gint64 *modified)
{
    struct statx st;
    if (statx(folder, path, flags, STATX_INO | STATX_SIZE | STATX_MTIME | STATX_BTIME, &st) < 0 ||
        !S_ISREG(st.stx_mode))
        return FALSE;
    gboolean has_birth = (st.stx_mask & STATX_BTIME) != 0;
    *file = (File){
        .inode = st.stx_ino,
        .birth = has_birth ? st.stx_btime.tv_sec * 1000000000 + st.stx_btime.tv_nsec : 0,
        .size = st.stx_size,
    };
    if (modified)
        *modified = st.stx_mtime.tv_sec * G_USEC_PER_SEC + st.stx_mtime.tv_nsec / 1000;
    return TRUE;
}

static gboolean is_same(const File *a, const File *b)
{
    return a->inode == b->inode && a->birth == b->birth;
}

static char *path_of(const SteadLog *log, guint index)
{
    return index == 0 ? g_strdup(log->path) : g_strdup_printf("%s.%u", log->path, index - 1);
}

/* The files as they are now, without bases. The newest may be missing in the middle of a rotation;
 * its place is then kept by an entry without an inode, so that index and name agree. */
static GArray *list_files(SteadLog *log)
{
    GArray *files = g_array_sized_new(FALSE, TRUE, sizeof(File), 2);
    for (guint i = 0; i <= STEAD_LOG_BACKUPS_MAX; i++) {
        g_autofree char *path = path_of(log, i);
        File file = {0};
        gboolean found =
            look_at(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &file, i == 0 ? &log->modified : NULL);
        if (!found && i > 0)
            break;
        g_array_append_val(files, file);
    }
    return files;
}

static const File *find(const GArray *files, const File *wanted)
{
    for (guint i = 0; i < files->len && wanted->inode != 0; i++)
        if (is_same(&g_array_index(files, File, i), wanted))
            return &g_array_index(files, File, i);
    return NULL;
}

/* Gives the files of `now` their bases from those that were known. */
static void place(SteadLog *log, GArray *now)
{
    const File *newest = log->files->len ? &g_array_index(log->files, File, 0) : NULL;
    gboolean lost = newest == NULL || find(now, newest) == NULL;
    gint oldest_known = -1;
    guint64 next = 0;
    for (gint i = (gint)now->len - 1; i >= 0; i--) {
        File *file = &g_array_index(now, File, i);
        g_assert(file != NULL); /* an array with an element has memory for it */
        const File *known = find(log->files, file);
        if (known) {
            file->base = file->size >= known->size ? known->base : log->end;
            oldest_known = MAX(oldest_known, i);
        } else {
            file->base = lost ? MAX(next, log->end) : next;
        }
        next = file->base + file->size;
    }
    for (guint i = (guint)(oldest_known + 1); oldest_known >= 0 && i < now->len; i++) {
        File *file = &g_array_index(now, File, i);
        guint64 ends = g_array_index(now, File, i - 1).base;
        file->base = ends > file->size ? ends - file->size : 0;
    }
}

SteadLog *stead_log_new(const char *path, const SteadLogMark *mark)
{
    SteadLog *log = g_new0(SteadLog, 1);
    log->path = g_strdup(path);
    log->files = g_array_sized_new(FALSE, TRUE, sizeof(File), 2);
    if (mark && mark->inode != 0 && mark->end >= mark->base) {
        File file = {mark->inode, mark->birth, mark->base, mark->end - mark->base};
        g_array_append_val(log->files, file);
        log->end = mark->end;
    } else if (mark) {
        log->end = mark->end;
    }
    stead_log_refresh(log);
    return log;
}

void stead_log_free(SteadLog *log)
{
    if (log == NULL)
        return;
    g_array_unref(log->files);
    g_free(log->path);
    g_free(log);
}

static void update_end(SteadLog *log)
{
    for (guint i = 0; i < log->files->len; i++) {
        const File *file = &g_array_index(log->files, File, i);
        log->end = MAX(log->end, file->base + file->size);
    }
}

/* The common case, one system call: the newest file is the one that was, and did not shrink. */
static gboolean refresh_newest(SteadLog *log)
{
    File now;
    if (log->files->len == 0 ||
        !look_at(AT_FDCWD, log->path, AT_SYMLINK_NOFOLLOW, &now, &log->modified))
        return FALSE;
    File *newest = &g_array_index(log->files, File, 0);
    if (!is_same(newest, &now) || now.size < newest->size)
        return FALSE;
    newest->size = now.size;
    log->end = MAX(log->end, newest->base + newest->size);
    return TRUE;
}

gboolean stead_log_refresh(SteadLog *log)
{
    if (log->files->len > 1 && refresh_newest(log))
        return FALSE;
    GArray *now = list_files(log);
    gboolean changed = now->len != log->files->len;
    for (guint i = 0; i < now->len && !changed; i++) {
        const File *was = &g_array_index(log->files, File, i), *is = &g_array_index(now, File, i);
        changed = !is_same(was, is) || is->size < was->size;
    }
    if (now->len == 1 && g_array_index(now, File, 0).inode == 0)
        g_array_set_size(now, 0);
    if (now->len > 0) {
        place(log, now);
        g_array_unref(log->files);
        log->files = now;
        update_end(log);
    } else {
        g_array_unref(now);
        log->modified = 0;
    }
    return changed;
}

guint64 stead_log_start(const SteadLog *log)
{
    for (guint i = log->files->len; i > 0; i--)
        if (g_array_index(log->files, File, i - 1).inode != 0)
            return g_array_index(log->files, File, i - 1).base;
    return log->end;
}

guint64 stead_log_end(const SteadLog *log)
{
    return log->end;
}

gint64 stead_log_modified(const SteadLog *log)
{
    return log->modified;
}

void stead_log_get_mark(const SteadLog *log, SteadLogMark *mark)
{
    *mark = (SteadLogMark){.end = log->end};
    for (guint i = 0; i < log->files->len; i++) {
        const File *file = &g_array_index(log->files, File, i);
        if (file->inode == 0)
            continue;
        *mark = (SteadLogMark){file->inode, file->birth, file->base, log->end};
        return;
    }
}

/* The index of the oldest file that ends after the position; -1: the position is at the end. */
static int index_at(const SteadLog *log, guint64 position)
{
    for (int i = (int)log->files->len - 1; i >= 0; i--) {
        const File *file = &g_array_index(log->files, File, i);
        if (position < file->base + file->size)
            return i;
    }
    return -1;
}

static int open_file(SteadLog *log, guint index)
{
    g_autofree char *path = path_of(log, index);
    stead_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    File file;
    if (fd < 0 || !look_at(fd, "", AT_EMPTY_PATH, &file, NULL) ||
        !is_same(&file, &g_array_index(log->files, File, index)))
        return -1;
    return stead_steal_fd(&fd);
}

gsize stead_log_read(SteadLog *log, guint64 *position, gpointer buffer, gsize n)
{
    for (int try = 0; try < OPEN_TRIES; try++) {
        int index = index_at(log, *position);
        if (index < 0)
            return 0;
        stead_autofd fd = open_file(log, (guint)index);
        if (fd >= 0) {
            const File *file = &g_array_index(log->files, File, index);
            guint64 at = MAX(*position, file->base);
            gsize wanted = (gsize)MIN((guint64)n, file->base + file->size - at);
            gssize got = pread(fd, buffer, wanted, (off_t)(at - file->base));
            if (got > 0) {
                *position = at;
                return (gsize)got;
            }
        }
        stead_log_refresh(log);
    }
    return 0;
}

/* The newest file that begins before the position; NULL: none. */
static const File *file_before(const SteadLog *log, guint64 position)
{
    for (guint i = 0; i < log->files->len; i++) {
        const File *file = &g_array_index(log->files, File, i);
        if (file->size > 0 && file->base < position)
            return file;
    }
    return NULL;
}

guint64 stead_log_tail(SteadLog *log, guint n)
{
    char block[TAIL_BLOCK];
    guint64 end = stead_log_end(log), upper = end;
    guint found = 0;
    while (n > 0) {
        const File *file = file_before(log, upper);
        if (file == NULL)
            return stead_log_start(log);
        upper = MIN(upper, file->base + file->size);
        guint64 lower = MAX(file->base, upper > TAIL_BLOCK ? upper - TAIL_BLOCK : 0), at = lower;
        gsize got = stead_log_read(log, &at, block, (gsize)(upper - lower));
        if (at != lower || got != upper - lower) /* rotated away just now */
            return upper;
        for (gsize i = got; i > 0; i--) /* a line end as the very last byte begins no line */
            if (block[i - 1] == '\n' && lower + i != end && ++found == n)
                return lower + i;
        upper = lower;
    }
    return end;
}
