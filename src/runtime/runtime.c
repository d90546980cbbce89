/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wrappers around a driver's slots. Each is one call: `enter` refuses what the driver cannot
 * do, `leave` traces the call with its duration and says in front of an error what was being done
 * to which instance. So drivers return bare reasons, and no caller repeats either.
 */
#include "runtime/runtime.h"

#include "base/error.h"

struct _SteadRuntime {
    const SteadDriver *driver;
    gpointer self;
};

/* One call of a slot. */
typedef struct {
    const char *doing;   /* "starting": for messages */
    const char *subject; /* name or id of the instance; NULL: none */
    const char *driver;
    gint64 began;
} Call;

SteadRuntime *stead_runtime_new(const SteadDriver *driver, gpointer self)
{
    SteadRuntime *runtime = g_new0(SteadRuntime, 1);
    runtime->driver = driver;
    runtime->self = self;
    return runtime;
}

void stead_runtime_free(SteadRuntime *runtime)
{
    if (runtime == NULL)
        return;
    if (runtime->driver->free)
        runtime->driver->free(runtime->self);
    g_free(runtime);
}

SteadKind stead_runtime_kind(const SteadRuntime *runtime)
{
    return runtime->driver->kind;
}

gboolean stead_runtime_has(const SteadRuntime *runtime, SteadFeatures feature)
{
    return (runtime->driver->features & feature) == feature;
}

/* `feature` 0: every driver has it. `slot` is whether the driver fills the slot in. */
static gboolean enter(Call *call, SteadRuntime *runtime, const char *doing, const char *subject,
                      guint feature, gboolean slot, GError **error)
{
    *call = (Call){doing, subject, runtime->driver->name, g_get_monotonic_time()};
    if (slot && stead_runtime_has(runtime, feature))
        return TRUE;
    stead_set_error(error, STEAD_ERROR_UNSUPPORTED, NULL,
                    "%s %s: instances of kind %s do not support it", doing, subject ? subject : "",
                    runtime->driver->name);
    return FALSE;
}

static gboolean leave(const Call *call, gboolean done, GError **error)
{
    g_debug("%s: %s %s: %s, %.1f ms", call->driver, call->doing, call->subject ? call->subject : "",
            done ? "done" : "failed", (double)(g_get_monotonic_time() - call->began) / 1000.0);
    if (done)
        return TRUE;
    if (call->subject)
        g_prefix_error(error, "%s %s: ", call->doing, call->subject);
    else
        g_prefix_error(error, "%s: ", call->doing);
    return FALSE;
}

#define ENTER(doing, subject, feature, slot)                                                       \
    Call call;                                                                                     \
    const SteadDriver *driver = runtime->driver;                                                   \
    if (!enter(&call, runtime, doing, subject, feature, driver->slot != NULL, error))              \
    return 0

gboolean stead_runtime_choose(SteadRuntime *runtime, SteadMachine *machine, GError **error)
{
    const SteadDriver *driver = runtime->driver;
    if (driver->choose)
        return driver->choose(runtime->self, machine, error);
    g_free(machine->engine);
    machine->engine = g_strdup(driver->engine);
    return TRUE;
}

gboolean stead_runtime_prepare(SteadRuntime *runtime, const SteadMachine *machine, GError **error)
{
    ENTER("preparing", machine->name, 0, prepare);
    return leave(&call, driver->prepare(runtime->self, machine, error), error);
}

gboolean stead_runtime_start(SteadRuntime *runtime, const SteadMachine *machine, GError **error)
{
    ENTER("starting", machine->name, 0, start);
    return leave(&call, driver->start(runtime->self, machine, error), error);
}

gboolean stead_runtime_stop(SteadRuntime *runtime, const char *id, guint64 timeout_ms,
                            GCancellable *cancellable, GError **error)
{
    ENTER("stopping", id, 0, stop);
    return leave(&call, driver->stop(runtime->self, id, timeout_ms, cancellable, error), error);
}

gboolean stead_runtime_kill(SteadRuntime *runtime, const char *id, GError **error)
{
    ENTER("ending", id, 0, kill);
    return leave(&call, driver->kill(runtime->self, id, error), error);
}

