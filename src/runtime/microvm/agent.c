/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One mutex guards what the reader's thread and the callers share: which channels are in use, by
 * whom, and what came for them. A caller waits for its own channel; the end of the connection, or a
 * new beginning of the guest, ends all of them with a reason.
 *
 * A channel that was given up belongs to its former call until the agent's last word on it: what is
 * under way for that one must not come to another.
 *
 * Questions that are answered at once have a channel too, above those of the protocol, so that an
 * answer that comes too late finds nobody and is dropped.
 */
#include "runtime/microvm/agent.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

#define TAG_MIN (GUEST_CHANNELS + 1)
#define TAG_MAX 60000
/* A question that is longer is none. */
#define ASK_MAX GUEST_PAYLOAD_MAX

/* What one caller waits for. */
typedef struct {
    guint16 number;
    GuestType wanted; /* a question's answer */
    gboolean sent;    /* the agent knows of it */
    GByteArray *out;  /* an answer's payload; a command's output */
    GByteArray *err;
    gboolean truncated;
    gboolean started;
    gboolean done;
    guint32 credit;   /* bytes that may be sent */
    guint32 pending;  /* bytes that came, and were not given back yet */
    int failure;      /* errno of the guest; 0: none */
    gboolean refused; /* the guest itself has said so */
    char *reason;
    GuestExit exit;
} Call;

struct _SteadAgent {
    SteadWire *wire;
    SteadAgentFunc func;
    gpointer user;
    GDestroyNotify release;
    GuestDecoder decoder; /* the reader's alone */
    GMutex lock;          /* of what follows */
    GCond changed;
    GHashTable *calls;                     /* number → Call, borrowed from the callers' stacks */
    gboolean given_up[GUEST_CHANNELS + 1]; /* channels without a call that are in use yet */
    guint64 nonce;
    gboolean ready;
    gboolean closed;
    guint next_tag;
};

static void clear(gpointer data)
{
    SteadAgent *agent = data;
    g_hash_table_unref(agent->calls);
    stead_wire_unref(agent->wire);
    g_mutex_clear(&agent->lock);
    g_cond_clear(&agent->changed);
}

void stead_agent_unref(SteadAgent *agent)
{
    if (agent)
        g_atomic_rc_box_release_full(agent, clear);
}

