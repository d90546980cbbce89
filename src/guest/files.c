/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A temporary beside the file, made by O_EXCL under a name that nobody else uses, then rename().
 * Names are followed as any program of root's would: the host may write where it likes.
 *
 * What a clone renews is small and there already. A page of a file that stays is written by one
 * call, which no reader sees half of; and under emulation, creating and renaming cost a clone some
 * 20 ms, as it has to translate all of the kernel that they need.
 */
#include "guest/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/text.h"

#define PERMISSIONS 07777
#define IN_PLACE_MAX 4096

/* "/folder/.stead-PID-N" beside /folder/name. */
static int name_temporary(GuestUpload *upload, const char *path)
{
    static uint64_t count;
    const char *slash = strrchr(path, '/');
    GuestText whole = guest_text(upload->path, sizeof upload->path);
    guest_text_add(&whole, path);
    GuestText name = guest_text(upload->temporary, sizeof upload->temporary);
    guest_text_add_bytes(&name, path, slash ? (size_t)(slash - path) + 1 : 0);
    guest_text_add(&name, ".stead-");
    guest_text_add_number(&name, (uint64_t)getpid());
    guest_text_add(&name, "-");
    guest_text_add_number(&name, ++count);
    return whole.is_cut || name.is_cut ? -ENAMETOOLONG : 0;
}

/* What a killed agent with the same number left there goes. */
static int create(const char *path)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
    int fd = open(path, flags, 0600);
    if (fd < 0 && errno == EEXIST && unlink(path) == 0)
        fd = open(path, flags, 0600);
    return fd < 0 ? -errno : fd;
}

/* The owner first, as a new owner takes away set-user-ID. */
static int set_owner_and_mode(int fd, uid_t uid, gid_t gid, mode_t mode)
{
    bool is_ours = uid == geteuid() && gid == getegid();
    if (!is_ours && fchown(fd, uid, gid) < 0)
        return -errno;
    return fchmod(fd, mode) < 0 ? -errno : 0;
}

/* Told before anything is sent, not when it cannot be renamed. */
static int refuse_folder(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode) ? -EISDIR : 0;
}

int guest_upload(const GuestPut *put, GuestUpload *upload)
{
    int failed = name_temporary(upload, put->path);
    if (!failed)
        failed = refuse_folder(put->path);
    if (failed)
        return failed;
    upload->fd = create(upload->temporary);
    if (upload->fd < 0)
        return upload->fd;
    failed = set_owner_and_mode(upload->fd, put->uid, put->gid, put->mode);
    if (failed)
        guest_upload_end(upload, false);
    return failed;
}

int guest_upload_end(GuestUpload *upload, bool is_whole)
{
    int failed = 0;
    close(upload->fd);
    if (is_whole && rename(upload->temporary, upload->path) < 0)
        failed = -errno;
    if (!is_whole || failed)
        unlink(upload->temporary);
    return failed;
}

int guest_download(const char *path, GuestFile *file)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int failed = fstat(fd, &about) < 0 ? -errno : 0;
    if (!failed && !S_ISREG(about.st_mode))
        failed = S_ISDIR(about.st_mode) ? -EISDIR : -EINVAL;
    if (failed) {
        close(fd);
        return failed;
    }
    *file = (GuestFile){
        .mode = about.st_mode & PERMISSIONS,
        .uid = about.st_uid,
        .gid = about.st_gid,
        .size = (uint64_t)about.st_size,
        .mtime = about.st_mtime > 0 ? (uint64_t)about.st_mtime : 0,
    };
    return fd;
}

/* The same file gets another content. What is shorter is written first and cut then. */
static int overwrite(const char *path, const void *content, size_t length, off_t old_length)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, content, length);
    int failed = n == (ssize_t)length ? 0 : n < 0 ? -errno : -ENOSPC;
    if (!failed && old_length > (off_t)length && ftruncate(fd, (off_t)length) < 0)
        failed = -errno;
    close(fd);
    return failed;
}

static int put_in_place(const GuestPut *put, const void *content)
{
    static GuestUpload upload;
    int failed = guest_upload(put, &upload);
    if (failed)
        return failed;
    ssize_t n = write(upload.fd, content, put->size);
    failed = n == (ssize_t)put->size ? 0 : n < 0 ? -errno : -ENOSPC;
    int not_moved = guest_upload_end(&upload, !failed);
    return failed ? failed : not_moved;
}

int guest_replace(const char *path, const void *content, size_t length, uint32_t mode)
{
    struct stat old;
    bool is_there = lstat(path, &old) == 0 && S_ISREG(old.st_mode);
    bool is_alike = is_there && old.st_nlink == 1 && (old.st_mode & PERMISSIONS) == mode;
    if (is_alike && length <= IN_PLACE_MAX && old.st_size <= IN_PLACE_MAX)
        return overwrite(path, content, length, old.st_size);
    GuestPut put = {.path = path,
                    .mode = mode,
                    .uid = is_there ? old.st_uid : geteuid(),
                    .gid = is_there ? old.st_gid : getegid(),
                    .size = length};
    int failed = put_in_place(&put, content);
    return failed == -EBUSY ? overwrite(path, content, length, old.st_size) : failed;
}
