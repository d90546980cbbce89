/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream is "QEVM", version 3, the configuration, and sections. Those of "ram" come first and are
 * made of records: a big-endian word, an address with flags in its low bits, and what they
 * announce. After the last of them come the devices, whose length nobody knows without QEMU; they
 * are passed on as they are.
 */
#include "runtime/microvm/migration.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

#define PAGE 4096
#define BUFFER ((gsize)1 << 20)
#define HEAD_MAX 4096
#define BLOCKS_MAX 64
#define BLOCK_NAME_MAX 255

/* migration/savevm.h */
#define MAGIC 0x5145564dU
#define VERSION 3
#define SECTION_START 0x01
#define SECTION_PART 0x02
#define SECTION_END 0x03
#define SECTION_FOOTER 0x7e

/* migration/ram.c */
#define FLAG_ZERO 0x02U
#define FLAG_MEM_SIZE 0x04U
#define FLAG_PAGE 0x08U
#define FLAG_EOS 0x10U
#define FLAG_CONTINUE 0x20U
#define FLAGS 0xfffU

typedef struct {
    const SteadMigration *migration;
    guint8 *buffer;
    gsize at, end;
    GByteArray *kept; /* what goes to the state */
    guint silence_ms;
    gint64 wait_us;  /* what is left of the time for waiting */
    guint64 pages;   /* of the guest's memory, told so far */
    GError *error;   /* it did not come, and why */
    gboolean failed; /* the stream ended, or that */
    gboolean ours;   /* the current block is the guest's memory */
} Split;

static gboolean fail(GError **error, const char *why)
{
    stead_set_error(error, STEAD_ERROR_INVALID, NULL, "the engine's state makes no sense: %s", why);
    return FALSE;
}

/* Waits until there is something to read, or its end. What we do ourselves meanwhile, as writing to
 * a slow disk, is not counted. */
static gboolean await_bytes(Split *split)
{
    const SteadMigration *migration = split->migration;
    GPollFD fds[2] = {{.fd = migration->from, .events = G_IO_IN | G_IO_HUP}};
    gboolean cancellable_too = g_cancellable_make_pollfd(migration->cancellable, &fds[1]);
    gint64 began = g_get_monotonic_time();
    int n = g_poll(fds, cancellable_too ? 2 : 1,
                   (int)MIN((gint64)split->silence_ms, split->wait_us / G_TIME_SPAN_MILLISECOND));
    split->wait_us = MAX(0, split->wait_us - (g_get_monotonic_time() - began));
    if (cancellable_too)
        g_cancellable_release_fd(migration->cancellable);
    if (g_cancellable_is_cancelled(migration->cancellable))
        stead_set_error(&split->error, STEAD_ERROR_CANCELLED, NULL, "cancelled");
    else if (n == 0)
        stead_set_error(&split->error, STEAD_ERROR_TIMEOUT, NULL,
                        "the engine does not write its state");
    return split->error == NULL;
}

static gboolean fill(Split *split)
{
    ssize_t n = -1;
    errno = EAGAIN;
    while (n < 0 && (errno == EINTR || errno == EAGAIN) && await_bytes(split))
        n = read(split->migration->from, split->buffer, BUFFER);
    split->at = 0;
    split->end = n > 0 ? (gsize)n : 0;
    return n > 0;
}

/* The next n bytes; a stream that has ended reads as zeros, and has failed. */
static void take(Split *split, guint8 *bytes, gsize n)
{
    while (n > 0 && !split->failed) {
        if (split->at == split->end && !fill(split)) {
            split->failed = TRUE;
            break;
        }
        gsize part = MIN(n, split->end - split->at);
        memcpy(bytes, split->buffer + split->at, part);
        split->at += part;
        bytes += part;
        n -= part;
    }
    memset(bytes, 0, n);
}

static guint64 be(const guint8 *bytes, gsize n)
{
    guint64 value = 0;
    for (gsize i = 0; i < n; i++)
        value = value << 8 | bytes[i];
    return value;
}

