/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams over the agent's channels: commands, and files. Credit goes back to the agent as the
 * stream's user takes what came, and the user may write what the agent gives credit for.
 */
#include <errno.h>

#include "base/error.h"
#include "runtime/microvm/agent_parts.h"

/* Credit goes back when so much of it has come together. */
#define GIVE_BACK_AT (GUEST_WINDOW / 4)

G_STATIC_ASSERT(STEAD_STREAM_WINDOW >= GUEST_WINDOW);
G_STATIC_ASSERT(STEAD_WIRE_BACKLOG_MAX > (GUEST_CHANNELS + 1) * GUEST_ENCODED_SIZE(GUEST_WINDOW));

typedef struct {
    AgentCall call;
    SteadStream *stream;
    SteadStreamKind kind;
    char *subject;    /* the program, or the path in the guest */
    gboolean started; /* the agent's lock */
    guint32 owed;     /* the user's thread alone: credit */
} AgentStream;

/* ---- errors ---- */

/* What a failure to open, read or write a file is to its user. */
static SteadErrorCode file_code(int failure)
{
    static const struct {
        int failure;
        SteadErrorCode code;
    } codes[] = {
        {ENOENT, STEAD_ERROR_NOT_FOUND},     {ENOTDIR, STEAD_ERROR_NOT_FOUND},
        {EINVAL, STEAD_ERROR_INVALID},       {EBADMSG, STEAD_ERROR_INVALID},
        {ENAMETOOLONG, STEAD_ERROR_INVALID}, {ELOOP, STEAD_ERROR_INVALID},
        {EACCES, STEAD_ERROR_DENIED},        {EPERM, STEAD_ERROR_DENIED},
        {EROFS, STEAD_ERROR_DENIED},         {ENOSPC, STEAD_ERROR_EXHAUSTED},
        {EDQUOT, STEAD_ERROR_EXHAUSTED},     {EFBIG, STEAD_ERROR_EXHAUSTED},
        {ETXTBSY, STEAD_ERROR_BUSY},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(codes); i++)
        if (codes[i].failure == failure)
            return codes[i].code;
    return STEAD_ERROR_GUEST;
}

static GError *folder_error(const AgentStream *stream)
{
    if (stream->kind == STEAD_STREAM_PUT)
        return stead_error_new(STEAD_ERROR_CONFLICT, NULL, "%s is a folder in the guest",
                               stream->subject);
    return stead_error_new(STEAD_ERROR_INVALID, "Pack it: stead exec NAME -- tar -c FOLDER",
                           "%s is a folder in the guest", stream->subject);
}

static GError *file_error(const AgentStream *stream, int failure)
{
    if (failure == EISDIR)
        return folder_error(stream);
    if (failure == EINVAL)
        return stead_error_new(STEAD_ERROR_INVALID, NULL, "%s is no file in the guest",
                               stream->subject);
    return stead_error_new(file_code(failure), NULL, "%s in the guest: %s", stream->subject,
                           g_strerror(failure));
}

/* The agent names what it could not do; of the command itself that is said already. */
static GError *command_error(const AgentStream *stream, int failure, const char *text)
{
    const char *step = g_str_equal(text, "command") ? "" : text;
    return stead_error_new(
        STEAD_ERROR_NOT_FOUND,
        "No shell is involved: give a program and its arguments, or sh -c '...'.",
        "the guest cannot run '%s': %s%s%s", stream->subject, step, *step ? ": " : "",
        g_strerror(failure));
}

static GError *plain_error(int failure, const char *text)
{
    return stead_error_new(STEAD_ERROR_GUEST, NULL, "%s: %s", *text ? text : "the agent",
                           g_strerror(failure));
}

/* ---- what comes (wires' thread, the agent's lock held) ---- */

/* Whether it was the command that could not be begun: not the channel, not the request. */
static gboolean is_of_command(const AgentStream *stream, int failure)
{
    return stream->kind == STEAD_STREAM_EXEC && !stream->started && failure != EBADMSG;
}

static void take_failed(AgentStream *stream, const GuestFrame *frame)
{
    g_autofree char *text = NULL;
    int failure = stead_agent_read_failed(frame, &text);
    GError *error;
    if (failure != EPROTO && is_of_command(stream, failure))
        error = command_error(stream, failure, text);
    else if (failure != EPROTO && stream->kind != STEAD_STREAM_EXEC)
        error = file_error(stream, failure);
    else
        error = plain_error(failure, text);
    stead_stream_put_failed(stream->stream, error);
    stream->call.done = TRUE;
}

static void take_exit(AgentStream *stream, const GuestFrame *frame)
{
    GuestExit exit = {0};
    GuestFields fields = guest_fields_reader(frame->payload, frame->length);
    guest_exit_fields(&fields, &exit);
    if (guest_fields_end(&fields) == 0)
        stead_stream_put_ended(stream->stream, exit.signal ? 128 + (int)(exit.signal & 0x7f)
                                                           : (int)(exit.code & 0xff));
    else
        stead_stream_put_failed(stream->stream,
                                plain_error(EPROTO, "the agent's answer makes no sense"));
    stream->call.done = TRUE;
}

