/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a spec is said with its place, what was expected and the nearest word. */
#include "model/spec.h"

#include <string.h>

#include "base/error.h"
#include "model/node.h"
#include "model/problem.h"

/* Expects that reading fails with each of the lines, and nothing else. */
static void assert_lines(const char *message, const char *const *lines)
{
    g_autofree char *expected = g_strjoinv("\n", (GStrv)lines);
    g_assert_cmpstr(message, ==, expected);
}

static char *message_of(const char *text, gssize length)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadSpec) spec = stead_spec_parse(text, length, "t.yaml", &error);
    if (spec)
        g_error("accepted: %s", text);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    return g_strdup(error->message);
}

#define FILE_SAYS(text, ...)                                                                       \
    G_STMT_START                                                                                   \
    {                                                                                              \
        g_autofree char *message = message_of(text, -1);                                           \
        assert_lines(message, (const char *const[]){__VA_ARGS__, NULL});                           \
    }                                                                                              \
    G_STMT_END

/* Likewise for one instance, without its "t.yaml:LINE:COLUMN: ". */
static void instance_says(const char *text, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadInstanceSpec) spec = stead_instance_spec_parse(text, -1, "t.yaml", &error);
    if (spec)
        g_error("accepted: %s", text);
    const char *said = strchr(error->message, ' ') + 1;
    g_assert_cmpstr(said, ==, expected);
}

static void instance_accepts(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadInstanceSpec) spec = stead_instance_spec_parse(text, -1, "t.yaml", &error);
    g_assert_no_error(error);
    g_assert_nonnull(spec);
}

static void test_all_problems_come_at_once_in_order(void)
{
    FILE_SAYS("name: Lab\n"
              "instances:\n"
              "  web:\n"
              "    memroy: 1G\n"
              "    cpus: two\n"
              "    depends-on: [bd]\n"
              "  db: {}\n"
              "foo: 1\n",
              "t.yaml:1:7: name must be a name of lower-case letters, digits and '-', at most 40, "
              "with a letter or digit first and last, not 'Lab'",
              "t.yaml:4:5: unknown field 'memroy' of an instance; did you mean 'memory'?",
              "t.yaml:5:11: cpus must be a whole number from 1 to 512, not 'two'",
              "t.yaml:6:18: depends-on: there is no instance 'bd' in this file; did you mean 'db'?",
              "t.yaml:8:1: unknown field 'foo' of a spec; it has name, instances, networks, "
              "volumes");
}

static void test_other_words_for_a_field(void)
{
    instance_says("ram: 1G", "unknown field 'ram' of an instance; did you mean 'memory'?");
    instance_says("vcpus: 1", "unknown field 'vcpus' of an instance; did you mean 'cpus'?");
    instance_says("user_data: x", "unknown field 'user_data' of an instance; did you mean "
                                  "'user-data'?");
    instance_says("zebra: 1", "unknown field 'zebra' of an instance");
}

static void test_wrong_types(void)
{
    instance_says("cpus: '4'", "cpus must be a whole number from 1 to 512, not '4'; write it "
                               "without quotes");
    instance_says("cpus: [4]", "cpus must be a whole number from 1 to 512, not a list");
    instance_says("cpus: 1.5", "cpus must be a whole number from 1 to 512, not '1.5'");
    instance_says("cpus: -1", "cpus must be a whole number from 1 to 512, not '-1'");
    instance_says("cpus: 99999999999999999999",
                  "cpus must be a whole number from 1 to 512, not '99999999999999999999'");
    instance_says("cpus:", "cpus has no value; it must be a whole number from 1 to 512");
    instance_says("image: {}", "image must be an image such as debian:12, not a mapping");
    instance_says("memory: [1G]", "memory must be a size from 32M to 16T, such as 2G, or a mapping "
                                  "of fields, not a list");
    instance_says("ports: {a: 1}", "ports must be a list, each item a published port, not a "
                                   "mapping");
    instance_says("packages: {a: 1}", "packages must be a list, each item the name of a package, "
                                      "such as nginx, not a mapping");
    instance_says("users: [{name: a, sudo: yes}]", "sudo must be true or false, not 'yes'");
    instance_says("networks: [a, ]\nproxy: 3", "proxy must be a mapping of fields, not '3'");
    instance_says("networks: [a, null]", "item 2 of networks is empty");
}

