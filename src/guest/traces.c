/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An interface is set up by files that name it by its MAC: whoever reads them again (an upgrade of
 * systemd is enough) would find none for the new one, and leave the clone without an address.
 *
 * An SSH server since OpenSSH 9.8 gives the keys that it has read to whatever serves a connection,
 * so that all clones would show their template's; older ones read them anew each time. It closes
 * its sockets, reads its files and goes on when it is told to, and accepts nobody before that. It
 * is spared where that is not needed: each of fifty clones would translate it anew.
 */
#include "guest/traces.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/files.h"
#include "guest/text.h"

#define MAC_SIZE 6
#define MAC_TEXT 17
#define FILES_MAX 64 /* of a folder */
#define FILE_MAX 16384
#define PATH_SIZE 512

static const char *const folders[] = {
    "/etc/systemd/network", "/run/systemd/network",
    "/etc/netplan",         "/etc/NetworkManager/system-connections",
    "/etc/udev/rules.d",
};

/* What serves a connection, for a server that keeps its keys. */
static const char *const keepers[] = {
    "/usr/lib/openssh/sshd-session",
    "/usr/libexec/openssh/sshd-session",
    "/usr/lib/ssh/sshd-session",
    "/usr/libexec/sshd-session",
};

typedef struct {
    char old[MAC_TEXT + 1], new[MAC_TEXT + 1];
} Renaming;

static void write_mac(char *text, const uint8_t *mac)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < MAC_SIZE; i++) {
        *text++ = digits[mac[i] >> 4];
        *text++ = digits[mac[i] & 15];
        *text++ = i + 1 < MAC_SIZE ? ':' : '\0';
    }
}

static uint32_t list_renamings(const GuestNic *nics, uint32_t count, Renaming *renamings)
{
    static const uint8_t none[MAC_SIZE];
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (memcmp(nics[i].mac, none, MAC_SIZE) == 0 ||
            memcmp(nics[i].mac, nics[i].match, MAC_SIZE) == 0)
            continue;
        write_mac(renamings[n].old, nics[i].match);
        write_mac(renamings[n++].new, nics[i].mac);
    }
    return n;
}

/* In one go, so that a new MAC which is another's old one stays. */
static bool rename_in(char *text, const Renaming *renamings, uint32_t count)
{
    bool changed = false;
    for (char *at = text; *at; at++)
        for (uint32_t i = 0; i < count; i++)
            if (strncasecmp(at, renamings[i].old, MAC_TEXT) == 0) {
                memcpy(at, renamings[i].new, MAC_TEXT);
                at += MAC_TEXT - 1;
                changed = true;
                break;
            }
    return changed;
}

/* One that is too large, or no text, was not written by whoever set up the network. */
static int rename_in_file(const char *path, const Renaming *renamings, uint32_t count)
{
    static char content[FILE_MAX];
    struct stat about;
    if (lstat(path, &about) < 0 || !S_ISREG(about.st_mode))
        return 0;
    int64_t length = guest_read_file(path, content, sizeof content);
    if (length < 0 || strlen(content) != (size_t)length || !rename_in(content, renamings, count))
        return 0;
    return guest_replace(path, content, (size_t)length, about.st_mode & 0777);
}

static int rename_below(const char *folder, const Renaming *renamings, uint32_t count)
{
    char path[PATH_SIZE];
    int failed = 0;
    DIR *dir = opendir(folder);
    struct dirent *entry;
    for (int i = 0; dir && i < FILES_MAX && (entry = readdir(dir)); i++) {
        GuestText text = guest_text(path, sizeof path);
        guest_text_add(&text, folder);
        guest_text_add(&text, "/");
        guest_text_add(&text, entry->d_name);
        int result = text.is_cut ? 0 : rename_in_file(path, renamings, count);
        failed = failed ? failed : result;
    }
    if (dir)
        closedir(dir);
    return failed;
}

int guest_rename_macs(const GuestNic *nics, uint32_t count)
{
    if (getpid() == 1) /* nobody else sets up interfaces, and what is not run takes no memory */
        return 0;
    Renaming renamings[GUEST_INTERFACES_MAX];
    uint32_t n = list_renamings(nics, count, renamings);
    int failed = 0;
    for (size_t i = 0; n > 0 && i < sizeof folders / sizeof *folders; i++) {
        int result = rename_below(folders[i], renamings, n);
        failed = failed ? failed : result;
    }
    return failed;
}

/* ---- the SSH server ---- */

static bool keeps_keys(void)
{
    for (size_t i = 0; i < sizeof keepers / sizeof *keepers; i++)
        if (access(keepers[i], F_OK) == 0)
            return true;
    return false;
}

/* What its file says may be another process by now. */
static pid_t find_sshd(void)
{
    char number[24], path[64], name[32];
    uint64_t pid;
    if (guest_read_file("/run/sshd.pid", number, sizeof number) <= 0 ||
        guest_number(number, &pid) == 0 || pid <= 1 || pid > INT32_MAX)
        return 0;
    GuestText text = guest_text(path, sizeof path);
    guest_text_add(&text, "/proc/");
    guest_text_add_number(&text, pid);
    guest_text_add(&text, "/comm");
    bool is_it = guest_read_file(path, name, sizeof name) > 0 && strcmp(name, "sshd\n") == 0;
    return is_it ? (pid_t)pid : 0;
}

void guest_tell_sshd(void)
{
    pid_t pid = keeps_keys() ? find_sshd() : 0;
    if (pid)
        kill(pid, SIGHUP);
}
