/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts of a seed. All of them are JSON, which YAML reads: so no value of a spec, however odd,
 * can end a string and add a key of its own. What JSON allows raw but YAML does not (C1 controls,
 * Unicode's line separators) is escaped on top.
 *
 * Where user-data is the user's own, stead's part goes to vendor-data with merge rules that keep
 * the user's values and append stead's list items. The rules stand there twice because cloud-init
 * reads them twice: `merge_how` where it reads the part, `merge_type` where it lays the parts over
 * each other.
 */
#include "image/seed.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "base/error.h"
#include "image/seed_check.h"

typedef const SteadInstanceSpec Spec;

/* Characters that a YAML reader refuses raw, or takes for the end of a line. */
static gboolean needs_escape(gunichar c)
{
    return (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
           (c >= 0xfffe && c <= 0xffff);
}

static char *escape_for_yaml(const char *json)
{
    GString *text = g_string_sized_new(strlen(json));
    for (const char *p = json; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (needs_escape(c))
            g_string_append_printf(text, "\\u%04x", c);
        else
            g_string_append_unichar(text, c);
    }
    return g_string_free(text, FALSE);
}

/* The finished document as text behind `head`; NULL with INVALID when it is not UTF-8. */
static char *write_document(JsonBuilder *builder, const char *head, GError **error)
{
    g_autoptr(JsonNode) root = json_builder_get_root(builder);
    g_autoptr(JsonGenerator) generator = json_generator_new();
    json_generator_set_root(generator, root);
    json_generator_set_pretty(generator, TRUE);
    g_autofree char *json = json_generator_to_data(generator, NULL);
    if (!g_utf8_validate(json, -1, NULL)) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL,
                        "the spec holds text that is not UTF-8, which cloud-init cannot read");
        return NULL;
    }
    g_autofree char *escaped = escape_for_yaml(json);
    return g_strconcat(head, escaped, "\n", NULL);
}

static void add_string(JsonBuilder *builder, const char *name, const char *value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_string_value(builder, value);
}

static void add_boolean(JsonBuilder *builder, const char *name, gboolean value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_boolean_value(builder, value);
}

static void begin_member(JsonBuilder *builder, const char *name, gboolean array)
{
    json_builder_set_member_name(builder, name);
    if (array)
        json_builder_begin_array(builder);
    else
        json_builder_begin_object(builder);
}

static gsize count(GStrv list)
{
    return list ? g_strv_length(list) : 0;
}

static void add_items(JsonBuilder *builder, GStrv list)
{
    for (gsize i = 0; list && list[i]; i++)
        json_builder_add_string_value(builder, list[i]);
}

static void add_list(JsonBuilder *builder, const char *name, GStrv list)
{
    if (count(list) == 0)
        return;
    begin_member(builder, name, TRUE);
    add_items(builder, list);
    json_builder_end_array(builder);
}

static void add_user(JsonBuilder *builder, const SteadUserSpec *user)
{
    json_builder_begin_object(builder);
    add_string(builder, "name", user->name);
    add_string(builder, "shell", user->shell ? user->shell : "/bin/bash");
    add_boolean(builder, "lock_passwd", user->password_hash == NULL);
    if (user->password_hash)
        add_string(builder, "passwd", user->password_hash);
    if (user->sudo)
        add_string(builder, "sudo", "ALL=(ALL) NOPASSWD:ALL");
    add_list(builder, "ssh_authorized_keys", user->ssh_keys);
    json_builder_end_object(builder);
}

/* The image's default user stays beside those of the spec. */
static void add_users(JsonBuilder *builder, Spec *spec)
{
    if (spec->users == NULL || spec->users->len == 0)
        return;
    begin_member(builder, "users", TRUE);
    json_builder_add_string_value(builder, "default");
    for (guint i = 0; i < spec->users->len; i++)
        add_user(builder, spec->users->pdata[i]);
    json_builder_end_array(builder);
}

static void add_packages(JsonBuilder *builder, Spec *spec)
{
    if (count(spec->packages) == 0)
        return;
    add_boolean(builder, "package_update", TRUE);
    add_list(builder, "packages", spec->packages);
}

static gboolean has_proxy(Spec *spec)
{
    return spec->proxy.http || spec->proxy.https || spec->proxy.no_proxy;
}

