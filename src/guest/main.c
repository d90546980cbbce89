/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead-agent: does inside a guest what the host asks for (guest/protocol.h). As process 1 it is
 * the guest's init too, and never ends.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "guest/facts.h"
#include "guest/files.h"
#include "guest/identity.h"
#include "guest/init.h"
#include "guest/install.h"
#include "guest/loop.h"
#include "guest/network.h"
#include "guest/power.h"
#include "guest/root.h"
#include "guest/spawn.h"
#include "guest/text.h"

#define EXIT_USAGE 2

static void signal_group(pid_t pid, int number)
{
    kill(-pid, number);
}

static int shut_down(GuestShutdownHow how)
{
    return getpid() == 1 ? GUEST_LOOP_ENDS : guest_power_ask(how);
}

/* Over a socket it serves tests: the machine is not theirs to end. */
static int refuse_to_shut_down(GuestShutdownHow how)
{
    return -EPERM;
}

static void settle(void)
{
    guest_spawn_own_pages();
    guest_network_keep();
}

static GuestOps ops = {
    .spawn = guest_spawn,
    .sync = guest_spawn_sync,
    .settle = settle,
    .signal = signal_group,
    .watch = guest_loop_watch,
    .upload = guest_upload,
    .upload_end = guest_upload_end,
    .download = guest_download,
    .set_clock = guest_set_clock,
    .renew = guest_renew,
    .memory = guest_memory,
    .network = guest_network_list,
    .shutdown = shut_down,
};

static GuestAgent agent;

static int say(int fd, const char *text, int code)
{
    return write(fd, text, strlen(text)) < 0 ? 1 : code;
}

static int usage(int fd, int code)
{
    return say(fd,
               "Usage: stead-agent [--port NAME | --socket PATH | --fd N]\n"
               "Does inside a guest what the host asks for.\n"
               "  --port NAME    the virtio port to the host; " GUEST_PORT_NAME "\n"
               "  --socket PATH  listens there instead, for one host after the other\n"
               "  --fd N         a socket that is open already: a connection, or one that listens\n"
               "  --install DIR  only puts itself and its systemd unit below DIR, which is /run\n"
               "  --version      only print the version\n",
               code);
}

static int install(const char *folder)
{
    const char *what;
    int failed = guest_install(folder, &what);
    if (failed)
        guest_complain("install: cannot", what, failed);
    return failed ? 1 : -1;
}

/* 0, or what is wrong with them: EXIT_USAGE; or -1 when there is nothing left to do. */
static int read_options(int argc, char **argv, GuestTransport *transport)
{
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        uint64_t number;
        if (strcmp(argv[i], "--version") == 0)
            return say(STDOUT_FILENO, "stead-agent " STEAD_VERSION "\n", -1);
        if (strcmp(argv[i], "--help") == 0)
            return usage(STDOUT_FILENO, -1);
        if (strcmp(argv[i], "--install") == 0 && value)
            return install(value);
        if (strcmp(argv[i], "--port") == 0 && value)
            transport->port = value;
        else if (strcmp(argv[i], "--socket") == 0 && value)
            transport->socket_path = value;
        else if (strcmp(argv[i], "--fd") == 0 && value && guest_number(value, &number) &&
                 number <= INT32_MAX)
            transport->fd = (int)number;
        else
            return usage(STDERR_FILENO, EXIT_USAGE);
    }
    return 0;
}

/* What the kernel's command line has for others comes as our arguments: they are not looked at. */
static _Noreturn void run_as_init(GuestTransport *transport)
{
    transport->is_init = true;
    guest_init_system();
    const char *what;
    int not_entered = guest_root_enter(&what);
    if (not_entered)
        guest_complain("cannot", what, not_entered);
    guest_init_told();
    guest_boot_script();
    guest_agent_init(&agent, &ops, GUEST_AGENT_IS_INIT);
    int how = guest_loop(&agent, transport);
    if (how < 0)
        guest_complain("cannot serve the host", "", how);
    int failed = guest_power_end(how < 0 ? GUEST_POWEROFF : (GuestShutdownHow)how);
    guest_complain("cannot end the machine", "", failed);
    for (;;)
        pause();
}

static int run_as_service(const GuestTransport *transport)
{
    if (transport->fd >= 0 || transport->socket_path)
        ops.shutdown = refuse_to_shut_down;
    guest_init_descriptors();
    guest_agent_init(&agent, &ops, guest_is_systemd() ? GUEST_AGENT_SYSTEMD : 0);
    int result = guest_loop(&agent, transport);
    guest_agent_hang_up(&agent);
    if (result < GUEST_NOT_ASKED)
        guest_complain("cannot serve the host", "", result);
    return result < GUEST_NOT_ASKED ? 1 : 0;
}

int main(int argc, char **argv)
{
    GuestTransport transport = {.port = GUEST_PORT_NAME, .fd = -1};
    if (getpid() == 1)
        run_as_init(&transport);
    int wrong = read_options(argc, argv, &transport);
    if (wrong)
        return wrong < 0 ? 0 : wrong;
    return run_as_service(&transport);
}
