/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: one table gives each code its name, HTTP status and exit code, so that the API, the CLI
 * and the documentation cannot disagree about them. The hint rides in GError's extension area.
 */
#include "base/error.h"

#include <gio/gio.h>

typedef struct {
    const char *name;
    guint http_status;
    int exit_code;
} CodeInfo;

static const CodeInfo codes[] = {
    [STEAD_ERROR_INTERNAL] = {"internal", 500, 1},
    [STEAD_ERROR_INVALID] = {"invalid", 400, 2},
    [STEAD_ERROR_NOT_FOUND] = {"not-found", 404, 3},
    [STEAD_ERROR_CONFLICT] = {"conflict", 409, 4},
    [STEAD_ERROR_STATE] = {"state", 409, 5},
    [STEAD_ERROR_BUSY] = {"busy", 409, 6},
    [STEAD_ERROR_EXHAUSTED] = {"exhausted", 507, 7},
    [STEAD_ERROR_VERIFICATION] = {"verification", 422, 8},
    [STEAD_ERROR_DENIED] = {"denied", 403, 9},
    [STEAD_ERROR_UNAVAILABLE] = {"unavailable", 503, 10},
    [STEAD_ERROR_MISSING] = {"missing", 503, 11},
    [STEAD_ERROR_UNSUPPORTED] = {"unsupported", 501, 12},
    [STEAD_ERROR_GUEST] = {"guest", 502, 13},
    [STEAD_ERROR_TIMEOUT] = {"timeout", 504, 14},
    [STEAD_ERROR_CANCELLED] = {"cancelled", 409, 15},
};
G_STATIC_ASSERT(G_N_ELEMENTS(codes) == STEAD_N_ERRORS);

typedef struct {
    char *hint;
} SteadErrorPrivate;

static void stead_error_private_init(SteadErrorPrivate *private)
{
    private->hint = NULL;
}

static void stead_error_private_copy(const SteadErrorPrivate *from, SteadErrorPrivate *to)
{
    to->hint = g_strdup(from->hint);
}

static void stead_error_private_clear(SteadErrorPrivate *private)
{
    g_free(private->hint);
}

/* Defines stead_error_quark() and stead_error_get_private(). */
G_DEFINE_EXTENDED_ERROR(SteadError, stead_error)

static GError *error_new_valist(SteadErrorCode code, const char *hint, const char *format,
                                va_list args) G_GNUC_PRINTF(3, 0);

static GError *error_new_valist(SteadErrorCode code, const char *hint, const char *format,
                                va_list args)
{
    GError *error = g_error_new_valist(STEAD_ERROR, (int)code, format, args);
    stead_error_get_private(error)->hint = g_strdup(hint);
    return error;
}

GError *stead_error_new(SteadErrorCode code, const char *hint, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    GError *error = error_new_valist(code, hint, format, args);
    va_end(args);
    return error;
}

void stead_set_error(GError **error, SteadErrorCode code, const char *hint, const char *format, ...)
{
    if (error == NULL)
        return;
    va_list args;
    va_start(args, format);
    g_propagate_error(error, error_new_valist(code, hint, format, args));
    va_end(args);
}

static SteadErrorCode code_of_io_error(int io_code)
{
    switch (io_code) {
    case G_IO_ERROR_NOT_FOUND:
        return STEAD_ERROR_NOT_FOUND;
    case G_IO_ERROR_EXISTS:
        return STEAD_ERROR_CONFLICT;
    case G_IO_ERROR_NO_SPACE:
    case G_IO_ERROR_TOO_MANY_OPEN_FILES:
        return STEAD_ERROR_EXHAUSTED;
    case G_IO_ERROR_PERMISSION_DENIED:
    case G_IO_ERROR_READ_ONLY:
        return STEAD_ERROR_DENIED;
    case G_IO_ERROR_NOT_SUPPORTED:
        return STEAD_ERROR_UNSUPPORTED;
    case G_IO_ERROR_INVALID_ARGUMENT:
    case G_IO_ERROR_INVALID_DATA:
    case G_IO_ERROR_INVALID_FILENAME:
    case G_IO_ERROR_FILENAME_TOO_LONG:
        return STEAD_ERROR_INVALID;
    case G_IO_ERROR_CANCELLED:
        return STEAD_ERROR_CANCELLED;
    case G_IO_ERROR_TIMED_OUT:
        return STEAD_ERROR_TIMEOUT;
    case G_IO_ERROR_BUSY:
    case G_IO_ERROR_ADDRESS_IN_USE:
        return STEAD_ERROR_BUSY;
    case G_IO_ERROR_HOST_NOT_FOUND:
    case G_IO_ERROR_HOST_UNREACHABLE:
    case G_IO_ERROR_NETWORK_UNREACHABLE:
    case G_IO_ERROR_CONNECTION_REFUSED:
    case G_IO_ERROR_CONNECTION_CLOSED:
    case G_IO_ERROR_PROXY_FAILED:
        return STEAD_ERROR_UNAVAILABLE;
    default:
        return STEAD_ERROR_INTERNAL;
    }
}

static SteadErrorCode code_of_file_error(int file_code)
{
    switch (file_code) {
    case G_FILE_ERROR_NOENT:
        return STEAD_ERROR_NOT_FOUND;
    case G_FILE_ERROR_EXIST:
        return STEAD_ERROR_CONFLICT;
    case G_FILE_ERROR_NOSPC:
    case G_FILE_ERROR_NOMEM:
    case G_FILE_ERROR_MFILE:
    case G_FILE_ERROR_NFILE:
        return STEAD_ERROR_EXHAUSTED;
    case G_FILE_ERROR_ACCES:
    case G_FILE_ERROR_PERM:
    case G_FILE_ERROR_ROFS:
        return STEAD_ERROR_DENIED;
    default:
        return STEAD_ERROR_INTERNAL;
    }
}

SteadErrorCode stead_error_code(const GError *error)
{
    if (error->domain == STEAD_ERROR && error->code >= 0 && error->code < STEAD_N_ERRORS)
        return (SteadErrorCode)error->code;
    if (error->domain == G_IO_ERROR)
        return code_of_io_error(error->code);
    if (error->domain == G_FILE_ERROR)
        return code_of_file_error(error->code);
    return STEAD_ERROR_INTERNAL;
}

const char *stead_error_hint(const GError *error)
{
    if (error->domain != STEAD_ERROR)
        return NULL;
    return stead_error_get_private(error)->hint;
}

const char *stead_error_code_name(SteadErrorCode code)
{
    return code < STEAD_N_ERRORS ? codes[code].name : "internal";
}

int stead_error_code_from_name(const char *name)
{
    for (int code = 0; code < STEAD_N_ERRORS; code++)
        if (g_strcmp0(codes[code].name, name) == 0)
            return code;
    return -1;
}

guint stead_error_http_status(SteadErrorCode code)
{
    return code < STEAD_N_ERRORS ? codes[code].http_status : 500;
}

int stead_error_exit_code(SteadErrorCode code)
{
    return code < STEAD_N_ERRORS ? codes[code].exit_code : 1;
}
