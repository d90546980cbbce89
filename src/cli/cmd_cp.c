/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead cp: a file to or from a guest, through its agent: no network, no key. On either side it is
 * written beside its place, and gets its name when it is whole. A file gets the permissions that it
 * had, but never set-user-ID: its owner is another one there.
 */
#include "cli/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/units.h"
#include "cli/json.h"
#include "cli/stream_client.h"

#define PERMISSIONS 0777
#define NEW_FILE 0644
/* How often the progress is shown. */
#define SHOW_EVERY (G_USEC_PER_SEC / 5)

/* One side of it: a file here ("-": standard input or output), or one in an instance. */
typedef struct {
    char *instance; /* NULL: here */
    const char *path;
} Place;

typedef struct {
    SteadCall *call;
    Place from, to;
    gboolean shows; /* how far it is */
    gboolean shown;
    gint64 shown_at;
    guint64 size; /* 0: unknown */
    guint mode;
} Copy;

static void copy_clear(Copy *copy)
{
    g_free(copy->from.instance);
    g_free(copy->to.instance);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Copy, copy_clear)

static gboolean set_failed(GError **error, const char *path, int failure)
{
    SteadErrorCode code = failure == ENOENT || failure == ENOTDIR ? STEAD_ERROR_NOT_FOUND
                          : failure == EACCES || failure == EPERM || failure == EROFS
                              ? STEAD_ERROR_DENIED
                          : failure == ENOSPC || failure == EDQUOT ? STEAD_ERROR_EXHAUSTED
                                                                   : STEAD_ERROR_INVALID;
    stead_set_error(error, code, NULL, "%s: %s", path, g_strerror(failure));
    return FALSE;
}

/* ---- progress ---- */

static void show(guint64 moved, gpointer data)
{
    Copy *copy = data;
    gint64 now = g_get_monotonic_time();
    if (!copy->shows || now - copy->shown_at < SHOW_EVERY)
        return;
    copy->shown = copy->shown_at != 0;
    copy->shown_at = now;
    if (!copy->shown) /* what is done at once is not worth a line */
        return;
    g_autofree char *done = stead_format_size(moved), *all = stead_format_size(copy->size);
    if (copy->size)
        fprintf(stderr, "\r%s of %s, %u%%\033[K", done, all,
                (guint)MIN(100, moved * 100 / copy->size));
    else
        fprintf(stderr, "\r%s\033[K", done);
}

static void end_progress(const Copy *copy)
{
    if (copy->shown)
        fputs("\r\033[K", stderr);
}

static gboolean on_started(JsonNode *about, gpointer data, GError **error)
{
    Copy *copy = data;
    copy->shown_at = 0;
    if (about) {
        copy->mode = (guint)stead_json_integer(about, "mode", NEW_FILE) & PERMISSIONS;
        copy->size = (guint64)MAX(stead_json_integer(about, "size", 0), 0);
    }
    return TRUE;
}

/* ---- the copy ---- */

/* Takes the request over. The exit code; not 0 when it was not copied. */
static int stream(Copy *copy, const char *instance, JsonBuilder *builder, int input, int output,
                  GError **error)
{
    SteadClient *client = stead_call_client(copy->call, error);
    if (client == NULL)
        return 1;
    g_autoptr(JsonNode) request = stead_json_build(builder);
    g_autofree char *path = stead_client_path("instances", instance, "file", NULL);
    g_autoptr(SoupSession) session = stead_client_session(client, 0);
    SteadStreamClientOptions options = {.path = path,
                                        .request = request,
                                        .input = input,
                                        .output = output,
                                        .errors = STDERR_FILENO,
                                        .started = on_started,
                                        .moved = show,
                                        .data = copy};
    GError *problem = NULL;
    int code = stead_stream_client(session, &options, &problem);
    end_progress(copy);
    if (problem && problem->domain != STEAD_ERROR)
        problem = stead_client_connect_error(client, problem);
    if (problem)
        g_propagate_error(error, problem);
    return code < 0 ? 1 : code;
}

/* Opens what is read; -1 upon failure. */
static int open_source(Copy *copy, GError **error)
{
    struct stat about;
    const char *path = copy->from.path;
    gboolean is_stdin = g_str_equal(path, "-");
    stead_autofd fd =
        is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) != 0) {
        set_failed(error, path, errno);
        return -1;
    }
    if (S_ISDIR(about.st_mode)) {
        g_autofree char *hint =
            g_strdup_printf("Pack it: tar -c -C %s . | stead exec %s -- tar -x -C %s", path,
                            copy->to.instance, copy->to.path);
        stead_set_error(error, STEAD_ERROR_INVALID, hint, "%s is a folder", path);
        return -1;
    }
    copy->size = S_ISREG(about.st_mode) ? (guint64)about.st_size : 0;
    copy->mode = is_stdin ? NEW_FILE : about.st_mode & PERMISSIONS;
    return stead_steal_fd(&fd);
}