static void test_ranges_at_both_ends(void)
{
    instance_accepts("cpus: 1");
    instance_accepts("cpus: 512");
    instance_says("cpus: 0", "cpus must be a whole number from 1 to 512, not '0'");
    instance_says("cpus: 513", "cpus must be a whole number from 1 to 512, not '513'");
    instance_accepts("memory: 32M");
    instance_accepts("memory: 16T");
    instance_says("memory: 31M", "memory must be a size from 32M to 16T, such as 2G, not '31M'");
    instance_says("memory: {max: 17T}",
                  "memory.max must be a size from 32M to 16T, such as 2G, not '17T'");
    instance_accepts("disk: 64T");
    instance_says("disk: 65T", "disk must be a size from 1M to 64T, such as 20G, not '65T'");
    instance_says("disk: 0", "disk must be a size from 1M to 64T, such as 20G, not '0'");
    instance_accepts("count: 1000");
    instance_says("count: 1001", "count must be a whole number from 1 to 1000, not '1001'");
    instance_accepts("ready: {timeout: 1s}");
    instance_accepts("ready: {timeout: 24h}");
    instance_says("ready: {timeout: 999ms}",
                  "ready.timeout must be a duration from 1s to 1d, such as 5m, not '999ms'");
}

static void test_choices(void)
{
    instance_says("firmware: ufi",
                  "firmware must be uefi or bios, not 'ufi'; did you mean 'uefi'?");
    instance_says("restart: [a]", "restart must be never, on-failure or always, not a list");
    instance_says("kind: zebra", "kind must be auto, vm or microvm, not 'zebra'");
}

static void test_ports(void)
{
    static const char *const wrong[] = {"80",        "80:",       ":80",     "0:80",      "80:0",
                                        "65536:80",  "80:65536",  "80:80/x", "a:80",      "80:080",
                                        "1.2.3:1:1", "1.2.3.4:5", "::1:1:1", "-1:80",     "80:80/",
                                        "+1:80",     "80 :80",    "1:1:1:1", ":1.2.3.4:1"};
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *text = g_strdup_printf("ports: ['%s']", wrong[i]);
        g_autofree char *said = g_strdup_printf(
            "item 1 of ports must be a published port such as 8080:80, 127.0.0.1:8080:80 or "
            "5353:53/udp, not '%s'",
            wrong[i]);
        instance_says(text, said);
    }
    instance_says("ports: [{host: 80}]",
                  "a published port needs 'guest': a whole number from 1 to 65535");
}

/* What a text field refuses; the message is the format's own. */
static void assert_refused(const char *field, const char *value, const char *part)
{
    g_autofree char *text =
        g_strdup_printf("%s: \"%s\"%s", field, value, strchr(field, '{') ? "}" : "");
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadInstanceSpec) spec = stead_instance_spec_parse(text, -1, "t.yaml", &error);
    if (spec)
        g_error("accepted: %s", text);
    if (!strstr(error->message, part))
        g_error("'%s' lacks '%s'", error->message, part);
}

static void test_formats(void)
{
    assert_refused("hostname", "Web", "must be a host name");
    assert_refused("hostname", "a..b", "must be a host name");
    assert_refused("hostname", "-a", "must be a host name");
    assert_refused("hostname", "a-.b", "must be a host name");
    assert_refused("hostname", "a\\nb", "must be a host name");
    assert_refused("packages", "-y", "must be the name of a package");
    assert_refused("packages", "a b", "must be the name of a package");
    assert_refused("ssh-keys", "ssh-ed25519 AAAA", "cut off or damaged");
    assert_refused("ssh-keys", "-----BEGIN OPENSSH PRIVATE KEY-----", "private half");
    assert_refused("users", "Root", "must be a user's name");
    assert_refused("users", "0", "must be a user's name");
    assert_refused("user-data", "packages: [a]", "'#cloud-config' missing?");
    assert_refused("cpu-pinning", "3-1", "list of numbers and ranges");
    assert_refused("commands", "", "must be a command line");
    assert_refused("commands", "a\\x1b[0m", "not 'a?[0m'");
    instance_says("proxy: {http: 'ftp://x'}", "proxy.http must be a proxy's address such as "
                                              "http://proxy.example.org:3128, not 'ftp://x'");
    assert_refused("ready: {console", "(a", "ready.console must be a regular expression (PCRE)");
    instance_accepts("hostname: a.b-c.d");
    instance_accepts("packages: [libc6.1, g++, nginx=1.2-3~bpo]");
}

static void test_a_password_is_in_no_message(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadInstanceSpec) spec = stead_instance_spec_parse(
        "users: [{name: a, password-hash: hunter2}]", -1, "t.yaml", &error);
    g_assert_null(spec);
    g_assert_null(strstr(error->message, "hunter2"));
    g_assert_nonnull(strstr(error->message, "mkpasswd"));
}