/* The guest looks whether it has the agent: only where it lacks it are package lists fetched, which
 * takes a minute under emulation and cannot be done at all without a network. */
#define INSTALL_AGENT                                                                              \
    "command -v qemu-ga > /dev/null || "                                                           \
    "if command -v apt-get > /dev/null; then "                                                     \
    "export DEBIAN_FRONTEND=noninteractive; "                                                      \
    "apt-get install -y qemu-guest-agent || "                                                      \
    "{ apt-get update && apt-get install -y qemu-guest-agent; }; "                                 \
    "elif command -v dnf > /dev/null; then dnf install -y qemu-guest-agent; "                      \
    "else zypper -n install qemu-guest-agent; fi"

/* cloud-init makes one shell script of all commands, so what the first exports the others see. */
static void add_commands(JsonBuilder *builder, Spec *spec, gboolean agent)
{
    if (count(spec->commands) == 0 && !agent)
        return;
    begin_member(builder, "runcmd", TRUE);
    if (has_proxy(spec))
        json_builder_add_string_value(builder, "set -a; . /etc/environment; set +a");
    if (agent) {
        json_builder_add_string_value(builder, INSTALL_AGENT);
        json_builder_add_string_value(builder, "systemctl --no-block start qemu-guest-agent");
    }
    add_items(builder, spec->commands);
    json_builder_end_array(builder);
}

static void append_environment(GString *text, const char *lower, const char *upper,
                               const char *value)
{
    if (value)
        g_string_append_printf(text, "%s=\"%s\"\n%s=\"%s\"\n", lower, value, upper, value);
}

static void add_proxy(JsonBuilder *builder, Spec *spec)
{
    const SteadProxySpec *proxy = &spec->proxy;
    if (!has_proxy(spec))
        return;
    if (proxy->http || proxy->https) {
        begin_member(builder, "apt", FALSE);
        if (proxy->http)
            add_string(builder, "http_proxy", proxy->http);
        if (proxy->https)
            add_string(builder, "https_proxy", proxy->https);
        json_builder_end_object(builder);
    }
    g_autoptr(GString) text = g_string_new(NULL);
    append_environment(text, "http_proxy", "HTTP_PROXY", proxy->http);
    append_environment(text, "https_proxy", "HTTPS_PROXY", proxy->https);
    append_environment(text, "no_proxy", "NO_PROXY", proxy->no_proxy);
    begin_member(builder, "write_files", TRUE);
    json_builder_begin_object(builder);
    add_string(builder, "path", "/etc/environment");
    add_boolean(builder, "append", TRUE);
    add_string(builder, "content", text->str);
    json_builder_end_object(builder);
    json_builder_end_array(builder);
}

static void add_growth(JsonBuilder *builder)
{
    begin_member(builder, "growpart", FALSE);
    add_string(builder, "mode", "auto");
    begin_member(builder, "devices", TRUE);
    json_builder_add_string_value(builder, "/");
    json_builder_end_array(builder);
    json_builder_end_object(builder);
    add_boolean(builder, "resize_rootfs", TRUE);
}

static void add_merge_rule(JsonBuilder *builder, const char *name, const char *const *settings)
{
    json_builder_begin_object(builder);
    add_string(builder, "name", name);
    begin_member(builder, "settings", TRUE);
    add_items(builder, (GStrv)(gsize)settings);
    json_builder_end_array(builder);
    json_builder_end_object(builder);
}

static void add_merge_rules(JsonBuilder *builder, const char *member)
{
    static const char *const list_settings[] = {"append", NULL};
    static const char *const dict_settings[] = {"no_replace", "recurse_list", NULL};
    begin_member(builder, member, TRUE);
    add_merge_rule(builder, "list", list_settings);
    add_merge_rule(builder, "dict", dict_settings);
    json_builder_end_array(builder);
}

static char *write_cloud_config(const SteadSeedOptions *options, gboolean below, GError **error)
{
    Spec *spec = options->spec;
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    if (below) {
        add_merge_rules(builder, "merge_how");
        add_merge_rules(builder, "merge_type");
    }
    add_string(builder, "hostname", options->hostname);
    add_boolean(builder, "manage_etc_hosts", TRUE);
    add_users(builder, spec);
    add_list(builder, "ssh_authorized_keys", spec->ssh_keys);
    add_proxy(builder, spec);
    add_growth(builder);
    if (options->keep_host_keys)
        add_boolean(builder, "ssh_deletekeys", FALSE);
    add_packages(builder, spec);
    add_commands(builder, spec, options->install_agent);
    json_builder_end_object(builder);
    return write_document(builder, "#cloud-config\n", error);
}

