/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doctor on hosts made of a folder: programs are scripts in `bin`, the kernel's files and the
 * sockets lie under `root`. Nothing is asked of the machine that runs the test.
 */
#include "host/checks.h"

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/subprocess.h"
#include "host/requirements.h"

typedef struct {
    char *folder;
    char *bin;
    char *root;
    SteadPaths *paths;
    SteadKvm kvm;
    SteadCheckContext context;
} Fixture;

static void set_up(Fixture *f, gconstpointer unused)
{
    f->folder = g_dir_make_tmp("stead-checks-XXXXXX", NULL);
    f->bin = g_build_filename(f->folder, "bin", NULL);
    f->root = g_build_filename(f->folder, "root", NULL);
    g_assert_true(stead_make_dir(f->bin, 0755, NULL));
    g_assert_true(stead_make_dir(f->root, 0755, NULL));
    f->paths = stead_paths_new_for_root(f->folder, NULL);
    f->kvm = (SteadKvm){.status = STEAD_KVM_USABLE, .detail = (char *)(gsize) ""};
    f->context = (SteadCheckContext){
        .paths = f->paths, .search_path = f->bin, .system_root = f->root, .kvm = &f->kvm};
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    g_assert_true(stead_remove_tree(f->folder, NULL));
    stead_paths_free(f->paths);
    g_free(f->folder);
    g_free(f->bin);
    g_free(f->root);
}

static void add_program(Fixture *f, const char *name, const char *script)
{
    g_autofree char *path = g_build_filename(f->bin, name, NULL);
    g_autofree char *text = g_strdup_printf("#!/bin/sh\n%s\n", script);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_assert_cmpint(g_chmod(path, 0755), ==, 0);
}

static void add_folder(Fixture *f, const char *name)
{
    g_autofree char *path = g_build_filename(f->root, name, NULL);
    g_assert_true(stead_make_dir(path, 0755, NULL));
}

static void add_file(Fixture *f, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(f->root, name, NULL);
    g_autofree char *folder = g_path_get_dirname(path);
    g_assert_true(stead_make_dir(folder, 0755, NULL));
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* A socket below the root; the descriptor is to be closed. */
static int add_socket(Fixture *f, const char *name, gboolean is_listening)
{
    g_autofree char *path = g_build_filename(f->root, name, NULL);
    g_autofree char *folder = g_path_get_dirname(path);
    g_assert_true(stead_make_dir(folder, 0755, NULL));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_assert_cmpuint(strlen(path), <, sizeof address.sun_path);
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    if (is_listening)
        g_assert_cmpint(listen(fd, 1), ==, 0);
    return fd;
}

/* Runs one check of the table. */
static SteadCheckResult *check(Fixture *f, const char *id)
{
    for (gsize i = 0; i < stead_n_requirements; i++) {
        const SteadRequirement *requirement = &stead_requirements[i];
        if (strcmp(requirement->id, id) != 0)
            continue;
        SteadCheckResult *result = g_new0(SteadCheckResult, 1);
        requirement->check(requirement, &f->context, result);
        g_assert_nonnull(result->found);
        return result;
    }
    g_assert_not_reached();
}

static void expect(Fixture *f, const char *id, SteadCheckStatus status, const char *found,
                   const char *mend)
{
    g_autoptr(SteadCheckResult) result = check(f, id);
    if (found && strstr(result->found, found) == NULL)
        g_error("%s: found \"%s\", not \"%s\"", id, result->found, found);
    if (mend && (result->mend == NULL || strstr(result->mend, mend) == NULL))
        g_error("%s: mended by \"%s\", not \"%s\"", id, result->mend, mend);
    g_assert_cmpint(result->status, ==, status);
    if (status == STEAD_CHECK_OK)
        g_assert_null(result->mend);
}

/* The table. */

static void test_ids_are_unique(void)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (gsize i = 0; i < stead_n_requirements; i++)
        g_assert_true(g_hash_table_add(seen, (gpointer)(gsize)stead_requirements[i].id));
}

static void test_every_program_has_a_package(void)
{
    for (gsize i = 0; i < stead_n_requirements; i++) {
        const SteadRequirement *requirement = &stead_requirements[i];
        if (requirement->program && requirement->package == NULL)
            g_assert_nonnull(stead_program_package(requirement->program));
    }
}

static void test_every_requirement_is_complete(void)
{
    for (gsize i = 0; i < stead_n_requirements; i++) {
        g_assert_nonnull(stead_requirements[i].title);
        g_assert_nonnull(stead_requirements[i].why);
        g_assert_nonnull(stead_requirements[i].check);
        g_assert_cmpint(stead_requirements[i].lacking, !=, STEAD_CHECK_OK);
    }
}

