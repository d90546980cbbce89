/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clones: instances that go on from a template. What a frozen machine is made of (CPUs, memory, how
 * many disks and interfaces) is what its clones are made of; who it is, each clone is told anew
 * before it counts as running: name, addresses, machine id, host keys, entropy and clock.
 */
#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"
#include "base/subprocess.h"
#include "base/units.h"
#include "engine/template.h"
#include "model/check.h"
#include "net/addresses.h"
#include "net/network_xml.h"
#include "storage/disk_name.h"
#include "storage/prepared.h"

#define RENEW_TIMEOUT_MS 60000
#define KEY_MODE 0600
#define PUBLIC_MODE 0644

/* The types of keys that are made anew. The others of a template are removed: to make one of them
 * takes longer than all the rest. Where there is nothing else it is made nevertheless. */
static const char *const key_types[] = {"ed25519", "ecdsa", NULL};
static const char slow_type[] = "rsa";

/* ---- the spec ---- */

static gboolean refuse(GError **error, const SteadTemplate *template, const char *what,
                       const char *has)
{
    stead_set_error(error, STEAD_ERROR_INVALID, "Leave it out, or make another template.",
                    "clones of '%s' have %s of %s, as it was frozen", template->name, what, has);
    return FALSE;
}

static gboolean fit_size(const SteadTemplate *template, SteadInstanceSpec *spec, GError **error)
{
    const SteadInstanceSpec *frozen = template->spec;
    g_autoptr(SteadInstanceSpec) plain = stead_instance_spec_new();
    g_autofree char *cpus = g_strdup_printf("%u", frozen->cpus);
    g_autofree char *memory = stead_format_size(frozen->memory.max);
    if (spec->cpus != plain->cpus && spec->cpus != frozen->cpus)
        return refuse(error, template, "a number of CPUs", cpus);
    if (spec->memory.max != plain->memory.max && spec->memory.max != frozen->memory.max)
        return refuse(error, template, "a memory", memory);
    if (spec->disk != 0 && spec->disk != frozen->disk)
        return refuse(error, template, "a root disk", "the template's size");
    spec->cpus = frozen->cpus;
    spec->memory = frozen->memory;
    spec->disk = frozen->disk;
    return TRUE;
}

gboolean stead_clone_fit(const SteadTemplate *template, SteadInstanceSpec *spec, GError **error)
{
    if (spec->kind != STEAD_KIND_AUTO && spec->kind != template->kind)
        return refuse(error, template, "a kind",
                      stead_name_of(&stead_kind_names, (int)template->kind));
    if (spec->disks->len > 0)
        return refuse(error, template, "their disks", "the template");
    if (spec->pool)
        return refuse(error, template, "their disks in", "the default pool");
    if (template->nics->len != spec->networks->len) {
        g_autofree char *n = g_strdup_printf("%u", template->nics->len);
        return refuse(error, template, "a number of networks", n);
    }
    return fit_size(template, spec, error);
}

/* ---- disks ---- */

typedef struct {
    Create *create;
    SteadTemplate *template; /* a copy */
} Template;

static gboolean copy_template(gpointer data, GError **error)
{
    Template *of = data;
    SteadEngine *engine = of->create->engine;
    const SteadTemplate *template =
        stead_table_get(engine->templates, of->create->instance->template);
    of->template = template ? stead_template_copy(template) : NULL;
    if (template == NULL)
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "its template is gone");
    return template != NULL;
}

static gboolean make_disk(const SteadPaths *paths, const SteadDiskRecord *base, const char *stem,
                          guint n, GPtrArray *disks, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(base->path);
    g_autofree char *name = g_strdup_printf("overlay%u.qcow2", n);
    g_autofree char *overlay = g_build_filename(folder, name, NULL);
    g_autoptr(SteadDisk) disk = stead_disk_copy_prepared(paths, stem, overlay, 0, error);
    if (disk == NULL)
        return FALSE;
    SteadDiskRecord *record = g_new0(SteadDiskRecord, 1);
    g_autoptr(GStrvBuilder) backing = g_strv_builder_new();
    record->path = g_strdup(disk->path);
    record->format = g_strdup(disk->format);
    g_strv_builder_add(backing, base->path);
    for (guint i = 0; base->backing && base->backing[i]; i++)
        g_strv_builder_add(backing, base->backing[i]);
    record->backing = g_strv_builder_end(backing);
    g_ptr_array_add(disks, record);
    return TRUE;
}

