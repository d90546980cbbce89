/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel offers for networks and limits; KVM has a file of its own. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "host/requirements.h"

void stead_check_tun(const SteadRequirement *requirement, const SteadCheckContext *context,
                     SteadCheckResult *result)
{
    g_autofree char *path = stead_check_path(context, "/dev/net/tun");
    g_autofree char *mend = stead_check_command("modprobe tun");
    if (access(path, F_OK) == 0)
        stead_check_well(result, "/dev/net/tun");
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
        stead_check_well(result, "on");
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
        stead_check_well(result, "version 2");
    else if (g_file_test(hybrid, G_FILE_TEST_IS_DIR))
        stead_check_answer(result, requirement->lacking, mend,
                           "versions 1 and 2 mixed: not every container runtime can use it");
    else if (g_file_test(old, G_FILE_TEST_IS_DIR))
        stead_check_answer(result, requirement->lacking, mend,
                           "version 1: not every container runtime can use it");
    else
        stead_check_answer(result, requirement->lacking, mend, "none is mounted");
}
