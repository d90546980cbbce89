/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests. A checksum file comes from the network: it is bounded, its lines are looked at one by
 * one without copies, and whatever is not a digest of the wanted name is passed over. A file that
 * names one image twice with different digests is taken for hostile, not for an update.
 */
#include "image/checksum.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

#define HASH_CHUNK (256 * 1024)
/* Progress is told once in so many bytes. */
#define HASH_REPORT (16 * 1024 * 1024)

typedef struct {
    const char *name;    /* ours, before the colon */
    const char *bsd_tag; /* in BSD's format */
    gsize digits;
    GChecksumType type;
} HashInfo;

static const HashInfo hashes[] = {
    [STEAD_HASH_SHA256] = {"sha256", "SHA256", 64, G_CHECKSUM_SHA256},
    [STEAD_HASH_SHA512] = {"sha512", "SHA512", 128, G_CHECKSUM_SHA512},
};
G_STATIC_ASSERT(G_N_ELEMENTS(hashes) == STEAD_N_HASHES);

/* Takes `length` hex digits as a digest of the hash that has so many. */
static gboolean take_hex(const char *hex, gsize length, SteadDigest *digest)
{
    for (gsize i = 0; i < length; i++)
        if (!g_ascii_isxdigit(hex[i]))
            return FALSE;
    for (int hash = 0; hash < STEAD_N_HASHES; hash++)
        if (hashes[hash].digits == length) {
            digest->hash = (SteadHash)hash;
            for (gsize i = 0; i < length; i++)
                digest->hex[i] = g_ascii_tolower(hex[i]);
            digest->hex[length] = '\0';
            return TRUE;
        }
    return FALSE;
}

gboolean stead_digest_parse(const char *text, SteadDigest *digest, GError **error)
{
    for (int hash = 0; hash < STEAD_N_HASHES; hash++) {
        gsize n = strlen(hashes[hash].name);
        if (g_ascii_strncasecmp(text, hashes[hash].name, n) != 0 || text[n] != ':')
            continue;
        const char *hex = text + n + 1;
        if (strnlen(hex, 129) == hashes[hash].digits && take_hex(hex, hashes[hash].digits, digest))
            return TRUE;
    }
    stead_set_error(error, STEAD_ERROR_INVALID, NULL,
                    "'%.150s' is not a digest; write it as sha256: and 64 hex digits, or sha512: "
                    "and 128",
                    text);
    return FALSE;
}

char *stead_digest_format(const SteadDigest *digest)
{
    return g_strdup_printf("%s:%s", hashes[digest->hash].name, digest->hex);
}

gboolean stead_digest_equal(const SteadDigest *a, const SteadDigest *b)
{
    return a->hash == b->hash && strcmp(a->hex, b->hex) == 0;
}

gboolean stead_sha256_hex_is_valid(const char *hex)
{
    return hex != NULL && strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64;
}

/* Whether a name as the file has it (with ./ in front, or escaped) is the one wanted. */
static gboolean name_matches(const char *name, gsize length, gboolean escaped, const char *wanted)
{
    if (length > 2 && name[0] == '.' && name[1] == '/') {
        name += 2;
        length -= 2;
    }
    gsize at = 0;
    for (gsize i = 0; i < length; i++, at++) {
        char c = name[i];
        if (escaped && c == '\\' && i + 1 < length) {
            c = name[++i];
            c = c == 'n' ? '\n' : c == 'r' ? '\r' : c;
        }
        if (wanted[at] == '\0' || wanted[at] != c)
            return FALSE;
    }
    return wanted[at] == '\0';
}

/* "HEX  NAME", "HEX *NAME"; a backslash in front says that the name has escapes. */
static gboolean read_coreutils_line(const char *line, gsize length, const char *wanted,
                                    SteadDigest *digest)
{
    gboolean escaped = length > 0 && line[0] == '\\';
    if (escaped) {
        line++;
        length--;
    }
    const char *space = memchr(line, ' ', length);
    if (space == NULL)
        return FALSE;
    gsize digits = (gsize)(space - line);
    if (digits + 2 >= length || (space[1] != ' ' && space[1] != '*'))
        return FALSE;
    return name_matches(space + 2, length - digits - 2, escaped, wanted) &&
           take_hex(line, digits, digest);
}

