/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A clone's new identity, seen for real: an agent in namespaces of its own (users, network, host
 * name, mounts), with an interface that it finds there and an /etc that is the test's. The clock
 * and the entropy pool are the machine's, and stay out of reach: a real guest shows those.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "host.h"

#define MACHINE_ID "0123456789abcdef0123456789abcdef"
#define OLD_MAC                                                                                    \
    {                                                                                              \
        2, 0, 0, 0, 0, 1                                                                           \
    }
#define NEW_MAC                                                                                    \
    {                                                                                              \
        2, 0, 0, 0, 0, 0x77                                                                        \
    }

static gboolean write_to(const char *path, const char *words)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = write(fd, words, strlen(words));
    close(fd);
    return n == (ssize_t)strlen(words);
}

/* In the child, before it becomes the agent. */
static void enter_namespaces(gpointer data)
{
    const char *const *maps = data;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWNS) < 0 ||
        !write_to("/proc/self/setgroups", "deny") || !write_to("/proc/self/uid_map", maps[0]) ||
        !write_to("/proc/self/gid_map", maps[1]))
        _exit(1);
}

static gboolean can_unshare(void)
{
    static const char *const argv[] = {
        "unshare", "--user", "--map-root-user", "--net", "--uts", "--mount", "true", NULL};
    int status = 1;
    g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
                 NULL, NULL, NULL, &status, NULL);
    return status == 0;
}

/* What the script says, run where the agent is. */
static char *look(Host *host, const char *script)
{
    host_exec(host, 1, GUEST_EXEC_NO_STDIN, "sh", "-c", script, host->folder, NULL);
    g_autoptr(HostEnd) end = host_finish(host, 1);
    if (end->code != 0)
        g_test_message("%s: %s", script, end->err->str);
    return end->code == 0 ? g_strdup(end->out->str) : NULL;
}

static void prepare(Host *host, const char *script)
{
    g_autofree char *out = look(host, script);
    g_assert_nonnull(out);
}

/* An agent whose /etc is a folder of the test's; NULL, and the test is skipped. */
static Host *start(void)
{
    g_autofree char *uid = g_strdup_printf("0 %u 1", geteuid());
    g_autofree char *gid = g_strdup_printf("0 %u 1", getegid());
    const char *maps[] = {uid, gid};
    if (!can_unshare()) {
        g_test_skip("no namespaces of users here");
        return NULL;
    }
    Host *host = host_start_in(enter_namespaces, maps);
    prepare(host, "mkdir -p $0/etc/ssh && mount --bind $0/etc /etc");
    return host;
}

/* With an interface as a template leaves it behind. */
static Host *start_with_nic(void)
{
    Host *host = start();
    if (host == NULL)
        return NULL;
    g_autofree char *out =
        look(host, "ip link add eth9 address 02:00:00:00:00:01 type veth peer name far &&"
                   "ip addr add 10.9.0.2/24 dev eth9 && ip addr add 10.9.0.3/24 dev eth9 &&"
                   "ip addr add 192.168.9.1/30 dev eth9 && ip link set far up &&"
                   "ip link set eth9 up && ip route add default via 10.9.0.1");
    if (out)
        return host;
    g_test_skip("no virtual interfaces here");
    host_stop(host);
    return NULL;
}

static GuestRenewed renew(Host *host, GuestRenew *message)
{
    GuestRenewed done;
    HOST_SEND(host, GUEST_RENEW, 200, guest_renew_fields, message);
    g_autoptr(HostFrame) frame = host_expect(host, GUEST_RENEWED, 200);
    HOST_READ(frame, guest_renewed_fields, &done);
    return done;
}

static void renew_all(Host *host, GuestRenew *message)
{
    GuestRenewed done = renew(host, message);
    for (guint i = 0; i < done.n_steps; i++)
        g_assert_cmpint(done.steps[i].error, ==, 0);
    g_assert_true(guest_renewed_is_complete(message, &done));
}

