/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what is right: defaults, short forms, and what is written is read back. */
#include "model/spec.h"

#include <string.h>

#include "base/error.h"

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKhxPjbqRhYkQsg5bnd5qD0cF5nbHLFeEkH1J1aQ8HfK me@x"
#define GIB (G_GUINT64_CONSTANT(1) << 30)

static SteadInstanceSpec *instance(const char *text)
{
    GError *error = NULL;
    SteadInstanceSpec *spec = stead_instance_spec_parse(text, -1, "t.yaml", &error);
    g_assert_no_error(error);
    return spec;
}

static SteadSpec *whole(const char *text)
{
    GError *error = NULL;
    SteadSpec *spec = stead_spec_parse(text, -1, "t.yaml", &error);
    g_assert_no_error(error);
    return spec;
}

static void test_the_smallest_file(void)
{
    g_autoptr(SteadSpec) spec = whole("instances: {web: {}}");
    g_assert_cmpstr(spec->name, ==, "t");
    g_assert_cmpuint(spec->instances->len, ==, 1);
    g_assert_cmpstr(spec->instance_names->pdata[0], ==, "web");
    SteadInstanceSpec *web = spec->instances->pdata[0];
    g_assert_cmpint(web->kind, ==, STEAD_KIND_AUTO);
    g_assert_cmpstr(web->image, ==, "debian:12");
    g_assert_cmpuint(web->count, ==, 1);
    g_assert_cmpuint(web->cpus, ==, 2);
    g_assert_cmpuint(web->memory.max, ==, GIB);
    g_assert_cmpuint(web->disk, ==, 0);
    g_assert_cmpuint(web->networks->len, ==, 1);
    g_assert_cmpstr(((SteadNicSpec *)web->networks->pdata[0])->network, ==, "default");
    g_assert_true(web->ready.agent);
    g_assert_cmpuint(web->ready.timeout, ==, 600000);
    g_assert_cmpint(web->firmware, ==, STEAD_FIRMWARE_UEFI);
    g_assert_nonnull(web->ssh_keys);
}

static void test_nothing_after_a_name_is_all_defaults(void)
{
    g_autoptr(SteadSpec) spec = whole("instances:\n  web:\n  db:\nnetworks:\n");
    g_assert_cmpuint(spec->instances->len, ==, 2);
    g_assert_cmpuint(spec->networks->len, ==, 0);
}

static void assert_named(const char *file, const char *name)
{
    g_autoptr(SteadSpec) spec = stead_spec_parse("instances: {}", -1, file, NULL);
    g_assert_cmpstr(spec->name, ==, name);
}