static char *write_meta_data(const SteadSeedOptions *options, GError **error)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    add_string(builder, "instance-id", options->instance_id);
    add_string(builder, "local-hostname", options->hostname);
    json_builder_end_object(builder);
    return write_document(builder, "", error);
}

static void add_one_item(JsonBuilder *builder, const char *name, const char *item)
{
    if (item == NULL)
        return;
    begin_member(builder, name, TRUE);
    json_builder_add_string_value(builder, item);
    json_builder_end_array(builder);
}

static void add_static_address(JsonBuilder *builder, const SteadSeedNic *nic)
{
    g_autofree char *address = g_strdup_printf("%s/%u", nic->address, nic->prefix);
    add_boolean(builder, "dhcp4", FALSE);
    add_one_item(builder, "addresses", address);
    if (nic->gateway) {
        begin_member(builder, "routes", TRUE);
        json_builder_begin_object(builder);
        add_string(builder, "to", "0.0.0.0/0");
        add_string(builder, "via", nic->gateway);
        json_builder_end_object(builder);
        json_builder_end_array(builder);
    }
}

/* Beside DHCP, too: systemd-networkd does not search the domain that DHCP tells it. cloud-init
 * drops a search domain without a server. */
static void add_name_servers(JsonBuilder *builder, const SteadSeedNic *nic)
{
    if (nic->dns == NULL && nic->search == NULL)
        return;
    begin_member(builder, "nameservers", FALSE);
    add_one_item(builder, "addresses", nic->dns);
    add_one_item(builder, "search", nic->search);
    json_builder_end_object(builder);
}

/* Interfaces after the first do not hold up the boot while they wait for an address. */
static void add_nic(JsonBuilder *builder, const SteadSeedNic *nic, gsize index)
{
    g_autofree char *name = g_strdup_printf("nic%" G_GSIZE_FORMAT, index);
    g_autofree char *mac = g_ascii_strdown(nic->mac, -1);
    begin_member(builder, name, FALSE);
    begin_member(builder, "match", FALSE);
    add_string(builder, "macaddress", mac);
    json_builder_end_object(builder);
    if (nic->address)
        add_static_address(builder, nic);
    else
        add_boolean(builder, "dhcp4", TRUE);
    add_name_servers(builder, nic);
    if (index > 0)
        add_boolean(builder, "optional", TRUE);
    json_builder_end_object(builder);
}

static char *write_network_config(const SteadSeedOptions *options, GError **error)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "version");
    json_builder_add_int_value(builder, 2);
    begin_member(builder, "ethernets", FALSE);
    for (gsize i = 0; i < options->n_nics; i++)
        add_nic(builder, &options->nics[i], i);
    json_builder_end_object(builder);
    json_builder_end_object(builder);
    return write_document(builder, "", error);
}

gboolean stead_seed_files(const SteadSeedOptions *options, SteadSeedFiles *files, GError **error)
{
    g_auto(SteadSeedFiles) made = {0};
    const char *user_data = options->spec->user_data;
    if (!stead_seed_check(options, error))
        return FALSE;
    made.meta_data = write_meta_data(options, error);
    made.network_config = made.meta_data ? write_network_config(options, error) : NULL;
    char *ours = made.network_config ? write_cloud_config(options, user_data != NULL, error) : NULL;
    if (ours == NULL)
        return FALSE;
    made.user_data = user_data ? g_strdup(user_data) : ours;
    made.vendor_data = user_data ? ours : NULL;
    *files = made;
    memset(&made, 0, sizeof made);
    return TRUE;
}

void stead_seed_files_clear(SteadSeedFiles *files)
{
    g_clear_pointer(&files->meta_data, g_free);
    g_clear_pointer(&files->user_data, g_free);
    g_clear_pointer(&files->vendor_data, g_free);
    g_clear_pointer(&files->network_config, g_free);
}
