/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands are objects one after the other, with or without line ends between them: where one ends
 * is found by counting brackets outside of strings. A client that sends more than a command's worth
 * without an end is hung up on; so is one that does not read its answers. That may come to light in
 * a vCPU's thread, whose guest brought an event about, and which may close nothing: the loop hangs
 * up.
 */
#include "vmm/qmp.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/channel.h"
#include "vmm/json.h"
#include "vmm/qmp-internal.h"

#define OUTPUT_MAX (64 * 1024)
#define AT_ONCE 1 /* nanosecond */

struct VmmQmp {
    VmmVm *vm;
    VmmChannel *channel;
    void (*sent)(void *data, const char *bytes, size_t length);
    void *sent_data;
    bool has_begun; /* capabilities were negotiated: commands and events from now on */
    bool is_lost;   /* the client does not read, and is told nothing more */
    VmmSource *lost_timer;
    /* The command under way. */
    size_t used;
    unsigned depth;
    bool in_string, is_escaped;
    char line[VMM_QMP_LINE_MAX];
    /* What the client has not taken yet. */
    size_t waiting;
    char output[OUTPUT_MAX];
    VmmQmpFds fds;
};

/* --- output --- */

static void flush(VmmQmp *qmp)
{
    size_t taken = vmm_channel_write(qmp->channel, qmp->output, qmp->waiting);
    qmp->waiting -= taken;
    memmove(qmp->output, qmp->output + taken, qmp->waiting);
}

static void forget_client(VmmQmp *qmp)
{
    qmp->has_begun = qmp->is_lost = false;
    qmp->used = qmp->depth = 0;
    qmp->in_string = qmp->is_escaped = false;
    qmp->waiting = 0;
    vmm_qmp_fds_close(&qmp->fds);
}

static void on_lost(void *data, uint32_t events)
{
    VmmQmp *qmp = data;
    (void)events;
    if (!qmp->is_lost) /* it went by itself */
        return;
    vmm_channel_hang_up(qmp->channel);
    forget_client(qmp);
}

static void send_bytes(VmmQmp *qmp, const char *bytes, size_t length)
{
    if (qmp->sent) {
        qmp->sent(qmp->sent_data, bytes, length);
        return;
    }
    if (!vmm_channel_is_connected(qmp->channel) || qmp->is_lost)
        return;
    if (length > sizeof qmp->output - qmp->waiting) {
        qmp->is_lost = true;
        vmm_source_arm(qmp->lost_timer, AT_ONCE);
        return;
    }
    memcpy(qmp->output + qmp->waiting, bytes, length);
    qmp->waiting += length;
    flush(qmp);
}

