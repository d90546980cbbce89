/* SPDX-License-Identifier: Apache-2.0 */
/* What the doctor says of KVM, for stead and for the user that QEMU runs as. */
#include "fixture.h"

#include <glib/gstdio.h>
#include <unistd.h>

#include "host/requirements.h"

static void test_kvm_has_four_answers(Host *f, gconstpointer unused)
{
    host_expect(f, "kvm", STEAD_CHECK_OK, "usable", NULL);
    f->kvm.status = STEAD_KVM_UNUSABLE;
    f->kvm.step = (char *)(gsize) "lock cmpxchg16b";
    host_expect(f, "kvm", STEAD_CHECK_WARN, "unusable: lock cmpxchg16b", "emulated");
    f->kvm.status = STEAD_KVM_ABSENT;
    host_expect(f, "kvm", STEAD_CHECK_WARN, "absent", "firmware");
    f->kvm.status = STEAD_KVM_DENIED;
    host_expect(f, "kvm", STEAD_CHECK_WARN, "denied", "kvm");
}

static void test_absent_kvm_on_a_cpu_that_has_it(Host *f, gconstpointer unused)
{
    f->kvm.status = STEAD_KVM_ABSENT;
    host_add_file(f, "proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu svm_lock svm ht\n");
    host_expect(f, "kvm", STEAD_CHECK_WARN, "absent", "modprobe kvm_amd");
    host_add_file(f, "proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vmx ht\n");
    host_expect(f, "kvm", STEAD_CHECK_WARN, "absent", "modprobe kvm_intel");
    host_add_file(f, "proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu ht\nbugs\t: vmx\n");
    host_expect(f, "kvm", STEAD_CHECK_WARN, "absent", "firmware");
}

static void test_kvm_probe_that_is_missing(Host *f, gconstpointer unused)
{
    f->context.kvm = NULL;
    f->context.kvm_program = "/nonexistent/stead-kvm-probe";
    host_expect(f, "kvm", STEAD_CHECK_WARN, "not installed", NULL);
}

/* The probe itself says what it missed, unlike a KVM that was switched off. */
static void test_absent_kvm_as_the_probe_tells_it(Host *f, gconstpointer unused)
{
    f->kvm = (SteadKvm){.status = STEAD_KVM_ABSENT,
                        .step = (char *)(gsize) "open /dev/kvm",
                        .detail = (char *)(gsize) "No such file or directory"};
    host_expect(f, "kvm", STEAD_CHECK_WARN, "absent", "firmware");
    f->kvm.step = NULL;
    f->kvm.detail = (char *)(gsize) "switched off by STEAD_KVM=off";
    host_expect(f, "kvm", STEAD_CHECK_WARN, "absent", "Unset STEAD_KVM");
}

/* A device of this user and his group, which QEMU's user is not and, unless it says so, not in. */
static void add_kvm(Host *f, mode_t mode, gid_t group_of_qemu)
{
    g_autofree char *path = stead_check_path(&f->context, "/dev/kvm");
    g_autofree char *users = g_strdup_printf("root:x:0:0::/:/bin/sh\n"
                                             "libvirt-qemu:x:64055:%u::/:/bin/false\n",
                                             group_of_qemu);
    host_add_file(f, "etc/passwd", users);
    host_add_file(f, "dev/kvm", "");
    g_assert_cmpint(g_chmod(path, mode), ==, 0);
}

static void add_group(Host *f, const char *name, gid_t gid, const char *members)
{
    g_autofree char *groups =
        g_strdup_printf("first:x:60001:libvirt-qemu\n%s:x:%u:%s\n", name, gid, members);
    g_autofree char *path = stead_check_path(&f->context, "/dev/kvm");
    host_add_file(f, "etc/group", groups);
    if (chown(path, (uid_t)-1, gid) < 0)
        g_test_skip("only root gives files away");
}

static void test_kvm_that_qemus_user_may_open(Host *f, gconstpointer unused)
{
    add_kvm(f, 0666, 60000);
    host_expect(f, "kvm-access", STEAD_CHECK_OK, "libvirt-qemu may open", NULL);
    add_kvm(f, 0660, getgid());
    host_expect(f, "kvm-access", STEAD_CHECK_OK, "libvirt-qemu may open", NULL);
}

static void test_kvm_that_only_root_may_open(Host *f, gconstpointer unused)
{
    add_kvm(f, 0600, getgid());
    host_expect(f, "kvm-access", STEAD_CHECK_WARN, "libvirt-qemu may not open /dev/kvm (mode 0600",
                "chmod 0666 /dev/kvm");
    host_add_file(f, "run/udev/control", "");
    host_expect(f, "kvm-access", STEAD_CHECK_WARN, "may not open",
                "udevadm trigger --name-match=/dev/kvm");
}

static void test_kvm_that_others_may_only_read(Host *f, gconstpointer unused)
{
    add_kvm(f, 0604, 60000);
    host_expect(f, "kvm-access", STEAD_CHECK_WARN, "mode 0604", "chmod 0666 /dev/kvm");
}

static void test_kvm_of_a_group_to_join(Host *f, gconstpointer unused)
{
    add_kvm(f, 0660, 60000);
    add_group(f, "kvm", 60002, "");
    if (geteuid() != 0)
        return;
    host_expect(f, "kvm-access", STEAD_CHECK_WARN, "group 60002", "usermod -aG kvm libvirt-qemu");
    add_group(f, "kvm", 60002, "somebody,libvirt-qemu");
    host_expect(f, "kvm-access", STEAD_CHECK_OK, "may open", NULL);
}

static void test_kvm_of_a_stray_group(Host *f, gconstpointer unused)
{
    add_kvm(f, 0660, 60000);
    add_group(f, "postgres", getgid(), "");
    host_expect(f, "kvm-access", STEAD_CHECK_WARN, "may not open", "chmod 0666 /dev/kvm");
}

static void test_kvm_for_a_user_by_configuration(Host *f, gconstpointer unused)
{
    add_kvm(f, 0600, 60000);
    host_add_file(f, "etc/libvirt/qemu.conf", "# user = \"nobody\"\nuser = \"root\"\n");
    host_expect(f, "kvm-access", STEAD_CHECK_OK, "root may open", NULL);
}

static void test_kvm_access_where_there_is_nothing_to_say(Host *f, gconstpointer unused)
{
    host_expect(f, "kvm-access", STEAD_CHECK_OK, "there is no /dev/kvm", NULL);
    host_add_file(f, "dev/kvm", "");
    host_expect(f, "kvm-access", STEAD_CHECK_OK, "no user of its own", NULL);
}

#define ADD(name, function)                                                                        \
    g_test_add("/check-kvm/" name, Host, NULL, host_set_up, function, host_tear_down)

int main(int argc, char **argv)
{
    g_unsetenv("STEAD_KVM");
    g_test_init(&argc, &argv, NULL);
    ADD("answers", test_kvm_has_four_answers);
    ADD("absent", test_absent_kvm_on_a_cpu_that_has_it);
    ADD("no-probe", test_kvm_probe_that_is_missing);
    ADD("absent-probed", test_absent_kvm_as_the_probe_tells_it);
    ADD("access", test_kvm_that_qemus_user_may_open);
    ADD("access-root", test_kvm_that_only_root_may_open);
    ADD("access-read", test_kvm_that_others_may_only_read);
    ADD("access-group", test_kvm_of_a_group_to_join);
    ADD("access-stray", test_kvm_of_a_stray_group);
    ADD("access-configured", test_kvm_for_a_user_by_configuration);
    ADD("access-none", test_kvm_access_where_there_is_nothing_to_say);
    return g_test_run();
}
