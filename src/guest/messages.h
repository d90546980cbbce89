/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payloads, by struct. guest_X_fields() reads X from fields or writes it to them, in the order
 * in which the members stand. What was read points into the payload and lives as long as it does.
 * Members out of bounds latch an error either way. Which message carries which: guest/protocol.h.
 */
#pragma once

#include <stdint.h>

#include "guest/fields.h"

#define GUEST_VERSION_TEXT_MAX 64
#define GUEST_ERROR_TEXT_MAX 256 /* what the agent says about a failure */
#define GUEST_PATH_MAX 4095
#define GUEST_SIZE_UNKNOWN UINT64_MAX /* of a file that comes: up to STDIN_EOF */
#define GUEST_USER_MAX 64
#define GUEST_ARGS_MAX 512
#define GUEST_ENV_MAX 512
#define GUEST_STRING_MAX 61440 /* one argument or variable */
#define GUEST_SIZE_MAX 4095    /* rows, columns of a pty */
#define GUEST_HOST_NAME_MAX 64 /* as the kernel has it */
#define GUEST_MACHINE_ID_LENGTH 32
#define GUEST_ENTROPY_MIN 32
#define GUEST_ENTROPY_MAX 512
#define GUEST_INTERFACES_MAX 16
#define GUEST_INTERFACE_NAME_MAX 15
#define GUEST_ADDRESSES_MAX 16 /* of one interface */
#define GUEST_SERVERS_MAX 3    /* name servers */
#define GUEST_DOMAIN_MAX 253
#define GUEST_FILES_MAX 32   /* that one RENEW writes, and likewise removes */
#define GUEST_FILE_MAX 16384 /* bytes of one of them */
#define GUEST_STEPS_MAX 128  /* of a RENEWED */

typedef struct {
    uint32_t version; /* GUEST_PROTOCOL_VERSION */
    uint64_t nonce;   /* of this connection: not to be guessed, and new each time */
} GuestHello;

#define GUEST_AGENT_IS_INIT 1U /* it is process 1 */
#define GUEST_AGENT_SYSTEMD 2U /* systemd is */

typedef struct {
    uint32_t version;  /* the agent's; a host that does not speak it hangs up */
    uint64_t nonce;    /* the host's */
    uint32_t flags;    /* GUEST_AGENT_... */
    const char *agent; /* the program's version */
} GuestHelloReply;

typedef struct {
    int32_t error;    /* a positive errno of Linux, never 0 */
    const char *text; /* what could not be done; without the errno's words */
} GuestFailed;

#define GUEST_EXEC_PTY 1U          /* on a terminal: one stream, GUEST_STDOUT */
#define GUEST_EXEC_MERGE_STDERR 2U /* stderr goes where stdout goes */
#define GUEST_EXEC_NO_STDIN 4U     /* stdin is /dev/null; cheaper. Not with PTY */

typedef struct {
    uint32_t flags;      /* GUEST_EXEC_... */
    uint16_t rows, cols; /* of the pty; 0: what the kernel gives */
    const char *user;    /* a name or number of /etc/passwd; "" is the agent's own, root */
    const char *cwd;     /* "" is the user's home, and / where there is none */
    uint32_t n_args;     /* at least 1; args[0] without '/' is looked for in PATH */
    const char *args[GUEST_ARGS_MAX + 1]; /* NULL-terminated when read */
    /* NAME=value. PATH, HOME, USER, LOGNAME and with a pty TERM are added where they lack. */
    uint32_t n_env;
    const char *env[GUEST_ENV_MAX + 1]; /* likewise */
} GuestExec;

typedef struct {
    uint32_t
        pid; /* in the guest; the process is the leader of its session and group. 0: no process */
} GuestStarted;

typedef struct {
    uint32_t code;   /* 0 to 255, when it ended by itself */
    uint32_t signal; /* of Linux, when that ended it; else 0 */
} GuestExit;

typedef struct {
    uint16_t rows, cols;
} GuestResize;

typedef struct {
    uint32_t signal; /* 1 to 64 */
} GuestSignal;

typedef struct {
    uint32_t bytes; /* 1 to GUEST_WINDOW */
} GuestCredit;

typedef struct {
    const char *path; /* absolute */
    uint32_t mode;    /* permissions, at most 07777 */
    uint32_t uid, gid;
    uint64_t size; /* so many bytes of DATA follow, or GUEST_SIZE_UNKNOWN and then STDIN_EOF; then
                      it is put under its name */
} GuestPut;

typedef struct {
    const char *path; /* absolute; of a regular file */
} GuestGet;

typedef struct {
    uint32_t mode; /* permissions */
    uint32_t uid, gid;
    uint64_t size;  /* when it was opened; DONE tells the real end */
    uint64_t mtime; /* seconds since 1970 */
} GuestFile;

typedef struct {
    uint64_t realtime; /* nanoseconds since 1970 */
} GuestClock;

typedef enum { GUEST_POWEROFF = 0, GUEST_REBOOT = 1, GUEST_HALT = 2 } GuestShutdownHow;

typedef struct {
    uint8_t how; /* GuestShutdownHow */
} GuestShutdown;

