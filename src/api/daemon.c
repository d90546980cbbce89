/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's entry point: options, the lock that keeps a root to one daemon, the main loop, and
 * an orderly end on SIGTERM and SIGINT. It stays in the foreground; instances do not depend on it.
 */
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/server.h"
#include "base/error.h"
#include "base/filelock.h"
#include "base/memory.h"
#include "host/checks.h"

typedef struct {
    gboolean version, doctor, debug;
    char *format;
} Options;

static gboolean parse_options(Options *options, int *argc, char ***argv, GError **error)
{
    const GOptionEntry entries[] = {
        {"version", 0, 0, G_OPTION_ARG_NONE, &options->version, "Print the version and exit", NULL},
        {"doctor", 0, 0, G_OPTION_ARG_NONE, &options->doctor, "Check the host and exit", NULL},
        {"format", 0, 0, G_OPTION_ARG_STRING, &options->format, "With --doctor: text or json",
         "FORMAT"},
        {"debug", 0, 0, G_OPTION_ARG_NONE, &options->debug, "Log every request and call", NULL},
        {NULL},
    };
    g_autoptr(GOptionContext) context = g_option_context_new("- run and watch instances");
    g_option_context_set_description(
        context, "STEAD_ROOT=DIR keeps state and sockets below DIR instead of /var/lib/stead and "
                 "/run/stead.\n");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, error))
        return FALSE;
    if (*argc > 1) {
        stead_set_error(error, STEAD_ERROR_INVALID, "stead-daemon --help", "'%s' is not an option",
                        (*argv)[1]);
        return FALSE;
    }
    return TRUE;
}

static int doctor(const SteadPaths *paths, const char *format)
{
    SteadCheckContext context = {.paths = paths};
    g_autoptr(GPtrArray) results = stead_checks_run(&context);
    gboolean json = g_strcmp0(format, "json") == 0;
    g_autofree char *text = json ? stead_checks_to_json(results) : stead_checks_to_text(results);
    fputs(text, stdout);
    if (json)
        fputc('\n', stdout);
    return stead_checks_all_ok(results) ? 0 : stead_error_exit_code(STEAD_ERROR_MISSING);
}

/* One daemon a root: the lock lives as long as its holder. */
static SteadFileLock *lock_root(const SteadPaths *paths, GError **error)
{
    g_autofree char *path = g_build_filename(paths->state, "lock", NULL);
    g_autoptr(GError) why = NULL;
    if (!stead_make_dir(paths->state, 0711, error))
        return NULL;
    SteadFileLock *lock = stead_file_lock(path, &why);
    if (lock == NULL && stead_error_code(why) == STEAD_ERROR_BUSY)
        stead_set_error(error, STEAD_ERROR_BUSY, "'stead info' shows it.",
                        "another stead-daemon has %s already", paths->state);
    else if (lock == NULL)
        g_propagate_error(error, g_steal_pointer(&why));
    return lock;
}

/* Each open console and each client holds descriptors: as many as the host lets us have. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static gboolean on_signal(gpointer loop)
{
    g_main_loop_quit(loop);
    return G_SOURCE_CONTINUE;
}

static gboolean serve(const SteadPaths *paths, GError **error)
{
    g_autoptr(SteadFileLock) lock = lock_root(paths, error);
    if (lock == NULL)
        return FALSE;
    SteadEngine *engine = stead_engine_open(paths, error);
    if (engine == NULL)
        return FALSE;
    SteadServer *server = stead_server_start(engine, paths, error);
    if (server) {
        g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
        guint term = g_unix_signal_add(SIGTERM, on_signal, loop);
        guint interrupt = g_unix_signal_add(SIGINT, on_signal, loop);
        g_message("stead %s serves at %s", STEAD_VERSION, paths->socket);
        stead_memory_give_back(); /* what only starting took */
        g_main_loop_run(loop);
        g_source_remove(term);
        g_source_remove(interrupt);
    }
    gboolean served = server != NULL;
    stead_server_stop(server);
    stead_engine_close(engine);
    return served;
}

static int report(const GError *error)
{
    fprintf(stderr, "stead-daemon: %s\n", error->message);
    if (stead_error_hint(error))
        fprintf(stderr, "hint: %s\n", stead_error_hint(error));
    return error->domain == G_OPTION_ERROR ? stead_error_exit_code(STEAD_ERROR_INVALID)
                                           : stead_error_exit_code(stead_error_code(error));
}

int main(int argc, char **argv)
{
    Options options = {0};
    g_autoptr(GError) error = NULL;
    stead_memory_init();
    setlocale(LC_ALL, "");
    umask(022);
    if (!parse_options(&options, &argc, &argv, &error))
        return report(error);
    g_autofree char *format = options.format;
    if (options.version) {
        printf("stead-daemon %s\n", STEAD_VERSION);
        return 0;
    }
    if (options.debug)
        g_setenv("G_MESSAGES_DEBUG", G_LOG_DOMAIN, TRUE);
    g_autoptr(SteadPaths) paths = stead_paths_new(&error);
    if (paths == NULL)
        return report(error);
    if (options.doctor)
        return doctor(paths, format);
    if (geteuid() != 0) {
        error = stead_error_new(STEAD_ERROR_DENIED, "sudo stead-daemon",
                                "it must run as root, to use libvirt, networks and disks");
        return report(error);
    }
    raise_descriptors();
    return serve(paths, &error) ? 0 : report(error);
}
