/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM, asked twice. For stead itself it has four answers, each with its own advice: it runs
 * guests; it is there but does not; it is not there; it is there but not for this user.
 *
 * And for QEMU, which libvirt runs as a user of its own. libvirtd probes QEMU as root and then
 * compares: as long as root may open the device and that user may not, the two never agree, and
 * it probes anew at each look. Everything works then, a hundred times slower. Who may is read from
 * the device's owner and mode and the files that list users and groups: trying it would take the
 * rights to become that user.
 */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "host/requirements.h"

#define DEVICE "/dev/kvm"
#define GROUP "kvm"
#define READ_AND_WRITE 06

static gboolean has_flag(const char *cpuinfo, const char *flag)
{
    const char *line = cpuinfo ? strstr(cpuinfo, "\nflags") : NULL;
    gsize length = line ? strcspn(line + 1, "\n") : 0;
    g_autofree char *flags = g_strndup(line ? line + 1 : "", length);
    g_auto(GStrv) words = g_strsplit_set(flags, " \t", -1);
    return g_strv_contains((const char *const *)words, flag);
}

/* A kernel with the CPU's feature lacks the module; a CPU without it, the firmware's consent. */
static char *mend_absent(const SteadCheckContext *context)
{
    g_autofree char *cpuinfo = stead_check_read(context, "/proc/cpuinfo");
    if (has_flag(cpuinfo, "svm"))
        return stead_check_command("modprobe kvm_amd");
    if (has_flag(cpuinfo, "vmx"))
        return stead_check_command("modprobe kvm_intel");
    return g_strdup("Switch on virtualization (VT-x, AMD-V) in the machine's firmware or, in a "
                    "virtual machine, nested virtualization on its host; or go on without.");
}

static char *mend_denied(void)
{
    if (geteuid() == 0)
        return g_strdup("Allow /dev/kvm in the device rules of this container or service.");
    g_autofree char *user = g_shell_quote(g_get_user_name());
    return g_strdup_printf("sudo usermod -aG kvm %s", user);
}

/* What the probe finds absent names the step that failed. */
static gboolean is_switched_off(const SteadKvm *kvm)
{
    return kvm->status == STEAD_KVM_ABSENT && kvm->step == NULL && *kvm->detail != '\0';
}

/* The hint of an error that has one says best what to do. */
static const char *mend_unknown(const GError *error)
{
    const char *hint = stead_error_hint(error);
    return hint ? hint
                : "Run stead-kvm-probe, which says more; until it answers, guests are emulated.";
}

static void answer_kvm(const SteadRequirement *requirement, const SteadCheckContext *context,
                       SteadCheckResult *result, const SteadKvm *kvm)
{
    g_autofree char *text = stead_kvm_describe(kvm);
    g_autofree char *mend = NULL;
    switch (kvm->status) {
    case STEAD_KVM_USABLE:
        stead_check_well(result, "%s", text);
        return;
    case STEAD_KVM_UNUSABLE:
        mend = g_strdup("Nothing to do: guests are emulated. For speed, use a host whose "
                        "hypervisor has nested virtualization, or bare metal.");
        break;
    case STEAD_KVM_DENIED:
        mend = mend_denied();
        break;
    default:
        mend = is_switched_off(kvm)
                   ? g_strdup("Unset STEAD_KVM and start the daemon anew, if that was not meant.")
                   : mend_absent(context);
        break;
    }
    stead_check_answer(result, requirement->lacking, mend, "%s", text);
}

void stead_check_kvm(const SteadRequirement *requirement, const SteadCheckContext *context,
                     SteadCheckResult *result)
{
    if (context->kvm) {
        answer_kvm(requirement, context, result, context->kvm);
        return;
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadKvm) kvm =
        stead_kvm_probe(context->kvm_program, context->kvm_cache, context->cancellable, &error);
    if (kvm)
        answer_kvm(requirement, context, result, kvm);
    else
        stead_check_answer(result, requirement->lacking, mend_unknown(error), "%s", error->message);
}

/* --- QEMU's own user --- */

typedef struct {
    char *name; /* NULL: there is none */
    uid_t uid;
    gid_t gid;
} User;

/* The names that distributions give it. */
static const char *const qemu_users[] = {"libvirt-qemu", "qemu", NULL};

