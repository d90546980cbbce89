/* SPDX-License-Identifier: Apache-2.0 */
/* The table of QMP commands, each a short function; events' names and data. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/qmp-internal.h"
#include "vmm/qmp.h"
#include "vmm/snapshot.h"
#include "vmm/virtio/balloon.h"
#include "vmm/virtio/blk.h"

/* --- descriptors --- */

void vmm_qmp_fds_init(VmmQmpFds *fds)
{
    fds->received = -1;
    for (unsigned i = 0; i < VMM_QMP_FDS_MAX; i++)
        fds->named[i].fd = -1;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void vmm_qmp_fds_close(VmmQmpFds *fds)
{
    close_fd(&fds->received);
    for (unsigned i = 0; i < VMM_QMP_FDS_MAX; i++)
        close_fd(&fds->named[i].fd);
}

void vmm_qmp_fds_receive(VmmQmpFds *fds, int fd)
{
    close_fd(&fds->received);
    fds->received = fd;
}

static int *find_fd(VmmQmpFds *fds, const char *name)
{
    for (unsigned i = 0; i < VMM_QMP_FDS_MAX; i++)
        if (fds->named[i].fd >= 0 && strcmp(fds->named[i].name, name) == 0)
            return &fds->named[i].fd;
    return NULL;
}

static int get_text(const VmmQmpCall *call, const char *key, char *text, size_t room,
                    VmmError *error)
{
    int node = vmm_json_get(call->json, call->arguments, key);
    int failed = vmm_json_string(call->json, node, text, room);
    return failed ? vmm_error(error, failed, "'%s' must be a string", key) : 0;
}

/* Takes a descriptor by the name in that argument: it is the caller's, to be closed. -1 in *fd
 * where the argument is not there and may be missing. */
static int take_fd(const VmmQmpCall *call, const char *key, bool is_needed, int *fd,
                   VmmError *error)
{
    char name[VMM_QMP_NAME_MAX];
    *fd = -1;
    if (!is_needed && vmm_json_get(call->json, call->arguments, key) == VMM_JSON_NONE)
        return 0;
    int failed = get_text(call, key, name, sizeof name, error);
    if (failed)
        return failed;
    int *found = find_fd(call->fds, name);
    if (found == NULL)
        return vmm_error(error, -ENOENT, "no descriptor is named '%s'", name);
    *fd = *found;
    *found = -1;
    return 0;
}

static int run_getfd(VmmQmpCall *call, VmmError *error)
{
    char name[VMM_QMP_NAME_MAX];
    int failed = get_text(call, "fdname", name, sizeof name, error);
    if (failed)
        return failed;
    if (call->fds->received < 0)
        return vmm_error(error, -ENOENT, "no descriptor came along");
    int *old = find_fd(call->fds, name);
    if (old)
        close_fd(old);
    for (unsigned i = 0; i < VMM_QMP_FDS_MAX; i++) {
        if (call->fds->named[i].fd >= 0)
            continue;
        memcpy(call->fds->named[i].name, name, sizeof name);
        call->fds->named[i].fd = call->fds->received;
        call->fds->received = -1;
        return 0;
    }
    return vmm_error(error, -ENOSPC, "more than %d descriptors", VMM_QMP_FDS_MAX);
}

static int run_closefd(VmmQmpCall *call, VmmError *error)
{
    int fd;
    int failed = take_fd(call, "fdname", true, &fd, error);
    if (!failed)
        close(fd);
    return failed;
}

/* --- the guest's life --- */

int vmm_qmp_capabilities(VmmQmpCall *call, VmmError *error)
{
    (void)call;
    (void)error;
    return 0;
}

static const char *state_name(const VmmVm *vm)
{
    static const char *const names[] = {
        [VMM_VM_WAITING] = "inmigrate",     [VMM_VM_PAUSED] = "paused",
        [VMM_VM_RUNNING] = "running",       [VMM_VM_SHUTDOWN] = "shutdown",
        [VMM_VM_FAILED] = "internal-error",
    };
    return names[vm->state];
}

static int run_query_status(VmmQmpCall *call, VmmError *error)
{
    (void)error;
    snprintf(call->answer, call->room,
             "{\"running\": %s, \"singlestep\": false, \"status\": \"%s\"}",
             call->vm->state == VMM_VM_RUNNING ? "true" : "false", state_name(call->vm));
    return 0;
}

static int run_stop(VmmQmpCall *call, VmmError *error)
{
    (void)error;
    vmm_vm_stop(call->vm);
    return 0;
}

static int run_cont(VmmQmpCall *call, VmmError *error)
{
    if (call->vm->state == VMM_VM_WAITING)
        return vmm_error(error, -EINVAL, "there is no guest yet: snapshot-load comes first");
    vmm_vm_continue(call->vm);
    return 0;
}

static int run_powerdown(VmmQmpCall *call, VmmError *error)
{
    if (call->vm->state == VMM_VM_WAITING)
        return vmm_error(error, -EINVAL, "there is no guest yet");
    vmm_vm_power_button(call->vm);
    return 0;
}

static void reset(VmmVm *vm)
{
    vmm_vm_reset(vm, false);
}

static int run_reset(VmmQmpCall *call, VmmError *error)
{
    if (call->vm->state == VMM_VM_WAITING)
        return vmm_error(error, -EINVAL, "there is no guest yet");
    call->then = reset;
    return 0;
}

static void quit(VmmVm *vm)
{
    vmm_vm_shut_down(vm, false, "host-qmp-quit");
}

static int run_quit(VmmQmpCall *call, VmmError *error)
{
    (void)error;
    call->then = quit;
    return 0;
}

static int run_balloon(VmmQmpCall *call, VmmError *error)
{
    uint64_t bytes;
    if (call->vm->balloon == NULL)
        return vmm_error(error, -ENODEV, "the guest has no balloon");
    if (vmm_json_number(call->json, vmm_json_get(call->json, call->arguments, "value"), &bytes))
        return vmm_error(error, -EINVAL, "'value' must be a number of bytes");
    if (vmm_balloon_set(call->vm->balloon, bytes))
        return vmm_error(error, -EINVAL, "the machine does not have so much memory");
    return 0;
}

static int run_query_balloon(VmmQmpCall *call, VmmError *error)
{
    if (call->vm->balloon == NULL)
        return vmm_error(error, -ENODEV, "the guest has no balloon");
    snprintf(call->answer, call->room, "{\"actual\": %llu, \"reported\": %llu}",
             (unsigned long long)vmm_balloon_get(call->vm->balloon),
             (unsigned long long)vmm_balloon_reported(call->vm->balloon));
    return 0;
}

/* What nobody answered or nothing obeyed: a guest that probes, or one that attacks. */
static int run_query_refused(VmmQmpCall *call, VmmError *error)
{
    const VmmMachine *machine = &call->vm->machine;
    uint64_t virtio = 0;
    (void)error;
    for (unsigned i = 0; i < call->vm->n_slots; i++)
        virtio += vmm_mmio_refused(call->vm->slots[i].mmio);
    snprintf(call->answer, call->room,
             "{\"port-reads\": %llu, \"port-writes\": %llu, \"mmio-reads\": %llu, "
             "\"mmio-writes\": %llu, \"virtio\": %llu}",
             (unsigned long long)machine->ports.unknown_reads,
             (unsigned long long)machine->ports.unknown_writes,
             (unsigned long long)machine->mmio.unknown_reads,
             (unsigned long long)machine->mmio.unknown_writes, (unsigned long long)virtio);
    return 0;
}

/* As QEMU tells it, as far as anybody asks. */
static int run_query_blockstats(VmmQmpCall *call, VmmError *error)
{
    size_t used = (size_t)snprintf(call->answer, call->room, "[");
    (void)error;
    for (unsigned i = 0; i < call->vm->n_slots && used < call->room; i++) {
        const VmmVirtio *device = vmm_mmio_device(call->vm->slots[i].mmio);
        uint64_t n_read, n_written;
        if (device->ops->id != VIRTIO_ID_BLOCK)
            continue;
        vmm_blk_count(device, &n_read, &n_written);
        used += (size_t)snprintf(call->answer + used, call->room - used,
                                 "%s{\"stats\": {\"rd_bytes\": %llu, \"wr_bytes\": %llu}}",
                                 used > 1 ? ", " : "", (unsigned long long)n_read,
                                 (unsigned long long)n_written);
    }
    if (used < call->room)
        snprintf(call->answer + used, call->room - used, "]");
    return 0;
}

/* --- snapshots --- */

static int run_snapshot_save(VmmQmpCall *call, VmmError *error)
{
    int state, memory = -1;
    int failed = take_fd(call, "state", true, &state, error);
    if (failed)
        return failed;
    failed = take_fd(call, "memory", false, &memory, error);
    if (!failed)
        failed = vmm_snapshot_save(call->vm, state, memory, error);
    close(state);
    if (memory >= 0)
        close(memory);
    return failed;
}

/* A machine into which half a snapshot was loaded is of no use. */
static void give_up(VmmVm *vm)
{
    vmm_vm_shut_down(vm, false, "host-error");
}

static int run_snapshot_load(VmmQmpCall *call, VmmError *error)
{
    int state;
    if (call->vm->state != VMM_VM_WAITING)
        return vmm_error(error, -EINVAL, "only a machine that waits for a snapshot loads one");
    int failed = take_fd(call, "state", true, &state, error);
    if (failed)
        return failed;
    failed = vmm_snapshot_load(call->vm, state, error);
    close(state);
    if (failed)
        call->then = give_up;
    else
        call->vm->state = VMM_VM_PAUSED;
    return failed;
}

/* --- the table --- */

static int run_query_commands(VmmQmpCall *call, VmmError *error);

static const VmmQmpCommand COMMANDS[] = {
    {"qmp_capabilities", vmm_qmp_capabilities},
    {"query-status", run_query_status},
    {"query-commands", run_query_commands},
    {"stop", run_stop},
    {"cont", run_cont},
    {"system_powerdown", run_powerdown},
    {"system_reset", run_reset},
    {"quit", run_quit},
    {"balloon", run_balloon},
    {"query-balloon", run_query_balloon},
    {"getfd", run_getfd},
    {"closefd", run_closefd},
    {"snapshot-save", run_snapshot_save},
    {"snapshot-load", run_snapshot_load},
    {"query-blockstats", run_query_blockstats},
    {"query-refused", run_query_refused},
};
#define N_COMMANDS (sizeof COMMANDS / sizeof *COMMANDS)

static int run_query_commands(VmmQmpCall *call, VmmError *error)
{
    size_t used = 0;
    (void)error;
    for (size_t i = 0; i < N_COMMANDS && used < call->room; i++)
        used +=
            (size_t)snprintf(call->answer + used, call->room - used, "%s{\"name\": \"%s\"}%s",
                             i == 0 ? "[" : ", ", COMMANDS[i].name, i + 1 == N_COMMANDS ? "]" : "");
    return 0;
}

const VmmQmpCommand *vmm_qmp_find(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(COMMANDS[i].name, name) == 0)
            return &COMMANDS[i];
    return NULL;
}

