/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacking. The decompressor runs confined with the packed file as its standard input; what it
 * writes comes through a pipe and is written here, so that the bound on the size, the free space
 * and the holes are in one place, and so that how far the decompressor has read (the offset of the
 * shared input) tells the progress.
 */
#include "image/unpack.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "image/confined.h"
#include "image/space.h"

#define BLOCK 4096
#define COPY_CHUNK (256 * 1024)
/* Free space is asked for, and progress told, once in so many bytes. */
#define CHECK_EVERY (16 * 1024 * 1024)
/* A decompressor's dictionary; xz -9 and zstd --ultra need less. */
#define UNPACK_MEMORY (G_GUINT64_CONSTANT(1) << 30)

static const char *const gzip_argv[] = {"gzip", "-dc", NULL};
static const char *const xz_argv[] = {"xz", "-dc", "-T1", "--memlimit-decompress=768MiB", NULL};
static const char *const zstd_argv[] = {"zstd", "-dcq", "--memory=768MB", NULL};

static const char *const *const unpackers[] = {
    [STEAD_PACKING_GZIP] = gzip_argv,
    [STEAD_PACKING_XZ] = xz_argv,
    [STEAD_PACKING_ZSTD] = zstd_argv,
};
G_STATIC_ASSERT(G_N_ELEMENTS(unpackers) == STEAD_N_PACKINGS);

typedef struct {
    int from;
    int to;
    guint64 from_size;
    guint64 at;      /* bytes of content seen */
    guint64 checked; /* `at` when space and progress were last looked at */
    const char *stage;
    SteadProgressFunc progress;
    gpointer data;
} Sink;

static gboolean fail_errno(GError **error, int saved, const char *doing)
{
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "%s: %s", doing,
                g_strerror(saved));
    return FALSE;
}

static gboolean is_zero(const guint8 *bytes, gsize n)
{
    return n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0);
}

static gboolean write_at(int fd, const guint8 *bytes, gsize n, guint64 at, GError **error)
{
    while (n > 0) {
        ssize_t written = pwrite(fd, bytes, n, (off_t)at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return fail_errno(error, errno, "writing");
        bytes += written;
        n -= (gsize)written;
        at += (guint64)written;
    }
    return TRUE;
}

static gboolean check_sink(Sink *sink, GError **error)
{
    sink->checked = sink->at;
    if (sink->progress && sink->from_size > 0) {
        off_t read = lseek(sink->from, 0, SEEK_CUR);
        sink->progress(sink->stage, MIN(1.0, (double)read / (double)sink->from_size), sink->data);
    }
    return stead_space_check(sink->to, CHECK_EVERY, "the image", error);
}

static gboolean take(const guint8 *bytes, gsize n, gpointer data, GError **error)
{
    Sink *sink = data;
    if (n > STEAD_UNPACK_MAX - sink->at) {
        stead_set_error(error, STEAD_ERROR_EXHAUSTED, NULL, "it unpacks to more than 2 TiB");
        return FALSE;
    }
    while (n > 0) {
        gsize part = MIN(n, BLOCK - sink->at % BLOCK);
        if (!is_zero(bytes, part) && !write_at(sink->to, bytes, part, sink->at, error))
            return FALSE;
        bytes += part;
        n -= part;
        sink->at += part;
    }
    return sink->at - sink->checked < CHECK_EVERY || check_sink(sink, error);
}

/* The last bytes may have been zeros that were not written. */
static gboolean end_sink(const Sink *sink, GError **error)
{
    return ftruncate(sink->to, (off_t)sink->at) == 0 ? TRUE : fail_errno(error, errno, "writing");
}

gboolean stead_unpack(int from, SteadPacking packing, int to, SteadProgressFunc progress,
                      gpointer data, GCancellable *cancellable, GError **error)
{
    struct stat st;
    if (fstat(from, &st) != 0 || lseek(from, 0, SEEK_SET) < 0)
        return fail_errno(error, errno, "reading");
    Sink sink = {.from = from,
                 .to = to,
                 .from_size = (guint64)st.st_size,
                 .stage = "unpacking",
                 .progress = progress,
                 .data = data};
    SteadConfinedOptions options = {.argv = unpackers[packing],
                                    .input = from,
                                    .memory = UNPACK_MEMORY,
                                    .on_output = take,
                                    .data = &sink};
    return check_sink(&sink, error) && stead_confined_run(&options, cancellable, error) &&
           end_sink(&sink, error);
}

/* Copies one run of data; the offset of `from` is left where it ends. */
static gboolean copy_run(Sink *sink, guint64 end, guint8 *buffer, GCancellable *cancellable,
                         GError **error)
{
    while (sink->at < end) {
        if (g_cancellable_set_error_if_cancelled(cancellable, error))
            return FALSE;
        ssize_t n = pread(sink->from, buffer, MIN(COPY_CHUNK, end - sink->at), (off_t)sink->at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(error, errno, "reading");
        if (n == 0)
            return TRUE; /* it became shorter */
        lseek(sink->from, (off_t)sink->at + n, SEEK_SET);
        if (!take(buffer, (gsize)n, sink, error))
            return FALSE;
    }
    return TRUE;
}

gboolean stead_copy_sparse(int from, int to, SteadProgressFunc progress, gpointer data,
                           GCancellable *cancellable, GError **error)
{
    struct stat st;
    if (ioctl(to, FICLONE, from) == 0)
        return TRUE;
    if (fstat(from, &st) != 0)
        return fail_errno(error, errno, "reading");
    Sink sink = {.from = from,
                 .to = to,
                 .from_size = (guint64)st.st_size,
                 .stage = "copying",
                 .progress = progress,
                 .data = data};
    g_autofree guint8 *buffer = g_malloc(COPY_CHUNK);
    if (!stead_space_check(to, (guint64)st.st_blocks * 512, "copying the image", error))
        return FALSE;
    while (sink.at < sink.from_size) {
        off_t start = lseek(from, (off_t)sink.at, SEEK_DATA);
        if (start < 0)
            break; /* only a hole is left */
        off_t end = lseek(from, start, SEEK_HOLE);
        sink.at = sink.checked = (guint64)start;
        if (end <= start || !copy_run(&sink, (guint64)end, buffer, cancellable, error))
            return end <= start ? fail_errno(error, errno, "reading") : FALSE;
        if (sink.at < (guint64)end)
            break;
    }
    sink.at = MAX(sink.at, sink.from_size);
    return end_sink(&sink, error);
}
