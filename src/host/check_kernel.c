/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel offers. KVM has four answers, each with its own advice: it runs guests; it is
 * there but does not; it is not there; it is there but not for this user.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "host/requirements.h"

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

static void answer_kvm(const SteadRequirement *requirement, const SteadCheckContext *context,
                       SteadCheckResult *result, const SteadKvm *kvm)
{
    g_autofree char *text = stead_kvm_describe(kvm);
    g_autofree char *mend = NULL;
    switch (kvm->status) {
    case STEAD_KVM_USABLE:
        stead_check_answer(result, STEAD_CHECK_OK, NULL, "%s", text);
        return;
    case STEAD_KVM_UNUSABLE:
        mend = g_strdup("Nothing to do: guests are emulated. For speed, use a host whose "
                        "hypervisor has nested virtualization, or bare metal.");
        break;
    case STEAD_KVM_DENIED:
        mend = mend_denied();
        break;
    default:
        mend = *kvm->detail ? NULL : mend_absent(context);
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
        stead_check_answer(result, requirement->lacking, NULL, "%s", error->message);
}

void stead_check_tun(const SteadRequirement *requirement, const SteadCheckContext *context,
                     SteadCheckResult *result)
{
    g_autofree char *path = stead_check_path(context, "/dev/net/tun");
    g_autofree char *mend = stead_check_command("modprobe tun");
    if (access(path, F_OK) == 0)
        stead_check_answer(result, STEAD_CHECK_OK, NULL, "/dev/net/tun");
    else
        stead_check_answer(result, requirement->lacking, mend, "/dev/net/tun: %s",
                           g_strerror(errno));
}

void stead_check_forwarding(const SteadRequirement *requirement, const SteadCheckContext *context,
                            SteadCheckResult *result)
{
    g_autofree char *value = stead_check_read(context, "/proc/sys/net/ipv4/ip_forward");
    g_autofree char *mend = stead_check_command("sysctl -w net.ipv4.ip_forward=1");
    if (value && strcmp(value, "1") == 0)
        stead_check_answer(result, STEAD_CHECK_OK, NULL, "on");
    else
        stead_check_answer(result, requirement->lacking, mend, "%s",
                           value ? "off" : "the kernel does not tell");
}

void stead_check_cgroup(const SteadRequirement *requirement, const SteadCheckContext *context,
                        SteadCheckResult *result)
{
    static const char *const mend =
        "Boot the host with systemd.unified_cgroup_hierarchy=1 on its kernel's command line.";
    g_autofree char *unified = stead_check_path(context, "/sys/fs/cgroup/cgroup.controllers");
    g_autofree char *hybrid = stead_check_path(context, "/sys/fs/cgroup/unified");
    g_autofree char *old = stead_check_path(context, "/sys/fs/cgroup/memory");
    if (g_file_test(unified, G_FILE_TEST_EXISTS))
        stead_check_answer(result, STEAD_CHECK_OK, NULL, "version 2");
    else if (g_file_test(hybrid, G_FILE_TEST_IS_DIR))
        stead_check_answer(result, requirement->lacking, mend,
                           "versions 1 and 2 mixed: not every container runtime can use it");
    else if (g_file_test(old, G_FILE_TEST_IS_DIR))
        stead_check_answer(result, requirement->lacking, mend,
                           "version 1: not every container runtime can use it");
    else
        stead_check_answer(result, requirement->lacking, mend, "none is mounted");
}