static void call_clear(Call *call)
{
    g_clear_pointer(&call->out, g_byte_array_unref);
    g_clear_pointer(&call->err, g_byte_array_unref);
    g_clear_pointer(&call->reason, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Call, call_clear)

/* ---- sending ---- */

static gboolean send_frame(SteadAgent *agent, guint type, guint channel, const void *payload,
                           gsize length, GError **error)
{
    gsize room = GUEST_ENCODED_SIZE(GUEST_FRAME_HEAD + length);
    g_autofree guint8 *bytes = g_malloc(room);
    ssize_t n = guest_frame_encode(bytes, room, (uint16_t)type, (uint16_t)channel, payload, length);
    if (n >= 0)
        return stead_wire_send(agent->wire, bytes, (gsize)n, -1, error);
    stead_set_error(error, STEAD_ERROR_INVALID, NULL, "what is sent to the agent is too long");
    return FALSE;
}

/* Fields written to a payload; its length, or 0 with an error. */
static gsize end_fields(const GuestFields *fields, GError **error)
{
    ssize_t n = guest_fields_end(fields);
    if (n >= 0)
        return (gsize)n;
    stead_set_error(error, STEAD_ERROR_INVALID, NULL,
                    n == -EMSGSIZE ? "it is longer than the agent's channel carries"
                                   : "it is beyond what the agent takes");
    return 0;
}

static gboolean say_hello(SteadAgent *agent, GError **error)
{
    guint8 payload[64];
    GuestFields fields = guest_fields_writer(payload, sizeof payload);
    g_mutex_lock(&agent->lock);
    agent->nonce = (guint64)g_random_int() << 32 | g_random_int();
    agent->ready = FALSE;
    GuestHello hello = {GUEST_PROTOCOL_VERSION, agent->nonce};
    g_mutex_unlock(&agent->lock);
    guest_hello_fields(&fields, &hello);
    gsize length = end_fields(&fields, error);
    return length > 0 && stead_wire_send(agent->wire, "", 1, -1, error) &&
           send_frame(agent, GUEST_HELLO, 0, payload, length, error);
}

static void give_back(SteadAgent *agent, const Call *call, guint32 bytes)
{
    guint8 payload[8];
    GuestFields fields = guest_fields_writer(payload, sizeof payload);
    GuestCredit credit = {bytes};
    guest_credit_fields(&fields, &credit);
    gsize length = end_fields(&fields, NULL);
    if (length > 0)
        send_frame(agent, GUEST_CREDIT, call->number, payload, length, NULL);
}

/* ---- what comes (reader's thread, lock held) ---- */

static void fail_call(Call *call, int failure, const char *reason)
{
    if (call->done)
        return;
    call->done = TRUE;
    call->failure = failure;
    call->reason = g_utf8_make_valid(reason, (gssize)strnlen(reason, GUEST_ERROR_TEXT_MAX));
}

static void fail_all(SteadAgent *agent, int failure, const char *reason)
{
    GHashTableIter iter;
    gpointer call;
    g_hash_table_iter_init(&iter, agent->calls);
    while (g_hash_table_iter_next(&iter, NULL, &call))
        fail_call(call, failure, reason);
    memset(agent->given_up, 0, sizeof agent->given_up);
}

static void take_failed(Call *call, GuestFields *fields)
{
    GuestFailed failed = {0};
    guest_failed_fields(fields, &failed);
    call->refused = guest_fields_end(fields) == 0;
    if (call->refused)
        fail_call(call, failed.error, failed.text);
    else
        fail_call(call, EPROTO, "the agent's answer makes no sense");
}

/* Output beyond the limit is dropped, but its credit is given back, so that the command ends. */
static void take_output(SteadAgent *agent, Call *call, GByteArray *array, const GuestFrame *frame)
{
    gsize have = call->out->len + (call->err ? call->err->len : 0);
    gsize room = STEAD_AGENT_OUTPUT_MAX - MIN(STEAD_AGENT_OUTPUT_MAX, have);
    gsize taken = MIN(room, frame->length);
    if (array)
        g_byte_array_append(array, frame->payload, (guint)taken);
    call->truncated |= taken < frame->length;
    call->pending += (guint32)MIN(frame->length, GUEST_WINDOW);
    if (call->pending < GUEST_WINDOW / 2)
        return;
    give_back(agent, call, MIN(call->pending, GUEST_WINDOW));
    call->pending = 0;
}

static void take_credit(Call *call, GuestFields *fields)
{
    GuestCredit credit = {0};
    guest_credit_fields(fields, &credit);
    if (guest_fields_end(fields) == 0)
        call->credit = MIN(GUEST_WINDOW, call->credit + credit.bytes);
}

static void take_exit(Call *call, GuestFields *fields)
{
    guest_exit_fields(fields, &call->exit);
    if (guest_fields_end(fields) == 0)
        call->done = TRUE;
    else
        fail_call(call, EPROTO, "the agent's answer makes no sense");
}

static void take_for_call(SteadAgent *agent, Call *call, const GuestFrame *frame)
{
    GuestFields fields = guest_fields_reader(frame->payload, frame->length);
    if (call->done)
        return;
    if (frame->type == GUEST_FAILED)
        take_failed(call, &fields);
    else if (frame->type == call->wanted) {
        g_byte_array_append(call->out, frame->payload, (guint)frame->length);
        call->done = TRUE;
    } else if (call->wanted == 0 && frame->type == GUEST_STARTED)
        call->started = TRUE;
    else if (call->wanted == 0 && frame->type == GUEST_STDOUT)
        take_output(agent, call, call->out, frame);
    else if (call->wanted == 0 && frame->type == GUEST_STDERR)
        take_output(agent, call, call->err, frame);
    else if (call->wanted == 0 && frame->type == GUEST_CREDIT)
        take_credit(call, &fields);
    else if (call->wanted == 0 && frame->type == GUEST_EXIT)
        take_exit(call, &fields);
}

/* TRUE when it is the answer to our last HELLO. */
static gboolean take_hello(SteadAgent *agent, const GuestFrame *frame, guint32 *flags)
{
    GuestHelloReply reply = {0};
    GuestFields fields = guest_fields_reader(frame->payload, frame->length);
    guest_hello_reply_fields(&fields, &reply);
    if (guest_fields_end(&fields) != 0 || reply.nonce != agent->nonce || agent->ready)
        return FALSE;
    if (reply.version != GUEST_PROTOCOL_VERSION) {
        g_warning("an agent speaks version %u of its protocol, and is not used", reply.version);
        return FALSE;
    }
    *flags = reply.flags;
    g_debug("agent: hello answered");
    agent->ready = TRUE;
    return TRUE;
}

static void take_for_nobody(SteadAgent *agent, const GuestFrame *frame)
{
    gboolean is_last =
        frame->type == GUEST_EXIT || frame->type == GUEST_DONE || frame->type == GUEST_FAILED;
    if (is_last && frame->channel <= GUEST_CHANNELS)
        agent->given_up[frame->channel] = FALSE;
}

static void take_frame(SteadAgent *agent, const GuestFrame *frame)
{
    gboolean answered = FALSE;
    guint32 flags = 0;
    guint key = frame->channel;
    g_mutex_lock(&agent->lock);
    if (frame->type == GUEST_HELLO_REPLY)
        answered = take_hello(agent, frame, &flags);
    else if (agent->ready) {
        Call *call = g_hash_table_lookup(agent->calls, GUINT_TO_POINTER(key));
        if (call)
            take_for_call(agent, call, frame);
        else
            take_for_nobody(agent, frame);
    }
    g_cond_broadcast(&agent->changed);
    g_mutex_unlock(&agent->lock);
    if (answered)
        agent->func(flags, agent->user);
}

static void on_bytes(const guint8 *bytes, gsize n, gpointer data)
{
    SteadAgent *agent = data;
    while (n > 0) {
        GuestFrame frame;
        size_t used = 0;
        if (guest_decoder_feed(&agent->decoder, bytes, n, &used, &frame) == GUEST_FEED_FRAME)
            take_frame(agent, &frame);
        bytes += used;
        n -= used;
    }
}

static void on_closed(gpointer data)
{
    SteadAgent *agent = data;
    g_mutex_lock(&agent->lock);
    agent->closed = TRUE;
    agent->ready = FALSE;
    fail_all(agent, ENOTCONN, "the guest's engine has ended");
    g_cond_broadcast(&agent->changed);
    g_mutex_unlock(&agent->lock);
}

static void on_release(gpointer data)
{
    SteadAgent *agent = data;
    if (agent->release)
        agent->release(agent->user);
    stead_agent_unref(agent);
}

static const SteadWireFuncs funcs = {on_bytes, on_closed, on_release};

SteadAgent *stead_agent_open(SteadWires *wires, const char *path, SteadAgentFunc func,
                             gpointer user, GDestroyNotify release, GError **error)
{
    g_autoptr(SteadAgent) agent = g_atomic_rc_box_new0(SteadAgent);
    agent->func = func;
    agent->user = user;
    agent->release = release;
    agent->calls = g_hash_table_new(NULL, NULL);
    agent->next_tag = TAG_MIN;
    g_mutex_init(&agent->lock);
    g_cond_init(&agent->changed);
    agent->wire = stead_wire_open(wires, path, &funcs, g_atomic_rc_box_acquire(agent), error);
    if (agent->wire == NULL) {
        on_release(agent);
        return NULL;
    }
    say_hello(agent, NULL);
    return g_steal_pointer(&agent);
}

void stead_agent_close(SteadAgent *agent)
{
    if (agent)
        stead_wire_close(agent->wire);
}

void stead_agent_port_changed(SteadAgent *agent, gboolean open)
{
    g_mutex_lock(&agent->lock);
    agent->ready = FALSE;
    fail_all(agent, EPIPE, "the agent has ended");
    g_cond_broadcast(&agent->changed);
    g_mutex_unlock(&agent->lock);
    if (open)
        say_hello(agent, NULL);
}

gboolean stead_agent_is_ready(SteadAgent *agent)
{
    g_mutex_lock(&agent->lock);
    gboolean ready = agent->ready;
    g_mutex_unlock(&agent->lock);
    return ready;
}

/* ---- waiting (lock held) ---- */

static void wake(GCancellable *cancellable, gpointer data)
{
    SteadAgent *agent = data;
    g_mutex_lock(&agent->lock);
    g_cond_broadcast(&agent->changed);
    g_mutex_unlock(&agent->lock);
}

/* FALSE, with the reason, when there is nothing more to wait for. */
static gboolean wait_more(SteadAgent *agent, gint64 deadline, GCancellable *cancellable,
                          GError **error)
{
    if (g_cancellable_is_cancelled(cancellable)) {
        stead_set_error(error, STEAD_ERROR_CANCELLED, NULL, "cancelled");
        return FALSE;
    }
    return g_cond_wait_until(&agent->changed, &agent->lock, deadline) ||
           g_get_monotonic_time() < deadline;
}

static void set_silent(GError **error)
{
    if (error == NULL || *error == NULL)
        stead_set_error(error, STEAD_ERROR_GUEST,
                        "It may still be booting: 'stead logs' shows how far it is.",
                        "the agent in the guest does not answer");
}

gboolean stead_agent_await_ready(SteadAgent *agent, gint64 deadline, GCancellable *cancellable,
                                 GError **error)
{
    gulong handler =
        cancellable ? g_cancellable_connect(cancellable, G_CALLBACK(wake), agent, NULL) : 0;
    g_mutex_lock(&agent->lock);
    while (!agent->ready && !agent->closed)
        if (!wait_more(agent, deadline, cancellable, error))
            break;
    gboolean ready = agent->ready;
    g_mutex_unlock(&agent->lock);
    g_cancellable_disconnect(cancellable, handler);
    if (!ready)
        set_silent(error);
    return ready;
}

/* ---- calls ---- */

static guint16 free_number(SteadAgent *agent, guint from, guint to)
{
    for (guint number = from; number <= to; number++)
        if (!g_hash_table_contains(agent->calls, GUINT_TO_POINTER(number)) &&
            !(number <= GUEST_CHANNELS && agent->given_up[number]))
            return (guint16)number;
    return 0;
}

static gboolean begin_call(SteadAgent *agent, Call *call, GError **error)
{
    gboolean asks = call->wanted != 0 && call->wanted != GUEST_DONE;
    call->credit = GUEST_WINDOW;
    call->out = g_byte_array_new();
    g_mutex_lock(&agent->lock);
    gboolean ready = agent->ready;
    if (ready && asks) {
        call->number = free_number(agent, agent->next_tag, TAG_MAX);
        agent->next_tag = call->number < TAG_MAX ? call->number + 1u : TAG_MIN;
    } else if (ready)
        call->number = free_number(agent, 1, GUEST_CHANNELS);
    if (call->number)
        g_hash_table_insert(agent->calls, GUINT_TO_POINTER((guint)call->number), call);
    g_mutex_unlock(&agent->lock);
    if (call->number)
        return TRUE;
    if (!ready)
        set_silent(error);
    else
        stead_set_error(error, STEAD_ERROR_EXHAUSTED, NULL, "%d commands run in the guest already",
                        GUEST_CHANNELS);
    return FALSE;
}

static void end_call(SteadAgent *agent, Call *call)
{
    g_mutex_lock(&agent->lock);
    gboolean abandoned =
        call->sent && !call->done && agent->ready && call->number <= GUEST_CHANNELS;
    g_hash_table_remove(agent->calls, GUINT_TO_POINTER((guint)call->number));
    if (abandoned)
        agent->given_up[call->number] = TRUE;
    g_mutex_unlock(&agent->lock);
    if (abandoned)
        send_frame(agent, GUEST_CLOSE, call->number, NULL, 0, NULL);
}

/* Waits until the call is done, or `credit` where that is asked for. (lock held) */
static gboolean await(SteadAgent *agent, const Call *call, gboolean credit, gint64 deadline,
                      GCancellable *cancellable, GError **error)
{
    while (!call->done && !(credit && call->credit > 0))
        if (!wait_more(agent, deadline, cancellable, error))
            return FALSE;
    return TRUE;
}

static gboolean set_failure(const Call *call, GError **error)
{
    if (call->failure == 0)
        return TRUE;
    const char *text = call->reason && *call->reason ? call->reason : "the agent";
    stead_set_error(error, STEAD_ERROR_GUEST, NULL, "%s: %s", text, g_strerror(call->failure));
    return FALSE;
}

GBytes *stead_agent_ask(SteadAgent *agent, GuestType question, const void *payload, gsize length,
                        GuestType answer, gint64 deadline, GCancellable *cancellable,
                        GError **error)
{
    g_auto(Call) call = {.wanted = answer};
    if (!stead_agent_await_ready(agent, deadline, cancellable, error) ||
        !begin_call(agent, &call, error))
        return NULL;
    gulong handler =
        cancellable ? g_cancellable_connect(cancellable, G_CALLBACK(wake), agent, NULL) : 0;
    call.sent = send_frame(agent, question, call.number, payload, length, error);
    g_mutex_lock(&agent->lock);
    gboolean done = call.sent && await(agent, &call, FALSE, deadline, cancellable, error);
    g_mutex_unlock(&agent->lock);
    g_cancellable_disconnect(cancellable, handler);
    end_call(agent, &call);
    if (!done)
        set_silent(error);
    if (!done || !set_failure(&call, error))
        return NULL;
    return g_byte_array_free_to_bytes(g_steal_pointer(&call.out));
}

/* ---- commands ---- */

static gboolean send_exec(SteadAgent *agent, Call *call, const char *const argv[],
                          const char *input, GError **error)
{
    g_autofree GuestExec *exec = g_new0(GuestExec, 1);
    g_autofree guint8 *payload = g_malloc(GUEST_PAYLOAD_MAX);
    GuestFields fields = guest_fields_writer(payload, GUEST_PAYLOAD_MAX);
    exec->flags = input ? 0 : GUEST_EXEC_NO_STDIN;
    exec->user = exec->cwd = "";
    for (; argv[exec->n_args] && exec->n_args < GUEST_ARGS_MAX; exec->n_args++)
        exec->args[exec->n_args] = argv[exec->n_args];
    guest_exec_fields(&fields, exec);
    gsize length = end_fields(&fields, error);
    if (length > 0 && argv[exec->n_args] == NULL)
        call->sent = send_frame(agent, GUEST_EXEC, call->number, payload, length, error);
    else if (length > 0)
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "more than %d arguments", GUEST_ARGS_MAX);
    return call->sent;
}

