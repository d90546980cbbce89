/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may use what: the user's rights, and the daemons that must answer. A daemon is tried by
 * connecting to its socket, without waiting: a socket file alone may be left from a dead one.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/subprocess.h"
#include "host/requirements.h"

#define GROUP "stead"
#define CAP_NET_ADMIN 12
#define CAP_SYS_ADMIN 21
#define SYSTEMD_RUNS "/run/systemd/system"

/* Connects and hangs up. Returns 0, or an errno. */
static int try_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    stead_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return 0;
    /* A full queue means that someone listens. */
    return errno == EAGAIN || errno == EINPROGRESS ? 0 : errno;
}

static gboolean has_capability(const char *status, int capability)
{
    const char *line = strstr(status, "CapEff:");
    guint64 all = line ? g_ascii_strtoull(line + strlen("CapEff:"), NULL, 16) : 0;
    return all >> capability & 1;
}

void stead_check_privilege(const SteadRequirement *requirement, const SteadCheckContext *context,
                           SteadCheckResult *result)
{
    g_autofree char *status = stead_check_read(context, "/proc/self/status");
    if (status && has_capability(status, CAP_NET_ADMIN) && has_capability(status, CAP_SYS_ADMIN))
        stead_check_well(result, "%s",
                         geteuid() == 0 ? "root" : "the capabilities of an administrator");
    else if (try_socket(context->paths->socket) == 0)
        stead_check_well(result, "a daemon answers at %s", context->paths->socket);
    else if (geteuid() == 0)
        stead_check_answer(result, requirement->lacking,
                           "Run it in a container or session that has CAP_NET_ADMIN and "
                           "CAP_SYS_ADMIN.",
                           "root, but without CAP_NET_ADMIN or CAP_SYS_ADMIN");
    else
        stead_check_answer(result, requirement->lacking, "sudo stead doctor",
                           "user id %u, and no daemon answers", geteuid());
}

/* The person behind sudo, else the user. NULL for plain root. Owned by the caller. */
static char *person(void)
{
    const char *behind_sudo = g_getenv("SUDO_USER");
    if (geteuid() == 0)
        return behind_sudo && strcmp(behind_sudo, "root") != 0 ? g_strdup(behind_sudo) : NULL;
    return g_strdup(g_get_user_name());
}

static gboolean is_member(const char *user, const struct group *group)
{
    for (char **member = group->gr_mem; *member; member++)
        if (strcmp(*member, user) == 0)
            return TRUE;
    struct passwd *entry = getpwnam(user);
    return entry && entry->pw_gid == group->gr_gid;
}

void stead_check_group(const SteadRequirement *requirement, const SteadCheckContext *context,
                       SteadCheckResult *result)
{
    struct group *group = getgrnam(GROUP);
    if (group == NULL) {
        g_autofree char *mend = stead_check_command("groupadd --system " GROUP);
        stead_check_answer(result, requirement->lacking, mend, "there is no group " GROUP);
        return;
    }
    g_autofree char *user = person();
    if (user == NULL || is_member(user, group)) {
        stead_check_well(result, "%s", user ? user : "there; root needs no membership");
        return;
    }
    g_autofree char *quoted = g_shell_quote(user);
    g_autofree char *command = g_strdup_printf("usermod -aG " GROUP " %s", quoted);
    g_autofree char *mend = stead_check_command(command);
    stead_check_answer(result, requirement->lacking, mend, "%s is not a member", user);
}

/* The first of the sockets that answers; else NULL, with the errno of the last that is there. */
static const char *answering(const SteadCheckContext *context, const char *const sockets[],
                             int *why)
{
    *why = ENOENT;
    for (gsize i = 0; sockets[i]; i++) {
        g_autofree char *path = stead_check_path(context, sockets[i]);
        int code = try_socket(path);
        if (code == 0)
            return sockets[i];
        if (code != ENOENT)
            *why = code;
    }
    return NULL;
}

/* Under systemd a daemon that does not run was switched off; elsewhere stead starts it itself. */
static void answer_stopped(const SteadRequirement *requirement, const SteadCheckContext *context,
                           SteadCheckResult *result, const char *unit)
{
    g_autofree char *systemd = stead_check_path(context, SYSTEMD_RUNS);
    gboolean has_systemd = g_file_test(systemd, G_FILE_TEST_IS_DIR);
    g_autofree char *command = has_systemd ? g_strdup_printf("systemctl enable --now %s", unit)
                                           : g_strdup_printf("%s -d", requirement->program);
    g_autofree char *mend = stead_check_command(command);
    stead_check_answer(result, has_systemd ? requirement->lacking : STEAD_CHECK_WARN, mend,
                       "%s is installed, but does not run%s", requirement->program,
                       has_systemd ? "" : "; the daemon starts it when it needs it");
}

static void check_daemon(const SteadRequirement *requirement, const SteadCheckContext *context,
                         SteadCheckResult *result, const char *const sockets[], const char *unit)
{
    int why;
    const char *socket = answering(context, sockets, &why);
    if (socket) {
        stead_check_well(result, "answers at %s", socket);
        return;
    }
    g_autofree char *program = stead_check_find_program(context, requirement->program);
    if (program == NULL) {
        stead_check_program(requirement, context, result);
        return;
    }
    if (why == EACCES || why == EPERM) {
        stead_check_answer(result, requirement->lacking, "sudo stead doctor",
                           "%s is there, but not for this user", requirement->program);
        return;
    }
    answer_stopped(requirement, context, result, unit);
}

void stead_check_libvirtd(const SteadRequirement *requirement, const SteadCheckContext *context,
                          SteadCheckResult *result)
{
    static const char *const sockets[] = {"/run/libvirt/libvirt-sock",
                                          "/run/libvirt/virtqemud-sock", NULL};
    check_daemon(requirement, context, result, sockets, "libvirtd.socket");
}

void stead_check_virtlogd(const SteadRequirement *requirement, const SteadCheckContext *context,
                          SteadCheckResult *result)
{
    static const char *const sockets[] = {"/run/libvirt/virtlogd-sock", NULL};
    check_daemon(requirement, context, result, sockets, "virtlogd.socket");
}
