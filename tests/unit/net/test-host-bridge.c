/* SPDX-License-Identifier: Apache-2.0 */
#include "net/host_bridge.h"

#include <string.h>

#include "base/error.h"
#include "base/paths.h"

typedef struct {
    char *sys;
} Fixture;

static void make(const char *top, const char *below)
{
    g_autofree char *path = g_build_filename(top, below, NULL);
    g_assert_true(stead_make_dir(path, 0700, NULL));
}

static void set_up(Fixture *fixture, gconstpointer data)
{
    fixture->sys = g_dir_make_tmp("stead-bridge-XXXXXX", NULL);
    make(fixture->sys, "br-lan/bridge");
    make(fixture->sys, "br-lan/brif/vnet0");
    make(fixture->sys, "br-lan/brif/vnet1");
    make(fixture->sys, "eth0");
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
    g_assert_true(stead_remove_tree(fixture->sys, NULL));
    g_free(fixture->sys);
}

static void test_bridge_is_found(Fixture *fixture, gconstpointer data)
{
    g_assert_true(stead_host_bridge_check(fixture->sys, "br-lan", NULL));
}

static void test_slip_gets_a_hint(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_host_bridge_check(fixture->sys, "br-lam", &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
    g_assert_cmpstr(stead_error_hint(error), ==, "Did you mean br-lan?");
}

static void test_interface_is_no_bridge(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_host_bridge_check(fixture->sys, "eth0", &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(stead_error_hint(error), "br-lan"));
}

static void test_names_cannot_leave_the_folder(Fixture *fixture, gconstpointer data)
{
    const char *const wrong[] = {"", "..", "../br-lan", "a/b", "a-name-that-is-too-long", NULL};
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(stead_host_bridge_check(fixture->sys, wrong[i], &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    }
}

static void test_interfaces_are_counted(Fixture *fixture, gconstpointer data)
{
    g_assert_cmpuint(stead_host_bridge_ports(fixture->sys, "br-lan"), ==, 2);
    g_assert_cmpuint(stead_host_bridge_ports(fixture->sys, "none"), ==, 0);
}

#define ADD(name, func) g_test_add(name, Fixture, NULL, set_up, func, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/host-bridge/is-found", test_bridge_is_found);
    ADD("/host-bridge/slip-gets-a-hint", test_slip_gets_a_hint);
    ADD("/host-bridge/interface-is-no-bridge", test_interface_is_no_bridge);
    ADD("/host-bridge/names-cannot-leave-the-folder", test_names_cannot_leave_the_folder);
    ADD("/host-bridge/interfaces-are-counted", test_interfaces_are_counted);
    return g_test_run();
}
