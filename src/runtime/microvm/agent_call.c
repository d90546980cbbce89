/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls: who has which channel; and the simplest of them, a question and its answer.
 *
 * Questions that are answered at once have a channel too, above those of the protocol, so that an
 * answer that comes too late finds nobody and is dropped.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "runtime/microvm/agent_parts.h"

#define TAG_MIN (GUEST_CHANNELS + 1)
#define TAG_MAX 60000

/* ---- channels ---- */

static guint16 free_number(SteadAgent *agent, guint from, guint to)
{
    for (guint number = from; number <= to; number++)
        if (!g_hash_table_contains(agent->calls, GUINT_TO_POINTER(number)) &&
            !(number <= GUEST_CHANNELS && agent->given_up[number]))
            return (guint16)number;
    return 0;
}

static guint16 free_tag(SteadAgent *agent)
{
    guint from = CLAMP(agent->next_tag, TAG_MIN, TAG_MAX);
    guint16 tag = free_number(agent, from, TAG_MAX);
    agent->next_tag = tag < TAG_MAX ? tag + 1u : TAG_MIN;
    return tag;
}

gboolean stead_agent_begin_call(SteadAgent *agent, AgentCall *call, gboolean lasts, GError **error)
{
    call->agent = agent;
    g_mutex_lock(&agent->lock);
    gboolean ready = agent->ready;
    if (ready)
        call->number = lasts ? free_number(agent, 1, GUEST_CHANNELS) : free_tag(agent);
    if (call->number)
        g_hash_table_insert(agent->calls, GUINT_TO_POINTER((guint)call->number), call);
    g_mutex_unlock(&agent->lock);
    if (call->number)
        return TRUE;
    if (!ready)
        stead_agent_set_silent(error);
    else
        stead_set_error(error, STEAD_ERROR_EXHAUSTED, NULL, "%d commands run in the guest already",
                        GUEST_CHANNELS);
    return FALSE;
}

void stead_agent_end_call(AgentCall *call)
{
    SteadAgent *agent = call->agent;
    g_mutex_lock(&agent->lock);
    gboolean abandoned =
        call->sent && !call->done && agent->ready && call->number <= GUEST_CHANNELS;
    g_hash_table_remove(agent->calls, GUINT_TO_POINTER((guint)call->number));
    /* Sent before the channel can be anybody else's, who would be closed in its place. */
    if (abandoned) {
        agent->given_up[call->number] = TRUE;
        stead_agent_send(agent, GUEST_CLOSE, call->number, NULL, 0, NULL);
    }
    g_mutex_unlock(&agent->lock);
}

/* ---- what comes (lock held) ---- */

static void take_for_nobody(SteadAgent *agent, const GuestFrame *frame)
{
    gboolean is_last =
        frame->type == GUEST_EXIT || frame->type == GUEST_DONE || frame->type == GUEST_FAILED;
    if (is_last && frame->channel <= GUEST_CHANNELS)
        agent->given_up[frame->channel] = FALSE;
}

void stead_agent_take_frame(SteadAgent *agent, const GuestFrame *frame)
{
    AgentCall *call = g_hash_table_lookup(agent->calls, GUINT_TO_POINTER((guint)frame->channel));
    if (call == NULL)
        take_for_nobody(agent, frame);
    else if (!call->done)
        call->funcs->frame(call, frame);
}

void stead_agent_lose_calls(SteadAgent *agent, int failure, const char *reason)
{
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, agent->calls);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        AgentCall *call = value;
        if (!call->done)
            call->funcs->lost(call, failure, reason);
        call->done = TRUE;
    }
    memset(agent->given_up, 0, sizeof agent->given_up);
}

int stead_agent_read_failed(const GuestFrame *frame, char **text)
{
    GuestFailed failed = {0};
    GuestFields fields = guest_fields_reader(frame->payload, frame->length);
    guest_failed_fields(&fields, &failed);
    gboolean valid = guest_fields_end(&fields) == 0 && failed.error > 0;
    const char *words = valid ? failed.text : "the agent's answer makes no sense";
    *text = g_utf8_make_valid(words, -1);
    return valid ? failed.error : EPROTO;
}

/* ---- questions ---- */

typedef struct {
    AgentCall call;
    GuestType wanted;
    GByteArray *answer;
    int failure; /* errno of the guest; 0: none */
    char *reason;
} Question;

static void question_clear(Question *question)
{
    g_clear_pointer(&question->answer, g_byte_array_unref);
    g_clear_pointer(&question->reason, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Question, question_clear)

static void on_frame(AgentCall *call, const GuestFrame *frame)
{
    Question *question = (Question *)call;
    if (frame->type == GUEST_FAILED)
        question->failure = stead_agent_read_failed(frame, &question->reason);
    else if (frame->type == question->wanted)
        g_byte_array_append(question->answer, frame->payload, (guint)frame->length);
    else
        return;
    call->done = TRUE;
}

static void on_lost(AgentCall *call, int failure, const char *reason)
{
    Question *question = (Question *)call;
    question->failure = failure;
    question->reason = g_strdup(reason);
}

static const AgentCallFuncs question_funcs = {on_frame, on_lost};

static gboolean await_answer(Question *question, gint64 deadline, GCancellable *cancellable,
                             GError **error)
{
    SteadAgent *agent = question->call.agent;
    gulong handler = stead_agent_watch(agent, cancellable);
    g_mutex_lock(&agent->lock);
    while (!question->call.done)
        if (!stead_agent_wait_more(agent, deadline, cancellable, error))
            break;
    gboolean done = question->call.done;
    g_mutex_unlock(&agent->lock);
    g_cancellable_disconnect(cancellable, handler);
    return done;
}

static gboolean set_failure(const Question *question, GError **error)
{
    if (question->failure == 0)
        return TRUE;
    const char *text = *question->reason ? question->reason : "the agent";
    stead_set_error(error, STEAD_ERROR_GUEST, NULL, "%s: %s", text, g_strerror(question->failure));
    return FALSE;
}

GBytes *stead_agent_ask(SteadAgent *agent, GuestType type, const void *payload, gsize length,
                        GuestType answer, gint64 deadline, GCancellable *cancellable,
                        GError **error)
{
    g_auto(Question)
        question = {.call.funcs = &question_funcs, .wanted = answer, .answer = g_byte_array_new()};
    AgentCall *call = &question.call;
    if (!stead_agent_await_ready(agent, deadline, cancellable, error) ||
        !stead_agent_begin_call(agent, call, answer == GUEST_DONE, error))
        return NULL;
    call->sent = stead_agent_send(agent, type, call->number, payload, length, error);
    gboolean done = call->sent && await_answer(&question, deadline, cancellable, error);
    stead_agent_end_call(call);
    if (!done)
        stead_agent_set_silent(error);
    if (!done || !set_failure(&question, error))
        return NULL;
    return g_byte_array_free_to_bytes(g_steal_pointer(&question.answer));
}
