/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child shares the agent's memory until it executes its program, as with vfork(): nothing is
 * copied, and the errno of what failed is simply there when clone() returns. So all that needs
 * looking up is done before, and the child only makes system calls, on a stack of its own. It
 * calls the kernel for identities itself, as the C library's setuid() is for threads.
 *
 * No handler is installed in the agent (signals come as bytes of a signalfd), so that none can run
 * in the child.
 */
#include "guest/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest/text.h"
#include "guest/user.h"

/* Not in every C library's headers. */
#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

#define CHILD_STACK 16384
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define DEFAULTS_MAX 5 /* variables that are added */
#define COMMAND_NOT_RUN 127

/* The sanitizer marks the child's stack and never learns that the child is gone. */
#define IN_CHILD __attribute__((no_sanitize("address")))

typedef struct {
    char *const *args;
    char *const *env;
    const char *path; /* where to look for a program without '/' */
    const char *cwd, *home;
    const GuestUser *user; /* NULL: stay who we are */
    int fds[GUEST_STREAMS];
    bool is_pty;
    const char *volatile failed; /* what did; NULL when the program runs */
    volatile int error;
} Child;

static uint8_t child_stack[CHILD_STACK] __attribute__((aligned(16)));

/* --- in the child --- */

IN_CHILD static int be_user(const GuestUser *user)
{
    if (syscall(SYS_setgroups, user->n_groups, user->groups) < 0)
        return -1;
    if (syscall(SYS_setresgid, user->gid, user->gid, user->gid) < 0)
        return -1;
    return (int)syscall(SYS_setresuid, user->uid, user->uid, user->uid);
}

IN_CHILD static int go_home(const Child *child)
{
    if (*child->cwd)
        return chdir(child->cwd);
    return chdir(child->home) < 0 ? chdir("/") : 0;
}

/* Each folder of PATH; the errno that tells most, as a shell does it. */
IN_CHILD static void execute(const Child *child)
{
    const char *name = child->args[0], *at = child->path;
    size_t length = strlen(name);
    int error = ENOENT;
    if (strchr(name, '/')) {
        execve(name, child->args, child->env);
        return;
    }
    while (*at && *name) {
        char file[PATH_MAX];
        size_t folder = strcspn(at, ":");
        if (folder > 0 && folder + length + 2 <= sizeof file) {
            memcpy(file, at, folder);
            file[folder] = '/';
            memcpy(file + folder + 1, name, length + 1);
            execve(file, child->args, child->env);
            if (errno != ENOENT && errno != ENOTDIR)
                error = errno;
        }
        at += at[folder] ? folder + 1 : folder;
    }
    errno = error;
}