static void test_a_file_names_its_spec(void)
{
    assert_named("edge-node.yaml", "edge-node");
    assert_named("/home/me/My  Lab.v2.yaml", "my-lab");
    assert_named("dir/edge/stead.yaml", "edge");
    assert_named("stead.yaml", "stead");
    assert_named("-", "lab");
    assert_named(NULL, "lab");
    assert_named("aaaaaaaaaabbbbbbbbbbccccccccccddddddddd-eeee.yaml",
                 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddd");
}

static void test_memory_as_one_size(void)
{
    g_autoptr(SteadInstanceSpec) one = instance("memory: 1.5G");
    g_autoptr(SteadInstanceSpec) bytes = instance("memory: 1610612736");
    g_autoptr(SteadInstanceSpec) both = instance("memory: {max: 2G, reserve: 512M}");
    g_assert_cmpuint(one->memory.max, ==, GIB + GIB / 2);
    g_assert_cmpuint(bytes->memory.max, ==, GIB + GIB / 2);
    g_assert_cmpuint(both->memory.max, ==, 2 * GIB);
    g_assert_cmpuint(both->memory.reserve, ==, GIB / 2);
}

static void test_networks_as_names(void)
{
    g_autoptr(SteadInstanceSpec) spec =
        instance("networks: [lab, {network: wan, mac: '52:54:00:00:00:01'}, {}]");
    g_assert_cmpuint(spec->networks->len, ==, 3);
    g_assert_cmpstr(((SteadNicSpec *)spec->networks->pdata[0])->network, ==, "lab");
    g_assert_cmpstr(((SteadNicSpec *)spec->networks->pdata[1])->mac, ==, "52:54:00:00:00:01");
    g_assert_cmpstr(((SteadNicSpec *)spec->networks->pdata[2])->network, ==, "default");
}

static void test_no_network(void)
{
    g_autoptr(SteadInstanceSpec) spec = instance("networks: []");
    g_assert_cmpuint(spec->networks->len, ==, 0);
    g_autoptr(JsonNode) json = stead_instance_spec_to_json(spec);
    g_autoptr(SteadInstanceSpec) again = stead_instance_spec_from_json(json, NULL);
    g_assert_cmpuint(again->networks->len, ==, 0);
}

static void assert_port(const SteadPortSpec *port, const char *address, guint host, guint guest,
                        SteadProtocol protocol)
{
    g_assert_cmpstr(port->host_address, ==, address);
    g_assert_cmpuint(port->host, ==, host);
    g_assert_cmpuint(port->guest, ==, guest);
    g_assert_cmpint(port->protocol, ==, protocol);
}

static void test_ports_as_text(void)
{
    g_autoptr(SteadInstanceSpec) spec =
        instance("ports: [8080:80, '127.0.0.1:2222:22/tcp', 53:53/udp, {host: 1, guest: 65535}]");
    assert_port(spec->ports->pdata[0], NULL, 8080, 80, STEAD_PROTOCOL_TCP);
    assert_port(spec->ports->pdata[1], "127.0.0.1", 2222, 22, STEAD_PROTOCOL_TCP);
    assert_port(spec->ports->pdata[2], NULL, 53, 53, STEAD_PROTOCOL_UDP);
    assert_port(spec->ports->pdata[3], NULL, 1, 65535, STEAD_PROTOCOL_TCP);
}

static void test_other_short_forms(void)
{
    g_autoptr(SteadInstanceSpec) spec =
        instance("users: [admin, {name: op, sudo: false}]\ndisks: [data, {size: 1G}]\nnuma: 0-1\n"
                 "cpu-pinning: 0-3\npackages: nginx\ndepends-on: db\nssh-keys: " KEY "\n");
    SteadUserSpec *admin = spec->users->pdata[0], *op = spec->users->pdata[1];
    g_assert_cmpstr(admin->name, ==, "admin");
    g_assert_true(admin->sudo);
    g_assert_false(op->sudo);
    g_assert_cmpstr(((SteadDiskSpec *)spec->disks->pdata[0])->volume, ==, "data");
    g_assert_cmpuint(((SteadDiskSpec *)spec->disks->pdata[1])->size, ==, GIB);
    g_assert_cmpstr(spec->numa.nodes, ==, "0-1");
    g_assert_cmpstr(spec->cpu_pinning[0], ==, "0-3");
    g_assert_cmpstr(spec->packages[0], ==, "nginx");
    g_assert_cmpstr(spec->ssh_keys[0], ==, KEY);
    g_assert_cmpstr(spec->depends_on[0], ==, "db");
}

static void test_the_agent_is_the_rule_unless_another_is_given(void)
{
    g_autoptr(SteadInstanceSpec) port = instance("ready: {port: 22}");
    g_autoptr(SteadInstanceSpec) both = instance("ready: {port: 22, agent: true}");
    g_autoptr(SteadInstanceSpec) time = instance("ready: {timeout: 90s}");
    g_autoptr(SteadInstanceSpec) none = instance("ready: {agent: false}");
    g_assert_false(port->ready.agent);
    g_assert_true(both->ready.agent);
    g_assert_true(time->ready.agent);
    g_assert_cmpuint(time->ready.timeout, ==, 90000);
    g_assert_false(none->ready.agent);
}

static void test_user_data_is_kept_byte_for_byte(void)
{
    g_autoptr(SteadInstanceSpec) spec =
        instance("user-data: |\n  #cloud-config\n  a:\n    - b  \n\n  c: \"d\"\n");
    g_assert_cmpstr(spec->user_data, ==, "#cloud-config\na:\n  - b  \n\nc: \"d\"\n");
}

static void test_aliases_stand_for_their_anchor(void)
{
    g_autoptr(SteadSpec) spec =
        whole("instances:\n  a: &one {cpus: 4, networks: [&net lab]}\n  b: *one\n"
              "  c: {networks: [*net]}\n");
    SteadInstanceSpec *b = spec->instances->pdata[1], *c = spec->instances->pdata[2];
    g_assert_cmpuint(b->cpus, ==, 4);
    g_assert_cmpstr(((SteadNicSpec *)c->networks->pdata[0])->network, ==, "lab");
}

static void test_json_text_is_read(void)
{
    g_autoptr(SteadSpec) spec =
        whole("{\"name\": \"x\", \"instances\": {\"web\": {\"cpus\": 3, \"memory\": \"2G\"}}}");
    SteadInstanceSpec *web = spec->instances->pdata[0];
    g_assert_cmpuint(web->cpus, ==, 3);
    g_assert_cmpuint(web->memory.max, ==, 2 * GIB);
}

#define FULL                                                                                       \
    "name: full\n"                                                                                 \
    "instances:\n"                                                                                 \
    "  web:\n"                                                                                     \
    "    kind: vm\n    image: ubuntu:24.04\n    cpus: 4\n    memory: {max: 4G, reserve: 1G}\n"     \
    "    disk: 20G\n    pool: fast\n    disks: [data, {size: 5G, pool: slow, read-only: true}]\n"  \
    "    networks: [{network: lab, address: 10.77.0.10, mac: '52:54:00:00:00:0A'}, default]\n"     \
    "    ports: ['127.0.0.1:8080:80', '53:53/udp']\n    hostname: web.example.org\n"               \
    "    users: [{name: admin, ssh-keys: " KEY ", shell: /bin/sh, sudo: false,\n"                  \
    "             password-hash: '$6$abcdefgh$ABCDEFGHIJKLMNOP'}]\n"                               \
    "    ssh-keys: [" KEY "]\n    packages: [nginx, curl]\n    commands: ['a b', \"c\\nd\"]\n"     \
    "    user-data: \"#cloud-config\\n\"\n"                                                        \
    "    proxy: {http: 'http://p:3128', https: 'http://p:3128', no: 'localhost,.local'}\n"         \
    "    firmware: bios\n    cpu-pinning: [0-1, '2']\n    numa: {nodes: '0', mode: preferred}\n"   \
    "    hugepages: 1G\n    restart: on-failure\n    depends-on: [db]\n"                           \
    "    ready: {agent: true, cloud-init: true, port: 80, console: 'login: $', timeout: 7m}\n"     \
    "  db: {count: 3}\n"                                                                           \
    "networks:\n"                                                                                  \
    "  lab: {subnet: 10.77.0.0/24, dhcp-start: 10.77.0.100, dhcp-end: 10.77.0.200,\n"              \
    "        domain: lab.internal}\n"                                                              \
    "  lan: {mode: bridge, bridge: br0}\n"                                                         \
    "volumes: {data: 10G, more: {size: 1T, pool: fast}}\n"

static char *json_text(JsonNode *node)
{
    char *text = json_to_string(node, FALSE);
    json_node_unref(node);
    return text;
}

static void test_every_field_is_read_back(void)
{
    g_autoptr(SteadSpec) spec = whole(FULL);
    g_autofree char *text = json_text(stead_spec_to_json(spec));
    g_autoptr(SteadSpec) again = stead_spec_parse(text, -1, "x.json", NULL);
    g_autofree char *text_again = json_text(stead_spec_to_json(again));
    g_assert_cmpstr(text, ==, text_again);
    g_autoptr(JsonNode) json = json_from_string(text, NULL);
    g_autoptr(SteadSpec) from_json = stead_spec_from_json(json, NULL);
    g_autofree char *text_json = json_text(stead_spec_to_json(from_json));
    g_assert_cmpstr(text, ==, text_json);
    SteadInstanceSpec *web = again->instances->pdata[0];
    g_autoptr(GPtrArray) changes = stead_instance_spec_diff(spec->instances->pdata[0], web);
    g_assert_cmpuint(changes->len, ==, 0);
}

static void test_defaults_are_not_written(void)
{
    g_autoptr(SteadInstanceSpec) spec = instance("cpus: 2\nmemory: 1G\nnetworks: [default]");
    g_autofree char *text = json_text(stead_instance_spec_to_json(spec));
    g_assert_cmpstr(text, ==, "{\"image\":\"debian:12\"}");
}

static void test_the_long_form_is_written(void)
{
    g_autoptr(SteadInstanceSpec) spec = instance("memory: 2048M\nports: ['80:80']\nusers: admin\n"
                                                 "networks: [default, lab]");
    g_autofree char *text = json_text(stead_instance_spec_to_json(spec));
    g_assert_cmpstr(text, ==,
                    "{\"image\":\"debian:12\",\"memory\":{\"max\":\"2G\"},"
                    "\"networks\":[{\"network\":\"default\"},{\"network\":\"lab\"}],"
                    "\"ports\":[{\"host\":80,\"guest\":80}],\"users\":[{\"name\":\"admin\"}]}");
}

static void test_a_new_instance_spec_has_no_image(void)
{
    g_autoptr(SteadInstanceSpec) spec = stead_instance_spec_new();
    g_assert_null(spec->image);
    g_assert_cmpuint(spec->cpus, ==, 2);
    g_autofree char *text = json_text(stead_instance_spec_to_json(spec));
    g_assert_cmpstr(text, ==, "{}");
}

static void test_copies_are_deep_and_equal(void)
{
    g_autoptr(SteadSpec) spec = whole(FULL);
    g_autoptr(SteadInstanceSpec) copy = stead_instance_spec_copy(spec->instances->pdata[0]);
    g_autoptr(SteadNetworkSpec) network = stead_network_spec_copy(spec->networks->pdata[0]);
    g_autoptr(SteadVolumeSpec) volume = stead_volume_spec_copy(spec->volumes->pdata[0]);
    g_autofree char *before = json_text(stead_instance_spec_to_json(spec->instances->pdata[0]));
    g_autofree char *after = json_text(stead_instance_spec_to_json(copy));
    g_assert_cmpstr(before, ==, after);
    g_assert_true(copy->image != ((SteadInstanceSpec *)spec->instances->pdata[0])->image);
    g_assert_cmpstr(network->subnet, ==, "10.77.0.0/24");
    g_assert_cmpuint(volume->size, ==, 10 * GIB);
    g_assert_null(stead_instance_spec_copy(NULL));
}

static void test_parts_are_read_alone(void)
{
    g_autoptr(SteadNetworkSpec) network = stead_network_spec_parse("mode: isolated", -1, "n", NULL);
    g_autoptr(SteadVolumeSpec) volume = stead_volume_spec_parse("size: 1G", -1, "v", NULL);
    g_assert_cmpint(network->mode, ==, STEAD_NETWORK_ISOLATED);
    g_assert_cmpuint(volume->size, ==, GIB);
    g_autoptr(JsonNode) json = stead_volume_spec_to_json(volume);
    g_autoptr(SteadVolumeSpec) again = stead_volume_spec_from_json(json, NULL);
    g_assert_cmpuint(again->size, ==, GIB);
    g_autoptr(JsonNode) network_json = stead_network_spec_to_json(network);
    g_autoptr(SteadNetworkSpec) network_again = stead_network_spec_from_json(network_json, NULL);
    g_assert_cmpint(network_again->mode, ==, STEAD_NETWORK_ISOLATED);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/spec/the-smallest-file", test_the_smallest_file);
    g_test_add_func("/spec/nothing-after-a-name-is-all-defaults",
                    test_nothing_after_a_name_is_all_defaults);
    g_test_add_func("/spec/a-file-names-its-spec", test_a_file_names_its_spec);
    g_test_add_func("/spec/memory-as-one-size", test_memory_as_one_size);
    g_test_add_func("/spec/networks-as-names", test_networks_as_names);
    g_test_add_func("/spec/no-network", test_no_network);
    g_test_add_func("/spec/ports-as-text", test_ports_as_text);
    g_test_add_func("/spec/other-short-forms", test_other_short_forms);
    g_test_add_func("/spec/the-agent-is-the-rule-unless-another-is-given",
                    test_the_agent_is_the_rule_unless_another_is_given);
    g_test_add_func("/spec/user-data-is-kept-byte-for-byte", test_user_data_is_kept_byte_for_byte);
    g_test_add_func("/spec/aliases-stand-for-their-anchor", test_aliases_stand_for_their_anchor);
    g_test_add_func("/spec/json-text-is-read", test_json_text_is_read);
    g_test_add_func("/spec/every-field-is-read-back", test_every_field_is_read_back);
    g_test_add_func("/spec/defaults-are-not-written", test_defaults_are_not_written);
    g_test_add_func("/spec/the-long-form-is-written", test_the_long_form_is_written);
    g_test_add_func("/spec/a-new-instance-spec-has-no-image",
                    test_a_new_instance_spec_has_no_image);
    g_test_add_func("/spec/copies-are-deep-and-equal", test_copies_are_deep_and_equal);
    g_test_add_func("/spec/parts-are-read-alone", test_parts_are_read_alone);
    return g_test_run();
}