/* Programs. */

static void test_program_is_found(Fixture *f, gconstpointer unused)
{
    add_program(f, "qemu-img", "exit 1");
    expect(f, "qemu-img", STEAD_CHECK_OK, "/bin/qemu-img", NULL);
}

static void test_missing_program_names_its_package(Fixture *f, gconstpointer unused)
{
    expect(f, "qemu-img", STEAD_CHECK_FAIL, "qemu-img is not installed", "apt install qemu-utils");
    expect(f, "mtools", STEAD_CHECK_WARN, "mcopy", "apt install mtools");
}

static void test_folder_is_no_program(Fixture *f, gconstpointer unused)
{
    g_autofree char *path = g_build_filename(f->bin, "sfdisk", NULL);
    g_assert_cmpint(g_mkdir(path, 0755), ==, 0);
    expect(f, "sfdisk", STEAD_CHECK_WARN, "not installed", "apt install fdisk");
}

static void test_qemu_version(Fixture *f, gconstpointer unused)
{
    add_program(f, "qemu-system-x86_64", "echo 'QEMU emulator version 6.2.0 (Debian 1:6.2)'");
    expect(f, "qemu", STEAD_CHECK_OK, "6.2 (", NULL);
}

static void test_old_qemu_fails(Fixture *f, gconstpointer unused)
{
    add_program(f, "qemu-system-x86_64", "echo 'QEMU emulator version 5.2.99'");
    expect(f, "qemu", STEAD_CHECK_FAIL, "older than 6.2", "apt install qemu-system-x86");
}

static void test_qemu_that_says_nonsense(Fixture *f, gconstpointer unused)
{
    add_program(f, "qemu-system-x86_64", "printf 'version x.y\\033[2J\\n'");
    expect(f, "qemu", STEAD_CHECK_FAIL, "does not tell its version", "apt install");
}

static void test_broken_qemu_says_why(Fixture *f, gconstpointer unused)
{
    add_program(f, "qemu-system-x86_64", "echo 'libpixman.so: not found' >&2; exit 127");
    expect(f, "qemu", STEAD_CHECK_FAIL, "libpixman.so: not found", "apt install");
}

/* Takes as long as the limit says, and no longer. */
static void test_qemu_that_hangs(Fixture *f, gconstpointer unused)
{
    add_program(f, "qemu-system-x86_64", "exec sleep 600");
    gint64 start = g_get_monotonic_time();
    expect(f, "qemu", STEAD_CHECK_FAIL, "cancelled", NULL);
    g_assert_cmpint(g_get_monotonic_time() - start, <,
                    (STEAD_CHECK_PROGRAM_SECONDS + 10) * G_USEC_PER_SEC);
}

static void test_version_of_texts(void)
{
    guint major = 0, minor = 0;
    g_assert_true(stead_check_parse_version("QEMU emulator version 10.0.2", &major, &minor));
    g_assert_cmpuint(major, ==, 10);
    g_assert_cmpuint(minor, ==, 0);
    g_assert_false(stead_check_parse_version("", &major, &minor));
    g_assert_false(stead_check_parse_version("version", &major, &minor));
    g_assert_false(stead_check_parse_version("version 7", &major, &minor));
}

static void test_firmware_needs_both_files(Fixture *f, gconstpointer unused)
{
    add_file(f, "usr/share/OVMF/OVMF_CODE.fd", "code");
    expect(f, "firmware", STEAD_CHECK_FAIL, "not installed", "apt install ovmf");
    add_file(f, "usr/share/OVMF/OVMF_VARS.fd", "variables");
    expect(f, "firmware", STEAD_CHECK_OK, "/usr/share/OVMF/OVMF_CODE.fd", NULL);
}

static void test_nat(Fixture *f, gconstpointer unused)
{
    add_program(f, "iptables-save", "echo '# Generated by iptables-save v1.8.9 (nf_tables)'");
    expect(f, "nat", STEAD_CHECK_OK, "nftables", NULL);
    add_program(f, "iptables-save", "echo 'no such table' >&2; exit 3");
    expect(f, "nat", STEAD_CHECK_FAIL, "no such table", "modprobe");
}

/* Services. */

static void test_libvirtd_answers(Fixture *f, gconstpointer name)
{
    stead_autofd fd = add_socket(f, name, TRUE);
    g_assert_cmpint(fd, >=, 0);
    expect(f, "libvirtd", STEAD_CHECK_OK, name, NULL);
}