static void keep(Split *split, const guint8 *bytes, gsize n)
{
    g_byte_array_append(split->kept, bytes, (guint)n);
}

/* Takes n bytes (at most 8) that are kept, too. */
static guint64 pass_word(Split *split, gsize n)
{
    guint8 bytes[8];
    take(split, bytes, n);
    keep(split, bytes, n);
    return be(bytes, n);
}

/* A name with its length before it; `keeps`: it is kept as well. */
static void take_name(Split *split, char name[BLOCK_NAME_MAX + 1], gboolean keeps)
{
    guint8 length;
    take(split, &length, 1);
    take(split, (guint8 *)name, length);
    name[length] = '\0';
    if (keeps) {
        keep(split, &length, 1);
        keep(split, (const guint8 *)name, length);
    }
}

/* ---- records ---- */

/* The list of all blocks, at the beginning; ours has to be among them with the right size. */
static gboolean take_sizes(Split *split, guint64 total, GError **error)
{
    gboolean found = FALSE;
    for (guint n = 0; total > 0; n++) {
        char name[BLOCK_NAME_MAX + 1];
        take_name(split, name, TRUE);
        guint64 size = pass_word(split, 8);
        pass_word(split, 8); /* its address: with x-ignore-shared */
        if (split->failed || size == 0 || size > total || n == BLOCKS_MAX)
            return fail(error, "its list of memory blocks");
        found |= g_str_equal(name, split->migration->block) && size == split->migration->size;
        total -= size;
    }
    return found || fail(error, "the guest's memory is not among its blocks");
}

static gboolean write_page(const Split *split, guint64 address, const guint8 *page, GError **error)
{
    if (address > split->migration->size - PAGE)
        return fail(error, "a page beyond the guest's memory");
    if (pwrite(split->migration->memory, page, PAGE, (off_t)address) == PAGE)
        return TRUE;
    int saved = errno;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "writing the memory: %s",
                g_strerror(saved));
    return FALSE;
}

/* The machine stands still, so that each page comes once; what a device wrote meanwhile, twice. */
static gboolean count_page(Split *split, GError **error)
{
    return ++split->pages <= 2 * (split->migration->size / PAGE) ||
           fail(error, "it has more pages than the guest's memory");
}

static gboolean take_page(Split *split, guint64 word, GError **error)
{
    guint8 page[PAGE];
    guint8 head[8 + 1 + BLOCK_NAME_MAX];
    gsize length = 8;
    for (guint i = 0; i < 8; i++)
        head[i] = (guint8)(word >> (56 - 8 * i));
    if (!(word & FLAG_CONTINUE)) {
        char name[BLOCK_NAME_MAX + 1];
        take_name(split, name, FALSE);
        head[length] = (guint8)strlen(name);
        memcpy(head + length + 1, name, head[length]);
        length += 1u + head[length];
        split->ours = g_str_equal(name, split->migration->block);
    }
    gsize body = word & FLAG_PAGE ? PAGE : 1;
    take(split, page, body);
    if (split->failed)
        return fail(error, "it is cut short");
    if (split->ours)
        /* The file is empty, so that a page of zeros is there already. */
        return count_page(split, error) &&
               (body == 1 ? page[0] == 0 || fail(error, "a page of no known content")
                          : write_page(split, word & ~(guint64)FLAGS, page, error));
    keep(split, head, length);
    keep(split, page, body);
    return TRUE;
}

static gboolean take_records(Split *split, GError **error)
{
    for (;;) {
        guint8 bytes[8];
        take(split, bytes, 8);
        guint64 word = be(bytes, 8);
        guint flags = (guint)(word & FLAGS);
        if (split->failed)
            return fail(error, "it is cut short");
        if (split->kept->len > STEAD_MIGRATION_STATE_MAX)
            return fail(error, "it is too large");
        if (flags == FLAG_EOS || flags == FLAG_MEM_SIZE)
            keep(split, bytes, 8);
        if (flags == FLAG_EOS)
            return TRUE;
        if (flags == FLAG_MEM_SIZE) {
            if (!take_sizes(split, word & ~(guint64)FLAGS, error))
                return FALSE;
        } else if ((flags & ~FLAG_CONTINUE) != FLAG_PAGE && (flags & ~FLAG_CONTINUE) != FLAG_ZERO)
            return fail(error, "a record of an unknown kind");
        else if (!take_page(split, word, error))
            return FALSE;
    }
}

