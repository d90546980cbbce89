/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a program to its end, on GSubprocess. Each run iterates a private main context, so that
 * output is drained while the program runs and cancelling acts at once: SIGTERM first, SIGKILL
 * when that is ignored. The function returns only after the program was reaped.
 *
 * Usually its output is read to the end, which comes when all who hold it have closed it. After a
 * cancel, what children that outlive the program go on to write is of no interest: then reading
 * ends with the program.
 */
#include "base/subprocess.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/error.h"

#define KILL_AFTER_SECONDS 5

typedef struct {
    const char *program;
    const char *package;
} ProgramPackage;

static const ProgramPackage packages[] = {
    {"debugfs", "e2fsprogs"},
    {"dnsmasq", "dnsmasq-base"},
    {"libvirtd", "libvirt-daemon"},
    {"mcopy", "mtools"},
    {"mformat", "mtools"},
    {"mmd", "mtools"},
    {"mkfs.vfat", "dosfstools"},
    {"mke2fs", "e2fsprogs"},
    {"mmdebstrap", "mmdebstrap"},
    {"qemu-img", "qemu-utils"},
    {"qemu-system-x86_64", "qemu-system-x86"},
    {"setpriv", "util-linux"},
    {"ssh-keygen", "openssh-client"},
    {"sfdisk", "fdisk"},
    {"socat", "socat"},
    {"virtlogd", "libvirt-daemon"},
    {"xz", "xz-utils"},
    {"zstd", "zstd"},
    {"gzip", "gzip"},
};

const char *stead_program_package(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(packages); i++)
        if (strcmp(packages[i].program, name) == 0)
            return packages[i].package;
    return NULL;
}

gboolean stead_find_program(const char *name, char **path)
{
    static const char *const extra[] = {"/usr/sbin", "/sbin", "/usr/local/sbin"};
    g_autofree char *found = g_find_program_in_path(name);
    for (gsize i = 0; found == NULL && i < G_N_ELEMENTS(extra); i++) {
        g_autofree char *candidate = g_build_filename(extra[i], name, NULL);
        if (g_file_test(candidate, G_FILE_TEST_IS_EXECUTABLE))
            found = g_steal_pointer(&candidate);
    }
    gboolean is_found = found != NULL;
    if (path)
        *path = g_steal_pointer(&found);
    return is_found;
}

typedef struct {
    const SteadRunOptions *options;
    GSubprocess *process;
    GString *out;
    GString *err;
    GString *line;
    GString *err_line;
    gboolean overflow;
    guint open_streams;
    gboolean exited;
    GSource *kill_timer;
    GCancellable *reading;
} Run;

typedef struct {
    Run *run;
    gboolean is_err;
    char buffer[8192];
} Reader;

static void take_lines(SteadLineFunc func, gpointer data, GString *line, const char *bytes, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        if (bytes[i] == '\n' || bytes[i] == '\r') {
            if (line->len > 0)
                func(line->str, data);
            g_string_truncate(line, 0);
        } else if (line->len < sizeof((Reader *)0)->buffer) {
            g_string_append_c(line, bytes[i]);
        }
    }
}

static void take_bytes(Run *run, gboolean is_err, const char *bytes, gsize n)
{
    if (is_err) {
        if (run->options && run->options->on_error_line)
            take_lines(run->options->on_error_line, run->options->data, run->err_line, bytes, n);
        g_string_append_len(run->err, bytes, (gssize)n);
        if (run->err->len > STEAD_SUBPROCESS_STDERR_MAX)
            g_string_erase(run->err, 0, (gssize)(run->err->len - STEAD_SUBPROCESS_STDERR_MAX));
    } else if (run->options && run->options->on_line) {
        take_lines(run->options->on_line, run->options->data, run->line, bytes, n);
    } else if (run->out->len + n > STEAD_SUBPROCESS_STDOUT_MAX) {
        run->overflow = TRUE;
        g_subprocess_force_exit(run->process);
    } else {
        g_string_append_len(run->out, bytes, (gssize)n);
    }
}

