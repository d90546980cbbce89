/* SPDX-License-Identifier: Apache-2.0 */
/* Running qemu-img: the argv, and what it answers. */
#include "storage/qemu_img.h"

#include <json-glib/json-glib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/subprocess.h"

void stead_disk_file_free(SteadDiskFile *file)
{
    if (file == NULL)
        return;
    g_free(file->format);
    g_free(file->backing);
    g_free(file);
}

static JsonNode *member(JsonObject *object, const char *name, GType type)
{
    JsonNode *node = json_object_get_member(object, name);
    return node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type ? node
                                                                                         : NULL;
}

static guint64 member_size(JsonObject *object, const char *name)
{
    JsonNode *node = member(object, name, G_TYPE_INT64);
    gint64 value = node ? json_node_get_int(node) : 0;
    return value > 0 ? (guint64)value : 0;
}

SteadDiskFile *stead_disk_file_parse(const char *json, GError **error)
{
    g_autoptr(JsonNode) root = json_from_string(json, NULL);
    JsonObject *object = root && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL;
    JsonNode *format = object ? member(object, "format", G_TYPE_STRING) : NULL;
    if (format == NULL) {
        stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "qemu-img's answer makes no sense");
        return NULL;
    }
    JsonNode *backing = member(object, "full-backing-filename", G_TYPE_STRING);
    if (backing == NULL)
        backing = member(object, "backing-filename", G_TYPE_STRING);
    SteadDiskFile *file = g_new0(SteadDiskFile, 1);
    file->format = g_strdup(json_node_get_string(format));
    file->backing = backing ? g_strdup(json_node_get_string(backing)) : NULL;
    file->virtual_size = member_size(object, "virtual-size");
    file->actual_size = member_size(object, "actual-size");
    return file;
}

SteadDiskFile *stead_disk_file_info(const char *path, const char *format, GError **error)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    const char *const head[] = {"qemu-img", "info", "--force-share", "--output=json"};
    if (access(path, F_OK) != 0) {
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "there is no disk %s", path);
        return NULL;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(head); i++)
        g_ptr_array_add(argv, (gpointer)head[i]);
    if (format) {
        g_ptr_array_add(argv, (gpointer) "-f");
        g_ptr_array_add(argv, (gpointer)format);
    }
    g_ptr_array_add(argv, (gpointer) "--");
    g_ptr_array_add(argv, (gpointer)path);
    g_ptr_array_add(argv, NULL);

    g_autofree char *answer = NULL;
    g_autoptr(GError) local = NULL;
    if (stead_run((const char *const *)argv->pdata, NULL, NULL, &answer, &local))
        return stead_disk_file_parse(answer, error);
    if (!g_error_matches(local, STEAD_ERROR, STEAD_ERROR_INTERNAL)) {
        g_propagate_error(error, g_steal_pointer(&local));
        return NULL;
    }
    stead_set_error(error, STEAD_ERROR_INVALID, NULL, "%s is not a disk that can be read: %s", path,
                    local->message);
    return NULL;
}

double stead_disk_file_progress(const char *line)
{
    const char *open = strchr(line, '(');
    char *end;
    double percent = open ? g_ascii_strtod(open + 1, &end) : -1;
    return open && end != open + 1 && g_str_has_prefix(end, "/100%") && percent >= 0
               ? CLAMP(percent / 100, 0, 1)
               : -1;
}

typedef struct {
    SteadProgressFunc func;
    gpointer data;
} Progress;

static void on_line(const char *line, gpointer data)
{
    const Progress *progress = data;
    double fraction = stead_disk_file_progress(line);
    if (progress->func && fraction >= 0)
        progress->func("copying", fraction, progress->data);
}

gboolean stead_disk_file_copy(const char *from, const char *format, const char *to,
                              SteadProgressFunc progress, gpointer data, GCancellable *cancellable,
                              GError **error)
{
    const char *const argv[] = {"qemu-img", "convert", "-p", "-n", "-f", format,
                                "-O",       "raw",     "--", from, to,   NULL};
    Progress context = {progress, data};
    SteadRunOptions options = {.on_line = on_line, .data = &context};
    g_autoptr(GError) local = NULL;
    if (stead_run(argv, &options, cancellable, NULL, &local))
        return TRUE;
    if (strstr(local->message, "No space left on device"))
        stead_set_error(error, STEAD_ERROR_EXHAUSTED, "Use a pool with more space.",
                        "copying %s to %s: no space is left", from, to);
    else
        g_propagate_prefixed_error(error, g_steal_pointer(&local), "copying %s: ", from);
    return FALSE;
}
