/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taps and bridges in a network namespace of this process alone, which takes all of them with it.
 * Needs root, or namespaces of users; skips with the reason otherwise.
 */
#include "net/tap.h"

#include <errno.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

#define ID "1a2b3c4d-0000-4000-8000-000000000001"
#define TAP "st1a2b3c4d-0"
#define BRIDGE "br0"
#define FRAME 60
#define VNET_HEADER 10

static const char *why_not; /* NULL: we are in a namespace of our own */

static void enter_namespace(void)
{
    int flags = CLONE_NEWNET | CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER);
    if (access("/dev/net/tun", R_OK | W_OK) != 0)
        why_not = "/dev/net/tun cannot be opened";
    else if (unshare(flags) != 0)
        why_not = "no network namespace can be made";
    else if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
             mount("none", "/sys", "sysfs", 0, NULL) != 0)
        why_not = "/sys cannot be mounted anew";
}

static int ask_kernel(unsigned long request, void *data)
{
    stead_autofd fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return ioctl(fd, request, data);
}

static int mtu_of(const char *name)
{
    struct ifreq request = {0};
    g_strlcpy(request.ifr_name, name, IFNAMSIZ);
    g_assert_cmpint(ask_kernel(SIOCGIFMTU, &request), ==, 0);
    return request.ifr_mtu;
}

static gboolean is_up(const char *name)
{
    struct ifreq request = {0};
    g_strlcpy(request.ifr_name, name, IFNAMSIZ);
    g_assert_cmpint(ask_kernel(SIOCGIFFLAGS, &request), ==, 0);
    return (request.ifr_flags & IFF_UP) != 0;
}