static void on_read(GObject *stream, GAsyncResult *result, gpointer data)
{
    Reader *reader = data;
    gssize n = g_input_stream_read_finish(G_INPUT_STREAM(stream), result, NULL);
    if (n <= 0) {
        reader->run->open_streams--;
        return;
    }
    take_bytes(reader->run, reader->is_err, reader->buffer, (gsize)n);
    g_input_stream_read_async(G_INPUT_STREAM(stream), reader->buffer, sizeof reader->buffer,
                              G_PRIORITY_DEFAULT, reader->run->reading, on_read, reader);
}

static void start_reading(Reader *reader, GInputStream *stream)
{
    reader->run->open_streams++;
    g_input_stream_read_async(stream, reader->buffer, sizeof reader->buffer, G_PRIORITY_DEFAULT,
                              reader->run->reading, on_read, reader);
}

static void on_exit_of_process(GObject *process, GAsyncResult *result, gpointer data)
{
    Run *run = data;
    g_subprocess_wait_finish(G_SUBPROCESS(process), result, NULL);
    run->exited = TRUE;
}

static gboolean on_kill_timer(gpointer data)
{
    g_subprocess_force_exit(((Run *)data)->process);
    return G_SOURCE_REMOVE;
}

static gboolean on_cancelled(GCancellable *cancellable, gpointer data)
{
    Run *run = data;
    if (run->kill_timer)
        return G_SOURCE_REMOVE;
    g_subprocess_send_signal(run->process, SIGTERM);
    run->kill_timer = g_timeout_source_new_seconds(KILL_AFTER_SECONDS);
    g_source_set_callback(run->kill_timer, on_kill_timer, run, NULL);
    g_source_attach(run->kill_timer, g_main_context_get_thread_default());
    return G_SOURCE_REMOVE;
}

/* In the child, before it becomes the program. A daemon that is killed leaves nothing behind that
 * still writes where its successor begins anew: the program is asked to end when the thread that
 * waits for it does. */
static void end_with_parent(gpointer parent)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != GPOINTER_TO_INT(parent))
        _exit(EXIT_FAILURE);
}

static GSubprocess *spawn(const char *const argv[], const SteadRunOptions *options, GError **error)
{
    g_autofree char *path = NULL;
    if (!stead_find_program(argv[0], &path)) {
        const char *package = stead_program_package(argv[0]);
        g_autofree char *hint =
            package ? g_strdup_printf("Install it: apt install %s", package) : NULL;
        stead_set_error(error, STEAD_ERROR_MISSING, hint, "the program %s is not installed",
                        argv[0]);
        return NULL;
    }
    gboolean input = options && options->input;
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(
        G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE |
        (input ? G_SUBPROCESS_FLAGS_STDIN_PIPE : G_SUBPROCESS_FLAGS_NONE));
    g_subprocess_launcher_set_child_setup(launcher, end_with_parent, GINT_TO_POINTER(getpid()),
                                          NULL);
    if (options && options->cwd)
        g_subprocess_launcher_set_cwd(launcher, options->cwd);
    for (const char *const *pair = options ? options->env : NULL; pair && *pair; pair++) {
        g_auto(GStrv) parts = g_strsplit(*pair, "=", 2);
        g_subprocess_launcher_setenv(launcher, parts[0], parts[1] ? parts[1] : "", TRUE);
    }
    g_autoptr(GPtrArray) copy = g_ptr_array_new();
    g_ptr_array_add(copy, path);
    for (gsize i = 1; argv[i]; i++)
        g_ptr_array_add(copy, (gpointer)(gsize)argv[i]);
    g_ptr_array_add(copy, NULL);
    return g_subprocess_launcher_spawnv(launcher, (const char *const *)copy->pdata, error);
}

