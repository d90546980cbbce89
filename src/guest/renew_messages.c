/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RENEW and its answer. Whatever of it becomes part of a file or a path is checked by its letters:
 * a host name cannot bring a line of its own into /etc/hosts, nor a path leave its folder.
 */
#include "guest/messages.h"

#include <string.h>

#define PERMISSIONS 0777
#define PREFIX_MAX 32
#define ERRNO_MAX 4095

static void check(GuestFields *fields, bool is_right)
{
    if (!is_right)
        guest_fields_fail(fields);
}

static bool consists_of(const char *text, const char *letters)
{
    return text[strspn(text, letters)] == '\0';
}

static void domain_name(GuestFields *fields, const char **name, size_t max)
{
    guest_field_text(fields, name, max);
    const char *text = *name ? *name : "";
    check(fields, *text != '-' && *text != '.' &&
                      consists_of(text, "abcdefghijklmnopqrstuvwxyz0123456789-."
                                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ"));
}

static void machine_id(GuestFields *fields, const char **id)
{
    guest_field_text(fields, id, GUEST_MACHINE_ID_LENGTH);
    const char *text = *id ? *id : "";
    check(fields, *text == '\0' || (strlen(text) == GUEST_MACHINE_ID_LENGTH &&
                                    consists_of(text, "0123456789abcdef")));
}

/* A name in one of the folders, and nothing that the folder already means. */
static bool is_allowed(const char *path)
{
    static const char *const folders[] = {GUEST_RENEW_FOLDERS};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        size_t length = strlen(folders[i]);
        const char *name = path + length;
        if (strncmp(path, folders[i], length) == 0)
            return *name != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
                   strcmp(name, "..") != 0;
    }
    return false;
}

static void allowed_path(GuestFields *fields, const char **path)
{
    guest_field_text(fields, path, GUEST_PATH_MAX);
    check(fields, *path && is_allowed(*path));
}

static void nic(GuestFields *fields, GuestNic *message)
{
    guest_field_raw(fields, message->match, sizeof message->match);
    guest_field_raw(fields, message->mac, sizeof message->mac);
    guest_field_u8(fields, &message->prefix);
    guest_field_raw(fields, message->address, sizeof message->address);
    guest_field_raw(fields, message->gateway, sizeof message->gateway);
    check(fields, message->prefix <= PREFIX_MAX);
}

static void file(GuestFields *fields, GuestRenewFile *message)
{
    allowed_path(fields, &message->path);
    guest_field_u32(fields, &message->mode);
    check(fields, message->mode <= PERMISSIONS);
    guest_field_bytes(fields, &message->content, GUEST_FILE_MAX);
}

static void lists(GuestFields *fields, GuestRenew *message)
{
    guest_field_count(fields, &message->n_nics, GUEST_INTERFACES_MAX);
    for (uint32_t i = 0; i < message->n_nics && !fields->error; i++)
        nic(fields, &message->nics[i]);
    guest_field_count(fields, &message->n_servers, GUEST_SERVERS_MAX);
    for (uint32_t i = 0; i < message->n_servers && !fields->error; i++)
        guest_field_raw(fields, message->servers[i], sizeof message->servers[i]);
    domain_name(fields, &message->domain, GUEST_DOMAIN_MAX);
    guest_field_count(fields, &message->n_files, GUEST_FILES_MAX);
    for (uint32_t i = 0; i < message->n_files && !fields->error; i++)
        file(fields, &message->files[i]);
    guest_field_count(fields, &message->n_removed, GUEST_FILES_MAX);
    for (uint32_t i = 0; i < message->n_removed && !fields->error; i++)
        allowed_path(fields, &message->removed[i]);
}

void guest_renew_fields(GuestFields *fields, GuestRenew *message)
{
    guest_field_u64(fields, &message->realtime);
    check(fields, message->realtime <= INT64_MAX);
    guest_field_bytes(fields, &message->entropy, GUEST_ENTROPY_MAX);
    uint32_t entropy = message->entropy.length;
    check(fields, entropy == 0 || entropy >= GUEST_ENTROPY_MIN);
    domain_name(fields, &message->host_name, GUEST_HOST_NAME_MAX);
    machine_id(fields, &message->machine_id);
    lists(fields, message);
}

void guest_renewed_fields(GuestFields *fields, GuestRenewed *message)
{
    guest_field_count(fields, &message->n_steps, GUEST_STEPS_MAX);
    for (uint32_t i = 0; i < message->n_steps && !fields->error; i++) {
        GuestStep *step = &message->steps[i];
        guest_field_u8(fields, &step->kind);
        guest_field_u8(fields, &step->index);
        guest_field_u32(fields, &step->error);
        check(fields, step->kind >= GUEST_STEP_CLOCK && step->kind <= GUEST_STEP_REMOVE);
        check(fields, step->error <= ERRNO_MAX);
    }
}

static bool is_done(const GuestRenewed *done, GuestStepKind kind, uint32_t index)
{
    for (uint32_t i = 0; i < done->n_steps; i++)
        if (done->steps[i].kind == kind && done->steps[i].index == index)
            return done->steps[i].error == 0;
    return false;
}

bool guest_renewed_is_complete(const GuestRenew *asked, const GuestRenewed *done)
{
    const struct {
        GuestStepKind kind;
        uint32_t count;
    } wanted[] = {
        {GUEST_STEP_CLOCK, asked->realtime != 0},
        {GUEST_STEP_ENTROPY, asked->entropy.length != 0},
        {GUEST_STEP_HOST_NAME, asked->host_name && *asked->host_name},
        {GUEST_STEP_MACHINE_ID, asked->machine_id && *asked->machine_id},
        {GUEST_STEP_NIC, asked->n_nics},
        {GUEST_STEP_DNS, asked->n_servers != 0},
        {GUEST_STEP_FILE, asked->n_files},
        {GUEST_STEP_REMOVE, asked->n_removed},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        for (uint32_t index = 0; index < wanted[i].count; index++)
            if (!is_done(done, wanted[i].kind, index))
                return false;
    return true;
}

const char *guest_step_name(unsigned kind)
{
    static const char *const names[] = {
        [GUEST_STEP_CLOCK] = "clock",         [GUEST_STEP_ENTROPY] = "entropy",
        [GUEST_STEP_HOST_NAME] = "host name", [GUEST_STEP_MACHINE_ID] = "machine id",
        [GUEST_STEP_NIC] = "interface",       [GUEST_STEP_DNS] = "name servers",
        [GUEST_STEP_FILE] = "file",           [GUEST_STEP_REMOVE] = "file to remove",
    };
    const size_t count = sizeof names / sizeof *names;
    return kind < count && names[kind] ? names[kind] : "?";
}