static void expect(Host *host, const char *script, const char *words)
{
    g_autofree char *out = look(host, script);
    g_assert_cmpstr(out, ==, words);
}

static void test_host_name(void)
{
    g_autoptr(Host) host = start();
    if (host == NULL)
        return;
    GuestRenew message = {.host_name = "clone"};
    prepare(host, "hostname template; echo template > /etc/hostname;"
                  "printf '127.0.0.1\\tlocalhost template\\n127.0.1.1\\ttemplate.lan  template "
                  "template2\\n# end' > /etc/hosts");
    renew_all(host, &message);
    expect(host, "hostname; cat /etc/hostname", "clone\nclone\n");
    expect(host, "cat /etc/hosts",
           "127.0.0.1\tlocalhost template\n127.0.1.1\tclone.lan  clone template2\n# end");
}

static void test_host_name_without_files(void)
{
    g_autoptr(Host) host = start();
    if (host == NULL)
        return;
    GuestRenew message = {.host_name = "clone"};
    renew_all(host, &message);
    expect(host, "hostname; ls /etc", "clone\nssh\n");
}

static void test_machine_id(void)
{
    g_autoptr(Host) host = start();
    if (host == NULL)
        return;
    GuestRenew message = {.machine_id = MACHINE_ID};
    prepare(host, "echo old > /etc/machine-id");
    renew_all(host, &message);
    expect(host, "cat /etc/machine-id; stat -c %a /etc/machine-id", MACHINE_ID "\n444\n");
}

/* As systemd leaves it where the file system was not writable at first. */
static void test_machine_id_that_is_a_mount(void)
{
    g_autoptr(Host) host = start();
    if (host == NULL)
        return;
    GuestRenew message = {.machine_id = MACHINE_ID};
    prepare(host, "echo old > /etc/machine-id; echo transient > $0/transient;"
                  "mount --bind $0/transient /etc/machine-id");
    renew_all(host, &message);
    expect(host, "cat /etc/machine-id; ls /etc", MACHINE_ID "\nmachine-id\nssh\n");
}

/* A longer content, and one of another mode, on a file that is there. */
static void test_machine_id_that_was_other(void)
{
    g_autoptr(Host) host = start();
    if (host == NULL)
        return;
    GuestRenew message = {.machine_id = MACHINE_ID};
    prepare(host, "seq 10000 > /etc/machine-id; chmod 644 /etc/machine-id");
    renew_all(host, &message);
    expect(host, "cat /etc/machine-id; ls /etc", MACHINE_ID "\nmachine-id\nssh\n");
    prepare(host, "seq 500 > /etc/machine-id; chmod 444 /etc/machine-id; ls -i /etc > $0/before");
    renew_all(host, &message);
    expect(host, "cat /etc/machine-id; ls -i /etc | cmp - $0/before", MACHINE_ID "\n");
}

static void test_name_servers(void)
{
    g_autoptr(Host) host = start();
    if (host == NULL)
        return;
    GuestRenew message = {
        .n_servers = 2, .servers = {{10, 9, 0, 1}, {192, 168, 100, 200}}, .domain = "lan"};
    renew_all(host, &message);
    expect(host, "cat /etc/resolv.conf",
           "search lan\nnameserver 10.9.0.1\nnameserver 192.168.100.200\n");
}

static void test_name_servers_of_a_service(void)
{
    g_autoptr(Host) host = start();
    if (host == NULL)
        return;
    GuestRenew message = {.n_servers = 1, .servers = {{10, 9, 0, 1}}};
    prepare(host, "ln -s ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf");
    renew_all(host, &message);
    expect(host, "readlink /etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf\n");
    prepare(host, "rm /etc/resolv.conf; echo '# Generated by NetworkManager' > /etc/resolv.conf");
    renew_all(host, &message);
    expect(host, "cat /etc/resolv.conf", "# Generated by NetworkManager\n");
}

