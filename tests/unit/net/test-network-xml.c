/* SPDX-License-Identifier: Apache-2.0 */
/* Golden files: run with STEAD_GOLDEN_UPDATE=1 to rewrite them. */
#include "net/network_xml.h"

#include <string.h>

#include "base/error.h"
#include "host/xml.h"

typedef struct {
    SteadNetworkSpec spec;
    SteadNetwork network;
    SteadPaths *paths;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data)
{
    fixture->paths = stead_paths_new_for_root(NULL, NULL);
    fixture->spec.mode = STEAD_NETWORK_NAT;
    fixture->spec.subnet = (char *)"10.77.0.0/24";
    fixture->network.id = (char *)"0f9a3c52-7d1e-4c7b-9a63-2f1f6f0e8a11";
    fixture->network.name = (char *)"lab";
    fixture->network.spec = &fixture->spec;
    fixture->network.libvirt_name = stead_network_libvirt_name(fixture->paths, "lab");
    fixture->network.bridge = stead_network_bridge_name(fixture->network.id);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
    g_free(fixture->network.libvirt_name);
    g_free(fixture->network.bridge);
    stead_paths_free(fixture->paths);
}

static void assert_golden(Fixture *fixture, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *xml = stead_network_xml(&fixture->network, fixture->paths, &error);
    g_assert_no_error(error);
    g_autofree char *path = g_build_filename(g_getenv("STEAD_GOLDEN_DIR"), name, NULL);
    g_autofree char *expected = NULL;
    if (g_getenv("STEAD_GOLDEN_UPDATE"))
        g_assert_true(g_file_set_contents(path, xml, -1, NULL));
    g_file_get_contents(path, &expected, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(xml, ==, expected);
}

static void test_nat(Fixture *fixture, gconstpointer data)
{
    assert_golden(fixture, "nat.xml");
}

static void test_isolated_with_range(Fixture *fixture, gconstpointer data)
{
    fixture->spec.mode = STEAD_NETWORK_ISOLATED;
    fixture->spec.dhcp_start = (char *)"10.77.0.100";
    fixture->spec.dhcp_end = (char *)"10.77.0.199";
    assert_golden(fixture, "isolated.xml");
}

static void test_routed_with_domain(Fixture *fixture, gconstpointer data)
{
    fixture->spec.mode = STEAD_NETWORK_ROUTED;
    fixture->spec.subnet = (char *)"192.168.64.0/20";
    fixture->spec.domain = (char *)"lab.example";
    assert_golden(fixture, "routed.xml");
}

static void test_what_is_kept_is_read_back(Fixture *fixture, gconstpointer data)
{
    g_free(fixture->paths->state);
    fixture->paths->state = g_strdup("/a '<\"&>/lib");
    g_autofree char *xml = stead_network_xml(&fixture->network, fixture->paths, NULL);
    g_autoptr(xmlDoc) doc = stead_xml_parse("test", xml, NULL);
    g_assert_nonnull(doc);
    g_autofree char *root = stead_network_xml_root(doc);
    g_autofree char *digest = stead_network_xml_digest(doc);
    g_autofree char *subnet = stead_network_xml_subnet(doc);
    g_assert_cmpstr(root, ==, fixture->paths->state);
    g_assert_cmpuint(strlen(digest), ==, 64);
    g_assert_cmpstr(subnet, ==, "10.77.0.0/24");
}

static char *digest_of(Fixture *fixture)
{
    g_autofree char *xml = stead_network_xml(&fixture->network, fixture->paths, NULL);
    g_autoptr(xmlDoc) doc = stead_xml_parse("test", xml, NULL);
    return stead_network_xml_digest(doc);
}

static void test_digest_follows_the_definition(Fixture *fixture, gconstpointer data)
{
    g_autofree char *first = digest_of(fixture);
    g_autofree char *same = digest_of(fixture);
    fixture->spec.domain = (char *)"other";
    g_autofree char *other = digest_of(fixture);
    g_assert_cmpstr(first, ==, same);
    g_assert_cmpstr(first, !=, other);
}

static void test_others_have_no_root(Fixture *fixture, gconstpointer data)
{
    g_autoptr(xmlDoc) doc = stead_xml_parse(
        "test", "<network><metadata><network root='/x'/></metadata></network>", NULL);
    g_assert_null(stead_network_xml_root(doc));
}

static void test_wrong_domains_are_refused(Fixture *fixture, gconstpointer data)
{
    const char *const wrong[] = {"", "a..b", "-a", "a-", "a b", "lab\ndhcp-script=/x", "lab."};
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        fixture->spec.domain = (char *)wrong[i];
        g_assert_null(stead_network_xml(&fixture->network, fixture->paths, &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    }
}

static void test_names_fit_the_kernel(Fixture *fixture, gconstpointer data)
{
    g_assert_cmpstr(fixture->network.bridge, ==, "stead0f9a3c52");
    g_assert_cmpuint(strlen(fixture->network.bridge), <=, 15);
    g_autoptr(SteadPaths) other = stead_paths_new_for_root("/r", NULL);
    g_autofree char *name = stead_network_libvirt_name(other, "lab");
    g_assert_true(g_str_has_prefix(name, "stead-"));
    g_assert_true(g_str_has_suffix(name, "-lab"));
    g_assert_cmpstr(name, !=, fixture->network.libvirt_name);
}

#define ADD(name, func) g_test_add(name, Fixture, NULL, set_up, func, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/network-xml/nat", test_nat);
    ADD("/network-xml/isolated-with-range", test_isolated_with_range);
    ADD("/network-xml/routed-with-domain", test_routed_with_domain);
    ADD("/network-xml/what-is-kept-is-read-back", test_what_is_kept_is_read_back);
    ADD("/network-xml/digest-follows-the-definition", test_digest_follows_the_definition);
    ADD("/network-xml/others-have-no-root", test_others_have_no_root);
    ADD("/network-xml/wrong-domains-are-refused", test_wrong_domains_are_refused);
    ADD("/network-xml/names-fit-the-kernel", test_names_fit_the_kernel);
    return g_test_run();
}
