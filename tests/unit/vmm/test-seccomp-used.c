/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A monitor at work uses all of its list of system calls: each call in each kind of thread that has
 * it, with each value that its argument may have. Devices work by themselves (seccomp-devices.c),
 * and the program runs under ptrace with a guest, clients and snapshots. Only a plain build tells:
 * a sanitizer makes calls of its own.
 */
#include <fcntl.h>
#include <glib.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "elf-kernel.h"
#include "seccomp-devices.h"
#include "seccomp-trace.h"
#include "state-edit.h"
#include "tool.h"
#include "vmm/jail.h"

#define BEGIN "{\"execute\": \"qmp_capabilities\"}"
#define MEMORY (8 << 20)
#define ANSWER_MAX 4096
#define EXIT_FAILED 1
#define ENDED_INSIDE 7
#define NOT_JAILED 8

extern const uint8_t guest_pvh_work[], guest_pvh_work_end[];
extern const uint8_t guest_pvh_flood[], guest_pvh_flood_end[];

static const char *program;

/* --- descriptors of the program --- */

typedef struct {
    const Folder *folder;
    int qmp, serial, log, kernel, memory, state;
    int net[2];
} Files;

static int listener(const Folder *folder, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    g_snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", folder->path, name);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    return fd;
}

static int connection(const Files *files, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", files->folder->path, name);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    return fd;
}

static void open_files(Files *files, const Folder *folder)
{
    *files = (Files){
        .folder = folder,
        .qmp = listener(folder, "qmp"),
        .serial = listener(folder, "serial"),
        .log = open(folder->path, O_RDONLY | O_DIRECTORY),
        .kernel = -1,
        .memory = memfd_create("memory", 0),
        .state = memfd_create("state", 0),
    };
    g_assert_cmpint(ftruncate(files->memory, MEMORY), ==, 0);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_DGRAM, 0, files->net), ==, 0);
}

static void close_files(const Files *files)
{
    const int all[] = {files->qmp,    files->serial, files->log,    files->kernel,
                       files->memory, files->state,  files->net[0], files->net[1]};
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
        close(all[i]);
}

/* --- control --- */

/* Sends a command, with a descriptor unless it is -1, and waits until that word was said. */
static void command_until(int qmp, const char *text, int fd, const char *word)
{
    char answer[ANSWER_MAX] = "";
    size_t used = 0;
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec part = {(char *)text, strlen(text)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
    }
    g_assert_cmpint(sendmsg(qmp, &message, MSG_NOSIGNAL), >, 0);
    while (!strstr(answer, word)) {
        ssize_t n = recv(qmp, answer + used, sizeof answer - used - 1, 0);
        g_assert_cmpint(n, >, 0);
        used += (size_t)n;
        answer[used] = '\0';
        if (strstr(answer, "\"error\""))
            g_error("%s: %s", text, answer);
    }
}

static void command(int qmp, const char *text)
{
    command_until(qmp, text, -1, "\"return\"");
}

static void give(int qmp, const char *name, int fd)
{
    g_autofree char *text =
        g_strdup_printf("{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"%s\"}}", name);
    command_until(qmp, text, fd, "\"return\"");
}

/* The guest sees it, lets go of the line, and tells by its balloon. */
static void press_power(int qmp)
{
    command_until(qmp, "{\"execute\": \"system_powerdown\"}", -1, "BALLOON_CHANGE");
}

/* --- two days' work --- */

/* Clients, the power button, a pause, a snapshot, a reset, the end. */
static gpointer work_first(gpointer data)
{
    const Files *files = data;
    char output[8192];
    int qmp = connection(files, "qmp"), serial = connection(files, "serial");
    command(qmp, BEGIN);
    g_assert_cmpint(send(serial, "hello", 5, 0), ==, 5);
    for (size_t got = 0; got < sizeof output;)
        got += (size_t)recv(serial, output, sizeof output, 0);
    press_power(qmp);
    command(qmp, "{\"execute\": \"stop\"}");
    give(qmp, "s", files->state);
    command(qmp, "{\"execute\": \"snapshot-save\", \"arguments\": {\"state\": \"s\"}}");
    command(qmp, "{\"execute\": \"cont\"}");
    close(serial);
    command(qmp, "{\"execute\": \"system_reset\"}");
    command(qmp, "{\"execute\": \"quit\"}");
    close(qmp);
    return NULL;
}

