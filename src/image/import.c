/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Importing. The file is taken for hostile throughout:
 *
 *   open → unpack (confined) → find the format → read its header (inspect.c) → ask qemu-img for
 *   the size (confined) → convert to a fresh qcow2 (confined) → store
 *
 * qemu-img is given descriptors, an explicit driver and "backing": null in place of names and
 * guesses, so that neither a header that changes after it was read nor a mistake here leads it to
 * another file; and it runs as a user who could read none that matters.
 */
#include "image/import.h"

#include <errno.h>
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/units.h"
#include "image/confined.h"
#include "image/format.h"
#include "image/space.h"
#include "image/unpack.h"

#define INPUT_NAME "/proc/self/fd/10"
#define OUTPUT_NAME "/proc/self/fd/11"
G_STATIC_ASSERT(STEAD_CONFINED_FD == 10);

/* qemu-img's JSON answers are below 1 KiB. */
#define MAX_ANSWER (1024 * 1024)
#define MAX_PROGRESS_LINE 64

typedef struct {
    SteadImageStore *store;
    const SteadImportOptions *options;
    SteadProgressFunc progress;
    gpointer data;
    GCancellable *cancellable;
    int fd;       /* of the content at hand */
    char *staged; /* its path when it lies in staging */
} Import;

static void import_clear(Import *import)
{
    stead_clear_fd(&import->fd);
    stead_clear_unlink(&import->staged);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Import, import_clear)

static const char *kind_of_file(mode_t mode)
{
    return S_ISDIR(mode)    ? "a folder"
           : S_ISFIFO(mode) ? "a named pipe"
           : S_ISSOCK(mode) ? "a socket"
           : S_ISBLK(mode)  ? "a block device"
                            : "a character device";
}

static gboolean check_kind(const char *file, mode_t mode, GError **error)
{
    if (S_ISREG(mode))
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INVALID,
                    S_ISBLK(mode) ? "Copy the disk to a file first: qemu-img convert -O qcow2 "
                                    "DEVICE FILE.qcow2"
                                  : "Name the file of a disk image.",
                    "%s is %s, not a file", file, kind_of_file(mode));
    return FALSE;
}

/* Looked at before it is opened (opening a device can have effects), and again after. */
static int open_source(const char *file, GError **error)
{
    struct stat st;
    if (!g_path_is_absolute(file)) {
        stead_set_error(error, STEAD_ERROR_INVALID, "Give the whole path of the file.",
                        "'%s' is not an absolute path", file);
        return -1;
    }
    stead_autofd fd = -1;
    if (stat(file, &st) == 0) {
        if (!check_kind(file, st.st_mode, error))
            return -1;
        fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    }
    if (fd < 0 || fstat(fd, &st) != 0) {
        int saved = errno;
        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "%s: %s", file,
                    g_strerror(saved));
        return -1;
    }
    return check_kind(file, st.st_mode, error) ? stead_steal_fd(&fd) : -1;
}

/* Puts a staged file in the place of the content at hand. */
static void replace_content(Import *import, int *fd, char **staged)
{
    import_clear(import);
    import->fd = stead_steal_fd(fd);
    import->staged = g_steal_pointer(staged);
}

/* Brings the content into staging, unpacked or as it is. */
static gboolean stage_content(Import *import, SteadPacking packing, GError **error)
{
    stead_autofd fd = -1;
    stead_autounlink staged = stead_image_store_stage(import->store, ".disk", &fd, error);
    if (staged == NULL)
        return FALSE;
    gboolean done = packing == STEAD_PACKING_NONE
                        ? stead_copy_sparse(import->fd, fd, import->progress, import->data,
                                            import->cancellable, error)
                        : stead_unpack(import->fd, packing, fd, import->progress, import->data,
                                       import->cancellable, error);
    if (done)
        replace_content(import, &fd, &staged);
    return done;
}

/* A file that others may not read has to be copied, as a confined program is such another. */
static gboolean make_readable(Import *import, GError **error)
{
    struct stat st;
    if (import->staged || import->options->move)
        return stead_confined_share(import->fd, FALSE, error);
    if (geteuid() != 0 || (fstat(import->fd, &st) == 0 && (st.st_mode & S_IROTH)))
        return TRUE;
    return stage_content(import, STEAD_PACKING_NONE, error) &&
           stead_confined_share(import->fd, FALSE, error);
}