static void send_text(VmmQmp *qmp, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void send_text(VmmQmp *qmp, const char *format, ...)
{
    char text[VMM_QMP_ANSWER_MAX];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (n > 0 && (size_t)n < sizeof text)
        send_bytes(qmp, text, (size_t)n);
}

static void greet(VmmQmp *qmp)
{
    send_text(qmp, "{\"QMP\": {\"version\": " VMM_QMP_VERSION ", \"capabilities\": []}}\r\n");
}

static void on_event(void *listener, VmmEvent event)
{
    VmmQmp *qmp = listener;
    struct timespec now;
    char data[VMM_QMP_DATA_MAX];
    if (!qmp->has_begun)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    const char *name = vmm_qmp_event(qmp->vm, event, data);
    send_text(
        qmp, "{\"timestamp\": {\"seconds\": %lld, \"microseconds\": %ld}, \"event\": \"%s\"%s}\r\n",
        (long long)now.tv_sec, now.tv_nsec / 1000, name, data);
}

/* --- commands --- */

/* The client's "id", as it was written, to be sent back. */
static void answer(VmmQmp *qmp, const VmmJson *json, const char *key, const char *value)
{
    int id = vmm_json_get(json, 0, "id");
    if (id == VMM_JSON_NONE) {
        send_text(qmp, "{\"%s\": %s}\r\n", key, value);
        return;
    }
    const VmmJsonNode *node = &json->nodes[id];
    bool is_string = node->kind == VMM_JSON_STRING;
    int length = node->length > VMM_QMP_ID_MAX ? 0 : (int)node->length;
    send_text(qmp, "{\"%s\": %s, \"id\": %s%.*s%s}\r\n", key, value, is_string ? "\"" : "",
              length ? length : 4,
              length      ? json->text + node->start
              : is_string ? ""
                          : "null",
              is_string ? "\"" : "");
}

static void refuse(VmmQmp *qmp, const VmmJson *json, const char *class, const char *why)
{
    char text[2 * VMM_ERROR_MAX], value[2 * VMM_ERROR_MAX + 64];
    vmm_json_escape(why, text, sizeof text);
    snprintf(value, sizeof value, "{\"class\": \"%s\", \"desc\": \"%s\"}", class, text);
    answer(qmp, json, "error", value);
}

static void run_command(VmmQmp *qmp, const VmmJson *json)
{
    char name[VMM_QMP_NAME_MAX], value[VMM_QMP_ANSWER_MAX / 2] = "{}";
    VmmQmpCall call = {
        .vm = qmp->vm,
        .json = json,
        .arguments = vmm_json_get(json, 0, "arguments"),
        .fds = &qmp->fds,
        .answer = value,
        .room = sizeof value,
    };
    if (vmm_json_string(json, vmm_json_get(json, 0, "execute"), name, sizeof name)) {
        refuse(qmp, json, "GenericError", "there is no command in it");
        return;
    }
    const VmmQmpCommand *command = vmm_qmp_find(name);
    if (command == NULL) {
        refuse(qmp, json, "CommandNotFound", "this command is not known");
        return;
    }
    if (!qmp->has_begun && command->run != vmm_qmp_capabilities) {
        refuse(qmp, json, "CommandNotFound", "qmp_capabilities comes first");
        return;
    }
    qmp->has_begun = true;
    if (command->run(&call, &call.why))
        refuse(qmp, json, "GenericError", call.why.text);
    else
        answer(qmp, json, "return", value);
    if (call.then)
        call.then(qmp->vm);
}

static void run_line(VmmQmp *qmp)
{
    VmmJson json;
    int failed = vmm_json_parse(&json, qmp->line, qmp->used);
    qmp->used = 0;
    if (!failed && json.nodes[0].kind == VMM_JSON_OBJECT) {
        run_command(qmp, &json);
        return;
    }
    json.n = 0;
    refuse(qmp, &json, "GenericError",
           failed == -E2BIG ? "the command is too complex" : "this is not JSON");
}

/* --- input --- */

/* Follows the brackets. True: the byte ends a command. */
static bool is_end(VmmQmp *qmp, char c)
{
    if (qmp->in_string) {
        qmp->in_string = c != '"' || qmp->is_escaped;
        qmp->is_escaped = c == '\\' && !qmp->is_escaped;
        return false;
    }
    if (c == '"')
        qmp->in_string = true;
    else if (c == '{' || c == '[')
        qmp->depth++;
    else if ((c == '}' || c == ']') && qmp->depth > 0)
        return --qmp->depth == 0;
    /* What is no object and no list cannot be a command: it ends with its line. */
    return qmp->depth == 0 && c == '\n';
}

/* False: the client was given up. */
static bool take_byte(VmmQmp *qmp, char c)
{
    bool is_space = c == ' ' || c == '\t' || c == '\r' || c == '\n';
    if (qmp->used == 0 && is_space && !qmp->in_string)
        return true;
    if (qmp->used == sizeof qmp->line) {
        if (qmp->channel)
            vmm_channel_hang_up(qmp->channel);
        forget_client(qmp);
        return false;
    }
    qmp->line[qmp->used++] = c;
    if (is_end(qmp, c))
        run_line(qmp);
    return true;
}

void vmm_qmp_feed(VmmQmp *qmp, const void *bytes, size_t length)
{
    const char *at = bytes;
    for (size_t i = 0; i < length; i++)
        if (!take_byte(qmp, at[i]))
            return;
}

static size_t on_input(void *owner, const uint8_t *bytes, size_t length)
{
    vmm_qmp_feed(owner, bytes, length);
    return length;
}

void vmm_qmp_receive(VmmQmp *qmp, int fd)
{
    vmm_qmp_fds_receive(&qmp->fds, fd);
}

static void on_descriptor(void *owner, int fd)
{
    vmm_qmp_receive(owner, fd);
}

static void on_connected(void *owner, bool is_connected)
{
    forget_client(owner);
    if (is_connected)
        greet(owner);
}

static void on_writable(void *owner)
{
    flush(owner);
}

static const VmmChannelOps CHANNEL_OPS = {
    .input = on_input,
    .descriptor = on_descriptor,
    .connected = on_connected,
    .writable = on_writable,
};

static VmmQmp *new_qmp(VmmVm *vm)
{
    VmmQmp *qmp = calloc(1, sizeof *qmp);
    if (qmp == NULL)
        return NULL;
    qmp->vm = vm;
    vmm_qmp_fds_init(&qmp->fds);
    vm->on_event = on_event;
    vm->listener = qmp;
    return qmp;
}

int vmm_qmp_new(VmmQmp **qmp, VmmVm *vm, int listener)
{
    VmmQmp *made = new_qmp(vm);
    if (made == NULL)
        return -ENOMEM;
    int failed = vmm_loop_add_timer(vm->machine.loop, on_lost, made, &made->lost_timer);
    if (!failed)
        failed = vmm_channel_new(&made->channel, vm->machine.loop, listener, &CHANNEL_OPS, made);
    if (failed)
        vmm_qmp_free(made);
    else
        *qmp = made;
    return failed;
}

int vmm_qmp_new_detached(VmmQmp **qmp, VmmVm *vm,
                         void (*sent)(void *data, const char *bytes, size_t length), void *data)
{
    VmmQmp *made = new_qmp(vm);
    if (made == NULL)
        return -ENOMEM;
    made->sent = sent;
    made->sent_data = data;
    greet(made);
    *qmp = made;
    return 0;
}

void vmm_qmp_free(VmmQmp *qmp)
{
    if (qmp == NULL)
        return;
    if (qmp->vm->listener == qmp)
        qmp->vm->on_event = NULL;
    vmm_channel_free(qmp->channel);
    vmm_source_remove(qmp->lost_timer);
    vmm_qmp_fds_close(&qmp->fds);
    free(qmp);
}
