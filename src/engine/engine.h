/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: what stead is on one host. It owns the records and the jobs, and makes the host
 * match them. The API is a thin layer over these functions; all are for the main loop.
 *
 * Functions that begin something long return the job, borrowed, as soon as its intent is on
 * record. NULL with an error means that nothing was begun; what goes wrong later is the job's
 * error. All of them fail with EXHAUSTED when too many jobs wait. Records that are returned are
 * borrowed, and valid until the main loop runs again; so are the items of lists, whose arrays the
 * caller owns. JSON nodes are owned by the caller. Sizes are bytes.
 *
 * Names from outside are resolved once, by the functions that take a `name` or `name_or_id`:
 * NOT_FOUND with the nearest name as a hint. Those that take an `id` want the exact one of a
 * record, and say NOT_FOUND when it was removed in between.
 */
#pragma once

#include <json-glib/json-glib.h>

#include "base/paths.h"
#include "console/console.h"
#include "engine/events.h"
#include "engine/job.h"
#include "model/instance.h"
#include "runtime/runtime.h"

typedef struct _SteadEngine SteadEngine;

/*
 * Opens the records below `paths` (borrowed for the engine's life) and begins to adopt what runs
 * and to finish or undo what an earlier daemon left half-done; that goes on in jobs.
 * `version` is shown by clients.
 */
SteadEngine *stead_engine_open(const SteadPaths *paths, GError **error);
/* Ends all jobs; instances go on. */
void stead_engine_close(SteadEngine *engine);

/* Parts of the engine, borrowed for its life. */
const SteadPaths *stead_engine_paths(SteadEngine *engine);
SteadEvents *stead_engine_events(SteadEngine *engine);
SteadJobs *stead_engine_jobs(SteadEngine *engine);
/* About the host: accel and why, libvirt, counts; for GET /v1. */
JsonNode *stead_engine_describe(SteadEngine *engine);

/* ---- instances ---- */

/* By name, id, or an unambiguous beginning of the id. */
SteadInstance *stead_engine_instance(SteadEngine *engine, const char *name_or_id, GError **error);
/* Running or paused; NULL is neither. */
gboolean stead_instance_is_up(const SteadInstance *instance);
/* In the order of names; `project` NULL for all. */
GPtrArray *stead_engine_instances(SteadEngine *engine, const char *project);
/* As the API shows it. The short form is for lists. */
JsonNode *stead_engine_show_instance(SteadEngine *engine, const SteadInstance *instance,
                                     gboolean is_short);

/* Takes `spec` over, also upon failure. `project` may be NULL. With `start` the instance is
 * running when the job is done. If the job fails nothing of the instance remains. */
SteadJob *stead_engine_create(SteadEngine *engine, const char *name, SteadInstanceSpec *spec,
                              const char *project, gboolean start, GError **error);
/* Applies a changed spec (taken over): what can be done at once is, the rest waits for a restart.
 * Refused (STATE) when a field changed that only a new instance could have. */
SteadJob *stead_engine_change(SteadEngine *engine, const char *id, SteadInstanceSpec *spec,
                              GError **error);

typedef struct {
    gboolean force;     /* STOP: end it at once; REMOVE: also a running one */
    guint64 timeout_ms; /* STOP, RESTART: how long the guest may take; 0: the default */
    gboolean on_record; /* by the record's state, with which recovery goes on */
} SteadActionOptions;

/* The action is on record when this returns: the next daemon does it if this one is killed.
 * `options` may be NULL. STATE when the action cannot begin in the instance's present state. What
 * is under way on the instance comes first, but is cancelled by STOP and REMOVE with `force`. */
SteadJob *stead_engine_act(SteadEngine *engine, const char *id, SteadAction action,
                           const SteadActionOptions *options, GError **error);

/* Runs a command in the guest; the job's result is the API's exec object, also when the command
 * fails. `input` may be NULL; `timeout_ms` 0 is the default. The job fails with GUEST when the
 * agent does not answer, with TIMEOUT when the command does not end. */
SteadJob *stead_engine_exec(SteadEngine *engine, const char *id, const char *const command[],
                            const char *input, guint64 timeout_ms, GError **error);
