/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead run: one instance from the command line. A table maps options to the fields of the spec,
 * which the daemon checks; the client only reads the files that are named.
 */
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/json.h"
#include "cli/local_file.h"
#include "cli/screen.h"
#include "cli/watch.h"

/* As of a spec. */
#define MAX_COUNT 1000

typedef enum { FIELD_TEXT, FIELD_LIST, FIELD_INTEGER } FieldType;

typedef struct {
    const char *option;
    const char *field;
    FieldType type;
} Field;

static const Field fields[] = {
    {"kind", "kind", FIELD_TEXT},         {"cpus", "cpus", FIELD_INTEGER},
    {"cmdline", "cmdline", FIELD_TEXT},   {"memory", "memory", FIELD_TEXT},
    {"disk", "disk", FIELD_TEXT},         {"pool", "pool", FIELD_TEXT},
    {"network", "networks", FIELD_LIST},  {"port", "ports", FIELD_LIST},
    {"hostname", "hostname", FIELD_TEXT}, {"firmware", "firmware", FIELD_TEXT},
    {"package", "packages", FIELD_LIST},  {"command", "commands", FIELD_LIST},
    {"restart", "restart", FIELD_TEXT},
};

static void add_field(SteadCall *call, JsonBuilder *builder, const Field *field)
{
    if (!stead_call_has(call, field->option))
        return;
    switch (field->type) {
    case FIELD_TEXT:
        stead_json_add_text(builder, field->field, stead_call_text(call, field->option));
        break;
    case FIELD_LIST:
        stead_json_add_list(builder, field->field,
                            (const char *const *)stead_call_list(call, field->option));
        break;
    case FIELD_INTEGER:
        json_builder_set_member_name(builder, field->field);
        json_builder_add_int_value(builder, (gint64)stead_call_number(call, field->option, 0));
        break;
    }
}

static gboolean add_keys(SteadCall *call, JsonBuilder *builder, GError **error)
{
    g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func(g_free);
    for (char **key = stead_call_list(call, "ssh-key"); *key != NULL; key++)
        if (!stead_local_keys(*key, NULL, keys, error)) {
            g_prefix_error(error, "--ssh-key: ");
            return FALSE;
        }
    g_ptr_array_add(keys, NULL);
    stead_json_add_list(builder, "ssh-keys", (const char *const *)keys->pdata);
    return TRUE;
}

static gboolean add_user_data(SteadCall *call, JsonBuilder *builder, GError **error)
{
    const char *path = stead_call_text(call, "user-data");
    if (path == NULL)
        return TRUE;
    g_autofree char *text = stead_local_user_data(path, NULL, error);
    if (text == NULL) {
        g_prefix_error(error, "--user-data: ");
        return FALSE;
    }
    stead_json_add_text(builder, "user-data", text);
    return TRUE;
}

/* Files that the daemon reads: their paths are made absolute where the user's folder is known. */
static void add_file(SteadCall *call, JsonBuilder *builder, const char *option)
{
    const char *given = stead_call_text(call, option);
    g_autofree char *path = given ? g_canonicalize_filename(given, NULL) : NULL;
    if (path)
        stead_json_add_text(builder, option, path);
}

static gboolean add_spec(SteadCall *call, JsonBuilder *builder, GError **error)
{
    json_builder_set_member_name(builder, "spec");
    json_builder_begin_object(builder);
    if (stead_call_n_arguments(call) > 0)
        stead_json_add_text(builder, "image", stead_call_argument(call, 0));
    add_file(call, builder, "kernel");
    add_file(call, builder, "initrd");
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++)
        add_field(call, builder, &fields[i]);
    if (!add_keys(call, builder, error) || !add_user_data(call, builder, error))
        return FALSE;
    json_builder_end_object(builder);
    return TRUE;
}

static JsonNode *make_body(SteadCall *call, const char *name, GError **error)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    stead_json_add_text(builder, "name", name);
    json_builder_set_member_name(builder, "start");
    json_builder_add_boolean_value(builder, !stead_call_flag(call, "no-start"));
    if (!add_spec(call, builder, error))
        return NULL;
    json_builder_end_object(builder);
    return stead_json_build(builder);
}

/* "debian:12" → "debian-12-3f9a". */
static char *invent_name(const char *image)
{
    GString *name = g_string_new(NULL);
    for (const char *p = image; *p != '\0' && name->len < 20; p++)
        if (g_ascii_isalnum(*p))
            g_string_append_c(name, g_ascii_tolower(*p));
        else if (name->len > 0 && name->str[name->len - 1] != '-')
            g_string_append_c(name, '-');
    gboolean dash = name->len > 0 && name->str[name->len - 1] == '-';
    g_string_append_printf(name, "%s%04x", dash || name->len == 0 ? "i" : "-",
                           g_random_int() & 0xffff);
    return g_string_free(name, FALSE);
}

