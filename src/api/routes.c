/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The route table and its matcher. A path is matched as it was sent, and only then is each {name}
 * decoded, so that an encoded slash can never make two segments of one.
 */
#include "api/routes.h"

#include <string.h>

#include "api/handlers.h"
#include "base/error.h"

#define INSTANCE "/v1/instances/{name}"

/* clang-format off */
const SteadRoute stead_routes[] = {
    {"GET", "/v1", stead_api_describe, "The host and its daemon", NULL, NULL, STEAD_ANSWER_OBJECT, "Host"},
    {"GET", "/v1/doctor", stead_api_doctor, "Check what the host needs", NULL, NULL, STEAD_ANSWER_OBJECT, "Report"},
    {"GET", "/v1/openapi.json", stead_api_openapi, "This description", NULL, NULL, STEAD_ANSWER_OBJECT, NULL},
    {"GET", "/v1/schema.json", stead_api_schema, "The JSON Schema of a spec", NULL, NULL, STEAD_ANSWER_OBJECT, NULL},

    {"GET", "/v1/instances", stead_api_instance_list, "List instances", "project", NULL, STEAD_ANSWER_LIST, "InstanceSummary"},
    {"POST", "/v1/instances", stead_api_instance_create, "Create an instance", NULL, "name! spec! start", STEAD_ANSWER_JOB, NULL},
    {"GET", INSTANCE, stead_api_instance_show, "Show an instance", NULL, NULL, STEAD_ANSWER_OBJECT, "Instance"},
    {"DELETE", INSTANCE, stead_api_instance_remove, "Remove an instance and its disks", "force", NULL, STEAD_ANSWER_JOB, NULL},
    {"POST", INSTANCE "/start", stead_api_instance_start, "Start an instance", NULL, NULL, STEAD_ANSWER_JOB, NULL},
    {"POST", INSTANCE "/stop", stead_api_instance_stop, "Shut an instance down", NULL, "timeout-ms force", STEAD_ANSWER_JOB, NULL},
    {"POST", INSTANCE "/restart", stead_api_instance_restart, "Stop and start an instance", NULL, "timeout-ms force", STEAD_ANSWER_JOB, NULL},
    {"POST", INSTANCE "/pause", stead_api_instance_pause, "Pause an instance", NULL, NULL, STEAD_ANSWER_JOB, NULL},
    {"POST", INSTANCE "/resume", stead_api_instance_resume, "Resume a paused instance", NULL, NULL, STEAD_ANSWER_JOB, NULL},
    {"POST", INSTANCE "/exec", stead_api_instance_exec, "Run a command in an instance", NULL, "command! input timeout-ms", STEAD_ANSWER_OBJECT, "ExecResult"},
    {"GET", INSTANCE "/exec", stead_api_stream_exec, "Run a command in an instance, live", NULL, "command! environment user directory terminal rows columns input", STEAD_ANSWER_STREAM, NULL},
    {"GET", INSTANCE "/file", stead_api_stream_file, "Copy a file to or from an instance", NULL, "get put name mode", STEAD_ANSWER_STREAM, NULL},
    {"GET", INSTANCE "/console", stead_api_instance_console, "Attach to the console", "write force from", NULL, STEAD_ANSWER_SOCKET, NULL},
    {"GET", INSTANCE "/logs", stead_api_instance_logs, "Read what the console showed", "follow tail timestamps boot raw", NULL, STEAD_ANSWER_TEXT, NULL},
    {"GET", INSTANCE "/display", stead_api_instance_display, "Where the graphical display listens", NULL, NULL, STEAD_ANSWER_OBJECT, "Display"},
    {"GET", INSTANCE "/stats", stead_api_instance_stats, "What a running instance uses", NULL, NULL, STEAD_ANSWER_OBJECT, "Stats"},
    {"GET", "/v1/stats", stead_api_all_stats, "What all running instances use", NULL, NULL, STEAD_ANSWER_LIST, "Stats"},
    {"POST", INSTANCE "/resize", stead_api_instance_resize, "Grow the root disk", NULL, "disk!", STEAD_ANSWER_JOB, NULL},
    {"POST", INSTANCE "/balloon", stead_api_instance_balloon, "Take or give back memory of a running guest", NULL, "size!", STEAD_ANSWER_OBJECT, NULL},
    {"GET", INSTANCE "/snapshots", stead_api_snapshot_list, "List snapshots", NULL, NULL, STEAD_ANSWER_LIST, "Snapshot"},
    {"POST", INSTANCE "/snapshots", stead_api_snapshot_create, "Take a snapshot", NULL, "name! memory", STEAD_ANSWER_JOB, NULL},
    {"POST", INSTANCE "/snapshots/{snapshot}/restore", stead_api_snapshot_restore, "Return to a snapshot", NULL, NULL, STEAD_ANSWER_JOB, NULL},
    {"DELETE", INSTANCE "/snapshots/{snapshot}", stead_api_snapshot_remove, "Remove a snapshot", NULL, NULL, STEAD_ANSWER_JOB, NULL},
    {"POST", INSTANCE "/volumes", stead_api_volume_attach, "Attach a volume", NULL, "volume! read-only", STEAD_ANSWER_JOB, NULL},
    {"DELETE", INSTANCE "/volumes/{volume}", stead_api_volume_detach, "Detach a volume", NULL, NULL, STEAD_ANSWER_JOB, NULL},

    {"GET", "/v1/images", stead_api_image_list, "List images of the local store", NULL, NULL, STEAD_ANSWER_LIST, "Image"},
    {"GET", "/v1/catalogue", stead_api_image_catalogue, "List images that can be pulled", NULL, NULL, STEAD_ANSWER_LIST, "CatalogueEntry"},
    {"POST", "/v1/images/pull", stead_api_image_pull, "Fetch an image of the catalogue", NULL, "name!", STEAD_ANSWER_JOB, NULL},
    {"POST", "/v1/images/build", stead_api_image_build, "Build an image from packages", NULL, "name! as", STEAD_ANSWER_JOB, NULL},
    {"POST", "/v1/images/import", stead_api_image_import, "Import a disk image of the host", NULL, "path! name!", STEAD_ANSWER_JOB, NULL},
    {"GET", "/v1/images/{image}", stead_api_image_show, "Show an image", NULL, NULL, STEAD_ANSWER_OBJECT, "Image"},
    {"DELETE", "/v1/images/{image}", stead_api_image_remove, "Remove an image", NULL, NULL, STEAD_ANSWER_NOTHING, NULL},

    {"GET", "/v1/templates", stead_api_template_list, "List templates", NULL, NULL, STEAD_ANSWER_LIST, "Template"},
    {"POST", "/v1/templates", stead_api_template_create, "Freeze an instance", NULL, "name! from! warm", STEAD_ANSWER_JOB, NULL},
    {"GET", "/v1/templates/{template}", stead_api_template_show, "Show a template", NULL, NULL, STEAD_ANSWER_OBJECT, "Template"},
    {"POST", "/v1/templates/{template}/warm", stead_api_template_warm, "Keep engines started ahead", NULL, "count!", STEAD_ANSWER_NOTHING, NULL},
    {"DELETE", "/v1/templates/{template}", stead_api_template_remove, "Remove a template", NULL, NULL, STEAD_ANSWER_JOB, NULL},

    {"GET", "/v1/networks", stead_api_network_list, "List networks", NULL, NULL, STEAD_ANSWER_LIST, "Network"},
    {"POST", "/v1/networks", stead_api_network_create, "Create a network", NULL, "name! spec", STEAD_ANSWER_JOB, NULL},
    {"GET", "/v1/networks/{network}", stead_api_network_show, "Show a network", NULL, NULL, STEAD_ANSWER_OBJECT, "Network"},
    {"DELETE", "/v1/networks/{network}", stead_api_network_remove, "Remove a network", NULL, NULL, STEAD_ANSWER_JOB, NULL},

    {"GET", "/v1/pools", stead_api_pools, "List pools", NULL, NULL, STEAD_ANSWER_LIST, "Pool"},
    {"GET", "/v1/volumes", stead_api_volume_list, "List volumes", NULL, NULL, STEAD_ANSWER_LIST, "Volume"},
    {"POST", "/v1/volumes", stead_api_volume_create, "Create a volume", NULL, "name! spec!", STEAD_ANSWER_JOB, NULL},
    {"GET", "/v1/volumes/{volume}", stead_api_volume_show, "Show a volume", NULL, NULL, STEAD_ANSWER_OBJECT, "Volume"},
    {"DELETE", "/v1/volumes/{volume}", stead_api_volume_remove, "Remove a volume and its content", NULL, NULL, STEAD_ANSWER_JOB, NULL},
    {"POST", "/v1/volumes/{volume}/resize", stead_api_volume_resize, "Grow a volume", NULL, "size!", STEAD_ANSWER_JOB, NULL},

    {"POST", "/v1/plan", stead_api_plan, "Say what up would do", NULL, "spec!", STEAD_ANSWER_OBJECT, "Plan"},
    {"POST", "/v1/up", stead_api_up, "Make the host match a spec", NULL, "spec!", STEAD_ANSWER_JOB, NULL},
    {"POST", "/v1/down", stead_api_down, "Remove what a spec made", NULL, "project! volumes", STEAD_ANSWER_JOB, NULL},

    {"GET", "/v1/jobs", stead_api_job_list, "List jobs, newest first", "active", NULL, STEAD_ANSWER_LIST, "Job"},
    {"GET", "/v1/jobs/{job}", stead_api_job_show, "Show a job", NULL, NULL, STEAD_ANSWER_OBJECT, "Job"},
    {"DELETE", "/v1/jobs/{job}", stead_api_job_cancel, "Cancel a job", NULL, NULL, STEAD_ANSWER_NOTHING, NULL},
    {"GET", "/v1/events", stead_api_events, "Read or follow events", "since follow", NULL, STEAD_ANSWER_EVENTS, "Event"},
};
/* clang-format on */
const gsize stead_n_routes = G_N_ELEMENTS(stead_routes);