static void test_dead_socket_is_no_answer(Fixture *f, gconstpointer unused)
{
    stead_autofd fd = add_socket(f, "run/libvirt/libvirt-sock", FALSE);
    g_assert_cmpint(fd, >=, 0);
    add_program(f, "libvirtd", "exit 0");
    expect(f, "libvirtd", STEAD_CHECK_WARN, "does not run", "libvirtd -d");
}

static void test_stopped_libvirtd_under_systemd(Fixture *f, gconstpointer unused)
{
    add_folder(f, "run/systemd/system");
    add_program(f, "libvirtd", "exit 0");
    add_program(f, "virtlogd", "exit 0");
    expect(f, "libvirtd", STEAD_CHECK_FAIL, "does not run",
           "systemctl enable --now libvirtd.socket");
    expect(f, "virtlogd", STEAD_CHECK_FAIL, "does not run",
           "systemctl enable --now virtlogd.socket");
}

static void test_missing_libvirtd(Fixture *f, gconstpointer unused)
{
    expect(f, "libvirtd", STEAD_CHECK_FAIL, "not installed", "apt install libvirt");
}

static void test_privilege(Fixture *f, gconstpointer unused)
{
    add_file(f, "proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\n");
    expect(f, "privilege", STEAD_CHECK_OK, NULL, NULL);
    add_file(f, "proc/self/status", "Name:\tx\nCapEff:\t0000000000000000\n");
    expect(f, "privilege", STEAD_CHECK_FAIL, NULL, NULL);
}

/* The kernel. */

static void test_kvm_has_four_answers(Fixture *f, gconstpointer unused)
{
    expect(f, "kvm", STEAD_CHECK_OK, "usable", NULL);
    f->kvm.status = STEAD_KVM_UNUSABLE;
    f->kvm.step = (char *)(gsize) "lock cmpxchg16b";
    expect(f, "kvm", STEAD_CHECK_WARN, "unusable: lock cmpxchg16b", "emulated");
    f->kvm.status = STEAD_KVM_ABSENT;
    expect(f, "kvm", STEAD_CHECK_WARN, "absent", "firmware");
    f->kvm.status = STEAD_KVM_DENIED;
    expect(f, "kvm", STEAD_CHECK_WARN, "denied", "kvm");
}

static void test_absent_kvm_on_a_cpu_that_has_it(Fixture *f, gconstpointer unused)
{
    f->kvm.status = STEAD_KVM_ABSENT;
    add_file(f, "proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu svm_lock svm ht\n");
    expect(f, "kvm", STEAD_CHECK_WARN, "absent", "modprobe kvm_amd");
    add_file(f, "proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vmx ht\n");
    expect(f, "kvm", STEAD_CHECK_WARN, "absent", "modprobe kvm_intel");
    add_file(f, "proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu ht\nbugs\t: vmx\n");
    expect(f, "kvm", STEAD_CHECK_WARN, "absent", "firmware");
}

static void test_kvm_probe_that_is_missing(Fixture *f, gconstpointer unused)
{
    f->context.kvm = NULL;
    f->context.kvm_program = "/nonexistent/stead-kvm-probe";
    expect(f, "kvm", STEAD_CHECK_WARN, "not installed", NULL);
}

static void test_tun(Fixture *f, gconstpointer unused)
{
    expect(f, "tun", STEAD_CHECK_FAIL, "/dev/net/tun", "modprobe tun");
    add_file(f, "dev/net/tun", "");
    expect(f, "tun", STEAD_CHECK_OK, "/dev/net/tun", NULL);
}

static void test_forwarding(Fixture *f, gconstpointer unused)
{
    add_file(f, "proc/sys/net/ipv4/ip_forward", "0\n");
    expect(f, "forwarding", STEAD_CHECK_WARN, "off", "sysctl -w net.ipv4.ip_forward=1");
    add_file(f, "proc/sys/net/ipv4/ip_forward", "1\n");
    expect(f, "forwarding", STEAD_CHECK_OK, "on", NULL);
}

static void test_cgroup_versions(Fixture *f, gconstpointer unused)
{
    expect(f, "cgroup", STEAD_CHECK_WARN, "none", NULL);
    add_folder(f, "sys/fs/cgroup/memory");
    expect(f, "cgroup", STEAD_CHECK_WARN, "version 1", "unified_cgroup_hierarchy");
    add_folder(f, "sys/fs/cgroup/unified");
    expect(f, "cgroup", STEAD_CHECK_WARN, "mixed", "unified_cgroup_hierarchy");
    add_file(f, "sys/fs/cgroup/cgroup.controllers", "cpu memory");
    expect(f, "cgroup", STEAD_CHECK_OK, "version 2", NULL);
}

