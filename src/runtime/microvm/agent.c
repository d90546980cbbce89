/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection: frames, the greeting, and who is told what. One mutex guards what the reader's
 * thread and the callers share: which channels are in use, by whom, and what came for them. The end
 * of the connection, or a new beginning of the guest, ends all of them with a reason.
 */
#include "runtime/microvm/agent.h"

#include <errno.h>

#include "base/error.h"
#include "runtime/microvm/agent_parts.h"

/* A guest may open and close its end of the channel as often as it likes: it is greeted so many
 * times in a turn. An agent that begins anew, even twice, does not notice. */
#define HELLOS 8
#define HELLO_TURN_MS 1000

static void clear(gpointer data)
{
    SteadAgent *agent = data;
    g_hash_table_unref(agent->calls);
    stead_wire_unref(agent->wire);
    g_mutex_clear(&agent->lock);
    g_cond_clear(&agent->changed);
}

SteadAgent *stead_agent_ref(SteadAgent *agent)
{
    return g_atomic_rc_box_acquire(agent);
}

void stead_agent_unref(SteadAgent *agent)
{
    if (agent)
        g_atomic_rc_box_release_full(agent, clear);
}

/* ---- sending ---- */

gboolean stead_agent_send(SteadAgent *agent, guint type, guint channel, const void *payload,
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

gsize stead_agent_end_fields(const GuestFields *fields, GError **error)
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
    gsize length = stead_agent_end_fields(&fields, error);
    return length > 0 && stead_wire_send(agent->wire, "", 1, -1, error) &&
           stead_agent_send(agent, GUEST_HELLO, 0, payload, length, error);
}

/* ---- what comes (wires' thread) ---- */

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

static void take_frame(SteadAgent *agent, const GuestFrame *frame)
{
    gboolean answered = FALSE;
    guint32 flags = 0;
    g_mutex_lock(&agent->lock);
    if (frame->type == GUEST_HELLO_REPLY)
        answered = take_hello(agent, frame, &flags);
    else if (agent->ready)
        stead_agent_take_frame(agent, frame);
    g_cond_broadcast(&agent->changed);
    g_mutex_unlock(&agent->lock);
    if (answered)
        agent->func(flags, agent->user);
}

static guint on_bytes(const guint8 *bytes, gsize n, gpointer data)
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
    return 0;
}

static void on_closed(gpointer data)
{
    SteadAgent *agent = data;
    g_mutex_lock(&agent->lock);
    agent->closed = TRUE;
    agent->ready = FALSE;
    stead_agent_lose_calls(agent, ENOTCONN, "the guest's engine has ended");
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

static const SteadWireFuncs funcs = {.bytes = on_bytes, .closed = on_closed, .release = on_release};

SteadAgent *stead_agent_open(SteadWires *wires, const char *path, SteadAgentFunc func,
                             gpointer user, GDestroyNotify release, GError **error)
{
    g_autoptr(SteadAgent) agent = g_atomic_rc_box_new0(SteadAgent);
    agent->func = func;
    agent->user = user;
    agent->release = release;
    agent->calls = g_hash_table_new(NULL, NULL);
    g_mutex_init(&agent->lock);
    g_cond_init(&agent->changed);
    agent->wire = stead_wire_open(wires, path, &funcs, stead_agent_ref(agent), error);
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

static void say_late_hello(gpointer data)
{
    SteadAgent *agent = data;
    g_mutex_lock(&agent->lock);
    agent->waits = FALSE;
    gboolean open = agent->open;
    g_mutex_unlock(&agent->lock);
    if (open)
        say_hello(agent, NULL);
}

static void unref(gpointer agent)
{
    stead_agent_unref(agent);
}

/* Whether there is a HELLO left in this turn; with the last one the next turn is waited for. (lock
 * held) */
static gboolean may_say_hello(SteadAgent *agent)
{
    gint64 now = g_get_monotonic_time();
    if (now - agent->turn >= HELLO_TURN_MS * G_TIME_SPAN_MILLISECOND) {
        agent->turn = now;
        agent->hellos = 0;
    }
    if (++agent->hellos <= HELLOS)
        return TRUE;
    if (!agent->waits)
        stead_wire_later(agent->wire, HELLO_TURN_MS, say_late_hello, stead_agent_ref(agent), unref);
    agent->waits = TRUE;
    return FALSE;
}

void stead_agent_port_changed(SteadAgent *agent, gboolean open)
{
    g_mutex_lock(&agent->lock);
    agent->ready = FALSE;
    agent->open = open;
    stead_agent_lose_calls(agent, EPIPE, "the agent has ended");
    g_cond_broadcast(&agent->changed);
    gboolean now = open && !agent->waits && may_say_hello(agent);
    g_mutex_unlock(&agent->lock);
    if (now)
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

gulong stead_agent_watch(SteadAgent *agent, GCancellable *cancellable)
{
    return cancellable ? g_cancellable_connect(cancellable, G_CALLBACK(wake), agent, NULL) : 0;
}

gboolean stead_agent_wait_more(SteadAgent *agent, gint64 deadline, GCancellable *cancellable,
                               GError **error)
{
    if (g_cancellable_is_cancelled(cancellable)) {
        stead_set_error(error, STEAD_ERROR_CANCELLED, NULL, "cancelled");
        return FALSE;
    }
    return g_cond_wait_until(&agent->changed, &agent->lock, deadline) ||
           g_get_monotonic_time() < deadline;
}

void stead_agent_set_silent(GError **error)
{
    if (error == NULL || *error == NULL)
        stead_set_error(error, STEAD_ERROR_GUEST,
                        "It may still be booting: 'stead logs' shows how far it is.",
                        "the agent in the guest does not answer");
}

gboolean stead_agent_await_ready(SteadAgent *agent, gint64 deadline, GCancellable *cancellable,
                                 GError **error)
{
    gulong handler = stead_agent_watch(agent, cancellable);
    g_mutex_lock(&agent->lock);
    while (!agent->ready && !agent->closed)
        if (!stead_agent_wait_more(agent, deadline, cancellable, error))
            break;
    gboolean ready = agent->ready;
    g_mutex_unlock(&agent->lock);
    g_cancellable_disconnect(cancellable, handler);
    if (!ready)
        stead_agent_set_silent(error);
    return ready;
}
