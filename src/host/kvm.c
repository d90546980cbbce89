/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the probe program, and keeping its answer. The cache file has four lines: a format name,
 * a key that stands for everything the answer depends on, the time of the answer, and the answer
 * as the program gave it. A file that says anything else is as good as none. Only answers about a
 * device that could be opened are kept; the others cost nothing.
 */
#include "host/kvm.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/error.h"
#include "base/paths.h"
#include "base/subprocess.h"
#include "host/helper.h"

#define DEVICE "/dev/kvm"
#define PROGRAM "stead-kvm-probe"
#define CACHE_FORMAT "stead-kvm 1"
#define CACHE_MAX (2 * STEAD_KVM_OUTPUT_MAX)

static const char *const status_names[] = {
    [STEAD_KVM_USABLE] = "usable",
    [STEAD_KVM_UNUSABLE] = "unusable",
    [STEAD_KVM_ABSENT] = "absent",
    [STEAD_KVM_DENIED] = "denied",
};
G_STATIC_ASSERT(G_N_ELEMENTS(status_names) == STEAD_KVM_N_STATUSES);

const char *stead_kvm_status_name(SteadKvmStatus status)
{
    return status < STEAD_KVM_N_STATUSES ? status_names[status] : "unknown";
}

void stead_kvm_free(SteadKvm *kvm)
{
    if (kvm == NULL)
        return;
    g_free(kvm->step);
    g_free(kvm->detail);
    g_free(kvm);
}

/* A member that must be a string or absent; cut to its limit, on one line. NULL when absent. */
static char *text_member(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);
    if (node == NULL || json_node_get_value_type(node) != G_TYPE_STRING)
        return NULL;
    g_autofree char *cut = g_strndup(json_node_get_string(node), STEAD_KVM_TEXT_MAX);
    char *clean = g_utf8_make_valid(cut, -1);
    for (char *c = clean; *c; c++)
        if (g_ascii_iscntrl(*c))
            *c = ' ';
    return clean;
}

static double number_member(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);
    if (node == NULL || !JSON_NODE_HOLDS_VALUE(node))
        return 0;
    double value = json_node_get_double(node);
    return isfinite(value) && value > 0 ? value : 0;
}

static SteadKvm *no_answer(GError **error, const char *why)
{
    stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "the answer of " PROGRAM " %s", why);
    return NULL;
}

static gboolean status_from_name(const char *name, SteadKvmStatus *status)
{
    for (gsize i = 0; name && i < G_N_ELEMENTS(status_names); i++) {
        if (strcmp(status_names[i], name) == 0) {
            *status = (SteadKvmStatus)i;
            return TRUE;
        }
    }
    return FALSE;
}

SteadKvm *stead_kvm_parse(const char *output, GError **error)
{
    if (strlen(output) > STEAD_KVM_OUTPUT_MAX)
        return no_answer(error, "is too long");
    g_autoptr(JsonParser) parser = json_parser_new();
    if (!json_parser_load_from_data(parser, output, -1, NULL))
        return no_answer(error, "is not JSON");
    JsonNode *root = json_parser_get_root(parser);
    if (root == NULL || !JSON_NODE_HOLDS_OBJECT(root))
        return no_answer(error, "is not an object");
    JsonObject *object = json_node_get_object(root);
    g_autofree char *name = text_member(object, "status");
    SteadKvmStatus status;
    if (!status_from_name(name, &status))
        return no_answer(error, "has no status that is known");
    SteadKvm *kvm = g_new0(SteadKvm, 1);
    kvm->status = status;
    kvm->step = text_member(object, "step");
    kvm->detail = text_member(object, "detail");
    if (kvm->detail == NULL)
        kvm->detail = g_strdup("");
    kvm->slowdown = number_member(object, "slowdown");
    return kvm;
}

char *stead_kvm_describe(const SteadKvm *kvm)
{
    const char *name = stead_kvm_status_name(kvm->status);
    if (kvm->status != STEAD_KVM_UNUSABLE || kvm->step == NULL)
        return g_strdup(name);
    const char *separator = *kvm->detail ? ": " : "";
    return g_strdup_printf("%s: %s%s%s", name, kvm->step, separator, kvm->detail);
}

static char *find_program(void)
{
    char *found = stead_helper_find("vmm", PROGRAM);
    return found ? found : stead_helper_installed(PROGRAM);
}

static void append_identity(GString *key, const char *path)
{
    struct stat info;
    if (stat(path, &info) < 0)
        g_string_append(key, " none");
    else
        g_string_append_printf(key, " %lx.%lu.%o.%u.%u", (gulong)info.st_rdev, (gulong)info.st_ino,
                               info.st_mode, info.st_uid, info.st_gid);
}

