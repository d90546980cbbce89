/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead info and daemon: what answers at the socket; starting and ending it. Under systemd its
 * unit is used for the default root; elsewhere the program is started in a session of its own.
 */
#include "cli/commands.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/paths.h"
#include "base/subprocess.h"
#include "cli/daemon_program.h"
#include "cli/json.h"
#include "cli/screen.h"
#include "cli/table.h"

#define UNIT "stead.service"
#define START_TIMEOUT_MS 30000
#define STOP_TIMEOUT_MS 30000
#define RETRY_MS 50

static char *accel_cell(JsonNode *item)
{
    const char *accel = stead_json_text(item, "host.accel");
    const char *status = stead_json_text(item, "host.kvm.status");
    const char *detail = stead_json_text(item, "host.kvm.detail");
    GString *text = g_string_new(accel);
    if (status != NULL)
        g_string_append_printf(text, " (KVM %s%s%s)", status, detail && *detail ? ": " : "",
                               detail ? detail : "");
    return g_string_free(text, FALSE);
}

static char *libvirt_cell(JsonNode *item)
{
    const char *version = stead_json_text(item, "host.libvirt.version");
    if (!stead_json_flag(item, "host.libvirt.connected"))
        return g_strdup("not connected");
    return g_strdup(version ? version : "connected");
}

static const SteadColumn fields[] = {
    {"Daemon", "version", STEAD_CELL_TEXT},
    {"API", "api", STEAD_CELL_TEXT},
    {"Host", "host.name", STEAD_CELL_TEXT},
    {"Kernel", "host.kernel", STEAD_CELL_TEXT},
    {"CPUs", "host.cpus", STEAD_CELL_TEXT},
    {"Memory", "host.memory", STEAD_CELL_SIZE},
    {"Runs VMs with", NULL, STEAD_CELL_FUNCTION, accel_cell},
    {"libvirt", NULL, STEAD_CELL_FUNCTION, libvirt_cell},
    {"Instances", "instances", STEAD_CELL_TEXT},
    {"Root", "root", STEAD_CELL_TEXT},
    {"Process", "pid", STEAD_CELL_TEXT},
    {"Resident", "resident", STEAD_CELL_SIZE},
    {"Up", "uptime-ms", STEAD_CELL_DURATION},
    {NULL},
};

static int run_info(SteadCall *call, GError **error)
{
    if (!stead_call_json(call))
        puts("stead:          " STEAD_VERSION);
    g_autoptr(JsonNode) shown = stead_table_show(call, "/v1", fields, error);
    return shown ? 0 : 1;
}

/* --- start and stop --- */

/* The default root belongs to the unit; another root is the user's own affair. */
static gboolean is_units(void)
{
    const char *root = g_getenv("STEAD_ROOT");
    return (root == NULL || *root == '\0') &&
           g_file_test("/run/systemd/system", G_FILE_TEST_IS_DIR) &&
           (g_file_test("/lib/systemd/system/" UNIT, G_FILE_TEST_EXISTS) ||
            g_file_test("/etc/systemd/system/" UNIT, G_FILE_TEST_EXISTS));
}

static gboolean systemctl(const char *verb, GError **error)
{
    const char *const argv[] = {"systemctl", verb, UNIT, NULL};
    return stead_run(argv, NULL, NULL, NULL, error);
}

static JsonNode *ask(SteadCall *call, GError **error)
{
    return stead_call_request(call, "GET", "/v1", NULL, error);
}

typedef struct {
    SteadCall *call;
    GMainLoop *loop;
    gboolean wanted;  /* whether it should answer */
    gboolean reached; /* it is as wanted */
    gboolean exited;  /* the child has ended by itself */
    gboolean late;
} Wait;

static gboolean on_retry(gpointer data)
{
    Wait *wait = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) reply = ask(wait->call, &error);
    wait->reached = (reply != NULL) == wait->wanted;
    if (wait->reached)
        g_main_loop_quit(wait->loop);
    return G_SOURCE_CONTINUE;
}

static gboolean on_late(gpointer data)
{
    Wait *wait = data;
    wait->late = TRUE;
    g_main_loop_quit(wait->loop);
    return G_SOURCE_CONTINUE;
}

static void on_exit_of_child(GPid pid, int status, gpointer data)
{
    Wait *wait = data;
    wait->exited = TRUE;
    g_main_loop_quit(wait->loop);
}

