/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvirt's errors in the project's classes. Three tables, asked in this order: what the message
 * says (libvirt reports taken names and full disks under its vaguest codes), what errno a system
 * error carries, and the code itself. An error that the RPC layer raised means that the daemon is
 * not there, whatever its code says.
 */
#include <errno.h>
#include <string.h>

#include "host/libvirt.h"

typedef struct {
    const char *text;
    SteadErrorCode code;
} TextClass;

static const TextClass by_text[] = {
    {"already exists with uuid", STEAD_ERROR_CONFLICT},
    {"is already defined with uuid", STEAD_ERROR_CONFLICT},
    {"already in use by", STEAD_ERROR_CONFLICT},
    {"Unable to encode message payload", STEAD_ERROR_EXHAUSTED},
    {"No space left on device", STEAD_ERROR_EXHAUSTED},
    {"Disk quota exceeded", STEAD_ERROR_EXHAUSTED},
    {"cannot set up guest memory", STEAD_ERROR_EXHAUSTED},
    {"Cannot allocate memory", STEAD_ERROR_EXHAUSTED},
    {"Failed to get \"write\" lock", STEAD_ERROR_BUSY},
    {"cannot acquire state change lock", STEAD_ERROR_BUSY},
};

typedef struct {
    int number; /* errno, or virErrorNumber */
    SteadErrorCode code;
} NumberClass;

static const NumberClass by_errno[] = {
    {ENOENT, STEAD_ERROR_NOT_FOUND},
    {EEXIST, STEAD_ERROR_CONFLICT},
    {ENOSPC, STEAD_ERROR_EXHAUSTED},
    {EDQUOT, STEAD_ERROR_EXHAUSTED},
    {ENOMEM, STEAD_ERROR_EXHAUSTED},
    {EACCES, STEAD_ERROR_DENIED},
    {EPERM, STEAD_ERROR_DENIED},
    {EROFS, STEAD_ERROR_DENIED},
    {EBUSY, STEAD_ERROR_BUSY},
    {ECONNREFUSED, STEAD_ERROR_UNAVAILABLE},
    {ECONNRESET, STEAD_ERROR_UNAVAILABLE},
    {EPIPE, STEAD_ERROR_UNAVAILABLE},
};

static const NumberClass by_number[] = {
    {VIR_ERR_NO_MEMORY, STEAD_ERROR_EXHAUSTED},
    {VIR_ERR_NO_SUPPORT, STEAD_ERROR_UNSUPPORTED},
    {VIR_ERR_NO_CONNECT, STEAD_ERROR_UNAVAILABLE},
    {VIR_ERR_INVALID_CONN, STEAD_ERROR_UNAVAILABLE},
    {VIR_ERR_INVALID_ARG, STEAD_ERROR_INVALID},
    {VIR_ERR_XML_ERROR, STEAD_ERROR_INVALID},
    {VIR_ERR_XML_DETAIL, STEAD_ERROR_INVALID},
    {VIR_ERR_XML_INVALID_SCHEMA, STEAD_ERROR_INVALID},
    {VIR_ERR_INVALID_MAC, STEAD_ERROR_INVALID},
    {VIR_ERR_OVERFLOW, STEAD_ERROR_INVALID},
    {VIR_ERR_DOM_EXIST, STEAD_ERROR_CONFLICT},
    {VIR_ERR_NETWORK_EXIST, STEAD_ERROR_CONFLICT},
    {VIR_ERR_STORAGE_VOL_EXIST, STEAD_ERROR_CONFLICT},
    {VIR_ERR_STORAGE_POOL_BUILT, STEAD_ERROR_CONFLICT},
    {VIR_ERR_NETWORK_PORT_EXIST, STEAD_ERROR_CONFLICT},
    {VIR_ERR_OPERATION_DENIED, STEAD_ERROR_DENIED},
    {VIR_ERR_AUTH_FAILED, STEAD_ERROR_DENIED},
    {VIR_ERR_AUTH_CANCELLED, STEAD_ERROR_DENIED},
    {VIR_ERR_AUTH_UNAVAILABLE, STEAD_ERROR_DENIED},
    {VIR_ERR_ACCESS_DENIED, STEAD_ERROR_DENIED},
    {VIR_ERR_RPC, STEAD_ERROR_UNAVAILABLE},
    {VIR_ERR_NO_DOMAIN, STEAD_ERROR_NOT_FOUND},
    {VIR_ERR_NO_NETWORK, STEAD_ERROR_NOT_FOUND},
    {VIR_ERR_NO_STORAGE_POOL, STEAD_ERROR_NOT_FOUND},
    {VIR_ERR_NO_STORAGE_VOL, STEAD_ERROR_NOT_FOUND},
    {VIR_ERR_NO_INTERFACE, STEAD_ERROR_NOT_FOUND},
    {VIR_ERR_NO_DOMAIN_SNAPSHOT, STEAD_ERROR_NOT_FOUND},
    {VIR_ERR_NO_DOMAIN_METADATA, STEAD_ERROR_NOT_FOUND},
    {VIR_ERR_NO_SECRET, STEAD_ERROR_NOT_FOUND},
    {VIR_ERR_NO_NETWORK_PORT, STEAD_ERROR_NOT_FOUND},
    {VIR_ERR_DEVICE_MISSING, STEAD_ERROR_NOT_FOUND},
    {VIR_ERR_OPERATION_INVALID, STEAD_ERROR_STATE},
    {VIR_ERR_CONFIG_UNSUPPORTED, STEAD_ERROR_UNSUPPORTED},
    {VIR_ERR_ARGUMENT_UNSUPPORTED, STEAD_ERROR_UNSUPPORTED},
    {VIR_ERR_OPERATION_UNSUPPORTED, STEAD_ERROR_UNSUPPORTED},
    {VIR_ERR_CPU_INCOMPATIBLE, STEAD_ERROR_UNSUPPORTED},
    {VIR_ERR_OPERATION_TIMEOUT, STEAD_ERROR_BUSY},
    {VIR_ERR_RESOURCE_BUSY, STEAD_ERROR_BUSY},
    {VIR_ERR_BLOCK_COPY_ACTIVE, STEAD_ERROR_BUSY},
    {VIR_ERR_OPERATION_ABORTED, STEAD_ERROR_CANCELLED},
    {VIR_ERR_AGENT_UNRESPONSIVE, STEAD_ERROR_GUEST},
    {VIR_ERR_AGENT_UNSYNCED, STEAD_ERROR_GUEST},
    {VIR_ERR_NO_HOSTNAME, STEAD_ERROR_GUEST},
};

