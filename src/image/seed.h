/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seed of a first boot: a small ISO image for cloud-init's NoCloud data source with the host
 * name, users, keys, packages, commands, network and proxy of a spec.
 */
#pragma once

#include <glib.h>

#include "model/spec.h"

/* One interface, matched in the guest by its MAC. */
typedef struct {
    const char *mac;
    const char *address; /* NULL: DHCP, and prefix and gateway are not looked at */
    guint prefix;
    const char *gateway; /* NULL: none */
    const char *dns;     /* a server beside those that DHCP tells; NULL: none */
    const char *search;  /* DNS domain, which needs `dns`; NULL: none */
} SteadSeedNic;

typedef struct {
    const char *instance_id; /* cloud-init does its first-boot work again when it changes */
    const char *hostname;
    const SteadInstanceSpec *spec;
    const SteadSeedNic *nics;
    gsize n_nics;
    gboolean install_agent;  /* the image lacks the QEMU guest agent */
    gboolean keep_host_keys; /* the guest has host keys of its own already */
} SteadSeedOptions;

/* The files of the seed. Texts, owned by the struct. */
typedef struct {
    char *meta_data;
    char *user_data;
    char *vendor_data; /* NULL: not written */
    char *network_config;
} SteadSeedFiles;

/*
 * What the seed will hold. A spec with user_data has it as user-data byte for byte, and what stead
 * adds is vendor-data, which cloud-init puts below it: where both set a key, the user's wins.
 * Otherwise stead's is the user-data.
 *
 * Errors: INVALID for an address, proxy or name that cannot be written safely.
 */
gboolean stead_seed_files(const SteadSeedOptions *options, SteadSeedFiles *files, GError **error);
void stead_seed_files_clear(SteadSeedFiles *files);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SteadSeedFiles, stead_seed_files_clear)

/*
 * Writes the seed to `path` (0600, atomically). The same options give the same bytes. Blocking.
 * Errors: those of stead_seed_files() and stead_write_file(); INTERNAL.
 */
gboolean stead_seed_write(const SteadSeedOptions *options, const char *path, GError **error);
