/* SPDX-License-Identifier: Apache-2.0 */
/* Where the programs are that the daemon starts and that come with it. */
#pragma once

#include <glib.h>

/* The program of the build tree that the running one lies in, where `folder` (of src/) holds it,
 * else the installed one; NULL when there is none. Owned by the caller. */
char *stead_helper_find(const char *folder, const char *program);

/* Where it is when it is installed. Owned by the caller. */
char *stead_helper_installed(const char *program);
