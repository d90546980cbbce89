/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest writes its serial port byte by byte. After a silence a byte goes out at once; what comes
 * in the moment after it is gathered, so that a line costs a few system calls and not some for each
 * byte. The loop's thread writes: a vCPU's only fills the buffer, and waits where that gets full.
 */
#include "vmm/terminal.h"

#include <errno.h>
#include <stdlib.h>

#define BUFFER 16384
#define CONGESTED 8192 /* what vCPUs bring until they wait has room above it */
#define AT_ONCE 1      /* nanosecond */
#define MOMENT_NS 500000ULL

struct VmmTerminal {
    VmmSerial *serial;
    VmmLog *log;
    VmmChannel *channel;
    VmmSource *timer; /* to write what there is, and in the moment after it */
    bool is_armed;
    void (*congested)(void *owner, bool is_congested);
    void *owner;
    size_t used;
    uint8_t buffer[BUFFER];
};

void vmm_terminal_flush(VmmTerminal *terminal)
{
    if (terminal->used == 0)
        return;
    if (terminal->log)
        vmm_log_write(terminal->log, terminal->buffer, terminal->used);
    if (terminal->channel)
        vmm_channel_write(terminal->channel, terminal->buffer, terminal->used);
    if (terminal->used >= CONGESTED && terminal->congested)
        terminal->congested(terminal->owner, false);
    terminal->used = 0;
}

static void arm(VmmTerminal *terminal, uint64_t nanoseconds)
{
    terminal->is_armed = vmm_source_arm(terminal->timer, nanoseconds) == 0;
}

/* A moment without output is a silence. */
static void on_timer(void *data, uint32_t events)
{
    VmmTerminal *terminal = data;
    bool was_silent = terminal->used == 0;
    (void)events;
    terminal->is_armed = false;
    vmm_terminal_flush(terminal);
    if (!was_silent)
        arm(terminal, MOMENT_NS);
}

/* What finds no room is lost: many vCPUs can bring so much at once, to their own harm. */
static void on_output(void *owner, uint8_t byte)
{
    VmmTerminal *terminal = owner;
    if (terminal->used == sizeof terminal->buffer)
        return;
    terminal->buffer[terminal->used++] = byte;
    if (!terminal->is_armed)
        arm(terminal, AT_ONCE);
    if (terminal->used == CONGESTED && terminal->congested)
        terminal->congested(terminal->owner, true);
}

void vmm_terminal_on_congestion(VmmTerminal *terminal,
                                void (*congested)(void *owner, bool is_congested), void *owner)
{
    terminal->congested = congested;
    terminal->owner = owner;
}

static void on_room(void *owner)
{
    VmmTerminal *terminal = owner;
    if (terminal->channel)
        vmm_channel_resume(terminal->channel);
}

static size_t on_input(void *owner, const uint8_t *bytes, size_t length)
{
    VmmTerminal *terminal = owner;
    size_t room = vmm_serial_room(terminal->serial);
    size_t taken = length < room ? length : room;
    vmm_serial_input(terminal->serial, bytes, taken);
    return taken;
}

static const VmmChannelOps CHANNEL_OPS = {.input = on_input};

int vmm_terminal_new(VmmTerminal **terminal, VmmLoop *loop, VmmSerial *serial, int listener,
                     VmmLog *log)
{
    VmmTerminal *made = calloc(1, sizeof *made);
    if (made == NULL)
        return -ENOMEM;
    made->serial = serial;
    made->log = log;
    int failed = vmm_loop_add_timer(loop, on_timer, made, &made->timer);
    if (!failed && listener >= 0)
        failed = vmm_channel_new(&made->channel, loop, listener, &CHANNEL_OPS, made);
    if (failed) {
        vmm_terminal_free(made);
        return failed;
    }
    serial->output = on_output;
    serial->has_room = on_room;
    serial->owner = made;
    *terminal = made;
    return 0;
}

void vmm_terminal_free(VmmTerminal *terminal)
{
    if (terminal == NULL)
        return;
    vmm_terminal_flush(terminal);
    vmm_source_remove(terminal->timer);
    vmm_channel_free(terminal->channel);
    if (terminal->serial->owner == terminal)
        terminal->serial->output = NULL;
    if (terminal->serial->owner == terminal)
        terminal->serial->has_room = NULL;
    free(terminal);
}
