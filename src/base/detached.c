/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is who. A pid alone names nobody for long, so a record holds three lines: the boot's id, the
 * argv, and the process's own /proc/self/stat as it was before the program was executed, which has
 * its pid and its start time. Pid, start time and boot together are never used twice.
 *
 * The new process writes that last line itself, between fork and exec; and the record is locked
 * from before the fork until the exec closes the descriptor. Whoever gets the lock thus reads a
 * record that is either complete or will never have a process. So there is no instant at which a
 * killed daemon leaves a forwarder that cannot be found.
 *
 * What the program forks shares its process group, which nobody else can be in while it lives; once
 * it is gone, only what has its command line, too, is taken for its child. Each is signalled
 * through a pidfd that was opened before its identity was checked, so a pid that changes hands in
 * between is no danger.
 */
#include "base/detached.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/proc.h"

#define STAT_MAX 1024
#define OUTPUT_MAX 4096
#define RECORD_MAX (256 * 1024)
/* What is forked while the others are being ended is found in the next one. */
#define ROUNDS_MAX 3

typedef struct {
    char *boot;
    char *command; /* argv, separated by blanks */
    SteadProcStat stat;
    gboolean has_process;
} Record;

static void record_clear(Record *record)
{
    g_clear_pointer(&record->boot, g_free);
    g_clear_pointer(&record->command, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Record, record_clear)

static gboolean fail(GError **error, const char *doing, const char *path)
{
    int saved = errno;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "%s %s: %s", doing, path,
                g_strerror(saved));
    return FALSE;
}

/* ---- reading ---- */

