/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing of KVM is probed for when it is used: what a machine needs is checked once, at the start,
 * where the user can be told.
 */
#include "vmm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define API_VERSION 12

static const struct {
    long capability;
    const char *name;
} NEEDED[] = {
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    {KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
    {KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
    {KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
    {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
    {KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
    {KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
    {KVM_CAP_ADJUST_CLOCK, "KVM_CAP_ADJUST_CLOCK"},
};

static int check(int result)
{
    return result < 0 ? -errno : 0;
}

int vmm_kvm_can(const VmmKvm *kvm, long capability)
{
    int value = ioctl(kvm->device, KVM_CHECK_EXTENSION, capability);
    return value < 0 ? 0 : value;
}

static int check_device(VmmKvm *kvm, VmmError *error)
{
    int version = ioctl(kvm->device, KVM_GET_API_VERSION, 0);
    if (version < 0)
        return vmm_error_errno(error, -errno, "the device is not KVM's");
    if (version != API_VERSION)
        return vmm_error(error, -ENOSYS, "KVM's interface has version %d, not %d", version,
                         API_VERSION);
    for (size_t i = 0; i < sizeof NEEDED / sizeof *NEEDED; i++)
        if (vmm_kvm_can(kvm, NEEDED[i].capability) == 0)
            return vmm_error(error, -ENOSYS, "the host's KVM lacks %s", NEEDED[i].name);
    int size = ioctl(kvm->device, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < (int)sizeof(struct kvm_run))
        return vmm_error(error, -EPROTO, "KVM shares too little of a vCPU");
    kvm->run_size = (size_t)size;
    return 0;
}

int vmm_kvm_open(VmmKvm *kvm, const char *path, VmmError *error)
{
    *kvm = (VmmKvm){.device = -1, .vm = -1};
    kvm->device = open(path, O_RDWR | O_CLOEXEC);
    if (kvm->device < 0)
        return vmm_error_errno(error, -errno, "cannot open %s", path);
    int failed = check_device(kvm, error);
    if (failed)
        vmm_kvm_close(kvm);
    return failed;
}

int vmm_kvm_create(VmmKvm *kvm, VmmError *error)
{
    do
        kvm->vm = ioctl(kvm->device, KVM_CREATE_VM, 0);
    while (kvm->vm < 0 && errno == EINTR);
    if (kvm->vm < 0)
        return vmm_error_errno(error, -errno, "KVM does not make a machine");
    return 0;
}

void vmm_kvm_close(VmmKvm *kvm)
{
    if (kvm->vm >= 0)
        close(kvm->vm);
    if (kvm->device >= 0)
        close(kvm->device);
    kvm->vm = kvm->device = -1;
}

int vmm_kvm_map(const VmmKvm *kvm, const VmmMemory *memory, VmmError *error)
{
    const VmmRegion *regions;
    size_t n = vmm_memory_regions(memory, &regions);
    for (size_t i = 0; i < n; i++) {
        struct kvm_userspace_memory_region slot = {
            .slot = (uint32_t)i,
            .guest_phys_addr = regions[i].gpa,
            .memory_size = regions[i].length,
            .userspace_addr = (uintptr_t)regions[i].host,
        };
        if (ioctl(kvm->vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
            return vmm_error_errno(error, -errno, "KVM does not take the guest's memory");
    }
    return 0;
}

int vmm_kvm_irqfd(const VmmKvm *kvm, int fd, uint32_t gsi)
{
    struct kvm_irqfd irqfd = {.fd = (uint32_t)fd, .gsi = gsi};
    return check(ioctl(kvm->vm, KVM_IRQFD, &irqfd));
}

int vmm_kvm_irq_line(const VmmKvm *kvm, uint32_t gsi, bool level)
{
    struct kvm_irq_level line = {.irq = gsi, .level = level};
    return check(ioctl(kvm->vm, KVM_IRQ_LINE, &line));
}

int vmm_kvm_ioeventfd(const VmmKvm *kvm, int fd, uint64_t address, uint32_t match)
{
    struct kvm_ioeventfd event = {
        .datamatch = match,
        .addr = address,
        .len = sizeof match,
        .fd = fd,
        .flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
    };
    return check(ioctl(kvm->vm, KVM_IOEVENTFD, &event));
}