static int copy_in(Copy *copy, GError **error)
{
    stead_autofd input = open_source(copy, error);
    if (input < 0)
        return 1;
    g_autofree char *name = g_path_get_basename(copy->from.path);
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    stead_json_add_text(builder, "put", copy->to.path);
    if (!g_str_equal(copy->from.path, "-"))
        stead_json_add_text(builder, "name", name);
    json_builder_set_member_name(builder, "mode");
    json_builder_add_int_value(builder, copy->mode);
    json_builder_end_object(builder);
    return stream(copy, copy->to.instance, builder, input, STDOUT_FILENO, error);
}

static int fetch(Copy *copy, int output, GError **error)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    stead_json_add_text(builder, "get", copy->from.path);
    json_builder_end_object(builder);
    return stream(copy, copy->from.instance, builder, -1, output, error);
}

/* Into what is there and no file: a pipe, a device. */
static int fetch_into(Copy *copy, const char *path, GError **error)
{
    stead_autofd output = open(path, O_WRONLY | O_CLOEXEC);
    if (output >= 0)
        return fetch(copy, output, error);
    set_failed(error, path, errno);
    return 1;
}

static gboolean finish(const Copy *copy, int output, const char *temporary, const char *path,
                       GError **error)
{
    return (fchmod(output, copy->mode) == 0 && rename(temporary, path) == 0) ||
           set_failed(error, path, errno);
}

static int fetch_file(Copy *copy, const char *path, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path), *name = g_path_get_basename(path);
    g_autofree char *hidden = g_strdup_printf(".%.200s.XXXXXX", name);
    stead_autounlink temporary = g_build_filename(folder, hidden, NULL);
    stead_autofd output = g_mkstemp_full(temporary, O_WRONLY | O_CLOEXEC, 0600);
    if (output < 0) {
        int failure = errno;
        g_clear_pointer(&temporary, g_free);
        set_failed(error, path, failure);
        return 1;
    }
    int code = fetch(copy, output, error);
    if (code != 0)
        return code;
    if (!finish(copy, output, temporary, path, error))
        return 1;
    g_clear_pointer(&temporary, g_free);
    return 0;
}

static int copy_out(Copy *copy, GError **error)
{
    struct stat about;
    if (g_str_equal(copy->to.path, "-"))
        return fetch(copy, STDOUT_FILENO, error);
    gboolean is_there = stat(copy->to.path, &about) == 0;
    if (is_there && S_ISDIR(about.st_mode)) {
        g_autofree char *name = g_path_get_basename(copy->from.path);
        g_autofree char *path = g_build_filename(copy->to.path, name, NULL);
        return fetch_file(copy, path, error);
    }
    return is_there && !S_ISREG(about.st_mode) ? fetch_into(copy, copy->to.path, error)
                                               : fetch_file(copy, copy->to.path, error);
}

/* ---- the command ---- */

/* "web:/etc/hosts"; what has a slash before its first colon is here. */
static Place read_place(const char *text)
{
    const char *colon = strchr(text, ':'), *slash = strchr(text, '/');
    if (colon == NULL || colon == text || (slash && slash < colon))
        return (Place){NULL, text};
    return (Place){g_strndup(text, (gsize)(colon - text)), colon + 1};
}

static int run(SteadCall *call, GError **error)
{
    g_auto(Copy) copy = {.call = call,
                         .from = read_place(stead_call_argument(call, 0)),
                         .to = read_place(stead_call_argument(call, 1)),
                         .shows = isatty(STDERR_FILENO) && !stead_call_flag(call, "quiet"),
                         .mode = NEW_FILE};
    if ((copy.from.instance == NULL) == (copy.to.instance == NULL)) {
        stead_set_error(error, STEAD_ERROR_INVALID, "Write NAME:/PATH for a file in an instance.",
                        "one of the two, and only one, must be in an instance");
        return 1;
    }
    return copy.to.instance ? copy_in(&copy, error) : copy_out(&copy, error);
}

static const SteadArgument arguments[] = {
    {.name = "FROM",
     .doc = "a file, or NAME:/PATH in an instance; - is standard input",
     .complete = STEAD_COMPLETE_FILE},
    {.name = "TO",
     .doc = "likewise, or a folder; - is standard output",
     .complete = STEAD_COMPLETE_FILE},
    {NULL},
};

static const SteadOption options[] = {
    {.name = "quiet", .letter = 'q', .doc = "do not show how far it is"},
    {NULL},
};

static const SteadExample examples[] = {
    {"stead cp site.conf web:/etc/nginx/conf.d/", "Into an instance:"},
    {"stead cp web:/var/log/syslog .", "Out of one:"},
    {"stead cp web:/etc/os-release - | grep NAME", "To another program:"},
    {NULL},
};

static const SteadExit exits[] = {
    {3, "there is no such file, or instance"},
    {7, "a disk is full"},
    {12, "instances of this kind do not support it"},
    {13, "the agent in the guest does not answer"},
    {0, NULL},
};

const SteadCommand stead_cmd_cp = {
    .name = "cp",
    .section = STEAD_SECTION_INSIDE,
    .summary = "Copy a file to or from an instance",
    .description =
        "The file appears whole, with the permissions that it had; in the guest it belongs to "
        "root. What was under that name before is replaced. Nothing is left of a copy that "
        "fails.\n\n"
        "Folders are packed for it: 'tar -c FOLDER | stead exec NAME -- tar -x'. Virtual machines "
        "have no agent that can do this.",
    .arguments = arguments,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
};