gboolean stead_clone_make_disks(const SteadPaths *paths, const SteadTemplate *template,
                                const char *id, const char *name, GPtrArray *disks, GError **error)
{
    for (guint i = 0; i < template->disks->len; i++) {
        g_autofree char *stem = stead_disk_stem(name, id, i);
        if (!make_disk(paths, template->disks->pdata[i], stem, i, disks, error))
            return FALSE;
    }
    return TRUE;
}

gboolean stead_clone_disks(Create *create, GError **error)
{
    Template of = {create, NULL};
    SteadInstance *instance = create->instance;
    if (instance->warm && instance->disks->len > 0)
        return TRUE; /* its engine has them open */
    if (!stead_job_sync(create->job, copy_template, &of, error))
        return FALSE;
    g_autoptr(SteadTemplate) template = of.template;
    g_ptr_array_set_size(instance->disks, 0);
    return stead_clone_make_disks(create->engine->paths, template, instance->id, instance->name,
                                  instance->disks, error);
}

/* ---- host keys ---- */

struct _SteadCloneKeys {
    GThread *thread;
    char *dir;
    GStrv types;
    GPtrArray *files; /* SteadIdentityFile */
    GError *error;
};

static void add_file(GPtrArray *files, const char *type, const char *suffix, guint mode,
                     GBytes *content)
{
    SteadIdentityFile *file = g_new0(SteadIdentityFile, 1);
    file->path = g_strdup_printf("/etc/ssh/ssh_host_%s_key%s", type, suffix);
    file->mode = mode;
    file->content = content;
    g_ptr_array_add(files, file);
}

static GBytes *read_and_unlink(const char *path, GError **error)
{
    char *text = NULL;
    gsize length;
    gboolean read = g_file_get_contents(path, &text, &length, error);
    g_unlink(path);
    return read ? g_bytes_new_take(text, length) : NULL;
}

/* ssh-keygen writes to files only; they lie in the instance's own folder for a moment. */
static gboolean make_key(SteadCloneKeys *keys, const char *type, GError **error)
{
    g_autofree char *path = g_build_filename(keys->dir, "host_key", NULL);
    g_autofree char *public_path = g_strconcat(path, ".pub", NULL);
    const char *const argv[] = {"ssh-keygen", "-q", "-t", type, "-N", "",
                                "-C",         "",   "-f", path, NULL};
    g_unlink(path);
    g_unlink(public_path);
    if (!stead_run(argv, NULL, NULL, NULL, error))
        return FALSE;
    GBytes *secret = read_and_unlink(path, error);
    if (secret)
        add_file(keys->files, type, "", KEY_MODE, secret);
    GBytes *public = read_and_unlink(public_path, secret ? error : NULL);
    if (public)
        add_file(keys->files, type, ".pub", PUBLIC_MODE, public);
    return secret && public;
}

static gboolean is_made(const SteadCloneKeys *keys, const char *type)
{
    if (g_strv_contains(key_types, type) || !g_str_equal(type, slow_type))
        return g_strv_contains(key_types, type);
    for (guint i = 0; keys->types[i]; i++)
        if (g_strv_contains(key_types, keys->types[i]))
            return FALSE;
    return TRUE;
}

static gpointer make_keys(gpointer data)
{
    SteadCloneKeys *keys = data;
    for (guint i = 0; keys->types[i]; i++) {
        if (!is_made(keys, keys->types[i])) {
            add_file(keys->files, keys->types[i], "", 0, NULL);
            add_file(keys->files, keys->types[i], ".pub", 0, NULL);
        } else if (!make_key(keys, keys->types[i], &keys->error))
            return NULL;
    }
    return keys;
}

SteadCloneKeys *stead_clone_keys_begin(const SteadTemplate *template, const char *dir)
{
    SteadCloneKeys *keys = g_new0(SteadCloneKeys, 1);
    keys->dir = g_strdup(dir);
    keys->types = g_strdupv(template->host_keys);
    keys->files = g_ptr_array_new_with_free_func((GDestroyNotify)stead_identity_file_free);
    keys->thread = g_thread_new("host-keys", make_keys, keys);
    return keys;
}

