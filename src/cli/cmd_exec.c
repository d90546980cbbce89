/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead exec: a command in the guest, through its agent; its exit code becomes stead's. Output is
 * passed on byte for byte, as ssh does it: who runs the command chose it.
 *
 * Where the guest's agent knows no streams (virtual machines) the command is run by one request,
 * which has its whole input and answers with its whole output.
 */
#include "cli/commands.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/json.h"
#include "cli/stream_client.h"
#include "cli/terminal.h"

/* What one request carries at most. */
#define MAX_INPUT_BYTES (4 * 1024 * 1024)
#define WHOLE_TIMEOUT_MS (10 * 60 * 1000)
/* Past the time-out, the daemon itself has this long to answer. */
#define GRACE_SECONDS 30

typedef struct {
    SteadCall *call;
    const char *name;
    gboolean terminal; /* in the guest */
    gboolean raw;      /* ours is its */
    gboolean input;
} Exec;

/* ---- what is wanted ---- */

/* The null device, or closed. */
static gboolean has_nothing(int fd)
{
    struct stat about;
    return fstat(fd, &about) != 0 || (S_ISCHR(about.st_mode) && about.st_rdev == makedev(1, 3));
}

static void decide(Exec *exec)
{
    gboolean in = isatty(STDIN_FILENO), out = isatty(STDOUT_FILENO);
    gboolean interactive = stead_call_flag(exec->call, "interactive");
    exec->terminal = stead_call_flag(exec->call, "tty") ||
                     (in && out && !interactive && !stead_call_flag(exec->call, "no-tty"));
    exec->raw = exec->terminal && in;
    exec->input = exec->terminal || interactive || (!in && !has_nothing(STDIN_FILENO));
}

/* A variable by its name alone has the value that it has here. */
static void add_variable(JsonBuilder *builder, const char *variable)
{
    const char *value = strchr(variable, '=') ? NULL : g_getenv(variable);
    g_autofree char *whole = value ? g_strconcat(variable, "=", value, NULL) : g_strdup(variable);
    if (strchr(whole, '='))
        json_builder_add_string_value(builder, whole);
}

static void add_environment(const Exec *exec, JsonBuilder *builder)
{
    json_builder_set_member_name(builder, "environment");
    json_builder_begin_array(builder);
    if (exec->terminal)
        add_variable(builder, "TERM");
    GStrv variables = stead_call_list(exec->call, "env");
    for (guint i = 0; variables[i]; i++)
        add_variable(builder, variables[i]);
    json_builder_end_array(builder);
}

static void add_terminal(const Exec *exec, JsonBuilder *builder)
{
    guint rows, columns;
    json_builder_set_member_name(builder, "terminal");
    json_builder_add_boolean_value(builder, TRUE);
    if (!stead_terminal_size(exec->raw ? STDIN_FILENO : STDOUT_FILENO, &rows, &columns))
        return;
    json_builder_set_member_name(builder, "rows");
    json_builder_add_int_value(builder, rows);
    json_builder_set_member_name(builder, "columns");
    json_builder_add_int_value(builder, columns);
}

static JsonNode *make_request(const Exec *exec)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    stead_json_add_list(builder, "command", stead_call_arguments(exec->call, 1));
    add_environment(exec, builder);
    stead_json_add_text(builder, "user", stead_call_text(exec->call, "user"));
    stead_json_add_text(builder, "directory", stead_call_text(exec->call, "cwd"));
    json_builder_set_member_name(builder, "input");
    json_builder_add_boolean_value(builder, exec->input);
    if (exec->terminal)
        add_terminal(exec, builder);
    json_builder_end_object(builder);
    return stead_json_build(builder);
}

static int run_stream(const Exec *exec, SteadClient *client, GError **error)
{
    g_autofree char *path = stead_client_path("instances", exec->name, "exec", NULL);
    g_autoptr(JsonNode) request = make_request(exec);
    g_autoptr(SoupSession) session = stead_client_session(client, 0);
    SteadStreamClientOptions options = {
        .path = path,
        .request = request,
        .input = exec->input ? STDIN_FILENO : -1,
        .output = STDOUT_FILENO,
        .errors = STDERR_FILENO,
        .raw = exec->raw,
        .pass_signals = !exec->raw,
        .timeout_ms = stead_call_number(exec->call, "timeout", 0),
    };
    GError *problem = NULL;
    int code = stead_stream_client(session, &options, &problem);
    if (problem && problem->domain != STEAD_ERROR)
        problem = stead_client_connect_error(client, problem);
    if (problem)
        g_propagate_error(error, problem);
    return code < 0 ? 1 : code;
}

/* ---- by one request ---- */

static gboolean read_input(GString *input, GError **error)
{
    char buffer[64 * 1024];
    size_t n;
    while ((n = fread(buffer, 1, sizeof buffer, stdin)) > 0) {
        g_string_append_len(input, buffer, (gssize)n);
        if (input->len > MAX_INPUT_BYTES) {
            stead_set_error(error, STEAD_ERROR_INVALID, "Copy large files over the network.",
                            "the input is longer than %d bytes", MAX_INPUT_BYTES);
            return FALSE;
        }
    }
    if (!g_utf8_validate(input->str, (gssize)input->len, NULL)) {
        stead_set_error(error, STEAD_ERROR_INVALID, "Send bytes as base64.",
                        "the input is not UTF-8 text");
        return FALSE;
    }
    return TRUE;
}

