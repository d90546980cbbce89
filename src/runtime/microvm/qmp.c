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

/* Of one answer or event. */
#define DEPTH_MAX 32
#define VALUES_MAX 4096

struct _SteadQmp {
    SteadWire *wire;
    SteadQmpFunc func;
    gpointer user;
    GDestroyNotify release;
    GByteArray *line; /* the reader's alone */
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

static const char *string_member(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);
    return node && json_node_get_value_type(node) == G_TYPE_STRING ? json_node_get_string(node)
                                                                   : NULL;
}

static JsonObject *object_member(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);
    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static void take_answer(SteadQmp *qmp, JsonObject *object)
{
    JsonNode *id = json_object_get_member(object, "id");
    if (id == NULL || json_node_get_value_type(id) != G_TYPE_INT64)
        return;
    gint64 number = json_node_get_int(id);
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
    JsonNode *root = json_parser_get_root(parser);
    if (root == NULL || !JSON_NODE_HOLDS_OBJECT(root))
        return;
    JsonObject *object = json_node_get_object(root);
    const char *event = string_member(object, "event");
    if (event)
        qmp->func(event, object_member(object, "data"), qmp->user);
    else
        take_answer(qmp, object);
}

static void on_bytes(const guint8 *bytes, gsize n, gpointer data)
{
    SteadQmp *qmp = data;
    while (n > 0) {
        const guint8 *end = memchr(bytes, '\n', n);
        gsize part = end ? (gsize)(end - bytes) + 1 : n;
        if (qmp->line->len + part > STEAD_QMP_LINE_MAX) {
            stead_wire_close(qmp->wire);
            return;
        }
        g_byte_array_append(qmp->line, bytes, (guint)part);
        if (end) {
            take_line(qmp, (const char *)qmp->line->data, qmp->line->len);
            g_byte_array_set_size(qmp->line, 0);
        }
        bytes += part;
        n -= part;
    }
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

static const SteadWireFuncs funcs = {on_bytes, on_closed, on_release};

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
static gint64 ask(SteadQmp *qmp, const char *command, JsonObject *arguments, int fd, GError **error)
{
    gsize length;
    g_mutex_lock(&qmp->lock);
    gint64 number = ++qmp->next;
    g_hash_table_insert(qmp->answers, g_memdup2(&number, sizeof number), NULL);
    g_mutex_unlock(&qmp->lock);
    g_autofree char *line = write_command(command, arguments, number, &length);
    if (stead_wire_send(qmp->wire, line, length, fd, error))
        return number;
    g_mutex_lock(&qmp->lock);
    g_hash_table_remove(qmp->answers, &number);
    g_mutex_unlock(&qmp->lock);
    return 0;
}

static JsonObject *await(SteadQmp *qmp, gint64 number, guint64 timeout_ms, GError **error)
{
    JsonObject *answer = NULL;
    gint64 until =
        g_get_monotonic_time() + (gint64)MIN(timeout_ms, G_MAXINT32) * G_TIME_SPAN_MILLISECOND;
    g_mutex_lock(&qmp->lock);
    while ((answer = g_hash_table_lookup(qmp->answers, &number)) == NULL && !qmp->closed)
        if (!g_cond_wait_until(&qmp->answered, &qmp->lock, until))
            break;
    if (answer)
        json_object_ref(answer);
    else if (qmp->closed)
        stead_set_error(error, STEAD_ERROR_UNAVAILABLE, NULL, "its engine has ended");
    else
        stead_set_error(error, STEAD_ERROR_TIMEOUT, NULL, "its engine does not answer");
    g_hash_table_remove(qmp->answers, &number);
    g_mutex_unlock(&qmp->lock);
    return answer;
}

static JsonNode *call(SteadQmp *qmp, const char *command, JsonObject *arguments, int fd,
                      guint64 timeout_ms, GError **error)
{
    gint64 number = ask(qmp, command, arguments, fd, error);
    g_autoptr(JsonObject) answer = number ? await(qmp, number, timeout_ms, error) : NULL;
    if (answer == NULL)
        return NULL;
    JsonNode *value = json_object_get_member(answer, "return");
    if (value)
        return json_node_copy(value);
    JsonObject *failure = object_member(answer, "error");
    const char *words = failure ? string_member(failure, "desc") : NULL;
    g_autofree char *clean = g_utf8_make_valid(words ? words : "no reason was given", -1);
    stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "%s: %.300s", command, clean);
    return NULL;
}

JsonNode *stead_qmp_call(SteadQmp *qmp, const char *command, JsonObject *arguments, int fd,
                         GError **error)
{
    return call(qmp, command, arguments, fd, STEAD_QMP_TIMEOUT_MS, error);
}

gboolean stead_qmp_do(SteadQmp *qmp, const char *command, JsonObject *arguments, int fd,
                      GError **error)
{
    g_autoptr(JsonNode) answer = stead_qmp_call(qmp, command, arguments, fd, error);
    return answer != NULL;
}

JsonNode *stead_qmp_ask(SteadQmp *qmp, const char *command, guint64 timeout_ms, GError **error)
{
    return call(qmp, command, NULL, -1, timeout_ms, error);
}

gboolean stead_qmp_do_long(SteadQmp *qmp, const char *command, JsonObject *arguments,
                           guint64 timeout_ms, GError **error)
{
    g_autoptr(JsonNode) answer = call(qmp, command, arguments, -1, timeout_ms, error);
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
                         GDestroyNotify release, GError **error)
{
    g_autoptr(SteadQmp) qmp = begin(wires, path, func, user, release, error);
    if (qmp && stead_qmp_do(qmp, "qmp_capabilities", NULL, -1, error))
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