gboolean stead_runtime_pause(SteadRuntime *runtime, const char *id, GCancellable *cancellable,
                             GError **error)
{
    ENTER("pausing", id, STEAD_FEATURE_PAUSE, pause);
    return leave(&call, driver->pause(runtime->self, id, cancellable, error), error);
}

gboolean stead_runtime_resume(SteadRuntime *runtime, const char *id, GError **error)
{
    ENTER("resuming", id, STEAD_FEATURE_PAUSE, resume);
    return leave(&call, driver->resume(runtime->self, id, error), error);
}

gboolean stead_runtime_destroy(SteadRuntime *runtime, const char *id, GError **error)
{
    ENTER("removing", id, 0, destroy);
    return leave(&call, driver->destroy(runtime->self, id, error), error);
}

JsonNode *stead_runtime_snapshot(SteadRuntime *runtime, const SteadMachine *machine,
                                 const char *snapshot_id, gboolean memory,
                                 SteadProgressFunc progress, gpointer data,
                                 GCancellable *cancellable, GError **error)
{
    guint feature = memory ? STEAD_FEATURE_SNAPSHOT_MEMORY : STEAD_FEATURE_SNAPSHOT;
    ENTER("taking a snapshot of", machine->name, feature, snapshot);
    JsonNode *layers = driver->snapshot(runtime->self, machine, snapshot_id, memory, progress, data,
                                        cancellable, error);
    leave(&call, layers != NULL, error);
    return layers;
}

gboolean stead_runtime_restore(SteadRuntime *runtime, SteadMachine *machine,
                               const char *snapshot_id, JsonNode *layers, GError **error)
{
    ENTER("restoring", machine->name, STEAD_FEATURE_SNAPSHOT, restore);
    return leave(&call, driver->restore(runtime->self, machine, snapshot_id, layers, error), error);
}

gboolean stead_runtime_snapshot_remove(SteadRuntime *runtime, const SteadMachine *machine,
                                       const char *snapshot_id, JsonNode *layers, GError **error)
{
    ENTER("removing a snapshot of", machine->name, STEAD_FEATURE_SNAPSHOT, snapshot_remove);
    gboolean done = driver->snapshot_remove(runtime->self, machine, snapshot_id, layers, error);
    return leave(&call, done, error);
}

GStrv stead_runtime_disks(SteadRuntime *runtime, const char *id, GError **error)
{
    ENTER("asking for the disks of", id, 0, disks);
    GStrv disks = driver->disks(runtime->self, id, error);
    leave(&call, disks != NULL, error);
    return disks;
}

SteadExecResult *stead_runtime_exec(SteadRuntime *runtime, const char *id, const char *const argv[],
                                    const char *input, guint64 timeout_ms,
                                    GCancellable *cancellable, GError **error)
{
    ENTER("running a command in", id, STEAD_FEATURE_EXEC, exec);
    SteadExecResult *result =
        driver->exec(runtime->self, id, argv, input, timeout_ms, cancellable, error);
    leave(&call, result != NULL, error);
    return result;
}

SteadStream *stead_runtime_stream(SteadRuntime *runtime, const char *id,
                                  const SteadStreamRequest *request, GCancellable *cancellable,
                                  GError **error)
{
    static const char *const doing[] = {[STEAD_STREAM_EXEC] = "running a command in",
                                        [STEAD_STREAM_PUT] = "copying a file to",
                                        [STEAD_STREAM_GET] = "copying a file from"};
    ENTER(doing[request->kind], id, STEAD_FEATURE_STREAM, stream);
    SteadStream *stream = driver->stream(runtime->self, id, request, cancellable, error);
    leave(&call, stream != NULL, error);
    return stream;
}

gboolean stead_runtime_agent_ping(SteadRuntime *runtime, const char *id, GError **error)
{
    ENTER("asking the agent of", id, STEAD_FEATURE_EXEC, agent_ping);
    return leave(&call, driver->agent_ping(runtime->self, id, error), error);
}

