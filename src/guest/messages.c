/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each message once, for both directions. What is more than a length is checked here too, so that
 * neither end ever holds a message that is out of bounds.
 */
#include "guest/protocol.h"

#include <string.h>

#define SIGNAL_MAX 64
#define PERMISSIONS 07777
#define RENEW_PERMISSIONS 0777
#define EXIT_CODE_MAX 255
#define ERRNO_MAX 4095

static void check(GuestFields *fields, bool is_right)
{
    if (!is_right)
        guest_fields_fail(fields);
}

void guest_hello_fields(GuestFields *fields, GuestHello *message)
{
    guest_field_u32(fields, &message->version);
    guest_field_u64(fields, &message->nonce);
}

void guest_hello_reply_fields(GuestFields *fields, GuestHelloReply *message)
{
    guest_field_u32(fields, &message->version);
    guest_field_u64(fields, &message->nonce);
    guest_field_u32(fields, &message->flags);
    guest_field_text(fields, &message->agent, GUEST_VERSION_TEXT_MAX);
}

void guest_failed_fields(GuestFields *fields, GuestFailed *message)
{
    guest_field_i32(fields, &message->error);
    check(fields, message->error > 0 && message->error <= ERRNO_MAX);
    guest_field_text(fields, &message->text, GUEST_ERROR_TEXT_MAX);
}

/* NULL-terminated when read; there is a place for that beyond max. */
static void strings(GuestFields *fields, const char **list, uint32_t *count, size_t max)
{
    guest_field_count(fields, count, max);
    for (uint32_t i = 0; i < *count && !fields->error; i++)
        guest_field_text(fields, &list[i], GUEST_STRING_MAX);
    if (!fields->is_writing)
        list[fields->error ? 0 : *count] = NULL;
}

static void check_variables(GuestFields *fields, const GuestExec *message)
{
    for (uint32_t i = 0; i < message->n_env && !fields->error; i++)
        check(fields, message->env[i][0] != '=' && strchr(message->env[i], '='));
}

void guest_exec_fields(GuestFields *fields, GuestExec *message)
{
    const uint32_t known = GUEST_EXEC_PTY | GUEST_EXEC_MERGE_STDERR | GUEST_EXEC_NO_STDIN;
    guest_field_u32(fields, &message->flags);
    check(fields, (message->flags & ~known) == 0);
    check(fields, !(message->flags & GUEST_EXEC_PTY) || !(message->flags & GUEST_EXEC_NO_STDIN));
    guest_field_u16(fields, &message->rows);
    guest_field_u16(fields, &message->cols);
    check(fields, message->rows <= GUEST_SIZE_MAX && message->cols <= GUEST_SIZE_MAX);
    guest_field_text(fields, &message->user, GUEST_USER_MAX);
    guest_field_text(fields, &message->cwd, GUEST_PATH_MAX);
    strings(fields, message->args, &message->n_args, GUEST_ARGS_MAX);
    check(fields, message->n_args > 0);
    strings(fields, message->env, &message->n_env, GUEST_ENV_MAX);
    check_variables(fields, message);
}

void guest_started_fields(GuestFields *fields, GuestStarted *message)
{
    guest_field_u32(fields, &message->pid);
}

void guest_exit_fields(GuestFields *fields, GuestExit *message)
{
    guest_field_u32(fields, &message->code);
    guest_field_u32(fields, &message->signal);
    check(fields, message->code <= EXIT_CODE_MAX && message->signal <= SIGNAL_MAX);
}

void guest_resize_fields(GuestFields *fields, GuestResize *message)
{
    guest_field_u16(fields, &message->rows);
    guest_field_u16(fields, &message->cols);
    check(fields, message->rows <= GUEST_SIZE_MAX && message->cols <= GUEST_SIZE_MAX);
}

void guest_signal_fields(GuestFields *fields, GuestSignal *message)
{
    guest_field_u32(fields, &message->signal);
    check(fields, message->signal >= 1 && message->signal <= SIGNAL_MAX);
}

void guest_credit_fields(GuestFields *fields, GuestCredit *message)
{
    guest_field_u32(fields, &message->bytes);
    check(fields, message->bytes >= 1 && message->bytes <= GUEST_WINDOW);
}

static void absolute_path(GuestFields *fields, const char **path)
{
    guest_field_text(fields, path, GUEST_PATH_MAX);
    check(fields, *path && **path == '/');
}

void guest_put_fields(GuestFields *fields, GuestPut *message)
{
    absolute_path(fields, &message->path);
    guest_field_u32(fields, &message->mode);
    guest_field_u32(fields, &message->uid);
    guest_field_u32(fields, &message->gid);
    guest_field_u64(fields, &message->size);
    check(fields, message->mode <= PERMISSIONS);
    check(fields, message->size <= INT64_MAX || message->size == GUEST_SIZE_UNKNOWN);
}

void guest_get_fields(GuestFields *fields, GuestGet *message)
{
    absolute_path(fields, &message->path);
}

void guest_file_fields(GuestFields *fields, GuestFile *message)
{
    guest_field_u32(fields, &message->mode);
    guest_field_u32(fields, &message->uid);
    guest_field_u32(fields, &message->gid);
    guest_field_u64(fields, &message->size);
    guest_field_u64(fields, &message->mtime);
    check(fields, message->mode <= PERMISSIONS && message->size <= INT64_MAX);
}

void guest_clock_fields(GuestFields *fields, GuestClock *message)
{
    guest_field_u64(fields, &message->realtime);
    check(fields, message->realtime > 0 && message->realtime <= INT64_MAX);
}

void guest_shutdown_fields(GuestFields *fields, GuestShutdown *message)
{
    guest_field_u8(fields, &message->how);
    check(fields, message->how <= GUEST_HALT);
}

void guest_memory_fields(GuestFields *fields, GuestMemory *message)
{
    guest_field_u64(fields, &message->total);
    guest_field_u64(fields, &message->free);
    guest_field_u64(fields, &message->available);
    guest_field_u64(fields, &message->cached);
    guest_field_u64(fields, &message->swap_total);
    guest_field_u64(fields, &message->swap_free);
    guest_field_u64(fields, &message->uptime);
    for (int i = 0; i < 3; i++)
        guest_field_u32(fields, &message->load[i]);
    guest_field_u32(fields, &message->processes);
}

static void address(GuestFields *fields, GuestAddress *message)
{
    guest_field_u8(fields, &message->family);
    guest_field_u8(fields, &message->prefix);
    bool is_4 = message->family == 4;
    check(fields, is_4 || message->family == 6);
    check(fields, message->prefix <= (is_4 ? 32 : 128));
    guest_field_raw(fields, message->address, is_4 ? 4 : 16);
}

static void interface(GuestFields *fields, GuestInterface *message)
{
    guest_field_text(fields, &message->name, GUEST_INTERFACE_NAME_MAX);
    guest_field_raw(fields, message->mac, sizeof message->mac);
    guest_field_u8(fields, &message->is_up);
    guest_field_count(fields, &message->n_addresses, GUEST_ADDRESSES_MAX);
    for (uint32_t i = 0; i < message->n_addresses && !fields->error; i++)
        address(fields, &message->addresses[i]);
}

void guest_network_fields(GuestFields *fields, GuestNetwork *message)
{
    guest_field_text(fields, &message->host_name, GUEST_HOST_NAME_MAX);
    guest_field_count(fields, &message->n_interfaces, GUEST_INTERFACES_MAX);
    for (uint32_t i = 0; i < message->n_interfaces && !fields->error; i++)
        interface(fields, &message->interfaces[i]);
}
