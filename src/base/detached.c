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
 * What the program forks shares its process group and command line, by which it is found; each is
 * signalled through a pidfd that was opened before its identity was checked, so a pid that changes
 * hands in between is no danger.
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

#define STAT_MAX 1024
#define OUTPUT_MAX 4096
#define CMDLINE_MAX 4096
#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

/* What a line of /proc/PID/stat tells. */
typedef struct {
    int pid;
    char state;
    int group;
    guint64 start; /* in clock ticks since the boot */
} Stat;

typedef struct {
    char *boot;
    char *command; /* argv, separated by blanks */
    Stat stat;
    gboolean has_process;
} Record;

static void record_clear(Record *record)
{
    g_clear_pointer(&record->boot, g_free);
    g_clear_pointer(&record->command, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Record, record_clear)

/* ---- reading ---- */

/* The name in the second field may hold anything, so the rest is read from its last ')'. */
static gboolean parse_stat(const char *text, Stat *stat)
{
    const char *rest = strrchr(text, ')');
    unsigned long long start;
    if (rest == NULL || sscanf(text, "%d", &stat->pid) != 1 || stat->pid <= 1)
        return FALSE;
    if (sscanf(rest + 1,
               " %c %*d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &stat->state, &stat->group, &start) != 3)
        return FALSE;
    stat->start = start;
    return TRUE;
}

static gboolean read_stat(int pid, Stat *stat)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) && parse_stat(text, stat);
}

static gboolean is_alive(const Stat *stat)
{
    return stat->state != 'Z' && stat->state != 'X';
}

/* The command line of a process with blanks between its arguments; NULL when it has none. */
static char *read_command(int pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cmdline", pid);
    g_autofree char *text = NULL;
    gsize length = 0;
    if (!g_file_get_contents(path, &text, &length, NULL) || length == 0 || length > CMDLINE_MAX)
        return NULL;
    for (gsize i = 0; i + 1 < length; i++)
        if (text[i] == '\0')
            text[i] = ' ';
    return g_steal_pointer(&text);
}

static char *read_boot_id(void)
{
    char *id = NULL;
    if (!g_file_get_contents(BOOT_ID_FILE, &id, NULL, NULL))
        return g_strdup("");
    return g_strchomp(id);
}

/* FALSE when there is no record. Waits while a process that is being started holds the lock. */
static gboolean read_record(const char *path, Record *record)
{
    stead_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return FALSE;
    while (flock(fd, LOCK_SH) != 0 && errno == EINTR)
        ;
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return FALSE;
    g_auto(GStrv) lines = g_strsplit(text, "\n", 3);
    guint n = g_strv_length(lines);
    record->boot = g_strdup(n > 0 ? lines[0] : "");
    record->command = g_strdup(n > 1 ? lines[1] : "");
    record->has_process = n > 2 && parse_stat(lines[2], &record->stat);
    return TRUE;
}

/* Whether the recorded process lives. */
static gboolean is_recorded_alive(const Record *record)
{
    g_autofree char *boot = read_boot_id();
    Stat now;
    return record->has_process && strcmp(record->boot, boot) == 0 &&
           read_stat(record->stat.pid, &now) && now.start == record->stat.start && is_alive(&now);
}

gboolean stead_detached_is_running(const char *path, const char *const argv[])
{
    g_auto(Record) record = {0};
    g_autofree char *command = argv ? g_strjoinv(" ", (GStrv)argv) : NULL;
    return read_record(path, &record) &&
           (command == NULL || strcmp(record.command, command) == 0) && is_recorded_alive(&record);
}

int stead_detached_pid(const char *path)
{
    g_auto(Record) record = {0};
    return read_record(path, &record) && is_recorded_alive(&record) ? record.stat.pid : 0;
}

/* ---- ending ---- */

static int open_pidfd(int pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

int stead_detached_open(const char *path)
{
    g_auto(Record) record = {0};
    if (!read_record(path, &record))
        return -1;
    stead_autofd pidfd = open_pidfd(record.stat.pid);
    return pidfd >= 0 && is_recorded_alive(&record) ? stead_steal_fd(&pidfd) : -1;
}

static gboolean wait_for_exit(int pidfd)
{
    struct pollfd poller = {.fd = pidfd, .events = POLLIN};
    int n;
    do
        n = poll(&poller, 1, STEAD_DETACHED_WAIT_MS);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

static gboolean end_process(int pidfd, int pid, gboolean kill_at_once, GError **error)
{
    static const int signals[] = {SIGTERM, SIGKILL};
    for (gsize i = kill_at_once ? 1 : 0; i < G_N_ELEMENTS(signals); i++) {
        if (syscall(SYS_pidfd_send_signal, pidfd, signals[i], NULL, 0) != 0 && errno == ESRCH)
            return TRUE;
        if (wait_for_exit(pidfd))
            return TRUE;
    }
    stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "the process with pid %d does not end", pid);
    return FALSE;
}

static gboolean end_recorded(const Record *record, gboolean kill_at_once, GError **error)
{
    stead_autofd pidfd = open_pidfd(record->stat.pid);
    return pidfd < 0 || !is_recorded_alive(record) ||
           end_process(pidfd, record->stat.pid, kill_at_once, error);
}

/* Whether `pid` was forked by the recorded process. */
static gboolean is_child(const Record *record, int pid)
{
    Stat stat;
    if (!read_stat(pid, &stat) || stat.group != record->stat.pid ||
        stat.start < record->stat.start || !is_alive(&stat))
        return FALSE;
    g_autofree char *command = read_command(pid);
    return command && g_str_has_suffix(record->command, command);
}

static gboolean end_children(const Record *record, gboolean kill_at_once, GError **error)
{
    g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
    for (const char *name; proc && (name = g_dir_read_name(proc));) {
        int pid = g_ascii_isdigit(name[0]) ? atoi(name) : 0;
        if (pid <= 1 || !is_child(record, pid))
            continue;
        stead_autofd pidfd = open_pidfd(pid);
        if (pidfd >= 0 && is_child(record, pid) && !end_process(pidfd, pid, kill_at_once, error))
            return FALSE;
    }
    return TRUE;
}

gboolean stead_detached_end(const char *path, gboolean kill_at_once, GError **error)
{
    g_auto(Record) record = {0};
    if (!read_record(path, &record))
        return TRUE;
    g_autofree char *boot = read_boot_id();
    if (record.has_process && strcmp(record.boot, boot) == 0 &&
        !(end_recorded(&record, kill_at_once, error) && end_children(&record, kill_at_once, error)))
        return FALSE;
    g_unlink(path);
    return TRUE;
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
    g_autofree char *boot = read_boot_id();
    g_autofree char *command = g_strjoinv(" ", (GStrv)argv);
    g_autofree char *text = g_strdup_printf("%s\n%s\n", boot, command);
    ssize_t length = (ssize_t)strlen(text);
    *fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd >= 0 && flock(*fd, LOCK_EX) == 0 && write(*fd, text, (gsize)length) == length)
        return TRUE;
    int saved = errno;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "writing %s: %s", path,
                g_strerror(saved));
    return FALSE;
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
