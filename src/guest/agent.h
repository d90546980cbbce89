/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's state, and what moves it: bytes from the host, readiness of descriptors, processes
 * that end. It touches the machine only through a table of operations, so that tests can put
 * another in its place; and descriptors, which those operations give it.
 *
 * Nothing here waits. Readiness is remembered as it is told (descriptors are watched for edges),
 * and guest_agent_turn() does what can be done: one frame a stream, so that none of them starves.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "guest/outbox.h"
#include "guest/protocol.h"

typedef enum { GUEST_IN, GUEST_OUT, GUEST_ERR, GUEST_STREAMS } GuestStream;

/* A process of an EXEC. Descriptors are ours, close-on-exec and not blocking; -1 where there is
 * none. Those of a pty are one and the same terminal. */
typedef struct {
    pid_t pid;
    int fds[GUEST_STREAMS];
    bool is_pty;
} GuestProcess;

/* A file that is being written under a name of its own. */
typedef struct {
    int fd;
    char path[GUEST_PATH_MAX + 1];
    char temporary[GUEST_PATH_MAX + 32];
} GuestUpload;

/* What the agent does to the machine. Each returns 0 or a negative errno. */
typedef struct {
    /* On failure *text, which is "" before, may be set to what could not be done. */
    int (*spawn)(const GuestExec *exec, GuestProcess *process, const char **text);
    /* A process that ends when all file systems are written; its pid. */
    int (*sync)(void);
    /* All is written: what each clone of this machine would have to do first is done now. */
    void (*settle)(void);
    /* The process group of a session gets a signal. */
    void (*signal)(pid_t pid, int number);
    /* The agent is to be told by guest_agent_ready() whenever the stream becomes ready. */
    int (*watch)(int fd, unsigned channel, GuestStream stream);
    int (*upload)(const GuestPut *put, GuestUpload *upload);
    /* Puts it under its name, or removes it; closes it in any case. */
    int (*upload_end)(GuestUpload *upload, bool is_whole);
    int (*download)(const char *path, GuestFile *file); /* the descriptor */
    int (*set_clock)(uint64_t realtime);
    void (*renew)(const GuestRenew *renew, GuestRenewed *renewed);
    int (*memory)(GuestMemory *memory);
    int (*network)(GuestNetwork *network);
    /* 0: it was asked of somebody else. GUEST_LOOP_ENDS: the loop is to end for it. */
    int (*shutdown)(GuestShutdownHow how);
} GuestOps;

#define GUEST_LOOP_ENDS 1

typedef enum { GUEST_FREE, GUEST_SESSION, GUEST_PUTTING, GUEST_GETTING, GUEST_SYNCING } GuestUse;

typedef struct {
    GuestUse use;
    bool is_pty;
    bool has_eof;    /* STDIN_EOF came */
    bool has_exited; /* and `status` is what waitpid() said */
    int status;
    pid_t pid;
    int fds[GUEST_STREAMS];       /* -1: closed or never there; a file's is GUEST_OUT or GUEST_IN */
    bool is_ready[GUEST_STREAMS]; /* an edge was told, and nothing was EAGAIN since */
    bool is_hung_up[GUEST_STREAMS];
    bool is_watched[GUEST_STREAMS];
    uint32_t credit; /* bytes that may be sent to the host */
    uint32_t window; /* bytes that the host may send */
    uint32_t owed;   /* bytes that it will be given back */
    uint32_t input_begin, input_length;
    uint64_t left; /* of a file that comes; above INT64_MAX: nobody knows */
} GuestChannel;

#define GUEST_NOT_ASKED (-1)

typedef struct {
    const GuestOps *ops;
    uint32_t flags;  /* GUEST_AGENT_... */
    bool is_greeted; /* a HELLO came on this connection */
    int shutdown;    /* the GuestShutdownHow for which the loop is to end, or GUEST_NOT_ASKED */
    unsigned busy;   /* channels in use */
    unsigned next;   /* the channel whose turn it is */
    GuestChannel channels[GUEST_CHANNELS];
    GuestOutbox outbox;
    GuestDecoder decoder;
    GuestUpload uploads[GUEST_CHANNELS];
    uint8_t inputs[GUEST_CHANNELS][GUEST_WINDOW];
} GuestAgent;

/* The memory is all zero before. */
void guest_agent_init(GuestAgent *agent, const GuestOps *ops, uint32_t flags);

/* Takes bytes of the host's and acts on each frame in them. Stops early, and returns how many
 * bytes it took, when there is no room for the next answer: go on when the outbox is empty. */
size_t guest_agent_receive(GuestAgent *agent, const void *bytes, size_t length);

/* A watched descriptor is ready, for reading and writing as it may be. */
void guest_agent_ready(GuestAgent *agent, unsigned channel, GuestStream stream, bool is_hung_up);

/* A process ended with what waitpid() said; it may be none of the agent's. */
void guest_agent_exited(GuestAgent *agent, pid_t pid, int status);

/* Moves what can be moved, once round. True when another turn could move more, given room in the
 * outbox. */
bool guest_agent_turn(GuestAgent *agent);

/* The host is gone: sessions get SIGHUP, files that are not whole are removed, and nothing is
 * sent or heard until the next HELLO. */
void guest_agent_hang_up(GuestAgent *agent);
