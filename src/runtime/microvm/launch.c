/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting an engine: everything that it will use is opened here, by the daemon, and handed over as
 * open descriptors. The engine itself becomes an unprivileged user between fork and exec, may never
 * gain privileges again, and runs in QEMU's seccomp sandbox.
 *
 * The sockets are listening before it runs, so that whoever connects early waits in their queue and
 * not in a loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/detached.h"
#include "base/error.h"
#include "base/subprocess.h"
#include "net/tap.h"
#include "runtime/microvm/internal.h"
#include "runtime/microvm/qemu_args.h"
#include "runtime/microvm/tsc.h"

#define QEMU "qemu-system-x86_64"
#define FIRST_FD 3
#define BACKLOG 1
/* What is read of an engine's last words, in bytes. */
#define WORDS_MAX 4096

/* The user that libvirt's QEMU has, and where there is none, nobody. */
#define ENGINE_USER "libvirt-qemu"
#define NOBODY_ID 65534

/* The descriptors that an engine gets, in the order of their numbers. */
typedef struct {
    GArray *fds; /* int; closed with it */
    SteadQemuFds numbers;
    int state; /* of a frozen machine, which is handed over once it asks; -1 */
} Handover;

static void close_fd(gpointer fd)
{
    stead_clear_fd(fd);
}

static void handover_init(Handover *handover)
{
    handover->state = -1;
    handover->fds = g_array_new(FALSE, FALSE, sizeof(int));
    g_array_set_clear_func(handover->fds, close_fd);
    handover->numbers = (SteadQemuFds){.qmp = -1,
                                       .console = -1,
                                       .agent = -1,
                                       .log = -1,
                                       .memory = -1,
                                       .seed = -1,
                                       .disks = g_array_new(FALSE, FALSE, sizeof(int)),
                                       .taps = g_array_new(FALSE, FALSE, sizeof(int))};
}

static void handover_clear(Handover *handover)
{
    stead_clear_fd(&handover->state);
    g_array_unref(handover->fds);
    g_array_unref(handover->numbers.disks);
    g_array_unref(handover->numbers.taps);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Handover, handover_clear)

/* Takes a descriptor over; its number in the engine. */
static int hand_over(Handover *handover, int fd)
{
    g_array_append_val(handover->fds, fd);
    return FIRST_FD + (int)handover->fds->len - 1;
}

static gboolean fail(GError **error, const char *doing, const char *path)
{
    int saved = errno;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "%s %s: %s", doing, path,
                g_strerror(saved));
    return FALSE;
}

/* ---- what is opened ---- */

static gboolean listen_at(Handover *handover, const char *dir, const char *name, int *number,
                          GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_autofree char *path = g_build_filename(dir, name, NULL);
    stead_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (g_strlcpy(address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path)
        errno = ENAMETOOLONG;
    else if (fd >= 0 && (unlink(path) == 0 || errno == ENOENT) &&
             bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && chmod(path, 0600) == 0 &&
             listen(fd, BACKLOG) == 0) {
        *number = hand_over(handover, stead_steal_fd(&fd));
        return TRUE;
    }
    return fail(error, "listening at", path);
}

static gboolean open_file(Handover *handover, const char *path, int flags, int *number,
                          GError **error)
{
    int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return fail(error, "opening", path);
    *number = hand_over(handover, fd);
    return TRUE;
}

static gboolean open_disk(Handover *handover, const SteadMachineDisk *disk, GError **error)
{
    int number;
    if (!open_file(handover, disk->path, disk->read_only ? O_RDONLY : O_RDWR, &number, error))
        return FALSE;
    g_array_append_val(handover->numbers.disks, number);
    for (guint i = 0; disk->backing && disk->backing[i]; i++) {
        if (!open_file(handover, disk->backing[i], O_RDONLY, &number, error))
            return FALSE;
        g_array_append_val(handover->numbers.disks, number);
    }
    return TRUE;
}

static gboolean open_disks(Handover *handover, const SteadMachine *machine, GError **error)
{
    for (guint i = 0; i < machine->disks->len; i++)
        if (!open_disk(handover, machine->disks->pdata[i], error))
            return FALSE;
    return machine->seed == NULL ||
           open_file(handover, machine->seed, O_RDONLY, &handover->numbers.seed, error);
}

/* One that goes on from a frozen machine still believes to be that one: it is let into its networks
 * once it was renewed. */
static gboolean open_taps(Handover *handover, const SteadMachine *machine, GError **error)
{
    for (guint i = 0; i < machine->nics->len; i++) {
        const SteadMachineNic *nic = machine->nics->pdata[i];
        int fd = stead_tap_open(machine->frozen && !machine->itself ? NULL : nic->bridge,
                                machine->id, i, error);
        if (fd < 0)
            return FALSE;
        int number = hand_over(handover, fd);
        g_array_append_val(handover->numbers.taps, number);
    }
    return TRUE;
}

static gboolean open_frozen(Handover *handover, SteadMicrovm *microvm, const SteadMachine *machine,
                            GError **error)
{
    int memory = -1;
    if (machine->frozen == NULL)
        return TRUE;
    if (!stead_frozen_open(microvm->frozen, machine->frozen, &memory, &handover->state, error))
        return FALSE;
    handover->numbers.memory = hand_over(handover, memory);
    return TRUE;
}

static gboolean open_all(Handover *handover, SteadMicrovm *microvm, const SteadMachine *machine,
                         GError **error)
{
    SteadQemuFds *numbers = &handover->numbers;
    g_autofree char *log = g_build_filename(machine->dir, "console.log", NULL);
    return listen_at(handover, machine->run_dir, "qmp.sock", &numbers->qmp, error) &&
           listen_at(handover, machine->run_dir, "console.sock", &numbers->console, error) &&
           listen_at(handover, machine->run_dir, "agent.sock", &numbers->agent, error) &&
           open_file(handover, log, O_WRONLY | O_CREAT | O_APPEND, &numbers->log, error) &&
           open_frozen(handover, microvm, machine, error) && open_disks(handover, machine, error) &&
           open_taps(handover, machine, error);
}

/* ---- the process ---- */

typedef struct {
    gboolean drop; /* become the unprivileged user */
    uid_t uid;
    gid_t gid;
    gid_t kvm; /* the group that may open /dev/kvm; 0: none */
} Confinement;

static Confinement find_confinement(const SteadMachine *machine)
{
    char buffer[1024];
    struct passwd entry, *found = NULL;
    struct stat device;
    Confinement confinement = {.drop = geteuid() == 0, .uid = NOBODY_ID, .gid = NOBODY_ID};
    if (getpwnam_r(ENGINE_USER, &entry, buffer, sizeof buffer, &found) == 0 && found) {
        confinement.uid = found->pw_uid;
        confinement.gid = found->pw_gid;
    }
    if (g_str_equal(machine->accel, "kvm") && stat("/dev/kvm", &device) == 0)
        confinement.kvm = device.st_gid;
    return confinement;
}

/* Between fork and exec. Huge pages would make a page that a guest touches into five hundred. */
static gboolean confine(gpointer data)
{
    const Confinement *confinement = data;
    const struct rlimit no_core = {0, 0};
    if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &no_core) != 0)
        return FALSE;
    if (confinement->drop &&
        (setgroups(confinement->kvm ? 1 : 0, &confinement->kvm) != 0 ||
         setresgid(confinement->gid, confinement->gid, confinement->gid) != 0 ||
         setresuid(confinement->uid, confinement->uid, confinement->uid) != 0))
        return FALSE;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

