/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events: numbered here, written to the store in bundles by a timer. Passing events take numbers
 * of the same sequence, so that a client can tell the order of all that it saw; after a restart
 * the sequence goes on well above the last stored number, since passing ones may have been seen.
 */
#include "engine/events.h"

#include "base/error.h"

#define FLUSH_AFTER_MS 200
/* More passing events than this between two runs of the daemon's store are not told apart. */
#define RESTART_GAP 1000000

typedef struct {
    guint id;
    SteadEventFunc func;
    gpointer data;
} Subscriber;

typedef struct {
    guint64 seq;
    char *json;
} Pending;

struct _SteadEvents {
    SteadStore *store;
    guint64 last;
    guint flush_source;
    GArray *pending;     /* Pending */
    GArray *subscribers; /* Subscriber; func is NULL for one that left while events are told */
    guint next_id;
    guint telling;
};

static void clear_pending(gpointer pending)
{
    g_free(((Pending *)pending)->json);
}

SteadEvents *stead_events_new(SteadStore *store)
{
    SteadEvents *events = g_new0(SteadEvents, 1);
    events->store = store;
    guint64 stored = stead_store_last_event(store);
    events->last = stored == 0 ? 0 : stored + RESTART_GAP - stored % RESTART_GAP;
    events->pending = g_array_new(FALSE, FALSE, sizeof(Pending));
    g_array_set_clear_func(events->pending, clear_pending);
    events->subscribers = g_array_new(FALSE, FALSE, sizeof(Subscriber));
    return events;
}

static gboolean write_pending(SteadEvents *events, GError **error)
{
    if (events->pending->len == 0)
        return TRUE;
    if (!stead_store_begin(events->store, error))
        return FALSE;
    for (guint i = 0; i < events->pending->len; i++) {
        Pending *pending = &g_array_index(events->pending, Pending, i);
        if (!stead_store_append_event(events->store, pending->seq, pending->json, error)) {
            stead_store_rollback(events->store);
            return FALSE;
        }
    }
    g_array_set_size(events->pending, 0);
    return stead_store_commit(events->store, error);
}

static gboolean on_flush(gpointer data)
{
    SteadEvents *events = data;
    g_autoptr(GError) error = NULL;
    events->flush_source = 0;
    if (!write_pending(events, &error)) {
        g_warning("%u events could not be kept: %s", events->pending->len, error->message);
        g_array_set_size(events->pending, 0);
    }
    return G_SOURCE_REMOVE;
}

void stead_events_free(SteadEvents *events)
{
    if (events == NULL)
        return;
    if (events->flush_source)
        g_source_remove(events->flush_source);
    on_flush(events);
    g_array_unref(events->pending);
    g_array_unref(events->subscribers);
    g_free(events);
}

static void drop_departed(SteadEvents *events)
{
    for (guint i = events->subscribers->len; i-- > 0;)
        if (g_array_index(events->subscribers, Subscriber, i).func == NULL)
            g_array_remove_index(events->subscribers, i);
}

static void tell(SteadEvents *events, const SteadEvent *event)
{
    events->telling++;
    for (guint i = 0; i < events->subscribers->len; i++) {
        Subscriber *subscriber = &g_array_index(events->subscribers, Subscriber, i);
        if (subscriber->func)
            subscriber->func(event, subscriber->data);
    }
    if (--events->telling == 0)
        drop_departed(events);
}

static char *compose(guint64 seq, const char *type, const char *subject, JsonNode *data)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "seq");
    json_builder_add_int_value(builder, (gint64)seq);
    json_builder_set_member_name(builder, "time");
    json_builder_add_int_value(builder, g_get_real_time());
    json_builder_set_member_name(builder, "type");
    json_builder_add_string_value(builder, type);
    json_builder_set_member_name(builder, "subject");
    json_builder_add_string_value(builder, subject);
    if (data) {
        json_builder_set_member_name(builder, "data");
        json_builder_add_value(builder, data);
    }
    json_builder_end_object(builder);
    g_autoptr(JsonNode) root = json_builder_get_root(builder);
    return json_to_string(root, FALSE);
}

static void emit(SteadEvents *events, const char *type, const char *subject, JsonNode *data,
                 gboolean lasting)
{
    guint64 seq = ++events->last;
    g_autofree char *json = compose(seq, type, subject, data);
    tell(events, &(SteadEvent){seq, type, subject, json});
    if (!lasting)
        return;
    Pending pending = {seq, g_steal_pointer(&json)};
    g_array_append_val(events->pending, pending);
    if (events->flush_source == 0)
        events->flush_source = g_timeout_add(FLUSH_AFTER_MS, on_flush, events);
}

void stead_events_emit(SteadEvents *events, const char *type, const char *subject, JsonNode *data)
{
    emit(events, type, subject, data, TRUE);
}

void stead_events_emit_passing(SteadEvents *events, const char *type, const char *subject,
                               JsonNode *data)
{
    emit(events, type, subject, data, FALSE);
}

typedef struct {
    SteadEventFunc func;
    gpointer data;
} Replay;

static gboolean replay_one(const char *key, const char *json, gpointer data, GError **error)
{
    Replay *replay = data;
    g_autoptr(JsonNode) node = json_from_string(json, error);
    if (node == NULL)
        return FALSE;
    JsonObject *object = json_node_get_object(node);
    SteadEvent event = {g_ascii_strtoull(key, NULL, 10),
                        json_object_get_string_member_with_default(object, "type", ""),
                        json_object_get_string_member_with_default(object, "subject", ""), json};
    replay->func(&event, replay->data);
    return TRUE;
}

gboolean stead_events_replay(SteadEvents *events, guint64 since, SteadEventFunc func, gpointer data,
                             GError **error)
{
    Replay replay = {func, data};
    return write_pending(events, error) &&
           stead_store_events(events->store, since, STEAD_STORE_MAX_EVENTS, replay_one, &replay,
                              error);
}

guint stead_events_subscribe(SteadEvents *events, SteadEventFunc func, gpointer data)
{
    Subscriber subscriber = {++events->next_id, func, data};
    g_array_append_val(events->subscribers, subscriber);
    return subscriber.id;
}

void stead_events_unsubscribe(SteadEvents *events, guint id)
{
    for (guint i = 0; i < events->subscribers->len; i++)
        if (g_array_index(events->subscribers, Subscriber, i).id == id)
            g_array_index(events->subscribers, Subscriber, i).func = NULL;
    if (events->telling == 0)
        drop_departed(events);
}

guint64 stead_events_last(const SteadEvents *events)
{
    return events->last;
}

JsonNode *stead_error_to_json(const GError *error)
{
    const char *said = stead_error_hint(error);
    g_autofree char *message = g_utf8_make_valid(error->message, -1);
    g_autofree char *hint = said ? g_utf8_make_valid(said, -1) : NULL;
    return stead_event_data("code", stead_error_code_name(stead_error_code(error)), "message",
                            message, "hint", hint, NULL);
}