/* The content as qemu-img is told of it. Owned by the caller. */
static char *describe_input(SteadDiskFormat format)
{
    gboolean may_have_backing =
        format == STEAD_DISK_FORMAT_QCOW2 || format == STEAD_DISK_FORMAT_VMDK;
    return g_strdup_printf("json:{\"driver\":\"%s\",%s\"file\":{\"driver\":\"file\","
                           "\"filename\":\"" INPUT_NAME "\"}}",
                           stead_disk_format_driver(format),
                           may_have_backing ? "\"backing\":null," : "");
}

static gboolean collect(const guint8 *bytes, gsize n, gpointer data, GError **error)
{
    GString *text = data;
    if (text->len + n > MAX_ANSWER) {
        stead_set_error(error, STEAD_ERROR_EXHAUSTED, NULL, "qemu-img said more than 1 MiB");
        return FALSE;
    }
    g_string_append_len(text, (const char *)bytes, (gssize)n);
    return TRUE;
}

/* Runs `qemu-img COMMAND --output=json [-O qcow2] INPUT` and returns one number of its answer. */
static gboolean ask_qemu_img(Import *import, const char *command, SteadDiskFormat format,
                             const char *member, guint64 *number, GError **error)
{
    g_autofree char *input = describe_input(format);
    gboolean measure = strcmp(command, "measure") == 0;
    const char *argv[] = {"qemu-img",
                          command,
                          "--output=json",
                          measure ? "-O" : input,
                          measure ? "qcow2" : NULL,
                          measure ? input : NULL,
                          NULL};
    g_autoptr(GString) answer = g_string_new(NULL);
    SteadConfinedOptions options = {.argv = argv,
                                    .input = -1,
                                    .fds = &import->fd,
                                    .n_fds = 1,
                                    .on_output = collect,
                                    .data = answer};
    if (!stead_confined_run(&options, import->cancellable, error))
        return FALSE;
    g_autoptr(JsonParser) parser = json_parser_new();
    if (!json_parser_load_from_data(parser, answer->str, (gssize)answer->len, error))
        return FALSE;
    JsonNode *root = json_parser_get_root(parser);
    JsonObject *object = root && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL;
    gint64 value = object ? json_object_get_int_member_with_default(object, member, -1) : -1;
    if (value < 0 || json_object_has_member(object, "backing-filename") ||
        json_object_has_member(object, "encrypted")) {
        stead_set_error(error, STEAD_ERROR_INVALID, "The file is damaged, or made to mislead.",
                        "qemu-img %s does not tell the image's %s", command, member);
        return FALSE;
    }
    *number = (guint64)value;
    return TRUE;
}

static gboolean check_size(Import *import, SteadDiskFormat format, GError **error)
{
    guint64 size;
    if (!ask_qemu_img(import, "info", format, "virtual-size", &size, error))
        return FALSE;
    if (size > 0 && size <= STEAD_MAX_DISK)
        return TRUE;
    stead_set_error(error, size ? STEAD_ERROR_EXHAUSTED : STEAD_ERROR_INVALID, NULL,
                    "its disk of %" G_GUINT64_FORMAT " bytes is out of bounds", size);
    return FALSE;
}

typedef struct {
    Import *import;
    char line[MAX_PROGRESS_LINE];
    gsize length;
} Percent;

/* qemu-img -p writes "    (12.50/100%)" and a carriage return. */
static gboolean take_percent(const guint8 *bytes, gsize n, gpointer data, GError **error)
{
    Percent *percent = data;
    for (gsize i = 0; i < n; i++) {
        if (bytes[i] != '\r' && bytes[i] != '\n') {
            if (percent->length < sizeof percent->line - 1)
                percent->line[percent->length++] = (char)bytes[i];
            continue;
        }
        percent->line[percent->length] = '\0';
        const char *number = strchr(percent->line, '(');
        if (number && percent->import->progress)
            percent->import->progress("converting",
                                      CLAMP(g_ascii_strtod(number + 1, NULL) / 100, 0.0, 1.0),
                                      percent->import->data);
        percent->length = 0;
    }
    return TRUE;
}

