/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program wrote down only that program reads, and a state of a real CPU is for no emulated
 * one: so there is nothing to choose for a frozen machine, only something to lack.
 */
#include "runtime/microvm/choice.h"

#include "base/error.h"
#include "runtime/microvm/engine.h"
#include "runtime/microvm/vmm_fit.h"

static void settle(SteadMachine *machine, const SteadEngineProgram *program, const char *accel,
                   char *reason)
{
    g_free(machine->engine);
    g_free(machine->accel);
    g_free(machine->engine_reason);
    machine->engine = g_strdup(program->name);
    machine->accel = g_strdup(accel);
    machine->engine_reason = reason;
}

static gboolean refuse(GError **error, const SteadMachine *machine, const char *needs,
                       const char *lacks)
{
    stead_set_error(
        error, STEAD_ERROR_UNSUPPORTED,
        machine->itself ? "Start it instead: it boots from the disks it has now."
                        : "Make it anew on this host: 'stead run' its image, then 'stead template "
                          "create'.",
        "what it goes on from was frozen by %s with %s, and %s", machine->engine, needs, lacks);
    return FALSE;
}

static gboolean keep(const SteadEngineHost *host, SteadMachine *machine, GError **error)
{
    const SteadEngineProgram *program = stead_engine_program(machine->engine);
    gboolean is_vmm = program == &stead_vmm_program;
    if ((is_vmm || g_strcmp0(machine->accel, "kvm") == 0) && !host->kvm) {
        g_autofree char *lacks = g_strdup_printf("KVM is %s", host->why);
        return refuse(error, machine, "KVM", lacks);
    }
    if (is_vmm && !host->vmm)
        return refuse(error, machine, "KVM", "that program is not installed");
    g_autofree char *accel = g_strdup(is_vmm ? "kvm" : machine->accel);
    settle(machine, program, accel,
           g_strdup(machine->itself ? "its snapshot was taken on it"
                                    : "its template was frozen on it"));
    return TRUE;
}

gboolean stead_engine_choice(const SteadEngineHost *host, SteadMachine *machine, GError **error)
{
    if (machine->frozen)
        return keep(host, machine, error);
    g_autofree char *refusal = host->kvm && host->vmm ? stead_vmm_refusal(machine) : NULL;
    if (!host->kvm)
        settle(machine, &stead_qemu_program, "tcg", g_strdup_printf("KVM is %s", host->why));
    else if (!host->vmm)
        settle(machine, &stead_qemu_program, "kvm",
               g_strdup("KVM is usable, but stead-vmm is not installed"));
    else if (refusal)
        settle(machine, &stead_qemu_program, "kvm",
               g_strdup_printf("KVM is usable, but stead-vmm %s", refusal));
    else
        settle(machine, &stead_vmm_program, "kvm", g_strdup("KVM is usable"));
    return TRUE;
}
