/* SPDX-License-Identifier: Apache-2.0 */
/* Never through a shell; the program is looked for in fixed places around the running one. */
#include "cli/daemon_program.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/subprocess.h"

#define PROGRAM "stead-daemon"

/* Relative to the folder of the running program. */
static const char *const places[] = {".",      "../libexec/stead", "../libexec", "../sbin",
                                     "../bin", "../api",           "../daemon"};

char *stead_daemon_program(GError **error)
{
    const char *named = g_getenv("STEAD_DAEMON");
    if (named != NULL && *named != '\0')
        return g_strdup(named);
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = self ? g_path_get_dirname(self) : NULL;
    for (gsize i = 0; folder != NULL && i < G_N_ELEMENTS(places); i++) {
        g_autofree char *path = g_build_filename(folder, places[i], PROGRAM, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_EXECUTABLE))
            return g_canonicalize_filename(path, NULL);
    }
    char *found = NULL;
    if (stead_find_program(PROGRAM, &found))
        return found;
    stead_set_error(error, STEAD_ERROR_MISSING,
                    "Install the package 'stead', or name the program "
                    "in STEAD_DAEMON.",
                    "the program " PROGRAM " is not installed");
    return NULL;
}

static GPtrArray *make_argv(char *program, const char *const arguments[])
{
    GPtrArray *argv = g_ptr_array_new();
    g_ptr_array_add(argv, program);
    for (const char *const *argument = arguments; *argument != NULL; argument++)
        g_ptr_array_add(argv, (gpointer)*argument);
    g_ptr_array_add(argv, NULL);
    return argv;
}

gboolean stead_daemon_run(const char *const arguments[], int *code, GError **error)
{
    g_autofree char *program = stead_daemon_program(error);
    if (program == NULL)
        return FALSE;
    int status;
    g_autoptr(GPtrArray) argv = make_argv(program, arguments);
    if (!g_spawn_sync(NULL, (char **)argv->pdata, NULL, G_SPAWN_CHILD_INHERITS_STDIN, NULL, NULL,
                      NULL, NULL, &status, error))
        return FALSE;
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return TRUE;
}

/* In the child, between fork and exec. */
static void leave_terminal(gpointer data)
{
    setsid();
}

gboolean stead_daemon_spawn(const char *log, GPid *pid, GError **error)
{
    static const char *const nothing[] = {NULL};
    g_autofree char *program = stead_daemon_program(error);
    if (program == NULL)
        return FALSE;
    stead_autofd out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    stead_autofd in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (out < 0 || in < 0) {
        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(errno), "opening %s: %s", log,
                    g_strerror(errno));
        return FALSE;
    }
    g_autoptr(GPtrArray) argv = make_argv(program, nothing);
    return g_spawn_async_with_fds(NULL, (char **)argv->pdata, NULL, G_SPAWN_DO_NOT_REAP_CHILD,
                                  leave_terminal, NULL, pid, in, out, out, error);
}
