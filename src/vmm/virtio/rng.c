/* SPDX-License-Identifier: Apache-2.0 */
/* A request is answered at once, with at most VMM_RNG_BYTES of what it has room for: a guest that
 * asks for gigabytes gets a start, as the specification allows. */
#include "vmm/virtio/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define VMM_RNG_BYTES 4096
#define QUEUE 0

static uint32_t answer(const VmmChain *chain)
{
    uint8_t bytes[VMM_RNG_BYTES];
    uint32_t wanted = chain->writable < sizeof bytes ? chain->writable : sizeof bytes;
    ssize_t got = getrandom(bytes, wanted, GRND_NONBLOCK);
    return got > 0 ? vmm_chain_write(chain, 0, bytes, (uint32_t)got) : 0;
}

static void notify(VmmVirtio *device, unsigned queue)
{
    VmmChain chain;
    for (unsigned i = 0; i < VMM_VIRTIO_BATCH; i++) {
        if (!vmm_virtio_pop(device, QUEUE, &chain))
            return;
        vmm_virtio_push(device, QUEUE, &chain, answer(&chain));
    }
    vmm_virtio_again(device, QUEUE);
}

static const VmmVirtioOps ops = {
    .name = "rng",
    .id = VIRTIO_ID_RNG,
    .n_queues = 1,
    .queue_sizes = {64},
    .notify = notify,
};

int vmm_rng_new(VmmVirtio **device, VmmMemory *memory, VmmLoop *loop)
{
    VmmVirtio *made = calloc(1, sizeof *made);
    if (!made)
        return -ENOMEM;
    *made = (VmmVirtio){.ops = &ops, .memory = memory, .loop = loop};
    return vmm_virtio_init(made, device);
}