IN_CHILD static const char *become(const Child *child)
{
    sigset_t none;
    sigemptyset(&none);
    if (setsid() < 0)
        return "setsid";
    for (int i = 0; i < GUEST_STREAMS; i++)
        if (dup2(child->fds[i], i) < 0)
            return "descriptors";
    if (child->is_pty && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
        return "terminal";
    if (child->user && be_user(child->user) < 0)
        return "user";
    if (go_home(child) < 0)
        return "working directory";
    sigprocmask(SIG_SETMASK, &none, NULL);
    execute(child);
    return "command";
}

IN_CHILD static int run_child(void *data)
{
    Child *child = data;
    child->failed = become(child);
    child->error = errno;
    _exit(COMMAND_NOT_RUN);
}

static int start(Child *child, const char **text)
{
    pid_t pid =
        clone(run_child, child_stack + sizeof child_stack, CLONE_VM | CLONE_VFORK | SIGCHLD, child);
    if (pid < 0) {
        *text = "process";
        return -errno;
    }
    if (child->failed == NULL)
        return pid;
    *text = child->failed; /* it is reaped with the others */
    return -child->error;
}

/* --- its environment --- */

static char variables[DEFAULTS_MAX][GUEST_HOME_MAX + 16];
static char *environment[GUEST_ENV_MAX + DEFAULTS_MAX + 1];

static const char *value_of(const GuestExec *exec, const char *name)
{
    size_t length = strlen(name);
    for (uint32_t i = 0; i < exec->n_env; i++)
        if (strncmp(exec->env[i], name, length) == 0 && exec->env[i][length] == '=')
            return exec->env[i] + length + 1;
    return NULL;
}

static void make_environment(const GuestExec *exec, const GuestUser *user)
{
    const char *name = user ? user->name : "root";
    const struct {
        const char *name, *value;
    } defaults[DEFAULTS_MAX] = {
        {"PATH", DEFAULT_PATH},
        {"HOME", user ? user->home : "/root"},
        {"USER", name},
        {"LOGNAME", name},
        {"TERM", exec->flags & GUEST_EXEC_PTY ? "linux" : ""},
    };
    size_t n = 0;
    for (; n < exec->n_env; n++)
        environment[n] = (char *)exec->env[n];
    for (size_t i = 0; i < DEFAULTS_MAX; i++) {
        if (*defaults[i].value == '\0' || value_of(exec, defaults[i].name))
            continue;
        GuestText text = guest_text(variables[i], sizeof variables[i]);
        guest_text_add(&text, defaults[i].name);
        guest_text_add(&text, "=");
        guest_text_add(&text, defaults[i].value);
        environment[n++] = variables[i];
    }
    environment[n] = NULL;
}

/* --- its descriptors --- */

static void close_all(int fds[GUEST_STREAMS])
{
    for (int i = 0; i < GUEST_STREAMS; i++) {
        int fd = fds[i];
        for (int other = i; other < GUEST_STREAMS; other++)
            if (fds[other] == fd)
                fds[other] = -1;
        if (fd >= 0)
            close(fd);
    }
}

static int set_nonblocking(int fd)
{
    return fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int open_pty(const GuestExec *exec, int ours[], int theirs[])
{
    int unlocked = 0;
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (master < 0)
        return -errno;
    ours[GUEST_IN] = ours[GUEST_OUT] = master;
    if (ioctl(master, TIOCSPTLCK, &unlocked) < 0)
        return -errno;
    int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return -errno;
    theirs[GUEST_IN] = theirs[GUEST_OUT] = theirs[GUEST_ERR] = slave;
    struct winsize size = {.ws_row = exec->rows, .ws_col = exec->cols};
    if (exec->rows && exec->cols && ioctl(master, TIOCSWINSZ, &size) < 0)
        return -errno;
    return 0;
}

static int open_pipe(GuestStream stream, int ours[], int theirs[])
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    ours[stream] = ends[stream == GUEST_IN];
    theirs[stream] = ends[stream != GUEST_IN];
    return set_nonblocking(ours[stream]);
}

/* Opened once. The caller closes what is in `theirs`, so it gets a copy. */
static int open_null(int theirs[])
{
    static int null = -1;
    if (null < 0)
        null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    theirs[GUEST_IN] = null < 0 ? null : fcntl(null, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return theirs[GUEST_IN] < 0 ? -errno : 0;
}

static int open_pipes(const GuestExec *exec, int ours[], int theirs[])
{
    int failed =
        exec->flags & GUEST_EXEC_NO_STDIN ? open_null(theirs) : open_pipe(GUEST_IN, ours, theirs);
    if (!failed)
        failed = open_pipe(GUEST_OUT, ours, theirs);
    if (!failed && !(exec->flags & GUEST_EXEC_MERGE_STDERR))
        failed = open_pipe(GUEST_ERR, ours, theirs);
    else if (!failed)
        theirs[GUEST_ERR] = theirs[GUEST_OUT];
    return failed;
}

/* --- */

/* NULL for the one who runs already, which needs no file to be read. */
static int find_user(const GuestExec *exec, GuestUser *found, const GuestUser **user,
                     const char **text)
{
    *user = NULL;
    if (*exec->user == '\0')
        return 0;
    int failed = guest_user_find(exec->user, found);
    *user = found;
    *text = failed ? "user" : "";
    return failed;
}

static int spawn_with(const GuestExec *exec, const GuestUser *user, GuestProcess *process,
                      const char **text)
{
    int theirs[GUEST_STREAMS] = {-1, -1, -1};
    bool is_pty = exec->flags & GUEST_EXEC_PTY;
    int result =
        is_pty ? open_pty(exec, process->fds, theirs) : open_pipes(exec, process->fds, theirs);
    if (result < 0) {
        *text = is_pty ? "/dev/ptmx" : "pipe";
    } else {
        const char *path = value_of(exec, "PATH");
        make_environment(exec, user);
        Child child = {
            .args = (char *const *)exec->args,
            .env = environment,
            .path = path ? path : DEFAULT_PATH,
            .cwd = exec->cwd,
            .home = user ? user->home : "/root",
            .user = user,
            .fds = {theirs[0], theirs[1], theirs[2]},
            .is_pty = is_pty,
        };
        result = start(&child, text);
    }
    close_all(theirs);
    return result;
}

int guest_spawn(const GuestExec *exec, GuestProcess *process, const char **text)
{
    static GuestUser found;
    const GuestUser *user;
    *process = (GuestProcess){.fds = {-1, -1, -1}, .is_pty = exec->flags & GUEST_EXEC_PTY};
    int result = find_user(exec, &found, &user, text);
    if (result == 0)
        result = spawn_with(exec, user, process, text);
    if (result < 0)
        close_all(process->fds);
    else
        process->pid = result;
    return result < 0 ? result : 0;
}

int guest_spawn_sync(void)
{
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        sync();
        _exit(0);
    }
    return pid;
}

/* A sanitizer has zones between variables that nobody may touch. */
__attribute__((no_sanitize("address"))) void guest_spawn_own_pages(void)
{
    extern char __bss_start, _end; /* of the linker */
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (uintptr_t at = (uintptr_t)&__bss_start; at < (uintptr_t)&_end; at += page) {
        volatile char *byte = (volatile char *)at;
        *byte = *byte;
    }
}
