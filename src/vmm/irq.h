/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An interrupt line as a device sees it. Lines are edge-triggered: each raise is one interrupt, and
 * raises that come before the guest looked may fall into one. A device raises its line after it has
 * written what the guest will look for, and once more after a restore when that still waits.
 */
#pragma once

typedef struct {
    void (*raise)(void *self);
    void *self;
} VmmIrq;

/* A line without a machine behind it does nothing. */
static inline void vmm_irq_raise(const VmmIrq *irq)
{
    if (irq->raise)
        irq->raise(irq->self);
}