static void test_files(void)
{
    g_autoptr(Host) host = start();
    if (host == NULL)
        return;
    GuestRenew message = {
        .n_files = 2,
        .files = {{.path = "/etc/ssh/key", .mode = 0600, .content = {(const guint8 *)"new\n", 4}},
                  {.path = "/etc/ssh/key.pub", .mode = 0644, .content = {NULL, 0}}},
        .n_removed = 2,
        .removed = {"/etc/ssh/rsa", "/etc/ssh/never-there"}};
    prepare(host, "echo old > /etc/ssh/key; chmod 644 /etc/ssh/key; echo > /etc/ssh/rsa");
    renew_all(host, &message);
    expect(host, "cd /etc/ssh; cat key; stat -c '%a %n' *", "new\n600 key\n644 key.pub\n");
}

static void test_step_that_fails_is_told(void)
{
    g_autoptr(Host) host = start();
    if (host == NULL)
        return;
    GuestRenew message = {.host_name = "clone",
                          .n_files = 1,
                          .files = {{.path = "/etc/stead/file", .mode = 0600}},
                          .n_removed = 1,
                          .removed = {"/etc/ssh/folder"}};
    prepare(host, "mkdir /etc/ssh/folder");
    GuestRenewed done = renew(host, &message);
    g_assert_cmpuint(done.n_steps, ==, 3);
    g_assert_cmpint(done.steps[0].error, ==, 0);
    g_assert_cmpint(done.steps[1].error, ==, ENOENT);
    g_assert_cmpint(done.steps[2].error, ==, EISDIR);
    g_assert_false(guest_renewed_is_complete(&message, &done));
}

static void test_clock_and_entropy_are_asked_for(void)
{
    g_autoptr(Host) host = start();
    if (host == NULL)
        return;
    guint8 entropy[GUEST_ENTROPY_MAX] = {1};
    GuestRenew message = {.realtime = 1700000000000000000, .entropy = {entropy, sizeof entropy}};
    GuestRenewed done = renew(host, &message);
    g_assert_cmpuint(done.n_steps, ==, 2);
    g_assert_cmpint(done.steps[0].error, ==, EPERM); /* the namespace's root is not the machine's */
    g_assert_cmpint(done.steps[1].error, ==, EPERM);
}

#define MAC "ip -o link show dev eth9 | sed 's|.*link/ether ||; s| .*||'"
/* Without awk, which is a link into the /etc that is hidden. */
#define ADDRESSES "ip -o -4 addr show dev eth9 | sed 's|.*inet ||; s| scope.*||' | sort"
#define ADDRESSES_6 "ip -o -6 addr show dev eth9 | sed 's|.*inet6 ||; s| scope.*||'"

static void test_nic(void)
{
    g_autoptr(Host) host = start_with_nic();
    if (host == NULL)
        return;
    GuestRenew message = {.n_nics = 1,
                          .nics = {{.match = OLD_MAC,
                                    .mac = NEW_MAC,
                                    .prefix = 24,
                                    .address = {10, 7, 0, 5},
                                    .gateway = {10, 7, 0, 1}}}};
    prepare(host, "ip neigh add 10.9.0.9 lladdr 02:00:00:00:00:99 dev eth9 nud stale");
    renew_all(host, &message);
    expect(host, MAC, "02:00:00:00:00:77\n");
    expect(host, ADDRESSES, "10.7.0.5/24 brd 10.7.0.255\n");
    expect(host, "ip route show default", "default via 10.7.0.1 dev eth9 proto static \n");
    expect(host, "ip -4 neigh show dev eth9", "");
}

static void test_link_local_address_goes_with_the_mac(void)
{
    g_autoptr(Host) host = start_with_nic();
    if (host == NULL)
        return;
    GuestRenew message = {.n_nics = 1, .nics = {{.match = OLD_MAC, .mac = NEW_MAC}}};
    g_autofree char *before = look(host, ADDRESSES_6);
    if (before == NULL || strstr(before, "fe80::ff:fe00:1/64") == NULL) {
        g_test_skip("no IPv6 here");
        return;
    }
    prepare(host, "ip addr add 2001:db8::1/64 dev eth9");
    renew_all(host, &message);
    expect(host, ADDRESSES_6, "fe80::ff:fe00:77/64\n");
    expect(host, ADDRESSES, "10.9.0.2/24\n10.9.0.3/24\n192.168.9.1/30\n");
}