/* As if it came from a host whose CPU counts a little faster. */
static void change_frequency(int state)
{
    guint32 khz;
    g_autoptr(GByteArray) bytes = state_read(state);
    guint8 *at = state_section(bytes, "vcpu");
    memcpy(&khz, at, sizeof khz);
    khz = GUINT32_TO_LE(GUINT32_FROM_LE(khz) + 1);
    memcpy(at, &khz, sizeof khz);
    state_mend(bytes);
    g_assert_cmpint(pwrite(state, bytes->data, bytes->len, 0), ==, bytes->len);
}

/* Another machine goes on from the snapshot, and is saved in turn; its guest goes astray when the
 * button is pressed once more. */
static gpointer work_second(gpointer data)
{
    const Files *files = data;
    int qmp = connection(files, "qmp");
    int state = memfd_create("state", MFD_CLOEXEC), memory = memfd_create("memory", MFD_CLOEXEC);
    change_frequency(files->state);
    command(qmp, BEGIN);
    give(qmp, "s", files->state);
    command(qmp, "{\"execute\": \"snapshot-load\", \"arguments\": {\"state\": \"s\"}}");
    command(qmp, "{\"execute\": \"cont\"}");
    give(qmp, "s", state);
    give(qmp, "m", memory);
    command(qmp, "{\"execute\": \"snapshot-save\", \"arguments\": {\"state\": \"s\", "
                 "\"memory\": \"m\"}}");
    press_power(qmp);
    close(qmp);
    close(state);
    close(memory);
    return NULL;
}

/* The devices of both are the same. */
static void run_program(const Files *files, gboolean is_second, gboolean is_traced)
{
    g_autofree char *line = g_strdup_printf(
        "%s --no-jail --memory 8M,fd=%d%s %s --qmp fd=%d --serial fd=%d "
        "--log fd=%d,size=4096,backups=2 --net fd=%d,mac=52:54:00:00:00:01 --balloon",
        program, files->memory, is_second ? ",private" : "", is_second ? "--incoming" : "--cpus 1",
        files->qmp, files->serial, files->log, files->net[0]);
    g_autoptr(GStrvBuilder) words = g_strv_builder_new();
    g_auto(GStrv) most = g_strsplit(line, " ", -1);
    g_strv_builder_addv(words, (const char **)most);
    if (!is_second) {
        g_autofree char *kernel = g_strdup_printf("fd=%d", files->kernel);
        g_autofree char *initrd = g_strdup_printf("fd=%d", memfd_create("initrd", 0));
        g_strv_builder_add_many(words, "--kernel", kernel, "--initrd", initrd, NULL);
    }
    g_auto(GStrv) argv = g_strv_builder_end(words);
    if (is_traced)
        trace_me();
    execv(program, argv);
    _exit(127);
}

