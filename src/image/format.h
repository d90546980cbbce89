/* SPDX-License-Identifier: Apache-2.0 */
/* What a disk image is, by its content: never by its name, never by another program's guess. */
#pragma once

#include <glib.h>

typedef enum {
    STEAD_DISK_FORMAT_RAW,
    STEAD_DISK_FORMAT_QCOW2,
    STEAD_DISK_FORMAT_VMDK,
    STEAD_DISK_FORMAT_VDI,
    STEAD_DISK_FORMAT_VHDX,
    STEAD_DISK_FORMAT_VHD,
    STEAD_N_DISK_FORMATS
} SteadDiskFormat;

typedef enum {
    STEAD_PACKING_NONE,
    STEAD_PACKING_GZIP,
    STEAD_PACKING_XZ,
    STEAD_PACKING_ZSTD,
    STEAD_N_PACKINGS
} SteadPacking;

/* "qcow2", ...; and QEMU's name of the driver ("vpc" for vhd). */
const char *stead_disk_format_name(SteadDiskFormat format);
const char *stead_disk_format_driver(SteadDiskFormat format);

/* "gzip", "xz", "zstd"; "none". */
const char *stead_packing_name(SteadPacking packing);

/* How the file is packed, by its first bytes. GIO's errors when it cannot be read. */
gboolean stead_packing_detect(int fd, SteadPacking *packing, GError **error);

/*
 * The format of an unpacked file. What has no magic is raw if its size is a whole number of
 * sectors. Errors: UNSUPPORTED for what is known but not taken (an archive, an older format), with
 * what to do as the hint; INVALID for what is no disk image; GIO's.
 */
gboolean stead_disk_format_detect(int fd, SteadDiskFormat *format, GError **error);

/*
 * Reads the headers of a file of this format and refuses everything that could make a reader open
 * another file of the host or ask for a key: backing files, external data files, extents in other
 * files, parents, encryption, features that are not known here. *virtual_size (may be NULL) is
 * what the header says the guest sees, 0 where only QEMU can tell (vhdx).
 *
 * Errors: INVALID (dangerous or broken), UNSUPPORTED, EXHAUSTED (above STEAD_MAX_DISK), GIO's.
 */
gboolean stead_disk_format_inspect(int fd, SteadDiskFormat format, guint64 *virtual_size,
                                   GError **error);
