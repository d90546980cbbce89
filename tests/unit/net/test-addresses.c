/* SPDX-License-Identifier: Apache-2.0 */
#include "net/addresses.h"

#include "base/error.h"

static SteadAddressPlan plan_of(const char *subnet, const char *start, const char *end)
{
    SteadNetworkSpec spec = {
        .subnet = (char *)subnet, .dhcp_start = (char *)start, .dhcp_end = (char *)end};
    SteadAddressPlan plan = {0};
    g_autoptr(GError) error = NULL;
    stead_address_plan(&spec, &plan, &error);
    g_assert_no_error(error);
    return plan;
}

static void assert_address(guint32 address, const char *expected)
{
    g_autofree char *text = stead_ipv4_format(address);
    g_assert_cmpstr(text, ==, expected);
}

static void test_whole_subnet_is_the_range(void)
{
    SteadAddressPlan plan = plan_of("10.77.0.0/24", NULL, NULL);
    assert_address(plan.gateway, "10.77.0.1");
    assert_address(plan.first, "10.77.0.2");
    assert_address(plan.last, "10.77.0.254");
}

static void test_smallest_subnet_has_one_address(void)
{
    SteadAddressPlan plan = plan_of("10.77.0.4/30", NULL, NULL);
    assert_address(plan.first, "10.77.0.6");
    assert_address(plan.last, "10.77.0.6");
}

static void test_range_is_capped(void)
{
    SteadAddressPlan plan = plan_of("10.0.0.0/8", NULL, NULL);
    g_assert_cmpuint(plan.last - plan.first + 1, <=, STEAD_MAX_DHCP_RANGE);
    g_assert_cmpuint(plan.last >> 16, ==, plan.first >> 16); /* libvirt asks for it */
    g_assert_cmpuint(plan.last & 0xffff, ==, 0xffff);
}

static void test_range_of_the_spec(void)
{
    SteadAddressPlan plan = plan_of("10.77.0.0/24", "10.77.0.100", "10.77.0.110");
    assert_address(plan.first, "10.77.0.100");
    assert_address(plan.last, "10.77.0.110");
}