static int work(Trace *trace, Files *files, gboolean is_second)
{
    pid_t child = fork();
    if (child == 0)
        run_program(files, is_second, TRUE);
    GThread *worker = g_thread_new("work", is_second ? work_second : work_first, files);
    int status = trace_follow(trace, child);
    g_thread_join(worker);
    g_assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The process that waits for another one, which ends without a word that it runs. */
static int wait_outside(Trace *trace)
{
    static const VmmJailOptions options = {.no_jail = true, .daemonize = true, .pid_fd = -1};
    pid_t child = fork();
    if (child == 0) {
        VmmJail jail;
        VmmError error;
        trace_me();
        if (vmm_jail_enter(&jail, &options, &error))
            _exit(NOT_JAILED);
        _exit(jail.is_inside ? ENDED_INSIDE : jail.exit_code);
    }
    int status = trace_follow(trace, child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* --- what was used --- */

static gboolean has_uring(void)
{
    struct io_uring_params parameters = {0};
    int ring = (int)syscall(SYS_io_uring_setup, 1, &parameters);
    if (ring >= 0)
        close(ring);
    return ring >= 0;
}

/* Whether it is, or need not be. */
static gboolean is_fine(const Trace *trace, size_t i, unsigned kind, unsigned n)
{
    const VmmCall *call = &vmm_calls[i];
    const VmmCallValue *value = call->check == VMM_CALL_ONE_OF ? &call->values[n] : NULL;
    gboolean is_rare = call->is_rare || (value && value->is_rare) ||
                       (call->number == SYS_io_uring_enter && !has_uring());
    if (trace->used[i][kind] >> n & 1)
        return TRUE;
    g_test_message("%s: %s %s was not used%s", trace_kind_names[kind], call->name,
                   value ? value->name : "", is_rare ? ", as it may be" : "");
    return is_rare;
}

static gboolean is_call_fine(const Trace *trace, size_t i, unsigned kind)
{
    gboolean all = TRUE;
    unsigned n = 0;
    if (vmm_calls[i].check != VMM_CALL_ONE_OF)
        return is_fine(trace, i, kind, 0);
    for (; vmm_calls[i].values[n].name; n++)
        all = is_fine(trace, i, kind, n) && all;
    return all;
}

static void expect_all_used(const Trace *trace)
{
    gboolean all = TRUE;
    for (size_t i = 0; i < vmm_n_calls; i++)
        for (unsigned kind = 0; kind < TRACE_KINDS; kind++)
            if (vmm_calls[i].threads & trace_kinds[kind])
                all = is_call_fine(trace, i, kind) && all;
    g_assert_true(all);
}

static void test_a_monitor_at_work_uses_the_list(void)
{
    Trace trace;
    Files files;
    if (access("/dev/kvm", R_OK | W_OK) != 0) {
        g_test_skip("no /dev/kvm");
        return;
    }
    if (!has_qemu_img())
        return;
    g_autoptr(Folder) folder = folder_new();
    g_assert_cmpint(run("qemu-img create -q -f qcow2 %s/qcow2 1M", folder->path), ==, 0);
    trace_init(&trace);
    pid_t child = fork();
    if (child == 0)
        devices_work(folder->path);
    int status = trace_follow(&trace, child);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, DEVICES_WELL);
    g_assert_cmpuint(trace.n_sealed, ==, DEVICES_SEALED);
    open_files(&files, folder);
    files.kernel = elf_kernel(guest_pvh_work, guest_pvh_work_end, TRUE, 0);
    g_assert_cmpint(work(&trace, &files, FALSE), ==, 0);
    g_assert_cmpint(work(&trace, &files, TRUE), ==, EXIT_FAILED);
    g_assert_cmpint(wait_outside(&trace), ==, ENDED_INSIDE);
    expect_all_used(&trace);
    close_files(&files);
}

/* --- what a guest must not bring about --- */

/* The thread of a vCPU, which may close nothing, finds that a client does not read what a guest
 * brings about: the next one is served, and the guest runs on. */
static void test_a_client_that_does_not_read_is_hung_up_on(void)
{
    Files files;
    char greeting[ANSWER_MAX] = "";
    int status;
    if (access("/dev/kvm", R_OK | W_OK) != 0) {
        g_test_skip("no /dev/kvm");
        return;
    }
    g_autoptr(Folder) folder = folder_new();
    open_files(&files, folder);
    files.kernel = elf_kernel(guest_pvh_flood, guest_pvh_flood_end, TRUE, 0);
    pid_t child = fork();
    if (child == 0)
        run_program(&files, FALSE, FALSE);
    int slow = connection(&files, "qmp"), next = connection(&files, "qmp");
    close_files(&files); /* who waits for a program that is gone is told */
    g_assert_cmpint(send(slow, BEGIN, strlen(BEGIN), MSG_NOSIGNAL), >, 0);
    g_assert_cmpint(recv(next, greeting, sizeof greeting - 1, 0), >, 0);
    g_assert_nonnull(strstr(greeting, "\"QMP\""));
    kill(child, SIGKILL);
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFSIGNALED(status));
    g_assert_cmpint(WTERMSIG(status), ==, SIGKILL);
    close(slow);
    close(next);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    program = argv[1];
    g_test_add_func("/vmm/seccomp/all-used", test_a_monitor_at_work_uses_the_list);
    g_test_add_func("/vmm/seccomp/slow-client", test_a_client_that_does_not_read_is_hung_up_on);
    return g_test_run();
}
