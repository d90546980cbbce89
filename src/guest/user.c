/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of fields with ':' between them, read in place. A file is read whole into a buffer of our
 * own; its memory is touched only when somebody asks for a user.
 */
#include "guest/user.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "guest/text.h"

#define FILE_MAX (256 * 1024)
#define PASSWD_FIELDS 7 /* name:password:uid:gid:comment:home:shell */
#define GROUP_FIELDS 4  /* name:password:gid:members */

static char content[FILE_MAX];

/* Cuts the line at *at into fields and moves on to the next; false at the end. Lines with fewer
 * fields have "" in their place. */
static bool next_line(char **at, char *fields[], size_t count)
{
    if (**at == '\0')
        return false;
    char *line = *at, *end = line + strcspn(line, "\n");
    *at = *end ? end + 1 : end;
    *end = '\0';
    for (size_t i = 0; i < count; i++) {
        char *colon = line + strcspn(line, ":");
        fields[i] = line;
        line = *colon ? colon + 1 : colon;
        if (i + 1 < count)
            *colon = '\0';
    }
    return true;
}

static bool is_number(const char *text, uint64_t *number)
{
    size_t digits = guest_number(text, number);
    return digits > 0 && text[digits] == '\0' && *number < UINT32_MAX;
}

static void copy(char *to, size_t size, const char *from)
{
    GuestText text = guest_text(to, size);
    guest_text_add(&text, from);
}

static bool take_passwd_line(char *fields[], const char *words, GuestUser *user)
{
    uint64_t uid, gid;
    if (!is_number(fields[2], &uid) || !is_number(fields[3], &gid))
        return false;
    uint64_t wanted;
    bool is_it = strcmp(fields[0], words) == 0 || (is_number(words, &wanted) && wanted == uid);
    if (!is_it)
        return false;
    user->uid = (uid_t)uid;
    user->gid = (gid_t)gid;
    copy(user->name, sizeof user->name, fields[0]);
    copy(user->home, sizeof user->home, *fields[5] ? fields[5] : "/");
    return true;
}

static int find_user(const char *path, const char *words, GuestUser *user)
{
    int64_t length = guest_read_file(path, content, sizeof content);
    char *fields[PASSWD_FIELDS], *at = content;
    if (length == -EFBIG)
        return -EFBIG;
    while (length > 0 && next_line(&at, fields, PASSWD_FIELDS))
        if (take_passwd_line(fields, words, user))
            return 0;
    uint64_t uid;
    if (!is_number(words, &uid))
        return -ENOENT;
    user->uid = (uid_t)uid;
    copy(user->home, sizeof user->home, "/");
    return 0;
}

static bool is_member(const char *members, const char *name)
{
    size_t length = strlen(name);
    while (length > 0 && *members) {
        size_t n = strcspn(members, ",");
        if (n == length && memcmp(members, name, n) == 0)
            return true;
        members += members[n] ? n + 1 : n;
    }
    return false;
}

/* With `words` the group of that name or number becomes the user's; without, all that he is a
 * member of are added. */
static int find_groups(const char *path, const char *words, GuestUser *user)
{
    int64_t length = guest_read_file(path, content, sizeof content);
    char *fields[GROUP_FIELDS], *at = content;
    if (length == -EFBIG)
        return -EFBIG;
    while (length > 0 && next_line(&at, fields, GROUP_FIELDS)) {
        uint64_t gid;
        if (!is_number(fields[2], &gid))
            continue;
        if (words && strcmp(fields[0], words) == 0) {
            user->gid = (gid_t)gid;
            return 0;
        }
        if (!words && user->n_groups < GUEST_GROUPS_MAX && is_member(fields[3], user->name))
            user->groups[user->n_groups++] = (gid_t)gid;
    }
    uint64_t gid;
    if (words && !is_number(words, &gid))
        return -ENOENT;
    if (words)
        user->gid = (gid_t)gid;
    return 0;
}

int guest_user_find_in(const char *passwd, const char *group, const char *words, GuestUser *user)
{
    char name[GUEST_USER_MAX + 1];
    copy(name, sizeof name, words);
    char *colon = strchr(name, ':');
    if (colon)
        *colon = '\0';
    *user = (GuestUser){0};
    int failed = find_user(passwd, name, user);
    return failed ? failed : find_groups(group, colon ? colon + 1 : NULL, user);
}

int guest_user_find(const char *words, GuestUser *user)
{
    return guest_user_find_in("/etc/passwd", "/etc/group", words, user);
}