static char *read_all(int fd)
{
    g_autoptr(GString) text = g_string_new(NULL);
    char bytes[4096];
    ssize_t n;
    while ((n = read(fd, bytes, sizeof bytes)) != 0 && text->len < RECORD_MAX) {
        if (n < 0 && errno != EINTR)
            return NULL;
        g_string_append_len(text, bytes, MAX(0, n));
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* FALSE without an error when there is no record. Waits while a process that is being started
 * holds the lock. */
static gboolean read_record(const char *path, Record *record, GError **error)
{
    stead_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? FALSE : fail(error, "opening", path);
    int failed;
    while ((failed = flock(fd, LOCK_SH)) != 0 && errno == EINTR)
        ;
    g_autofree char *text = failed ? NULL : read_all(fd);
    if (text == NULL)
        return fail(error, "reading", path);
    g_auto(GStrv) lines = g_strsplit(text, "\n", 3);
    guint n = g_strv_length(lines);
    record->boot = g_strdup(n > 0 ? lines[0] : "");
    record->command = g_strdup(n > 1 ? lines[1] : "");
    record->has_process = n > 2 && stead_proc_parse(lines[2], &record->stat);
    return TRUE;
}

/* Whether the recorded process was one of this boot; since then it may have ended. */
static gboolean is_of_this_boot(const Record *record, GError **error)
{
    g_autofree char *boot = record->has_process ? stead_proc_boot(error) : NULL;
    return boot && strcmp(record->boot, boot) == 0;
}

/* Whether its pid is the recorded process's still. */
static gboolean is_itself(const Record *record, GError **error)
{
    SteadProcStat now;
    return stead_proc_read(record->stat.pid, &now, error) && now.start == record->stat.start;
}

/* FALSE, and for the next two 0 and -1, without an error: it does not run. */
gboolean stead_detached_is_running(const char *path, const char *const argv[], GError **error)
{
    g_auto(Record) record = {0};
    g_autofree char *command = argv ? g_strjoinv(" ", (GStrv)argv) : NULL;
    return read_record(path, &record, error) &&
           (command == NULL || strcmp(record.command, command) == 0) &&
           is_of_this_boot(&record, error) && is_itself(&record, error);
}

int stead_detached_pid(const char *path, GError **error)
{
    g_auto(Record) record = {0};
    return read_record(path, &record, error) && is_of_this_boot(&record, error) &&
                   is_itself(&record, error)
               ? record.stat.pid
               : 0;
}

/* Of the recorded process; -1 without an error when it does not run. */
static int open_itself(const Record *record, GError **error)
{
    if (!is_itself(record, error))
        return -1;
    stead_autofd pidfd = stead_proc_open(record->stat.pid, error);
    return pidfd >= 0 && is_itself(record, error) ? stead_steal_fd(&pidfd) : -1;
}

int stead_detached_open(const char *path, GError **error)
{
    g_auto(Record) record = {0};
    return read_record(path, &record, error) && is_of_this_boot(&record, error)
               ? open_itself(&record, error)
               : -1;
}

/* ---- ending ---- */

typedef struct {
    int pid, pidfd;
} Member;

static void member_clear(gpointer data)
{
    stead_clear_fd(&((Member *)data)->pidfd);
}

/* A program may write into its own arguments, where it takes them apart. */
static gboolean has_its_words(const Record *record, int pid, GError **error)
{
    g_autofree char *command = stead_proc_command(pid, error);
    g_autofree char *recorded = g_strdup(record->command);
    return command &&
           g_str_has_suffix(g_strdelimit(recorded, "=,", ' '), g_strdelimit(command, "=,", ' '));
}

/* Whether `pid` was forked by the recorded process, which leads its group as long as it lives; then
 * the group may be another's, which has not its words. */
static gboolean is_child(const Record *record, gboolean is_led, int pid, GError **error)
{
    SteadProcStat stat;
    return pid != record->stat.pid && stead_proc_read(pid, &stat, error) &&
           stat.group == record->stat.pid && stat.start >= record->stat.start &&
           (is_led || has_its_words(record, pid, error));
}

static gboolean add_child(const Record *record, gboolean is_led, int pid, GArray *members,
                          GError **error)
{
    g_autoptr(GError) why = NULL;
    stead_autofd pidfd = -1;
    if (is_child(record, is_led, pid, &why) && (pidfd = stead_proc_open(pid, &why)) >= 0 &&
        is_child(record, is_led, pid, &why)) {
        Member member = {pid, stead_steal_fd(&pidfd)};
        g_array_append_val(members, member);
    }
    if (why == NULL)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

/* All of a record that live: NULL upon failure. */
static GArray *gather(const Record *record, GError **error)
{
    g_autoptr(GArray) members = g_array_new(FALSE, FALSE, sizeof(Member));
    g_autoptr(GError) why = NULL;
    g_array_set_clear_func(members, member_clear);
    Member leader = {record->stat.pid, open_itself(record, &why)};
    gboolean is_led = leader.pidfd >= 0;
    if (is_led)
        g_array_append_val(members, leader);
    g_autoptr(GDir) proc = why ? NULL : g_dir_open("/proc", 0, &why);
    for (const char *name; proc && !why && (name = g_dir_read_name(proc));) {
        int pid = g_ascii_isdigit(name[0]) ? atoi(name) : 0;
        if (pid > 1)
            add_child(record, is_led, pid, members, &why);
    }
    if (why == NULL)
        return g_steal_pointer(&members);
    g_propagate_error(error, g_steal_pointer(&why));
    return NULL;
}

static gboolean wait_for_exit(int pidfd, gint64 deadline)
{
    struct pollfd poller = {.fd = pidfd, .events = POLLIN};
    int n;
    do {
        gint64 left = (deadline - g_get_monotonic_time()) / G_TIME_SPAN_MILLISECOND;
        n = poll(&poller, 1, (int)MAX(0, left));
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

/* The first one that is there yet after all were sent `number`; NULL: none. */
static const Member *signal_all(GArray *members, int number)
{
    gint64 deadline = g_get_monotonic_time() + STEAD_DETACHED_WAIT_MS * G_TIME_SPAN_MILLISECOND;
    const Member *left = NULL;
    for (guint i = 0; i < members->len; i++)
        syscall(SYS_pidfd_send_signal, g_array_index(members, Member, i).pidfd, number, NULL, 0);
    for (guint i = 0; i < members->len && left == NULL; i++)
        if (!wait_for_exit(g_array_index(members, Member, i).pidfd, deadline))
            left = &g_array_index(members, Member, i);
    return left;
}

static gboolean end_all(GArray *members, gboolean kill_at_once, GError **error)
{
    if (!kill_at_once && signal_all(members, SIGTERM) == NULL)
        return TRUE;
    const Member *left = signal_all(members, SIGKILL);
    if (left)
        stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "the process with pid %d does not end",
                        left->pid);
    return left == NULL;
}

static gboolean end_group(const Record *record, gboolean kill_at_once, GError **error)
{
    for (guint round = 0; round < ROUNDS_MAX; round++) {
        g_autoptr(GArray) members = gather(record, error);
        if (members == NULL || members->len == 0)
            return members != NULL;
        if (!end_all(members, kill_at_once || round > 0, error))
            return FALSE;
    }
    stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "the process with pid %d forks others yet",
                    record->stat.pid);
    return FALSE;
}

gboolean stead_detached_end(const char *path, gboolean kill_at_once, GError **error)
{
    g_auto(Record) record = {0};
    g_autoptr(GError) why = NULL;
    if (read_record(path, &record, &why)) {
        if (is_of_this_boot(&record, &why))
            end_group(&record, kill_at_once, &why);
        if (why == NULL && g_unlink(path) != 0 && errno != ENOENT)
            fail(&why, "removing", path);
    }
    if (why == NULL)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

/* ---- starting ---- */

typedef struct {
    const SteadDetachedOptions *options;
    int record;
} Child;

/* Whoever starts it may be among the last to go when memory runs out. */
static void die_like_any_other(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "0", 1) == 1)
        close(fd);
}

/* Between fork and exec: only what is async-signal-safe. */
static void in_child(gpointer data)
{
    const Child *child = data;
    char text[STAT_MAX];
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_IGN); /* nobody reads its messages once it is ready */
    setsid();
    die_like_any_other();
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (n <= 0 || write(child->record, text, (size_t)n) != n)
        _exit(127);
    if (child->options->setup && !child->options->setup(child->options->data))
        _exit(127);
}

/* The first two lines, in a file that is locked until *fd and its copies are closed. */
static gboolean open_record(const char *path, const char *const argv[], int *fd, GError **error)
{
    g_autofree char *boot = stead_proc_boot(error);
    if (boot == NULL)
        return FALSE;
    g_autofree char *command = g_strjoinv(" ", (GStrv)argv);
    g_autofree char *text = g_strdup_printf("%s\n%s\n", boot, command);
    ssize_t length = (ssize_t)strlen(text);
    *fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd >= 0 && flock(*fd, LOCK_EX) == 0 && write(*fd, text, (gsize)length) == length)
        return TRUE;
    return fail(error, "writing", path);
}

