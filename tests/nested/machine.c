/* SPDX-License-Identifier: Apache-2.0 */
/* See machine.h. */
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define ARGUMENTS_MAX 48
#define FOLDER "/tmp/run"
#define JAILED 65534
#define TAP_MAC "52:54:00:99:99:99" /* a clone knows its gateway by it */
#define CONNECT_SECONDS 10
#define COMMAND_SECONDS 60

double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

typedef struct {
    char *words[ARGUMENTS_MAX];
    int n;
} Arguments;

static void add(Arguments *arguments, const char *word)
{
    EXPECT(arguments->n < ARGUMENTS_MAX - 1, "too many arguments");
    arguments->words[arguments->n++] = strdup(word);
    arguments->words[arguments->n] = NULL;
}

static void add_fd(Arguments *arguments, const char *option, const char *format, int fd)
{
    char value[128];
    EXPECT(fd >= 0, "%s: %s", option, strerror(errno));
    add(arguments, option);
    snprintf(value, sizeof value, "%s%d", format, fd);
    add(arguments, value);
}

/* Descriptors without close-on-exec: the child keeps all of them. */
static int open_for_child(const char *path, int flags)
{
    return open(path, flags, 0600);
}

static void socket_address(struct sockaddr_un *address, const char *machine, const char *name)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path, sizeof address->sun_path, FOLDER "/%s.%s", machine, name);
}

static int listener(const char *machine, const char *name)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    socket_address(&address, machine, name);
    unlink(address.sun_path);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 4) < 0)
        fail("%s: %s", address.sun_path, strerror(errno));
    return fd;
}

const char *machine_socket(const char *name)
{
    char *text = NULL;
    EXPECT(asprintf(&text, "fd=%d", listener(name, "socket")) > 0, "no memory");
    return text;
}

static int log_folder(const char *machine)
{
    char path[64];
    snprintf(path, sizeof path, FOLDER "/%s.log", machine);
    mkdir(path, 0755);
    EXPECT(chown(path, JAILED, JAILED) == 0, "%s: %s", path, strerror(errno));
    return open_for_child(path, O_RDONLY | O_DIRECTORY);
}

static void run_shell(const char *command)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/busybox", "sh", "-c", command, NULL);
        _exit(127);
    }
    EXPECT(child > 0 && waitpid(child, &status, 0) == child && status == 0, "%s", command);
}

static int tap(const char *name, const char *address)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int size = 12;
    char command[256];
    int fd = open_for_child("/dev/net/tun", O_RDWR);
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
        fail("tap %s: %s", name, strerror(errno));
    snprintf(command, sizeof command,
             "busybox ip link set %s address " TAP_MAC " up && busybox ip addr add %s dev %s", name,
             address, name);
    run_shell(command);
    return fd;
}

static void add_memory(Arguments *arguments, const MachineOptions *options)
{
    char value[64];
    int fd = open_for_child(options->memory, O_RDWR | O_CREAT);
    if (!options->is_private)
        EXPECT(ftruncate(fd, (off_t)options->memory_size) == 0, "%s", options->memory);
    snprintf(value, sizeof value, "%lluM,fd=%d%s", (unsigned long long)options->memory_size >> 20,
             fd, options->is_private ? ",private" : "");
    add(arguments, "--memory");
    add(arguments, value);
}

static void add_devices(Arguments *arguments, const MachineOptions *options)
{
    char value[64];
    if (options->disk && options->disk_base) {
        snprintf(value, sizeof value, "format=%s,serial=disk0,fd=%d,base-fd=", options->disk_format,
                 open_for_child(options->disk, O_RDWR));
        add_fd(arguments, "--disk", value, open_for_child(options->disk_base, O_RDONLY));
    } else if (options->disk) {
        snprintf(value, sizeof value,
                 "format=%s,serial=disk0,fd=", options->disk_format ? options->disk_format : "raw");
        add_fd(arguments, "--disk", value, open_for_child(options->disk, O_RDWR));
    }
    if (options->address)
        add_fd(arguments, "--net",
               "mac=52:54:00:00:00:01,fd=", tap(options->name, options->address));
    add_fd(arguments, "--agent", "fd=", listener(options->name, "agent"));
    add_fd(arguments, "--console", "fd=", listener(options->name, "console"));
    add_fd(arguments, "--serial", "fd=", listener(options->name, "serial"));
    add_fd(arguments, "--qmp", "fd=", listener(options->name, "qmp"));
    add_fd(arguments, "--log", "fd=", log_folder(options->name));
    add(arguments, "--rng");
    add(arguments, "--balloon");
}

static void add_kernel(Arguments *arguments, const MachineOptions *options)
{
    if (options->kernel) {
        add_fd(arguments, "--kernel", "fd=", open_for_child(options->kernel, O_RDONLY));
        add_fd(arguments, "--initrd", "fd=", open_for_child(options->initrd, O_RDONLY));
        add(arguments, "--cmdline");
        add(arguments, options->command_line);
    }
    if (options->state)
        add_fd(arguments, "--restore", "fd=", open_for_child(options->state, O_RDONLY));
}

static pid_t read_pid(const char *path)
{
    char text[16] = "";
    int fd = open(path, O_RDONLY);
    for (double end = now() + CONNECT_SECONDS; now() < end && text[0] == '\0';) {
        EXPECT(pread(fd, text, sizeof text - 1, 0) >= 0, "%s: %s", path, strerror(errno));
        poll(NULL, 0, 1);
    }
    close(fd);
    return (pid_t)atoi(text);
}

static int connect_to(const char *machine, const char *name)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socket_address(&address, machine, name);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("%s: %s", address.sun_path, strerror(errno));
    return fd;
}