static gboolean is_on(const char *bridge, const char *name)
{
    g_autofree char *path = g_strdup_printf("/sys/class/net/%s/brif/%s", bridge, name);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

typedef struct {
    int tap;
} Fixture;

static void set_up(Fixture *f, gconstpointer unused)
{
    char name[IFNAMSIZ] = BRIDGE;
    f->tap = -1;
    if (why_not == NULL && ask_kernel(SIOCBRADDBR, name) != 0)
        why_not = "no bridge can be made";
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    char name[IFNAMSIZ] = BRIDGE;
    stead_clear_fd(&f->tap);
    if (why_not == NULL)
        ask_kernel(SIOCBRDELBR, name);
}

static void open_tap(Fixture *f, const char *bridge)
{
    g_autoptr(GError) error = NULL;
    f->tap = stead_tap_open(bridge, ID, 0, &error);
    g_assert_no_error(error);
    g_assert_cmpint(f->tap, >=, 0);
}

static void assert_not_opened(const char *bridge, SteadErrorCode code)
{
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(stead_tap_open(bridge, ID, 0, &error), ==, -1);
    g_assert_error(error, STEAD_ERROR, (int)code);
}

static void test_on_a_bridge(Fixture *f, gconstpointer unused)
{
    open_tap(f, BRIDGE);
    g_assert_true(is_up(TAP));
    g_assert_true(is_on(BRIDGE, TAP));
}

static void test_ends_with_its_descriptor(Fixture *f, gconstpointer unused)
{
    open_tap(f, BRIDGE);
    g_assert_cmpuint(if_nametoindex(TAP), !=, 0);
    stead_clear_fd(&f->tap);
    g_assert_cmpuint(if_nametoindex(TAP), ==, 0);
}

static void test_takes_the_mtu(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    struct ifreq request = {.ifr_name = BRIDGE, .ifr_mtu = 1400};
    g_assert_cmpint(ask_kernel(SIOCSIFMTU, &request), ==, 0);
    open_tap(f, BRIDGE);
    g_assert_cmpint(mtu_of(TAP), ==, 1400);
    stead_autofd other = stead_tap_open(NULL, ID, 1, &error);
    g_assert_no_error(error);
    g_assert_cmpint(other, >=, 0);
    g_assert_cmpint(mtu_of("st1a2b3c4d-1"), ==, 1500);
}

static void test_name_is_taken(Fixture *f, gconstpointer unused)
{
    open_tap(f, BRIDGE);
    assert_not_opened(BRIDGE, STEAD_ERROR_BUSY);
    g_assert_true(is_on(BRIDGE, TAP));
}

static void test_no_such_bridge(Fixture *f, gconstpointer unused)
{
    assert_not_opened("br1", STEAD_ERROR_NOT_FOUND);
    g_assert_cmpuint(if_nametoindex(TAP), ==, 0);
}

static void test_no_bridge_at_all(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(stead_tap_open("lo", ID, 0, &error), ==, -1);
    g_assert_nonnull(error);
    g_assert_cmpuint(if_nametoindex(TAP), ==, 0);
}

static void test_joins_later(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    open_tap(f, NULL);
    g_assert_false(is_on(BRIDGE, TAP));
    for (int i = 0; i < 2; i++) {
        stead_tap_join(BRIDGE, ID, 0, &error);
        g_assert_no_error(error);
        g_assert_true(is_on(BRIDGE, TAP));
    }
}

static void test_cannot_join(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_tap_join(BRIDGE, ID, 0, NULL)); /* no such tap */
    open_tap(f, NULL);
    g_assert_false(stead_tap_join("br1", ID, 0, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
}

/* It has a place, but not that one. */
static void test_is_on_another_bridge(Fixture *f, gconstpointer unused)
{
    char other[IFNAMSIZ] = "br1";
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(ask_kernel(SIOCBRADDBR, other), ==, 0);
    open_tap(f, other);
    gboolean joined = stead_tap_join(BRIDGE, ID, 0, &error);
    g_assert_cmpint(ask_kernel(SIOCBRDELBR, other), ==, 0);
    g_assert_false(joined);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_BUSY);
}

static void test_counts(Fixture *f, gconstpointer unused)
{
    guint8 frame[VNET_HEADER + FRAME] = {0};
    guint64 sent = 1, received = 1;
    g_assert_false(stead_tap_count(ID, 0, &sent, &received));
    open_tap(f, BRIDGE);
    memset(frame + VNET_HEADER, 0xff, 6);
    g_assert_cmpint(write(f->tap, frame, sizeof frame), ==, (gssize)sizeof frame);
    g_assert_true(stead_tap_count(ID, 0, &sent, &received));
    g_assert_cmpuint(sent, ==, FRAME);
    g_assert_false(stead_tap_count(ID, 1, &sent, &received));
}

static void test_without_the_right(Fixture *f, gconstpointer unused)
{
    if (geteuid() != 0 || seteuid(65534) != 0) {
        g_test_skip("no other user can be taken on");
        return;
    }
    g_autoptr(GError) error = NULL;
    int tap = stead_tap_open(NULL, ID, 0, &error);
    g_assert_cmpint(seteuid(0), ==, 0);
    g_assert_cmpint(tap, ==, -1);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_DENIED);
}

static const struct {
    const char *name;
    void (*test)(Fixture *f, gconstpointer unused);
} tests[] = {
    {"on-a-bridge", test_on_a_bridge},
    {"ends-with-its-descriptor", test_ends_with_its_descriptor},
    {"takes-the-mtu", test_takes_the_mtu},
    {"name-is-taken", test_name_is_taken},
    {"no-such-bridge", test_no_such_bridge},
    {"no-bridge-at-all", test_no_bridge_at_all},
    {"joins-later", test_joins_later},
    {"cannot-join", test_cannot_join},
    {"is-on-another-bridge", test_is_on_another_bridge},
    {"counts", test_counts},
    {"without-the-right", test_without_the_right},
};

static void run(Fixture *f, gconstpointer number)
{
    if (why_not)
        g_test_skip(why_not);
    else
        tests[GPOINTER_TO_UINT(number)].test(f, NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    enter_namespace();
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/tap/", tests[i].name, NULL);
        g_test_add(path, Fixture, GUINT_TO_POINTER(i), set_up, run, tear_down);
    }
    return g_test_run();
}
