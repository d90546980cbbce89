/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pulling: digest → download → compare → import. The checksum file comes over https from the
 * publisher, or the catalogue pins the digest; without either nothing is downloaded. Until the
 * digests agree the file is bytes that are hashed, and nothing else.
 */
#include "image/pull.h"

#include <glib/gstdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "image/checksum.h"
#include "image/fetch.h"
#include "image/import.h"

/* The last part of the address' path, unescaped: the name in the checksum file. Owned by the
 * caller; NULL when there is none. */
static char *file_name_of(const char *url)
{
    g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_NONE, NULL);
    const char *path = uri ? g_uri_get_path(uri) : "";
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? g_strdup(slash + 1) : NULL;
}

static gboolean find_published(const SteadCatalogueEntry *entry, GCancellable *cancellable,
                               SteadDigest *digest, GError **error)
{
    if (entry->digest)
        return stead_digest_parse(entry->digest, digest, error);
    g_autofree char *name = file_name_of(entry->url);
    if (name == NULL || entry->sums == NULL) {
        stead_set_error(error, STEAD_ERROR_INVALID, "Give the catalogue's entry sums or a digest.",
                        "%s cannot be verified", entry->name);
        return FALSE;
    }
    gsize length;
    SteadFetchOptions options = {
        .url = entry->sums, .https_only = TRUE, .max_bytes = STEAD_SUMS_MAX_BYTES};
    g_autofree char *sums = stead_fetch_text(&options, &length, cancellable, error);
    if (sums == NULL)
        return FALSE;
    if (stead_sums_find(sums, length, name, digest, error))
        return TRUE;
    g_prefix_error(error, "%s: ", entry->sums);
    return FALSE;
}

/* Where an unfinished download lies: one name for each address. Owned by the caller. */
static char *part_path(const SteadImageStore *store, const SteadCatalogueEntry *entry)
{
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, entry->url, -1);
    return g_strdup_printf("%s/%.32s.part", stead_image_store_downloads(store), digest);
}

static gboolean compare(const SteadCatalogueEntry *entry, const char *path,
                        const SteadDigest *published, SteadProgressFunc progress, gpointer data,
                        GCancellable *cancellable, GError **error)
{
    SteadDigest found;
    if (!stead_hash_file(path, published->hash, "verifying", progress, data, cancellable, &found,
                         error))
        return FALSE;
    if (stead_digest_equal(&found, published))
        return TRUE;
    g_autofree char *expected = stead_digest_format(published);
    g_autofree char *got = stead_digest_format(&found);
    stead_set_error(error, STEAD_ERROR_VERIFICATION,
                    "The download was thrown away. The publisher may just have replaced the "
                    "image: try again in some minutes, or use another mirror.",
                    "%s is not what was published: expected %s, got %s", entry->url, expected, got);
    return FALSE;
}

SteadImage *stead_image_pull(SteadImageStore *store, const SteadCatalogueEntry *entry,
                             SteadProgressFunc progress, gpointer data, GCancellable *cancellable,
                             GError **error)
{
    SteadDigest published;
    if (progress)
        progress("checksums", -1, data);
    if (!find_published(entry, cancellable, &published, error))
        return NULL;
    g_autofree char *part = part_path(store, entry);
    /* The finished file has a name that no other call knows: what was compared is what is used. */
    stead_autounlink file = stead_image_store_stage(store, ".download", NULL, error);
    SteadFetchOptions options = {
        .url = entry->url, .https_only = entry->digest == NULL, .part = part};
    if (file == NULL || !stead_fetch(&options, file, progress, data, cancellable, error))
        return NULL;
    if (!compare(entry, file, &published, progress, data, cancellable, error))
        return NULL;
    g_autofree char *text = stead_digest_format(&published);
    SteadImportOptions import = {.origin = {.name = entry->name,
                                            .source = entry->url,
                                            .published = text,
                                            .agent = entry->agent},
                                 .verified = TRUE,
                                 .move = TRUE};
    return stead_image_import(store, file, &import, progress, data, cancellable, error);
}