/* Reads until the program says `ready`; FALSE when it ended, or was silent for too long, before.
 * What it wrote is appended to `output`. */
static gboolean wait_until_ready(int fd, const char *ready, GString *output)
{
    gint64 deadline = g_get_monotonic_time() + STEAD_DETACHED_WAIT_MS * G_TIME_SPAN_MILLISECOND;
    while (output->len < OUTPUT_MAX) {
        char bytes[512];
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        gint64 left = (deadline - g_get_monotonic_time()) / G_TIME_SPAN_MILLISECOND;
        int n = left > 0 ? poll(&poller, 1, (int)left) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        ssize_t got = n > 0 ? read(fd, bytes, sizeof bytes) : 0;
        if (got <= 0)
            return FALSE;
        g_string_append_len(output, bytes, got);
        if (strstr(output->str, ready))
            return TRUE;
    }
    return FALSE;
}

/* The last line of what the program wrote, without the date and pid that stand before it. */
static char *last_line(GString *output)
{
    g_autofree char *clean = g_utf8_make_valid(output->str, -1);
    g_strchomp(clean);
    const char *line = strrchr(clean, '\n');
    line = line ? line + 1 : clean;
    const char *message = strstr(line, "] ");
    if (*line == '\0')
        return g_strdup("it gave no reason");
    return g_strdup(message && strlen(message) > 4 ? message + 4 : line);
}

/* Where its standard error goes: a pipe while it is waited for, else the log. */
static int open_log(const SteadDetachedOptions *options)
{
    const char *path = options->log ? options->log : "/dev/null";
    return options->ready ? -1 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

static gboolean spawn(const SteadDetachedOptions *options, int record, int *err, GError **error)
{
    static const char *const env[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
    Child child = {options, record};
    stead_autofd log = open_log(options);
    g_autofree int *targets = g_new0(int, options->n_fds + 1);
    for (gsize i = 0; i < options->n_fds; i++)
        targets[i] = (int)i + 3;
    /* Without DO_NOT_REAP_CHILD, GLib forks twice: the program is no child of the daemon. */
    return g_spawn_async_with_pipes_and_fds("/", options->argv, env, G_SPAWN_STDOUT_TO_DEV_NULL,
                                            in_child, &child, -1, -1, log, options->fds, targets,
                                            options->n_fds, NULL, NULL, NULL,
                                            options->ready ? err : NULL, error);
}

gboolean stead_detached_start(const SteadDetachedOptions *options, GError **error)
{
    stead_autofd record = -1;
    stead_autofd err = -1;
    g_autoptr(GString) output = g_string_new(NULL);
    if (!open_record(options->record, options->argv, &record, error))
        return FALSE;
    gboolean spawned = spawn(options, record, &err, error);
    stead_clear_fd(&record);
    if (spawned && (options->ready == NULL || wait_until_ready(err, options->ready, output)))
        return TRUE;
    stead_detached_end(options->record, FALSE, NULL);
    if (spawned) {
        g_autofree char *reason = last_line(output);
        stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "%s did not start: %s", options->argv[0],
                        reason);
    }
    return FALSE;
}
