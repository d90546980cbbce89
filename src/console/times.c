/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The time index.
 *
 * The log holds the guest's bytes and nothing else, so times stand in a file beside it: a header,
 * then records of 16 bytes in order of position. One record holds for all lines that begin at its
 * position or later, until the next record; so a burst of lines costs one record, and a console
 * that is silent costs none. Positions are those of console/log.h: they run on over rotation, and
 * the header keeps the mark by which they are found again after a restart.
 *
 * The file is bounded: when it is full it is written anew with the younger half, and moved over the
 * old one; a reader holds values and never record numbers, so it need not notice. Bytes that do not
 * make a whole record (a write cut short by a full disk) are overwritten by the next.
 *
 * Times are a convenience, never a condition: without an index the log is complete all the same.
 */
#include "console/times.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"

#define MAGIC "SteadTm1"
#define BLOCK 256
#define GUESSED (G_GUINT64_CONSTANT(1) << 63)

/* Both are in the host's byte order: the index never leaves the host. */
typedef struct {
    char magic[8];
    guint64 inode;
    gint64 birth;
    guint64 base;
    guint64 end;
    guint64 boot;
    guint64 reserved[2];
} Header;
G_STATIC_ASSERT(sizeof(Header) == 64);

typedef struct {
    guint64 position; /* the highest bit: guessed */
    gint64 time;
} Record;
G_STATIC_ASSERT(sizeof(Record) == 16);

struct _SteadTimes {
    char *path;
    Header header;
    SteadLogMark mark;
    guint64 count; /* records */
    Record last;
};

static guint64 position_of(const Record *record)
{
    return record->position & ~GUESSED;
}

static off_t offset_of(guint64 index)
{
    return (off_t)(sizeof(Header) + index * sizeof(Record));
}

/* The number of whole records of an open index, and its header; FALSE where it is none. */
static gboolean read_header(int fd, Header *header, guint64 *count)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || pread(fd, header, sizeof *header, 0) != sizeof *header ||
        memcmp(header->magic, MAGIC, sizeof header->magic) != 0)
        return FALSE;
    *count = ((guint64)st.st_size - sizeof *header) / sizeof(Record);
    return *count <= STEAD_TIMES_RECORDS_MAX;
}

SteadTimes *stead_times_new(const char *path)
{
    SteadTimes *times = g_new0(SteadTimes, 1);
    times->path = g_strdup(path);
    stead_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || !read_header(fd, &times->header, &times->count)) {
        memset(&times->header, 0, sizeof times->header);
        memcpy(times->header.magic, MAGIC, sizeof times->header.magic);
        times->count = 0;
    }
    if (times->count > 0 &&
        pread(fd, &times->last, sizeof(Record), offset_of(times->count - 1)) != sizeof(Record))
        times->count = 0;
    const Header *header = &times->header;
    times->mark = (SteadLogMark){header->inode, header->birth, header->base, header->end};
    return times;
}

void stead_times_free(SteadTimes *times)
{
    if (times == NULL)
        return;
    g_free(times->path);
    g_free(times);
}

const SteadLogMark *stead_times_mark(const SteadTimes *times)
{
    return &times->mark;
}

guint64 stead_times_boot(const SteadTimes *times)
{
    return times->header.boot;
}

static gboolean failed(const char *path, GError **error)
{
    int code = errno;
    stead_set_error(error, code == ENOSPC ? STEAD_ERROR_EXHAUSTED : STEAD_ERROR_INTERNAL, NULL,
                    "writing the time index %s: %s", path, g_strerror(code));
    return FALSE;
}

static gboolean put(int fd, const void *bytes, gsize n, off_t at)
{
    return pwrite(fd, bytes, n, at) == (gssize)n;
}

static gboolean store(SteadTimes *times, const Record *record, GError **error)
{
    stead_autofd fd = open(times->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0 || !put(fd, &times->header, sizeof times->header, 0))
        return failed(times->path, error);
    if (record == NULL)
        return TRUE;
    if (!put(fd, record, sizeof *record, offset_of(times->count)))
        return failed(times->path, error);
    times->last = *record;
    times->count++;
    return TRUE;
}

gboolean stead_times_set_mark(SteadTimes *times, const SteadLogMark *mark, GError **error)
{
    times->mark = *mark;
    times->header.inode = mark->inode;
    times->header.birth = mark->birth;
    times->header.base = mark->base;
    times->header.end = mark->end;
    return store(times, NULL, error);
}