void machine_start(Machine *machine, const MachineOptions *options)
{
    Arguments arguments = {.n = 0};
    char value[16], pid_path[64];
    *machine = (Machine){.name = options->name, .qmp = -1, .agent = -1};
    mkdir(FOLDER, 0755);
    snprintf(pid_path, sizeof pid_path, FOLDER "/%s.pid", options->name);
    unlink(pid_path);
    close(open(pid_path, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    machine->started = now();
    machine->child = fork();
    if (machine->child == 0) {
        const gid_t groups[] = {1, 2}; /* to be lost in the jail */
        if (setjmp(check_failed) != 0 || setgroups(2, groups) < 0)
            _exit(126);
        add(&arguments, "/bin/stead-vmm");
        add_memory(&arguments, options);
        snprintf(value, sizeof value, "%u", options->cpus);
        add(&arguments, "--cpus");
        add(&arguments, value);
        add_devices(&arguments, options);
        add_kernel(&arguments, options);
        add_fd(&arguments, "--pid", "fd=", open_for_child(pid_path, O_RDWR));
        execv(arguments.words[0], arguments.words);
        _exit(127);
    }
    machine->pid = read_pid(pid_path);
    machine->qmp = connect_to(options->name, "qmp");
    machine->agent = connect_to(options->name, "agent");
    machine_command(machine, "{\"execute\": \"qmp_capabilities\"}");
}

/* A line of a stream, without its end. */
static bool read_line(int fd, char *line, size_t room, double deadline)
{
    size_t used = 0;
    while (used < room - 1) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int left = (int)((deadline - now()) * 1000);
        if (left <= 0 || poll(&wait, 1, left) <= 0 || read(fd, line + used, 1) != 1)
            break;
        if (line[used] == '\n') {
            line[used] = '\0';
            return true;
        }
        used++;
    }
    line[used] = '\0';
    return false;
}

static void keep_event(Machine *machine, const char *line)
{
    size_t used = strlen(machine->events);
    snprintf(machine->events + used, sizeof machine->events - used, "%s\n", line);
}

const char *machine_command(Machine *machine, const char *text)
{
    static char line[ANSWER_MAX];
    double deadline = now() + COMMAND_SECONDS;
    EXPECT(send(machine->qmp, text, strlen(text), MSG_NOSIGNAL) > 0, "%s: %s", text,
           strerror(errno));
    while (read_line(machine->qmp, line, sizeof line, deadline)) {
        if (strstr(line, "\"event\""))
            keep_event(machine, line);
        else if (strstr(line, "\"QMP\"") == NULL)
            return line;
    }
    fail("no answer to %s", text);
}

void machine_send_fd(Machine *machine, const char *name, int fd)
{
    char text[128];
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    int n = snprintf(text, sizeof text,
                     "{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"%s\"}}", name);
    struct iovec part = {text, 1};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control,
    };
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    EXPECT(n > 0 && sendmsg(machine->qmp, &message, MSG_NOSIGNAL) == 1, "getfd");
    const char *answer = machine_command(machine, text + 1);
    EXPECT(strstr(answer, "\"return\""), "getfd: %s", answer);
}

void machine_wait_event(Machine *machine, const char *name, double seconds)
{
    char line[ANSWER_MAX];
    double deadline = now() + seconds;
    while (strstr(machine->events, name) == NULL) {
        if (!read_line(machine->qmp, line, sizeof line, deadline))
            fail("no event %s; there were: %s", name, machine->events);
        keep_event(machine, line);
    }
}

void machine_say(Machine *machine, const char *command)
{
    char line[1024];
    snprintf(line, sizeof line, "%s\n", command);
    EXPECT(send(machine->agent, line, strlen(line), MSG_NOSIGNAL) > 0, "agent: %s",
           strerror(errno));
}

/* The guest answers a line with output and "<code>" on a line of its own. */
const char *machine_shell(Machine *machine, const char *command, int *code, double seconds)
{
    static char output[ANSWER_MAX];
    char line[1024];
    size_t used = 0;
    double deadline = now() + seconds;
    int ignored;
    output[0] = '\0';
    machine_say(machine, command);
    while (read_line(machine->agent, line, sizeof line, deadline)) {
        if (sscanf(line, "<%d>", code ? code : &ignored) == 1)
            return output;
        used += (size_t)snprintf(output + used, sizeof output - used, "%s\n", line);
        if (used >= sizeof output)
            used = sizeof output - 1;
    }
    fail("the guest does not answer '%s'; output so far: %s", command, output);
}

int machine_wait(Machine *machine, double seconds)
{
    int status = 0;
    for (double end = now() + seconds; now() < end; poll(NULL, 0, 5)) {
        if (waitpid(machine->child, &status, WNOHANG) == machine->child) {
            machine->child = 0;
            return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        }
    }
    fail("%s does not end", machine->name);
}

void machine_kill(Machine *machine)
{
    if (machine->qmp >= 0)
        close(machine->qmp);
    if (machine->agent >= 0)
        close(machine->agent);
    machine->qmp = machine->agent = -1;
    if (machine->child > 0) {
        kill(machine->child, SIGKILL);
        waitpid(machine->child, NULL, 0);
    }
    machine->child = 0;
}

bool machine_log_has(const Machine *machine, const char *text)
{
    char path[64];
    static char content[1 << 20];
    snprintf(path, sizeof path, FOLDER "/%s.log/console.log", machine->name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, content, sizeof content - 1);
    close(fd);
    content[n < 0 ? 0 : n] = '\0';
    return strstr(content, text);
}