static gboolean lookup(const NumberClass *table, gsize n, int number, SteadErrorCode *code)
{
    for (gsize i = 0; i < n; i++)
        if (table[i].number == number) {
            *code = table[i].code;
            return TRUE;
        }
    return FALSE;
}

static gboolean is_lost_connection(const virError *failure)
{
    if (failure->domain != VIR_FROM_RPC && failure->domain != VIR_FROM_REMOTE)
        return FALSE;
    return failure->code == VIR_ERR_INTERNAL_ERROR || failure->code == VIR_ERR_SYSTEM_ERROR ||
           failure->code == VIR_ERR_RPC || failure->code == VIR_ERR_NO_CONNECT;
}

SteadErrorCode stead_libvirt_error_class(const virError *failure)
{
    SteadErrorCode code = STEAD_ERROR_INTERNAL;
    for (gsize i = 0; failure->message && i < G_N_ELEMENTS(by_text); i++)
        if (strstr(failure->message, by_text[i].text))
            return by_text[i].code;
    if (is_lost_connection(failure))
        return STEAD_ERROR_UNAVAILABLE;
    if (failure->code == VIR_ERR_SYSTEM_ERROR &&
        lookup(by_errno, G_N_ELEMENTS(by_errno), failure->int1, &code))
        return code;
    lookup(by_number, G_N_ELEMENTS(by_number), failure->code, &code);
    return code;
}

static const char *hint_for(SteadErrorCode code)
{
    if (code != STEAD_ERROR_UNAVAILABLE)
        return NULL;
    return g_file_test("/run/systemd/system", G_FILE_TEST_IS_DIR)
               ? "Start it: systemctl start libvirtd"
               : "Start it: virtlogd -d; libvirtd -d";
}

gboolean stead_libvirt_error(GError **error, const char *what, ...)
{
    va_list args;
    va_start(args, what);
    g_autofree char *doing = g_strdup_vprintf(what, args);
    va_end(args);

    const virError *failure = virGetLastError();
    if (failure == NULL || failure->code == VIR_ERR_OK) {
        stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "%s: libvirt gave no reason", doing);
        return FALSE;
    }
    SteadErrorCode code = stead_libvirt_error_class(failure);
    g_autofree char *reason = g_utf8_make_valid(failure->message ? failure->message : "", -1);
    stead_set_error(error, code, hint_for(code), "%s: %s", doing, g_strstrip(reason));
    return FALSE;
}
