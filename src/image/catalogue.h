/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalogue: where the images come from that stead knows by name. A built-in table, and over
 * it the entries of a file (STEAD_CATALOGUE, else /etc/stead/catalogue.yaml) for mirrors, company
 * images and tests:
 *
 *     images:
 *       - name: debian:12
 *         url: https://mirror.example/debian-12-genericcloud-amd64.qcow2
 *         sums: https://mirror.example/SHA512SUMS
 *         aliases: [debian]
 *       - name: router:1.4
 *         url: https://files.example/router.vmdk.xz
 *         digest: sha256:...
 *         agent: true
 *         user: admin
 *
 * An entry needs `sums` (https only) or `digest`, so that whatever is fetched is verified. An entry
 * of the file replaces the built-in one of its name.
 */
#pragma once

#include <gio/gio.h>

#define STEAD_CATALOGUE_FILE "/etc/stead/catalogue.yaml"
#define STEAD_CATALOGUE_MAX_BYTES (1024 * 1024)
#define STEAD_CATALOGUE_MAX_ENTRIES 1000
#define STEAD_CATALOGUE_MAX_ALIASES 16
#define STEAD_CATALOGUE_MAX_URL 2048

typedef struct {
    char *name;     /* "debian:12" */
    GStrv aliases;  /* further names; never NULL */
    char *url;      /* of the image; http only with a pinned digest */
    char *sums;     /* of the checksum file, https; NULL with a pinned digest */
    char *digest;   /* pinned, "sha256:..."; NULL: `sums` tells */
    char *user;     /* the default user that cloud-init makes */
    char *title;    /* for people: "Debian 12 (bookworm)" */
    gboolean agent; /* holds the QEMU guest agent */
} SteadCatalogueEntry;

typedef struct SteadCatalogue SteadCatalogue;

/* The built-in table and the file over it. An absent file is no error unless STEAD_CATALOGUE named
 * it; a wrong one is INVALID, with file:line:column. */
SteadCatalogue *stead_catalogue_load(GError **error);

/* The built-in table and, over it, the YAML given (NULL: none); `file` names it in messages. */
SteadCatalogue *stead_catalogue_new(const char *yaml, gssize length, const char *file,
                                    GError **error);
void stead_catalogue_free(SteadCatalogue *catalogue);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadCatalogue, stead_catalogue_free)

/* The entry of a name or alias, owned by the catalogue. NOT_FOUND with the nearest known name. */
const SteadCatalogueEntry *stead_catalogue_find(const SteadCatalogue *catalogue, const char *name,
                                                GError **error);

/* The entries in order; owned by the catalogue. */
guint stead_catalogue_count(const SteadCatalogue *catalogue);
const SteadCatalogueEntry *stead_catalogue_get(const SteadCatalogue *catalogue, guint index);
