/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is given back when its scope ends. */
#pragma once

#include <stdlib.h>

static inline void vmm_cleanup_free(void *pointer)
{
    free(*(void **)pointer);
}

#define VMM_AUTOFREE __attribute__((cleanup(vmm_cleanup_free)))
