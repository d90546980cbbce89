/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's small parts, without an agent. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "guest/facts.h"
#include "guest/files.h"
#include "guest/outbox.h"
#include "guest/text.h"
#include "guest/user.h"

#define PASSWD                                                                                     \
    "root:x:0:0:root:/root:/bin/sh\nshort:x\nada:x:1000:1000:Ada,,,:/home/ada:/bin/sh\n"           \
    "noname:x:bad:1:::\nhomeless:x:7:8:::\n"
#define GROUP                                                                                      \
    "root:x:0:\nwheel:x:10:root,ada\nadagroup:x:1000:\nlist:x:20:adam,ada,x\nada:x:30:xada\n"

static GuestUser found;

static int find(const char *words)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = g_dir_make_tmp("stead-guest-XXXXXX", &error);
    g_assert_no_error(error);
    g_autofree char *passwd = g_build_filename(folder, "passwd", NULL);
    g_autofree char *group = g_build_filename(folder, "group", NULL);
    g_assert_true(g_file_set_contents(passwd, PASSWD, -1, NULL));
    g_assert_true(g_file_set_contents(group, GROUP, -1, NULL));
    int result = guest_user_find_in(passwd, group, words, &found);
    g_unlink(passwd);
    g_unlink(group);
    g_rmdir(folder);
    return result;
}

static void test_user_by_name(void)
{
    g_assert_cmpint(find("ada"), ==, 0);
    g_assert_cmpuint(found.uid, ==, 1000);
    g_assert_cmpuint(found.gid, ==, 1000);
    g_assert_cmpstr(found.home, ==, "/home/ada");
    g_assert_cmpuint(found.n_groups, ==, 2);
    g_assert_cmpuint(found.groups[0], ==, 10);
    g_assert_cmpuint(found.groups[1], ==, 20);
}

static void test_user_by_number(void)
{
    g_assert_cmpint(find("1000"), ==, 0);
    g_assert_cmpstr(found.name, ==, "ada");
    g_assert_cmpint(find("7"), ==, 0);
    g_assert_cmpstr(found.name, ==, "homeless");
    g_assert_cmpstr(found.home, ==, "/");
}

static void test_user_unknown(void)
{
    g_assert_cmpint(find("bob"), ==, -ENOENT);
    g_assert_cmpint(find("ada:nogroup"), ==, -ENOENT);
    g_assert_cmpint(find("short"), ==, -ENOENT);
    g_assert_cmpint(find("noname"), ==, -ENOENT);
    g_assert_cmpint(find("99999999999999999999"), ==, -ENOENT);
    g_assert_cmpint(find("4294967295"), ==, -ENOENT); /* -1 means "leave it" to the kernel */
    g_assert_cmpint(find("4242"), ==, 0);
    g_assert_cmpuint(found.uid, ==, 4242);
    g_assert_cmpuint(found.gid, ==, 0);
    g_assert_cmpstr(found.name, ==, "");
}

static void test_user_with_group(void)
{
    g_assert_cmpint(find("ada:wheel"), ==, 0);
    g_assert_cmpuint(found.gid, ==, 10);
    g_assert_cmpuint(found.n_groups, ==, 0);
    g_assert_cmpint(find("ada:77"), ==, 0);
    g_assert_cmpuint(found.gid, ==, 77);
}

static void test_numbers(void)
{
    guint64 number;
    g_assert_cmpuint(guest_number("18446744073709551615x", &number), ==, 20);
    g_assert_cmpuint(number, ==, G_MAXUINT64);
    g_assert_cmpuint(guest_number("18446744073709551616", &number), ==, 0);
    g_assert_cmpuint(guest_number("x", &number), ==, 0);
    g_assert_cmpuint(guest_number("", &number), ==, 0);
}

static void test_text_is_cut(void)
{
    char buffer[8];
    GuestText text = guest_text(buffer, sizeof buffer);
    guest_text_add(&text, "a");
    guest_text_add_number(&text, 120);
    g_assert_false(text.is_cut);
    guest_text_add(&text, "bcde");
    g_assert_true(text.is_cut);
    g_assert_cmpstr(buffer, ==, "a120bcd");
}

