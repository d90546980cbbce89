/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reasons for an interrupt, highest first: an overrun, bytes received, the transmitter empty. The
 * line is edge-triggered, so it is raised whenever a reason appears where there was none, and again
 * when one remains after another was taken away.
 */
#include "vmm/serial.h"

#include <string.h>

enum {
    DATA,
    INTERRUPT_ENABLE,
    INTERRUPT_ID,
    LINE_CONTROL,
    MODEM_CONTROL,
    LINE_STATUS,
    MODEM_STATUS,
    SCRATCH
};
#define FIFO_CONTROL INTERRUPT_ID /* when written */

#define ENABLE_RECEIVED 0x01
#define ENABLE_SENT 0x02
#define ENABLE_LINE 0x04
#define ENABLE_ALL 0x0f
#define ID_NONE 0x01
#define ID_SENT 0x02
#define ID_RECEIVED 0x04
#define ID_LINE 0x06
#define ID_FIFO 0xc0
#define FIFO_ENABLE 0x01
#define FIFO_CLEAR_RECEIVER 0x02
#define FIFO_KEPT 0xc9
#define LINE_DIVISOR 0x80
#define LINE_8N1 0x03
#define MODEM_OUT2 0x08 /* lets interrupts through on a PC */
#define MODEM_LOOP 0x10
#define MODEM_ALL 0x1f
#define STATUS_RECEIVED 0x01
#define STATUS_OVERRUN 0x02
#define STATUS_EMPTY 0x60    /* holding and shift register */
#define MODEM_CONNECTED 0xb0 /* carrier, data set ready, clear to send */
#define DIVISOR_9600 12

static uint8_t reason(const VmmSerial *serial)
{
    uint8_t enabled = serial->interrupts_enabled;
    if ((enabled & ENABLE_LINE) && serial->has_overrun)
        return ID_LINE;
    if ((enabled & ENABLE_RECEIVED) && serial->fifo_used > 0)
        return ID_RECEIVED;
    if ((enabled & ENABLE_SENT) && serial->is_sent)
        return ID_SENT;
    return ID_NONE;
}

/* After anything that may have brought a reason; `is_new` when it surely is another one. */
static void update(VmmSerial *serial, bool is_new)
{
    bool is_pending = reason(serial) != ID_NONE && (serial->modem_control & MODEM_OUT2);
    if (is_pending && (is_new || !serial->was_pending))
        vmm_irq_raise(&serial->irq);
    serial->was_pending = is_pending;
}

void vmm_serial_reset(VmmSerial *serial)
{
    *serial = (VmmSerial){
        .irq = serial->irq,
        .output = serial->output,
        .has_room = serial->has_room,
        .owner = serial->owner,
        .line_control = LINE_8N1,
        .modem_control = MODEM_OUT2,
        .divisor = {DIVISOR_9600},
    };
}

size_t vmm_serial_room(const VmmSerial *serial)
{
    return VMM_SERIAL_FIFO - serial->fifo_used;
}

void vmm_serial_input(VmmSerial *serial, const uint8_t *bytes, size_t length)
{
    size_t room = vmm_serial_room(serial);
    if (length > room) {
        serial->has_overrun = true;
        length = room;
    }
    memcpy(serial->fifo + serial->fifo_used, bytes, length);
    serial->fifo_used += (unsigned)length;
    update(serial, length > 0);
}

static uint8_t take_received(VmmSerial *serial)
{
    if (serial->fifo_used == 0)
        return 0;
    uint8_t byte = serial->fifo[0];
    serial->fifo_used--;
    memmove(serial->fifo, serial->fifo + 1, serial->fifo_used);
    if (serial->fifo_used == 0 && serial->has_room)
        serial->has_room(serial->owner);
    return byte;
}

static void send(VmmSerial *serial, uint8_t byte)
{
    if (serial->modem_control & MODEM_LOOP)
        vmm_serial_input(serial, &byte, 1);
    else if (serial->output)
        serial->output(serial->owner, byte);
    serial->is_sent = true;
    update(serial, serial->interrupts_enabled & ENABLE_SENT);
}

static uint8_t identify(VmmSerial *serial)
{
    uint8_t id = reason(serial);
    if (id == ID_SENT)
        serial->is_sent = false; /* reading it is the answer */
    return id | (serial->fifo_control & FIFO_ENABLE ? ID_FIFO : 0);
}

static uint8_t line_status(VmmSerial *serial)
{
    uint8_t status = STATUS_EMPTY;
    if (serial->fifo_used > 0)
        status |= STATUS_RECEIVED;
    if (serial->has_overrun)
        status |= STATUS_OVERRUN;
    serial->has_overrun = false;
    return status;
}

/* In a loop the modem's outputs are its inputs: DTR, RTS, OUT1, OUT2 as DSR, CTS, RI, DCD. */
static uint8_t modem_status(const VmmSerial *serial)
{
    uint8_t control = serial->modem_control;
    if (!(control & MODEM_LOOP))
        return MODEM_CONNECTED;
    return (uint8_t)((control & 0x0c) << 4 | (control & 0x01) << 5 | (control & 0x02) << 3);
}

