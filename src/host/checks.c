/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running the table of requirements and telling what came of it, to people and to programs. What
 * a check found may quote another program, so it is made one line of clean text here, once.
 */
#include "host/checks.h"

#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/subprocess.h"
#include "host/requirements.h"

#define READ_MAX (64 * 1024)

static const char *const status_names[] = {
    [STEAD_CHECK_OK] = "ok",
    [STEAD_CHECK_WARN] = "warn",
    [STEAD_CHECK_FAIL] = "fail",
};
G_STATIC_ASSERT(G_N_ELEMENTS(status_names) == STEAD_CHECK_N_STATUSES);

const char *stead_check_status_name(SteadCheckStatus status)
{
    return status < STEAD_CHECK_N_STATUSES ? status_names[status] : "unknown";
}

void stead_check_result_free(SteadCheckResult *result)
{
    if (result == NULL)
        return;
    g_free(result->found);
    g_free(result->mend);
    g_free(result);
}

/* The first line of a text, without control characters, cut to its limit. */
static char *one_line(const char *text)
{
    g_autofree char *line = g_strndup(text, strcspn(text, "\r\n"));
    if (strlen(line) > STEAD_CHECK_TEXT_MAX)
        line[STEAD_CHECK_TEXT_MAX] = '\0';
    char *clean = g_utf8_make_valid(line, -1);
    for (char *c = clean; *c; c++)
        if (g_ascii_iscntrl(*c))
            *c = ' ';
    return clean;
}

static void G_GNUC_PRINTF(4, 0) answer(SteadCheckResult *result, SteadCheckStatus status,
                                       const char *mend, const char *format, va_list args)
{
    g_autofree char *text = g_strdup_vprintf(format, args);
    result->status = status;
    g_free(result->found);
    result->found = one_line(text);
    g_free(result->mend);
    result->mend = status == STEAD_CHECK_OK ? NULL : g_strdup(mend);
}

void stead_check_well(SteadCheckResult *result, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    answer(result, STEAD_CHECK_OK, NULL, format, args);
    va_end(args);
}

void stead_check_answer(SteadCheckResult *result, SteadCheckStatus status, const char *mend,
                        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    answer(result, status, mend, format, args);
    va_end(args);
}

char *stead_check_command(const char *command)
{
    return geteuid() == 0 ? g_strdup(command) : g_strdup_printf("sudo %s", command);
}

char *stead_check_path(const SteadCheckContext *context, const char *path)
{
    return g_strconcat(context->system_root ? context->system_root : "", path, NULL);
}

/* Files of /proc have no size, and a file may be one that never ends: at most READ_MAX is read. */
char *stead_check_read(const SteadCheckContext *context, const char *path)
{
    g_autofree char *whole = stead_check_path(context, path);
    FILE *file = fopen(whole, "re");
    if (file == NULL)
        return NULL;
    char *text = g_malloc(READ_MAX + 1);
    text[fread(text, 1, READ_MAX, file)] = '\0';
    fclose(file);
    return g_strstrip(text);
}

char *stead_check_find_program(const SteadCheckContext *context, const char *name)
{
    char *path = NULL;
    if (context->search_path == NULL) {
        stead_find_program(name, &path);
        return path;
    }
    g_auto(GStrv) folders = g_strsplit(context->search_path, ":", -1);
    for (gsize i = 0; folders[i]; i++) {
        g_autofree char *candidate = g_build_filename(folders[i], name, NULL);
        if (g_file_test(candidate, G_FILE_TEST_IS_EXECUTABLE) &&
            !g_file_test(candidate, G_FILE_TEST_IS_DIR))
            return g_steal_pointer(&candidate);
    }
    return NULL;
}

/* Cancels a program that does not answer; the thread ends as soon as the program did. */
typedef struct {
    GMutex lock;
    GCond ended;
    gboolean is_ended;
    GCancellable *cancellable;
} Watchdog;

static gpointer watch(gpointer data)
{
    Watchdog *watchdog = data;
    gint64 deadline = g_get_monotonic_time() + STEAD_CHECK_PROGRAM_SECONDS * G_USEC_PER_SEC;
    g_mutex_lock(&watchdog->lock);
    gboolean in_time = TRUE;
    while (!watchdog->is_ended && in_time)
        in_time = g_cond_wait_until(&watchdog->ended, &watchdog->lock, deadline);
    g_mutex_unlock(&watchdog->lock);
    if (!in_time)
        g_cancellable_cancel(watchdog->cancellable);
    return NULL;
}

