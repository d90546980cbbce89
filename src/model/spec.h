/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user wants: the typed form of a stead.yaml. Pure data; every struct below has one table
 * of fields (spec_fields.c) from which reading, writing, defaults, comparison, the JSON Schema and
 * the manual all come, so that they cannot disagree.
 *
 * YAML and JSON are one format here: the API takes the same fields as the file. Field names in
 * files are the member names with '-' for '_'.
 *
 * In a spec that was read, copied or made by stead_instance_spec_new(), lists are never NULL and
 * own their items: add what g_new0() gave, filled with copies.
 */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>

#include "model/kind.h"

/* Bounds on what a spec may ask for. They keep hostile input from exhausting the daemon; none is
 * near what one host can run. */
#define STEAD_MAX_SPEC_BYTES (1024 * 1024)
#define STEAD_MAX_INSTANCES 1000
#define STEAD_MAX_COUNT 1000
#define STEAD_MAX_CPUS 512
#define STEAD_MIN_MEMORY (G_GUINT64_CONSTANT(32) << 20)
#define STEAD_MAX_MEMORY (G_GUINT64_CONSTANT(16) << 40)
#define STEAD_MAX_DISK (G_GUINT64_CONSTANT(64) << 40)
#define STEAD_MAX_DISKS 24
#define STEAD_MAX_NICS 16
#define STEAD_MAX_PORTS 256
#define STEAD_MAX_NAME 40
#define STEAD_MAX_USER_DATA (512 * 1024)

typedef struct {
    guint64 max;     /* bytes that the guest sees */
    guint64 reserve; /* bytes the host keeps free for it; 0: none */
} SteadMemorySpec;

/* An extra disk: a named volume, or `size` for one that lives and dies with the instance. */
typedef struct {
    char *volume;
    guint64 size;
    char *pool;
    gboolean read_only;
} SteadDiskSpec;

typedef struct {
    char *network; /* a network's name; "default" where nothing is said */
    char *address; /* static IPv4 address within the network; NULL: DHCP */
    char *mac;     /* NULL: derived from the instance's id */
} SteadNicSpec;

/* Written "8080:80", "127.0.0.1:8080:80/tcp" or as an object. */
typedef struct {
    char *host_address; /* NULL: every address of the host */
    guint host;
    guint guest;
    SteadProtocol protocol;
} SteadPortSpec;

typedef struct {
    char *name;
    GStrv ssh_keys;      /* public keys, one line each */
    char *password_hash; /* crypt(5); never a clear password */
    char *shell;
    gboolean sudo;
} SteadUserSpec;

typedef struct {
    char *http;
    char *https;
    char *no_proxy; /* field "no" */
} SteadProxySpec;

typedef struct {
    char *nodes; /* a node list: "0", "0-1" */
    SteadNumaMode mode;
} SteadNumaSpec;

/* When `running` counts as ready. Every part that is set must hold. */
typedef struct {
    gboolean agent;      /* the guest agent answers */
    gboolean cloud_init; /* cloud-init has finished */
    guint port;          /* a TCP port of the guest accepts; 0: not asked */
    char *console;       /* a regular expression that a console line matches */
    guint64 timeout;     /* milliseconds */
} SteadReadySpec;

typedef struct {
    SteadKind kind;
    char *image;   /* "debian:12", "template:base"; NULL only where a kernel stands alone */
    char *kernel;  /* of a microvm, on the host; NULL: the image's */
    char *initrd;  /* likewise */
    char *cmdline; /* the kernel's; NULL: what the image's root and the console need */
    guint count;   /* above 1 the instances are NAME-1 .. NAME-count */
    guint cpus;
    SteadMemorySpec memory; /* also written as one size */
    guint64 disk;           /* bytes of the root disk; 0: as the image's */
    char *pool;             /* of the root disk; NULL: the default pool */
    GPtrArray *disks;       /* SteadDiskSpec */
    GPtrArray *networks;    /* SteadNicSpec; an item may be just a name */
    GPtrArray *ports;       /* SteadPortSpec */
    char *hostname;         /* NULL: the instance's name */
    GPtrArray *users;       /* SteadUserSpec */
    GStrv ssh_keys;         /* for the image's default user */
    GStrv packages;         /* installed at first boot */
    GStrv commands;         /* run at first boot, each by the guest's shell */
    char *user_data;        /* cloud-init user-data, passed through byte for byte */
    char *user_data_file; /* the same from a file; the client resolves it, the daemon refuses it */
    SteadProxySpec proxy;
    SteadFirmware firmware;
    GStrv cpu_pinning; /* host CPU lists; entry i for vCPU i, the last for all further ones */
    SteadNumaSpec numa;
    SteadHugepages hugepages;
    SteadRestart restart;
    SteadReadySpec ready;
    GStrv depends_on; /* names of instances of the same spec that must be ready before */
} SteadInstanceSpec;