static void on_written(GObject *stream, GAsyncResult *result, gpointer data)
{
    /* A program that closes its input early says why by its exit code. */
    g_output_stream_write_all_finish(G_OUTPUT_STREAM(stream), result, NULL, NULL);
    g_output_stream_close(G_OUTPUT_STREAM(stream), NULL, NULL);
}

static gboolean report(Run *run, const char *name, GCancellable *cancellable, GError **error)
{
    if (g_cancellable_is_cancelled(cancellable)) {
        stead_set_error(error, STEAD_ERROR_CANCELLED, NULL, "%s was cancelled", name);
        return FALSE;
    }
    if (run->overflow) {
        stead_set_error(error, STEAD_ERROR_EXHAUSTED, NULL, "%s wrote more than %d bytes", name,
                        STEAD_SUBPROCESS_STDOUT_MAX);
        return FALSE;
    }
    if (g_subprocess_get_if_exited(run->process) && g_subprocess_get_exit_status(run->process) == 0)
        return TRUE;
    g_strstrip(run->err->str);
    g_autofree char *clean = g_utf8_make_valid(run->err->str, -1);
    if (g_subprocess_get_if_signaled(run->process))
        stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "%s was ended by signal %d: %s", name,
                        g_subprocess_get_term_sig(run->process), clean);
    else
        stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "%s failed (exit code %d): %s", name,
                        g_subprocess_get_exit_status(run->process), clean);
    return FALSE;
}

static void iterate(Run *run, GMainContext *context, GCancellable *cancellable)
{
    Reader out = {.run = run}, err = {.run = run, .is_err = TRUE};
    start_reading(&out, g_subprocess_get_stdout_pipe(run->process));
    start_reading(&err, g_subprocess_get_stderr_pipe(run->process));
    if (run->options && run->options->input)
        g_output_stream_write_all_async(g_subprocess_get_stdin_pipe(run->process),
                                        run->options->input, strlen(run->options->input),
                                        G_PRIORITY_DEFAULT, NULL, on_written, NULL);
    g_subprocess_wait_async(run->process, NULL, on_exit_of_process, run);

    g_autoptr(GSource) cancel = cancellable ? g_cancellable_source_new(cancellable) : NULL;
    if (cancel) {
        g_source_set_callback(cancel, G_SOURCE_FUNC(on_cancelled), run, NULL);
        g_source_attach(cancel, context);
    }
    while (!run->exited || run->open_streams > 0) {
        if (run->exited && (run->overflow || g_cancellable_is_cancelled(cancellable)))
            g_cancellable_cancel(run->reading);
        g_main_context_iteration(context, TRUE);
    }
    if (cancel)
        g_source_destroy(cancel);
    if (run->kill_timer)
        g_source_destroy(run->kill_timer);
    g_clear_pointer(&run->kill_timer, g_source_unref);
    if (run->line->len > 0)
        run->options->on_line(run->line->str, run->options->data);
    if (run->err_line->len > 0)
        run->options->on_error_line(run->err_line->str, run->options->data);
}

gboolean stead_run(const char *const argv[], const SteadRunOptions *options,
                   GCancellable *cancellable, char **output, GError **error)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    g_main_context_push_thread_default(context);
    g_autoptr(GSubprocess) process = spawn(argv, options, error);
    gboolean done = FALSE;
    if (process) {
        g_autoptr(GString) err = g_string_new(NULL);
        g_autoptr(GString) line = g_string_new(NULL);
        g_autoptr(GString) err_line = g_string_new(NULL);
        g_autoptr(GString) out = g_string_new(NULL);
        g_autoptr(GCancellable) reading = g_cancellable_new();
        Run run = {.options = options,
                   .process = process,
                   .out = out,
                   .err = err,
                   .line = line,
                   .err_line = err_line,
                   .reading = reading};
        iterate(&run, context, cancellable);
        done = report(&run, argv[0], cancellable, error);
        if (done && output)
            *output = g_string_free(g_steal_pointer(&out), FALSE);
    }
    g_main_context_pop_thread_default(context);
    return done;
}
