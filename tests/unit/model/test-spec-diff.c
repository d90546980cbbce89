/* SPDX-License-Identifier: Apache-2.0 */
/* What changed between two specs, in words, with what it takes to apply it. */
#include "model/spec.h"

#include <string.h>

/* The changes as lines "FIELD FROM -> TO EFFECT". */
static char *lines_of(GPtrArray *changes)
{
    static const char *const effects[] = {"now", "restart", "recreate"};
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < changes->len; i++) {
        const SteadChange *change = changes->pdata[i];
        g_string_append_printf(text, "%s %s -> %s %s\n", change->field,
                               change->from ? change->from : "unset",
                               change->to ? change->to : "unset", effects[change->effect]);
    }
    g_ptr_array_unref(changes);
    return g_string_free(text, FALSE);
}

static void assert_diff(const char *from, const char *to, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadInstanceSpec) a = stead_instance_spec_parse(from, -1, "a", &error);
    g_assert_no_error(error);
    g_autoptr(SteadInstanceSpec) b = stead_instance_spec_parse(to, -1, "b", &error);
    g_assert_no_error(error);
    g_autofree char *lines = lines_of(stead_instance_spec_diff(a, b));
    g_assert_cmpstr(lines, ==, expected);
}

static void test_equal_specs_have_no_changes(void)
{
    assert_diff("{}", "{cpus: 2, memory: 1G, networks: [default], ready: {agent: true}}", "");
    assert_diff("memory: 2G", "memory: {max: 2048M}", "");
    assert_diff("ports: ['80:80']", "ports: [{host: 80, guest: 80, protocol: tcp}]", "");
}

static void test_numbers_sizes_and_choices(void)
{
    assert_diff("{}",
                "{cpus: 4, memory: 2G, disk: 20G, firmware: bios, restart: always, "
                "ready: {timeout: 90s}}",
                "cpus 2 -> 4 restart\n"
                "memory.max 1G -> 2G restart\n"
                "disk unset -> 20G now\n"
                "firmware uefi -> bios recreate\n"
                "restart never -> always now\n"
                "ready.timeout 10m -> 1m30s now\n");
}

static void test_what_is_set_and_unset(void)
{
    assert_diff("{pool: fast, ready: {port: 22}}", "hostname: a",
                "pool fast -> unset recreate\n"
                "hostname unset -> a recreate\n"
                "ready.agent false -> true now\n"
                "ready.port 22 -> unset now\n");
}

static void test_lists_are_one_value(void)
{
    assert_diff("{ports: ['80:80'], packages: [a]}",
                "{ports: ['80:80', '127.0.0.1:53:5353/udp'], packages: [a, b], "
                "networks: [lab, {network: wan, address: 10.0.0.2}], disks: [data]}",
                "disks [] -> [data] recreate\n"
                "networks [default] -> [lab, {network: wan, address: 10.0.0.2}] recreate\n"
                "ports [80:80] -> [80:80, 127.0.0.1:53:5353/udp] now\n"
                "packages [a] -> [a, b] recreate\n");
}

static void test_secrets_and_long_texts_are_not_shown(void)
{
    assert_diff("{users: [a], user-data: '#a'}",
                "{users: [{name: a, password-hash: '$6$abcdefgh$ABCDEFGHIJKLMNOP'}], "
                "user-data: \"#a\\n#b\"}",
                "users [a] -> [{name: a, password-hash: (hidden)}] recreate\n"
                "user-data #a -> (5 bytes) recreate\n");
}

static void test_networks_and_volumes(void)
{
    g_autoptr(SteadNetworkSpec) a = stead_network_spec_parse("subnet: 10.1.0.0/24", -1, "a", NULL);
    g_autoptr(SteadNetworkSpec) b = stead_network_spec_parse("mode: isolated", -1, "b", NULL);
    g_autofree char *network = lines_of(stead_network_spec_diff(a, b));
    g_assert_cmpstr(network, ==,
                    "mode nat -> isolated recreate\nsubnet 10.1.0.0/24 -> unset recreate\n");
    g_autoptr(SteadVolumeSpec) c = stead_volume_spec_parse("size: 1G", -1, "c", NULL);
    g_autoptr(SteadVolumeSpec) d = stead_volume_spec_parse("{size: 2G, pool: x}", -1, "d", NULL);
    g_autofree char *volume = lines_of(stead_volume_spec_diff(c, d));
    g_assert_cmpstr(volume, ==, "size 1G -> 2G now\npool unset -> x recreate\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/spec-diff/equal-specs-have-no-changes", test_equal_specs_have_no_changes);
    g_test_add_func("/spec-diff/numbers-sizes-and-choices", test_numbers_sizes_and_choices);
    g_test_add_func("/spec-diff/what-is-set-and-unset", test_what_is_set_and_unset);
    g_test_add_func("/spec-diff/lists-are-one-value", test_lists_are_one_value);
    g_test_add_func("/spec-diff/secrets-and-long-texts-are-not-shown",
                    test_secrets_and_long_texts_are_not_shown);
    g_test_add_func("/spec-diff/networks-and-volumes", test_networks_and_volumes);
    return g_test_run();
}