static void test_nic_that_keeps_its_mac(void)
{
    g_autoptr(Host) host = start_with_nic();
    if (host == NULL)
        return;
    GuestRenew message = {.n_nics = 1,
                          .nics = {{.match = OLD_MAC, .prefix = 31, .address = {10, 9, 0, 2}}}};
    prepare(host, "ip neigh add 10.9.0.9 lladdr 02:00:00:00:00:99 dev eth9 nud stale");
    renew_all(host, &message);
    expect(host, MAC, "02:00:00:00:00:01\n");
    expect(host, ADDRESSES, "10.9.0.2/31\n");
    expect(host, "ip -4 neigh show dev eth9; ip route show default", "");
}

static void test_nic_that_was_down(void)
{
    g_autoptr(Host) host = start_with_nic();
    if (host == NULL)
        return;
    GuestRenew message = {.n_nics = 1,
                          .nics = {{.match = OLD_MAC,
                                    .mac = NEW_MAC,
                                    .prefix = 24,
                                    .address = {10, 7, 0, 5},
                                    .gateway = {10, 7, 0, 1}}}};
    prepare(host, "ip link set eth9 down");
    renew_all(host, &message);
    expect(host, "ip route show default", "default via 10.7.0.1 dev eth9 proto static \n");
}

static void test_nic_that_has_its_mac_already(void)
{
    g_autoptr(Host) host = start_with_nic();
    if (host == NULL)
        return;
    GuestRenew message = {
        .n_nics = 1,
        .nics = {{.match = NEW_MAC, .mac = OLD_MAC, .prefix = 24, .address = {10, 7, 0, 5}}}};
    renew_all(host, &message);
    renew_all(host, &message);
    expect(host, ADDRESSES, "10.7.0.5/24 brd 10.7.0.255\n");
}

static void test_nic_that_is_not_there(void)
{
    g_autoptr(Host) host = start_with_nic();
    if (host == NULL)
        return;
    GuestRenew message = {
        .n_nics = 2,
        .nics = {{.match = {2, 9, 9, 9, 9, 9}, .mac = NEW_MAC},
                 {.match = OLD_MAC, .mac = NEW_MAC, .prefix = 24, .address = {10, 7, 0, 5}}}};
    GuestRenewed done = renew(host, &message);
    g_assert_cmpuint(done.n_steps, ==, 2);
    g_assert_cmpint(done.steps[0].error, ==, ENODEV);
    g_assert_cmpint(done.steps[1].error, ==, 0);
    expect(host, MAC, "02:00:00:00:00:77\n");
}

/* ---- what others have kept of the template ---- */

static void test_macs_in_files(void)
{
    g_autoptr(Host) host = start_with_nic();
    if (host == NULL)
        return;
    GuestRenew message = {.n_nics = 1, .nics = {{.match = {2, 0, 0, 0, 0xab, 1}, .mac = NEW_MAC}}};
    prepare(host, "ip link set eth9 address 02:00:00:00:ab:01; cd /etc;"
                  "mkdir -p systemd/network netplan NetworkManager/system-connections udev/rules.d;"
                  "for f in systemd/network/10-x.network netplan/50.yaml udev/rules.d/70-net.rules"
                  " NetworkManager/system-connections/wire hosts $0/elsewhere; do"
                  " echo 'mac 02:00:00:00:AB:01, 02:00:00:00:ab:02, 02:00:00:00:ab:01.' > $f; done;"
                  "ln -s $0/elsewhere netplan/60.yaml; chmod 600 netplan/50.yaml;"
                  "{ seq 9000; cat hosts; } > systemd/network/large");
    renew_all(host, &message);
    expect(host,
           "cd /etc; cat systemd/network/10-x.network netplan/50.yaml udev/rules.d/70-net.rules"
           " NetworkManager/system-connections/wire | uniq -c | sed 's/^ *//'",
           "4 mac 02:00:00:00:00:77, 02:00:00:00:ab:02, 02:00:00:00:00:77.\n");
    expect(host,
           "cat /etc/hosts $0/elsewhere; tail -n 1 /etc/systemd/network/large;"
           " stat -c %a /etc/netplan/50.yaml; stat -c %F /etc/netplan/*",
           "mac 02:00:00:00:AB:01, 02:00:00:00:ab:02, 02:00:00:00:ab:01.\n"
           "mac 02:00:00:00:AB:01, 02:00:00:00:ab:02, 02:00:00:00:ab:01.\n"
           "mac 02:00:00:00:AB:01, 02:00:00:00:ab:02, 02:00:00:00:ab:01.\n"
           "600\nregular file\nsymbolic link\n");
}