/* "root" of a line `user = "root"` of libvirt's configuration; NULL where it has none. */
static char *configured_user(const SteadCheckContext *context)
{
    g_autofree char *text = stead_check_read(context, "/etc/libvirt/qemu.conf");
    g_auto(GStrv) lines = text ? g_strsplit(text, "\n", -1) : NULL;
    for (gsize i = 0; lines && lines[i]; i++) {
        char name[33];
        if (sscanf(lines[i], " user = \"%32[^\"]", name) == 1)
            return g_strdup(name[0] == '+' ? name + 1 : name);
    }
    return NULL;
}

/* The first of the names that the host's list of users has. */
static User find_user(const SteadCheckContext *context, const char *const names[])
{
    g_autofree char *path = stead_check_path(context, "/etc/passwd");
    User user = {0};
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return user;
    const struct passwd *entry;
    while (user.name == NULL && (entry = fgetpwent(file)) != NULL)
        if (g_strv_contains(names, entry->pw_name))
            user = (User){g_strdup(entry->pw_name), entry->pw_uid, entry->pw_gid};
    fclose(file);
    return user;
}

/* The name of the group, NULL where it has none, and whether it lists the user. */
static char *find_group(const SteadCheckContext *context, gid_t gid, const User *user,
                        gboolean *is_member)
{
    g_autofree char *path = stead_check_path(context, "/etc/group");
    char *name = NULL;
    *is_member = user->gid == gid;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return NULL;
    const struct group *group;
    while (name == NULL && (group = fgetgrent(file)) != NULL) {
        if (group->gr_gid != gid)
            continue;
        name = g_strdup(group->gr_name);
        *is_member |= g_strv_contains((const char *const *)group->gr_mem, user->name);
    }
    fclose(file);
    return name;
}

/* As the kernel decides: the first of owner, group and others that fits, and no other. */
static gboolean may_open(const User *user, gboolean is_member, const struct stat *device)
{
    mode_t mode = device->st_mode;
    if (user->uid == 0)
        return TRUE;
    if (user->uid == device->st_uid)
        mode >>= 6;
    else if (is_member)
        mode >>= 3;
    return (mode & READ_AND_WRITE) == READ_AND_WRITE;
}

/* The group that is there for it is to be joined. Else the device lacks what udev's rules would
 * have set (in a container it may have a number that means another group here); where no udev runs,
 * nobody does it but the administrator. */
static char *mend_access(const SteadCheckContext *context, const User *user, const char *group,
                         const struct stat *device)
{
    g_autofree char *udev = stead_check_path(context, "/run/udev/control");
    gboolean lets_group_in = (device->st_mode >> 3 & READ_AND_WRITE) == READ_AND_WRITE;
    if (lets_group_in && g_strcmp0(group, GROUP) == 0) {
        g_autofree char *join = g_strdup_printf("usermod -aG " GROUP " %s", user->name);
        return stead_check_command(join);
    }
    if (g_file_test(udev, G_FILE_TEST_EXISTS))
        return stead_check_command("udevadm trigger --name-match=" DEVICE);
    return stead_check_command("chmod 0666 " DEVICE);
}

static void answer_access(const SteadRequirement *requirement, const SteadCheckContext *context,
                          SteadCheckResult *result, const User *user, const struct stat *device)
{
    gboolean is_member;
    g_autofree char *group = find_group(context, device->st_gid, user, &is_member);
    if (may_open(user, is_member, device)) {
        stead_check_well(result, "%s may open " DEVICE, user->name);
        return;
    }
    g_autofree char *mend = mend_access(context, user, group, device);
    stead_check_answer(result, requirement->lacking, mend,
                       "%s may not open " DEVICE " (mode %04o, user %u, group %u)", user->name,
                       device->st_mode & 07777, device->st_uid, device->st_gid);
}

void stead_check_kvm_access(const SteadRequirement *requirement, const SteadCheckContext *context,
                            SteadCheckResult *result)
{
    g_autofree char *path = stead_check_path(context, DEVICE);
    g_autofree char *configured = configured_user(context);
    const char *const chosen[] = {configured, NULL};
    User user = find_user(context, configured ? chosen : qemu_users);
    g_autofree char *name = user.name;
    struct stat device;
    if (stat(path, &device) < 0)
        stead_check_well(result, "there is no " DEVICE);
    else if (name == NULL)
        stead_check_well(result, "QEMU has no user of its own here");
    else
        answer_access(requirement, context, result, &user, &device);
}