/* Resources. */

static void test_levels(void)
{
    g_assert_cmpint(stead_check_level(1, 2, 4), ==, STEAD_CHECK_FAIL);
    g_assert_cmpint(stead_check_level(2, 2, 4), ==, STEAD_CHECK_WARN);
    g_assert_cmpint(stead_check_level(3, 2, 4), ==, STEAD_CHECK_WARN);
    g_assert_cmpint(stead_check_level(4, 2, 4), ==, STEAD_CHECK_OK);
}

static void test_available_memory(void)
{
    g_assert_cmpuint(stead_check_parse_available("MemFree: 1 kB\nMemAvailable:   2048 kB\n"), ==,
                     2048 * 1024);
    g_assert_cmpuint(stead_check_parse_available("MemFree: 1 kB\n"), ==, 0);
    g_assert_cmpuint(stead_check_parse_available("MemAvailable: 18446744073709551615 kB"), ==, 0);
}

static void test_memory(Fixture *f, gconstpointer unused)
{
    expect(f, "memory", STEAD_CHECK_WARN, "does not tell", NULL);
    add_file(f, "proc/meminfo", "MemAvailable: 100000 kB\n");
    expect(f, "memory", STEAD_CHECK_FAIL, "97.7 MiB", "memory");
    add_file(f, "proc/meminfo", "MemAvailable: 4194304 kB\n");
    expect(f, "memory", STEAD_CHECK_OK, "4 GiB", NULL);
}

static void test_state_folder_need_not_exist(Fixture *f, gconstpointer unused)
{
    g_autoptr(SteadCheckResult) result = check(f, "state");
    g_assert_cmpint(result->status, !=, STEAD_CHECK_FAIL);
    g_assert_false(g_file_test(f->paths->state, G_FILE_TEST_EXISTS));
}

static void test_state_folder_that_is_a_file(Fixture *f, gconstpointer unused)
{
    g_assert_true(g_file_set_contents(f->paths->state, "", -1, NULL));
    expect(f, "state", STEAD_CHECK_FAIL, "is not a folder", "STEAD_ROOT");
}

/* Telling it. */

static void add_result(GPtrArray *results, SteadCheckStatus status, const char *found,
                       const char *mend)
{
    SteadCheckResult *result = g_new0(SteadCheckResult, 1);
    result->id = "thing";
    result->title = "A thing";
    result->why = "it \"matters\"";
    stead_check_answer(result, status, mend, "%s", found);
    g_ptr_array_add(results, result);
}

static GPtrArray *new_results(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)stead_check_result_free);
}

static void test_text(void)
{
    g_autoptr(GPtrArray) results = new_results();
    add_result(results, STEAD_CHECK_OK, "1.2", NULL);
    add_result(results, STEAD_CHECK_WARN, "slow", NULL);
    add_result(results, STEAD_CHECK_FAIL, "none", "apt install thing");
    g_autofree char *text = stead_checks_to_text(results);
    g_assert_cmpstr(text, ==,
                    "ok    A thing               1.2\n"
                    "warn  A thing               slow\n"
                    "      why:  it \"matters\"\n"
                    "fail  A thing               none\n"
                    "      why:  it \"matters\"\n"
                    "      mend: apt install thing\n"
                    "1 ok, 1 warning, 1 failure\n");
}

static void test_json(void)
{
    g_autoptr(GPtrArray) results = new_results();
    add_result(results, STEAD_CHECK_WARN, "slow", NULL);
    g_autofree char *json = stead_checks_to_json(results);
    g_assert_cmpstr(json, ==,
                    "{\"ok\":true,\"checks\":[{\"id\":\"thing\",\"title\":\"A thing\","
                    "\"status\":\"warn\",\"found\":\"slow\",\"why\":\"it \\\"matters\\\"\","
                    "\"mend\":null}]}");
}

static void test_only_failures_are_not_ok(void)
{
    g_autoptr(GPtrArray) results = new_results();
    g_assert_true(stead_checks_all_ok(results));
    add_result(results, STEAD_CHECK_WARN, "slow", NULL);
    g_assert_true(stead_checks_all_ok(results));
    add_result(results, STEAD_CHECK_FAIL, "none", NULL);
    g_assert_false(stead_checks_all_ok(results));
}