GStrv stead_runtime_addresses(SteadRuntime *runtime, const char *id, GError **error)
{
    ENTER("asking for the addresses of", id, 0, addresses);
    GStrv addresses = driver->addresses(runtime->self, id, error);
    leave(&call, addresses != NULL, error);
    return addresses;
}

gboolean stead_runtime_stats(SteadRuntime *runtime, const char *id, SteadStats *stats,
                             GError **error)
{
    ENTER("measuring", id, 0, stats);
    return leave(&call, driver->stats(runtime->self, id, stats, error), error);
}

JsonNode *stead_runtime_display(SteadRuntime *runtime, const char *id, GError **error)
{
    ENTER("looking for the display of", id, STEAD_FEATURE_VNC, display);
    JsonNode *display = driver->display(runtime->self, id, error);
    leave(&call, display != NULL, error);
    return display;
}

gboolean stead_runtime_attach_disk(SteadRuntime *runtime, const char *id,
                                   const SteadMachineDisk *disk, GError **error)
{
    ENTER("attaching a disk to", id, STEAD_FEATURE_HOTPLUG, attach_disk);
    return leave(&call, driver->attach_disk(runtime->self, id, disk, error), error);
}

gboolean stead_runtime_detach_disk(SteadRuntime *runtime, const char *id, const char *path,
                                   GError **error)
{
    ENTER("detaching a disk from", id, STEAD_FEATURE_HOTPLUG, detach_disk);
    return leave(&call, driver->detach_disk(runtime->self, id, path, error), error);
}

gboolean stead_runtime_resize_disk(SteadRuntime *runtime, const char *id, const char *path,
                                   guint64 size, GError **error)
{
    ENTER("growing a disk of", id, 0, resize_disk);
    return leave(&call, driver->resize_disk(runtime->self, id, path, size, error), error);
}

gboolean stead_runtime_freeze(SteadRuntime *runtime, const SteadMachine *machine, const char *dir,
                              SteadCopyFunc copy_disks, gpointer data, GCancellable *cancellable,
                              GError **error)
{
    ENTER("freezing", machine->name, STEAD_FEATURE_TEMPLATE, freeze);
    gboolean done =
        driver->freeze(runtime->self, machine, dir, copy_disks, data, cancellable, error);
    return leave(&call, done, error);
}

gboolean stead_runtime_renew(SteadRuntime *runtime, const char *id, const SteadIdentity *identity,
                             guint64 timeout_ms, GCancellable *cancellable, GError **error)
{
    ENTER("renewing", identity->hostname, STEAD_FEATURE_TEMPLATE, renew);
    return leave(&call, driver->renew(runtime->self, id, identity, timeout_ms, cancellable, error),
                 error);
}

guint64 stead_runtime_frozen_resident(SteadRuntime *runtime, const char *dir)
{
    const SteadDriver *driver = runtime->driver;
    return driver->frozen_resident ? driver->frozen_resident(runtime->self, dir) : 0;
}

void stead_runtime_frozen_drop(SteadRuntime *runtime, const char *dir)
{
    if (runtime->driver->frozen_drop)
        runtime->driver->frozen_drop(runtime->self, dir);
}

gboolean stead_runtime_balloon(SteadRuntime *runtime, const char *id, guint64 size, GError **error)
{
    ENTER("changing the memory of", id, STEAD_FEATURE_BALLOON, balloon);
    return leave(&call, driver->balloon(runtime->self, id, size, error), error);
}

GPtrArray *stead_runtime_list(SteadRuntime *runtime, GError **error)
{
    ENTER("listing instances", NULL, 0, list);
    GPtrArray *list = driver->list(runtime->self, error);
    for (guint i = 0; list && i < list->len; i++)
        ((SteadActual *)list->pdata[i])->kind = driver->kind;
    leave(&call, list != NULL, error);
    return list;
}

void stead_runtime_watch(SteadRuntime *runtime, SteadActualFunc func, gpointer data)
{
    if (runtime->driver->watch)
        runtime->driver->watch(runtime->self, func, data);
}