/* Two interfaces that change places. */
static void test_macs_that_are_exchanged(void)
{
    g_autoptr(Host) host = start_with_nic();
    if (host == NULL)
        return;
    GuestRenew message = {
        .n_nics = 2,
        .nics = {{.match = OLD_MAC, .mac = NEW_MAC}, {.match = NEW_MAC, .mac = OLD_MAC}}};
    prepare(host, "mkdir -p /etc/netplan;"
                  "echo '02:00:00:00:00:01 02:00:00:00:00:77' > /etc/netplan/50.yaml");
    renew(host, &message);
    expect(host, "cat /etc/netplan/50.yaml", "02:00:00:00:00:77 02:00:00:00:00:01\n");
}

static void test_file_that_cannot_be_changed_is_told(void)
{
    g_autoptr(Host) host = start_with_nic();
    if (host == NULL)
        return;
    GuestRenew message = {.n_nics = 1, .nics = {{.match = OLD_MAC, .mac = NEW_MAC}}};
    prepare(host, "mkdir -p /etc/netplan; echo 02:00:00:00:00:01 > /etc/netplan/50.yaml;"
                  "mount --bind /etc/netplan /etc/netplan;"
                  "mount -o remount,bind,ro /etc/netplan");
    GuestRenewed done = renew(host, &message);
    g_assert_cmpuint(done.n_steps, ==, 1);
    g_assert_cmpint(done.steps[0].error, ==, EROFS);
}

/* A program that looks like a server of SSH; it stands still, so that what it is told stays to be
 * seen. */
#define PLAY(name)                                                                                 \
    "{ $0/" name " 1000 > /dev/null 2>&1 & echo $! > /run/sshd.pid; };"                            \
    "until grep -q '^" name "$' /proc/$!/comm; do :; done; kill -STOP $!;"                         \
    "until grep -q '^State:.T' /proc/$!/status; do :; done"

static gboolean start_sshd(Host *host)
{
    g_autofree char *out =
        look(host,
             "[ -d /usr/libexec ] && mount -t tmpfs none /usr/libexec &&"
             " mount -t tmpfs none /run && mkdir /usr/libexec/openssh &&"
             " : > /usr/libexec/openssh/sshd-session && cp \"$(command -v sleep)\" $0/sshd &&" PLAY(
                 "sshd"));
    if (out == NULL)
        g_test_skip("no server can be played here");
    return out != NULL;
}

/* Signal 1 is HUP. */
#define TOLD "sed -n 's/^ShdPnd:.*\\(.\\)$/\\1/p' /proc/$(cat /run/sshd.pid)/status"