GPtrArray *stead_clone_keys_end(SteadCloneKeys *keys, GError **error)
{
    gboolean made = g_thread_join(keys->thread) != NULL;
    GPtrArray *files = g_steal_pointer(&keys->files);
    if (!made) {
        g_clear_pointer(&files, g_ptr_array_unref);
        g_propagate_error(error, keys->error);
    }
    g_strfreev(keys->types);
    g_free(keys->dir);
    g_free(keys);
    return files;
}

/* ---- identity ---- */

static SteadIdentityNic *renew_nic(const SteadNicRecord *was, const SteadNicRecord *is,
                                   const SteadNetwork *network)
{
    SteadAddressPlan plan;
    SteadIdentityNic *nic = g_new0(SteadIdentityNic, 1);
    nic->was = g_strdup(was->mac);
    nic->mac = g_strdup(is->mac);
    nic->bridge = g_strdup(network->bridge);
    if (is->address && *is->address && stead_address_plan(network->spec, &plan, NULL)) {
        nic->address = g_strdup(is->address);
        nic->prefix = plan.subnet.prefix;
        if (network->spec->mode != STEAD_NETWORK_ISOLATED)
            nic->gateway = stead_ipv4_format(plan.gateway);
    }
    return nic;
}

/* The first network's server knows all names. Borrowed. */
static const char *domain_of(const SteadNetwork *network)
{
    const char *domain = network->spec->domain ? network->spec->domain : network->name;
    return network->spec->mode != STEAD_NETWORK_BRIDGE && stead_dns_name_is_valid(domain) ? domain
                                                                                          : NULL;
}

gboolean stead_clone_renew(SteadRuntime *runtime, const SteadMachine *machine,
                           const SteadTemplate *template, const char *hostname,
                           const GPtrArray *networks, const GPtrArray *nics, GPtrArray *keys,
                           GCancellable *cancellable, GError **error)
{
    SteadAddressPlan plan;
    g_autofree char *dns = NULL;
    g_autoptr(GPtrArray) renewed =
        g_ptr_array_new_with_free_func((GDestroyNotify)stead_identity_nic_free);
    g_auto(GStrv) parts = g_strsplit(machine->id, "-", -1);
    g_autofree char *digits = g_strjoinv("", parts);
    SteadIdentity identity = {
        .hostname = hostname, .machine_id = digits, .nics = renewed, .keys = keys};
    const GPtrArray *was = template ? template->nics : nics;
    for (guint i = 0; i < nics->len && i < was->len; i++)
        g_ptr_array_add(renewed, renew_nic(was->pdata[i], nics->pdata[i], networks->pdata[i]));
    const SteadNetwork *first = networks->len > 0 ? networks->pdata[0] : NULL;
    if (first && (identity.domain = domain_of(first)) &&
        stead_address_plan(first->spec, &plan, NULL))
        identity.dns = dns = stead_ipv4_format(plan.gateway);
    return stead_runtime_renew(runtime, machine->id, &identity, RENEW_TIMEOUT_MS, cancellable,
                               error);
}

/* Its template's own identity, which changes nothing, on no network. */
gboolean stead_clone_rehearse(SteadRuntime *runtime, const SteadMachine *machine,
                              const SteadTemplate *template, const GPtrArray *networks,
                              GCancellable *cancellable, GError **error)
{
    g_autoptr(GPtrArray) nics =
        g_ptr_array_new_with_free_func((GDestroyNotify)stead_identity_nic_free);
    g_autoptr(GPtrArray) keys = g_ptr_array_new();
    g_auto(GStrv) parts = g_strsplit(template->id, "-", -1);
    g_autofree char *digits = g_strjoinv("", parts);
    SteadIdentity identity = {
        .hostname = template->from, .machine_id = digits, .nics = nics, .keys = keys};
    for (guint i = 0; i < template->nics->len; i++) {
        const SteadNicRecord *record = template->nics->pdata[i];
        SteadIdentityNic *nic = networks->pdata[i] ? renew_nic(record, record, networks->pdata[i])
                                                   : g_new0(SteadIdentityNic, 1);
        g_clear_pointer(&nic->bridge, g_free);
        if (nic->was == NULL) {
            nic->was = g_strdup(record->mac);
            nic->mac = g_strdup(record->mac);
        }
        g_ptr_array_add(nics, nic);
    }
    return stead_runtime_renew(runtime, machine->id, &identity, RENEW_TIMEOUT_MS, cancellable,
                               error);
}
