/* SPDX-License-Identifier: Apache-2.0 */
/* Files to and from a guest. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "host.h"

static void put(Host *host, guint channel, const char *path, guint mode, guint64 size)
{
    GuestPut message = {
        .path = path, .mode = mode, .uid = geteuid(), .gid = getegid(), .size = size};
    HOST_SEND(host, GUEST_PUT, channel, guest_put_fields, &message);
}

static void get(Host *host, guint channel, const char *path)
{
    GuestGet message = {.path = path};
    HOST_SEND(host, GUEST_GET, channel, guest_get_fields, &message);
}

static guint mode_of(const char *path)
{
    GStatBuf about;
    g_assert_cmpint(g_stat(path, &about), ==, 0);
    return about.st_mode & 07777;
}

static guint count_files(const Host *host)
{
    guint count = 0;
    g_autoptr(GDir) folder = g_dir_open(host->folder, 0, NULL);
    while (g_dir_read_name(folder))
        count++;
    return count;
}

static void test_there_and_back(void)
{
    const gsize length = 1000003;
    g_autoptr(Host) host = host_start();
    g_autofree char *path = g_build_filename(host->folder, "file", NULL);
    g_autofree char *bytes = g_malloc(length);
    for (gsize i = 0; i < length; i++)
        bytes[i] = (char)(i ^ i >> 8);
    put(host, 1, path, 04640, length);
    host_stream(host, GUEST_DATA, 1, bytes, length, NULL);
    g_autoptr(HostEnd) sent = host_finish(host, 1);
    g_assert_true(sent->is_done);
    g_assert_cmpuint(mode_of(path), ==, 04640);
    get(host, 2, path);
    g_autoptr(HostEnd) got = host_finish(host, 2);
    g_assert_true(got->is_done);
    g_assert_cmpuint(got->size, ==, length);
    g_assert_cmpuint(got->mode, ==, 04640);
    g_assert_cmpmem(got->out->str, got->out->len, bytes, length);
}

static void test_empty(void)
{
    g_autoptr(Host) host = host_start();
    g_autofree char *path = g_build_filename(host->folder, "file", NULL);
    put(host, 1, path, 0600, 0);
    g_autoptr(HostEnd) sent = host_finish(host, 1);
    g_assert_true(sent->is_done);
    get(host, 1, path);
    g_autoptr(HostEnd) got = host_finish(host, 1);
    g_assert_true(got->is_done);
    g_assert_cmpuint(got->out->len, ==, 0);
}

static void test_replaces_at_the_end(void)
{
    g_autoptr(Host) host = host_start();
    g_autofree char *path = g_build_filename(host->folder, "file", NULL), *now = NULL;
    g_assert_true(g_file_set_contents(path, "old", 3, NULL));
    put(host, 1, path, 0644, 6);
    host_pass(host, GUEST_STARTED, 1);
    host_send_text(host, GUEST_DATA, 1, "new");
    host_send_text(host, GUEST_PING, 100, "");
    host_pass(host, GUEST_PONG, 100);
    g_assert_true(g_file_get_contents(path, &now, NULL, NULL));
    g_assert_cmpstr(now, ==, "old");
    host_send_text(host, GUEST_DATA, 1, "est");
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_assert_true(end->is_done);
    g_free(g_steal_pointer(&now));
    g_assert_true(g_file_get_contents(path, &now, NULL, NULL));
    g_assert_cmpstr(now, ==, "newest");
}

static void test_half_a_file_leaves_nothing(void)
{
    g_autoptr(Host) host = host_start();
    g_autofree char *path = g_build_filename(host->folder, "file", NULL);
    put(host, 1, path, 0644, 6);
    host_pass(host, GUEST_STARTED, 1);
    g_assert_cmpuint(count_files(host), ==, 2); /* and the socket */
    host_send_text(host, GUEST_DATA, 1, "new");
    host_send(host, GUEST_CLOSE, 1, NULL, 0);
    g_assert_cmpint(host_expect_failure(host, 1), ==, ECANCELED);
    g_assert_cmpuint(count_files(host), ==, 1);
    put(host, 1, path, 0644, 6);
    host_pass(host, GUEST_STARTED, 1);
    host_greet(host);
    g_assert_cmpuint(count_files(host), ==, 1);
}

static void test_more_than_announced(void)
{
    g_autoptr(Host) host = host_start();
    g_autofree char *path = g_build_filename(host->folder, "file", NULL);
    put(host, 1, path, 0644, 2);
    host_pass(host, GUEST_STARTED, 1);
    host_send_text(host, GUEST_DATA, 1, "new");
    g_assert_cmpint(host_expect_failure(host, 1), ==, EPROTO);
    g_assert_cmpuint(count_files(host), ==, 1);
}

static void test_where_none_can_be(void)
{
    g_autoptr(Host) host = host_start();
    put(host, 1, "/no/such/folder/file", 0644, 2);
    g_assert_cmpint(host_expect_failure(host, 1), ==, ENOENT);
    put(host, 1, "/proc", 0644, 0);
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_assert_cmpint(end->error, !=, 0);
}

static void test_what_is_no_file(void)
{
    g_autoptr(Host) host = host_start();
    get(host, 1, "/no/such/file");
    g_assert_cmpint(host_expect_failure(host, 1), ==, ENOENT);
    get(host, 1, host->folder);
    g_assert_cmpint(host_expect_failure(host, 1), ==, EISDIR);
    get(host, 1, "/dev/zero");
    g_assert_cmpint(host_expect_failure(host, 1), ==, EINVAL);
}

static void test_file_that_has_no_size(void)
{
    g_autoptr(Host) host = host_start();
    get(host, 1, "/proc/self/status");
    g_autoptr(HostEnd) end = host_finish(host, 1);
    g_assert_true(end->is_done);
    g_assert_cmpuint(end->size, ==, 0);
    g_assert_nonnull(strstr(end->out->str, "Name:\tstead-agent"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/files/there-and-back", test_there_and_back);
    g_test_add_func("/guest/files/empty", test_empty);
    g_test_add_func("/guest/files/replaces", test_replaces_at_the_end);
    g_test_add_func("/guest/files/half", test_half_a_file_leaves_nothing);
    g_test_add_func("/guest/files/more", test_more_than_announced);
    g_test_add_func("/guest/files/nowhere", test_where_none_can_be);
    g_test_add_func("/guest/files/no-file", test_what_is_no_file);
    g_test_add_func("/guest/files/proc", test_file_that_has_no_size);
    return g_test_run();
}