static void clear_params(char *params[STEAD_API_MAX_PARAMS])
{
    for (guint i = 0; i < STEAD_API_MAX_PARAMS; i++)
        g_clear_pointer(&params[i], g_free);
}

static gboolean match(const char *pattern, const char *path, char *params[STEAD_API_MAX_PARAMS])
{
    guint n = 0;
    while (*pattern != '\0' && *path != '\0') {
        if (*pattern != '{') {
            if (*pattern++ != *path++)
                return FALSE;
            continue;
        }
        gsize length = strcspn(path, "/");
        g_autofree char *decoded = g_uri_unescape_segment(path, path + length, "/");
        if (length == 0 || decoded == NULL || n == STEAD_API_MAX_PARAMS)
            return FALSE;
        params[n++] = g_steal_pointer(&decoded);
        path += length;
        pattern = strchr(pattern, '}') + 1;
    }
    return *pattern == '\0' && *path == '\0';
}

char *stead_route_allowed(const char *path)
{
    GString *allowed = g_string_new(NULL);
    for (gsize i = 0; i < stead_n_routes; i++) {
        char *params[STEAD_API_MAX_PARAMS] = {NULL};
        if (match(stead_routes[i].path, path, params))
            g_string_append_printf(allowed, "%s%s", allowed->len > 0 ? ", " : "",
                                   stead_routes[i].method);
        clear_params(params);
    }
    return g_string_free(allowed, allowed->len == 0);
}

const SteadRoute *stead_route_find(const char *method, const char *path,
                                   char *params[STEAD_API_MAX_PARAMS], GError **error)
{
    memset(params, 0, STEAD_API_MAX_PARAMS * sizeof *params);
    for (gsize i = 0; i < stead_n_routes; i++) {
        if (g_str_equal(stead_routes[i].method, method) &&
            match(stead_routes[i].path, path, params))
            return &stead_routes[i];
        clear_params(params);
    }
    g_autofree char *allowed = stead_route_allowed(path);
    if (allowed) {
        g_autofree char *hint = g_strdup_printf("It takes %s.", allowed);
        stead_set_error(error, STEAD_ERROR_INVALID, hint, "%.256s does not take %.16s", path,
                        method);
    } else {
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, "GET /v1/openapi.json lists what there is.",
                        "the API has no '%.256s'", path);
    }
    return NULL;
}
