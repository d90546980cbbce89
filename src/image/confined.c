/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Confined programs. Everything that limits the child happens between fork and exec, with
 * async-signal-safe calls only. The parent reads the program's output as it comes; its standard
 * error goes to a memory file, so that a program that talks much there cannot block.
 */
#include "image/confined.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/subprocess.h"

#define OUTPUT_CHUNK (256 * 1024)

typedef struct {
    guint64 memory;
    guint64 max_file;
    gboolean drop; /* become the unprivileged user */
} Limits;

/* In the child. A limit is only ever lowered. */
static void lower_limit(int resource, guint64 value)
{
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) != 0)
        _exit(127);
    limit.rlim_max = MIN(limit.rlim_max, (rlim_t)value);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit((__rlimit_resource_t)resource, &limit) != 0)
        _exit(127);
}

static void confine_child(gpointer data)
{
    const Limits *limits = data;
    lower_limit(RLIMIT_AS, limits->memory);
    lower_limit(RLIMIT_FSIZE, limits->max_file);
    lower_limit(RLIMIT_CPU, STEAD_CONFINED_CPU_SECONDS);
    lower_limit(RLIMIT_NOFILE, STEAD_CONFINED_FILES);
    lower_limit(RLIMIT_CORE, 0);
    if (limits->drop && (setgroups(0, NULL) != 0 ||
                         setresgid(STEAD_CONFINED_ID, STEAD_CONFINED_ID, STEAD_CONFINED_ID) != 0 ||
                         setresuid(STEAD_CONFINED_ID, STEAD_CONFINED_ID, STEAD_CONFINED_ID) != 0))
        _exit(127);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        _exit(127);
}

static gboolean fail_errno(GError **error, int saved, const char *doing)
{
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "%s: %s", doing,
                g_strerror(saved));
    return FALSE;
}

/* Gives the launcher a copy of a descriptor, since it takes what it is given. */
static int duplicate(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static GSubprocess *spawn(const SteadConfinedOptions *options, Limits *limits, int err,
                          GError **error)
{
    g_autofree char *path = NULL;
    const char *name = options->argv[0];
    if (!stead_find_program(name, &path)) {
        const char *package = stead_program_package(name);
        g_autofree char *hint =
            g_strdup_printf("Install it: apt install %s", package ? package : name);
        stead_set_error(error, STEAD_ERROR_MISSING, hint, "the program %s is not installed", name);
        return NULL;
    }
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE);
    g_subprocess_launcher_set_child_setup(launcher, confine_child, limits, NULL);
    g_subprocess_launcher_set_cwd(launcher, "/");
    g_subprocess_launcher_setenv(launcher, "LC_ALL", "C", TRUE);
    g_subprocess_launcher_take_stderr_fd(launcher, duplicate(err));
    if (options->input >= 0)
        g_subprocess_launcher_take_stdin_fd(launcher, duplicate(options->input));
    for (gsize i = 0; i < options->n_fds; i++)
        g_subprocess_launcher_take_fd(launcher, duplicate(options->fds[i]),
                                      STEAD_CONFINED_FD + (int)i);
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_ptr_array_add(argv, path);
    for (gsize i = 1; options->argv[i]; i++)
        g_ptr_array_add(argv, (gpointer)(gsize)options->argv[i]);
    g_ptr_array_add(argv, NULL);
    return g_subprocess_launcher_spawnv(launcher, (const char *const *)argv->pdata, error);
}

static gboolean read_output(const SteadConfinedOptions *options, GInputStream *stream,
                            GCancellable *cancellable, GError **error)
{
    g_autofree guint8 *buffer = g_malloc(OUTPUT_CHUNK);
    for (;;) {
        gssize n = g_input_stream_read(stream, buffer, OUTPUT_CHUNK, cancellable, error);
        if (n == 0)
            return TRUE;
        if (n < 0)
            return FALSE;
        if (options->on_output && !options->on_output(buffer, (gsize)n, options->data, error))
            return FALSE;
    }
}

/* The tail of what it wrote to standard error. Owned by the caller. */
static char *read_complaint(int fd)
{
    char text[STEAD_SUBPROCESS_STDERR_MAX + 1];
    off_t size = lseek(fd, 0, SEEK_END);
    ssize_t n = pread(fd, text, sizeof text - 1, MAX(0, size - (off_t)sizeof text + 1));
    text[MAX(0, n)] = '\0';
    return g_utf8_make_valid(g_strstrip(text), -1);
}

typedef struct {
    const char *phrase;
    SteadErrorCode code;
    const char *hint;
} Complaint;

static const Complaint complaints[] = {
    {"No space left", STEAD_ERROR_EXHAUSTED, "Make room on the disk that holds stead's state."},
    {"File too large", STEAD_ERROR_EXHAUSTED, NULL},
    {"\" lock", STEAD_ERROR_BUSY, "Something has the file open: stop what uses it."},
    {"Failed to lock", STEAD_ERROR_BUSY, "Something has the file open: stop what uses it."},
};

static void report_failure(GSubprocess *process, const char *name, int err, GError **error)
{
    g_autofree char *complaint = read_complaint(err);
    SteadErrorCode code = STEAD_ERROR_INVALID;
    const char *hint = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(complaints); i++)
        if (strstr(complaint, complaints[i].phrase)) {
            code = complaints[i].code;
            hint = complaints[i].hint;
            break;
        }
    if (g_subprocess_get_if_signaled(process))
        stead_set_error(error, code, hint, "%s was ended by signal %d%s%s", name,
                        g_subprocess_get_term_sig(process), *complaint ? ": " : "", complaint);
    else
        stead_set_error(error, code, hint, "%s failed (exit code %d)%s%s", name,
                        g_subprocess_get_exit_status(process), *complaint ? ": " : "", complaint);
}

static gboolean finish(const SteadConfinedOptions *options, GSubprocess *process, int err,
                       GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) local = NULL;
    gboolean read =
        read_output(options, g_subprocess_get_stdout_pipe(process), cancellable, &local);
    if (!read)
        g_subprocess_force_exit(process);
    g_subprocess_wait(process, NULL, NULL);
    if (g_cancellable_is_cancelled(cancellable)) {
        stead_set_error(error, STEAD_ERROR_CANCELLED, NULL, "%s was cancelled", options->argv[0]);
        return FALSE;
    }
    if (!read) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    if (g_subprocess_get_successful(process))
        return TRUE;
    report_failure(process, options->argv[0], err, error);
    return FALSE;
}

gboolean stead_confined_run(const SteadConfinedOptions *options, GCancellable *cancellable,
                            GError **error)
{
    stead_autofd err = memfd_create("stderr", MFD_CLOEXEC);
    if (err < 0)
        return fail_errno(error, errno, "making a memory file");
    /* The limit on files counts for standard error as well. */
    Limits limits = {.memory = options->memory ? options->memory : STEAD_CONFINED_MEMORY,
                     .max_file = MAX(options->max_file, STEAD_SUBPROCESS_STDERR_MAX),
                     .drop = geteuid() == 0};
    g_autoptr(GSubprocess) process = spawn(options, &limits, err, error);
    return process != NULL && finish(options, process, err, cancellable, error);
}

gboolean stead_confined_share(int fd, gboolean owner, GError **error)
{
    if (geteuid() != 0)
        return TRUE;
    if (owner ? fchown(fd, STEAD_CONFINED_ID, STEAD_CONFINED_ID) != 0 : fchmod(fd, 0644) != 0)
        return fail_errno(error, errno, "handing a file to a confined program");
    return TRUE;
}
