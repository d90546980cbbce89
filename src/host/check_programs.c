/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs and files that come from packages: what is missing is mended by installing one.
 */
#include <stdio.h>
#include <string.h>

#include "base/subprocess.h"
#include "host/requirements.h"

static char *install_command(const SteadRequirement *requirement)
{
    const char *package = requirement->package;
    if (package == NULL && requirement->program)
        package = stead_program_package(requirement->program);
    if (package == NULL)
        package = requirement->program;
    g_autofree char *command = g_strdup_printf("apt install %s", package);
    return stead_check_command(command);
}

static void answer_missing(const SteadRequirement *requirement, SteadCheckResult *result)
{
    g_autofree char *mend = install_command(requirement);
    stead_check_answer(result, requirement->lacking, mend, "%s is not installed",
                       requirement->program ? requirement->program : requirement->title);
}

void stead_check_program(const SteadRequirement *requirement, const SteadCheckContext *context,
                         SteadCheckResult *result)
{
    g_autofree char *path = stead_check_find_program(context, requirement->program);
    if (path)
        stead_check_well(result, "%s", path);
    else
        answer_missing(requirement, result);
}

gboolean stead_check_parse_version(const char *text, guint *major, guint *minor)
{
    const char *word = strstr(text, "version ");
    return word && sscanf(word, "version %9u.%9u", major, minor) == 2;
}

static gboolean is_recent(guint major, guint minor)
{
    return major > STEAD_QEMU_MAJOR_MIN ||
           (major == STEAD_QEMU_MAJOR_MIN && minor >= STEAD_QEMU_MINOR_MIN);
}

void stead_check_qemu(const SteadRequirement *requirement, const SteadCheckContext *context,
                      SteadCheckResult *result)
{
    g_autofree char *path = stead_check_find_program(context, requirement->program);
    if (path == NULL) {
        answer_missing(requirement, result);
        return;
    }
    const char *const argv[] = {path, "--version", NULL};
    g_autofree char *output = NULL;
    g_autofree char *mend = install_command(requirement);
    g_autoptr(GError) error = NULL;
    guint major, minor;
    if (!stead_check_run_program(context, argv, &output, &error))
        stead_check_answer(result, requirement->lacking, mend, "%s", error->message);
    else if (!stead_check_parse_version(output, &major, &minor))
        stead_check_answer(result, requirement->lacking, mend, "%s does not tell its version",
                           path);
    else if (!is_recent(major, minor))
        stead_check_answer(result, requirement->lacking, mend, "%u.%u (%s), older than %d.%d",
                           major, minor, path, STEAD_QEMU_MAJOR_MIN, STEAD_QEMU_MINOR_MIN);
    else
        stead_check_well(result, "%u.%u (%s)", major, minor, path);
}

/* Code and variables, as Debian, Ubuntu, Fedora and Arch place them; the first found is named. */
static const struct {
    const char *code;
    const char *variables;
} firmware[] = {
    {"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
    {"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
    {"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
    {"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
};

void stead_check_firmware(const SteadRequirement *requirement, const SteadCheckContext *context,
                          SteadCheckResult *result)
{
    for (gsize i = 0; i < G_N_ELEMENTS(firmware); i++) {
        g_autofree char *code = stead_check_path(context, firmware[i].code);
        g_autofree char *variables = stead_check_path(context, firmware[i].variables);
        if (g_file_test(code, G_FILE_TEST_IS_REGULAR) &&
            g_file_test(variables, G_FILE_TEST_IS_REGULAR)) {
            stead_check_well(result, "%s", firmware[i].code);
            return;
        }
    }
    answer_missing(requirement, result);
}

/* Listing the table shows whether the kernel has it; iptables-save never makes one. */
void stead_check_nat(const SteadRequirement *requirement, const SteadCheckContext *context,
                     SteadCheckResult *result)
{
    g_autofree char *path = stead_check_find_program(context, requirement->program);
    if (path == NULL) {
        answer_missing(requirement, result);
        return;
    }
    const char *const argv[] = {path, "-t", "nat", NULL};
    g_autofree char *output = NULL;
    g_autofree char *mend = stead_check_command("modprobe nft_chain_nat");
    g_autoptr(GError) error = NULL;
    if (stead_check_run_program(context, argv, &output, &error))
        stead_check_well(result, "%s", strstr(output, "nf_tables") ? "nftables" : "iptables");
    else
        stead_check_answer(result, requirement->lacking, mend, "%s", error->message);
}