/* Opens a stream (runtime/stream.h) to a running guest; `request` is taken over. Once, from the
 * main loop, `func` is called with the stream, which is then the caller's, or with the reason why
 * there is none. The job is borrowed, and ends with that; to cancel it is fine. NULL: func is not
 * called. UNSUPPORTED where the instance's kind has no streams. */
typedef void (*SteadStreamFunc)(SteadStream *stream, const GError *error, gpointer data);
SteadJob *stead_engine_stream(SteadEngine *engine, const char *id, SteadStreamRequest *request,
                              SteadStreamFunc func, gpointer data, GError **error);
/* The job's result is the API's stats object: counters since the start, for the caller to take
 * differences of. */
SteadJob *stead_engine_stats(SteadEngine *engine, const char *id, GError **error);
/* Of all that run, as an array. */
SteadJob *stead_engine_all_stats(SteadEngine *engine, GError **error);
/* The job's result tells where the screen is, and its password, which is stored nowhere. */
SteadJob *stead_engine_display(SteadEngine *engine, const char *id, GError **error);
/* Gives the guest's terminal a size, if its agent answers; no error when it does not. */
void stead_engine_set_window(SteadEngine *engine, const char *id, guint rows, guint columns);

/* The console of an instance, borrowed; also of a stopped one, for its log. */
SteadConsole *stead_engine_console(SteadEngine *engine, const char *id, GError **error);

/* ---- snapshots ---- */

/* Oldest first, so that the last one is the parent of the next; half-made ones are among them. */
GPtrArray *stead_engine_snapshots(SteadEngine *engine, const char *instance_id);
/* memory: 1 with, 0 without, -1 with when it is running. INVALID or CONFLICT for the name, STATE
 * for memory of an instance that is not running, EXHAUSTED when it has too many. If the job fails,
 * what was made of the snapshot is undone. */
SteadJob *stead_engine_snapshot(SteadEngine *engine, const char *instance_id, const char *name,
                                int memory, GError **error);
/* Of the exact name, else NOT_FOUND; only a complete one is restored (STATE), and any removed. */
SteadJob *stead_engine_restore(SteadEngine *engine, const char *instance_id, const char *name,
                               GError **error);
SteadJob *stead_engine_remove_snapshot(SteadEngine *engine, const char *instance_id,
                                       const char *name, GError **error);

/* ---- images ---- */

SteadImage *stead_engine_image(SteadEngine *engine, const char *name, GError **error);
GPtrArray *stead_engine_images(SteadEngine *engine);
/* As the API shows it, with the names of the instances that stand on its content. */
JsonNode *stead_engine_show_image(SteadEngine *engine, const SteadImage *image);
/* What can be pulled by name, as the API's list. Reads the catalogue's files anew; INVALID when one
 * is wrong. */
JsonNode *stead_engine_catalogue(SteadEngine *engine, GError **error);
/* The three ways to an image; each job's result is {"image", "digest"}. An image of the name is
 * replaced when the new one is verified; instances that stand on the old one keep its content. A
 * pull or build of the same name that is under way is returned instead of a second one. INVALID for
 * a name that is none, NOT_FOUND for one that the catalogue lacks or that cannot be built. `path`
 * is on this host, and read by the daemon. */
SteadJob *stead_engine_pull(SteadEngine *engine, const char *name, GError **error);
SteadJob *stead_engine_build(SteadEngine *engine, const char *release, const char *as,
                             GError **error);
SteadJob *stead_engine_import(SteadEngine *engine, const char *path, const char *name,
                              GError **error);
/* At once; only the content's file goes later. BUSY while an instance stands on it. */
gboolean stead_engine_remove_image(SteadEngine *engine, const char *name, GError **error);

/* ---- networks ---- */

SteadNetwork *stead_engine_network(SteadEngine *engine, const char *name, GError **error);
GPtrArray *stead_engine_networks(SteadEngine *engine);
JsonNode *stead_engine_show_network(SteadEngine *engine, const SteadNetwork *network);
/* As the API shows it, with its instances; the question's result has the leases as well, for which
 * libvirt must be asked, or why they are not known. */
SteadJob *stead_engine_inspect_network(SteadEngine *engine, const char *name, GError **error);
/* Takes `spec` over, also upon failure. CONFLICT when the name is taken; whether the subnet is, the
 * job finds. If it fails nothing of the network remains. */
SteadJob *stead_engine_create_network(SteadEngine *engine, const char *name, SteadNetworkSpec *spec,
                                      const char *project, GError **error);
