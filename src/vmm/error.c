/* SPDX-License-Identifier: Apache-2.0 */
/* A fixed room for a reason, so that telling it cannot fail. */
#include "vmm/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int vmm_error(VmmError *error, int code, const char *format, ...)
{
    if (error == NULL)
        return code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return code;
}

int vmm_error_errno(VmmError *error, int code, const char *format, ...)
{
    if (error == NULL)
        return code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    size_t used = strlen(error->text);
    snprintf(error->text + used, sizeof error->text - used, ": %s", strerror(-code));
    return code;
}