static void test_fields_against_each_other(void)
{
    instance_says("memory: {max: 1G, reserve: 2G}",
                  "memory.reserve (2G) is more than memory.max (1G)");
    instance_says("memory: 33M\nhugepages: 2M",
                  "memory (33M) must be a multiple of hugepages (2M)");
    instance_says("cpus: 1\ncpu-pinning: ['0', '1']", "cpu-pinning has 2 items for 1 cpus");
    instance_says("numa: {mode: preferred}", "numa.mode needs numa.nodes");
    instance_says("user-data: '#x'\nuser-data-file: y",
                  "give user-data or user-data-file, not both");
    instance_says("users: [a, a]", "the user 'a' is given twice");
    instance_says("disks: [{}]", "a disk needs a volume or a size");
    instance_says("disks: [{volume: a, size: 1G}]",
                  "a disk has a volume or a size, not both: a volume's size is its own");
    instance_says("disks: [{volume: a, pool: b}]",
                  "a volume's pool is its own; leave the disk's out");
}

static void test_several_of_what_is_one(void)
{
    instance_says("count: 2\nnetworks: [{address: 10.0.0.2}]",
                  "a static address is for one instance, and count is 2");
    instance_says("count: 2\nnetworks: [{mac: '52:54:00:00:00:01'}]",
                  "a MAC address is for one instance, and count is 2");
    instance_says("count: 2\nports: ['80:80']",
                  "a published port is for one instance, and count is 2");
    instance_says("count: 2\ndisks: [data]", "a volume is for one instance, and count is 2");
    instance_says("count: 2\nhostname: a", "hostname is for one instance, and count is 2");
    instance_accepts("count: 2\ndisks: [{size: 1G}]");
}

static void network_says(const char *text, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadNetworkSpec) spec = stead_network_spec_parse(text, -1, "t.yaml", &error);
    if (spec)
        g_error("accepted: %s", text);
    g_assert_cmpstr(strchr(error->message, ' ') + 1, ==, expected);
}

static void test_networks(void)
{
    network_says("mode: bridge",
                 "the mode bridge needs 'bridge': the name of a bridge on the host");
    network_says("bridge: br0", "bridge is for the mode bridge, and the mode is nat");
    network_says("{mode: bridge, bridge: br0, subnet: 10.0.0.0/24}",
                 "subnet is not for the mode bridge: the bridge's own network has it");
    network_says("dhcp-start: 10.0.0.5", "dhcp-start and dhcp-end go together");
    network_says("{dhcp-start: 10.0.0.5, dhcp-end: 10.0.0.9}",
                 "dhcp-start and dhcp-end need a subnet");
    network_says("{subnet: 10.0.0.0/24, dhcp-start: 10.0.0.1, dhcp-end: 10.0.0.9}",
                 "dhcp-start: 10.0.0.1 is the host's own address in the subnet 10.0.0.0/24");
    network_says("{subnet: 10.0.0.0/24, dhcp-start: 10.0.0.9, dhcp-end: 10.0.0.8}",
                 "dhcp-end (10.0.0.8) lies before dhcp-start (10.0.0.9)");
    network_says("subnet: 10.0.0.9/24",
                 "subnet must be an IPv4 subnet such as 10.77.0.0/24, with a prefix from 8 to 30, "
                 "not '10.0.0.9/24'; did you mean '10.0.0.0/24'?");
}

static void test_addresses_across_a_file(void)
{
    FILE_SAYS("instances:\n"
              "  a: {networks: [{network: n, address: 10.9.0.2}]}\n"
              "  b: {networks: [{network: n, address: 10.77.0.5, mac: '52:54:00:00:00:0a'}]}\n"
              "  c: {networks: [{network: n, address: 10.77.0.5, mac: '52:54:00:00:00:0A'}]}\n"
              "  d: {networks: [{network: free, address: 10.77.0.5}]}\n"
              "  e: {networks: [{network: lan, address: 10.77.0.5}]}\n"
              "  f: {networks: [{network: elsewhere, address: 10.77.0.5}]}\n"
              "networks:\n"
              "  n: {subnet: 10.77.0.0/24}\n"
              "  free: {}\n"
              "  lan: {mode: bridge, bridge: br0}\n"
              "  m: {subnet: 10.77.0.0/16}\n",
              "t.yaml:2:40: 10.9.0.2 lies outside the subnet 10.77.0.0/24 of the network 'n'",
              "t.yaml:4:40: 10.77.0.5 is already that of 'b'",
              "t.yaml:4:56: 52:54:00:00:00:0A is already that of 'b'",
              "t.yaml:5:43: a static address needs a subnet; give the network 'free' one",
              "t.yaml:6:42: stead gives out no addresses on the bridge network 'lan'",
              "t.yaml:12:15: subnet 10.77.0.0/16 overlaps that of the network 'n', 10.77.0.0/24");
}

