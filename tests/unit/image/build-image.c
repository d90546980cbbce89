/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build-image RELEASE OUTPUT WORK CACHE [SIZE]: one image build, for the integration tests. Prints
 * each change of stage or percent; SIGINT and SIGTERM cancel.
 */
#include <glib-unix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/units.h"
#include "image/build.h"

typedef struct {
    SteadBuildOptions options;
    GCancellable *cancellable;
    GMainLoop *loop;
    GError *error;
    int percent;
    const char *stage;
} Job;

static void on_progress(const char *stage, double fraction, gpointer data)
{
    Job *job = data;
    int percent = (int)(fraction * 100);
    if (percent == job->percent && job->stage == stage)
        return;
    job->percent = percent;
    job->stage = stage;
    printf("%3d%% %s\n", percent, stage);
    fflush(stdout);
}

static gboolean on_signal(gpointer data)
{
    g_cancellable_cancel(((Job *)data)->cancellable);
    return G_SOURCE_CONTINUE;
}

static gpointer build(gpointer data)
{
    Job *job = data;
    stead_image_build(&job->options, on_progress, job, job->cancellable, &job->error);
    g_main_loop_quit(job->loop);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: build-image RELEASE OUTPUT WORK CACHE [SIZE]\n");
        return 2;
    }
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    Job job = {.options = {argv[1], argv[2], argv[3], argv[4], 0},
               .cancellable = cancellable,
               .loop = loop,
               .percent = -1};
    g_autoptr(GError) bad = NULL;
    if (argc > 5 && !stead_parse_size(argv[5], &job.options.disk_size, &bad)) {
        fprintf(stderr, "%s\n", bad->message);
        return 2;
    }
    g_unix_signal_add(SIGINT, on_signal, &job);
    g_unix_signal_add(SIGTERM, on_signal, &job);
    GThread *thread = g_thread_new("build", build, &job);
    g_main_loop_run(loop);
    g_thread_join(thread);
    if (job.error == NULL)
        return 0;
    const char *hint = stead_error_hint(job.error);
    fprintf(stderr, "%s: %s\n", stead_error_code_name(stead_error_code(job.error)),
            job.error->message);
    if (hint)
        fprintf(stderr, "hint: %s\n", hint);
    int code = stead_error_exit_code(stead_error_code(job.error));
    g_clear_error(&job.error);
    return code;
}
