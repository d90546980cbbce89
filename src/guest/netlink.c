/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel is trusted; its messages are walked with its own macros. */
#include "guest/netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_SIZE 32768 /* what the kernel fills at most in one piece */

static uint8_t answer[ANSWER_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));

int guest_netlink_open(GuestNetlink *netlink)
{
    netlink->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    netlink->sequence = netlink->waiting = 0;
    netlink->error = 0;
    netlink->used = 0;
    netlink->last = NULL;
    return netlink->fd < 0 ? -errno : 0;
}

void guest_netlink_close(GuestNetlink *netlink)
{
    if (netlink->fd >= 0)
        close(netlink->fd);
    netlink->fd = -1;
}

static void *grow(GuestNetlink *netlink, size_t length)
{
    size_t aligned = NLMSG_ALIGN(length);
    if (aligned > sizeof netlink->batch - netlink->used)
        netlink->error = netlink->error ? netlink->error : -ENOBUFS;
    if (netlink->error)
        return NULL;
    void *at = netlink->batch + netlink->used;
    memset(at, 0, aligned);
    netlink->used += aligned;
    return at;
}

void *guest_netlink_begin(GuestNetlink *netlink, uint16_t type, uint16_t flags, size_t body)
{
    struct nlmsghdr *head = grow(netlink, NLMSG_LENGTH(body));
    netlink->last = head;
    if (head == NULL)
        return NULL;
    *head = (struct nlmsghdr){
        .nlmsg_len = (uint32_t)NLMSG_LENGTH(body),
        .nlmsg_type = type,
        .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags),
        .nlmsg_seq = ++netlink->sequence,
    };
    netlink->waiting++;
    return NLMSG_DATA(head);
}

void guest_netlink_add(GuestNetlink *netlink, uint16_t type, const void *data, size_t length)
{
    struct rtattr *attribute = grow(netlink, RTA_LENGTH(length));
    if (attribute == NULL)
        return;
    attribute->rta_type = type;
    attribute->rta_len = (uint16_t)RTA_LENGTH(length);
    memcpy(RTA_DATA(attribute), data, length);
    netlink->last->nlmsg_len =
        (uint32_t)(netlink->batch + netlink->used - (uint8_t *)netlink->last);
}

static ssize_t receive(GuestNetlink *netlink)
{
    ssize_t n;
    do
        n = recv(netlink->fd, answer, sizeof answer, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int error_of(const struct nlmsghdr *head)
{
    const struct nlmsgerr *result = NLMSG_DATA(head);
    return head->nlmsg_type == NLMSG_ERROR ? result->error : 0;
}

static int wait_for_all(GuestNetlink *netlink, bool is_lenient)
{
    int error = 0;
    while (netlink->waiting > 0) {
        ssize_t n = receive(netlink);
        if (n < 0)
            return (int)n;
        unsigned left = (unsigned)n;
        for (const struct nlmsghdr *head = (void *)answer; NLMSG_OK(head, left);
             head = NLMSG_NEXT(head, left)) {
            if (head->nlmsg_type != NLMSG_ERROR || netlink->waiting == 0)
                continue;
            netlink->waiting--;
            if (error == 0 && !is_lenient)
                error = error_of(head);
        }
    }
    return error;
}

int guest_netlink_run(GuestNetlink *netlink, bool is_lenient)
{
    int error = netlink->error;
    if (!error && netlink->used > 0 && send(netlink->fd, netlink->batch, netlink->used, 0) < 0)
        error = -errno;
    if (error)
        netlink->waiting = 0;
    else
        error = wait_for_all(netlink, is_lenient);
    netlink->used = 0;
    netlink->error = 0;
    return error;
}

/* 0: there is more to come; 1: that was all. */
static int walk(size_t length, GuestNetlinkEach each, void *data)
{
    unsigned left = (unsigned)length;
    for (const struct nlmsghdr *head = (void *)answer; NLMSG_OK(head, left);
         head = NLMSG_NEXT(head, left)) {
        if (head->nlmsg_flags & NLM_F_DUMP_INTR)
            return -EINTR;
        if (head->nlmsg_type == NLMSG_ERROR)
            return error_of(head);
        if (head->nlmsg_type == NLMSG_DONE)
            return 1;
        each(head, data);
    }
    return 0;
}

/* The kernel complains of a request that is longer than its own. */
static uint32_t request_length(uint16_t type)
{
    return NLMSG_LENGTH(type == RTM_GETLINK   ? sizeof(struct ifinfomsg)
                        : type == RTM_GETADDR ? sizeof(struct ifaddrmsg)
                                              : sizeof(struct rtmsg));
}

int guest_netlink_dump(GuestNetlink *netlink, uint16_t type, uint8_t family, GuestNetlinkEach each,
                       void *data)
{
    /* All three bodies begin with the family, and ifinfomsg is the longest of them. */
    struct {
        struct nlmsghdr head;
        struct ifinfomsg body;
    } request = {
        .head = {.nlmsg_len = request_length(type),
                 .nlmsg_type = type,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                 .nlmsg_seq = ++netlink->sequence},
        .body = {.ifi_family = family},
    };
    if (send(netlink->fd, &request, request.head.nlmsg_len, 0) < 0)
        return -errno;
    int result = 0;
    while (result == 0) {
        ssize_t n = receive(netlink);
        result = n < 0 ? (int)n : walk((size_t)n, each, data);
    }
    return result < 0 ? result : 0;
}

void guest_netlink_attributes(const struct nlmsghdr *message, size_t body,
                              const struct rtattr *found[], unsigned max)
{
    memset(found, 0, (max + 1) * sizeof *found);
    if (message->nlmsg_len < NLMSG_SPACE(body))
        return;
    unsigned left = message->nlmsg_len - (unsigned)NLMSG_SPACE(body);
    const struct rtattr *at = (const void *)((const uint8_t *)message + NLMSG_SPACE(body));
    for (; RTA_OK(at, left); at = RTA_NEXT(at, left))
        if (at->rta_type <= max)
            found[at->rta_type] = at;
}
