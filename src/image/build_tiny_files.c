/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a tiny image. Its init is the agent, which comes with the host's piece of the
 * initramfs (boot_piece.c); /init there is a link to it. The agent loads the modules that the list
 * names, enters the root, starts /etc/stead/boot, and answers the host at once.
 *
 * The lease is asked for once and not renewed: stead reserves an instance's address for it, and a
 * client that went on would bring a template's address back into its clones.
 */
#include "image/build_parts.h"

const char *const stead_build_tiny_folders[] = {
    "bin",     "boot",    "dev",     "etc/stead", "home",    "lib/modules", "media",
    "mnt",     "opt",     "proc",    "root",      "run",     "sbin",        "srv",
    "sys",     "tmp",     "usr/bin", "usr/sbin",  "usr/lib", "usr/share",   "var",
    "var/lib", "var/log", "var/tmp", "sysroot",   NULL,
};

const char *const stead_build_tiny_modules[] = {
    "virtio_mmio", "virtio_blk", "virtio_net", "virtio_console", "virtio_balloon", "virtio-rng",
    "button",      "evdev",      NULL,
};

const SteadBuildFile stead_build_tiny_files[] = {
    {"/etc/stead/boot", 0755,
     "#!/bin/sh\n"
     "# Started once by the agent, which is process 1, when the root is there.\n"
     "[ -s /etc/hostname ] && hostname -F /etc/hostname\n"
     "for card in /sys/class/net/*; do\n"
     "    card=${card##*/}\n"
     "    [ \"$card\" = lo ] && continue\n"
     "    # stead's networks speak IPv4. With IPv6 on, each clone would make itself known anew.\n"
     "    off=/proc/sys/net/ipv6/conf/$card/disable_ipv6\n"
     "    [ -e \"$off\" ] && echo 1 >\"$off\"\n"
     "    ip link set \"$card\" up\n"
     "    udhcpc -q -n -t 10 -A 3 -i \"$card\" -s /etc/stead/lease >/dev/null 2>&1 &\n"
     "done\n"
     "[ -x /etc/rc.local ] && /etc/rc.local &\n"
     "cd /root\n"
     "stty rows 24 cols 80 # which a serial line cannot tell\n"
     "while :; do\n"
     "    setsid cttyhack sh -l\n"
     "    sleep 1\n"
     "done\n"},
    {"/etc/stead/lease", 0755,
     "#!/bin/sh\n"
     "# Called by udhcpc with what a DHCP server offers.\n"
     "[ \"$1\" = bound ] || [ \"$1\" = renew ] || exit 0\n"
     "# The host may have given it an address meanwhile, which counts.\n"
     "ip -4 address show dev \"$interface\" scope global | grep -q inet && exit 0\n"
     "ip address add \"$ip/${mask:-24}\" dev \"$interface\"\n"
     "for gateway in $router; do\n"
     "    ip route replace default via \"$gateway\" dev \"$interface\"\n"
     "    break\n"
     "done\n"
     "[ -n \"$dns\" ] && {\n"
     "    [ -n \"$domain\" ] && echo \"search $domain\"\n"
     "    for server in $dns; do echo \"nameserver $server\"; done\n"
     "} >/etc/resolv.conf\n"
     "[ -n \"$hostname\" ] && [ ! -s /etc/hostname ] && hostname \"$hostname\"\n"
     "exit 0\n"},
    {"/etc/passwd", 0644,
     "root:x:0:0:root:/root:/bin/sh\n"
     "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
    {"/etc/shadow", 0600,
     "root:*:19000:0:99999:7:::\n"
     "nobody:*:19000:0:99999:7:::\n"},
    {"/etc/group", 0644,
     "root:x:0:\n"
     "tty:x:5:\n"
     "nogroup:x:65534:\n"},
    {"/etc/hosts", 0644,
     "127.0.0.1\tlocalhost\n"
     "::1\tlocalhost ip6-localhost ip6-loopback\n"},
    {"/etc/hostname", 0644, ""},
    {"/etc/machine-id", 0444, ""},
    {"/etc/resolv.conf", 0644, ""},
    {"/etc/fstab", 0644, "UUID=@UUID@ / ext4 rw,noatime 0 0\n"},
    {"/etc/profile", 0644,
     "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
     "export PS1='\\u@\\h:\\w\\$ '\n"},
    {"/etc/os-release", 0644,
     "NAME=\"stead tiny\"\n"
     "PRETTY_NAME=\"stead tiny (kernel and busybox of Debian @CODENAME@)\"\n"
     "ID=stead-tiny\n"
     "ID_LIKE=debian\n"
     "VERSION_CODENAME=@CODENAME@\n"},
    {NULL},
};
