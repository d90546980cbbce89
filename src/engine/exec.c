/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to a running guest or its runtime, whose answers are jobs' results: exec, statistics,
 * the display. None changes a record, so they take no lock and run beside other jobs. A stream is
 * opened by such a job too, and then is the one's who asked for it.
 */
#include "base/error.h"
#include "base/units.h"
#include "engine/state.h"

#define EXEC_DEFAULT_TIMEOUT_MS (10 * 60 * 1000)
#define WINDOW_TIMEOUT_MS 5000

typedef struct {
    SteadRuntime *runtime;
    char *id;
    char *name;
    GStrv command;
    char *input;
    guint64 timeout_ms;
    guint64 size; /* bytes */
    SteadStreamRequest *request;
    SteadStream **stream; /* where it goes */
    JsonObject *stats;    /* the answer of one among many */
} Question;

static void question_free(gpointer data)
{
    Question *question = data;
    g_free(question->id);
    g_free(question->name);
    g_strfreev(question->command);
    g_free(question->input);
    stead_stream_request_free(question->request);
    g_clear_pointer(&question->stats, json_object_unref);
    g_free(question);
}

static SteadJob *ask(SteadEngine *engine, const char *id, const char *type, SteadJobFunc func,
                     Question *question, GError **error)
{
    SteadInstance *instance = stead_engine_expect(engine, id, error);
    if (instance && instance->state != STEAD_STATE_RUNNING) {
        gboolean paused = instance->state == STEAD_STATE_PAUSED;
        g_autofree char *hint = g_strdup_printf(
            paused ? "Let it go on: stead resume %s" : "Start it: stead start %s", instance->name);
        stead_set_error(error, STEAD_ERROR_STATE, hint,
                        paused ? "%s is paused" : "%s is not running", instance->name);
        instance = NULL;
    }
    if (instance == NULL) {
        question_free(question);
        return NULL;
    }
    question->runtime = stead_engine_runtime(engine, instance->kind);
    question->id = g_strdup(instance->id);
    question->name = g_strdup(instance->name);
    SteadJobOptions options = {.type = type,
                               .subject = instance->name,
                               .id = instance->id,
                               .quiet = TRUE,
                               .func = func,
                               .data = question,
                               .free_data = question_free};
    return stead_jobs_submit(engine->jobs, &options, error);
}

static void add_bytes(JsonObject *object, const char *name, GBytes *bytes)
{
    gsize length = 0;
    const guchar *data = bytes ? g_bytes_get_data(bytes, &length) : NULL;
    g_autofree char *text = g_base64_encode(data, length);
    json_object_set_string_member(object, name, text);
}

static void set_result(SteadJob *job, JsonObject *object)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, object);
    stead_job_set_result(job, node);
}

static gboolean exec_body(SteadJob *job, gpointer data, GError **error)
{
    Question *q = data;
    g_autoptr(SteadExecResult) result =
        stead_runtime_exec(q->runtime, q->id, (const char *const *)q->command, q->input,
                           q->timeout_ms, stead_job_cancellable(job), error);
    if (result == NULL)
        return FALSE;
    JsonObject *object = json_object_new();
    json_object_set_int_member(object, "exit-code", result->exit_code);
    add_bytes(object, "stdout", result->out);
    add_bytes(object, "stderr", result->err);
    json_object_set_boolean_member(object, "truncated", result->truncated);
    set_result(job, object);
    return TRUE;
}

SteadJob *stead_engine_exec(SteadEngine *engine, const char *id, const char *const command[],
                            const char *input, guint64 timeout_ms, GError **error)
{
    Question *question = g_new0(Question, 1);
    question->command = g_strdupv((char **)(gsize)command);
    question->input = g_strdup(input);
    question->timeout_ms = timeout_ms ? timeout_ms : EXEC_DEFAULT_TIMEOUT_MS;
    return ask(engine, id, "instance.exec", exec_body, question, error);
}

/* ---- streams ---- */

typedef struct {
    SteadStreamFunc func;
    gpointer data;
    SteadStream *stream; /* the body's, until it has ended */
} Opening;

static gboolean stream_body(SteadJob *job, gpointer data, GError **error)
{
    Question *q = data;
    *q->stream =
        stead_runtime_stream(q->runtime, q->id, q->request, stead_job_cancellable(job), error);
    return *q->stream != NULL;
}

