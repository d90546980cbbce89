/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/root.h"

#include <errno.h>
#include <glib.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/install.h"

/* --- root= --- */

static void assert_wanted(const char *cmdline)
{
    static const guint8 expected[] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4d, 0xef,
                                      0x81, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
    guint8 uuid[GUEST_UUID_SIZE];
    g_assert_true(guest_root_wanted(cmdline, uuid));
    g_assert_cmpmem(uuid, sizeof uuid, expected, sizeof expected);
}

#define UUID "01234567-89ab-4def-8123-456789abcdef"

static void test_root_is_wanted(void)
{
    assert_wanted("root=UUID=" UUID);
    assert_wanted("root=UUID=" UUID "\n");
    assert_wanted("quiet  root=UUID=" UUID " ro console=ttyS0\n");
    assert_wanted("xroot=UUID=7 root=UUID=01234567-89AB-4DEF-8123-456789ABCDEF ro");
}

static void test_root_is_not_wanted(void)
{
    static const char *const cmdlines[] = {
        "",
        "\n",
        "root=/dev/vda1",
        "root=UUID=",
        "root=UUID=01234567",
        ("root=UUID=" UUID "0"),
        ("root=UUID=" UUID "-"),
        "root=UUID=0123456789ab4def8123456789abcdef",
        "root=UUID=01234567-89ab-4def-8123-456789abcdeg",
        "root=UUID=01234567-89ab-4def-8123-456789abcde",
        "root=UUID=01234567 -89ab-4def-8123-456789abcdef",
        ("init=root=UUID=" UUID),
    };
    guint8 uuid[GUEST_UUID_SIZE];
    for (gsize i = 0; i < G_N_ELEMENTS(cmdlines); i++)
        g_assert_false(guest_root_wanted(cmdlines[i], uuid));
}

/* --- Superblocks --- */

static void test_superblock(void)
{
    guint8 bytes[GUEST_SUPERBLOCK_SIZE] = {[0x04] = 0x78, [0x05] = 0x56, [0x18] = 2, [0x38] = 0x53,
                                           [0x39] = 0xef, [0x68] = 7,    [0x150] = 1};
    GuestSuperblock found;
    g_assert_true(guest_superblock(bytes, &found));
    g_assert_cmpuint(found.block_size, ==, 4096);
    g_assert_cmpuint(found.blocks, ==, 0x5678);
    g_assert_cmpuint(found.uuid[0], ==, 7);
    bytes[0x60] = 0x80; /* 64BIT */
    g_assert_true(guest_superblock(bytes, &found));
    g_assert_cmpuint(found.blocks, ==, G_GUINT64_CONSTANT(0x100005678));
}

static void test_superblock_is_none(void)
{
    guint8 bytes[GUEST_SUPERBLOCK_SIZE] = {0};
    GuestSuperblock found;
    g_assert_false(guest_superblock(bytes, &found));
    bytes[0x38] = 0x53;
    bytes[0x39] = 0xef;
    g_assert_true(guest_superblock(bytes, &found));
    bytes[0x18] = 7; /* blocks of 128 KiB */
    g_assert_false(guest_superblock(bytes, &found));
    bytes[0x18] = 0;
    bytes[0x1b] = 0x80;
    g_assert_false(guest_superblock(bytes, &found));
}

/* --- Installing --- */

static void test_install_refuses(void)
{
    const char *what;
    g_autofree char *name = g_strnfill(300, 'x');
    name[0] = '/';
    g_assert_cmpint(guest_install("run", &what), ==, -EINVAL);
    g_assert_cmpint(guest_install("", &what), ==, -EINVAL);
    g_assert_cmpint(guest_install(name, &what), ==, -EINVAL);
}

/* In a mount namespace of its own, so that nothing stays mounted. */
static int install_in_child(const char *folder)
{
    const char *what = "";
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", folder, "tmpfs", MS_NOEXEC, NULL) != 0)
        return 77;
    umask(077);
    int failed = guest_install(folder, &what);
    if (failed) {
        fprintf(stderr, "%s: %s\n", what, strerror(-failed));
        return 1;
    }
    g_autofree char *agent = g_build_filename(folder, "stead/agent", NULL);
    g_autofree char *unit =
        g_build_filename(folder, "systemd/system/sysinit.target.wants/stead-agent.service", NULL);
    g_autofree char *driver = g_build_filename(folder, "modules-load.d/stead.conf", NULL);
    g_autofree char *resolver =
        g_build_filename(folder, "systemd/resolved.conf.d/00-stead.conf", NULL);
    g_autofree char *text = NULL, *resolving = NULL;
    struct stat program, self;
    if (stat(agent, &program) != 0 || stat("/proc/self/exe", &self) != 0 ||
        program.st_size != self.st_size || (program.st_mode & 07777) != 0755)
        return 2;
    if (!g_file_get_contents(unit, &text, NULL, NULL) ||
        strstr(text, "\nExecStart=/run/stead/agent\n") == NULL)
        return 3;
    if (!g_file_test(driver, G_FILE_TEST_IS_REGULAR) || access(agent, X_OK) != 0)
        return 4;
    if (!g_file_get_contents(resolver, &resolving, NULL, NULL) ||
        strstr(resolving, "\nLLMNR=no\n") == NULL)
        return 6;
    g_autofree char *leases =
        g_build_filename(folder, "systemd/networkd.conf.d/00-stead.conf", NULL);
    g_autofree char *leasing = NULL;
    if (!g_file_get_contents(leases, &leasing, NULL, NULL) ||
        strstr(leasing, "[DHCPv4]\nDUIDType=link-layer\n") == NULL)
        return 7;
    /* Once more, as when the initramfs runs its scripts twice. */
    return guest_install(folder, &what) == 0 ? 0 : 5;
}

static void test_install(void)
{
    g_autofree char *folder = g_dir_make_tmp("stead-install-XXXXXX", NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(install_in_child(folder));
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(rmdir(folder), ==, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        g_test_skip("no mount namespaces here");
    else
        g_assert_cmpint(status, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/root/wanted", test_root_is_wanted);
    g_test_add_func("/guest/root/not-wanted", test_root_is_not_wanted);
    g_test_add_func("/guest/root/superblock", test_superblock);
    g_test_add_func("/guest/root/superblock-is-none", test_superblock_is_none);
    g_test_add_func("/guest/install/refuses", test_install_refuses);
    g_test_add_func("/guest/install", test_install);
    return g_test_run();
}
