/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalogue: the table of what stead knows by itself, and the look-up. The file that may lie
 * over it is read by catalogue_file.c. "latest" addresses are used where the publisher keeps one,
 * because the published checksum file beside them changes with them.
 */
#include "image/catalogue.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/near.h"
#include "image/catalogue_file.h"

/* How many names an error lists. */
#define MAX_NAMES_SHOWN 8

typedef struct {
    const char *name;
    const char *alias;
    const char *url;
    const char *sums;
    const char *user;
    const char *title;
} BuiltIn;

#define UBUNTU "https://cloud-images.ubuntu.com/"
#define DEBIAN "https://cloud.debian.org/images/cloud/"

/* None of these holds the guest agent. */
static const BuiltIn built_ins[] = {
    {"debian:12", "debian", DEBIAN "bookworm/latest/debian-12-genericcloud-amd64.qcow2",
     DEBIAN "bookworm/latest/SHA512SUMS", "debian", "Debian 12 (bookworm)"},
    {"debian:13", NULL, DEBIAN "trixie/latest/debian-13-genericcloud-amd64.qcow2",
     DEBIAN "trixie/latest/SHA512SUMS", "debian", "Debian 13 (trixie)"},
    {"ubuntu:22.04", "ubuntu:jammy", UBUNTU "jammy/current/jammy-server-cloudimg-amd64.img",
     UBUNTU "jammy/current/SHA256SUMS", "ubuntu", "Ubuntu 22.04 LTS (Jammy Jellyfish)"},
    {"ubuntu:24.04", "ubuntu", UBUNTU "noble/current/noble-server-cloudimg-amd64.img",
     UBUNTU "noble/current/SHA256SUMS", "ubuntu", "Ubuntu 24.04 LTS (Noble Numbat)"},
};

struct SteadCatalogue {
    GPtrArray *entries; /* SteadCatalogueEntry */
};

void stead_catalogue_entry_free(SteadCatalogueEntry *entry)
{
    if (entry == NULL)
        return;
    g_free(entry->name);
    g_strfreev(entry->aliases);
    g_free(entry->url);
    g_free(entry->sums);
    g_free(entry->digest);
    g_free(entry->user);
    g_free(entry->title);
    g_free(entry);
}

static SteadCatalogueEntry *entry_of_built_in(const BuiltIn *built_in)
{
    const char *const aliases[] = {built_in->alias, NULL};
    SteadCatalogueEntry *entry = g_new0(SteadCatalogueEntry, 1);
    entry->name = g_strdup(built_in->name);
    entry->aliases = g_strdupv((GStrv)(gsize)aliases);
    entry->url = g_strdup(built_in->url);
    entry->sums = g_strdup(built_in->sums);
    entry->user = g_strdup(built_in->user);
    entry->title = g_strdup(built_in->title);
    return entry;
}

/* Puts an entry in the place of the one of its name, or at the end. */
static void put(SteadCatalogue *catalogue, SteadCatalogueEntry *entry)
{
    for (guint i = 0; i < catalogue->entries->len; i++)
        if (strcmp(stead_catalogue_get(catalogue, i)->name, entry->name) == 0) {
            stead_catalogue_entry_free(catalogue->entries->pdata[i]);
            catalogue->entries->pdata[i] = entry;
            return;
        }
    g_ptr_array_add(catalogue->entries, entry);
}

SteadCatalogue *stead_catalogue_new(const char *yaml, gssize length, const char *file,
                                    GError **error)
{
    g_autoptr(SteadCatalogue) catalogue = g_new0(SteadCatalogue, 1);
    catalogue->entries = g_ptr_array_new_with_free_func((GDestroyNotify)stead_catalogue_entry_free);
    for (gsize i = 0; i < G_N_ELEMENTS(built_ins); i++)
        g_ptr_array_add(catalogue->entries, entry_of_built_in(&built_ins[i]));
    if (yaml == NULL)
        return g_steal_pointer(&catalogue);

    gsize size = length < 0 ? strlen(yaml) : (gsize)length;
    g_autoptr(GPtrArray) added = stead_catalogue_file_read(yaml, size, file, error);
    if (added == NULL)
        return NULL;
    for (guint i = 0; i < added->len; i++)
        put(catalogue, g_steal_pointer(&added->pdata[i]));
    return g_steal_pointer(&catalogue);
}

SteadCatalogue *stead_catalogue_load(GError **error)
{
    const char *named = g_getenv("STEAD_CATALOGUE");
    const char *file = named && *named ? named : STEAD_CATALOGUE_FILE;
    struct stat st;
    if (stat(file, &st) != 0 && errno == ENOENT && file != named)
        return stead_catalogue_new(NULL, 0, file, error);
    g_autofree char *text = NULL;
    gsize length;
    if (stat(file, &st) == 0 && (!S_ISREG(st.st_mode) || st.st_size > STEAD_CATALOGUE_MAX_BYTES)) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "%s is not a file of at most 1 MiB",
                        file);
        return NULL;
    }
    if (!g_file_get_contents(file, &text, &length, error)) {
        g_prefix_error(error, "reading the catalogue: ");
        return NULL;
    }
    return stead_catalogue_new(text, (gssize)length, file, error);
}

void stead_catalogue_free(SteadCatalogue *catalogue)
{
    if (catalogue == NULL)
        return;
    g_clear_pointer(&catalogue->entries, g_ptr_array_unref);
    g_free(catalogue);
}

guint stead_catalogue_count(const SteadCatalogue *catalogue)
{
    return catalogue->entries->len;
}

const SteadCatalogueEntry *stead_catalogue_get(const SteadCatalogue *catalogue, guint index)
{
    return catalogue->entries->pdata[index];
}

/* What to type instead: the nearest name, else the names there are. Owned by the caller. */
static char *suggest(const SteadCatalogue *catalogue, const char *name)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    g_autoptr(GString) known = g_string_new("Known are");
    for (guint i = 0; i < catalogue->entries->len; i++) {
        const SteadCatalogueEntry *entry = stead_catalogue_get(catalogue, i);
        g_ptr_array_add(words, entry->name);
        for (char **alias = entry->aliases; *alias; alias++)
            g_ptr_array_add(words, *alias);
        if (i < MAX_NAMES_SHOWN)
            g_string_append_printf(known, "%s %s", i ? "," : "", entry->name);
    }
    const char *near = stead_near(name, (const char *const *)words->pdata, words->len);
    if (near)
        return g_strdup_printf("Did you mean %s?", near);
    g_string_append(known, catalogue->entries->len > MAX_NAMES_SHOWN ? ", ..." : ".");
    return g_strdup(known->str);
}

const SteadCatalogueEntry *stead_catalogue_find(const SteadCatalogue *catalogue, const char *name,
                                                GError **error)
{
    const SteadCatalogueEntry *by_alias = NULL;
    for (guint i = 0; i < catalogue->entries->len; i++) {
        const SteadCatalogueEntry *entry = stead_catalogue_get(catalogue, i);
        if (strcmp(entry->name, name) == 0)
            return entry;
        /* Entries of the file come later, and win. */
        if (g_strv_contains((const char *const *)entry->aliases, name))
            by_alias = entry;
    }
    if (by_alias == NULL) {
        g_autofree char *hint = suggest(catalogue, name);
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, hint,
                        "there is no image '%.64s' in the catalogue", name);
    }
    return by_alias;
}