static JsonNode *make_body(const Exec *exec, guint64 timeout_ms, GError **error)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    g_autoptr(GString) input = g_string_new(NULL);
    gboolean has_input = exec->input && !exec->terminal;
    if (has_input && !read_input(input, error))
        return NULL;
    json_builder_begin_object(builder);
    stead_json_add_list(builder, "command", stead_call_arguments(exec->call, 1));
    if (has_input)
        stead_json_add_text(builder, "input", input->str);
    json_builder_set_member_name(builder, "timeout-ms");
    json_builder_add_int_value(builder, (gint64)timeout_ms);
    json_builder_end_object(builder);
    return stead_json_build(builder);
}

static void put_stream(JsonNode *reply, const char *member, FILE *to)
{
    const char *text = stead_json_text(reply, member);
    gsize length;
    g_autofree guchar *bytes = text ? g_base64_decode(text, &length) : NULL;
    if (bytes != NULL)
        fwrite(bytes, 1, length, to);
    fflush(to);
}

static int run_whole(const Exec *exec, SteadClient *client, GError **error)
{
    guint64 timeout = stead_call_number(exec->call, "timeout", WHOLE_TIMEOUT_MS);
    g_autoptr(JsonNode) body = make_body(exec, timeout, error);
    if (body == NULL)
        return 1;
    guint64 seconds = timeout / 1000 + GRACE_SECONDS;
    stead_client_set_timeout(client, (guint)MIN(seconds, G_MAXINT));
    g_autofree char *path = stead_client_path("instances", exec->name, "exec", NULL);
    g_autoptr(JsonNode) reply = stead_client_call(client, "POST", path, body, error);
    if (reply == NULL)
        return 1;
    put_stream(reply, "stdout", stdout);
    put_stream(reply, "stderr", stderr);
    if (stead_json_flag(reply, "truncated"))
        fputs("stead: the output was too long; its end is missing\n", stderr);
    return (int)CLAMP(stead_json_integer(reply, "exit-code", 1), 0, 255);
}

/* Whether that one request can do what was asked for. */
static gboolean can_be_whole(const Exec *exec)
{
    static const char *const options[] = {"tty", "env", "user", "cwd"};
    for (gsize i = 0; i < G_N_ELEMENTS(options); i++)
        if (stead_call_has(exec->call, options[i]))
            return FALSE;
    return TRUE;
}

static int run(SteadCall *call, GError **error)
{
    Exec exec = {.call = call, .name = stead_call_argument(call, 0)};
    decide(&exec);
    SteadClient *client = stead_call_client(call, error);
    if (client == NULL)
        return 1;
    g_autoptr(GError) problem = NULL;
    int code = run_stream(&exec, client, &problem);
    if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED) && can_be_whole(&exec))
        return run_whole(&exec, client, error);
    if (problem)
        g_propagate_error(error, g_steal_pointer(&problem));
    return code;
}

static const SteadArgument arguments[] = {
    {.name = "NAME", .doc = "the instance", .complete = STEAD_COMPLETE_INSTANCE},
    {.name = "COMMAND",
     .doc = "the program in the guest and its arguments; no shell",
     .many = TRUE},
    {NULL},
};

static const SteadOption options[] = {
    {.name = "tty",
     .letter = 't',
     .doc = "run it on a terminal",
     .fallback = "where input and output are one"},
    {.name = "no-tty", .letter = 'T', .doc = "run it on no terminal"},
    {.name = "interactive",
     .letter = 'i',
     .doc = "pass standard input on, also from a terminal",
     .fallback = "from pipes and files"},
    {.name = "env",
     .letter = 'e',
     .type = STEAD_OPTION_LIST,
     .metavar = "NAME=VALUE",
     .doc = "set a variable; NAME alone: as it is here"},
    {.name = "user",
     .letter = 'u',
     .type = STEAD_OPTION_TEXT,
     .metavar = "USER",
     .doc = "as this user of the guest",
     .fallback = "root"},
    {.name = "cwd",
     .type = STEAD_OPTION_TEXT,
     .metavar = "FOLDER",
     .doc = "in this folder of the guest",
     .fallback = "the user's home"},
    {.name = "timeout",
     .type = STEAD_OPTION_DURATION,
     .metavar = "TIME",
     .doc = "how long the command may run",
     .fallback = "no limit; 10m in a virtual machine"},
    {NULL},
};

static const SteadExample examples[] = {
    {"stead exec web -- uname -r", "One program:"},
    {"stead exec web -- sh -c 'df -h | tail -1'", "Through the guest's shell:"},
    {"stead exec web -- bash", "A shell on this terminal:"},
    {"stead exec web -- tar -x -C /srv < site.tar", "With input:"},
    {NULL},
};

static const SteadExit exits[] = {
    {13, "the agent in the guest does not answer"},
    {14, "the command did not end in time"},
    {0, NULL},
};

const SteadCommand stead_cmd_exec = {
    .name = "exec",
    .section = STEAD_SECTION_INSIDE,
    .summary = "Run a command in an instance",
    .description =
        "Input and output run live, and as fast as both ends take them. The exit code is the "
        "command's own, 128 and the signal that ended it, or stead's where it was not run. "
        "Ctrl-C is the command's; a second one leaves, and what leaves ends the command. In a loop "
        "that reads its own input, give it another: < /dev/null.\n\n"
        "Needs the guest agent: microVMs have it from the start, virtual machines of the "
        "catalogue's images get one at first boot. Theirs has no streams: the command gets its "
        "input at once, up to 4 MiB of text, its output comes when it has ended, and there is no "
        "terminal; 'stead console' gives one.",
    .arguments = arguments,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
    .passes_rest = TRUE,
};
