/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead top: what running instances use. Rates are differences of two samples; the first table has
 * to wait for the second sample.
 */
#include "cli/commands.h"

#include <glib-unix.h>
#include <stdio.h>

#include "cli/json.h"
#include "cli/screen.h"
#include "cli/table.h"

#define DEFAULT_INTERVAL_MS 2000
#define MIN_INTERVAL_MS 200

typedef struct {
    SteadCall *call;
    GMainLoop *loop;
    JsonNode *previous; /* the last sample */
    guint left;         /* tables that are still to be printed; 0: until Ctrl-C */
    gboolean live;
    GError *error;
} Top;

static JsonNode *find(JsonNode *sample, const char *name)
{
    for (guint i = 0; i < stead_json_length(sample); i++) {
        JsonNode *item = stead_json_element(sample, i);
        if (g_strcmp0(stead_json_text(item, "name"), name) == 0)
            return item;
    }
    return NULL;
}

/* Growth of a counter a second; 0 when it was reset, or one of the samples lacks it. */
static double rate(JsonNode *now, JsonNode *before, const char *member)
{
    double seconds =
        (double)(stead_json_integer(now, "time", 0) - stead_json_integer(before, "time", 0)) /
        G_USEC_PER_SEC;
    gint64 growth = stead_json_integer(now, member, 0) - stead_json_integer(before, member, 0);
    gboolean known = before && stead_json_integer(before, member, -1) >= 0;
    return known && seconds > 0 && growth > 0 ? (double)growth / seconds : 0;
}

/* A row for the table below: the sample with rates in place of counters. */
static JsonNode *row_of(JsonNode *now, JsonNode *before)
{
    static const char *const counters[] = {"disk-read", "disk-written", "net-received", "net-sent"};
    JsonObject *row = json_object_new();
    const char *name = stead_json_text(now, "name");
    g_autofree char *cpu = g_strdup_printf("%.1f%%", rate(now, before, "cpu-ns") / 1e7);
    json_object_set_string_member(row, "name", name ? name : "");
    json_object_set_string_member(row, "cpu", cpu);
    json_object_set_int_member(row, "memory", stead_json_integer(now, "memory-resident", 0));
    json_object_set_int_member(row, "guest", stead_json_integer(now, "memory-used", 0));
    json_object_set_int_member(row, "max", stead_json_integer(now, "memory-max", 0));
    for (gsize i = 0; i < G_N_ELEMENTS(counters); i++)
        json_object_set_int_member(row, counters[i], (gint64)rate(now, before, counters[i]));
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, row);
    return node;
}

static const SteadColumn columns[] = {
    {"NAME", "name", STEAD_CELL_TEXT},
    {"CPU", "cpu", STEAD_CELL_TEXT},
    {"HOST MEM", "memory", STEAD_CELL_SIZE},
    {"GUEST MEM", "guest", STEAD_CELL_SIZE},
    {"OF", "max", STEAD_CELL_SIZE},
    {"READ/s", "disk-read", STEAD_CELL_SIZE},
    {"WRITE/s", "disk-written", STEAD_CELL_SIZE},
    {"IN/s", "net-received", STEAD_CELL_SIZE},
    {"OUT/s", "net-sent", STEAD_CELL_SIZE},
    {NULL},
};

/* Who did not answer, and so has no figures of its own. */
static void print_silent(JsonNode *sample, const char *whom)
{
    g_autoptr(GString) names = g_string_new(NULL);
    for (guint i = 0; i < stead_json_length(sample); i++) {
        JsonNode *item = stead_json_element(sample, i);
        const char *name = stead_json_text(item, "name");
        if (g_strcmp0(stead_json_text(item, "silent"), whom) == 0 && name)
            g_string_append_printf(names, "%s%s", names->len ? ", " : "", name);
    }
    if (names->len)
        printf("No answer from the %s of: %s\n", whom, names->str);
}