/* The next part of the input that the guest has room for; 0: the call is over. */
static gsize await_room(SteadAgent *agent, Call *call, gsize wanted, gint64 deadline,
                        GCancellable *cancellable, GError **error)
{
    gsize part = 0;
    g_mutex_lock(&agent->lock);
    if (await(agent, call, TRUE, deadline, cancellable, error) && !call->done) {
        part = MIN(wanted, MIN(call->credit, GUEST_DATA_MAX));
        call->credit -= (guint32)part;
    }
    g_mutex_unlock(&agent->lock);
    return part;
}

static gboolean send_input(SteadAgent *agent, Call *call, const char *input, gint64 deadline,
                           GCancellable *cancellable, GError **error)
{
    gsize left = strlen(input);
    while (left > 0) {
        gsize part = await_room(agent, call, left, deadline, cancellable, error);
        if (part == 0)
            return error == NULL || *error == NULL; /* it ended without reading all */
        if (!send_frame(agent, GUEST_STDIN, call->number, input, part, error))
            return FALSE;
        input += part;
        left -= part;
    }
    return send_frame(agent, GUEST_STDIN_EOF, call->number, NULL, 0, error);
}

static gboolean set_exec_failure(const Call *call, const char *program, GError **error)
{
    if (call->started || !call->refused || call->failure == EBADMSG)
        return set_failure(call, error);
    stead_set_error(error, STEAD_ERROR_NOT_FOUND,
                    "No shell is involved: give a program and its arguments, or sh -c '...'.",
                    "the guest cannot run '%s': %s", program, g_strerror(call->failure));
    return FALSE;
}