static void say_what_next(SteadCall *call, const char *name)
{
    if (stead_call_json(call))
        return;
    if (stead_call_flag(call, "no-start"))
        stead_screen_remark("Start it: stead start %s", name);
    else if (stead_call_flag(call, "no-wait"))
        stead_screen_remark("It goes on by itself: stead wait %s", name);
    else
        stead_screen_remark("Go in: stead console %s    Run something: stead exec %s -- uname -r",
                            name, name);
}

/* NAME, or NAME-1 to NAME-n. */
static GStrv make_names(SteadCall *call)
{
    const char *given = stead_call_text(call, "name");
    guint64 count = stead_call_number(call, "count", 1);
    const char *image = stead_call_n_arguments(call) > 0 ? stead_call_argument(call, 0) : "kernel";
    g_autofree char *base = given ? g_strdup(given) : invent_name(image);
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    for (guint64 i = 1; i <= count && i <= MAX_COUNT; i++) {
        g_autofree char *name =
            count == 1 ? g_strdup(base) : g_strdup_printf("%s-%" G_GUINT64_FORMAT, base, i);
        g_strv_builder_add(names, name);
    }
    return g_strv_builder_end(names);
}

/* Has them made; those that were begun before one was refused go on. */
static gboolean begin(SteadCall *call, SteadWatch *watch, GStrv names, GError **error)
{
    for (char **name = names; *name != NULL; name++) {
        g_autoptr(JsonNode) body = make_body(call, *name, error);
        g_autoptr(JsonNode) job =
            body ? stead_call_request(call, "POST", "/v1/instances", body, error) : NULL;
        if (job == NULL)
            return FALSE;
        if (stead_call_flag(call, "no-wait")) {
            if (stead_call_json(call))
                stead_json_print(job);
            else
                puts(*name);
            continue;
        }
        stead_watch_add(watch, *name);
        stead_watch_job(watch, job, NULL);
    }
    return TRUE;
}

static int run(SteadCall *call, GError **error)
{
    guint64 count = stead_call_number(call, "count", 1);
    if (count < 1 || count > MAX_COUNT) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "--count is from 1 to %d", MAX_COUNT);
        return 2;
    }
    if (stead_call_n_arguments(call) == 0 && !stead_call_has(call, "kernel")) {
        stead_set_error(error, STEAD_ERROR_INVALID, "For instance: stead run debian:12",
                        "'stead run' needs an image, a template or a --kernel");
        return 2;
    }
    g_auto(GStrv) names = make_names(call);
    g_autoptr(SteadWatch) watch = stead_watch_new(call, stead_call_json(call), error);
    if (watch == NULL || !begin(call, watch, names, error))
        return 1;
    int code = 0;
    if (!stead_call_flag(call, "no-wait")) {
        gboolean start = !stead_call_flag(call, "no-start");
        if (!stead_call_has(call, "timeout"))
            stead_watch_keep_to_rules(watch);
        code = stead_watch_run(watch, start ? STEAD_UNTIL_READY : STEAD_UNTIL_DONE,
                               stead_call_number(call, "timeout", 0), error);
    }
    if (code == 0)
        say_what_next(call, names[0]);
    return code;
}

static const SteadArgument arguments[] = {
    {.name = "IMAGE",
     .doc = "an image of the local store or the catalogue: debian:12, ubuntu:24.04; or a template: "
            "template:base",
     .optional = TRUE,
     .complete = STEAD_COMPLETE_IMAGE},
    {NULL},
};

