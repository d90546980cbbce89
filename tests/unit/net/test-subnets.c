/* SPDX-License-Identifier: Apache-2.0 */
#include "net/subnets.h"

#include <string.h>

#include "base/error.h"

static SteadSubnet subnet(const char *text)
{
    SteadSubnet parsed = {0};
    g_assert_true(stead_subnet_parse(text, &parsed, NULL));
    return parsed;
}

static void add(GPtrArray *uses, const char *text, const char *what, const char *name)
{
    SteadSubnet parsed = subnet(text);
    stead_subnet_uses_add(uses, parsed.network, parsed.prefix, what, name);
}

static void test_first_choice(void)
{
    g_autoptr(GPtrArray) uses = stead_subnet_uses_new();
    SteadSubnet chosen;
    g_assert_true(stead_subnet_choose(uses, &chosen, NULL));
    g_autofree char *text = stead_subnet_format(&chosen);
    g_assert_cmpstr(text, ==, "10.77.0.0/24");
}

static void test_choice_avoids_uses(void)
{
    const struct {
        const char *used;
        const char *chosen;
    } cases[] = {
        {"10.77.0.0/24", "10.77.1.0/24"},
        {"10.77.0.128/25", "10.77.1.0/24"},
        {"10.77.0.0/17", "10.77.128.0/24"},
        {"10.0.0.0/8", "172.16.0.0/24"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GPtrArray) uses = stead_subnet_uses_new();
        SteadSubnet chosen;
        add(uses, cases[i].used, "interface", "x");
        g_assert_true(stead_subnet_choose(uses, &chosen, NULL));
        g_autofree char *text = stead_subnet_format(&chosen);
        g_assert_cmpstr(text, ==, cases[i].chosen);
    }
}

static void test_no_subnet_is_left(void)
{
    g_autoptr(GPtrArray) uses = stead_subnet_uses_new();
    g_autoptr(GError) error = NULL;
    SteadSubnet chosen;
    add(uses, "10.0.0.0/8", "route through", "tun0");
    add(uses, "172.16.0.0/12", "route through", "tun0");
    add(uses, "192.168.0.0/16", "route through", "tun0");
    g_assert_false(stead_subnet_choose(uses, &chosen, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_EXHAUSTED);
}

static void test_collision_names_its_holder(void)
{
    g_autoptr(GPtrArray) uses = stead_subnet_uses_new();
    g_autoptr(GError) error = NULL;
    SteadSubnet wanted = subnet("192.168.0.0/16");
    add(uses, "192.168.122.0/24", "libvirt network", "default");
    g_assert_false(stead_subnet_check_free(&wanted, uses, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CONFLICT);
    g_assert_nonnull(strstr(error->message, "libvirt network default"));
    g_assert_nonnull(strstr(error->message, "192.168.122.0/24"));
    g_assert_cmpstr(stead_error_hint(error), ==, "10.77.0.0/24 is free.");
}

static void test_neighbours_do_not_collide(void)
{
    g_autoptr(GPtrArray) uses = stead_subnet_uses_new();
    SteadSubnet wanted = subnet("10.77.1.0/24");
    add(uses, "10.77.0.0/24", "interface", "a");
    add(uses, "10.77.2.0/24", "interface", "b");
    g_assert_true(stead_subnet_check_free(&wanted, uses, NULL));
}

static void test_single_addresses_count(void)
{
    g_autoptr(GPtrArray) uses = stead_subnet_uses_new();
    SteadSubnet wanted = subnet("10.77.1.0/24");
    stead_subnet_uses_add(uses, 0x0a4d0105, 32, "interface", "wg0");
    g_assert_false(stead_subnet_check_free(&wanted, uses, NULL));
}

static const char routes[] =
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    "tun0\t00000080\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n"
    "stead0\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    "garbage\n\n"
    "lo\t0000007F\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n";

static void test_routes_are_read(void)
{
    if (G_BYTE_ORDER != G_LITTLE_ENDIAN) {
        g_test_skip("the sample is of a little-endian host");
        return;
    }
    g_autoptr(GPtrArray) uses = stead_subnet_uses_new();
    stead_subnet_uses_add_routes(uses, routes, "stead0");
    g_assert_cmpuint(uses->len, ==, 1);
    const SteadSubnetUse *use = g_ptr_array_index(uses, 0);
    g_autofree char *text = stead_subnet_format(&use->subnet);
    g_assert_cmpstr(text, ==, "192.0.2.0/24");
    g_assert_cmpstr(use->holder, ==, "route through eth0");
}

static void test_list_is_bounded(void)
{
    g_autoptr(GPtrArray) uses = stead_subnet_uses_new();
    for (guint32 i = 0; i < STEAD_MAX_SUBNET_USES + 10; i++)
        stead_subnet_uses_add(uses, 0x0b000000 + (i << 8), 24, "interface", "x");
    g_assert_cmpuint(uses->len, ==, STEAD_MAX_SUBNET_USES);
}

static void test_this_host_can_be_read(void)
{
    g_autoptr(GPtrArray) uses = stead_subnet_uses_new();
    g_autoptr(GError) error = NULL;
    stead_subnet_uses_read_host(uses, NULL, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < uses->len; i++) {
        const SteadSubnetUse *use = g_ptr_array_index(uses, i);
        g_assert_cmpuint(use->subnet.network >> 24, !=, 127);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/subnets/first-choice", test_first_choice);
    g_test_add_func("/subnets/choice-avoids-uses", test_choice_avoids_uses);
    g_test_add_func("/subnets/no-subnet-is-left", test_no_subnet_is_left);
    g_test_add_func("/subnets/collision-names-its-holder", test_collision_names_its_holder);
    g_test_add_func("/subnets/neighbours-do-not-collide", test_neighbours_do_not_collide);
    g_test_add_func("/subnets/single-addresses-count", test_single_addresses_count);
    g_test_add_func("/subnets/routes-are-read", test_routes_are_read);
    g_test_add_func("/subnets/list-is-bounded", test_list_is_bounded);
    g_test_add_func("/subnets/this-host-can-be-read", test_this_host_can_be_read);
    return g_test_run();
}
