/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of a RENEW. Each is done whatever became of those before it, and what became of it is
 * said: the host decides. First what other programs of the guest could take for true meanwhile.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "guest/files.h"
#include "guest/identity.h"
#include "guest/network.h"
#include "guest/traces.h"

static void report(GuestRenewed *renewed, GuestStepKind kind, uint32_t index, int result)
{
    if (renewed->n_steps == GUEST_STEPS_MAX)
        return;
    renewed->steps[renewed->n_steps++] = (GuestStep){
        .kind = (uint8_t)kind,
        .index = (uint8_t)index,
        .error = (uint32_t)-result,
    };
}

static void renew_nics(const GuestRenew *renew, GuestRenewed *renewed)
{
    int results[GUEST_INTERFACES_MAX];
    if (renew->n_nics == 0)
        return;
    int failed = guest_rename_macs(renew->nics, renew->n_nics);
    guest_network_renew(renew->nics, renew->n_nics, results);
    for (uint32_t i = 0; i < renew->n_nics; i++)
        report(renewed, GUEST_STEP_NIC, i, results[i] ? results[i] : failed);
}

static bool is_host_key(const char *path)
{
    static const char keys[] = "/etc/ssh/ssh_host_";
    return strncmp(path, keys, sizeof keys - 1) == 0;
}

static void renew_files(const GuestRenew *renew, GuestRenewed *renewed)
{
    bool has_keys = false;
    for (uint32_t i = 0; i < renew->n_files; i++) {
        const GuestRenewFile *file = &renew->files[i];
        report(renewed, GUEST_STEP_FILE, i,
               guest_replace(file->path, file->content.data, file->content.length, file->mode));
        has_keys |= is_host_key(file->path);
    }
    for (uint32_t i = 0; i < renew->n_removed; i++) {
        bool is_gone = unlink(renew->removed[i]) == 0 || errno == ENOENT || errno == ENOTDIR;
        report(renewed, GUEST_STEP_REMOVE, i, is_gone ? 0 : -errno);
    }
    if (has_keys)
        guest_tell_sshd();
}

void guest_renew(const GuestRenew *renew, GuestRenewed *renewed)
{
    if (renew->realtime)
        report(renewed, GUEST_STEP_CLOCK, 0, guest_set_clock(renew->realtime));
    if (renew->entropy.length)
        report(renewed, GUEST_STEP_ENTROPY, 0, guest_add_entropy(&renew->entropy));
    if (*renew->host_name)
        report(renewed, GUEST_STEP_HOST_NAME, 0, guest_set_host_name(renew->host_name));
    if (*renew->machine_id)
        report(renewed, GUEST_STEP_MACHINE_ID, 0, guest_set_machine_id(renew->machine_id));
    renew_nics(renew, renewed);
    if (renew->n_servers)
        report(renewed, GUEST_STEP_DNS, 0,
               guest_set_name_servers(renew->servers, renew->n_servers, renew->domain));
    renew_files(renew, renewed);
}
