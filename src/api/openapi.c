/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenAPI 3.1 from the tables: paths from the routes, errors from the error codes, specs from the
 * model's JSON Schema. Nothing is described by hand but the shapes of answers, whose fields are
 * named in `answers` below; a test compares those with what the daemon really says.
 */
#include "api/openapi.h"

#include <string.h>

#include "api/routes.h"
#include "base/error.h"

/* The members of each object that the API answers with. */
static const struct {
    const char *name;
    const char *members;
} answers[] = {
    {"Host", "name version api host root pid uptime-ms instances resident adopted"},
    {"Report", "ok checks"}, /* of Check */
    {"Check", "id title status found why mend"},
    {"InstanceSummary",
     "id name project kind state ready stage image cpus memory addresses created "
     "started accel error restart-needed late"},
    {"Instance", "id name project kind kind-reason spec image-digest disks nics state want-running "
                 "asked asked-force asked-timeout-ms ready ending restoring restart-needed stage "
                 "addresses accel engine engine-reason template unborn warm error restarts created "
                 "started domain networks uptime-ms job"},
    {"ExecResult", "exit-code stdout stderr truncated"},
    {"Display", "type listen port password"},
    {"Stats", "name cpu-ns memory-used memory-max memory-resident disk-read disk-written "
              "net-received net-sent silent time"},
    {"Snapshot", "id instance name parent memory complete size spec created"},
    {"Template", "id name from parent kind spec image-digest accel engine disks nics host-keys "
                 "complete warm warm-ready warm-memory "
                 "size created users clones image memory cpus resident"},
    {"Image", "name digest source published size virtual-size agent created used-by"},
    {"CatalogueEntry", "name title address aliases local"},
    {"Network", "id name project spec libvirt-name bridge created instances leases leases-unknown"},
    {"Pool", "name type path capacity available state default"},
    {"Volume", "id name project spec path attached created attached-to"},
    {"Plan", "actions"},
    {"Job", "id type subject state stage progress error result created finished"},
    {"Event", "seq time type subject data"},
};

static JsonObject *member_object(JsonObject *parent, const char *name)
{
    JsonObject *object = json_object_new();
    json_object_set_object_member(parent, name, object);
    return object;
}

static void set_ref(JsonObject *object, const char *schema)
{
    g_autofree char *ref = g_strconcat("#/components/schemas/", schema, NULL);
    json_object_set_string_member(object, "$ref", ref);
}

static void describe_members(JsonObject *schema, const char *members)
{
    JsonObject *properties = member_object(schema, "properties");
    JsonArray *required = json_array_new();
    g_auto(GStrv) names = g_strsplit(members, " ", 0);
    for (guint i = 0; names[i]; i++) {
        gsize length = strlen(names[i]);
        if (names[i][length - 1] == '!') {
            names[i][length - 1] = '\0';
            json_array_add_string_element(required, names[i]);
        }
        member_object(properties, names[i]);
    }
    json_object_set_string_member(schema, "type", "object");
    json_object_set_boolean_member(schema, "additionalProperties", FALSE);
    json_object_set_array_member(schema, "required", required);
}

static void add_body(JsonObject *operation, const SteadRoute *route)
{
    if (route->answer_type == STEAD_ANSWER_STREAM) {
        describe_members(member_object(operation, "x-first-frame"), route->body);
        return;
    }
    JsonObject *content = member_object(member_object(operation, "requestBody"), "content");
    JsonObject *json = member_object(content, "application/json");
    describe_members(member_object(json, "schema"), route->body);
}

static void add_parameter(JsonArray *parameters, const char *name, const char *in)
{
    JsonObject *parameter = json_object_new();
    json_object_set_string_member(parameter, "name", name);
    json_object_set_string_member(parameter, "in", in);
    json_object_set_boolean_member(parameter, "required", g_str_equal(in, "path"));
    json_object_set_string_member(member_object(parameter, "schema"), "type", "string");
    json_array_add_object_element(parameters, parameter);
}

static void add_parameters(JsonObject *operation, const SteadRoute *route)
{
    JsonArray *parameters = json_array_new();
    for (const char *open = strchr(route->path, '{'); open; open = strchr(open + 1, '{')) {
        g_autofree char *name = g_strndup(open + 1, strcspn(open + 1, "}"));
        add_parameter(parameters, name, "path");
    }
    g_auto(GStrv) names = g_strsplit(route->query ? route->query : "", " ", 0);
    for (guint i = 0; names[i]; i++)
        if (*names[i])
            add_parameter(parameters, names[i], "query");
    json_object_set_array_member(operation, "parameters", parameters);
}

static void add_answer_schema(JsonObject *response, const SteadRoute *route, const char *schema)
{
    JsonObject *json =
        member_object(member_object(response, "content"),
                      route->answer_type == STEAD_ANSWER_TEXT ? "text/plain" : "application/json");
    JsonObject *object = member_object(json, "schema");
    if (route->answer_type == STEAD_ANSWER_TEXT) {
        json_object_set_string_member(object, "type", "string");
    } else if (schema == NULL) {
        json_object_set_string_member(object, "type", "object");
    } else if (route->answer_type == STEAD_ANSWER_LIST ||
               route->answer_type == STEAD_ANSWER_EVENTS) {
        json_object_set_string_member(object, "type", "array");
        set_ref(member_object(object, "items"), schema);
    } else {
        set_ref(object, schema);
    }
}

