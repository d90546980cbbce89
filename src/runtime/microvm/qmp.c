/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each command carries a number, each answer repeats it, so that several threads may ask at once.
 * The first command, qmp_capabilities, goes out at once: an engine that is still starting finds it
 * in its socket. What an engine writes is bounded and looked at before it is parsed, as of any
 * peer: behind it stands a guest.
 */
#include "runtime/microvm/qmp.h"

#include <string.h>

#include "base/error.h"
#include "base/json_shape.h"
#include "runtime/json_member.h"

/* A few lines at a time. */
#define CHUNK 4096
/* Of one answer or event. */
#define DEPTH_MAX 32
#define VALUES_MAX 4096

struct _SteadQmp {
    SteadWire *wire;
    SteadQmpFunc func;
    gpointer user;
    GDestroyNotify release;
    GByteArray *line; /* the reader's alone, as the next two */
    gint64 turn;      /* when the engine's began */
    guint lines;      /* that it said in it */
    GMutex lock;      /* of what follows */
    GCond answered;
    GHashTable *answers; /* number → JsonObject; NULL while it is waited for */
    gint64 next;
    gboolean closed;
};

static void clear(gpointer data)
{
    SteadQmp *qmp = data;
    g_byte_array_unref(qmp->line);
    g_hash_table_unref(qmp->answers);
    stead_wire_unref(qmp->wire);
    g_mutex_clear(&qmp->lock);
    g_cond_clear(&qmp->answered);
}

static SteadQmp *ref(SteadQmp *qmp)
{
    return g_atomic_rc_box_acquire(qmp);
}

void stead_qmp_unref(SteadQmp *qmp)
{
    if (qmp)
        g_atomic_rc_box_release_full(qmp, clear);
}

/* ---- reading ---- */

static void take_answer(SteadQmp *qmp, JsonObject *object)
{
    gint64 number;
    if (!stead_json_number_in(object, "id", &number))
        return;
    g_mutex_lock(&qmp->lock);
    if (g_hash_table_contains(qmp->answers, &number))
        g_hash_table_insert(qmp->answers, g_memdup2(&number, sizeof number),
                            json_object_ref(object));
    g_cond_broadcast(&qmp->answered);
    g_mutex_unlock(&qmp->lock);
}

static void take_line(SteadQmp *qmp, const char *line, gsize length)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    if (stead_json_refuses(line, length, DEPTH_MAX, VALUES_MAX) ||
        !json_parser_load_from_data(parser, line, (gssize)length, NULL))
        return;
    JsonObject *object = stead_json_object(json_parser_get_root(parser));
    const char *event = stead_json_text_in(object, "event");
    if (event)
        qmp->func(event, stead_json_object_in(object, "data"), qmp->user);
    else
        take_answer(qmp, object);
}

/* Each line costs the thread of all engines more than it cost the engine. */
static void count_line(SteadQmp *qmp)
{
    gint64 now = g_get_monotonic_time();
    if (now - qmp->turn >= STEAD_QMP_TURN_MS * G_TIME_SPAN_MILLISECOND) {
        qmp->turn = now;
        qmp->lines = 0;
    }
    qmp->lines++;
}

static guint on_bytes(const guint8 *bytes, gsize n, gpointer data)
{
    SteadQmp *qmp = data;
    while (n > 0) {
        const guint8 *end = memchr(bytes, '\n', n);
        gsize part = end ? (gsize)(end - bytes) + 1 : n;
        if (qmp->line->len + part > STEAD_QMP_LINE_MAX) {
            stead_wire_close(qmp->wire);
            return 0;
        }
        g_byte_array_append(qmp->line, bytes, (guint)part);
        if (end) {
            count_line(qmp);
            take_line(qmp, (const char *)qmp->line->data, qmp->line->len);
            g_byte_array_set_size(qmp->line, 0);
        }
        bytes += part;
        n -= part;
    }
    if (qmp->lines <= STEAD_QMP_LINES)
        return 0;
    qmp->lines = 0;
    return STEAD_QMP_TURN_MS;
}

static void on_closed(gpointer data)
{
    SteadQmp *qmp = data;
    g_mutex_lock(&qmp->lock);
    qmp->closed = TRUE;
    g_cond_broadcast(&qmp->answered);
    g_mutex_unlock(&qmp->lock);
    qmp->func(NULL, NULL, qmp->user);
}

static void on_release(gpointer data)
{
    SteadQmp *qmp = data;
    if (qmp->release)
        qmp->release(qmp->user);
    stead_qmp_unref(qmp);
}

static const SteadWireFuncs funcs = {
    .chunk = CHUNK, .bytes = on_bytes, .closed = on_closed, .release = on_release};

/* ---- calling ---- */

static char *write_command(const char *command, JsonObject *arguments, gint64 number, gsize *length)
{
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "execute", command);
    json_object_set_int_member(object, "id", number);
    if (arguments)
        json_object_set_object_member(object, "arguments", arguments);
    json_node_take_object(node, object);
    g_autoptr(JsonGenerator) generator = json_generator_new();
    json_generator_set_root(generator, node);
    g_autofree char *text = json_generator_to_data(generator, NULL);
    char *line = g_strconcat(text, "\n", NULL);
    *length = strlen(line);
    return line;
}