static SteadExecResult *exec_result(Call *call)
{
    SteadExecResult *result = g_new0(SteadExecResult, 1);
    result->exit_code =
        call->exit.signal ? 128 + (int)(call->exit.signal & 0x7f) : (int)(call->exit.code & 0xff);
    result->out = g_byte_array_free_to_bytes(g_steal_pointer(&call->out));
    result->err = g_byte_array_free_to_bytes(g_steal_pointer(&call->err));
    result->truncated = call->truncated;
    return result;
}

static gboolean run(SteadAgent *agent, Call *call, const char *const argv[], const char *input,
                    gint64 deadline, GCancellable *cancellable, GError **error)
{
    if (!send_exec(agent, call, argv, input, error) ||
        (input && !send_input(agent, call, input, deadline, cancellable, error)))
        return FALSE;
    g_mutex_lock(&agent->lock);
    gboolean done = await(agent, call, FALSE, deadline, cancellable, error);
    g_mutex_unlock(&agent->lock);
    if (!done && (error == NULL || *error == NULL))
        stead_set_error(error, STEAD_ERROR_TIMEOUT, NULL,
                        "the command did not end in the time allowed");
    return done;
}

SteadExecResult *stead_agent_exec(SteadAgent *agent, const char *const argv[], const char *input,
                                  gint64 deadline, GCancellable *cancellable, GError **error)
{
    g_auto(Call) call = {.err = g_byte_array_new()};
    if (!begin_call(agent, &call, error))
        return NULL;
    gulong handler =
        cancellable ? g_cancellable_connect(cancellable, G_CALLBACK(wake), agent, NULL) : 0;
    gboolean done = run(agent, &call, argv, input, deadline, cancellable, error);
    g_cancellable_disconnect(cancellable, handler);
    end_call(agent, &call);
    return done && set_exec_failure(&call, argv[0], error) ? exec_result(&call) : NULL;
}