static gboolean run_convert(Import *import, SteadDiskFormat format, int to, guint64 max_file,
                            GError **error)
{
    g_autofree char *input = describe_input(format);
    const char *argv[] = {"qemu-img", "convert",    "-p",  "-O",        "qcow2",
                          "-o",       "compat=1.1", input, OUTPUT_NAME, NULL};
    const int fds[] = {import->fd, to};
    Percent percent = {.import = import};
    SteadConfinedOptions options = {.argv = argv,
                                    .input = -1,
                                    .fds = fds,
                                    .n_fds = G_N_ELEMENTS(fds),
                                    .max_file = max_file,
                                    .on_output = take_percent,
                                    .data = &percent};
    return stead_confined_run(&options, import->cancellable, error);
}

/* Writes the content anew as a qcow2 of our own making. */
static gboolean convert(Import *import, SteadDiskFormat format, GError **error)
{
    guint64 required;
    if (!make_readable(import, error) || !check_size(import, format, error) ||
        !ask_qemu_img(import, "measure", format, "required", &required, error))
        return FALSE;
    stead_autofd fd = -1;
    stead_autounlink staged = stead_image_store_stage(import->store, ".qcow2", &fd, error);
    if (staged == NULL || !stead_space_check(fd, required, "the image", error) ||
        !stead_confined_share(fd, TRUE, error))
        return FALSE;
    guint64 max_file = required + required / 16 + (G_GUINT64_CONSTANT(64) << 20);
    if (!run_convert(import, format, fd, max_file, error))
        return FALSE;
    replace_content(import, &fd, &staged);
    return TRUE;
}

/* A verified qcow2 goes into the store byte for byte. */
static gboolean keep(Import *import, const char *file, GError **error)
{
    if (import->staged)
        return TRUE;
    if (!import->options->move)
        return stage_content(import, STEAD_PACKING_NONE, error);
    g_autofree char *staged = stead_image_store_stage(import->store, ".qcow2", NULL, error);
    if (staged == NULL)
        return FALSE;
    if (rename(file, staged) != 0) {
        int saved = errno;
        unlink(staged);
        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "moving: %s",
                    g_strerror(saved));
        return FALSE;
    }
    import->staged = g_steal_pointer(&staged);
    return TRUE;
}

static gboolean bring_in(Import *import, const char *file, GError **error)
{
    SteadPacking packing;
    SteadDiskFormat format;
    guint64 size;
    if (!stead_packing_detect(import->fd, &packing, error) ||
        (packing != STEAD_PACKING_NONE && !stage_content(import, packing, error)) ||
        !stead_disk_format_detect(import->fd, &format, error) ||
        !stead_disk_format_inspect(import->fd, format, &size, error))
        return FALSE;
    if (import->options->verified && format == STEAD_DISK_FORMAT_QCOW2)
        return keep(import, file, error);
    return convert(import, format, error);
}

/* Says CANCELLED in one way, whichever step noticed. */
static void explain(GError **error, const char *file)
{
    if (error == NULL || *error == NULL)
        return;
    if (stead_error_code(*error) == STEAD_ERROR_CANCELLED) {
        g_clear_error(error);
        stead_set_error(error, STEAD_ERROR_CANCELLED, NULL, "importing %s was cancelled", file);
    } else {
        g_prefix_error(error, "cannot import %s: ", file);
    }
}

SteadImage *stead_image_import(SteadImageStore *store, const char *file,
                               const SteadImportOptions *options, SteadProgressFunc progress,
                               gpointer data, GCancellable *cancellable, GError **error)
{
    g_auto(Import) import = {.store = store,
                             .options = options,
                             .progress = progress,
                             .data = data,
                             .cancellable = cancellable,
                             .fd = open_source(file, error)};
    if (import.fd < 0)
        return NULL;
    g_autofree char *source = g_strdup_printf("import %s", file);
    SteadImageOrigin origin = options->origin;
    if (origin.source == NULL)
        origin.source = source;
    SteadImage *image = NULL;
    if (bring_in(&import, file, error))
        image = stead_image_store_add(store, import.staged, &origin, progress, data, cancellable,
                                      error);
    if (image == NULL)
        explain(error, file);
    return image;
}