/* The number under which the answer will come; 0 upon failure. */
static gint64 send(SteadQmp *qmp, const SteadQmpCommand *command, GError **error)
{
    gsize length;
    g_mutex_lock(&qmp->lock);
    gint64 number = ++qmp->next;
    g_hash_table_insert(qmp->answers, g_memdup2(&number, sizeof number), NULL);
    g_mutex_unlock(&qmp->lock);
    g_autofree char *line = write_command(command->name, command->arguments, number, &length);
    if (stead_wire_send(qmp->wire, line, length, command->fd, error))
        return number;
    g_mutex_lock(&qmp->lock);
    g_hash_table_remove(qmp->answers, &number);
    g_mutex_unlock(&qmp->lock);
    return 0;
}

static void wake(GCancellable *cancellable, gpointer data)
{
    SteadQmp *qmp = data;
    g_mutex_lock(&qmp->lock);
    g_cond_broadcast(&qmp->answered);
    g_mutex_unlock(&qmp->lock);
}

/* (lock held) */
static void set_why_not(const SteadQmp *qmp, GCancellable *cancellable, GError **error)
{
    if (qmp->closed)
        stead_set_error(error, STEAD_ERROR_UNAVAILABLE, NULL, "its engine has ended");
    else if (g_cancellable_is_cancelled(cancellable))
        stead_set_error(error, STEAD_ERROR_CANCELLED, NULL, "cancelled");
    else
        stead_set_error(error, STEAD_ERROR_TIMEOUT, NULL, "its engine does not answer");
}

static JsonObject *await(SteadQmp *qmp, gint64 number, const SteadQmpCommand *command,
                         GError **error)
{
    JsonObject *answer = NULL;
    GCancellable *cancellable = command->cancellable;
    guint64 ms = command->timeout_ms ? command->timeout_ms : STEAD_QMP_TIMEOUT_MS;
    gint64 until = g_get_monotonic_time() + (gint64)MIN(ms, G_MAXINT32) * G_TIME_SPAN_MILLISECOND;
    gulong handler =
        cancellable ? g_cancellable_connect(cancellable, G_CALLBACK(wake), qmp, NULL) : 0;
    g_mutex_lock(&qmp->lock);
    while ((answer = g_hash_table_lookup(qmp->answers, &number)) == NULL && !qmp->closed &&
           !g_cancellable_is_cancelled(cancellable))
        if (!g_cond_wait_until(&qmp->answered, &qmp->lock, until))
            break;
    if (answer)
        json_object_ref(answer);
    else
        set_why_not(qmp, cancellable, error);
    g_hash_table_remove(qmp->answers, &number);
    g_mutex_unlock(&qmp->lock);
    g_cancellable_disconnect(cancellable, handler);
    return answer;
}

JsonNode *stead_qmp_ask(SteadQmp *qmp, const SteadQmpCommand *command, GError **error)
{
    gint64 number = send(qmp, command, error);
    g_autoptr(JsonObject) answer = number ? await(qmp, number, command, error) : NULL;
    if (answer == NULL)
        return NULL;
    JsonNode *value = json_object_get_member(answer, "return");
    if (value)
        return json_node_copy(value);
    const char *words = stead_json_text_in(stead_json_object_in(answer, "error"), "desc");
    g_autofree char *clean = g_utf8_make_valid(words ? words : "no reason was given", -1);
    stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "%s: %.300s", command->name, clean);
    return NULL;
}

JsonNode *stead_qmp_call(SteadQmp *qmp, const char *command, JsonObject *arguments, int fd,
                         GError **error)
{
    const SteadQmpCommand usual = {.name = command, .arguments = arguments, .fd = fd};
    return stead_qmp_ask(qmp, &usual, error);
}

gboolean stead_qmp_do(SteadQmp *qmp, const char *command, JsonObject *arguments, int fd,
                      GError **error)
{
    g_autoptr(JsonNode) answer = stead_qmp_call(qmp, command, arguments, fd, error);
    return answer != NULL;
}

/* ---- beginning and end ---- */

static void answer_free(gpointer answer)
{
    if (answer)
        json_object_unref(answer);
}

static SteadQmp *begin(SteadWires *wires, const char *path, SteadQmpFunc func, gpointer user,
                       GDestroyNotify release, GError **error)
{
    SteadQmp *qmp = g_atomic_rc_box_new0(SteadQmp);
    qmp->func = func;
    qmp->user = user;
    qmp->release = release;
    qmp->line = g_byte_array_new();
    qmp->answers = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, answer_free);
    g_mutex_init(&qmp->lock);
    g_cond_init(&qmp->answered);
    qmp->wire = stead_wire_open(wires, path, &funcs, ref(qmp), error);
    if (qmp->wire == NULL) {
        on_release(qmp);
        stead_qmp_unref(qmp);
        return NULL;
    }
    return qmp;
}

SteadQmp *stead_qmp_open(SteadWires *wires, const char *path, SteadQmpFunc func, gpointer user,
                         GDestroyNotify release, GCancellable *cancellable, GError **error)
{
    const SteadQmpCommand greet = {
        .name = "qmp_capabilities", .fd = -1, .cancellable = cancellable};
    g_autoptr(SteadQmp) qmp = begin(wires, path, func, user, release, error);
    g_autoptr(JsonNode) answer = qmp ? stead_qmp_ask(qmp, &greet, error) : NULL;
    if (answer)
        return g_steal_pointer(&qmp);
    stead_qmp_close(qmp);
    return NULL;
}

void stead_qmp_close(SteadQmp *qmp)
{
    if (qmp)
        stead_wire_close(qmp->wire);
}

gboolean stead_qmp_is_open(SteadQmp *qmp)
{
    g_mutex_lock(&qmp->lock);
    gboolean open = !qmp->closed;
    g_mutex_unlock(&qmp->lock);
    return open;
}