static void test_meminfo(void)
{
    const char *content = "MemTotal:       100 kB\nMemFree:          7 kB\nCached: 3 kB\nEmpty:\n";
    g_assert_cmpuint(guest_meminfo_value(content, "MemTotal"), ==, 102400);
    g_assert_cmpuint(guest_meminfo_value(content, "MemFree"), ==, 7168);
    g_assert_cmpuint(guest_meminfo_value(content, "Cached"), ==, 3072);
    g_assert_cmpuint(guest_meminfo_value(content, "Mem"), ==, 0);
    g_assert_cmpuint(guest_meminfo_value(content, "Empty"), ==, 0);
    g_assert_cmpuint(guest_meminfo_value("", "Cached"), ==, 0);
    g_assert_cmpuint(guest_meminfo_value("Cached", "Cached"), ==, 0);
}

static void test_outbox_is_bounded(void)
{
    static GuestOutbox outbox;
    static guint8 payload[GUEST_PAYLOAD_MAX + 1];
    g_assert_cmpint(guest_outbox_add(&outbox, GUEST_PONG, 0, payload, sizeof payload), ==,
                    -EMSGSIZE);
    g_assert_cmpint(guest_outbox_add(&outbox, GUEST_PONG, 0, payload, GUEST_PAYLOAD_MAX), ==, 0);
    g_assert_cmpint(guest_outbox_add(&outbox, GUEST_PONG, 0, payload, GUEST_PAYLOAD_MAX), ==, 0);
    g_assert_cmpint(guest_outbox_add(&outbox, GUEST_PONG, 0, payload, GUEST_PAYLOAD_MAX), ==,
                    -ENOBUFS);
    guest_outbox_restart(&outbox);
    g_assert_cmpuint(outbox.end - outbox.begin, ==, 1);
}

/* What is left moves to the front, and nothing of it is lost. */
static void test_outbox_moves_up(void)
{
    static GuestOutbox outbox;
    static guint8 payload[GUEST_DATA_MAX];
    int ends[2];
    gsize sent = 0, got = 0;
    g_assert_cmpint(pipe2(ends, O_NONBLOCK | O_CLOEXEC), ==, 0);
    for (int i = 0; i < 100; i++) {
        if (guest_outbox_add(&outbox, GUEST_DATA, 1, payload, sizeof payload) == 0)
            sent += sizeof payload;
        guest_outbox_flush(&outbox, ends[1]);
        guint8 bytes[9999];
        ssize_t n;
        static GuestDecoder decoder;
        while ((n = read(ends[0], bytes, sizeof bytes)) > 0) {
            gsize used;
            GuestFrame frame;
            for (gsize at = 0; at < (gsize)n; at += used)
                if (guest_decoder_feed(&decoder, bytes + at, (gsize)n - at, &used, &frame) ==
                    GUEST_FEED_FRAME)
                    got += frame.length;
        }
    }
    while (guest_outbox_flush(&outbox, ends[1]) == -EAGAIN)
        g_assert_cmpint(read(ends[0], payload, sizeof payload), >, 0);
    g_assert_cmpuint(sent, >, 50 * sizeof payload);
    g_assert_cmpuint(got, >, sent / 2);
    close(ends[0]);
    close(ends[1]);
}

static void test_replace_keeps_the_old_upon_failure(void)
{
    g_assert_cmpint(guest_replace("/no/such/folder/file", "x", 1, 0600), ==, -ENOENT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/user/name", test_user_by_name);
    g_test_add_func("/guest/user/number", test_user_by_number);
    g_test_add_func("/guest/user/unknown", test_user_unknown);
    g_test_add_func("/guest/user/group", test_user_with_group);
    g_test_add_func("/guest/text/number", test_numbers);
    g_test_add_func("/guest/text/cut", test_text_is_cut);
    g_test_add_func("/guest/facts/meminfo", test_meminfo);
    g_test_add_func("/guest/outbox/bounded", test_outbox_is_bounded);
    g_test_add_func("/guest/outbox/moves-up", test_outbox_moves_up);
    g_test_add_func("/guest/files/no-folder", test_replace_keeps_the_old_upon_failure);
    return g_test_run();
}
