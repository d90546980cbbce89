/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, in an order that does not matter but is always the same: the numbers are its places. */
#include "runtime/microvm/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/tap.h"

#define BACKLOG 1

static void close_fd(gpointer fd)
{
    stead_clear_fd(fd);
}

static void init(SteadHandover *handover)
{
    handover->state = handover->said = -1;
    handover->fds = g_array_new(FALSE, FALSE, sizeof(int));
    g_array_set_clear_func(handover->fds, close_fd);
    handover->numbers = (SteadEngineFds){.qmp = -1,
                                         .console = -1,
                                         .agent = -1,
                                         .log = -1,
                                         .memory = -1,
                                         .kernel = -1,
                                         .initrd = -1,
                                         .seed = -1,
                                         .disks = g_array_new(FALSE, FALSE, sizeof(int)),
                                         .taps = g_array_new(FALSE, FALSE, sizeof(int))};
}

void stead_handover_clear(SteadHandover *handover)
{
    stead_clear_fd(&handover->state);
    stead_clear_fd(&handover->said);
    g_array_unref(handover->fds);
    g_array_unref(handover->numbers.disks);
    g_array_unref(handover->numbers.taps);
}

/* Takes a descriptor over; its number in the engine. */
static int hand_over(SteadHandover *handover, int fd)
{
    g_array_append_val(handover->fds, fd);
    return STEAD_HANDOVER_FIRST + (int)handover->fds->len - 1;
}

static gboolean fail(GError **error, const char *doing, const char *path)
{
    int saved = errno;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "%s %s: %s", doing, path,
                g_strerror(saved));
    return FALSE;
}

/* ---- what is opened ---- */

static gboolean listen_at(SteadHandover *handover, const char *dir, const char *name, int *number,
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

/* The engine has an end of a pipe, and another program the other one (logger.h). */
static gboolean open_log(SteadHandover *handover, GError **error)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail(error, "making", "a pipe");
    handover->said = ends[0];
    handover->numbers.log = hand_over(handover, ends[1]);
    return TRUE;
}

static gboolean open_file(SteadHandover *handover, const char *path, int flags, int *number,
                          GError **error)
{
    int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return fail(error, "opening", path);
    *number = hand_over(handover, fd);
    return TRUE;
}

static gboolean open_disk(SteadHandover *handover, const SteadMachineDisk *disk, GError **error)
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

static gboolean open_disks(SteadHandover *handover, const SteadMachine *machine, GError **error)
{
    for (guint i = 0; i < machine->disks->len; i++)
        if (!open_disk(handover, machine->disks->pdata[i], error))
            return FALSE;
    return machine->seed == NULL ||
           open_file(handover, machine->seed, O_RDONLY, &handover->numbers.seed, error);
}

/* One that goes on from a frozen machine still believes to be that one: it is let into its networks
 * once it was renewed. */
static gboolean open_taps(SteadHandover *handover, const SteadMachine *machine, GError **error)
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

static gboolean is_frozen(const char *dir)
{
    g_autofree char *sums = g_build_filename(dir, "sums", NULL);
    return g_file_test(sums, G_FILE_TEST_EXISTS);
}

gboolean stead_microvm_check_frozen(SteadMicrovm *microvm, const SteadMachine *machine,
                                    GError **error)
{
    if (!stead_frozen_check(microvm->frozen, machine->frozen, error))
        return FALSE;
    for (guint i = 0; i < machine->disks->len; i++) {
        const SteadMachineDisk *disk = machine->disks->pdata[i];
        for (guint n = 0; disk->backing && disk->backing[n]; n++) {
            g_autofree char *dir = g_path_get_dirname(disk->backing[n]);
            if (is_frozen(dir) && !stead_frozen_check(microvm->frozen, dir, error))
                return FALSE;
        }
    }
    return TRUE;
}

static gboolean open_frozen(SteadHandover *handover, SteadMicrovm *microvm,
                            const SteadMachine *machine, GError **error)
{
    int memory = -1;
    if (machine->frozen == NULL)
        return TRUE;
    if (!stead_microvm_check_frozen(microvm, machine, error) ||
        !stead_frozen_open(microvm->frozen, machine->frozen, &memory, &handover->state, error))
        return FALSE;
    handover->numbers.memory = hand_over(handover, memory);
    return TRUE;
}

/* One that goes on has its kernel in its memory. */
static gboolean open_kernel(SteadHandover *handover, const SteadMachine *machine, GError **error)
{
    SteadEngineFds *numbers = &handover->numbers;
    if (machine->frozen)
        return TRUE;
    return open_file(handover, machine->kernel, O_RDONLY, &numbers->kernel, error) &&
           (machine->initrd == NULL ||
            open_file(handover, machine->initrd, O_RDONLY, &numbers->initrd, error));
}

gboolean stead_handover_open(SteadHandover *handover, const SteadEngineProgram *program,
                             SteadMicrovm *microvm, const SteadMachine *machine, GError **error)
{
    SteadEngineFds *numbers = &handover->numbers;
    init(handover);
    return listen_at(handover, machine->run_dir, "qmp.sock", &numbers->qmp, error) &&
           listen_at(handover, machine->run_dir, "console.sock", &numbers->console, error) &&
           listen_at(handover, machine->run_dir, "agent.sock", &numbers->agent, error) &&
           open_log(handover, error) && open_frozen(handover, microvm, machine, error) &&
           open_disks(handover, machine, error) && open_taps(handover, machine, error) &&
           (!program->jails_itself || open_kernel(handover, machine, error));
}