static void print_table(const Top *top, JsonNode *sample)
{
    guint width, rows;
    g_autoptr(JsonArray) array = json_array_new();
    for (guint i = 0; i < stead_json_length(sample); i++) {
        JsonNode *now = stead_json_element(sample, i);
        JsonNode *before = find(top->previous, stead_json_text(now, "name"));
        json_array_add_element(array, row_of(now, before));
    }
    g_autoptr(JsonNode) items = json_node_new(JSON_NODE_ARRAY);
    json_node_set_array(items, array);
    stead_screen_size(&width, &rows);
    g_autofree char *text = stead_table_format(columns, items, g_get_real_time(),
                                               stead_screen_is_terminal() ? width : G_MAXUINT,
                                               stead_screen_has_colour());
    if (top->live)
        fputs("\033[H\033[J", stdout);
    fputs(text, stdout);
    print_silent(sample, "guest");
    print_silent(sample, "engine");
    if (stead_json_length(sample) == 0)
        stead_screen_remark("No instance runs.");
    fflush(stdout);
}

static JsonNode *take_sample(Top *top)
{
    JsonNode *sample = stead_call_request(top->call, "GET", "/v1/stats", NULL, &top->error);
    if (sample == NULL)
        g_main_loop_quit(top->loop);
    return sample;
}

static gboolean on_tick(gpointer data)
{
    Top *top = data;
    JsonNode *sample = take_sample(top);
    if (sample == NULL)
        return G_SOURCE_CONTINUE;
    print_table(top, sample);
    g_clear_pointer(&top->previous, json_node_unref);
    top->previous = sample;
    if (top->left > 0 && --top->left == 0)
        g_main_loop_quit(top->loop);
    return G_SOURCE_CONTINUE;
}

static gboolean on_interrupt(gpointer data)
{
    g_main_loop_quit(data);
    return G_SOURCE_CONTINUE;
}

static int watch_top(Top *top, guint interval_ms, GError **error)
{
    top->previous = take_sample(top);
    if (top->previous != NULL) {
        guint tick = g_timeout_add(interval_ms, on_tick, top);
        guint interrupt = g_unix_signal_add(SIGINT, on_interrupt, top->loop);
        g_main_loop_run(top->loop);
        g_source_remove(tick);
        g_source_remove(interrupt);
        g_clear_pointer(&top->previous, json_node_unref);
    }
    if (top->error == NULL)
        return 0;
    g_propagate_error(error, top->error);
    return 1;
}

static int run(SteadCall *call, GError **error)
{
    if (stead_call_json(call)) {
        g_autoptr(JsonNode) sample = stead_call_request(call, "GET", "/v1/stats", NULL, error);
        if (sample == NULL)
            return 1;
        stead_json_print(sample);
        return 0;
    }
    guint64 interval = stead_call_number(call, "interval", DEFAULT_INTERVAL_MS);
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    gboolean once = stead_call_flag(call, "once") || !stead_screen_is_live();
    Top top = {.call = call, .loop = loop, .left = once ? 1 : 0, .live = !once};
    return watch_top(&top, (guint)CLAMP(interval, MIN_INTERVAL_MS, G_MAXINT), error);
}

static const SteadOption options[] = {
    {.name = "once", .doc = "print one table; so it is where there is no terminal"},
    {.name = "interval",
     .letter = 'i',
     .type = STEAD_OPTION_DURATION,
     .metavar = "TIME",
     .doc = "between two samples",
     .fallback = "2s"},
    {.name = "format",
     .type = STEAD_OPTION_CHOICE,
     .choices = "table|json",
     .doc = "a table of rates, or the API's counters once",
     .fallback = "table"},
    {NULL},
};

const SteadCommand stead_cmd_top = {
    .name = "top",
    .section = STEAD_SECTION_INSIDE,
    .summary = "Watch what running instances use",
    .description = "100% of CPU is one host CPU. What neither guest nor engine tells in time is "
                   "left out, and who was silent is said. Ctrl-C ends it.",
    .options = options,
    .run = run,
};