/* BUSY while an instance is in it. */
SteadJob *stead_engine_remove_network(SteadEngine *engine, const char *name, GError **error);

/* ---- pools and volumes ---- */

/* The job's result is the API's list of pools. */
SteadJob *stead_engine_pools(SteadEngine *engine, GError **error);
SteadVolume *stead_engine_volume(SteadEngine *engine, const char *name, GError **error);
GPtrArray *stead_engine_volumes(SteadEngine *engine);
JsonNode *stead_engine_show_volume(SteadEngine *engine, const SteadVolume *volume);
/* Takes `spec` over, also upon failure. CONFLICT when the name is taken. If the job fails nothing
 * of the volume remains. */
SteadJob *stead_engine_create_volume(SteadEngine *engine, const char *name, SteadVolumeSpec *spec,
                                     const char *project, GError **error);
/* With its data. BUSY while it is attached. */
SteadJob *stead_engine_remove_volume(SteadEngine *engine, const char *name, GError **error);
/* Grows it, also while a guest uses it. INVALID for less than it has, or more than a disk can. */
SteadJob *stead_engine_resize_volume(SteadEngine *engine, const char *name, guint64 size,
                                     GError **error);
/* To a stopped or a running instance. BUSY when one has the volume already, STATE when it is not
 * made yet or the instance has no room for a disk; detaching: STATE when this instance has it not.
 */
SteadJob *stead_engine_attach(SteadEngine *engine, const char *instance_id, const char *volume,
                              gboolean read_only, GError **error);
SteadJob *stead_engine_detach(SteadEngine *engine, const char *instance_id, const char *volume,
                              GError **error);
/* ---- Templates ---- */

/* By name or id; NOT_FOUND. Borrowed. */
SteadTemplate *stead_engine_template(SteadEngine *engine, const char *name, GError **error);
/* In the order of their names; the list is owned by the caller. */
GPtrArray *stead_engine_templates(SteadEngine *engine);
/* With what stands on it and what of it is in memory. Owned by the caller. */
JsonNode *stead_engine_show_template(SteadEngine *engine, const SteadTemplate *template);
/* Freezes a running, ready instance (by name or id), which goes on. UNSUPPORTED for kinds that
 * cannot; STATE; CONFLICT when the name is taken. */
SteadJob *stead_engine_create_template(SteadEngine *engine, const char *name, const char *from,
                                       guint64 warm, GError **error);
/* Keeps so many engines for its next clones started ahead; 0: none. INVALID above STEAD_MAX_WARM.
 */
gboolean stead_engine_warm_template(SteadEngine *engine, const char *name, guint64 warm,
                                    GError **error);
#define STEAD_MAX_WARM 64
/* One where guests are emulated, whose code each new engine has to translate first; else none. */
#define STEAD_WARM_AS_IT_PAYS G_MAXUINT64
/* BUSY while clones, or templates that were made of them, stand on it. */
SteadJob *stead_engine_remove_template(SteadEngine *engine, const char *name, GError **error);

/* Takes memory from a running guest, or gives it back, until it has `size` bytes. INVALID for more
 * than it was made with. */
SteadJob *stead_engine_balloon(SteadEngine *engine, const char *id, guint64 size, GError **error);

/* As stead_engine_resize_volume(), for the disk that the instance came with. */
SteadJob *stead_engine_resize_root(SteadEngine *engine, const char *instance_id, guint64 size,
                                   GError **error);

/* ---- whole specs ---- */

/* What `up` would do, as the API's plan object; steps that cannot be done are part of it. */
JsonNode *stead_engine_plan(SteadEngine *engine, const SteadSpec *spec, GError **error);
/* Takes `spec` over, also upon failure. Refused as a whole when a step cannot be done. Each step is
 * a job of its own; those that do not depend on each other go side by side, and what was done stays
 * done when another fails. */
SteadJob *stead_engine_up(SteadEngine *engine, SteadSpec *spec, GError **error);
/* Removes all that is of the project, its volumes only where `volumes` says so. */
SteadJob *stead_engine_down(SteadEngine *engine, const char *project, gboolean volumes,
                            GError **error);

/* Runs the checks of `stead doctor`; the job's result is their list. */
SteadJob *stead_engine_doctor(SteadEngine *engine, GError **error);