static void append_version(GString *key, const char *path)
{
    struct stat info;
    if (stat(path, &info) == 0)
        g_string_append_printf(key, " %lu.%ld.%ld.%ld", (gulong)info.st_ino, (glong)info.st_size,
                               (glong)info.st_mtim.tv_sec, (glong)info.st_mtim.tv_nsec);
}

/* All that the answer depends on, as one line. */
static char *cache_key(const char *program)
{
    g_autofree char *boot = NULL;
    struct utsname kernel;
    if (!g_file_get_contents("/proc/sys/kernel/random/boot_id", &boot, NULL, NULL) ||
        uname(&kernel) < 0)
        return NULL;
    GString *key = g_string_new(g_strstrip(boot));
    g_string_append_printf(key, " %s uid %u", kernel.release, geteuid());
    append_identity(key, DEVICE);
    append_version(key, program);
    return g_string_free(key, FALSE);
}

static gboolean is_fresh(const SteadKvm *kvm, const char *time_text)
{
    gint64 then;
    gint64 now = g_get_real_time() / G_USEC_PER_SEC;
    if (!g_ascii_string_to_signed(time_text, 10, 0, G_MAXINT64, &then, NULL))
        return FALSE;
    return kvm->status == STEAD_KVM_USABLE || (then <= now && now - then < STEAD_KVM_RETRY_SECONDS);
}

/* At most CACHE_MAX bytes of a regular file; NULL when it is something else. */
static char *read_cache(const char *path)
{
    struct stat info;
    char *text = NULL;
    if (lstat(path, &info) < 0 || !S_ISREG(info.st_mode) || info.st_size > CACHE_MAX)
        return NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

static SteadKvm *load_cache(const char *path, const char *key)
{
    g_autofree char *text = read_cache(path);
    g_auto(GStrv) lines = text ? g_strsplit(text, "\n", 4) : NULL;
    if (lines == NULL || g_strv_length(lines) != 4 || strcmp(lines[0], CACHE_FORMAT) != 0 ||
        strcmp(lines[1], key) != 0)
        return NULL;
    g_autoptr(SteadKvm) kvm = stead_kvm_parse(lines[3], NULL);
    return kvm && is_fresh(kvm, lines[2]) ? g_steal_pointer(&kvm) : NULL;
}

static void save_cache(const char *path, const char *key, const char *output)
{
    g_autofree char *text = g_strdup_printf("%s\n%s\n%" G_GINT64_FORMAT "\n%s", CACHE_FORMAT, key,
                                            g_get_real_time() / G_USEC_PER_SEC, output);
    stead_write_file(path, text, -1, 0644, NULL);
}

static SteadKvm *ask_program(const char *program, char **output, GCancellable *cancellable,
                             GError **error)
{
    const char *const argv[] = {program, NULL};
    if (!stead_run(argv, NULL, cancellable, output, error)) {
        g_prefix_error(error, "cannot find out whether KVM is usable: ");
        return NULL;
    }
    return stead_kvm_parse(*output, error);
}

static SteadKvm *switched_off(void)
{
    SteadKvm *kvm = g_new0(SteadKvm, 1);
    kvm->status = STEAD_KVM_ABSENT;
    kvm->detail = g_strdup("switched off by STEAD_KVM=off");
    return kvm;
}

SteadKvm *stead_kvm_probe(const char *probe_program, const char *cache_file,
                          GCancellable *cancellable, GError **error)
{
    const char *wish = g_getenv("STEAD_KVM");
    if (wish && strcmp(wish, "off") == 0)
        return switched_off();
    gboolean anew = wish && strcmp(wish, "probe") == 0;
    if (wish && *wish && !anew) {
        stead_set_error(error, STEAD_ERROR_INVALID, "Set it to off or probe, or unset it.",
                        "STEAD_KVM is \"%s\"", wish);
        return NULL;
    }
    g_autofree char *program = probe_program ? g_strdup(probe_program) : find_program();
    g_autofree char *key = cache_file ? cache_key(program) : NULL;
    SteadKvm *known = key && !anew ? load_cache(cache_file, key) : NULL;
    if (known)
        return known;
    g_autofree char *output = NULL;
    SteadKvm *kvm = ask_program(program, &output, cancellable, error);
    if (kvm && key && (kvm->status == STEAD_KVM_USABLE || kvm->status == STEAD_KVM_UNUSABLE))
        save_cache(cache_file, key, output);
    return kvm;
}