/* Until the daemon answers (or does not), its process has ended (pid > 0), or time is up. */
static Wait wait_for(SteadCall *call, gboolean wanted, GPid pid, guint timeout_ms)
{
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    Wait wait = {.call = call, .loop = loop, .wanted = wanted};
    guint retry = g_timeout_add(RETRY_MS, on_retry, &wait);
    guint late = g_timeout_add(timeout_ms, on_late, &wait);
    guint child = pid > 0 ? g_child_watch_add(pid, on_exit_of_child, &wait) : 0;
    g_main_loop_run(loop);
    g_source_remove(retry);
    g_source_remove(late);
    if (child != 0 && !wait.exited)
        g_source_remove(child);
    return wait;
}

static gboolean start_program(SteadCall *call, GError **error)
{
    GPid pid;
    g_autoptr(SteadPaths) paths = stead_paths_new(error);
    if (paths == NULL || !stead_make_dir(paths->state, 0711, error))
        return FALSE;
    g_autofree char *log = g_build_filename(paths->state, "daemon.log", NULL);
    if (!stead_daemon_spawn(log, &pid, error))
        return FALSE;
    Wait wait = wait_for(call, TRUE, pid, START_TIMEOUT_MS);
    if (wait.reached)
        return TRUE;
    g_autofree char *hint = g_strdup_printf("Its messages are in %s; 'stead doctor' says what the "
                                            "host lacks.",
                                            log);
    stead_set_error(error, STEAD_ERROR_UNAVAILABLE, hint,
                    wait.exited ? "the daemon ended right after its start"
                                : "the daemon does not answer after its start");
    return FALSE;
}

static int run_start(SteadCall *call, GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(JsonNode) reply = ask(call, &cause);
    if (reply != NULL) {
        stead_screen_remark("It runs already.");
        return 0;
    }
    if (stead_error_code(cause) != STEAD_ERROR_UNAVAILABLE) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return 1;
    }
    return (is_units() ? systemctl("start", error) : start_program(call, error)) ? 0 : 1;
}

static gboolean send_term(gint64 pid, GError **error)
{
    if (pid > 1 && kill((pid_t)pid, SIGTERM) == 0)
        return TRUE;
    int saved = errno;
    if (pid <= 1)
        stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "the daemon did not tell its process");
    else
        stead_set_error(error, saved == EPERM ? STEAD_ERROR_DENIED : STEAD_ERROR_INTERNAL,
                        "Try again with sudo.",
                        "the daemon's process %" G_GINT64_FORMAT " cannot be ended: %s", pid,
                        g_strerror(saved));
    return FALSE;
}

static gboolean end_program(SteadCall *call, GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(JsonNode) reply = ask(call, &cause);
    if (reply == NULL && stead_error_code(cause) == STEAD_ERROR_UNAVAILABLE) {
        stead_screen_remark("It does not run.");
        return TRUE;
    }
    if (reply == NULL) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return FALSE;
    }
    if (!send_term(stead_json_integer(reply, "pid", 0), error))
        return FALSE;
    if (wait_for(call, FALSE, 0, STOP_TIMEOUT_MS).reached)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_TIMEOUT, NULL, "the daemon still answers");
    return FALSE;
}

static int run_stop(SteadCall *call, GError **error)
{
    return (is_units() ? systemctl("stop", error) : end_program(call, error)) ? 0 : 1;
}

const SteadCommand stead_cmd_info = {
    .name = "info",
    .section = STEAD_SECTION_HOST,
    .summary = "Show the versions, the host and how it runs virtual machines",
    .options = stead_format_options,
    .run = run_info,
};

const SteadCommand stead_cmd_daemon = {
    .name = "daemon",
    .section = STEAD_SECTION_HOST,
    .summary = "Start and end the daemon, or see whether it runs",
    .description = "STEAD_ROOT chooses which, where several run side by side.",
};

const SteadCommand stead_cmd_daemon_start = {
    .name = "daemon start",
    .section = STEAD_SECTION_HOST,
    .summary = "Start the daemon unless it runs, and wait until it answers",
    .description = "Under systemd by its unit; elsewhere in the background, with its messages in "
                   "daemon.log below the state folder.",
    .run = run_start,
};

const SteadCommand stead_cmd_daemon_status = {
    .name = "daemon status",
    .section = STEAD_SECTION_HOST,
    .summary = "Show whether the daemon answers, as 'stead info' does",
    .options = stead_format_options,
    .run = run_info,
};

const SteadCommand stead_cmd_daemon_stop = {
    .name = "daemon stop",
    .section = STEAD_SECTION_HOST,
    .summary = "End the daemon; instances go on",
    .run = run_stop,
};
