/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything is watched for edges. For the port that is a must: the kernel says that it has hung
 * up for as long as no host is connected, and a level would wake us for ever; when a host comes,
 * that is an edge. For the streams of sessions it saves the calls that turn watching on and off as
 * credit comes and goes.
 *
 * A port stays open while hosts come and go; reading from it gives nothing then. But what the
 * kernel says about that comes by another queue than the bytes do, and may be late: a port that
 * has hung up may have the next host's HELLO in it, or have answered it. So its sessions are ended
 * only when no host has come back for a while; the next HELLO ends them in any case. A socket is
 * closed, and the next connection accepted.
 */
#include "guest/loop.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest/button.h"
#include "guest/init.h"
#include "guest/port.h"

#define EVENTS_MAX 16
#define READ_SIZE 16384
#define SIGNALS_MAX 8
#define GONE_AFTER_MS 1000
#define GLIBC_SIGRTMIN 34 /* see power.c */

enum { KEY_HOST, KEY_SIGNALS, KEY_ANNOUNCEMENTS, KEY_LISTENER, KEY_BUTTONS, KEY_STREAMS };

typedef struct {
    GuestAgent *agent;
    const GuestTransport *transport;
    int host; /* the port or connection; -1 */
    int signals, announcements, listener;
    int buttons[GUEST_BUTTONS_MAX];
    unsigned n_buttons;
    bool is_readable; /* the host's: an edge was told, and nothing was EAGAIN since */
    bool has_ended;
    int64_t gone_at;   /* the time at which a port that has hung up counts as left; 0: it has not */
    size_t begin, end; /* of what was read and not yet taken, in `bytes` */
} Loop;

static Loop loop = {.host = -1, .signals = -1, .announcements = -1, .listener = -1};
static int watcher = -1;
static uint8_t bytes[READ_SIZE];

