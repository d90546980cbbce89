/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ISO image of a seed, made by libisofs in memory: four small files and their directory take
 * some hundred KiB. All dates in it are fixed, so that equal seeds are equal files. It may hold
 * password hashes, so the file is readable to root alone until libvirt hands it to QEMU.
 *
 * libisofs writes in a thread of its own, from which the image is read block by block. It keeps
 * state that all images share (messages, what time it is), so one seed is made at a time.
 */
#include "image/seed.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LIBISOFS_WITHOUT_LIBBURN
#include <libisofs/libisofs.h>

#include "base/error.h"
#include "base/paths.h"

/* The date of everything in a seed: 2020-01-01 00:00:00 UTC. */
#define SEED_EPOCH 1577836800
/* The volume's name, by which cloud-init finds it (NoCloud). */
#define SEED_LABEL "cidata"
#define ISO_BLOCK 2048
/* The least that libisofs takes, in blocks; its default of 1,024 costs 2 MiB. */
#define FIFO_BLOCKS 32

G_DEFINE_AUTOPTR_CLEANUP_FUNC(IsoImage, iso_image_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(IsoWriteOpts, iso_write_opts_free)

static GMutex making;

/* Passes on what a call to libisofs returned. */
static gboolean check(int result, GError **error)
{
    if (result >= 0)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "making a seed: %s",
                    iso_error_to_msg(result));
    return FALSE;
}

static gboolean start_library(GError **error)
{
    static gboolean started;
    time_t epoch = SEED_EPOCH;
    if (started)
        return TRUE;
    if (!check(iso_init(), error))
        return FALSE;
    /* What its calls return says enough. */
    iso_set_msgs_severities((char *)"NEVER", (char *)"NEVER", (char *)"");
    iso_nowtime(&epoch, 1);
    started = TRUE;
    return TRUE;
}

/* NULL text: no file. */
static gboolean add_file(IsoImage *image, const char *name, const char *text, GError **error)
{
    IsoStream *stream = NULL;
    IsoFile *file = NULL;
    if (text == NULL)
        return TRUE;
    unsigned char *copy = (unsigned char *)strdup(text); /* the stream's, which calls free() */
    if (copy == NULL)
        return check(ISO_OUT_OF_MEM, error);
    if (!check(iso_memory_stream_new(copy, strlen(text), &stream), error)) {
        free(copy);
        return FALSE;
    }
    if (check(iso_image_add_new_file(image, iso_image_get_root(image), name, stream, &file), error))
        return TRUE;
    iso_stream_unref(stream);
    return FALSE;
}

static IsoImage *make_tree(const SteadSeedFiles *files, GError **error)
{
    g_autoptr(IsoImage) image = NULL;
    if (check(iso_image_new(SEED_LABEL, &image), error) &&
        add_file(image, "meta-data", files->meta_data, error) &&
        add_file(image, "user-data", files->user_data, error) &&
        add_file(image, "vendor-data", files->vendor_data, error) &&
        add_file(image, "network-config", files->network_config, error))
        return g_steal_pointer(&image);
    return NULL;
}

/* Rock Ridge and Joliet, for names in lower case with their dashes; the same for the label. */
static IsoWriteOpts *make_options(GError **error)
{
    g_autoptr(IsoWriteOpts) options = NULL;
    if (check(iso_write_opts_new(&options, 0), error) &&
        check(iso_write_opts_set_rockridge(options, 1), error) &&
        check(iso_write_opts_set_joliet(options, 1), error) &&
        check(iso_write_opts_set_relaxed_vol_atts(options, 1), error) &&
        check(iso_write_opts_set_replace_mode(options, 2, 2, 2, 2), error) &&
        check(iso_write_opts_set_default_dir_mode(options, 0555), error) &&
        check(iso_write_opts_set_default_file_mode(options, 0444), error) &&
        check(iso_write_opts_set_always_gmt(options, 1), error) &&
        check(iso_write_opts_set_fifo_size(options, FIFO_BLOCKS), error))
        return g_steal_pointer(&options);
    return NULL;
}

static GByteArray *read_image(IsoImage *image, IsoWriteOpts *options, GError **error)
{
    struct burn_source *source = NULL;
    if (!check(iso_image_create_burn_source(image, options, &source), error))
        return NULL;
    GByteArray *iso = g_byte_array_new();
    unsigned char block[ISO_BLOCK];
    int n;
    while ((n = source->read_xt(source, block, sizeof block)) > 0)
        g_byte_array_append(iso, block, (guint)n);
    source->free_data(source);
    free(source);
    if (n == 0)
        return iso;
    g_byte_array_unref(iso);
    check(ISO_WRITE_ERROR, error);
    return NULL;
}

static GByteArray *make_iso(const SteadSeedFiles *files, GError **error)
{
    if (!start_library(error))
        return NULL;
    g_autoptr(IsoImage) image = make_tree(files, error);
    g_autoptr(IsoWriteOpts) options = image ? make_options(error) : NULL;
    return options ? read_image(image, options, error) : NULL;
}

gboolean stead_seed_write(const SteadSeedOptions *options, const char *path, GError **error)
{
    g_auto(SteadSeedFiles) files = {0};
    if (!stead_seed_files(options, &files, error))
        return FALSE;
    g_mutex_lock(&making);
    g_autoptr(GByteArray) iso = make_iso(&files, error);
    g_mutex_unlock(&making);
    return iso && stead_write_file(path, (const char *)iso->data, iso->len, 0600, error);
}