/* What api/stream_socket.h says. */
static const char stream_text[] =
    "A WebSocket of streams. The client's first frame is text, the object x-first-frame; then "
    "binary "
    "frames carry bytes, the first of which names their stream: 0 to the guest, 1 and 2 from it "
    "(standard output or the file, standard error). Other text frames, of the client: {\"eof\": "
    "true} "
    "ends stream 0, {\"resize\": [rows, columns]}, {\"signal\": n}; of the server: {\"started\": "
    "true, "
    "\"window\": n, \"file\": {mode, size, mtime}}, and as the last one {\"exit-code\": n} or "
    "{\"error\": {code, message, hint}}; of both: {\"taken\": n}, the bytes of the other that were "
    "got "
    "rid of, in total. Neither sends more than the window beyond that. A client that leaves ends "
    "what "
    "it began.";

static gboolean is_socket(const SteadRoute *route)
{
    return route->answer_type == STEAD_ANSWER_SOCKET || route->answer_type == STEAD_ANSWER_STREAM;
}

static void add_responses(JsonObject *operation, const SteadRoute *route)
{
    static const struct {
        const char *status, *text, *schema;
    } kinds[] = {
        [STEAD_ANSWER_OBJECT] = {"200", "What was asked for", NULL},
        [STEAD_ANSWER_LIST] = {"200", "All of them", NULL},
        [STEAD_ANSWER_JOB] = {"202", "The job that does it", "Job"},
        [STEAD_ANSWER_NOTHING] = {"204", "Done", NULL},
        [STEAD_ANSWER_TEXT] = {"200", "The text, as a stream", NULL},
        [STEAD_ANSWER_EVENTS] = {"200", "Events; with follow a text/event-stream", NULL},
        [STEAD_ANSWER_SOCKET] = {"101", "A WebSocket", NULL},
        [STEAD_ANSWER_STREAM] = {"101", stream_text, NULL},
    };
    JsonObject *responses = member_object(operation, "responses");
    JsonObject *response = member_object(responses, kinds[route->answer_type].status);
    json_object_set_string_member(response, "description", kinds[route->answer_type].text);
    const char *schema =
        kinds[route->answer_type].schema ? kinds[route->answer_type].schema : route->answer;
    if (route->answer_type != STEAD_ANSWER_NOTHING && !is_socket(route))
        add_answer_schema(response, route, schema);
    JsonObject *failure = member_object(responses, "default");
    json_object_set_string_member(failure, "description", "What went wrong");
    JsonObject *json = member_object(member_object(failure, "content"), "application/json");
    set_ref(member_object(json, "schema"), "Error");
}

static void add_route(JsonObject *paths, const SteadRoute *route)
{
    JsonObject *path = json_object_has_member(paths, route->path)
                           ? json_object_get_object_member(paths, route->path)
                           : member_object(paths, route->path);
    g_autofree char *method = g_ascii_strdown(route->method, -1);
    JsonObject *operation = member_object(path, method);
    json_object_set_string_member(operation, "summary", route->summary);
    add_parameters(operation, route);
    if (route->body)
        add_body(operation, route);
    add_responses(operation, route);
}

static void add_error_schema(JsonObject *schemas)
{
    JsonObject *schema = member_object(schemas, "Error");
    json_object_set_string_member(schema, "type", "object");
    JsonObject *properties = member_object(schema, "properties");
    JsonObject *code = member_object(properties, "code");
    JsonArray *names = json_array_new();
    for (int i = 0; i < STEAD_N_ERRORS; i++)
        json_array_add_string_element(names, stead_error_code_name((SteadErrorCode)i));
    json_object_set_array_member(code, "enum", names);
    json_object_set_string_member(member_object(properties, "message"), "type", "string");
    json_object_set_string_member(member_object(properties, "hint"), "type", "string");
}

static void add_answer_schemas(JsonObject *schemas)
{
    for (gsize i = 0; i < G_N_ELEMENTS(answers); i++) {
        JsonObject *schema = member_object(schemas, answers[i].name);
        JsonObject *properties = member_object(schema, "properties");
        g_auto(GStrv) names = g_strsplit(answers[i].members, " ", 0);
        json_object_set_string_member(schema, "type", "object");
        for (guint n = 0; names[n]; n++)
            member_object(properties, names[n]);
    }
}

JsonNode *stead_openapi(void)
{
    JsonObject *root = json_object_new();
    json_object_set_string_member(root, "openapi", "3.1.0");
    JsonObject *info = member_object(root, "info");
    json_object_set_string_member(info, "title", "stead");
    json_object_set_string_member(info, "version", STEAD_VERSION);
    JsonObject *paths = member_object(root, "paths");
    for (gsize i = 0; i < stead_n_routes; i++)
        add_route(paths, &stead_routes[i]);
    JsonObject *schemas = member_object(member_object(root, "components"), "schemas");
    add_error_schema(schemas);
    add_answer_schemas(schemas);
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, root);
    return node;
}