static void on_opened(SteadJob *job, gpointer data)
{
    Opening *opening = data;
    opening->func(opening->stream, stead_job_error(job), opening->data);
    g_free(opening);
}

/* The words of what can be done instead. */
static void refuse_stream(const SteadInstance *instance, const SteadStreamRequest *request,
                          GError **error)
{
    static const char *const what[] = {[STEAD_STREAM_EXEC] = "commands with live input and output",
                                       [STEAD_STREAM_PUT] = "copying files",
                                       [STEAD_STREAM_GET] = "copying files"};
    g_autofree char *hint =
        request->kind == STEAD_STREAM_EXEC
            ? g_strdup_printf("Use its console: stead console %s", instance->name)
            : g_strdup("Copy over the network, or attach a volume.");
    stead_set_error(error, STEAD_ERROR_UNSUPPORTED, hint,
                    "%s is of kind %s, whose agent does not support %s", instance->name,
                    stead_name_of(&stead_kind_names, instance->kind), what[request->kind]);
}

SteadJob *stead_engine_stream(SteadEngine *engine, const char *id, SteadStreamRequest *request,
                              SteadStreamFunc func, gpointer data, GError **error)
{
    Question *question = g_new0(Question, 1);
    question->request = request;
    SteadInstance *instance = stead_engine_expect(engine, id, error);
    if (instance == NULL ||
        !stead_runtime_has(stead_engine_runtime(engine, instance->kind), STEAD_FEATURE_STREAM)) {
        if (instance)
            refuse_stream(instance, request, error);
        question_free(question);
        return NULL;
    }
    Opening *opening = g_new0(Opening, 1);
    *opening = (Opening){func, data, NULL};
    question->stream = &opening->stream;
    SteadJob *job = ask(engine, id, "instance.stream", stream_body, question, error);
    if (job)
        stead_job_notify(job, on_opened, opening);
    else
        g_free(opening);
    return job;
}

/* ---- the rest ---- */

/* What nobody said has no member. */
static JsonObject *stats_to_json(const char *name, const SteadStats *stats)
{
    static const char *const silent[] = {NULL, "guest", "engine"};
    const struct {
        const char *name;
        guint64 value;
        SteadSilence said_by;
    } fields[] = {
        {"cpu-ns", stats->cpu_ns, STEAD_SILENT_NOBODY},
        {"memory-used", stats->memory_used, STEAD_SILENT_GUEST},
        {"memory-max", stats->memory_max, STEAD_SILENT_ENGINE},
        {"memory-resident", stats->memory_resident, STEAD_SILENT_NOBODY},
        {"disk-read", stats->disk_read, STEAD_SILENT_ENGINE},
        {"disk-written", stats->disk_written, STEAD_SILENT_ENGINE},
        {"net-received", stats->net_received, STEAD_SILENT_NOBODY},
        {"net-sent", stats->net_sent, STEAD_SILENT_NOBODY},
    };
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "name", name);
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++)
        if (fields[i].said_by == STEAD_SILENT_NOBODY || fields[i].said_by > stats->silent)
            json_object_set_int_member(object, fields[i].name, (gint64)fields[i].value);
    if (stats->silent != STEAD_SILENT_NOBODY)
        json_object_set_string_member(object, "silent", silent[stats->silent]);
    json_object_set_int_member(object, "time", g_get_real_time());
    return object;
}

static gboolean stats_body(SteadJob *job, gpointer data, GError **error)
{
    Question *q = data;
    SteadStats stats = {0};
    if (!stead_runtime_stats(q->runtime, q->id, &stats, error))
        return FALSE;
    set_result(job, stats_to_json(q->name, &stats));
    return TRUE;
}

SteadJob *stead_engine_stats(SteadEngine *engine, const char *id, GError **error)
{
    return ask(engine, id, "instance.stats", stats_body, g_new0(Question, 1), error);
}

static gboolean display_body(SteadJob *job, gpointer data, GError **error)
{
    Question *q = data;
    JsonNode *node = stead_runtime_display(q->runtime, q->id, error);
    if (node)
        stead_job_set_result(job, node);
    return node != NULL;
}

SteadJob *stead_engine_display(SteadEngine *engine, const char *id, GError **error)
{
    return ask(engine, id, "instance.display", display_body, g_new0(Question, 1), error);
}

