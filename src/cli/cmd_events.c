/* SPDX-License-Identifier: Apache-2.0 */
/* stead events: what happened, and with -f what happens. */
#include "cli/commands.h"

#include <glib-unix.h>
#include <stdio.h>

#include "cli/events.h"
#include "cli/json.h"
#include "cli/text.h"

typedef struct {
    gboolean json;
    GMainLoop *loop;
    GError *error;
} Follow;

static void print_detail(JsonObject *object, const char *name, JsonNode *node, gpointer data)
{
    g_autofree char *clean_name = stead_clean(name);
    g_autofree char *text =
        JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING
            ? g_strdup(json_node_get_string(node))
            : json_to_string(node, FALSE);
    g_autofree char *clean = stead_clean(text);
    printf(" %s=%s", clean_name, clean);
}

/* 14:03:12  instance.state       web  from=starting to=running */
static void print_event(JsonNode *event)
{
    gint64 time = stead_json_integer(event, "time", 0);
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_local(time / G_USEC_PER_SEC);
    g_autofree char *clock = date ? g_date_time_format(date, "%Y-%m-%d %H:%M:%S") : g_strdup("-");
    g_autofree char *type = stead_clean(stead_json_text(event, "type"));
    g_autofree char *subject = stead_clean(stead_json_text(event, "subject"));
    JsonNode *data = stead_json_member(event, "data");
    printf("%s  %-18s %s", clock, type, subject);
    if (data != NULL && JSON_NODE_HOLDS_OBJECT(data))
        json_object_foreach_member(json_node_get_object(data), print_detail, NULL);
    putchar('\n');
    fflush(stdout);
}

static void on_event(JsonNode *event, gpointer data)
{
    const Follow *follow = data;
    if (follow->json)
        stead_json_print_line(event);
    else
        print_event(event);
}

static void on_failed(GError *error, gpointer data)
{
    Follow *follow = data;
    follow->error = error;
    g_main_loop_quit(follow->loop);
}

static const SteadEventHandlers handlers = {on_event, NULL, on_failed};

static gboolean on_interrupt(gpointer data)
{
    g_main_loop_quit(data);
    return G_SOURCE_CONTINUE;
}

static int follow_events(SteadCall *call, const char *since, GError **error)
{
    SteadClient *client = stead_call_client(call, error);
    if (client == NULL)
        return 1;
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    Follow follow = {stead_call_json(call), loop, NULL};
    guint interrupt = g_unix_signal_add(SIGINT, on_interrupt, loop);
    g_autoptr(SteadEventStream) stream =
        stead_event_stream_open(client, since, &handlers, &follow, error);
    if (stream != NULL)
        g_main_loop_run(loop);
    g_source_remove(interrupt);
    if (follow.error != NULL)
        g_propagate_error(error, follow.error);
    return stream != NULL && follow.error == NULL ? 0 : 1;
}

static int print_past(SteadCall *call, const char *since, GError **error)
{
    g_autofree char *path = g_strconcat("/v1/events?since=", since ? since : "0", NULL);
    g_autoptr(JsonNode) events = stead_call_request(call, "GET", path, NULL, error);
    if (events == NULL)
        return 1;
    Follow follow = {stead_call_json(call), NULL, NULL};
    for (guint i = 0; i < stead_json_length(events); i++)
        on_event(stead_json_element(events, i), &follow);
    return 0;
}

static int run(SteadCall *call, GError **error)
{
    g_autofree char *since = NULL;
    if (stead_call_has(call, "since"))
        since = g_strdup_printf("%" G_GUINT64_FORMAT, stead_call_number(call, "since", 0));
    return stead_call_flag(call, "follow") ? follow_events(call, since, error)
                                           : print_past(call, since, error);
}

static const SteadOption options[] = {
    {.name = "follow", .letter = 'f', .doc = "go on with what comes, until Ctrl-C"},
    {.name = "since",
     .type = STEAD_OPTION_NUMBER,
     .metavar = "NUMBER",
     .doc = "only events after this one",
     .fallback = "all on record, or with -f none of the past"},
    {.name = "format",
     .type = STEAD_OPTION_CHOICE,
     .choices = "table|json",
     .doc = "lines for people, or one JSON object a line",
     .fallback = "table"},
    {NULL},
};

static const SteadExample examples[] = {
    {"stead events -f", "Watch the host:"},
    {"stead events --format json | jq -r 'select(.type==\"instance.ready\").subject'",
     "For a program:"},
    {NULL},
};

const SteadCommand stead_cmd_events = {
    .name = "events",
    .section = STEAD_SECTION_INSIDE,
    .summary = "Print what happened, or follow what happens",
    .options = options,
    .examples = examples,
    .run = run,
};
