/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start, stop, restart, pause, resume, rm: one request an instance, all at once, then their jobs
 * are followed together. Where several are named, what fails for one does not keep the others.
 */
#include "cli/commands.h"

#include "base/error.h"
#include "cli/json.h"
#include "cli/screen.h"
#include "cli/watch.h"

/* What distinguishes one of these commands from the others. */
typedef struct {
    const char *method;
    const char *action; /* last part of the path; NULL: none */
    SteadUntil until;
} Action;

static JsonNode *stop_body(SteadCall *call)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    guint64 timeout = stead_call_number(call, "timeout", 0);
    json_builder_begin_object(builder);
    if (timeout > 0) {
        json_builder_set_member_name(builder, "timeout-ms");
        json_builder_add_int_value(builder, (gint64)timeout);
    }
    json_builder_set_member_name(builder, "force");
    json_builder_add_boolean_value(builder, stead_call_flag(call, "force"));
    json_builder_end_object(builder);
    return stead_json_build(builder);
}

static char *path_of(const Action *action, const char *name, gboolean force)
{
    g_autofree char *path = stead_client_path("instances", name, action->action, NULL);
    return g_strconcat(path, force && action->action == NULL ? "?force=1" : "", NULL);
}

/* Sends the requests; the first error is the command's, further ones are printed. */
static guint request_all(SteadCall *call, SteadWatch *watch, const Action *action, JsonNode *body,
                         gboolean force, GError **error)
{
    guint begun = 0;
    for (const char *const *name = stead_call_arguments(call, 0); *name != NULL; name++) {
        g_autofree char *path = path_of(action, *name, force);
        g_autoptr(GError) cause = NULL;
        g_autoptr(JsonNode) job = stead_call_request(call, action->method, path, body, &cause);
        if (job != NULL) {
            const char *subject = stead_json_text(job, "subject");
            stead_watch_add(watch, subject ? subject : *name);
            stead_watch_job(watch, job, NULL);
            begun++;
        } else if (error != NULL && *error == NULL) {
            g_propagate_error(error, g_steal_pointer(&cause));
        } else {
            stead_screen_error(cause);
        }
    }
    return begun;
}

static int act(SteadCall *call, const Action *action, JsonNode *body, gboolean force,
               GError **error)
{
    g_autoptr(GError) refused = NULL;
    g_autoptr(SteadWatch) watch = stead_watch_new(call, stead_call_json(call), error);
    if (watch == NULL)
        return 1;
    guint begun = request_all(call, watch, action, body, force, &refused);
    stead_watch_keep_to_rules(watch);
    int code = begun > 0 ? stead_watch_run(watch, action->until, 0, error) : 1;
    if (refused == NULL)
        return code;
    if (code == 0 || begun == 0)
        g_propagate_error(error, g_steal_pointer(&refused));
    else
        stead_screen_error(refused);
    return code != 0 ? code : 1;
}

static int run_start(SteadCall *call, GError **error)
{
    gboolean wait = !stead_call_flag(call, "no-wait");
    Action action = {"POST", "start", wait ? STEAD_UNTIL_READY : STEAD_UNTIL_DONE};
    return act(call, &action, NULL, FALSE, error);
}

static int run_restart(SteadCall *call, GError **error)
{
    gboolean wait = !stead_call_flag(call, "no-wait");
    Action action = {"POST", "restart", wait ? STEAD_UNTIL_READY : STEAD_UNTIL_DONE};
    return act(call, &action, NULL, FALSE, error);
}

static int run_stop(SteadCall *call, GError **error)
{
    const Action action = {"POST", "stop", STEAD_UNTIL_DONE};
    g_autoptr(JsonNode) body = stop_body(call);
    return act(call, &action, body, FALSE, error);
}

static int run_pause(SteadCall *call, GError **error)
{
    const Action action = {"POST", "pause", STEAD_UNTIL_DONE};
    return act(call, &action, NULL, FALSE, error);
}

static int run_resume(SteadCall *call, GError **error)
{
    const Action action = {"POST", "resume", STEAD_UNTIL_DONE};
    return act(call, &action, NULL, FALSE, error);
}

static int run_rm(SteadCall *call, GError **error)
{
    const Action action = {"DELETE", NULL, STEAD_UNTIL_DONE};
    return act(call, &action, NULL, stead_call_flag(call, "force"), error);
}