gboolean stead_times_set_boot(SteadTimes *times, guint64 position, GError **error)
{
    times->header.boot = position;
    return store(times, NULL, error);
}

/* Where the records begin that are worth keeping: at the last one that holds for `start`, but never
 * more than half of them. */
static guint64 first_to_keep(const Record *records, guint64 count, guint64 start)
{
    guint64 first = count / 2;
    while (first + 1 < count && position_of(&records[first + 1]) <= start)
        first++;
    return first;
}

static gboolean drop_old(SteadTimes *times, guint64 start, GError **error)
{
    gsize length = times->count * sizeof(Record);
    g_autofree Record *records = g_malloc(length);
    stead_autofd old = open(times->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (old < 0 || pread(old, records, length, sizeof(Header)) != (gssize)length)
        return failed(times->path, error);
    guint64 first = first_to_keep(records, times->count, start);
    g_autofree char *name = g_strconcat(times->path, ".new", NULL);
    stead_autofd fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    stead_autounlink unfinished = g_strdup(name);
    length = (times->count - first) * sizeof(Record);
    if (fd < 0 || !put(fd, &times->header, sizeof times->header, 0) ||
        !put(fd, records + first, length, sizeof times->header) || rename(name, times->path) < 0)
        return failed(times->path, error);
    g_clear_pointer(&unfinished, g_free);
    times->count -= first;
    return TRUE;
}

gboolean stead_times_add(SteadTimes *times, guint64 position, gint64 time, gboolean guessed,
                         guint64 start, GError **error)
{
    if (times->count > 0) {
        gint64 elapsed = time - times->last.time;
        gboolean near = elapsed >= 0 && elapsed < STEAD_TIMES_RESOLUTION_US &&
                        ((times->last.position & GUESSED) != 0) == guessed;
        if (near || position <= position_of(&times->last))
            return TRUE;
    }
    if (times->count >= STEAD_TIMES_RECORDS_MAX && !drop_old(times, start, error))
        return FALSE;
    Record record = {(position & ~GUESSED) | (guessed ? GUESSED : 0), time};
    return store(times, &record, error);
}

struct _SteadTimesCursor {
    char *path;
    guint n; /* records in the block */
    Record block[BLOCK];
};

SteadTimesCursor *stead_times_cursor_new(const char *path)
{
    SteadTimesCursor *cursor = g_new0(SteadTimesCursor, 1);
    cursor->path = g_strdup(path);
    return cursor;
}

void stead_times_cursor_free(SteadTimesCursor *cursor)
{
    if (cursor == NULL)
        return;
    g_free(cursor->path);
    g_free(cursor);
}

/* The index of the last record that is not after the position; 0 where all are after it. */
static guint64 search_file(int fd, guint64 count, guint64 position)
{
    guint64 low = 0, high = count;
    while (high - low > 1) {
        guint64 middle = low + (high - low) / 2;
        Record record;
        if (pread(fd, &record, sizeof record, offset_of(middle)) == sizeof record &&
            position_of(&record) <= position)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Fills the block from the record that holds for the position onwards. */
static void load(SteadTimesCursor *cursor, guint64 position)
{
    Header header;
    guint64 count;
    stead_autofd fd = open(cursor->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    cursor->n = 0;
    if (fd < 0 || !read_header(fd, &header, &count) || count == 0)
        return;
    guint64 first = search_file(fd, count, position);
    gssize got = pread(fd, cursor->block, sizeof cursor->block, offset_of(first));
    cursor->n = got > 0 ? (guint)((gsize)got / sizeof(Record)) : 0;
}

gboolean stead_times_cursor_at(SteadTimesCursor *cursor, guint64 position, gint64 *time,
                               gboolean *guessed)
{
    /* The last record of the block may have a successor that the block does not show. */
    if (cursor->n < 2 || position < position_of(&cursor->block[0]) ||
        position >= position_of(&cursor->block[cursor->n - 1]))
        load(cursor, position);
    if (cursor->n == 0)
        return FALSE;
    guint low = 0, high = cursor->n;
    while (high - low > 1) {
        guint middle = low + (high - low) / 2;
        if (position_of(&cursor->block[middle]) <= position)
            low = middle;
        else
            high = middle;
    }
    const Record *record = &cursor->block[low];
    *time = record->time;
    *guessed = (record->position & GUESSED) != 0 || position_of(record) > position;
    return TRUE;
}
