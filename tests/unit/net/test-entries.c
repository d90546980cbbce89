/* SPDX-License-Identifier: Apache-2.0 */
#include "net/entries.h"

#include "host/xml.h"

static SteadEntries *parse(const char *xml)
{
    g_autoptr(xmlDoc) doc = stead_xml_parse("test", xml, NULL);
    g_assert_nonnull(doc);
    return stead_entries_parse(doc);
}

static void test_entries_are_read(void)
{
    g_autoptr(SteadEntries) entries =
        parse("<network>"
              "<dns><host "
              "ip='10.77.0.2'><hostname>web.lab</hostname><hostname>web</hostname></host></dns>"
              "<ip address='10.77.0.1'><dhcp><range start='10.77.0.2' end='10.77.0.9'/>"
              "<host mac='52:54:00:00:00:01' name='web' ip='10.77.0.2'/>"
              "<host mac='52:54:00:00:00:02' ip='10.77.0.3'/></dhcp></ip>"
              "</network>");
    g_assert_cmpuint(entries->hosts->len, ==, 2);
    const SteadReservation *web = stead_entries_find(entries, "52:54:00:00:00:01");
    g_assert_cmpstr(web->ip, ==, "10.77.0.2");
    g_assert_cmpstr(web->hostname, ==, "web");
    g_assert_cmpstr(g_hash_table_lookup(entries->dns, "10.77.0.2"), ==, "web.lab web");
    g_assert_null(stead_entries_find(entries, "52:54:00:00:00:02")->hostname);
    g_assert_null(stead_entries_find(entries, "52:54:00:00:00:03"));
}

static void test_case_of_a_mac_is_ignored(void)
{
    g_autoptr(SteadEntries) entries = parse(
        "<network><ip><dhcp><host mac='52:54:00:AB:CD:EF' ip='10.77.0.2'/></dhcp></ip></network>");
    g_assert_nonnull(stead_entries_find(entries, "52:54:00:ab:cd:ef"));
}

static void test_incomplete_entries_are_left_out(void)
{
    g_autoptr(SteadEntries) entries =
        parse("<network><dns><host/></dns><ip><dhcp><host name='a' ip='10.77.0.2'/>"
              "<host mac='52:54:00:00:00:01'/></dhcp></ip></network>");
    g_assert_cmpuint(entries->hosts->len, ==, 0);
    g_assert_cmpuint(g_hash_table_size(entries->dns), ==, 0);
}

static void test_network_without_entries(void)
{
    g_autoptr(SteadEntries) entries = parse("<network/>");
    g_assert_cmpuint(entries->hosts->len, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/entries/are-read", test_entries_are_read);
    g_test_add_func("/entries/case-of-a-mac-is-ignored", test_case_of_a_mac_is_ignored);
    g_test_add_func("/entries/incomplete-are-left-out", test_incomplete_entries_are_left_out);
    g_test_add_func("/entries/network-without-entries", test_network_without_entries);
    return g_test_run();
}