static gboolean balloon_body(SteadJob *job, gpointer data, GError **error)
{
    Question *q = data;
    return stead_runtime_balloon(q->runtime, q->id, q->size, error);
}

SteadJob *stead_engine_balloon(SteadEngine *engine, const char *id, guint64 size, GError **error)
{
    const SteadInstance *instance = stead_engine_expect(engine, id, error);
    if (instance == NULL)
        return NULL;
    guint64 max = instance->spec->memory.max;
    if (size < STEAD_MIN_MEMORY || size > max) {
        g_autofree char *least = stead_format_size(STEAD_MIN_MEMORY);
        g_autofree char *most = stead_format_size(max);
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "%s can have from %s to %s",
                        instance->name, least, most);
        return NULL;
    }
    Question *question = g_new0(Question, 1);
    question->size = size;
    return ask(engine, id, "instance.balloon", balloon_body, question, error);
}

static gboolean window_body(SteadJob *job, gpointer data, GError **error)
{
    Question *q = data;
    stead_exec_result_free(stead_runtime_exec(q->runtime, q->id, (const char *const *)q->command,
                                              NULL, q->timeout_ms, stead_job_cancellable(job),
                                              NULL));
    return TRUE;
}

void stead_engine_set_window(SteadEngine *engine, const char *id, guint rows, guint columns)
{
    Question *question = g_new0(Question, 1);
    question->command = g_new0(char *, 8);
    question->command[0] = g_strdup("stty");
    question->command[1] = g_strdup("-F");
    question->command[2] = g_strdup("/dev/ttyS0");
    question->command[3] = g_strdup("rows");
    question->command[4] = g_strdup_printf("%u", MIN(rows, 1000));
    question->command[5] = g_strdup("cols");
    question->command[6] = g_strdup_printf("%u", MIN(columns, 1000));
    question->timeout_ms = WINDOW_TIMEOUT_MS;
    ask(engine, id, "instance.window", window_body, question, NULL);
}

/* ---- all of them, side by side ---- */

/* Threads, most of which wait. */
#define ASKED_AT_ONCE 64

/* An instance's id and name, and by which runtime. */
static void add_question(SteadEngine *engine, GPtrArray *questions, const SteadInstance *instance)
{
    Question *question = g_new0(Question, 1);
    question->runtime = stead_engine_runtime(engine, instance->kind);
    question->id = g_strdup(instance->id);
    question->name = g_strdup(instance->name);
    g_ptr_array_add(questions, question);
}

/* One that has ended meanwhile is left out. */
static void ask_one(gpointer question, gpointer unused)
{
    Question *q = question;
    SteadStats stats = {0};
    if (stead_runtime_stats(q->runtime, q->id, &stats, NULL))
        q->stats = stats_to_json(q->name, &stats);
}

static gboolean all_stats_body(SteadJob *job, gpointer data, GError **error)
{
    GPtrArray *questions = data;
    JsonArray *array = json_array_new();
    GThreadPool *pool = g_thread_pool_new(ask_one, NULL, ASKED_AT_ONCE, FALSE, NULL);
    for (guint i = 0; i < questions->len; i++)
        g_thread_pool_push(pool, questions->pdata[i], NULL);
    g_thread_pool_free(pool, FALSE, TRUE);
    for (guint i = 0; i < questions->len; i++) {
        Question *q = questions->pdata[i];
        if (q->stats)
            json_array_add_object_element(array, g_steal_pointer(&q->stats));
    }
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);
    json_node_take_array(node, array);
    stead_job_set_result(job, node);
    return TRUE;
}

SteadJob *stead_engine_all_stats(SteadEngine *engine, GError **error)
{
    GPtrArray *questions = g_ptr_array_new_with_free_func(question_free);
    g_autoptr(GPtrArray) instances = stead_engine_instances(engine, NULL);
    for (guint i = 0; i < instances->len; i++)
        if (stead_instance_is_up(instances->pdata[i]))
            add_question(engine, questions, instances->pdata[i]);
    SteadJobOptions options = {.type = "instance.stats",
                               .quiet = TRUE,
                               .func = all_stats_body,
                               .data = questions,
                               .free_data = (GDestroyNotify)g_ptr_array_unref};
    return stead_jobs_submit(engine->jobs, &options, error);
}