char *stead_microvm_last_words(const SteadMicrovm *microvm, const char *id)
{
    char text[WORDS_MAX + 1];
    g_autofree char *path = stead_microvm_path(microvm, id, "engine.log");
    stead_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    ssize_t n = size > 0 ? pread(fd, text, WORDS_MAX, MAX(0, size - WORDS_MAX)) : 0;
    text[MAX(0, n)] = '\0';
    g_autofree char *clean = g_utf8_make_valid(g_strstrip(text), -1);
    const char *line = strrchr(clean, '\n');
    return g_strdup(*clean == '\0' ? "it gave no reason" : line ? line + 1 : clean);
}

static gboolean spawn(SteadMicrovm *microvm, const SteadMachine *machine, const Handover *handover,
                      GError **error)
{
    g_autofree char *program = NULL;
    if (!stead_find_program(QEMU, &program)) {
        stead_set_error(error, STEAD_ERROR_MISSING, "Install it: apt install qemu-system-x86",
                        "the program %s is not installed", QEMU);
        return FALSE;
    }
    SteadQemuFds numbers = handover->numbers;
    numbers.tsc_khz = g_str_equal(machine->accel, "tcg") ? stead_tsc_khz() : 0;
    g_auto(GStrv) args = stead_qemu_args(program, machine, &numbers);
    g_autofree char *record = g_build_filename(machine->run_dir, "engine.pid", NULL);
    g_autofree char *log = g_build_filename(machine->run_dir, "engine.log", NULL);
    Confinement confinement = find_confinement(machine);
    const SteadDetachedOptions options = {.record = record,
                                          .argv = (const char *const *)args,
                                          .log = log,
                                          .fds = (const int *)(gpointer)handover->fds->data,
                                          .n_fds = handover->fds->len,
                                          .setup = confine,
                                          .data = &confinement};
    return stead_detached_start(&options, error);
}

/* An engine that is up answers, and takes the state that it goes on from; one that ends before has
 * said why. */
static gboolean await_up(SteadMicrovm *microvm, const SteadMachine *machine, int state,
                         GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(SteadMonitor) monitor = stead_monitor_attach(microvm, machine->id, &why);
    if (monitor && (state < 0 || stead_monitor_thaw(monitor, state, &why))) {
        stead_monitor_tell(monitor);
        return TRUE;
    }
    if (why && !g_error_matches(why, STEAD_ERROR, STEAD_ERROR_UNAVAILABLE)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    g_autofree char *words = stead_microvm_last_words(microvm, machine->id);
    stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "its engine did not start: %s", words);
    return FALSE;
}

gboolean stead_microvm_launch(SteadMicrovm *microvm, const SteadMachine *machine, GError **error)
{
    g_auto(Handover) handover;
    handover_init(&handover);
    if (!open_all(&handover, microvm, machine, error) || !spawn(microvm, machine, &handover, error))
        return FALSE;
    /* From here on the engine alone has its sockets: should it end, they are closed. */
    g_array_set_size(handover.fds, 0);
    if (await_up(microvm, machine, handover.state, error))
        return TRUE;
    g_autofree char *record = g_build_filename(machine->run_dir, "engine.pid", NULL);
    stead_detached_end(record, TRUE, NULL);
    return FALSE;
}