static int watch(int fd, uint32_t events, uint32_t key)
{
    struct epoll_event event = {.events = events | EPOLLET, .data.u32 = key};
    return epoll_ctl(watcher, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int guest_loop_watch(int fd, unsigned channel, GuestStream stream)
{
    uint32_t key = KEY_STREAMS + channel * GUEST_STREAMS + stream;
    return watch(fd, EPOLLIN | EPOLLOUT, key);
}

/* --- the host --- */

static bool is_port(void)
{
    return loop.listener < 0 && loop.transport->fd < 0;
}

static int take_host(int fd)
{
    loop.host = fd;
    loop.is_readable = true;
    loop.gone_at = 0;
    loop.begin = loop.end = 0;
    return watch(fd, EPOLLIN | EPOLLOUT, KEY_HOST);
}

static int look_for_port(void)
{
    int failed = 0;
    if (loop.announcements < 0) {
        loop.announcements = guest_port_watch();
        failed = loop.announcements < 0 ? loop.announcements
                                        : watch(loop.announcements, EPOLLIN, KEY_ANNOUNCEMENTS);
    }
    int fd = failed ? failed : guest_port_open(loop.transport->port);
    if (fd == -EBUSY && !loop.transport->is_init)
        return fd; /* somebody else serves it; let whoever started us try again */
    if (fd < 0)
        return failed;
    close(loop.announcements);
    loop.announcements = -1;
    return take_host(fd);
}

static void accept_host(void)
{
    int fd = loop.host >= 0 ? -1 : accept4(loop.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0 && take_host(fd) < 0)
        guest_complain("watch", "the host", errno);
}

/* The descriptor is of no use any more; another host may come by another. */
static void lose_host(void)
{
    guest_agent_hang_up(loop.agent);
    close(loop.host);
    loop.host = -1;
    loop.is_readable = false;
    if (loop.listener >= 0)
        accept_host();
    else if (loop.transport->fd >= 0)
        loop.has_ended = true;
    else if (look_for_port() < 0)
        guest_complain("watch", "devices", errno);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void expect_host_to_be_gone(void)
{
    if (loop.agent->is_greeted && loop.gone_at == 0)
        loop.gone_at = now_ms() + GONE_AFTER_MS;
}

/* How long to wait for events. */
static int patience(void)
{
    if (loop.gone_at == 0)
        return -1;
    int64_t left = loop.gone_at - now_ms();
    if (left > 0)
        return (int)left;
    loop.gone_at = 0;
    guest_agent_hang_up(loop.agent);
    return -1;
}

/* No host is there, or its end of a socket is closed. */
static void host_left(void)
{
    loop.is_readable = false;
    if (!is_port())
        lose_host();
    else
        expect_host_to_be_gone();
}

static void read_host(void)
{
    ssize_t n = read(loop.host, bytes, sizeof bytes);
    loop.begin = 0;
    loop.end = n > 0 ? (size_t)n : 0;
    if (n > 0 &&
        loop.gone_at > 0) /* the next host speaks before the kernel says that it is there */
        loop.gone_at = now_ms() + GONE_AFTER_MS;
    if (n == 0)
        host_left();
    else if (n < 0 && errno == EAGAIN)
        loop.is_readable = false;
    else if (n < 0 && errno != EINTR)
        lose_host();
}

static void take_bytes(void)
{
    size_t n = guest_agent_receive(loop.agent, bytes + loop.begin, loop.end - loop.begin);
    loop.begin += n;
}

/* True when all of it is on its way. What no host will hear is kept: it is thrown away when the
 * next one says HELLO, or when this one is known to be gone. */
static bool flush(void)
{
    if (loop.host < 0 || guest_outbox_is_empty(&loop.agent->outbox))
        return true;
    int failed = loop.agent->is_greeted ? guest_outbox_flush(&loop.agent->outbox, loop.host) : 0;
    if (failed && failed != -EAGAIN)
        lose_host();
    return failed == 0;
}

/* Until nothing can be moved. The answer goes out before the next bytes are asked for. */
static void work(void)
{
    bool is_more = true;
    while (is_more && !loop.has_ended) {
        if (loop.begin == loop.end && loop.is_readable)
            read_host();
        if (loop.begin < loop.end)
            take_bytes();
        is_more = guest_agent_turn(loop.agent);
        bool is_sent = flush();
        is_more = is_sent && (is_more || loop.is_readable || loop.begin < loop.end) &&
                  loop.agent->shutdown == GUEST_NOT_ASKED;
    }
}

/* --- signals --- */

static void on_signal(int number)
{
    static const struct {
        int number, how;
    } asks[] = {
        {SIGINT, GUEST_REBOOT}, /* ctrl-alt-del */
        {SIGTERM, GUEST_REBOOT},
        {SIGUSR1, GUEST_HALT},
        {SIGUSR2, GUEST_POWEROFF},
        {SIGPWR, GUEST_POWEROFF},
        {GLIBC_SIGRTMIN + 4, GUEST_POWEROFF},
        {GLIBC_SIGRTMIN + 5, GUEST_REBOOT},
    };
    for (size_t i = 0; loop.transport->is_init && i < sizeof asks / sizeof *asks; i++)
        if (asks[i].number == number)
            loop.agent->shutdown = asks[i].how;
    if (!loop.transport->is_init && (number == SIGINT || number == SIGTERM))
        loop.has_ended = true;
}

static void reap(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        guest_agent_exited(loop.agent, pid, status);
}

static void read_signals(void)
{
    static struct signalfd_siginfo signals[SIGNALS_MAX];
    ssize_t n;
    do {
        n = read(loop.signals, signals, sizeof signals);
        for (ssize_t i = 0; i < n / (ssize_t)sizeof *signals; i++)
            if (signals[i].ssi_signo != SIGCHLD)
                on_signal((int)signals[i].ssi_signo);
    } while (n == (ssize_t)sizeof signals);
    reap();
}

/* All are blocked, so that none interrupts or ends us; a process gets none blocked (spawn.c). */
static int open_signals(void)
{
    sigset_t all;
    sigfillset(&all);
    if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
        return -errno;
    loop.signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    return loop.signals < 0 ? -errno : watch(loop.signals, EPOLLIN, KEY_SIGNALS);
}

/* --- the power button, which is nobody else's where we are process 1 --- */

static void watch_buttons(void)
{
    loop.n_buttons = guest_button_open(loop.buttons);
    for (unsigned i = 0; i < loop.n_buttons; i++)
        if (watch(loop.buttons[i], EPOLLIN, KEY_BUTTONS) < 0)
            guest_complain("watch", "the power button", errno);
}

static void read_buttons(void)
{
    for (unsigned i = 0; i < loop.n_buttons; i++)
        if (guest_button_was_pressed(loop.buttons[i]))
            loop.agent->shutdown = GUEST_POWEROFF;
}

/* --- */

static void on_host_event(bool is_hung_up)
{
    loop.is_readable = loop.host >= 0;
    if (is_hung_up && is_port())
        expect_host_to_be_gone();
    else
        loop.gone_at = 0;
}

static void on_event(const struct epoll_event *event)
{
    uint32_t key = event->data.u32;
    bool is_hung_up = event->events & (EPOLLHUP | EPOLLERR);
    switch (key) {
    case KEY_HOST:
        on_host_event(is_hung_up);
        break;
    case KEY_SIGNALS:
        read_signals();
        break;
    case KEY_LISTENER:
        accept_host();
        break;
    case KEY_BUTTONS:
        read_buttons();
        break;
    case KEY_ANNOUNCEMENTS:
        if (loop.host < 0 && guest_port_is_announced(loop.announcements))
            look_for_port();
        break;
    default:
        key -= KEY_STREAMS;
        guest_agent_ready(loop.agent, key / GUEST_STREAMS, key % GUEST_STREAMS, is_hung_up);
    }
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path));
    loop.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (loop.listener < 0 || bind(loop.listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(loop.listener, 1) < 0)
        return -errno;
    return watch(loop.listener, EPOLLIN, KEY_LISTENER);
}

static int open_transport(const GuestTransport *transport)
{
    int listens = 0;
    socklen_t size = sizeof listens;
    loop.transport = transport;
    if (transport->fd >= 0)
        getsockopt(transport->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size);
    if (listens) {
        loop.listener = transport->fd;
        return watch(loop.listener, EPOLLIN, KEY_LISTENER);
    }
    if (transport->fd >= 0)
        return take_host(transport->fd);
    if (transport->socket_path)
        return listen_at(transport->socket_path);
    return look_for_port();
}

static int run(void)
{
    struct epoll_event events[EVENTS_MAX];
    work();
    while (!loop.has_ended && loop.agent->shutdown == GUEST_NOT_ASKED) {
        int n = epoll_wait(watcher, events, EVENTS_MAX, patience());
        if (n < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < n; i++)
            on_event(&events[i]);
        work();
    }
    return loop.agent->shutdown;
}

int guest_loop(GuestAgent *agent, const GuestTransport *transport)
{
    loop.agent = agent;
    watcher = epoll_create1(EPOLL_CLOEXEC);
    int failed = watcher < 0 ? -errno : open_signals();
    if (!failed)
        failed = open_transport(transport);
    if (!failed && transport->is_init)
        watch_buttons();
    return failed ? failed : run();
}
