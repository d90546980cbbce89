/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest writes its serial port byte by byte. After a silence a byte goes out at once; what comes
 * in the moment after it is gathered, so that a line costs a few system calls and not some for each
 * byte.
 */
#include "vmm/terminal.h"

#include <errno.h>
#include <stdlib.h>

#define BUFFER 4096
#define MOMENT_NS 500000ULL

struct VmmTerminal {
    VmmSerial *serial;
    VmmLog *log;
    VmmChannel *channel;
    VmmSource *timer; /* runs in the moment after output */
    bool is_gathering;
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
    terminal->used = 0;
}

static void gather(VmmTerminal *terminal)
{
    terminal->is_gathering = vmm_source_arm(terminal->timer, MOMENT_NS) == 0;
}

/* A moment without output is a silence. */
static void on_timer(void *data, uint32_t events)
{
    VmmTerminal *terminal = data;
    bool was_silent = terminal->used == 0;
    (void)events;
    terminal->is_gathering = false;
    vmm_terminal_flush(terminal);
    if (!was_silent)
        gather(terminal);
}

static void on_output(void *owner, uint8_t byte)
{
    VmmTerminal *terminal = owner;
    terminal->buffer[terminal->used++] = byte;
    if (!terminal->is_gathering || terminal->used == sizeof terminal->buffer)
        vmm_terminal_flush(terminal);
    if (!terminal->is_gathering)
        gather(terminal);
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