static void test_ports_across_a_file(void)
{
    FILE_SAYS("instances:\n"
              "  a: {ports: ['127.0.0.1:80:80', '127.0.0.2:80:80', '81:80/udp']}\n"
              "  b: {ports: ['81:80', '127.0.0.2:80:8080']}\n"
              "  c: {ports: ['80:80']}\n",
              "t.yaml:3:24: the host's tcp port 80 is already published for 'a'",
              "t.yaml:4:15: the host's tcp port 80 is already published for 'a'");
}

static void test_volumes_across_a_file(void)
{
    FILE_SAYS("instances:\n  a: {disks: [data, x]}\n  b: {disks: [{volume: data}]}\n",
              "t.yaml:3:15: the volume 'data' is already that of 'a'");
}

static void test_dependencies(void)
{
    FILE_SAYS("instances:\n  a: {depends-on: [b]}\n  b: {depends-on: [c]}\n  c: {depends-on: b}\n",
              "t.yaml:4:19: depends-on goes in a circle: 'b', which waits for 'c', which waits for "
              "'b'");
    FILE_SAYS("instances:\n  a: {depends-on: a}\n",
              "t.yaml:2:19: depends-on goes in a circle: 'a', which waits for 'a'");
}

static void test_names_across_a_file(void)
{
    FILE_SAYS("instances:\n  web: {count: 3}\n  web-2: {}\n",
              "t.yaml:3:10: 'web-2' is also the name of one of 'web'");
    FILE_SAYS("instances:\n  aaaaaaaaaabbbbbbbbbbccccccccccddddddddd: {count: 2}\n",
              "t.yaml:2:52: 'aaaaaaaaaabbbbbbbbbbccccccccccddddddddd-2' is longer than the 40 "
              "characters of a name");
    FILE_SAYS("instances:\n  a: {count: 1000}\n  b: {count: 1}\n",
              "t.yaml:3:14: a spec may have 1000 instances in all");
    FILE_SAYS("instances:\n  a: {}\n  a: {}\n", "t.yaml:3:3: 'a' is given twice (first in line 2)");
    FILE_SAYS("name: a\nname: b\n", "t.yaml:2:1: 'name' is given twice (first in line 1)");
}

static void test_yaml_that_is_none(void)
{
    FILE_SAYS("a: [", "t.yaml:2:1: did not find expected node content while parsing a flow node");
    FILE_SAYS("instances:\n\tweb: {}\n", "t.yaml:2:1: a tab cannot indent YAML; use spaces");
    FILE_SAYS("instances: {}\n--- {}\n",
              "t.yaml:2:1: a file holds one document; a second begins here");
    FILE_SAYS("a: !!int 3", "t.yaml:1:4: the tag 'tag:yaml.org,2002:int' is not used here; remove "
                            "it");
    FILE_SAYS("a: *x", "t.yaml:1:4: there is no anchor '&x' before this");
    FILE_SAYS("a: &x [*x]", "t.yaml:1:8: '*x' stands within itself");
    FILE_SAYS("? [a]\n: b", "t.yaml:1:3: a key must be a plain word");
    FILE_SAYS("a: \"x\\0y\"", "t.yaml:1:4: a value cannot hold the character NUL");
    FILE_SAYS("", "t.yaml:1:1: there is nothing in this file");
    FILE_SAYS("# only\n", "t.yaml:1:1: there is nothing in this file");
    FILE_SAYS("ok: 1\na: \xff", "t.yaml:2:4: invalid leading UTF-8 octet");
}

static void test_too_many_problems_are_counted(void)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (int i = 0; i < STEAD_MAX_PROBLEMS + 3; i++)
        g_string_append_printf(text, "zebra%d: 1\n", i);
    g_autofree char *message = message_of(text->str, -1);
    g_assert_true(g_str_has_suffix(message, "\nand 3 more"));
}

static void test_too_large_a_file(void)
{
    g_autofree char *text = g_strnfill(STEAD_MAX_SPEC_BYTES + 1, '#');
    g_autofree char *message = message_of(text, -1);
    g_assert_cmpstr(message, ==, "t.yaml: larger than 1024 KiB");
}