static void test_sshd_reads_its_keys_again(void)
{
    static const guint8 key[] = "a key";
    g_autoptr(Host) host = start();
    if (host == NULL || !start_sshd(host))
        return;
    GuestRenew other = {.n_files = 1, .files = {{"/etc/ssh/moduli", 0600, {key, sizeof key - 1}}}};
    GuestRenew message = {
        .n_files = 1, .files = {{"/etc/ssh/ssh_host_ed25519_key", 0600, {key, sizeof key - 1}}}};
    renew_all(host, &other);
    expect(host, TOLD, "0\n");
    prepare(host, "mv /usr/libexec/openssh/sshd-session /usr/libexec/aside");
    renew_all(host, &message);
    expect(host, TOLD, "0\n"); /* an older one */
    prepare(host, "mv /usr/libexec/aside /usr/libexec/openssh/sshd-session;"
                  "cp $0/sshd $0/other; mv /run/sshd.pid /run/aside;" PLAY("other"));
    renew_all(host, &message);
    expect(host, TOLD "; kill -KILL $(cat /run/sshd.pid)", "0\n"); /* somebody else by now */
    prepare(host, "mv /run/aside /run/sshd.pid");
    renew_all(host, &message);
    expect(host, TOLD "; kill -KILL $(cat /run/sshd.pid)", "1\n");
}

static void test_list_of_interfaces(void)
{
    static GuestNetwork network;
    static const guint8 mac[] = OLD_MAC, address[] = {10, 9, 0, 2};
    g_autoptr(Host) host = start_with_nic();
    if (host == NULL)
        return;
    prepare(host, "hostname listed");
    host_send(host, GUEST_NETWORK, 300, NULL, 0);
    g_autoptr(HostFrame) frame = host_expect(host, GUEST_NETWORK_REPLY, 300);
    HOST_READ(frame, guest_network_fields, &network);
    g_assert_cmpstr(network.host_name, ==, "listed");
    g_assert_cmpuint(network.n_interfaces, ==, 2);
    const GuestInterface *eth9 = &network.interfaces[0];
    if (strcmp(eth9->name, "eth9") != 0)
        eth9++;
    g_assert_cmpstr(eth9->name, ==, "eth9");
    g_assert_cmpmem(eth9->mac, 6, mac, 6);
    g_assert_true(eth9->is_up);
    g_assert_cmpuint(eth9->n_addresses, >=, 3);
    g_assert_cmpuint(eth9->addresses[0].family, ==, 4);
    g_assert_cmpuint(eth9->addresses[0].prefix, ==, 24);
    g_assert_cmpmem(eth9->addresses[0].address, 4, address, 4);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/renew/host-name", test_host_name);
    g_test_add_func("/guest/renew/host-name-only", test_host_name_without_files);
    g_test_add_func("/guest/renew/machine-id", test_machine_id);
    g_test_add_func("/guest/renew/machine-id-mount", test_machine_id_that_is_a_mount);
    g_test_add_func("/guest/renew/machine-id-other", test_machine_id_that_was_other);
    g_test_add_func("/guest/renew/name-servers", test_name_servers);
    g_test_add_func("/guest/renew/name-servers-kept", test_name_servers_of_a_service);
    g_test_add_func("/guest/renew/files", test_files);
    g_test_add_func("/guest/renew/failures", test_step_that_fails_is_told);
    g_test_add_func("/guest/renew/clock-and-entropy", test_clock_and_entropy_are_asked_for);
    g_test_add_func("/guest/renew/nic", test_nic);
    g_test_add_func("/guest/renew/link-local", test_link_local_address_goes_with_the_mac);
    g_test_add_func("/guest/renew/nic-same-mac", test_nic_that_keeps_its_mac);
    g_test_add_func("/guest/renew/nic-down", test_nic_that_was_down);
    g_test_add_func("/guest/renew/nic-again", test_nic_that_has_its_mac_already);
    g_test_add_func("/guest/renew/nic-absent", test_nic_that_is_not_there);
    g_test_add_func("/guest/renew/macs", test_macs_in_files);
    g_test_add_func("/guest/renew/macs-exchanged", test_macs_that_are_exchanged);
    g_test_add_func("/guest/renew/macs-read-only", test_file_that_cannot_be_changed_is_told);
    g_test_add_func("/guest/renew/sshd", test_sshd_reads_its_keys_again);
    g_test_add_func("/guest/renew/list", test_list_of_interfaces);
    return g_test_run();
}