typedef struct {
    SteadNetworkMode mode;
    char *subnet;     /* IPv4 CIDR; NULL: a free one is chosen */
    char *bridge;     /* BRIDGE: the host's bridge */
    char *dhcp_start; /* first and last address of the dynamic range; NULL: chosen */
    char *dhcp_end;
    char *domain; /* DNS domain of the instances; NULL: the network's name */
} SteadNetworkSpec;

typedef struct {
    guint64 size;
    char *pool; /* NULL: the default pool */
} SteadVolumeSpec;

/* A whole file. The tables map a name to its spec, in the order of the file (names[i], specs[i]).
 */
typedef struct {
    char *name;
    GPtrArray *instance_names; /* char * */
    GPtrArray *instances;      /* SteadInstanceSpec */
    GPtrArray *network_names;
    GPtrArray *networks; /* SteadNetworkSpec */
    GPtrArray *volume_names;
    GPtrArray *volumes; /* SteadVolumeSpec */
} SteadSpec;

void stead_spec_free(SteadSpec *spec);
void stead_instance_spec_free(SteadInstanceSpec *spec);
void stead_network_spec_free(SteadNetworkSpec *spec);
void stead_volume_spec_free(SteadVolumeSpec *spec);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadSpec, stead_spec_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadInstanceSpec, stead_instance_spec_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadNetworkSpec, stead_network_spec_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadVolumeSpec, stead_volume_spec_free)

/*
 * Reading. `text` is YAML or JSON, UTF-8, `length` -1 for a string; `file` names it in messages.
 * All problems are found in one pass and reported together: the error is INVALID and its message
 * has one line each, "FILE:LINE:COLUMN: what is wrong; what was expected; did you mean ...?".
 * What comes back is complete (defaults filled in) and checked in itself: names, addresses, sizes,
 * ranges, references between its parts, dependency cycles. Owned by the caller.
 *
 * A file without `name` is named by `file`: its base name without ending, or for a stead.yaml the
 * folder that `file` gives. "-" and NULL have the name "lab".
 */
SteadSpec *stead_spec_parse(const char *text, gssize length, const char *file, GError **error);
SteadInstanceSpec *stead_instance_spec_parse(const char *text, gssize length, const char *file,
                                             GError **error);
SteadNetworkSpec *stead_network_spec_parse(const char *text, gssize length, const char *file,
                                           GError **error);
SteadVolumeSpec *stead_volume_spec_parse(const char *text, gssize length, const char *file,
                                         GError **error);

/* Likewise from JSON that is parsed already (an API request, a record); messages then name the
 * field's path instead of a line, and a whole spec must have its name. */
SteadSpec *stead_spec_from_json(JsonNode *node, GError **error);
SteadInstanceSpec *stead_instance_spec_from_json(JsonNode *node, GError **error);
SteadNetworkSpec *stead_network_spec_from_json(JsonNode *node, GError **error);
SteadVolumeSpec *stead_volume_spec_from_json(JsonNode *node, GError **error);

/* Writing: canonical JSON in the table's order, without fields that have their default; always the
 * long forms ({"max": "1G"}), sizes and durations as text. */
JsonNode *stead_spec_to_json(const SteadSpec *spec);
JsonNode *stead_instance_spec_to_json(const SteadInstanceSpec *spec);
JsonNode *stead_network_spec_to_json(const SteadNetworkSpec *spec);
JsonNode *stead_volume_spec_to_json(const SteadVolumeSpec *spec);

/* Whether a file is named (user-data-file, files in ssh-keys) that the client should have read:
 * the daemon refuses such a spec. */
gboolean stead_instance_spec_names_files(const SteadInstanceSpec *spec);

SteadInstanceSpec *stead_instance_spec_new(void); /* all defaults; image is NULL */
SteadInstanceSpec *stead_instance_spec_copy(const SteadInstanceSpec *spec);
SteadNetworkSpec *stead_network_spec_copy(const SteadNetworkSpec *spec);
SteadVolumeSpec *stead_volume_spec_copy(const SteadVolumeSpec *spec);

/* What it takes for a changed field to take effect. */
typedef enum {
    STEAD_EFFECT_NOW,      /* at once */
    STEAD_EFFECT_RESTART,  /* when the instance is next started */
    STEAD_EFFECT_RECREATE, /* only in a new instance (the image, what cloud-init did at first boot)
                            */
} SteadEffect;

typedef struct {
    char *field; /* path: "memory.max" */
    char *from;  /* as written in YAML; NULL: unset */
    char *to;
    SteadEffect effect;
} SteadChange;

/* The fields that differ, as SteadChange; the array owns them. Empty when equal. */
GPtrArray *stead_instance_spec_diff(const SteadInstanceSpec *from, const SteadInstanceSpec *to);
GPtrArray *stead_network_spec_diff(const SteadNetworkSpec *from, const SteadNetworkSpec *to);
GPtrArray *stead_volume_spec_diff(const SteadVolumeSpec *from, const SteadVolumeSpec *to);

/* The JSON Schema (draft 2020-12) of a file, and the body of the manual page stead.yaml(5) as
 * man(7) source; both from the tables. Owned by the caller. */
char *stead_spec_json_schema(void);
char *stead_spec_manual(void);