static void pass_on_cancel(GCancellable *from, gpointer to)
{
    g_cancellable_cancel(to);
}

gboolean stead_check_run_program(const SteadCheckContext *context, const char *const argv[],
                                 char **output, GError **error)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    Watchdog watchdog = {.cancellable = cancellable};
    gulong link = context->cancellable
                      ? g_cancellable_connect(context->cancellable, G_CALLBACK(pass_on_cancel),
                                              cancellable, NULL)
                      : 0;
    g_mutex_init(&watchdog.lock);
    g_cond_init(&watchdog.ended);
    GThread *thread = g_thread_new("check-watchdog", watch, &watchdog);
    gboolean done = stead_run(argv, NULL, cancellable, output, error);
    g_mutex_lock(&watchdog.lock);
    watchdog.is_ended = TRUE;
    g_cond_signal(&watchdog.ended);
    g_mutex_unlock(&watchdog.lock);
    g_thread_join(thread);
    g_mutex_clear(&watchdog.lock);
    g_cond_clear(&watchdog.ended);
    g_cancellable_disconnect(context->cancellable, link);
    return done;
}

SteadCheckStatus stead_check_level(guint64 amount, guint64 least, guint64 good)
{
    if (amount < least)
        return STEAD_CHECK_FAIL;
    return amount < good ? STEAD_CHECK_WARN : STEAD_CHECK_OK;
}

GPtrArray *stead_checks_run(const SteadCheckContext *context)
{
    GPtrArray *results = g_ptr_array_new_with_free_func((GDestroyNotify)stead_check_result_free);
    for (gsize i = 0; i < stead_n_requirements; i++) {
        const SteadRequirement *requirement = &stead_requirements[i];
        if (g_cancellable_is_cancelled(context->cancellable))
            break;
        SteadCheckResult *result = g_new0(SteadCheckResult, 1);
        result->id = requirement->id;
        result->title = requirement->title;
        result->why = requirement->why;
        requirement->check(requirement, context, result);
        g_ptr_array_add(results, result);
    }
    return results;
}

static guint count(const GPtrArray *results, SteadCheckStatus status)
{
    guint n = 0;
    for (guint i = 0; i < results->len; i++)
        n += ((const SteadCheckResult *)results->pdata[i])->status == status;
    return n;
}

gboolean stead_checks_all_ok(const GPtrArray *results)
{
    return count(results, STEAD_CHECK_FAIL) == 0;
}

static void add_string(JsonBuilder *builder, const char *name, const char *value)
{
    json_builder_set_member_name(builder, name);
    if (value)
        json_builder_add_string_value(builder, value);
    else
        json_builder_add_null_value(builder);
}

static void add_result(JsonBuilder *builder, const SteadCheckResult *result)
{
    json_builder_begin_object(builder);
    add_string(builder, "id", result->id);
    add_string(builder, "title", result->title);
    add_string(builder, "status", stead_check_status_name(result->status));
    add_string(builder, "found", result->found);
    add_string(builder, "why", result->why);
    add_string(builder, "mend", result->mend);
    json_builder_end_object(builder);
}

char *stead_checks_to_json(const GPtrArray *results)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "ok");
    json_builder_add_boolean_value(builder, stead_checks_all_ok(results));
    json_builder_set_member_name(builder, "checks");
    json_builder_begin_array(builder);
    for (guint i = 0; i < results->len; i++)
        add_result(builder, results->pdata[i]);
    json_builder_end_array(builder);
    json_builder_end_object(builder);
    g_autoptr(JsonNode) root = json_builder_get_root(builder);
    return json_to_string(root, FALSE);
}

static void append_result(GString *text, const SteadCheckResult *result)
{
    g_string_append_printf(text, "%-5s %-21s %s\n", stead_check_status_name(result->status),
                           result->title, result->found);
    if (result->status == STEAD_CHECK_OK)
        return;
    g_string_append_printf(text, "      why:  %s\n      mend: %s\n", result->why, result->mend);
}

char *stead_checks_to_text(const GPtrArray *results)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < results->len; i++)
        append_result(text, results->pdata[i]);
    guint warnings = count(results, STEAD_CHECK_WARN), failures = count(results, STEAD_CHECK_FAIL);
    g_string_append_printf(text, "%u ok, %u %s, %u %s\n", count(results, STEAD_CHECK_OK), warnings,
                           warnings == 1 ? "warning" : "warnings", failures,
                           failures == 1 ? "failure" : "failures");
    return g_string_free(text, FALSE);
}