static void take_done(AgentStream *stream, const GuestFrame *frame)
{
    stead_stream_put_ended(stream->stream, 0);
    stream->call.done = TRUE;
}

static void take_started(AgentStream *stream, const GuestFrame *frame)
{
    stream->started = TRUE;
    stead_stream_put_started(stream->stream, NULL);
}

static void take_file(AgentStream *stream, const GuestFrame *frame)
{
    GuestFile file = {0};
    GuestFields fields = guest_fields_reader(frame->payload, frame->length);
    guest_file_fields(&fields, &file);
    if (guest_fields_end(&fields) != 0)
        return;
    SteadStreamFile found = {file.mode & 07777, file.size, file.mtime};
    stead_stream_put_started(stream->stream, &found);
}

static void take_credit(AgentStream *stream, const GuestFrame *frame)
{
    GuestCredit credit = {0};
    GuestFields fields = guest_fields_reader(frame->payload, frame->length);
    guest_credit_fields(&fields, &credit);
    if (guest_fields_end(&fields) == 0)
        stead_stream_put_room(stream->stream, credit.bytes);
}

static void take_bytes(AgentStream *stream, const GuestFrame *frame, SteadStreamWhat what)
{
    if (frame->length > 0 &&
        !stead_stream_put_bytes(stream->stream, what, frame->payload, frame->length))
        stead_stream_put_failed(stream->stream,
                                plain_error(EPROTO, "the agent sends more than it may"));
}

static void take_out(AgentStream *stream, const GuestFrame *frame)
{
    take_bytes(stream, frame, STEAD_STREAM_OUT);
}

static void take_err(AgentStream *stream, const GuestFrame *frame)
{
    take_bytes(stream, frame, STEAD_STREAM_ERR);
}

#define EXEC (1 << STEAD_STREAM_EXEC)
#define PUT (1 << STEAD_STREAM_PUT)
#define GET (1 << STEAD_STREAM_GET)

/* What means something to which kinds of stream; all else is passed over. */
static const struct {
    GuestType type;
    guint kinds;
    void (*take)(AgentStream *stream, const GuestFrame *frame);
} frames[] = {
    {GUEST_STDOUT, EXEC, take_out},
    {GUEST_STDERR, EXEC, take_err},
    {GUEST_DATA, GET, take_out},
    {GUEST_CREDIT, EXEC | PUT, take_credit},
    {GUEST_STARTED, EXEC | PUT, take_started},
    {GUEST_FILE, GET, take_file},
    {GUEST_EXIT, EXEC, take_exit},
    {GUEST_DONE, PUT | GET, take_done},
    {GUEST_FAILED, EXEC | PUT | GET, take_failed},
};

static void on_frame(AgentCall *call, const GuestFrame *frame)
{
    AgentStream *stream = (AgentStream *)call;
    for (gsize i = 0; i < G_N_ELEMENTS(frames); i++)
        if (frames[i].type == frame->type && (frames[i].kinds & (1u << stream->kind)))
            frames[i].take(stream, frame);
}

static void on_lost(AgentCall *call, int failure, const char *reason)
{
    stead_stream_put_failed(((AgentStream *)call)->stream, plain_error(failure, reason));
}

static const AgentCallFuncs call_funcs = {on_frame, on_lost};

/* ---- what goes (the user's thread) ---- */

/* What cannot be sent ends the stream. */
static void send(AgentStream *stream, GuestType type, const void *payload, gsize n)
{
    GError *error = NULL;
    if (!stead_agent_send(stream->call.agent, type, stream->call.number, payload, n, &error))
        stead_stream_put_failed(stream->stream, error);
}

#define SEND(stream, type, fields_of, message)                                                     \
    do {                                                                                           \
        guint8 payload[16];                                                                        \
        GuestFields fields = guest_fields_writer(payload, sizeof payload);                         \
        fields_of(&fields, message);                                                               \
        if (guest_fields_end(&fields) > 0)                                                         \
            send(stream, type, payload, (gsize)guest_fields_end(&fields));                         \
    } while (0)

static void send_bytes(gpointer data, const void *bytes, gsize n)
{
    AgentStream *stream = data;
    GuestType type = stream->kind == STEAD_STREAM_EXEC ? GUEST_STDIN : GUEST_DATA;
    for (const guint8 *at = bytes; n > 0;) {
        gsize part = MIN(n, GUEST_DATA_MAX);
        send(stream, type, at, part);
        at += part;
        n -= part;
    }
}

static void send_end(gpointer data)
{
    send(data, GUEST_STDIN_EOF, NULL, 0);
}

static void send_size(gpointer data, guint rows, guint columns)
{
    GuestResize resize = {(guint16)MIN(rows, GUEST_SIZE_MAX),
                          (guint16)MIN(columns, GUEST_SIZE_MAX)};
    SEND(data, GUEST_RESIZE, guest_resize_fields, &resize);
}

