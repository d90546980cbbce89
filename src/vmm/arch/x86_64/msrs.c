/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU's model-specific registers. KVM names those that are state; of them a vCPU may lack some,
 * and some cannot be written. All are read and written in as few calls as that allows, for a clone
 * pays for each.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/x86_64/kvm_state.h"
#include "vmm/arch/x86_64/x86.h"

#define MSR_MCE_FIRST 0x400 /* machine check banks: nothing here sets them */
#define MSR_MCE_LAST 0x47f

static bool is_saved(uint32_t index)
{
    return index < MSR_MCE_FIRST || index > MSR_MCE_LAST;
}

int x86_ask_msrs(VmmMachine *machine)
{
    struct kvm_msr_list *list;
    if (machine->arch->msrs)
        return 0;
    list = calloc(1, sizeof *list + X86_MSRS_MAX * sizeof list->indices[0]);
    if (list == NULL)
        return -ENOMEM;
    list->nmsrs = X86_MSRS_MAX;
    if (ioctl(machine->kvm.device, KVM_GET_MSR_INDEX_LIST, list) < 0) {
        int failed = -errno;
        free(list);
        return failed;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < list->nmsrs; i++)
        if (is_saved(list->indices[i]))
            list->indices[n++] = list->indices[i];
    list->nmsrs = n;
    machine->arch->msrs = list;
    return 0;
}

static bool get_msr(const VmmVcpu *vcpu, uint32_t index, uint64_t *value)
{
    X86FewMsrs few = {.msrs.nmsrs = 1};
    few.msrs.entries[0].index = index;
    if (ioctl(vcpu->fd, KVM_GET_MSRS, &few) != 1)
        return false;
    *value = few.msrs.entries[0].data;
    return true;
}

static bool set_msr(const VmmVcpu *vcpu, uint32_t index, uint64_t value)
{
    X86FewMsrs few = {.msrs.nmsrs = 1};
    few.msrs.entries[0] = (struct kvm_msr_entry){.index = index, .data = value};
    return ioctl(vcpu->fd, KVM_SET_MSRS, &few) == 1;
}

/* Asks for the MSRs from `first` on; KVM stops at one that this vCPU does not have. Returns how
 * many it told, in all->entries from `n` on. */
static int read_some_msrs(const VmmVcpu *vcpu, const struct kvm_msr_list *list, uint32_t first,
                          struct kvm_msrs *all, uint32_t n)
{
    struct kvm_msrs *some = x86_new_msrs(list->nmsrs - first);
    if (some == NULL)
        return -ENOMEM;
    some->nmsrs = list->nmsrs - first;
    for (uint32_t i = 0; i < some->nmsrs; i++)
        some->entries[i].index = list->indices[first + i];
    int told = ioctl(vcpu->fd, KVM_GET_MSRS, some);
    if (told > 0)
        memcpy(all->entries + n, some->entries, (size_t)told * sizeof some->entries[0]);
    free(some);
    return told < 0 ? 0 : told;
}

struct kvm_msrs *x86_read_msrs(const VmmVcpu *vcpu)
{
    const struct kvm_msr_list *list = vcpu->machine->arch->msrs;
    struct kvm_msrs *msrs = x86_new_msrs(list->nmsrs);
    uint32_t at = 0;
    while (msrs && at < list->nmsrs) {
        int told = read_some_msrs(vcpu, list, at, msrs, msrs->nmsrs);
        if (told < 0) {
            free(msrs);
            return NULL;
        }
        msrs->nmsrs += (uint32_t)told;
        at += (uint32_t)told + 1; /* over the one that is not there */
    }
    return msrs;
}

/* One that cannot be written is refused unless it has that value already. */
int x86_write_msrs(const VmmVcpu *vcpu, const struct kvm_msrs *msrs, VmmError *error)
{
    int done = ioctl(vcpu->fd, KVM_SET_MSRS, msrs);
    for (uint32_t i = done < 0 ? 0 : (uint32_t)done; i < msrs->nmsrs; i++) {
        const struct kvm_msr_entry *entry = &msrs->entries[i];
        uint64_t value = 0;
        if (set_msr(vcpu, entry->index, entry->data))
            continue;
        if (!get_msr(vcpu, entry->index, &value) || value != entry->data)
            return vmm_error(error, -EINVAL, "KVM does not take MSR 0x%x", entry->index);
    }
    return 0;
}
