/* SPDX-License-Identifier: Apache-2.0 */
#include "model/check.h"

#include <string.h>

#include "base/error.h"
#include "model/spec.h"

static char *repeat(char c, gsize n)
{
    return g_strnfill(n, c);
}

typedef gboolean (*Valid)(const char *text);

static void assert_all(Valid valid, gboolean expected, const char *const *texts)
{
    for (gsize i = 0; texts[i]; i++)
        if (valid(texts[i]) != expected)
            g_error("'%s' should be %s", texts[i], expected ? "right" : "wrong");
}

#define RIGHT(valid, ...) assert_all(valid, TRUE, (const char *const[]){__VA_ARGS__, NULL})
#define WRONG(valid, ...) assert_all(valid, FALSE, (const char *const[]){__VA_ARGS__, NULL})

static void test_names(void)
{
    g_autofree char *longest = repeat('a', STEAD_MAX_NAME);
    g_autofree char *longer = repeat('a', STEAD_MAX_NAME + 1);
    RIGHT(stead_name_is_valid, "a", "web-1", "0", "a--b", longest);
    WRONG(stead_name_is_valid, "", "-a", "a-", "-", "Web", "a_b", "a.b", "a/b", "..", "a\n", "ä",
          longer);
}

static void test_a_wrong_name_says_what_is_right(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_true(stead_name_check("an instance", "web", NULL));
    g_assert_false(stead_name_check("an instance", "Web_1", &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    g_assert_nonnull(strstr(error->message, "'Web_1' is not a name for an instance"));
}

static void test_image_references(void)
{
    g_autofree char *part = repeat('a', 64);
    g_autofree char *part65 = repeat('a', 65);
    g_autofree char *longest = g_strconcat(part, ":", part, NULL);
    g_autofree char *long_name = g_strconcat(part65, ":1", NULL);
    g_autofree char *long_tag = g_strconcat("a:", part65, NULL);
    RIGHT(stead_image_ref_is_valid, "debian", "debian:12", "my_image.2-x:24.04", "0:0", longest);
    WRONG(stead_image_ref_is_valid, "", ":", "debian:", ":12", "Debian", "a:b:c", "../x", ".a",
          "a:.b", "a/b", "a b", part65, long_name, long_tag);
    g_assert_true(stead_image_ref_check("debian:12", NULL));
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_image_ref_check("Debian 12", &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
}

static void test_macs(void)
{
    RIGHT(stead_mac_is_valid, "52:54:00:12:34:56", "FE:ff:ff:ff:ff:ff", "00:00:00:00:00:01");
    WRONG(stead_mac_is_valid, "", "52:54:00:12:34", "52:54:00:12:34:5", "52:54:00:12:34:567",
          "52-54-00-12-34-56", "53:54:00:12:34:56", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff",
          "g2:54:00:12:34:56", "52:54:00:12:34:56:78");
}

static gboolean is_ipv4(const char *text)
{
    guint32 address;
    return stead_ipv4_parse(text, &address);
}

static void test_addresses(void)
{
    RIGHT(is_ipv4, "0.0.0.0", "255.255.255.255", "10.77.0.1");
    WRONG(is_ipv4, "", "1", "1.2.3", "1.2.3.4.5", "256.0.0.1", "1.2.3.256", "01.2.3.4", "1.2.3.4 ",
          " 1.2.3.4", "1..2.3", "0x1.2.3.4", "1.2.3.-4", "::1", "1.2.3.4294967297");
    guint32 address = 0;
    g_assert_true(stead_ipv4_parse("10.77.0.200", &address));
    g_assert_cmpuint(address, ==, 0x0a4d00c8);
    g_autofree char *text = stead_ipv4_format(address);
    g_assert_cmpstr(text, ==, "10.77.0.200");
}

static gboolean is_subnet(const char *text)
{
    SteadSubnet subnet;
    return stead_subnet_parse(text, &subnet, NULL);
}

static void test_subnets(void)
{
    RIGHT(is_subnet, "10.0.0.0/8", "10.77.0.0/24", "10.77.0.4/30", "192.168.128.0/17");
    WRONG(is_subnet, "", "10.77.0.0", "10.77.0.0/", "10.0.0.0/7", "10.77.0.0/31", "10.77.0.0/024",
          "10.77.0.0/24 ", "10.77.0.1/24", "10.77.0.2/30", "10.77.0/24", "10.77.0.0/-1");
    SteadSubnet subnet;
    g_assert_true(stead_subnet_parse("10.77.0.0/24", &subnet, NULL));
    g_autofree char *text = stead_subnet_format(&subnet);
    g_assert_cmpstr(text, ==, "10.77.0.0/24");
}

static void test_host_bits_get_a_suggestion(void)
{
    g_autoptr(GError) error = NULL;
    SteadSubnet subnet;
    g_assert_false(stead_subnet_parse("10.77.5.9/20", &subnet, &error));
    g_assert_nonnull(strstr(error->message, "did you mean '10.77.0.0/20'?"));
}

static void test_subnets_contain_and_overlap(void)
{
    SteadSubnet wide, narrow, other;
    g_assert_true(stead_subnet_parse("10.77.0.0/16", &wide, NULL));
    g_assert_true(stead_subnet_parse("10.77.9.0/24", &narrow, NULL));
    g_assert_true(stead_subnet_parse("10.78.0.0/16", &other, NULL));
    g_assert_true(stead_subnets_overlap(&wide, &narrow));
    g_assert_true(stead_subnets_overlap(&narrow, &wide));
    g_assert_false(stead_subnets_overlap(&wide, &other));
    g_assert_true(stead_subnet_contains(&wide, 0x0a4dffff));
    g_assert_false(stead_subnet_contains(&wide, 0x0a4e0000));
    g_assert_false(stead_subnet_contains(&wide, 0x0a4cffff));
}

static void assert_refused(const char *address, const char *why)
{
    SteadSubnet subnet;
    g_assert_true(stead_subnet_parse("10.77.0.0/24", &subnet, NULL));
    g_autofree char *wrong = stead_subnet_refuses(&subnet, address);
    if (!why)
        g_assert_null(wrong);
    else
        g_assert_nonnull(strstr(wrong, why));
}

static void test_addresses_that_a_guest_cannot_have(void)
{
    assert_refused("10.77.0.0", "network's own");
    assert_refused("10.77.0.1", "host's own");
    assert_refused("10.77.0.255", "broadcast");
    assert_refused("10.77.1.2", "outside");
    assert_refused("x", "not an IPv4 address");
    assert_refused("10.77.0.2", NULL);
    assert_refused("10.77.0.254", NULL);
}

static void test_cpu_lists(void)
{
    g_autofree char *ones = repeat('1', 3);
    RIGHT(stead_cpu_list_is_valid, "0", "0-3,8", "4095", "1-1", "0,0", ones);
    g_autoptr(GString) list = g_string_new("1");
    while (list->len < 511)
        g_string_append(list, ",1");
    g_assert_cmpuint(list->len, ==, 511);
    RIGHT(stead_cpu_list_is_valid, list->str);
    g_string_append(list, ",1");
    WRONG(stead_cpu_list_is_valid, list->str, "", ",", "1,", ",1", "1-", "-1", "3-1", "4096",
          "0-4096", "a", "1 2", "1--2", "01", "^1");
}

static void test_derived_macs(void)
{
    static const char id[] = "6a1ce0a4-6a63-4e0c-93b5-3d4a50a8a1f7";
    g_autofree char *first = stead_mac_derive(id, 0);
    g_autofree char *again = stead_mac_derive(id, 0);
    g_autofree char *second = stead_mac_derive(id, 1);
    g_assert_true(stead_mac_is_valid(first));
    g_assert_true(g_str_has_prefix(first, "52:54:00:"));
    g_assert_cmpstr(first, ==, again);
    g_assert_cmpstr(first, !=, second);
}

static void test_key_files_are_told_from_keys(void)
{
    g_assert_true(stead_ssh_key_is_file("~/.ssh/id_ed25519.pub"));
    g_assert_true(stead_ssh_key_is_file("/etc/key"));
    g_assert_true(stead_ssh_key_is_file("./key"));
    g_assert_true(stead_ssh_key_is_file("../key"));
    g_assert_true(stead_ssh_key_is_file("id.pub"));
    g_assert_false(stead_ssh_key_is_file("ssh-ed25519 AAAA me"));
    g_assert_false(stead_ssh_key_is_file("ssh-ed25519 AAAA my.pub"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/check/names", test_names);
    g_test_add_func("/check/a-wrong-name-says-what-is-right", test_a_wrong_name_says_what_is_right);
    g_test_add_func("/check/image-references", test_image_references);
    g_test_add_func("/check/macs", test_macs);
    g_test_add_func("/check/addresses", test_addresses);
    g_test_add_func("/check/subnets", test_subnets);
    g_test_add_func("/check/host-bits-get-a-suggestion", test_host_bits_get_a_suggestion);
    g_test_add_func("/check/subnets-contain-and-overlap", test_subnets_contain_and_overlap);
    g_test_add_func("/check/addresses-that-a-guest-cannot-have",
                    test_addresses_that_a_guest_cannot_have);
    g_test_add_func("/check/cpu-lists", test_cpu_lists);
    g_test_add_func("/check/derived-macs", test_derived_macs);
    g_test_add_func("/check/key-files-are-told-from-keys", test_key_files_are_told_from_keys);
    return g_test_run();
}