static void test_wrong_ranges_are_refused(void)
{
    const char *const wrong[][3] = {
        {NULL, NULL, NULL},
        {"10.77.0.0/24", "10.77.1.5", NULL},
        {"10.77.0.0/24", NULL, "10.77.0.255"},
        {"10.77.0.0/24", "10.77.0.1", NULL},
        {"10.77.0.0/24", "10.77.0.20", "10.77.0.10"},
        {"10.0.0.0/8", "10.0.0.2", "10.9.0.0"},
        {"10.77.0.0/24", "here", NULL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        SteadNetworkSpec spec = {.subnet = (char *)wrong[i][0],
                                 .dhcp_start = (char *)wrong[i][1],
                                 .dhcp_end = (char *)wrong[i][2]};
        SteadAddressPlan plan;
        g_autoptr(GError) error = NULL;
        g_assert_false(stead_address_plan(&spec, &plan, &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    }
}

static void test_unusable_addresses_are_refused(void)
{
    SteadAddressPlan plan = plan_of("10.77.0.0/24", NULL, NULL);
    const char *const wrong[] = {"10.77.0.0",   "10.77.0.1", "10.77.0.255", "10.77.1.1",
                                 "10.77.0.256", "",          "10.77.0.5 "};
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(stead_address_check(&plan, wrong[i], &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
        g_assert_cmpstr(stead_error_hint(error), ==, "Choose one from 10.77.0.2 to 10.77.0.254.");
    }
    g_assert_true(stead_address_check(&plan, "10.77.0.2", NULL));
}

static void test_lowest_free_address_is_chosen(void)
{
    SteadAddressPlan plan = plan_of("10.77.0.0/29", NULL, NULL);
    g_autoptr(GHashTable) taken = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_add(taken, (gpointer) "10.77.0.2");
    g_hash_table_add(taken, (gpointer) "10.77.0.4");
    g_autofree char *address = stead_address_choose(&plan, taken, NULL);
    g_assert_cmpstr(address, ==, "10.77.0.3");
}

static void test_full_range_is_told(void)
{
    SteadAddressPlan plan = plan_of("10.77.0.0/30", NULL, NULL);
    g_autoptr(GHashTable) taken = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) error = NULL;
    g_hash_table_add(taken, (gpointer) "10.77.0.2");
    g_assert_null(stead_address_choose(&plan, taken, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_EXHAUSTED);
}

static void test_no_machine_has_such_a_subnet(void)
{
    static const char *const wrong[] = {"127.0.0.0/8", "0.0.0.0/8", "224.0.0.0/4", "240.1.0.0/16"};
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        SteadNetworkSpec spec = {.subnet = (char *)wrong[i]};
        SteadAddressPlan plan;
        g_autoptr(GError) error = NULL;
        g_assert_false(stead_address_plan(&spec, &plan, &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    }
}

static void test_first_half_is_prepared(void)
{
    SteadAddressPlan plan = plan_of("10.77.0.0/24", NULL, NULL);
    SteadAddressPlan large = plan_of("10.0.0.0/16", NULL, NULL);
    SteadAddressPlan least = plan_of("10.77.0.4/30", NULL, NULL);
    g_assert_cmpuint(stead_address_n_prepared(&plan), ==, 126);
    g_assert_cmpuint(stead_address_n_prepared(&large), ==, STEAD_MAX_PREPARED);
    g_assert_cmpuint(stead_address_n_prepared(&least), ==, 0);
    g_assert_null(stead_address_mac(&plan, "id", "10.77.0.1"));
    g_assert_null(stead_address_mac(&plan, "id", "10.77.0.128"));
    g_assert_null(stead_address_mac(&plan, "id", "10.78.0.2"));
    g_assert_null(stead_address_mac(&plan, "id", "nonsense"));
}

/* One for each address of a network, another in another network. */
static void test_macs_are_told_apart(void)
{
    SteadAddressPlan plan = plan_of("10.0.0.0/16", NULL, NULL);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < STEAD_MAX_PREPARED; i++) {
        g_autofree char *address = stead_ipv4_format(plan.first + i);
        char *mac = stead_address_mac(&plan, "one", address);
        g_autofree char *other = stead_address_mac(&plan, "another", address);
        g_assert_true(stead_mac_is_valid(mac));
        g_assert_false(g_str_has_prefix(mac, "52:54:00"));
        g_assert_cmpstr(mac, !=, other);
        g_assert_true(g_hash_table_add(seen, mac));
    }
    g_autofree char *last = stead_address_mac(&plan, "one", "10.0.1.1");
    g_assert_true(g_str_has_suffix(last, ":01:01"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/addresses/whole-subnet-is-the-range", test_whole_subnet_is_the_range);
    g_test_add_func("/addresses/smallest-subnet-has-one", test_smallest_subnet_has_one_address);
    g_test_add_func("/addresses/range-is-capped", test_range_is_capped);
    g_test_add_func("/addresses/range-of-the-spec", test_range_of_the_spec);
    g_test_add_func("/addresses/wrong-ranges-are-refused", test_wrong_ranges_are_refused);
    g_test_add_func("/addresses/unusable-are-refused", test_unusable_addresses_are_refused);
    g_test_add_func("/addresses/lowest-free-is-chosen", test_lowest_free_address_is_chosen);
    g_test_add_func("/addresses/full-range-is-told", test_full_range_is_told);
    g_test_add_func("/addresses/no-machine-has-such-a-subnet", test_no_machine_has_such_a_subnet);
    g_test_add_func("/addresses/first-half-is-prepared", test_first_half_is_prepared);
    g_test_add_func("/addresses/macs-are-told-apart", test_macs_are_told_apart);
    return g_test_run();
}