/* ---- the rest ---- */

gboolean stead_agent_sync(SteadAgent *agent, gint64 deadline, GCancellable *cancellable,
                          GError **error)
{
    g_autoptr(GBytes) done =
        stead_agent_ask(agent, GUEST_SYNC, NULL, 0, GUEST_DONE, deadline, cancellable, error);
    return done != NULL;
}

gboolean stead_agent_shut_down(SteadAgent *agent, gint64 deadline, GError **error)
{
    guint8 payload[4];
    GuestFields fields = guest_fields_writer(payload, sizeof payload);
    GuestShutdown shutdown = {GUEST_POWEROFF};
    guest_shutdown_fields(&fields, &shutdown);
    gsize length = end_fields(&fields, error);
    g_autoptr(GBytes) done = length == 0 ? NULL
                                         : stead_agent_ask(agent, GUEST_SHUTDOWN, payload, length,
                                                           GUEST_OK, deadline, NULL, error);
    return done != NULL;
}

static gboolean check_renewed(const GuestRenew *renew, GBytes *answer, GError **error)
{
    gsize length;
    const guint8 *bytes = g_bytes_get_data(answer, &length);
    g_autofree guint8 *copy = g_memdup2(bytes, length);
    g_autofree GuestRenewed *renewed = g_new0(GuestRenewed, 1);
    GuestFields fields = guest_fields_reader(copy, length);
    guest_renewed_fields(&fields, renewed);
    if (guest_fields_end(&fields) == 0 && guest_renewed_is_complete(renew, renewed))
        return TRUE;
    for (guint i = 0; i < renewed->n_steps; i++)
        if (renewed->steps[i].error) {
            stead_set_error(error, STEAD_ERROR_GUEST, NULL, "renewing its %s: %s",
                            guest_step_name(renewed->steps[i].kind),
                            g_strerror((int)renewed->steps[i].error));
            return FALSE;
        }
    stead_set_error(error, STEAD_ERROR_GUEST, NULL, "the agent renewed only a part of it");
    return FALSE;
}

gboolean stead_agent_renew(SteadAgent *agent, const GuestRenew *renew, gint64 deadline,
                           GCancellable *cancellable, GError **error)
{
    g_autofree guint8 *payload = g_malloc(GUEST_PAYLOAD_MAX);
    g_autofree GuestRenew *copy = g_memdup2(renew, sizeof *renew);
    GuestFields fields = guest_fields_writer(payload, GUEST_PAYLOAD_MAX);
    guest_renew_fields(&fields, copy);
    gsize length = end_fields(&fields, error);
    g_autoptr(GBytes) answer = length == 0
                                   ? NULL
                                   : stead_agent_ask(agent, GUEST_RENEW, payload, length,
                                                     GUEST_RENEWED, deadline, cancellable, error);
    return answer && check_renewed(renew, answer, error);
}