static const SteadOption options[] = {
    {.name = "name",
     .type = STEAD_OPTION_TEXT,
     .metavar = "NAME",
     .doc = "its name, which is also its host name; invented where left out"},
    {.name = "count",
     .letter = 'n',
     .type = STEAD_OPTION_NUMBER,
     .metavar = "N",
     .doc = "how many; above 1 they are called NAME-1 to NAME-N",
     .fallback = "1"},
    {.name = "kind",
     .type = STEAD_OPTION_CHOICE,
     .choices = "auto|vm|microvm",
     .doc = "what runs it",
     .fallback = "auto"},
    {.name = "kernel",
     .type = STEAD_OPTION_TEXT,
     .metavar = "FILE",
     .doc = "a kernel that a microvm boots: bzImage, or ELF with a PVH entry, such as a unikernel",
     .fallback = "the image's",
     .complete = STEAD_COMPLETE_FILE},
    {.name = "initrd",
     .type = STEAD_OPTION_TEXT,
     .metavar = "FILE",
     .doc = "the initramfs for that kernel",
     .complete = STEAD_COMPLETE_FILE},
    {.name = "cmdline",
     .type = STEAD_OPTION_TEXT,
     .metavar = "TEXT",
     .doc = "the kernel's command line"},
    {.name = "cpus",
     .letter = 'c',
     .type = STEAD_OPTION_NUMBER,
     .metavar = "N",
     .doc = "virtual CPUs"},
    {.name = "memory",
     .letter = 'm',
     .type = STEAD_OPTION_TEXT,
     .metavar = "SIZE",
     .doc = "memory: 512M, 2G"},
    {.name = "disk",
     .type = STEAD_OPTION_TEXT,
     .metavar = "SIZE",
     .doc = "size of its root disk",
     .fallback = "as the image's"},
    {.name = "pool", .type = STEAD_OPTION_TEXT, .metavar = "POOL", .doc = "pool of its root disk"},
    {.name = "network",
     .type = STEAD_OPTION_LIST,
     .metavar = "NETWORK",
     .doc = "a network to be in; may be repeated",
     .fallback = "default",
     .complete = STEAD_COMPLETE_NETWORK},
    {.name = "port",
     .letter = 'p',
     .type = STEAD_OPTION_LIST,
     .metavar = "HOST:GUEST",
     .doc = "publish a port: 8080:80, 127.0.0.1:5353:53/udp; may be repeated"},
    {.name = "hostname",
     .type = STEAD_OPTION_TEXT,
     .metavar = "NAME",
     .doc = "a host name other than its name"},
    {.name = "ssh-key",
     .type = STEAD_OPTION_LIST,
     .metavar = "FILE|KEY",
     .doc = "a public key that may log in, or a file of them; may be repeated",
     .complete = STEAD_COMPLETE_FILE},
    {.name = "user-data",
     .type = STEAD_OPTION_TEXT,
     .metavar = "FILE",
     .doc = "cloud-init user-data, passed through",
     .complete = STEAD_COMPLETE_FILE},
    {.name = "package",
     .type = STEAD_OPTION_LIST,
     .metavar = "PACKAGE",
     .doc = "installed at first boot; may be repeated"},
    {.name = "command",
     .type = STEAD_OPTION_LIST,
     .metavar = "COMMAND",
     .doc = "run by the guest's shell at first boot; may be repeated"},
    {.name = "firmware",
     .type = STEAD_OPTION_CHOICE,
     .choices = "uefi|bios",
     .doc = "what boots it",
     .fallback = "uefi"},
    {.name = "restart",
     .type = STEAD_OPTION_CHOICE,
     .choices = "never|on-failure|always",
     .doc = "whether it is started again when it ends by itself"},
    {.name = "no-start", .doc = "make it, but do not start it"},
    {.name = "no-wait", .doc = "return as soon as the daemon has begun"},
    {.name = "timeout",
     .letter = 't',
     .type = STEAD_OPTION_DURATION,
     .metavar = "TIME",
     .doc = "fail when it is not ready after this long",
     .fallback = "the readiness rule's"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadExample examples[] = {
    {"stead run --name web debian:12", "A Debian machine; ready when the command returns:"},
    {"stead run --name web -c 2 -m 2G -p 8080:80 --package nginx debian:12",
     "Two CPUs, a web server, reachable as port 8080 of the host:"},
    {"stead run template:base --name n --count 50", "Clones of a machine that has booted:"},
    {"stead run --kind vm --name ci --ssh-key ~/.ssh/id_ed25519.pub ubuntu:24.04",
     "One to log in to over SSH:"},
    {NULL},
};

static const SteadExit exits[] = {
    {3, "there is no such image"},    {4, "the name, an address or a port is taken"},
    {7, "there is no room for it"},   {13, "the guest failed"},
    {14, "it was not ready in time"}, {0, NULL},
};

const SteadCommand stead_cmd_run = {
    .name = "run",
    .section = STEAD_SECTION_INSTANCE,
    .summary = "Make an instance from an image and start it",
    .description = "The image is looked for in the local store first, then in the catalogue. One "
                   "live line tells what happens, until the instance is ready. Ctrl-C ends the "
                   "watching; the instance goes on.",
    .arguments = arguments,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
};
