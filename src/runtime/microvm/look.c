/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which engines there are, and how they are. Each is looked at in a thread of its own, for an
 * engine may take its time, or never answer: it delays the list by a moment and the others not at
 * all. What is not known by then is that it runs; how it is, is told when it has answered.
 */
#include "base/detached.h"
#include "base/error.h"
#include "runtime/microvm/internal.h"

/* For all of them together. */
#define LIST_TIMEOUT_MS 3000

/* Shared by the list and the threads that look for it. */
typedef struct {
    GMutex lock; /* of what follows */
    GCond done;
    GPtrArray *found;  /* SteadActual */
    GHashTable *asked; /* ids that are looked at yet */
    gboolean closed;   /* nobody waits any more */
} Survey;

typedef struct {
    char *id;
    Survey *survey; /* NULL: nobody waits */
} Look;

static void survey_clear(gpointer data)
{
    Survey *survey = data;
    g_clear_pointer(&survey->found, g_ptr_array_unref);
    g_hash_table_unref(survey->asked);
    g_mutex_clear(&survey->lock);
    g_cond_clear(&survey->done);
}

static void survey_unref(Survey *survey)
{
    g_atomic_rc_box_release_full(survey, survey_clear);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Survey, survey_unref)

static Survey *survey_new(void)
{
    Survey *survey = g_atomic_rc_box_new0(Survey);
    survey->found = g_ptr_array_new_with_free_func((GDestroyNotify)stead_actual_free);
    survey->asked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_mutex_init(&survey->lock);
    g_cond_init(&survey->done);
    return survey;
}

/* ---- one engine ---- */

/* An engine that does not answer is there all the same. */
static SteadActual *silent(const char *id)
{
    SteadActual *actual = g_new0(SteadActual, 1);
    actual->id = g_strdup(id);
    actual->domain = g_strdup(id);
    actual->state = STEAD_STATE_RUNNING;
    actual->silent = TRUE;
    return actual;
}

/* NULL: it does not run by now. `monitor` is what was found, or NULL. */
static SteadActual *look_at(SteadMicrovm *microvm, const char *id, SteadMonitor **monitor)
{
    g_autoptr(GError) error = NULL;
    *monitor = stead_monitor_attach(microvm, id, NULL, &error);
    if (*monitor && stead_monitor_refresh(*monitor, &error))
        return stead_process_actual((*monitor)->process);
    if (*monitor == NULL && error == NULL)
        return NULL;
    g_warning("the engine of %s: %s", id, error->message);
    return silent(id);
}

/* FALSE when it comes too late. */
static gboolean hand_in(Survey *survey, const char *id, SteadActual *actual)
{
    g_mutex_lock(&survey->lock);
    gboolean in_time = !survey->closed;
    if (in_time && actual)
        g_ptr_array_add(survey->found, actual);
    g_hash_table_remove(survey->asked, id);
    g_cond_signal(&survey->done);
    g_mutex_unlock(&survey->lock);
    return in_time;
}

void stead_microvm_run_look(gpointer data, gpointer microvm)
{
    Look *look = data;
    g_autoptr(SteadMonitor) monitor = NULL;
    g_autoptr(SteadActual) actual = look_at(microvm, look->id, &monitor);
    if (look->survey && hand_in(look->survey, look->id, actual))
        actual = NULL;
    else if (monitor && actual && !actual->silent)
        stead_process_tell(monitor->process);
    g_clear_pointer(&look->survey, survey_unref);
    g_free(look->id);
    g_free(look);
}

static void begin(SteadMicrovm *microvm, const char *id, Survey *survey)
{
    Look *look = g_new0(Look, 1);
    look->id = g_strdup(id);
    look->survey = survey ? g_atomic_rc_box_acquire(survey) : NULL;
    g_thread_pool_push(microvm->looks, look, NULL);
}

void stead_microvm_look_again(SteadMicrovm *microvm, const char *id)
{
    begin(microvm, id, NULL);
}

/* ---- all of them ---- */

/* The ids of those that run; whoever cannot see that of one of them knows nothing. */
static gboolean find_all(const SteadMicrovm *microvm, GHashTable *ids, GError **error)
{
    g_autofree char *path = g_build_filename(microvm->paths->run, "instances", NULL);
    g_autoptr(GError) why = NULL;
    g_autoptr(GDir) dir = stead_open_dir(path, &why);
    for (const char *name; dir && !why && (name = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *record = stead_microvm_path(microvm, name, "engine.pid");
        if (g_uuid_string_is_valid(name) && stead_detached_is_running(record, NULL, &why))
            g_hash_table_add(ids, g_strdup(name));
    }
    if (why == NULL)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

static GPtrArray *await_all(Survey *survey)
{
    GHashTableIter iter;
    gpointer id;
    gint64 deadline = g_get_monotonic_time() + LIST_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;
    g_mutex_lock(&survey->lock);
    while (g_hash_table_size(survey->asked) > 0 &&
           g_cond_wait_until(&survey->done, &survey->lock, deadline))
        ;
    survey->closed = TRUE;
    g_hash_table_iter_init(&iter, survey->asked);
    while (g_hash_table_iter_next(&iter, &id, NULL))
        g_ptr_array_add(survey->found, silent(id));
    GPtrArray *found = g_steal_pointer(&survey->found);
    g_mutex_unlock(&survey->lock);
    return found;
}

GPtrArray *stead_microvm_list(gpointer self, GError **error)
{
    SteadMicrovm *microvm = self;
    g_autoptr(Survey) survey = survey_new();
    if (!find_all(microvm, survey->asked, error))
        return NULL;
    g_autofree gpointer *ids = g_hash_table_get_keys_as_array(survey->asked, NULL);
    g_auto(GStrv) copies = g_strdupv((char **)ids);
    for (guint i = 0; copies[i]; i++)
        begin(microvm, copies[i], survey);
    return await_all(survey);
}
