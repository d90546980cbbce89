/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where distributions keep OVMF. Code and variables belong together: a pair counts only when both
 * files are there. Builds without Secure Boot come first, since those need SMM, and 4 MiB before
 * 2 MiB, which Debian 13 no longer has.
 */
#include "base/error.h"
#include "runtime/vm/vm.h"

typedef struct {
    const char *code;
    const char *vars;
} Firmware;

static const Firmware firmwares[] = {
    /* Debian, Ubuntu */
    {"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
    {"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
    /* Fedora, RHEL */
    {"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
    /* Arch */
    {"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
    {"/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"},
    /* openSUSE */
    {"/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"},
};

gboolean stead_vm_find_firmware(const char **code, const char **vars, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(firmwares); i++)
        if (g_file_test(firmwares[i].code, G_FILE_TEST_IS_REGULAR) &&
            g_file_test(firmwares[i].vars, G_FILE_TEST_IS_REGULAR)) {
            *code = firmwares[i].code;
            *vars = firmwares[i].vars;
            return TRUE;
        }
    stead_set_error(error, STEAD_ERROR_MISSING,
                    "Install it (Debian, Ubuntu: apt install ovmf), or set firmware: bios.",
                    "no UEFI firmware for virtual machines is installed");
    return FALSE;
}