static int run_resize(SteadCall *call, GError **error)
{
    const char *name = stead_call_argument(call, 0);
    g_autofree char *path = stead_client_path("instances", name, "resize", NULL);
    g_autoptr(JsonBuilder) builder = json_builder_new();
    if (!stead_call_has(call, "disk")) {
        stead_set_error(error, STEAD_ERROR_INVALID, "Say --disk SIZE.",
                        "'stead resize' needs the new size");
        return 2;
    }
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "disk");
    json_builder_add_int_value(builder, (gint64)stead_call_number(call, "disk", 0));
    json_builder_end_object(builder);
    g_autoptr(JsonNode) body = stead_json_build(builder);
    return stead_watch_request(call, "POST", path, body, name, NULL, error);
}

static const SteadArgument names[] = {
    {.name = "NAME",
     .doc = "an instance: its name, its id, or the first 6 or more characters of its id",
     .many = TRUE,
     .complete = STEAD_COMPLETE_INSTANCE},
    {NULL},
};

static const SteadArgument one_name[] = {
    {.name = "NAME", .doc = "the instance", .complete = STEAD_COMPLETE_INSTANCE},
    {NULL},
};

static const SteadOption start_options[] = {
    {.name = "no-wait", .doc = "return when it runs, before it is ready"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadOption stop_options[] = {
    {.name = "timeout",
     .letter = 't',
     .type = STEAD_OPTION_DURATION,
     .metavar = "TIME",
     .doc = "how long the guest may take to shut down",
     .fallback = "1m"},
    {.name = "force", .letter = 'f', .doc = "end it at once, as if its power was cut"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadOption rm_options[] = {
    {.name = "force", .letter = 'f', .doc = "also when it runs: ends it at once"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadOption resize_options[] = {
    {.name = "disk",
     .type = STEAD_OPTION_SIZE,
     .metavar = "SIZE",
     .doc = "the new size of its root disk; disks only grow"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadExample stop_examples[] = {
    {"stead stop web", "Ask the guest to shut down, and wait until it has:"},
    {"stead stop --force web db", "Cut the power of two:"},
    {NULL},
};

static const SteadExample resize_examples[] = {
    {"stead resize web --disk 40G", "Grow the root disk; most guests use the room at next boot:"},
    {NULL},
};

const SteadCommand stead_cmd_start = {
    .name = "start",
    .section = STEAD_SECTION_INSTANCE,
    .summary = "Start instances and wait until they are ready",
    .arguments = names,
    .options = start_options,
    .run = run_start,
};

const SteadCommand stead_cmd_stop = {
    .name = "stop",
    .section = STEAD_SECTION_INSTANCE,
    .summary = "Shut instances down",
    .description = "The guest is asked to shut down, as by its power button. Where it does not in "
                   "time, the command fails and the instance goes on running.",
    .arguments = names,
    .options = stop_options,
    .examples = stop_examples,
    .run = run_stop,
};

const SteadCommand stead_cmd_restart = {
    .name = "restart",
    .section = STEAD_SECTION_INSTANCE,
    .summary = "Shut instances down and start them again",
    .description = "Changes of the spec that wait for a restart are applied.",
    .arguments = names,
    .options = start_options,
    .run = run_restart,
};

const SteadCommand stead_cmd_pause = {
    .name = "pause",
    .section = STEAD_SECTION_INSTANCE,
    .summary = "Freeze running instances; their memory is kept",
    .arguments = names,
    .options = stead_format_options,
    .run = run_pause,
};

const SteadCommand stead_cmd_resume = {
    .name = "resume",
    .section = STEAD_SECTION_INSTANCE,
    .summary = "Let paused instances go on",
    .arguments = names,
    .options = stead_format_options,
    .run = run_resume,
};

const SteadCommand stead_cmd_rm = {
    .name = "rm",
    .section = STEAD_SECTION_INSTANCE,
    .summary = "Remove instances with their disks and snapshots",
    .description = "Volumes stay.",
    .arguments = names,
    .options = rm_options,
    .run = run_rm,
};

const SteadCommand stead_cmd_resize = {
    .name = "resize",
    .section = STEAD_SECTION_INSTANCE,
    .summary = "Grow the root disk of an instance",
    .arguments = one_name,
    .options = resize_options,
    .examples = resize_examples,
    .run = run_resize,
};
