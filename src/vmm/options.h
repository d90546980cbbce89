/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line. Whoever starts this program opens every file, disk, tap and socket and names it
 * by its number: nothing is opened by a path after the start but the log's next file.
 */
#pragma once

#include <sys/types.h>

#include "vmm/error.h"
#include "vmm/pairs.h"

#define VMM_DISKS_MAX 8
#define VMM_NETS_MAX 8

typedef struct {
    VmmPairFds fds; /* the image, then what backs it */
    const char *format;
    const char *serial;
    bool is_read_only;
    uint64_t bytes_per_second, operations_per_second;
} VmmDiskOption;

typedef struct {
    int fd;
    uint8_t mac[6];
    uint64_t bytes_per_second, packets_per_second;
} VmmNetOption;

typedef struct {
    const char *name;
    uint64_t memory; /* bytes */
    int memory_fd;   /* -1: anonymous */
    bool memory_is_private;
    uint64_t cpus;
    int kernel, initrd;
    const char *command_line;
    bool name_virtio;
    VmmDiskOption disks[VMM_DISKS_MAX];
    unsigned n_disks;
    VmmNetOption nets[VMM_NETS_MAX];
    unsigned n_nets;
    int serial, console, agent, qmp; /* listening sockets, or -1 */
    bool has_console, has_rng, has_balloon;
    int log_folder;
    const char *log_name;
    uint64_t log_size, log_backups;
    int restore; /* a snapshot's state, or -1 */
    bool waits_for_snapshot, is_paused, no_reboot;
    bool no_jail, no_seccomp, daemonize;
    uid_t uid;
    gid_t gid;
    int pid_fd;
    const char *kvm;
    /* Asked for instead of a machine. */
    bool help, version, check;
} VmmOptions;

/* Takes argv apart, which is cut up. 0 or -EINVAL. */
int vmm_options_parse(VmmOptions *options, int argc, char **argv, VmmError *error);

/* The table as text, for --help. */
void vmm_options_print_help(void);
