/* SPDX-License-Identifier: Apache-2.0 */
/* Who a process is to be: /etc/passwd and /etc/group, read without the C library's modules. */
#pragma once

#include <sys/types.h>

#include "guest/messages.h"

#define GUEST_GROUPS_MAX 64 /* of one user; the rest is left out */
#define GUEST_HOME_MAX 255

typedef struct {
    uid_t uid;
    gid_t gid;
    size_t n_groups;
    gid_t groups[GUEST_GROUPS_MAX];
    char name[GUEST_USER_MAX + 1]; /* "" where the number has no name */
    char home[GUEST_HOME_MAX + 1];
} GuestUser;

/* "USER[:GROUP]", each a name or a number. A number need not stand in the files: its group is 0
 * then, its home /. Fails with -ENOENT for an unknown name, -EFBIG for files above 256 KiB. */
int guest_user_find(const char *words, GuestUser *user);

/* The same with files that stand elsewhere. */
int guest_user_find_in(const char *passwd, const char *group, const char *words, GuestUser *user);
