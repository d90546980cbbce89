/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a PC is switched off, reset and told that its power button was pressed: ACPI's fixed
 * registers (PM1 event and control), and the ports that reset it.
 *
 * With the VM's lock held.
 */
#pragma once

#include <stdint.h>

#include "vmm/bus.h"
#include "vmm/state.h"

#define VMM_POWER_PM1_EVENT 0x600   /* 4 ports: status, enable */
#define VMM_POWER_PM1_CONTROL 0x604 /* 2 ports */
#define VMM_POWER_RESET_PORT 0xcf9
#define VMM_POWER_RESET_VALUE 0x06
#define VMM_POWER_SLEEP_TYPE_OFF 5 /* what \_S5 tells the guest to write */

typedef struct {
    /* Set by the owner. */
    void (*switch_off)(void *owner);
    void (*reset)(void *owner);
    void (*set_interrupt)(void *owner, bool level); /* ACPI's, level-triggered */
    void *owner;
    /* The registers. */
    uint16_t status, enabled;
} VmmPower;

int vmm_power_add(VmmPower *power, VmmBus *ports);
/* As after a reset. */
void vmm_power_reset(VmmPower *power);
void vmm_power_press_button(VmmPower *power);

void vmm_power_save(const VmmPower *power, VmmStateWriter *writer);
/* Only the registers. */
void vmm_power_load(VmmPower *power, VmmStateReader *reader);
/* Sets the interrupt as the registers have it. */
void vmm_power_tell(VmmPower *power);