static uint8_t read_register(VmmSerial *serial, uint64_t offset)
{
    bool is_divisor = serial->line_control & LINE_DIVISOR;
    switch (offset) {
    case DATA:
        return is_divisor ? serial->divisor[0] : take_received(serial);
    case INTERRUPT_ENABLE:
        return is_divisor ? serial->divisor[1] : serial->interrupts_enabled;
    case INTERRUPT_ID:
        return identify(serial);
    case LINE_CONTROL:
        return serial->line_control;
    case MODEM_CONTROL:
        return serial->modem_control;
    case LINE_STATUS:
        return line_status(serial);
    case MODEM_STATUS:
        return modem_status(serial);
    default:
        return serial->scratch;
    }
}

static void serial_read(void *self, uint64_t offset, void *data, unsigned size)
{
    VmmSerial *serial = self;
    memset(data, 0xff, size);
    *(uint8_t *)data = read_register(serial, offset);
    update(serial, false);
}

static void write_data(VmmSerial *serial, uint8_t value)
{
    if (serial->line_control & LINE_DIVISOR)
        serial->divisor[0] = value;
    else
        send(serial, value);
}

/* An empty transmitter is a reason as soon as it may be one. */
static void write_enable(VmmSerial *serial, uint8_t value)
{
    if (serial->line_control & LINE_DIVISOR) {
        serial->divisor[1] = value;
        return;
    }
    bool asks = (value & ENABLE_SENT) && !(serial->interrupts_enabled & ENABLE_SENT);
    serial->interrupts_enabled = value & ENABLE_ALL;
    if (asks)
        serial->is_sent = true;
    update(serial, asks);
}

static void write_fifo_control(VmmSerial *serial, uint8_t value)
{
    bool is_toggled = (value ^ serial->fifo_control) & FIFO_ENABLE;
    serial->fifo_control = value & FIFO_KEPT;
    if (!is_toggled && !(value & FIFO_CLEAR_RECEIVER))
        return;
    serial->fifo_used = 0;
    if (serial->has_room)
        serial->has_room(serial->owner);
}

static void serial_write(void *self, uint64_t offset, const void *data, unsigned size)
{
    VmmSerial *serial = self;
    uint8_t value = *(const uint8_t *)data;
    (void)size;
    switch (offset) {
    case DATA:
        write_data(serial, value);
        break;
    case INTERRUPT_ENABLE:
        write_enable(serial, value);
        break;
    case FIFO_CONTROL:
        write_fifo_control(serial, value);
        break;
    case LINE_CONTROL:
        serial->line_control = value;
        break;
    case MODEM_CONTROL:
        serial->modem_control = value & MODEM_ALL;
        break;
    case SCRATCH:
        serial->scratch = value;
        break;
    default: /* both status registers are read only */
        break;
    }
    update(serial, false);
}

const VmmBusOps vmm_serial_ops = {serial_read, serial_write};

void vmm_serial_save(const VmmSerial *serial, VmmStateWriter *writer)
{
    vmm_state_begin(writer, "serial", 1);
    vmm_state_put_u8(writer, serial->interrupts_enabled);
    vmm_state_put_u8(writer, serial->line_control);
    vmm_state_put_u8(writer, serial->modem_control);
    vmm_state_put_u8(writer, serial->fifo_control);
    vmm_state_put_u8(writer, serial->scratch);
    vmm_state_put_bytes(writer, serial->divisor, sizeof serial->divisor);
    vmm_state_put_u8(writer, (uint8_t)serial->fifo_used);
    vmm_state_put_bytes(writer, serial->fifo, sizeof serial->fifo);
    vmm_state_put_u8(writer, serial->has_overrun);
    vmm_state_put_u8(writer, serial->is_sent);
    vmm_state_end(writer);
}

void vmm_serial_load(VmmSerial *serial, VmmStateReader *reader)
{
    vmm_state_enter(reader, "serial", 1);
    serial->interrupts_enabled = vmm_state_get_u8(reader) & ENABLE_ALL;
    serial->line_control = vmm_state_get_u8(reader);
    serial->modem_control = vmm_state_get_u8(reader) & MODEM_ALL;
    serial->fifo_control = vmm_state_get_u8(reader) & FIFO_KEPT;
    serial->scratch = vmm_state_get_u8(reader);
    vmm_state_get_bytes(reader, serial->divisor, sizeof serial->divisor);
    serial->fifo_used = vmm_state_get_u8(reader);
    vmm_state_get_bytes(reader, serial->fifo, sizeof serial->fifo);
    serial->has_overrun = vmm_state_get_u8(reader);
    serial->is_sent = vmm_state_get_u8(reader);
    vmm_state_leave(reader);
    if (serial->fifo_used > VMM_SERIAL_FIFO) {
        vmm_state_refuse(reader, "%u bytes in the FIFO", serial->fifo_used);
        serial->fifo_used = 0;
    }
    serial->was_pending = false; /* one interrupt too many does no harm, one too few does */
}
