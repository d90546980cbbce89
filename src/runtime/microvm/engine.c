/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the programs that run microVMs, and where they are. */
#include "runtime/microvm/engine.h"

#include "base/error.h"
#include "base/subprocess.h"
#include "host/helper.h"

#define QEMU "qemu-system-x86_64"
#define VMM "stead-vmm"

static char *find_qemu(GError **error)
{
    g_autofree char *path = NULL;
    if (!stead_find_program(QEMU, &path))
        stead_set_error(error, STEAD_ERROR_MISSING, "Install it: apt install qemu-system-x86",
                        "the program %s is not installed", QEMU);
    return g_steal_pointer(&path);
}

static char *find_vmm(GError **error)
{
    g_autofree char *path = stead_helper_find("vmm", VMM);
    if (path == NULL)
        stead_set_error(error, STEAD_ERROR_MISSING, "Install the package 'stead' anew.",
                        "the program %s is not installed", VMM);
    return g_steal_pointer(&path);
}

const SteadEngineProgram stead_qemu_program = {
    .name = "qemu",
    .find = find_qemu,
    .args = stead_qemu_args,
    .save = stead_qemu_save,
    .load = stead_qemu_load,
};

const SteadEngineProgram stead_vmm_program = {
    .name = VMM,
    .jails_itself = TRUE,
    .find = find_vmm,
    .args = stead_vmm_args,
    .save = stead_vmm_save,
    .load = stead_vmm_load,
};

const SteadEngineProgram *stead_engine_program(const char *name)
{
    return g_strcmp0(name, stead_vmm_program.name) == 0 ? &stead_vmm_program : &stead_qemu_program;
}