/* "SHA512 (NAME) = HEX". */
static gboolean read_bsd_line(const char *line, gsize length, const char *wanted,
                              SteadDigest *digest)
{
    static const char middle[] = ") = ";
    for (int hash = 0; hash < STEAD_N_HASHES; hash++) {
        gsize tag = strlen(hashes[hash].bsd_tag);
        gsize rest = strlen(" (") + strlen(middle) + hashes[hash].digits;
        if (length <= tag + rest || strncmp(line, hashes[hash].bsd_tag, tag) != 0 ||
            strncmp(line + tag, " (", 2) != 0)
            continue;
        gsize name_length = length - tag - rest;
        const char *name = line + tag + 2;
        if (strncmp(name + name_length, middle, strlen(middle)) == 0 &&
            name_matches(name, name_length, FALSE, wanted))
            return take_hex(name + name_length + strlen(middle), hashes[hash].digits, digest);
    }
    return FALSE;
}

static gboolean fail_sums(GError **error, const char *format, const char *file_name)
{
    stead_set_error(error, STEAD_ERROR_VERIFICATION,
                    "Ask the publisher, or use another mirror: nothing was taken over.",
                    "the checksum file %s %.200s", format, file_name);
    return FALSE;
}

gboolean stead_sums_find(const char *text, gsize length, const char *file_name, SteadDigest *digest,
                         GError **error)
{
    SteadDigest found[STEAD_N_HASHES] = {0};
    if (length > STEAD_SUMS_MAX_BYTES)
        return fail_sums(error, "is larger than 1 MiB; it should list", file_name);
    for (const char *line = text, *end = text + length; line < end;) {
        const char *newline = memchr(line, '\n', (gsize)(end - line));
        gsize n = (gsize)((newline ? newline : end) - line);
        SteadDigest one;
        gsize shown = n > 0 && line[n - 1] == '\r' ? n - 1 : n;
        if (shown <= STEAD_SUMS_MAX_LINE && (read_coreutils_line(line, shown, file_name, &one) ||
                                             read_bsd_line(line, shown, file_name, &one))) {
            SteadDigest *same = &found[one.hash];
            if (same->hex[0] != '\0' && !stead_digest_equal(same, &one))
                return fail_sums(error, "has two different digests for", file_name);
            *same = one;
        }
        line += n + 1;
    }
    for (int hash = STEAD_N_HASHES - 1; hash >= 0; hash--)
        if (found[hash].hex[0] != '\0') {
            *digest = found[hash];
            return TRUE;
        }
    return fail_sums(error, "has no SHA-256 or SHA-512 digest for", file_name);
}

static gboolean fail_read(GError **error, int saved)
{
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "reading: %s",
                g_strerror(saved));
    return FALSE;
}

gboolean stead_hash_fd(int fd, SteadHash hash, const char *stage, SteadProgressFunc progress,
                       gpointer data, GCancellable *cancellable, SteadDigest *digest,
                       GError **error)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail_read(error, errno);
    g_autoptr(GChecksum) checksum = g_checksum_new(hashes[hash].type);
    g_autofree guchar *buffer = g_malloc(HASH_CHUNK);
    off_t at = 0, reported = 0;
    for (;;) {
        if (g_cancellable_is_cancelled(cancellable)) {
            stead_set_error(error, STEAD_ERROR_CANCELLED, NULL, "%s was cancelled", stage);
            return FALSE;
        }
        ssize_t n = pread(fd, buffer, HASH_CHUNK, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_read(error, errno);
        if (n == 0)
            break;
        g_checksum_update(checksum, buffer, n);
        at += n;
        if (progress && at - reported >= HASH_REPORT) {
            reported = at;
            progress(stage, st.st_size > 0 ? MIN(1.0, (double)at / (double)st.st_size) : -1, data);
        }
    }
    digest->hash = hash;
    g_strlcpy(digest->hex, g_checksum_get_string(checksum), sizeof digest->hex);
    return TRUE;
}

gboolean stead_hash_file(const char *path, SteadHash hash, const char *stage,
                         SteadProgressFunc progress, gpointer data, GCancellable *cancellable,
                         SteadDigest *digest, GError **error)
{
    stead_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    gboolean done = fd >= 0
                        ? stead_hash_fd(fd, hash, stage, progress, data, cancellable, digest, error)
                        : fail_read(error, errno);
    if (!done)
        g_prefix_error(error, "%s: ", path);
    return done;
}
