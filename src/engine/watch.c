/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching what runs: the console is read for stages and for the spec's console rule, and told as
 * events. A console is opened when an instance starts, or when somebody asks for the log of a
 * stopped one, and closed when the instance ends, so that its readers learn of it.
 */
#include "base/error.h"
#include "base/units.h"
#include "engine/state.h"

SteadLive *stead_engine_live(SteadEngine *engine, const char *id)
{
    SteadLive *live = g_hash_table_lookup(engine->live, id);
    if (live == NULL) {
        live = g_new0(SteadLive, 1);
        live->engine = engine;
        live->id = g_strdup(id);
        g_hash_table_insert(engine->live, live->id, live);
    }
    return live;
}

static void stop_reading(SteadLive *live)
{
    if (live->console && live->reader)
        stead_console_unsubscribe(live->console, live->reader);
    live->reader = 0;
    g_clear_pointer(&live->stages, stead_stages_free);
    g_clear_pointer(&live->rule, stead_match_free);
    g_clear_handle_id(&live->ready_timer, g_source_remove);
    live->run_started = 0;
    live->late = FALSE;
}

static void close_console(SteadLive *live)
{
    stop_reading(live);
    if (live->console)
        stead_console_close(live->console);
    g_clear_pointer(&live->console, stead_console_unref);
}

void stead_live_free(gpointer data)
{
    SteadLive *live = data;
    close_console(live);
    g_clear_handle_id(&live->restart_timer, g_source_remove);
    g_queue_clear(&live->asked);
    g_free(live->id);
    g_free(live);
}

static SteadConsole *open_console(SteadEngine *engine, const char *id, GError **error)
{
    g_autofree char *dir = stead_engine_instance_dir(engine, id);
    g_autofree char *run_dir = stead_engine_instance_run_dir(engine, id);
    g_autofree char *log = g_build_filename(dir, "console.log", NULL);
    g_autofree char *times = g_build_filename(dir, "console.times", NULL);
    g_autofree char *input = g_build_filename(run_dir, "console.sock", NULL);
    g_autofree char *listen = g_build_filename(run_dir, "console", NULL);
    if (!stead_make_dir(dir, 0711, error) || !stead_make_dir(run_dir, 0711, error))
        return NULL;
    SteadConsoleOptions options = {
        .log_path = log, .times_path = times, .input_path = input, .listen_path = listen};
    return stead_console_open(&options, error);
}

SteadConsole *stead_engine_console(SteadEngine *engine, const char *id, GError **error)
{
    SteadLive *live = stead_engine_live(engine, id);
    const SteadInstance *instance = stead_table_get(engine->instances, id);
    if (instance && instance->state == STEAD_STATE_REMOVING) {
        stead_set_error(error, STEAD_ERROR_STATE, NULL, "%s is being removed", instance->name);
        return NULL;
    }
    if (live->console == NULL)
        live->console = open_console(engine, id, error);
    return live->console;
}

void stead_engine_changed(SteadEngine *engine)
{
    g_mutex_lock(&engine->change_mutex);
    engine->changes++;
    g_cond_broadcast(&engine->change_cond);
    g_mutex_unlock(&engine->change_mutex);
}

static void on_stage(const SteadStageEvent *event, gpointer data)
{
    SteadLive *live = data;
    SteadInstance *instance = stead_table_get(live->engine->instances, live->id);
    if (instance == NULL)
        return;
    stead_set_string(&instance->stage, stead_stage_name(event->stage));
    g_autofree char *elapsed =
        g_strdup_printf("%" G_GINT64_FORMAT, (g_get_monotonic_time() - live->run_started) / 1000);
    g_autofree char *fraction = g_strdup_printf("%.2f", stead_stage_fraction(event->stage));
    g_autofree char *line = g_utf8_make_valid(event->line ? event->line : "", -1);
    stead_events_emit(live->engine->events, event->trouble ? "instance.trouble" : "instance.stage",
                      instance->name,
                      stead_event_data("stage", stead_stage_name(event->stage), "line", line,
                                       "trouble", event->trouble, "elapsed-ms", elapsed, "progress",
                                       fraction, NULL));
}