/* ---- sections ---- */

/* The magic, and what stands before the first section, which "ram" begins. */
static gboolean take_head(Split *split, GError **error)
{
    static const guint8 begin[] = {SECTION_START, 0, 0, 0};
    static const char ram[] = "\003ram";
    if (pass_word(split, 4) != MAGIC || pass_word(split, 4) != VERSION)
        return fail(error, "it does not begin as it should");
    while (split->kept->len < HEAD_MAX && !split->failed) {
        pass_word(split, 1);
        gsize n = split->kept->len;
        if (n >= 17 && memcmp(split->kept->data + n - 4, ram, 4) == 0 &&
            memcmp(split->kept->data + n - 9, begin, sizeof begin) == 0)
            return TRUE;
    }
    return fail(error, "it has no memory");
}

static gboolean take_ram(Split *split, GError **error)
{
    guint32 id = (guint32)be(split->kept->data + split->kept->len - 8, 4);
    pass_word(split, 4); /* instance */
    pass_word(split, 4); /* version */
    for (;;) {
        if (!take_records(split, error))
            return FALSE;
        if (pass_word(split, 1) != SECTION_FOOTER || pass_word(split, 4) != id)
            return fail(error, "a section does not end as it should");
        guint type = (guint)pass_word(split, 1);
        if (split->failed)
            return fail(error, "it is cut short");
        if (type != SECTION_PART && type != SECTION_END)
            return TRUE; /* the first device */
        if (pass_word(split, 4) != id)
            return fail(error, "a section of something else");
    }
}

static gboolean take_rest(Split *split, GError **error)
{
    do {
        keep(split, split->buffer + split->at, split->end - split->at);
        if (split->kept->len > STEAD_MIGRATION_STATE_MAX)
            return fail(error, "it is too large");
    } while (fill(split));
    if (split->error)
        return FALSE;
    const guint8 *bytes = split->kept->data;
    for (gsize done = 0; done < split->kept->len;) {
        ssize_t n = write(split->migration->state, bytes + done, split->kept->len - done);
        if (n < 0 && errno != EINTR) {
            int saved = errno;
            g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved),
                        "writing the state: %s", g_strerror(saved));
            return FALSE;
        }
        done += n > 0 ? (gsize)n : 0;
    }
    return TRUE;
}

gboolean stead_migration_split(const SteadMigration *migration, GError **error)
{
    g_autofree guint8 *buffer = g_malloc(BUFFER);
    g_autoptr(GByteArray) kept = g_byte_array_new();
    g_autoptr(GError) why = NULL;
    guint silence_ms = migration->silence_ms ? migration->silence_ms : STEAD_MIGRATION_SILENCE_MS;
    guint64 wait_ms = (guint64)STEAD_MIGRATION_SILENCES * silence_ms +
                      migration->size / STEAD_MIGRATION_BYTES_PER_MS;
    Split split = {.migration = migration,
                   .buffer = buffer,
                   .kept = kept,
                   .silence_ms = silence_ms,
                   .wait_us = (gint64)MIN(wait_ms, G_MAXINT32) * G_TIME_SPAN_MILLISECOND};
    if (migration->size < PAGE)
        return fail(error, "no memory");
    if (!g_unix_set_fd_nonblocking(migration->from, TRUE, error))
        return FALSE;
    if (take_head(&split, &why) && take_ram(&split, &why) && take_rest(&split, &why))
        return TRUE;
    /* What did not come makes no sense, either. */
    g_propagate_error(error, split.error ? split.error : g_steal_pointer(&why));
    return FALSE;
}
