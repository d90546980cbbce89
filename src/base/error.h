/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The project's one error convention.
 *
 * Every function that can fail takes `GError **error` last and returns FALSE or NULL. Errors that
 * stead raises itself are of the domain STEAD_ERROR. Such an error has a code (what class of
 * failure: it fixes the HTTP status and the exit code), a message (what failed, on what) and
 * often a hint (what the user can do about it, as a full sentence or a command).
 *
 * Errors of other domains (GIO's, mostly) may pass through; stead_error_code() maps them.
 */
#pragma once

#include <glib.h>

typedef enum {
    STEAD_ERROR_INTERNAL,     /* a defect of stead, or a failure it has no better word for */
    STEAD_ERROR_INVALID,      /* the request or the spec is wrong; repeating it will not help */
    STEAD_ERROR_NOT_FOUND,    /* no such instance, image, network, ... */
    STEAD_ERROR_CONFLICT,     /* the name, address, port or subnet is taken */
    STEAD_ERROR_STATE,        /* not possible in the thing's present state */
    STEAD_ERROR_BUSY,         /* something else is using it, or a job on it is under way */
    STEAD_ERROR_EXHAUSTED,    /* no space, memory, address or slot is left */
    STEAD_ERROR_VERIFICATION, /* a checksum or signature does not match */
    STEAD_ERROR_DENIED,       /* the caller, or stead itself, lacks the permission */
    STEAD_ERROR_UNAVAILABLE,  /* something needed does not answer: libvirtd, the daemon, a mirror */
    STEAD_ERROR_MISSING,      /* a program or file that the host should have is not there */
    STEAD_ERROR_UNSUPPORTED,  /* this host, kind or pool cannot do it */
    STEAD_ERROR_GUEST,        /* the guest, or the agent in it, failed or does not answer */
    STEAD_ERROR_TIMEOUT,      /* it did not happen in the time allowed */
    STEAD_ERROR_CANCELLED,    /* cancelled by a user */
    STEAD_N_ERRORS
} SteadErrorCode;

#define STEAD_ERROR (stead_error_quark())
GQuark stead_error_quark(void);

/* Sets a STEAD_ERROR. `hint` may be NULL. Does nothing when `error` is NULL. */
void stead_set_error(GError **error, SteadErrorCode code, const char *hint, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

/* As stead_set_error(), but returns the error. */
GError *stead_error_new(SteadErrorCode code, const char *hint, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* The class of any GError, also of one from another domain. */
SteadErrorCode stead_error_code(const GError *error);

/* The hint of an error, owned by it; NULL when it has none. */
const char *stead_error_hint(const GError *error);

/* The code's name in the API ("not-found"), and the code of a name; -1 when there is none. */
const char *stead_error_code_name(SteadErrorCode code);
int stead_error_code_from_name(const char *name);

/* The HTTP status (RFC 9110, section 15) and the process exit code that stand for a code. */
guint stead_error_http_status(SteadErrorCode code);
int stead_error_exit_code(SteadErrorCode code);
