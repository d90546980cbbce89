/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting stead-vmm as the daemon would, and talking to it and to its guest: for the checks that
 * run inside the nested host. Everything has a time limit; a failure ends the check that asked
 * (check.h), not the program.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define ANSWER_MAX 8192

typedef struct {
    const char *name;   /* of its sockets, log and tap */
    const char *memory; /* the file; made if there is none */
    uint64_t memory_size;
    bool is_private;
    const char *kernel, *initrd, *command_line; /* NULL: none */
    const char *disk;                           /* a raw file; NULL: none */
    const char *disk_format;
    const char *disk_base; /* what backs it; NULL: nothing */
    const char *state;     /* to restore from; NULL: none */
    const char *address;   /* of this side of its tap, "10.1.1.1/24"; NULL: no network */
    unsigned cpus;
} MachineOptions;

typedef struct {
    const char *name;
    pid_t child;             /* the process started; 0: it was waited for */
    pid_t pid;               /* of the monitor itself */
    int qmp, agent;          /* connections; -1: none */
    double started;          /* seconds */
    char events[ANSWER_MAX]; /* all events seen, one a line */
} Machine;

double now(void);

/* "fd=N" of a listening socket of that name, for an option. */
const char *machine_socket(const char *name);

void machine_start(Machine *machine, const MachineOptions *options);
/* Sends a command and returns the line that answers it. */
const char *machine_command(Machine *machine, const char *text);
/* A descriptor for a command, by that name. */
void machine_send_fd(Machine *machine, const char *name, int fd);
/* Waits for an event. */
void machine_wait_event(Machine *machine, const char *name, double seconds);
/* Runs a shell command in the guest and returns what it printed; its exit code is in *code. */
const char *machine_shell(Machine *machine, const char *command, int *code, double seconds);
/* Without waiting for the answer. */
void machine_say(Machine *machine, const char *command);
/* The exit code of the process that was started. */
int machine_wait(Machine *machine, double seconds);
/* Ends it whatever it does; nothing when it was waited for. */
void machine_kill(Machine *machine);
/* A line's worth of its log contains the text. */
bool machine_log_has(const Machine *machine, const char *text);