static void send_signal(gpointer data, int number)
{
    GuestSignal signal = {(guint32)number};
    SEND(data, GUEST_SIGNAL, guest_signal_fields, &signal);
}

static void give_back(gpointer data, gsize n)
{
    AgentStream *stream = data;
    stream->owed += (guint32)n;
    if (stream->owed < GIVE_BACK_AT)
        return;
    GuestCredit credit = {stream->owed};
    stream->owed = 0;
    SEND(stream, GUEST_CREDIT, guest_credit_fields, &credit);
}

static void close_stream(gpointer data)
{
    AgentStream *stream = data;
    SteadAgent *agent = stream->call.agent;
    stead_agent_end_call(&stream->call);
    stead_agent_unref(agent);
    g_free(stream->subject);
    g_free(stream);
}

static const SteadStreamFuncs stream_funcs = {send_bytes,  send_end,  send_size,
                                              send_signal, give_back, close_stream};

/* ---- opening ---- */

static guint32 exec_flags(const SteadStreamRequest *request)
{
    if (request->terminal)
        return GUEST_EXEC_PTY;
    return request->input ? 0 : GUEST_EXEC_NO_STDIN;
}

static gboolean copy_words(GStrv words, const char *into[], guint32 *n, guint max, const char *what,
                           GError **error)
{
    for (; words && words[*n] && *n < max; (*n)++)
        into[*n] = words[*n];
    if (words == NULL || words[*n] == NULL)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INVALID, NULL, "more than %u %s", max, what);
    return FALSE;
}

static gsize write_exec(const SteadStreamRequest *request, GuestFields *fields, GError **error)
{
    g_autofree GuestExec *exec = g_new0(GuestExec, 1);
    exec->flags = exec_flags(request);
    exec->rows = (guint16)MIN(request->rows, GUEST_SIZE_MAX);
    exec->cols = (guint16)MIN(request->columns, GUEST_SIZE_MAX);
    exec->user = request->user;
    exec->cwd = request->cwd;
    if (!copy_words(request->command, exec->args, &exec->n_args, GUEST_ARGS_MAX, "arguments",
                    error) ||
        !copy_words(request->environment, exec->env, &exec->n_env, GUEST_ENV_MAX, "variables",
                    error))
        return 0;
    guest_exec_fields(fields, exec);
    return stead_agent_end_fields(fields, error);
}

static gsize write_put(const SteadStreamRequest *request, GuestFields *fields, GError **error)
{
    GuestPut put = {.path = request->path, .mode = request->mode, .size = GUEST_SIZE_UNKNOWN};
    guest_put_fields(fields, &put);
    return stead_agent_end_fields(fields, error);
}

static gsize write_get(const SteadStreamRequest *request, GuestFields *fields, GError **error)
{
    GuestGet get = {.path = request->path};
    guest_get_fields(fields, &get);
    return stead_agent_end_fields(fields, error);
}

static const struct {
    GuestType type;
    gsize (*write)(const SteadStreamRequest *request, GuestFields *fields, GError **error);
} kinds[] = {
    [STEAD_STREAM_EXEC] = {GUEST_EXEC, write_exec},
    [STEAD_STREAM_PUT] = {GUEST_PUT, write_put},
    [STEAD_STREAM_GET] = {GUEST_GET, write_get},
};

SteadStream *stead_agent_stream(SteadAgent *agent, const SteadStreamRequest *request,
                                GError **error)
{
    g_autofree guint8 *payload = g_malloc(GUEST_PAYLOAD_MAX);
    GuestFields fields = guest_fields_writer(payload, GUEST_PAYLOAD_MAX);
    gsize length = kinds[request->kind].write(request, &fields, error);
    if (length == 0)
        return NULL;
    AgentStream *stream = g_new0(AgentStream, 1);
    stream->call.funcs = &call_funcs;
    stream->call.agent = stead_agent_ref(agent);
    stream->kind = request->kind;
    stream->subject =
        g_strdup(request->kind == STEAD_STREAM_EXEC ? request->command[0] : request->path);
    stream->stream = stead_stream_new(&stream_funcs, stream);
    stead_stream_put_room(stream->stream, GUEST_WINDOW);
    g_autoptr(SteadStream) opened = stream->stream;
    if (!stead_agent_begin_call(agent, &stream->call, TRUE, error))
        return NULL;
    stream->call.sent = stead_agent_send(agent, kinds[request->kind].type, stream->call.number,
                                         payload, length, error);
    return stream->call.sent ? g_steal_pointer(&opened) : NULL;
}

SteadExecResult *stead_agent_exec(SteadAgent *agent, const char *const argv[], const char *input,
                                  gint64 deadline, GCancellable *cancellable, GError **error)
{
    SteadStreamRequest request = {
        .kind = STEAD_STREAM_EXEC, .command = (GStrv)(gsize)argv, .input = input != NULL};
    SteadStream *stream = stead_agent_stream(agent, &request, error);
    return stream ? stead_stream_collect(stream, input, deadline, cancellable, error) : NULL;
}
