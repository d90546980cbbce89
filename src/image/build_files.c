/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that make a tree of packages an image. Only drop-ins: no file of a package is changed,
 * so that upgrades in the guest ask no questions.
 *
 * Boot time under emulation decides what is in here, since every process that does not start is
 * a tenth of a second won: cloud-init looks for its data in one place and runs only the modules
 * that a virtual machine uses; the root grows by systemd-repart and systemd-growfs, not by growpart
 * and resizefs; the initramfs holds the virtual drivers alone, compressed for speed.
 */
#include "image/build_parts.h"

const SteadBuildFile stead_build_files_before[] = {
    {"/etc/dpkg/dpkg.cfg.d/stead", 0644,
     "path-exclude=/usr/share/doc/*\n"
     "path-include=/usr/share/doc/*/copyright\n"
     "path-exclude=/usr/share/info/*\n"
     "path-exclude=/usr/share/lintian/*\n"
     "path-exclude=/usr/share/locale/*\n"
     "path-exclude=/usr/share/i18n/locales/*\n"
     "path-exclude=/usr/share/man/*\n"},
    {"/etc/initramfs-tools/conf.d/stead", 0644,
     "MODULES=list\n"
     "COMPRESS=lz4\n"
     "RESUME=none\n"},
    {"/etc/initramfs-tools/hooks/stead", 0755,
     "#!/bin/sh\n"
     "# The disk drivers of virtual machines.\n"
     "[ \"$1\" = prereqs ] && exit 0\n"
     ". /usr/share/initramfs-tools/hook-functions\n"
     "force_load virtio_pci\n"
     "force_load virtio_blk\n"
     "force_load ext4\n"
     "manual_add_modules virtio_mmio virtio_scsi sd_mod nvme\n"},
    {"/etc/default/grub.d/10-stead.cfg", 0644,
     "GRUB_TIMEOUT=0\n"
     "GRUB_RECORDFAIL_TIMEOUT=0\n"
     "GRUB_CMDLINE_LINUX_DEFAULT=\"\"\n"
     "GRUB_CMDLINE_LINUX=\"console=tty0 console=ttyS0,115200n8\"\n"
     "GRUB_TERMINAL=\"console serial\"\n"
     "GRUB_SERIAL_COMMAND=\"serial --unit=0 --speed=115200\"\n"
     "GRUB_DISABLE_OS_PROBER=true\n"},
    {NULL},
};

const SteadBuildFile stead_build_files_after[] = {
    {"/etc/fstab", 0644,
     "UUID=@UUID@ / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 0\n"
     "UUID=@ESP@ /boot/efi vfat umask=0077,noauto,x-systemd.automount,"
     "x-systemd.idle-timeout=60 0 0\n"},
    {"/etc/hosts", 0644,
     "127.0.0.1\tlocalhost\n"
     "::1\tlocalhost ip6-localhost ip6-loopback\n"},
    {"/etc/machine-id", 0444, ""},
    {"/etc/default/locale", 0644, "LANG=C.UTF-8\n"},
    {"/etc/apt/sources.list.d/debian.sources", 0644,
     "Types: deb\n"
     "URIs: http://deb.debian.org/debian\n"
     "Suites: @CODENAME@ @CODENAME@-updates\n"
     "Components: main\n"
     "Signed-By: " STEAD_BUILD_KEYRING "\n"
     "\n"
     "Types: deb\n"
     "URIs: http://deb.debian.org/debian-security\n"
     "Suites: @CODENAME@-security\n"
     "Components: main\n"
     "Signed-By: " STEAD_BUILD_KEYRING "\n"},
    /* Replaced by update-grub with the first kernel upgrade in the guest. */
    {"/boot/grub/grub.cfg", 0600,
     "if [ \"$grub_platform\" = pc ]; then\n"
     "  serial --unit=0 --speed=115200\n"
     "  terminal_input console serial\n"
     "  terminal_output console serial\n"
     "fi\n"
     "search --no-floppy --fs-uuid --set=root @UUID@\n"
     "set timeout=0\n"
     "menuentry 'Debian GNU/Linux' --class debian {\n"
     "  linux /boot/vmlinuz-@KERNEL@ root=UUID=@UUID@ ro "
     "console=tty0 console=ttyS0,115200n8\n"
     "  initrd /boot/initrd.img-@KERNEL@\n"
     "}\n"},
    /* Lets grub-cloud-amd64 install GRUB again when it is upgraded. */
    {"/etc/grub.d/enable_cloud", 0644, ""},
    {"/etc/repart.d/50-root.conf", 0644,
     "[Partition]\n"
     "Type=root\n"},
    {"/etc/cloud/ds-identify.cfg", 0644, "policy: enabled\n"},
    {"/etc/cloud/cloud.cfg.d/90-stead.cfg", 0644,
     "datasource_list: [ NoCloud, None ]\n"
     "locale: C.UTF-8\n"
     "ssh_genkeytypes: [ ed25519 ]\n"
     "system_info:\n"
     "  default_user:\n"
     "    name: debian\n"
     "    lock_passwd: true\n"
     "    gecos: Debian\n"
     "    groups: [ adm, dialout, cdrom, sudo, audio, video, plugdev ]\n"
     "    sudo: [ \"ALL=(ALL) NOPASSWD:ALL\" ]\n"
     "    shell: /bin/bash\n"
     "  network:\n"
     "    renderers: [ networkd ]\n"
     "    activators: [ networkd ]\n"
     "cloud_init_modules: [ seed_random, bootcmd, write-files, disk_setup, mounts, "
     "set_hostname, update_hostname, update_etc_hosts, ca-certs, rsyslog, users-groups, ssh ]\n"
     "cloud_config_modules: [ ssh-import-id, keyboard, locale, set-passwords, apt-configure, ntp, "
     "timezone, runcmd ]\n"
     "cloud_final_modules: [ package-update-upgrade-install, write-files-deferred, "
     "scripts-vendor, scripts-per-once, scripts-per-boot, scripts-per-instance, scripts-user, "
     "phone-home, final-message, power-state-change ]\n"},
    {"/etc/systemd/system/systemd-networkd-wait-online.service.d/stead.conf", 0644,
     "[Service]\n"
     "ExecStart=\n"
     "ExecStart=/lib/systemd/systemd-networkd-wait-online --timeout=30\n"},
    /* Type=idle would hold the prompt back for 5 s while cloud-init has jobs queued. */
    {"/etc/systemd/system/getty@.service.d/stead.conf", 0644, "[Service]\nType=simple\n"},
    /* Without a size, newer systemd asks the terminal for one, and eats what is typed meanwhile. */
    {"/etc/systemd/system/serial-getty@.service.d/stead.conf", 0644,
     "[Service]\n"
     "Type=simple\n"
     "TTYRows=24\n"
     "TTYColumns=80\n"},
    {NULL},
};