static void test_found_is_one_clean_line(void)
{
    g_autoptr(GPtrArray) results = new_results();
    g_autofree char *fill = g_strnfill(STEAD_CHECK_TEXT_MAX * 2, 'x');
    add_result(results, STEAD_CHECK_OK, "a\033[2J\tb\nc", NULL);
    add_result(results, STEAD_CHECK_OK, "\xff", NULL);
    add_result(results, STEAD_CHECK_OK, fill, NULL);
    const SteadCheckResult *const *all = (const SteadCheckResult *const *)results->pdata;
    g_assert_cmpstr(all[0]->found, ==, "a [2J b");
    g_assert_true(g_utf8_validate(all[1]->found, -1, NULL));
    g_assert_cmpuint(strlen(all[2]->found), ==, STEAD_CHECK_TEXT_MAX);
}

static void test_all_checks_on_an_empty_host(Fixture *f, gconstpointer unused)
{
    g_autoptr(GPtrArray) results = stead_checks_run(&f->context);
    g_assert_cmpuint(results->len, ==, stead_n_requirements);
    g_assert_false(stead_checks_all_ok(results));
    g_autofree char *json = stead_checks_to_json(results);
    g_autoptr(JsonParser) parser = json_parser_new();
    g_assert_true(json_parser_load_from_data(parser, json, -1, NULL));
}

static void test_nothing_is_changed(Fixture *f, gconstpointer unused)
{
    g_autoptr(GPtrArray) results = stead_checks_run(&f->context);
    g_assert_cmpuint(results->len, >, 0);
    g_autoptr(GDir) dir = g_dir_open(f->folder, 0, NULL);
    guint n = 0;
    while (g_dir_read_name(dir))
        n++;
    g_assert_cmpuint(n, ==, 2); /* bin and root */
}

static void test_cancelled(Fixture *f, gconstpointer unused)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_cancellable_cancel(cancellable);
    f->context.cancellable = cancellable;
    g_autoptr(GPtrArray) results = stead_checks_run(&f->context);
    g_assert_cmpuint(results->len, ==, 0);
}

#define ADD(name, data, function)                                                                  \
    g_test_add("/checks/" name, Fixture, data, set_up, function, tear_down)

static void add_host_tests(void)
{
    ADD("program", NULL, test_program_is_found);
    ADD("missing-program", NULL, test_missing_program_names_its_package);
    ADD("folder-as-program", NULL, test_folder_is_no_program);
    ADD("qemu", NULL, test_qemu_version);
    ADD("qemu-old", NULL, test_old_qemu_fails);
    ADD("qemu-nonsense", NULL, test_qemu_that_says_nonsense);
    ADD("qemu-broken", NULL, test_broken_qemu_says_why);
    ADD("qemu-hangs", NULL, test_qemu_that_hangs);
    ADD("firmware", NULL, test_firmware_needs_both_files);
    ADD("nat", NULL, test_nat);
    ADD("libvirtd", "run/libvirt/libvirt-sock", test_libvirtd_answers);
    ADD("virtqemud", "run/libvirt/virtqemud-sock", test_libvirtd_answers);
    ADD("libvirtd-dead", NULL, test_dead_socket_is_no_answer);
    ADD("libvirtd-systemd", NULL, test_stopped_libvirtd_under_systemd);
    ADD("libvirtd-missing", NULL, test_missing_libvirtd);
    ADD("privilege", NULL, test_privilege);
    ADD("kvm", NULL, test_kvm_has_four_answers);
    ADD("kvm-absent", NULL, test_absent_kvm_on_a_cpu_that_has_it);
    ADD("kvm-no-probe", NULL, test_kvm_probe_that_is_missing);
    ADD("tun", NULL, test_tun);
    ADD("forwarding", NULL, test_forwarding);
    ADD("cgroup", NULL, test_cgroup_versions);
    ADD("memory", NULL, test_memory);
    ADD("state", NULL, test_state_folder_need_not_exist);
    ADD("state-file", NULL, test_state_folder_that_is_a_file);
    ADD("all", NULL, test_all_checks_on_an_empty_host);
    ADD("nothing-changed", NULL, test_nothing_is_changed);
    ADD("cancelled", NULL, test_cancelled);
}

int main(int argc, char **argv)
{
    g_unsetenv("STEAD_KVM");
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/checks/ids", test_ids_are_unique);
    g_test_add_func("/checks/packages", test_every_program_has_a_package);
    g_test_add_func("/checks/complete", test_every_requirement_is_complete);
    g_test_add_func("/checks/versions", test_version_of_texts);
    g_test_add_func("/checks/levels", test_levels);
    g_test_add_func("/checks/available", test_available_memory);
    g_test_add_func("/checks/text", test_text);
    g_test_add_func("/checks/json", test_json);
    g_test_add_func("/checks/all-ok", test_only_failures_are_not_ok);
    g_test_add_func("/checks/clean-line", test_found_is_one_clean_line);
    add_host_tests();
    return g_test_run();
}
