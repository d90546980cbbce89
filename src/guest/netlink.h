/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the kernel's routing by netlink: several go out in one call, each is acknowledged,
 * and the first that failed decides.
 */
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_NETLINK_BATCH 4096

typedef struct {
    int fd;
    uint32_t sequence;
    uint32_t waiting; /* acknowledgements of what is in the batch */
    int error;        /* of putting the batch together */
    size_t used;
    struct nlmsghdr *last;
    uint8_t batch[GUEST_NETLINK_BATCH] __attribute__((aligned(NLMSG_ALIGNTO)));
} GuestNetlink;

int guest_netlink_open(GuestNetlink *netlink);
void guest_netlink_close(GuestNetlink *netlink);

/* Begins a request with a body of that size, all zero, for the caller to fill; NULL, and the
 * error latched, when the batch is full. `flags` beside NLM_F_REQUEST. */
void *guest_netlink_begin(GuestNetlink *netlink, uint16_t type, uint16_t flags, size_t body);

/* Adds an attribute to the request begun last. */
void guest_netlink_add(GuestNetlink *netlink, uint16_t type, const void *data, size_t length);

/* Sends the batch and waits for its acknowledgements: 0, or the first error. With `is_lenient` all
 * are waited for and what failed is passed over. The batch is empty then. */
int guest_netlink_run(GuestNetlink *netlink, bool is_lenient);

/* Asks for all objects of a type (RTM_GETLINK, RTM_GETADDR, RTM_GETNEIGH). `each` gets them one by
 * one. -EINTR when the list changed meanwhile: ask again. */
typedef void (*GuestNetlinkEach)(const struct nlmsghdr *message, void *data);
int guest_netlink_dump(GuestNetlink *netlink, uint16_t type, uint8_t family, GuestNetlinkEach each,
                       void *data);

/* The attributes of a message behind a body of that size, by type, up to `max`; NULL for those that
 * are not there. */
void guest_netlink_attributes(const struct nlmsghdr *message, size_t body,
                              const struct rtattr *found[], unsigned max);