static gboolean on_bytes(const guint8 *bytes, gsize n, guint64 position, gpointer data)
{
    SteadLive *live = data;
    if (n == 0)
        return TRUE;
    stead_stages_feed(live->stages, bytes, n, on_stage, live);
    if (live->rule && stead_match_feed(live->rule, bytes, n))
        g_clear_pointer(&live->rule, stead_match_free);
    return TRUE;
}

static void on_ended(gpointer data)
{
    ((SteadLive *)data)->reader = 0;
}

static const SteadConsoleReader reader = {on_bytes, on_ended};

void stead_engine_watch(SteadEngine *engine, SteadInstance *instance, gboolean fresh)
{
    g_autoptr(GError) error = NULL;
    SteadLive *live = stead_engine_live(engine, instance->id);
    stop_reading(live);
    SteadConsole *console = stead_engine_console(engine, instance->id, &error);
    live->run_started = g_get_monotonic_time();
    if (!fresh && instance->started)
        live->run_started -= MAX(0, g_get_real_time() - instance->started);
    if (console && fresh)
        stead_console_mark_boot(console);
    live->stages = stead_stages_new();
    if (instance->spec->ready.console)
        live->rule = stead_match_new(instance->spec->ready.console, NULL);
    if (console)
        live->reader = stead_console_subscribe(console, (SteadConsoleFrom){STEAD_CONSOLE_BOOT, 0},
                                               &reader, live, &error);
    if (error)
        g_warning("the console of %s: %s", instance->name, error->message);
    if (!instance->ready)
        stead_engine_await_ready(engine, live);
}

void stead_engine_unwatch(SteadEngine *engine, const char *id)
{
    SteadLive *live = g_hash_table_lookup(engine->live, id);
    if (live)
        close_console(live);
    stead_engine_changed(engine);
}

/* ---- waiting ---- */

typedef struct {
    SteadEngine *engine;
    const char *id;
    gboolean ready;
} Look;

static gboolean look(gpointer data, GError **error)
{
    Look *look = data;
    SteadInstance *instance = stead_engine_expect(look->engine, look->id, error);
    if (instance == NULL)
        return FALSE;
    look->ready = instance->ready;
    if (instance->ready || instance->want_running)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_STATE, NULL, "%s is %s, and was waited for to be ready",
                    instance->name, stead_name_of(&stead_state_names, (int)instance->state));
    return FALSE;
}

/* Waits until something changed since `seen`, at most a second, so that cancelling is noticed. */
static void wait_for_change(SteadEngine *engine, guint seen)
{
    gint64 until = g_get_monotonic_time() + G_TIME_SPAN_SECOND;
    g_mutex_lock(&engine->change_mutex);
    while (engine->changes == seen &&
           g_cond_wait_until(&engine->change_cond, &engine->change_mutex, until))
        continue;
    g_mutex_unlock(&engine->change_mutex);
}

static guint changes_seen(SteadEngine *engine)
{
    g_mutex_lock(&engine->change_mutex);
    guint seen = engine->changes;
    g_mutex_unlock(&engine->change_mutex);
    return seen;
}

gboolean stead_engine_wait_ready(SteadEngine *engine, SteadJob *job, const char *id,
                                 guint64 timeout_ms, GError **error)
{
    gint64 until = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    Look looking = {engine, id, FALSE};
    for (;;) {
        guint seen = changes_seen(engine);
        if (!stead_job_sync(job, look, &looking, error))
            return FALSE;
        if (looking.ready)
            return TRUE;
        if (g_cancellable_set_error_if_cancelled(stead_job_cancellable(job), error))
            return FALSE;
        if (g_get_monotonic_time() >= until)
            break;
        wait_for_change(engine, seen);
    }
    g_autofree char *time = stead_format_duration(timeout_ms);
    stead_set_error(error, STEAD_ERROR_TIMEOUT,
                    "It still runs; 'stead logs' shows what its console says.",
                    "it was not ready within %s", time);
    return FALSE;
}