typedef struct {
    uint64_t total, free, available, cached, swap_total, swap_free; /* bytes */
    uint64_t uptime;                                                /* ms */
    uint32_t load[3]; /* over 1, 5, 15 minutes, in 1/65536 */
    uint32_t processes;
} GuestMemory;

typedef struct {
    uint8_t family; /* 4 or 6 */
    uint8_t prefix;
    uint8_t address[16]; /* of which IPv4 takes the first 4, and sends only those */
} GuestAddress;

typedef struct {
    const char *name;
    uint8_t mac[6];
    uint8_t is_up;
    uint32_t n_addresses;
    GuestAddress addresses[GUEST_ADDRESSES_MAX];
} GuestInterface;

/* What is beyond the limits is left out. Loopback is left out. */
typedef struct {
    const char *host_name;
    uint32_t n_interfaces;
    GuestInterface interfaces[GUEST_INTERFACES_MAX];
} GuestNetwork;

typedef struct {
    uint8_t match[6];   /* the MAC that the template has given it */
    uint8_t mac[6];     /* the new one; all 0 leaves the old */
    uint8_t prefix;     /* of the address; 0: IPv4 stays as it is */
    uint8_t address[4]; /* replaces all IPv4 addresses of the interface */
    uint8_t gateway[4]; /* of the default route through it; all 0: none */
} GuestNic;

typedef struct {
    const char *path; /* below a folder of GUEST_RENEW_FOLDERS, of one name */
    uint32_t mode;    /* permissions, at most 0777 */
    GuestBytes content;
} GuestRenewFile;

/* The folders whose files a RENEW may write and remove. Their files' names have no '/'. */
#define GUEST_RENEW_FOLDERS "/etc/ssh/", "/etc/stead/", "/run/stead/"

/* A clone's identity. It is done in this order; what is 0, "" or empty stays as it is. */
typedef struct {
    uint64_t realtime;      /* nanoseconds since 1970 */
    GuestBytes entropy;     /* GUEST_ENTROPY_MIN bytes at least; or none */
    const char *host_name;  /* letters, digits, '-' and '.' */
    const char *machine_id; /* GUEST_MACHINE_ID_LENGTH digits, lower case */
    uint32_t n_nics;
    GuestNic nics[GUEST_INTERFACES_MAX];
    uint32_t n_servers; /* of DNS, over IPv4 */
    uint8_t servers[GUEST_SERVERS_MAX][4];
    const char *domain; /* in which short names are looked for */
    uint32_t n_files;
    GuestRenewFile files[GUEST_FILES_MAX];
    uint32_t n_removed;
    const char *removed[GUEST_FILES_MAX]; /* paths; one that is not there is no error */
} GuestRenew;

typedef enum {
    GUEST_STEP_CLOCK = 1,
    GUEST_STEP_ENTROPY = 2,
    GUEST_STEP_HOST_NAME = 3,
    GUEST_STEP_MACHINE_ID = 4,
    GUEST_STEP_NIC = 5,  /* one for each; `index` is its place in `nics` */
    GUEST_STEP_DNS = 6,  /* also done where resolv.conf belongs to a service: that has it by DHCP */
    GUEST_STEP_FILE = 7, /* one for each, likewise */
    GUEST_STEP_REMOVE = 8, /* one for each, likewise */
} GuestStepKind;

typedef struct {
    uint8_t kind; /* GuestStepKind */
    uint8_t index;
    uint32_t error; /* 0, or a positive errno */
} GuestStep;

/* A clone is ready only when each step that was asked for stands here with error 0. */
typedef struct {
    uint32_t n_steps;
    GuestStep steps[GUEST_STEPS_MAX];
} GuestRenewed;

void guest_hello_fields(GuestFields *fields, GuestHello *message);
void guest_hello_reply_fields(GuestFields *fields, GuestHelloReply *message);
void guest_failed_fields(GuestFields *fields, GuestFailed *message);
void guest_exec_fields(GuestFields *fields, GuestExec *message);
void guest_started_fields(GuestFields *fields, GuestStarted *message);
void guest_exit_fields(GuestFields *fields, GuestExit *message);
void guest_resize_fields(GuestFields *fields, GuestResize *message);
void guest_signal_fields(GuestFields *fields, GuestSignal *message);
void guest_credit_fields(GuestFields *fields, GuestCredit *message);
void guest_put_fields(GuestFields *fields, GuestPut *message);
void guest_get_fields(GuestFields *fields, GuestGet *message);
void guest_file_fields(GuestFields *fields, GuestFile *message);
void guest_clock_fields(GuestFields *fields, GuestClock *message);
void guest_shutdown_fields(GuestFields *fields, GuestShutdown *message);
void guest_memory_fields(GuestFields *fields, GuestMemory *message);
void guest_network_fields(GuestFields *fields, GuestNetwork *message);
void guest_renew_fields(GuestFields *fields, GuestRenew *message);
void guest_renewed_fields(GuestFields *fields, GuestRenewed *message);

/* True when it asks for that many steps and all of them were done. For the host. */
bool guest_renewed_is_complete(const GuestRenew *asked, const GuestRenewed *done);

/* "host name"; "?" beyond the enumeration. */
const char *guest_step_name(unsigned kind);
