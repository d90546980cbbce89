/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was asked for and has not begun. An action is answered before it is its turn, and an answer
 * is a promise: it is put on record first, so that it outlives the daemon.
 *
 * Several actions may wait for one instance; the record shows the last of them, since that is what
 * their user wants in the end. When the job of one begins it no longer counts, and the record that
 * says so is the very one in which the job says what it is about to do. One that is cancelled
 * before that is taken back. A daemon that ends takes nothing back: the next one goes on.
 */
#include "engine/state.h"

struct _SteadAsk {
    SteadEngine *engine;
    char *id;
    SteadAction action;
    gboolean force;
    guint64 timeout_ms;
    gboolean waits;
};

/* The last one that waits is what the record says. */
static void show(SteadLive *live, SteadInstance *instance)
{
    const SteadAsk *last = g_queue_peek_tail(&live->asked);
    instance->asked = last ? last->action : STEAD_ACTION_NONE;
    instance->asked_force = last && last->force;
    instance->asked_timeout = last ? last->timeout_ms : 0;
    live->asked_unwritten = TRUE;
}

/* It does not wait any more; FALSE when the instance is gone. */
static gboolean withdraw(SteadAsk *ask)
{
    SteadLive *live = g_hash_table_lookup(ask->engine->live, ask->id);
    SteadInstance *instance = stead_table_get(ask->engine->instances, ask->id);
    ask->waits = FALSE;
    if (live == NULL || instance == NULL)
        return FALSE;
    g_queue_remove(&live->asked, ask);
    show(live, instance);
    return TRUE;
}

SteadAsk *stead_engine_ask(SteadEngine *engine, SteadInstance *instance, SteadAction action,
                           const SteadActionOptions *options, GError **error)
{
    SteadLive *live = stead_engine_live(engine, instance->id);
    SteadAsk *ask = g_new0(SteadAsk, 1);
    ask->engine = engine;
    ask->id = g_strdup(instance->id);
    ask->action = action;
    ask->force = options && options->force;
    ask->timeout_ms = options ? options->timeout_ms : 0;
    ask->waits = TRUE;
    gboolean unwritten = live->asked_unwritten;
    g_queue_push_tail(&live->asked, ask);
    show(live, instance);
    if (stead_table_save(engine->instances, instance, error)) {
        live->asked_unwritten = FALSE;
        return ask;
    }
    withdraw(ask);
    live->asked_unwritten = unwritten; /* as it was on record, so it is again */
    stead_ask_free(ask);
    return NULL;
}

gboolean stead_ask_begin(gpointer ask, GError **error)
{
    withdraw(ask);
    return TRUE;
}

void stead_ask_free(gpointer data)
{
    SteadAsk *ask = data;
    if (ask == NULL)
        return;
    if (ask->waits && !ask->engine->closing)
        withdraw(ask);
    /* What the job wrote has told it already, where it wrote something. */
    const SteadLive *live = g_hash_table_lookup(ask->engine->live, ask->id);
    SteadInstance *instance = stead_table_get(ask->engine->instances, ask->id);
    if (live && instance && live->asked_unwritten)
        stead_engine_save(ask->engine, instance);
    g_free(ask->id);
    g_free(ask);
}

void stead_engine_ask_again(SteadEngine *engine, SteadInstance *instance)
{
    SteadAction action = instance->asked;
    SteadActionOptions options = {.force = instance->asked_force,
                                  .timeout_ms = instance->asked_timeout};
    SteadLive *live = stead_engine_live(engine, instance->id);
    g_autoptr(GError) error = NULL;
    if (action == STEAD_ACTION_NONE || live->asked.length > 0 ||
        stead_engine_act(engine, instance->id, action, &options, &error))
        return;
    g_warning("what an earlier daemon promised for %s ('%s') is not done: %s", instance->name,
              stead_name_of(&stead_action_names, (int)action), error->message);
    show(live, instance);
    stead_engine_save(engine, instance);
}