static void test_too_deep_a_file(void)
{
    g_autofree char *text = g_strnfill(STEAD_MAX_NODE_DEPTH + 1, '[');
    g_autofree char *message = message_of(text, -1);
    g_assert_cmpstr(message, ==, "t.yaml:1:33: nested deeper than 32 levels");
}

static void test_aliases_cannot_unfold_without_end(void)
{
    g_autoptr(GString) text = g_string_new("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 8; i++) {
        g_string_append_printf(text, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            g_string_append_printf(text, "%s*a%d", j > 0 ? ", " : "", i - 1);
        g_string_append(text, "]\n");
    }
    g_autofree char *message = message_of(text->str, -1);
    g_assert_nonnull(strstr(message, "more than 100000 values"));
}

static void test_too_many_anchors(void)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (int i = 0; i <= 1000; i++)
        g_string_append_printf(text, "- &a%d x\n", i);
    g_autofree char *message = message_of(text->str, -1);
    g_assert_cmpstr(message, ==, "t.yaml:1001:3: more than 1000 anchors");
}

static void test_too_many_items(void)
{
    g_autoptr(GString) text = g_string_new("networks: [a");
    for (int i = 0; i < STEAD_MAX_NICS; i++)
        g_string_append(text, ", a");
    g_string_append_c(text, ']');
    instance_says(text->str, "networks has 17 items; it may have 16");
}

static void json_says(const char *text, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) json = json_from_string(text, NULL);
    g_autoptr(SteadSpec) spec = stead_spec_from_json(json, &error);
    g_assert_null(spec);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    g_assert_cmpstr(error->message, ==, expected);
}

static void test_json_names_the_path(void)
{
    json_says("{\"name\": \"x\", \"instances\": {\"web\": {\"cpus\": 0, \"memory\": {\"max\": 1}, "
              "\"networks\": [{\"address\": \"x\"}], \"ssh-keys\": [7], \"zebra\": 1}}}",
              "instances.web: cpus must be a whole number from 1 to 512, not '0'\n"
              "instances.web: memory.max must be a size from 32M to 16T, such as 2G, not '1'\n"
              "instances.web.networks[0]: address must be an IPv4 address such as 10.77.0.10, not "
              "'x'\n"
              "instances.web: item 1 of ssh-keys must be an SSH public key, one line as in "
              "~/.ssh/id_ed25519.pub, or the name of such a file, not '7'\n"
              "instances.web: unknown field 'zebra' of an instance");
    json_says("{\"name\": \"x\", \"instances\": {\"web\": {\"depends-on\": [\"db\"]}}}",
              "instances.web.depends-on[0]: depends-on: there is no instance 'db' in this file");
    json_says("{}", "a spec needs 'name' where it is no file");
    json_says("[]", "the spec must be a mapping of fields, not a list");
    json_says("{\"name\": 7}", "name must be a name of lower-case letters, digits and '-', at most "
                               "40, with a letter or digit first and last, not '7'");
}

#define TEST(name, function) g_test_add_func("/spec-errors/" name, function)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST("all-problems-come-at-once-in-order", test_all_problems_come_at_once_in_order);
    TEST("other-words-for-a-field", test_other_words_for_a_field);
    TEST("wrong-types", test_wrong_types);
    TEST("ranges-at-both-ends", test_ranges_at_both_ends);
    TEST("choices", test_choices);
    TEST("ports", test_ports);
    TEST("formats", test_formats);
    TEST("a-password-is-in-no-message", test_a_password_is_in_no_message);
    TEST("fields-against-each-other", test_fields_against_each_other);
    TEST("several-of-what-is-one", test_several_of_what_is_one);
    TEST("networks", test_networks);
    TEST("addresses-across-a-file", test_addresses_across_a_file);
    TEST("ports-across-a-file", test_ports_across_a_file);
    TEST("volumes-across-a-file", test_volumes_across_a_file);
    TEST("dependencies", test_dependencies);
    TEST("names-across-a-file", test_names_across_a_file);
    TEST("yaml-that-is-none", test_yaml_that_is_none);
    TEST("too-many-problems-are-counted", test_too_many_problems_are_counted);
    TEST("too-large-a-file", test_too_large_a_file);
    TEST("too-deep-a-file", test_too_deep_a_file);
    TEST("aliases-cannot-unfold-without-end", test_aliases_cannot_unfold_without_end);
    TEST("too-many-anchors", test_too_many_anchors);
    TEST("too-many-items", test_too_many_items);
    TEST("json-names-the-path", test_json_names_the_path);
    return g_test_run();
}
