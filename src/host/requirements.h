/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of what the host needs, and what its checks share. Private to the doctor.
 */
#pragma once

#include "host/checks.h"

/* What is kept of a program's or the kernel's own words, in bytes. */
#define STEAD_CHECK_TEXT_MAX 160
/* A program that is asked for its version has this long to answer. */
#define STEAD_CHECK_PROGRAM_SECONDS 3

#define STEAD_QEMU_MAJOR_MIN 6
#define STEAD_QEMU_MINOR_MIN 2

typedef struct SteadRequirement SteadRequirement;
typedef void (*SteadCheckFunc)(const SteadRequirement *requirement,
                               const SteadCheckContext *context, SteadCheckResult *result);

struct SteadRequirement {
    const char *id;
    const char *title;
    SteadCheckStatus lacking; /* how bad it is when it is not there */
    SteadCheckFunc check;
    const char *program; /* to look for; NULL where the check knows itself */
    const char *package; /* that holds it; NULL where base/subprocess.h knows */
    const char *why;
};

extern const SteadRequirement stead_requirements[];
extern const gsize stead_n_requirements;

/* The two answers of a check; what was found becomes one clean line of limited length. A user who
 * is told that something is not well is also told what to do: `mend` is never NULL, and counts
 * unless `status` is OK. */
void stead_check_well(SteadCheckResult *result, const char *format, ...) G_GNUC_PRINTF(2, 3);
void stead_check_answer(SteadCheckResult *result, SteadCheckStatus status, const char *mend,
                        const char *format, ...) G_GNUC_PRINTF(4, 5) __attribute__((nonnull(3)));

/* `command` as this user has to type it: with sudo, unless he is root. Owned by the caller. */
char *stead_check_command(const char *command);

/* "/proc/meminfo" below the context's system root. Owned by the caller. */
char *stead_check_path(const SteadCheckContext *context, const char *path);

/* A file's text below the system root, stripped; NULL when it cannot be read. */
char *stead_check_read(const SteadCheckContext *context, const char *path);

/* The program's path in the context's search path; NULL when it is not there. */
char *stead_check_find_program(const SteadCheckContext *context, const char *name);

/* What argv prints, unless it fails or takes longer than STEAD_CHECK_PROGRAM_SECONDS. */
gboolean stead_check_run_program(const SteadCheckContext *context, const char *const argv[],
                                 char **output, GError **error);

/* How well an amount is: `least` is needed to work at all, `good` to work well. */
SteadCheckStatus stead_check_level(guint64 amount, guint64 least, guint64 good);

/* The major and minor version in "QEMU emulator version 7.2.22 (Debian ...)". */
gboolean stead_check_parse_version(const char *text, guint *major, guint *minor);

/* MemAvailable of /proc/meminfo's text, in bytes; 0 when it has none. */
guint64 stead_check_parse_available(const char *meminfo);

/* The checks, by the file that holds them. */

/* check_programs.c */
void stead_check_program(const SteadRequirement *requirement, const SteadCheckContext *context,
                         SteadCheckResult *result);
void stead_check_qemu(const SteadRequirement *requirement, const SteadCheckContext *context,
                      SteadCheckResult *result);
void stead_check_firmware(const SteadRequirement *requirement, const SteadCheckContext *context,
                          SteadCheckResult *result);
void stead_check_nat(const SteadRequirement *requirement, const SteadCheckContext *context,
                     SteadCheckResult *result);

/* check_services.c */
void stead_check_privilege(const SteadRequirement *requirement, const SteadCheckContext *context,
                           SteadCheckResult *result);
void stead_check_group(const SteadRequirement *requirement, const SteadCheckContext *context,
                       SteadCheckResult *result);
void stead_check_libvirtd(const SteadRequirement *requirement, const SteadCheckContext *context,
                          SteadCheckResult *result);
void stead_check_virtlogd(const SteadRequirement *requirement, const SteadCheckContext *context,
                          SteadCheckResult *result);

/* check_kvm.c */
void stead_check_kvm(const SteadRequirement *requirement, const SteadCheckContext *context,
                     SteadCheckResult *result);
void stead_check_kvm_access(const SteadRequirement *requirement, const SteadCheckContext *context,
                            SteadCheckResult *result);

/* check_kernel.c */
void stead_check_tun(const SteadRequirement *requirement, const SteadCheckContext *context,
                     SteadCheckResult *result);
void stead_check_forwarding(const SteadRequirement *requirement, const SteadCheckContext *context,
                            SteadCheckResult *result);
void stead_check_cgroup(const SteadRequirement *requirement, const SteadCheckContext *context,
                        SteadCheckResult *result);

/* check_resources.c */
void stead_check_state_folder(const SteadRequirement *requirement, const SteadCheckContext *context,
                              SteadCheckResult *result);
void stead_check_disk_space(const SteadRequirement *requirement, const SteadCheckContext *context,
                            SteadCheckResult *result);
void stead_check_memory(const SteadRequirement *requirement, const SteadCheckContext *context,
                        SteadCheckResult *result);
void stead_check_descriptors(const SteadRequirement *requirement, const SteadCheckContext *context,
                             SteadCheckResult *result);
