/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order matters: namespaces and the root need privileges, which then go; what could bring them
 * back (the bounding set, set-user-ID programs) goes before them.
 *
 * Two processes come of it. The one that was started stays outside of the new PID namespace, only
 * to wait for the other; it closes all that it was given and gives up all it may do, too.
 */
#include "vmm/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/seccomp.h"

#define NEW_ROOT "/tmp" /* any folder that every system has; only this process sees it covered */
#define ROOT_FLAGS (MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define NAMESPACES (CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET)
#define EXIT_FAILED 1
#define FIRST_FILE 3 /* behind the standard ones */

static int check(int result)
{
    return result < 0 ? -errno : 0;
}

/* An initramfs cannot be left by pivot_root(); there the new root is moved over it. */
static int change_root(void)
{
    if (syscall(SYS_pivot_root, ".", ".") == 0)
        return check(umount2(".", MNT_DETACH));
    if (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) < 0)
        return -errno;
    return check(chroot("."));
}

static int enter_empty_root(void)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", NEW_ROOT, "tmpfs", ROOT_FLAGS, "size=4k,nr_inodes=1,mode=0555") < 0 ||
        chdir(NEW_ROOT) < 0)
        return -errno;
    int failed = change_root();
    if (failed)
        return failed;
    if (chdir("/") < 0)
        return -errno;
    return check(mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY | ROOT_FLAGS, NULL));
}

/* Never more than there was: that would need a privilege. */
static int lower_limit(int resource, rlim_t value)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) < 0)
        return -errno;
    if (limit.rlim_max > value)
        limit.rlim_max = value;
    if (limit.rlim_cur > limit.rlim_max)
        limit.rlim_cur = limit.rlim_max;
    return check(setrlimit(resource, &limit));
}

/*
 * What a monitor that was taken over could still exhaust with the calls it has. Left as they are:
 * the size of files, for disks grow; the number of processes, which counts those of all that share
 * the user, while no thread can make another one; locked memory, where rings of disks count.
 */
static int lower_limits(uint64_t memory)
{
    const struct {
        int resource;
        rlim_t value;
    } limits[] = {
        {RLIMIT_CORE, 0}, /* it would hold the guest's memory */
        {RLIMIT_NOFILE, VMM_JAIL_FILES_MAX},
        {RLIMIT_DATA,
         memory + VMM_JAIL_DATA_MAX}, /* what is written and private, the guest's too */
    };
    int failed = 0;
    for (size_t i = 0; !failed && i < sizeof limits / sizeof *limits; i++)
        failed = lower_limit(limits[i].resource, limits[i].value);
    return failed;
}

static int drop_bounding_set(void)
{
    int capability = 0;
    while (prctl(PR_CAPBSET_DROP, capability) == 0)
        capability++;
    return errno == EINVAL && capability > 0 ? 0 : -errno; /* beyond the last one */
}

static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    return check((int)syscall(SYS_capset, &header, none));
}

static int become(uid_t uid, gid_t gid)
{
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return -errno;
    return 0;
}

static int give_up_privileges(const VmmJailOptions *options)
{
    int failed = lower_limits(options->memory);
    if (!failed)
        failed = drop_bounding_set();
    if (!failed)
        failed = become(options->uid, options->gid);
    if (!failed)
        failed = drop_capabilities();
    if (!failed)
        failed = check(prctl(PR_SET_DUMPABLE, 0));
    return failed;
}

/* The child's part. Where it fails is told; the rest of what it is built of stays as it was. */
static int lock_in(const VmmJailOptions *options, VmmError *error)
{
    int failed = check(unshare(NAMESPACES));
    if (failed)
        return vmm_error_errno(error, failed, "jail: cannot make namespaces");
    failed = enter_empty_root();
    if (failed)
        return vmm_error_errno(error, failed, "jail: cannot leave the file system");
    failed = give_up_privileges(options);
    return failed ? vmm_error_errno(error, failed, "jail: cannot give up privileges") : 0;
}

static int enter_child(VmmJail *jail, const VmmJailOptions *options, VmmError *error)
{
    jail->is_inside = true;
    if (!options->daemonize)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    else if (setsid() < 0)
        return vmm_error_errno(error, -errno, "cannot leave the session");
    int failed = options->no_jail ? 0 : lock_in(options, error);
    /* A change of user forgets it. */
    if (!failed && !options->daemonize)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return failed;
}

static int exit_code_of(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return EXIT_FAILED;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
}

static void write_pid(int fd, pid_t pid)
{
    if (fd >= 0)
        dprintf(fd, "%d\n", (int)pid);
}

/* The first process keeps its standard files and that one. */
static int close_files(int *kept)
{
    if (*kept != FIRST_FILE && dup2(*kept, FIRST_FILE) < 0)
        return -errno;
    *kept = FIRST_FILE;
    return check((int)syscall(SYS_close_range, FIRST_FILE + 1, ~0U, 0));
}

/* It can wait and end, and has no more to lose. */
static int lock_out(const VmmJailOptions *options, int *ready)
{
    int failed = close_files(ready);
    if (!failed && !options->no_jail)
        failed = give_up_privileges(options);
    return failed || options->no_seccomp ? failed : vmm_seccomp_seal(VMM_THREAD_OUTSIDE);
}

static int wait_outside(VmmJail *jail, const VmmJailOptions *options, pid_t child, int ready,
                        VmmError *error)
{
    char byte;
    write_pid(options->pid_fd, child);
    int failed = lock_out(options, &ready);
    if (failed) {
        kill(child, SIGKILL);
        exit_code_of(child);
        return vmm_error_errno(error, failed, "jail: cannot give up privileges outside of it");
    }
    if (options->daemonize && read(ready, &byte, 1) == 1)
        jail->exit_code = 0;
    else
        jail->exit_code = exit_code_of(child);
    return 0;
}

int vmm_jail_enter(VmmJail *jail, const VmmJailOptions *options, VmmError *error)
{
    int ends[2];
    *jail = (VmmJail){.ready = -1};
    if (options->no_jail && !options->daemonize) {
        jail->is_inside = true;
        write_pid(options->pid_fd, getpid());
        return 0;
    }
    if (!options->no_jail && geteuid() != 0)
        return vmm_error(error, -EPERM, "a jail needs root; --no-jail does without one");
    if (pipe2(ends, O_CLOEXEC) < 0)
        return vmm_error_errno(error, -errno, "no pipe");
    if (!options->no_jail && unshare(CLONE_NEWPID) < 0)
        return vmm_error_errno(error, -errno, "jail: cannot make a PID namespace");
    pid_t child = fork();
    if (child < 0)
        return vmm_error_errno(error, -errno, "cannot fork");
    if (child == 0) {
        close(ends[0]);
        jail->ready = ends[1];
        return enter_child(jail, options, error);
    }
    close(ends[1]);
    return wait_outside(jail, options, child, ends[0], error);
}

void vmm_jail_ready(VmmJail *jail)
{
    if (jail->ready < 0)
        return;
    if (write(jail->ready, "", 1) < 0)
        perror("stead-vmm: nobody waits for the start");
    close(jail->ready);
    jail->ready = -1;
}
