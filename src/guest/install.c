/* SPDX-License-Identifier: Apache-2.0 */
/* Once per boot, in an initramfs that has hardly any programs: no helper, no shell. */
#include "guest/install.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/text.h"

#define FOLDER_MAX 255
#define PATH_SIZE 512
#define OWN_FOLDER "/stead"
#define MEMORY "mode=0755,size=8m,nr_inodes=64"

/* It may use /run/stead until it is stopped, so that is unmounted after. */
static const char unit[] = "[Unit]\n"
                           "Description=stead's agent\n"
                           "Documentation=man:stead(1)\n"
                           "DefaultDependencies=no\n"
                           "RequiresMountsFor=/run/stead\n"
                           "After=systemd-remount-fs.service systemd-tmpfiles-setup-dev.service\n"
                           "Before=sysinit.target shutdown.target\n"
                           "Conflicts=shutdown.target\n"
                           "StartLimitIntervalSec=0\n"
                           "\n"
                           "[Service]\n"
                           "ExecStart=/run/stead/agent\n"
                           "Restart=always\n"
                           "RestartSec=1\n"
                           "KillMode=process\n";

/* The network's own server knows all names. Asking the neighbours instead, each of some dozens of
 * clones keeps all others busy; and whoever wishes may answer. */
static const char no_llmnr[] = "[Resolve]\nLLMNR=no\n";

/* By what a DHCP server knows a guest. Made of the machine's id, as it is otherwise, it would stay
 * in memory when a clone gets another one, and all clones be one guest to the server. */
static const char own_mac[] = "[DHCPv4]\nDUIDType=link-layer\n[DHCPv6]\nDUIDType=link-layer\n";

static const char *const folders[] = {
    "/systemd",
    "/systemd/resolved.conf.d",
    "/systemd/networkd.conf.d",
    "/systemd/system",
    "/systemd/system/sysinit.target.wants",
    "/modules-load.d",
};

static const struct {
    const char *place, *content;
} files[] = {
    {"/systemd/system/stead-agent.service", unit},
    {"/systemd/resolved.conf.d/00-stead.conf", no_llmnr},
    {"/systemd/networkd.conf.d/00-stead.conf", own_mac},
    {"/modules-load.d/stead.conf", "virtio_console\n"},
};

#define WANT "/systemd/system/sysinit.target.wants/stead-agent.service"
#define WANTED "../stead-agent.service"

typedef struct {
    char text[PATH_SIZE];
} Path;

static Path below(const char *folder, const char *place)
{
    Path path;
    GuestText text = guest_text(path.text, sizeof path.text);
    guest_text_add(&text, folder);
    guest_text_add(&text, place);
    return path;
}

static int make_folder(const char *path)
{
    return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int write_file(const char *path, const char *content)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, content, strlen(content));
    int failed = n == (ssize_t)strlen(content) ? 0 : n < 0 ? -errno : -ENOSPC;
    close(fd);
    return failed;
}

static int copy_bytes(int from, int to)
{
    for (;;) {
        ssize_t n = sendfile(to, from, NULL, 1 << 20);
        if (n <= 0)
            return n < 0 ? -errno : 0;
    }
}

/* The program that runs, under a name of its own first: it may be in use under the other. */
static int copy_self(const char *folder)
{
    Path fresh = below(folder, OWN_FOLDER "/agent.new"), path = below(folder, OWN_FOLDER "/agent");
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return -errno;
    int to = open(fresh.text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    int failed = to < 0 ? -errno : copy_bytes(from, to);
    close(from);
    if (to >= 0)
        close(to);
    if (!failed && rename(fresh.text, path.text) < 0)
        failed = -errno;
    return failed;
}

static int mount_own(const char *folder)
{
    Path own = below(folder, OWN_FOLDER);
    int failed = make_folder(own.text);
    if (failed)
        return failed;
    return mount("tmpfs", own.text, "tmpfs", MS_NOSUID | MS_NODEV, MEMORY) < 0 ? -errno : 0;
}

static int tell_systemd(const char *folder)
{
    int failed = 0;
    for (size_t i = 0; !failed && i < sizeof folders / sizeof *folders; i++)
        failed = make_folder(below(folder, folders[i]).text);
    for (size_t i = 0; !failed && i < sizeof files / sizeof *files; i++)
        failed = write_file(below(folder, files[i].place).text, files[i].content);
    if (!failed && symlink(WANTED, below(folder, WANT).text) < 0 && errno != EEXIST)
        failed = -errno;
    return failed;
}

int guest_install(const char *folder, const char **what)
{
    *what = "use that folder";
    if (folder[0] != '/' || strlen(folder) > FOLDER_MAX)
        return -EINVAL;
    umask(022);
    *what = "mount a file system";
    int failed = mount_own(folder);
    if (failed)
        return failed;
    *what = "copy the agent";
    failed = copy_self(folder);
    if (failed)
        return failed;
    *what = "write its unit";
    return tell_systemd(folder);
}
