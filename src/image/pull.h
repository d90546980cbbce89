/* SPDX-License-Identifier: Apache-2.0 */
/* From a name in the catalogue to an image in the store. */
#pragma once

#include "image/catalogue.h"
#include "image/store.h"

/*
 * Fetches the entry's published digest (unless it is pinned), downloads the image (resuming what
 * an earlier call left), compares the digests, and only then looks at the file, imports it and
 * stores it. Stages told are "checksums", "downloading ...", "verifying" and those of
 * stead_image_import(). The image is named as the entry, its `published` is the digest that was
 * compared ("sha512:..."), and it is pinned in the store until stead_image_store_settle().
 *
 * Whether the name is in the store already is for the caller to ask first. Blocking.
 *
 * Errors: as stead_fetch() and stead_image_import(); VERIFICATION where the checksum file does not
 * have the image or the digest differs: nothing of the download is kept then.
 */
SteadImage *stead_image_pull(SteadImageStore *store, const SteadCatalogueEntry *entry,
                             SteadProgressFunc progress, gpointer data, GCancellable *cancellable,
                             GError **error);