const char *vmm_qmp_event(const VmmVm *vm, VmmEvent event, char data[VMM_QMP_DATA_MAX])
{
    static const char *const names[] = {
        [VMM_EVENT_STOP] = "STOP",
        [VMM_EVENT_RESUME] = "RESUME",
        [VMM_EVENT_RESET] = "RESET",
        [VMM_EVENT_SHUTDOWN] = "SHUTDOWN",
        [VMM_EVENT_POWERDOWN] = "POWERDOWN",
        [VMM_EVENT_BALLOON] = "BALLOON_CHANGE",
        [VMM_EVENT_AGENT] = "VSERPORT_CHANGE",
    };
    _Static_assert(sizeof names / sizeof *names == VMM_N_EVENTS, "an event has no name");
    data[0] = '\0';
    if (event == VMM_EVENT_SHUTDOWN || event == VMM_EVENT_RESET)
        snprintf(data, VMM_QMP_DATA_MAX, ", \"data\": {\"guest\": %s, \"reason\": \"%s\"}",
                 vm->by_guest ? "true" : "false", vm->reason);
    if (event == VMM_EVENT_BALLOON)
        snprintf(data, VMM_QMP_DATA_MAX, ", \"data\": {\"actual\": %llu}",
                 (unsigned long long)vmm_balloon_get(vm->balloon));
    if (event == VMM_EVENT_AGENT)
        snprintf(data, VMM_QMP_DATA_MAX, ", \"data\": {\"id\": \"agent\", \"open\": %s}",
                 vm->is_agent_open ? "true" : "false");
    return names[event];
}
