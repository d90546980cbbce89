/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records: what stead remembers of the things it made. Pure data with a JSON form that the store
 * keeps and the API shows. A record is changed by the main loop alone; a job's thread works on a
 * copy.
 *
 * Each record has the same four functions. ..._free() takes NULL. ..._copy() is deep, but for what
 * is marked as shared; ..._to_json() has all but what has its default; both are owned by the
 * caller.
 * ..._from_json() reads what the store kept: unknown members are passed over, so that an older
 * daemon reads a newer one's records; INVALID, with all that is wrong, when a record is damaged.
 */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>

#include "model/spec.h"

/* A disk as it lies on the host now. */
typedef struct {
    char *path;
    char *format; /* "qcow2" or "raw" */
    char *volume; /* id of the named volume that it is; NULL: lives and dies with the instance */
    gboolean read_only;
    gboolean leaving; /* it is being detached */
    GStrv backing;    /* the files that it stands on, topmost first, where stead put it together */
} SteadDiskRecord;

/* An interface as it was given out. */
typedef struct {
    char *network; /* name */
    char *mac;
    char *address; /* reserved IPv4 address; NULL on a bridge of the host */
} SteadNicRecord;

void stead_disk_record_free(SteadDiskRecord *disk);
void stead_nic_record_free(SteadNicRecord *nic);

typedef struct {
    char *id;                /* UUID; also the libvirt domain's; never reused */
    char *name;              /* unique among instances */
    char *project;           /* name of the spec that it belongs to; NULL: made by `run` */
    SteadKind kind;          /* never AUTO */
    char *kind_reason;       /* why that kind, for `show` */
    SteadInstanceSpec *spec; /* as wanted */
    char *image_digest; /* hex SHA-256 of the image that its root disk stands on; NULL: none yet */
    char *template;     /* id of the template that it is a clone of; NULL: none */
    gboolean unborn;    /* a clone that has not gone on from its template yet */
    gboolean warm;      /* whose engine was started ahead, and stands still */
    GPtrArray *disks;   /* SteadDiskRecord, the root disk first */
    GPtrArray *nics;    /* SteadNicRecord, in the order of spec->networks */
    char *restoring;    /* id of the snapshot that is being restored; NULL */
    SteadState state;
    gboolean want_running;
    SteadAction asked;     /* the last action that was promised and has not begun; NONE */
    gboolean asked_force;  /* with these options */
    guint64 asked_timeout; /* ms; 0: the default */
    gboolean ready;
    gboolean ending;         /* STOPPING without asking the guest */
    gboolean restart_needed; /* spec has changes that a restart applies */
    char *stage;             /* the latest stage reached in this boot; NULL */
    GStrv addresses;         /* IPv4 addresses last seen; a cache */
    char *accel;             /* "kvm" or "tcg", of the present run; NULL: not started yet */
    char *engine;            /* what runs it: "libvirt", "qemu" or "stead-vmm"; likewise */
    char *engine_reason;     /* why that, for `show` */
    char *error;             /* why it is failed; NULL */
    guint restarts;          /* by the restart policy, since the last start by a user */
    gint64 created;          /* microseconds since the epoch */
    gint64 started;          /* of the present run; 0: not running */
} SteadInstance;

void stead_instance_free(SteadInstance *instance);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadInstance, stead_instance_free)
SteadInstance *stead_instance_copy(const SteadInstance *instance);
JsonNode *stead_instance_to_json(const SteadInstance *instance);
SteadInstance *stead_instance_from_json(JsonNode *node, GError **error);

typedef struct {
    char *id;                /* UUID */
    char *instance;          /* the instance's id */
    char *name;              /* unique within the instance */
    char *parent;            /* name of the snapshot it was taken after; NULL: none */
    gboolean memory;         /* holds the memory of a running guest too */
    gboolean ready;          /* it was ready then, and so it is once its memory is back */
    gboolean complete;       /* FALSE: being made; a restart of the daemon removes it */
    guint64 size;            /* bytes on disk that removing it would free; an estimate */
    SteadInstanceSpec *spec; /* of the instance at that time */
    JsonNode *layers; /* the runtime's own: which files hold it; never changed, copies share it */
    gint64 created;
} SteadSnapshot;

