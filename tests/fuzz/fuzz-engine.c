/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what an engine says over its QMP, to all that hears it: the reader, the monitor's
 * events, and what the daemon is told. The wires and the process are ours: commands are answered at
 * once, and the process ends when we say so. Whatever comes before, it runs or is paused; then its
 * end is told once.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/detached.h"
#include "base/error.h"
#include "fuzz.h"
#include "runtime/microvm/microvm.h"
#include "runtime/microvm/wire.h"

#define ID "12345678-1234-4234-8234-123456789abc"
#define CHUNK 4096
#define INPUT_MAX (1024 * 1024)

/* ---- the wires ---- */

struct _SteadWire {
    const SteadWireFuncs *funcs;
    gpointer data;
    gboolean closed;
};

static struct _SteadWire qmp, agent;

SteadWires *stead_wires_new(void)
{
    return (SteadWires *)&qmp;
}

void stead_wires_close(SteadWires *wires)
{
}

void stead_wires_free(SteadWires *wires)
{
}

SteadWire *stead_wire_open(SteadWires *wires, const char *path, const SteadWireFuncs *funcs,
                           gpointer data, GError **error)
{
    SteadWire *wire = g_str_has_suffix(path, "qmp.sock") ? &qmp : &agent;
    *wire = (SteadWire){.funcs = funcs, .data = data};
    return wire;
}

gboolean stead_wire_send(SteadWire *wire, const void *bytes, gsize n, int fd, GError **error)
{
    g_autofree char *line = g_strndup(bytes, n);
    const char *id = strstr(line, "\"id\":");
    if (wire != &qmp || id == NULL)
        return TRUE;
    g_autofree char *answer = g_strdup_printf("\n{\"return\":{\"status\":\"running\"},\"id\":%d}\n",
                                              (int)g_ascii_strtoll(id + 5, NULL, 10));
    qmp.funcs->bytes((const guint8 *)answer, strlen(answer), qmp.data);
    return TRUE;
}

void stead_wire_later(SteadWire *wire, guint ms, void (*func)(gpointer data), gpointer data,
                      GDestroyNotify release)
{
    release(data);
}

void stead_wire_close(SteadWire *wire)
{
    if (wire)
        wire->closed = TRUE;
}

void stead_wire_unref(SteadWire *wire)
{
}

static void end_wire(SteadWire *wire)
{
    const SteadWireFuncs *funcs = wire->funcs;
    if (funcs == NULL)
        return;
    wire->funcs = NULL;
    funcs->closed(wire->data);
    funcs->release(wire->data);
}

/* ---- the process ---- */

static int life = -1; /* readable once it has ended, as a pidfd */

gboolean stead_detached_start(const SteadDetachedOptions *options, GError **error)
{
    return FALSE;
}

gboolean stead_detached_is_running(const char *record, const char *const argv[], GError **error)
{
    return TRUE;
}

int stead_detached_pid(const char *record, GError **error)
{
    return 0;
}

int stead_detached_open(const char *record, GError **error)
{
    return dup(life);
}

gboolean stead_detached_end(const char *record, gboolean kill_at_once, GError **error)
{
    return TRUE;
}

/* ---- the daemon ---- */

static guint ends;

static void on_actual(const SteadActual *actual, gpointer data)
{
    ends += actual->state == STEAD_STATE_STOPPED;
    g_assert_true(actual->state == STEAD_STATE_RUNNING || actual->state == STEAD_STATE_PAUSED ||
                  actual->state == STEAD_STATE_STOPPED);
}

static char *root;
static SteadPaths *paths;

static void remove_paths(void)
{
    stead_remove_tree(root, NULL);
    stead_paths_free(paths);
    g_free(root);
}

static void make_paths(void)
{
    root = g_dir_make_tmp("stead-fuzz-XXXXXX", NULL);
    paths = stead_paths_new_for_root(root, NULL);
    g_autofree char *dir = g_build_filename(paths->run, "instances", ID, NULL);
    g_assert_true(stead_make_dir(dir, 0700, NULL));
    atexit(remove_paths);
}

static void serve(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static void attach(SteadRuntime *runtime)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) list = stead_runtime_list(runtime, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(list->len, ==, 1);
    serve();
}

static void feed(const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size && !qmp.closed; at += CHUNK)
        qmp.funcs->bytes(data + at, MIN(CHUNK, size - at), qmp.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX)
        return 0;
    if (paths == NULL)
        make_paths();
    ends = 0;
    life = eventfd(0, EFD_CLOEXEC);
    SteadRuntime *runtime = stead_microvm_runtime_new(paths, NULL);
    stead_runtime_watch(runtime, on_actual, NULL);
    attach(runtime);
    feed(data, size);
    serve();
    g_assert_cmpuint(ends, ==, 0);
    eventfd_write(life, 1);
    serve();
    end_wire(&qmp);
    end_wire(&agent);
    serve();
    g_assert_cmpuint(ends, ==, 1);
    stead_runtime_free(runtime);
    close(life);
    return 0;
}