void stead_snapshot_free(SteadSnapshot *snapshot);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadSnapshot, stead_snapshot_free)
SteadSnapshot *stead_snapshot_copy(const SteadSnapshot *snapshot);
JsonNode *stead_snapshot_to_json(const SteadSnapshot *snapshot);
SteadSnapshot *stead_snapshot_from_json(JsonNode *node, GError **error);

typedef struct {
    char *id;
    char *name;
    char *project;
    SteadNetworkSpec *spec; /* subnet always filled in for NAT, ISOLATED and ROUTED */
    char *libvirt_name;     /* NULL for BRIDGE */
    char *bridge;           /* the bridge's name on the host */
    gboolean removing;
    gint64 created;
} SteadNetwork;

void stead_network_free(SteadNetwork *network);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadNetwork, stead_network_free)
SteadNetwork *stead_network_copy(const SteadNetwork *network);
JsonNode *stead_network_to_json(const SteadNetwork *network);
SteadNetwork *stead_network_from_json(JsonNode *node, GError **error);

typedef struct {
    char *id;
    char *name;
    char *project;
    SteadVolumeSpec *spec;
    char *path;     /* on the host; NULL until made */
    char *attached; /* id of the instance it is attached to; NULL: none */
    gboolean removing;
    gint64 created;
} SteadVolume;

void stead_volume_free(SteadVolume *volume);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadVolume, stead_volume_free)
SteadVolume *stead_volume_copy(const SteadVolume *volume);
JsonNode *stead_volume_to_json(const SteadVolume *volume);
SteadVolume *stead_volume_from_json(JsonNode *node, GError **error);

/* A frozen, booted instance to clone from. Its files lie in a folder of its id. */
typedef struct {
    char *id;     /* UUID */
    char *name;   /* unique among templates */
    char *from;   /* name of the instance that was frozen */
    char *parent; /* id of the template that this was a clone of; NULL */
    SteadKind kind;
    SteadInstanceSpec *spec; /* of that instance: what clones have, too */
    char *image_digest;      /* of the image that its root disk stands on */
    char *accel;             /* where it can go on */
    char *engine;
    GPtrArray *disks;  /* SteadDiskRecord: read-only; `path` is what a clone's disk stands on */
    GPtrArray *nics;   /* SteadNicRecord: what the guest believes to have */
    GStrv host_keys;   /* types of its SSH host keys: "ed25519" */
    guint warm;        /* engines that are kept started ahead */
    gboolean complete; /* FALSE: being made; a restart of the daemon removes it */
    guint64 size;      /* bytes on disk */
    gint64 created;
} SteadTemplate;

void stead_template_free(SteadTemplate *template);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadTemplate, stead_template_free)
SteadTemplate *stead_template_copy(const SteadTemplate *template);
JsonNode *stead_template_to_json(const SteadTemplate *template);
SteadTemplate *stead_template_from_json(JsonNode *node, GError **error);

/* An image in the local store: a name for content. Two names may share one digest. */
typedef struct {
    char *name;      /* "debian:12" */
    char *digest;    /* hex SHA-256 of the stored qcow2 */
    char *source;    /* where it came from: an address, "build", "import FILE" */
    char *published; /* the checksum that was published and verified, "sha512:..."; NULL: none */
    guint64 size;    /* bytes stored */
    guint64 virtual_size;
    gboolean agent; /* holds the QEMU guest agent */
    gint64 created;
} SteadImage;

void stead_image_free(SteadImage *image);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadImage, stead_image_free)
SteadImage *stead_image_copy(const SteadImage *image);
JsonNode *stead_image_to_json(const SteadImage *image);
SteadImage *stead_image_from_json(JsonNode *node, GError **error);
