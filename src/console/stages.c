/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The expect rules. Two tables say what guests write: one what shows that a stage has begun, one
 * what shows that a boot has gone wrong. A rule is one or two plain strings, the second of which
 * follows the first anywhere on the line; there are no regular expressions here, so that the time
 * per line is bounded whatever a guest writes.
 *
 * systemd shortens a unit's name in the middle where the line would exceed 80 columns, so only
 * names that fit are of use.
 *
 * Before a line is compared, what the kernel and systemd put in front is taken off ("[    1.234567]
 * ", "[  OK  ] ", "systemd[1]: "), so that HEAD rules can demand the beginning of a line: a word
 * inside somebody's message must not count as a stage. PROMPT rules also look at a line that has no
 * end yet; they are few, and firmware, shells and getty alone wait on such a line.
 *
 * A boot only goes forward. Interleaved output (systemd starts things in parallel) shows an earlier
 * stage late: that is no event. But firmware, or a boot loader's greeting, after the kernel ran is
 * a reboot, and begins a new boot; kernel messages do not, since `dmesg` repeats them.
 */
#include "console/stages.h"

#include <string.h>

#include "console/lines.h"

#define HOST_NAME_MAX_LENGTH 64

typedef enum {
    HEAD = 1 << 0,   /* the line begins with it */
    PROMPT = 1 << 1, /* also on a line without an end */
    REBOOT = 1 << 2, /* seen after the kernel ran, it begins a new boot */
    ENDS = 1 << 3,   /* the second string ends the line */
} Flags;

typedef struct {
    const char *name;
    double fraction;
} StageInfo;

/* Fractions of an emulated boot of Debian 12 with cloud-init on two cores. */
static const StageInfo infos[] = {
    [STEAD_STAGE_NONE] = {"none", 0.0},
    [STEAD_STAGE_FIRMWARE] = {"firmware", 0.01},
    [STEAD_STAGE_BOOTLOADER] = {"bootloader", 0.06},
    [STEAD_STAGE_KERNEL] = {"kernel", 0.07},
    [STEAD_STAGE_INITRAMFS] = {"initramfs", 0.12},
    [STEAD_STAGE_INIT] = {"init", 0.20},
    [STEAD_STAGE_NETWORK] = {"network", 0.62},
    [STEAD_STAGE_SSH] = {"ssh", 0.80},
    [STEAD_STAGE_CLOUD_INIT] = {"cloud-init", 0.86},
    [STEAD_STAGE_LOGIN] = {"login", 0.94},
    [STEAD_STAGE_CONFIGURED] = {"configured", 1.0},
};
G_STATIC_ASSERT(G_N_ELEMENTS(infos) == STEAD_N_STAGES);

typedef struct {
    SteadStage stage;
    guint flags;
    const char *text;
    const char *then; /* follows `text` on the line; NULL: nothing more */
} StageRule;

static const StageRule stage_rules[] = {
    {STEAD_STAGE_FIRMWARE, HEAD | REBOOT, "BdsDxe: loading Boot", NULL},
    {STEAD_STAGE_FIRMWARE, HEAD | REBOOT, "BdsDxe: starting Boot", NULL},
    {STEAD_STAGE_FIRMWARE, HEAD | REBOOT, "SeaBIOS (version", NULL},
    {STEAD_STAGE_FIRMWARE, HEAD | REBOOT, ">>Start PXE over", NULL},
    {STEAD_STAGE_FIRMWARE, HEAD | REBOOT, ">>Start HTTP Boot over", NULL},
    {STEAD_STAGE_FIRMWARE, HEAD, "iPXE ", "Open Source Network Boot Firmware"},
    {STEAD_STAGE_FIRMWARE, HEAD, "UEFI Interactive Shell", NULL},
    {STEAD_STAGE_BOOTLOADER, HEAD | REBOOT, "Welcome to GRUB!", NULL},
    {STEAD_STAGE_BOOTLOADER, HEAD | REBOOT, "GRUB loading", NULL},
    {STEAD_STAGE_BOOTLOADER, 0, "GNU GRUB  version", NULL},
    {STEAD_STAGE_BOOTLOADER, 0, "Booting `", "'"},
    {STEAD_STAGE_BOOTLOADER, HEAD, "Loading Linux ", NULL},
    {STEAD_STAGE_BOOTLOADER, HEAD, "Loading initial ramdisk", NULL},
    {STEAD_STAGE_BOOTLOADER, HEAD | REBOOT, "ISOLINUX ", NULL},
    {STEAD_STAGE_BOOTLOADER, HEAD | REBOOT, "SYSLINUX ", NULL},
    {STEAD_STAGE_KERNEL, HEAD, "EFI stub: ", NULL},
    {STEAD_STAGE_KERNEL, HEAD, "Decompressing Linux", NULL},
    {STEAD_STAGE_KERNEL, HEAD, "Linux version ", NULL},
    {STEAD_STAGE_KERNEL, HEAD, "Command line: ", NULL},
    {STEAD_STAGE_INITRAMFS, HEAD, "Run /init as init process", NULL},
    {STEAD_STAGE_INITRAMFS, HEAD, "Loading, please wait...", NULL},
    {STEAD_STAGE_INITRAMFS, HEAD, "Begin: ", "..."},
    {STEAD_STAGE_INITRAMFS, HEAD, "Running in initrd", NULL},
    {STEAD_STAGE_INITRAMFS, HEAD, "Running in initial RAM disk", NULL},
    {STEAD_STAGE_INIT, HEAD | ENDS, "Welcome to ", "!"},
    {STEAD_STAGE_INIT, HEAD, "Run /sbin/init as init process", NULL},
    {STEAD_STAGE_INIT, HEAD, "systemd ", "running in system mode"},
    {STEAD_STAGE_INIT, HEAD, "Detected architecture", NULL},
    {STEAD_STAGE_INIT, HEAD, "Hostname set to <", NULL},
    {STEAD_STAGE_INIT, HEAD, "INIT: version ", "booting"},
    {STEAD_STAGE_INIT, HEAD, "OpenRC ", "is starting up"},
    {STEAD_STAGE_NETWORK, HEAD, "Started systemd-networkd.service", NULL},
    {STEAD_STAGE_NETWORK, HEAD, "Started Network Configuration", NULL},
    {STEAD_STAGE_NETWORK, HEAD, "Started Network Service", NULL},
    {STEAD_STAGE_NETWORK, HEAD, "Started Network Manager", NULL},
    {STEAD_STAGE_NETWORK, HEAD, "Started NetworkManager.service", NULL},
    {STEAD_STAGE_NETWORK, HEAD, "Reached target network.target", NULL},
    {STEAD_STAGE_NETWORK, HEAD, "Reached target network-online.target", NULL},
    {STEAD_STAGE_NETWORK, HEAD, "Reached target Network.", NULL},
    {STEAD_STAGE_NETWORK, HEAD, "Reached target Network is Online", NULL},
    {STEAD_STAGE_NETWORK, 0, "ci-info: ", "Net device info"},
    {STEAD_STAGE_NETWORK, HEAD, "Finished networking.service", NULL},
    {STEAD_STAGE_SSH, HEAD, "Started ssh.service", NULL},
    {STEAD_STAGE_SSH, HEAD, "Started sshd.service", NULL},
    {STEAD_STAGE_SSH, HEAD, "Started OpenBSD Secure Shell server", NULL},
    {STEAD_STAGE_SSH, HEAD, "Started OpenSSH server daemon", NULL},
    {STEAD_STAGE_SSH, HEAD, "Starting sshd", "ok"},
    {STEAD_STAGE_CLOUD_INIT, 0, "Cloud-init v. ", "running 'modules:config'"},
    {STEAD_STAGE_CLOUD_INIT, 0, "Cloud-init v. ", "running 'modules:final'"},
    {STEAD_STAGE_CONFIGURED, 0, "Cloud-init v. ", " finished at "},
    {STEAD_STAGE_CONFIGURED, HEAD, "Reached target cloud-init.target", NULL},
    {STEAD_STAGE_CONFIGURED, HEAD, "Reached target Cloud-init target", NULL},
};

typedef struct {
    const char *trouble;
    guint flags;
    const char *text;
    const char *then;
} TroubleRule;

/* Rules with the same phrase are one kind of trouble. */
static const TroubleRule trouble_rules[] = {
    {"the kernel panicked", HEAD, "Kernel panic - not syncing: ", NULL},
    {"the firmware found no bootable device", HEAD, "BdsDxe: No bootable option", NULL},
    {"the firmware found no bootable device", HEAD, "No bootable device.", NULL},
    {"the firmware found no bootable device", HEAD, "Boot failed: not a bootable disk", NULL},
    {"the firmware found no bootable device", HEAD, "UEFI Interactive Shell", NULL},
    {"the boot loader is in its rescue shell", HEAD | PROMPT, "grub rescue>", NULL},
    {"the boot loader found no system", HEAD | PROMPT, "grub>", NULL},
    {"the root file system was not found", HEAD, "ALERT!", "does not exist"},
    {"the root file system was not found", 0, "VFS: Unable to mount root fs", NULL},
    {"the root file system was not found", HEAD, "Gave up waiting for root", NULL},
    {"the root file system cannot be mounted", HEAD, "Failed to mount ", "as root file system"},
    {"the initramfs is in its rescue shell", HEAD | PROMPT, "(initramfs) ", NULL},
    {"the system is in emergency mode", HEAD, "You are in emergency mode", NULL},
    {"the system is in emergency mode", HEAD, "Entering emergency mode", NULL},
    {"the system is in emergency mode", HEAD, "Reached target emergency.target", NULL},
    {"the system is in emergency mode", HEAD, "Reached target Emergency Mode", NULL},
    {"the system is in emergency mode", HEAD, "Cannot open access to console, the root account",
     NULL},
    {"the system is in rescue mode", HEAD, "You are in rescue mode", NULL},
    {"cloud-init failed", HEAD, "Failed to start cloud-", NULL},
    {"cloud-init failed", HEAD, "Failed to start Initial cloud-init job", NULL},
    {"cloud-init failed", HEAD, "Failed to start Apply the settings specified in cloud-config",
     NULL},
    {"cloud-init failed", HEAD, "Failed to start Execute cloud user/final scripts", NULL},
    {"cloud-init cannot read the user-data", 0, "Failed loading yaml blob", NULL},
    {"cloud-init cannot read the user-data", 0, "Unhandled non-multipart (text/x-not-multipart)",
     NULL},
    {"the guest ran out of memory", HEAD, "Out of memory: Killed process", NULL},
};
G_STATIC_ASSERT(G_N_ELEMENTS(trouble_rules) <= 64);

struct _SteadStages {
    SteadLines lines;
    SteadStage stage;
    guint64 troubles; /* bit i: trouble_rules[i] or one of the same phrase was told */
    SteadStageFunc func;
    gpointer data;
};

const char *stead_stage_name(SteadStage stage)
{
    return stage < STEAD_N_STAGES ? infos[stage].name : infos[STEAD_STAGE_NONE].name;
}

int stead_stage_from_name(const char *name)
{
    for (int stage = 0; stage < STEAD_N_STAGES; stage++)
        if (g_strcmp0(infos[stage].name, name) == 0)
            return stage;
    return -1;
}

double stead_stage_fraction(SteadStage stage)
{
    return stage < STEAD_N_STAGES ? infos[stage].fraction : 0.0;
}

SteadStages *stead_stages_new(void)
{
    SteadStages *stages = g_new0(SteadStages, 1);
    stead_lines_init(&stages->lines);
    return stages;
}

void stead_stages_free(SteadStages *stages)
{
    if (stages == NULL)
        return;
    stead_lines_clear(&stages->lines);
    g_free(stages);
}

void stead_stages_reset(SteadStages *stages)
{
    stead_lines_clear(&stages->lines);
    stead_lines_init(&stages->lines);
    stages->stage = STEAD_STAGE_NONE;
    stages->troubles = 0;
}

SteadStage stead_stages_current(const SteadStages *stages)
{
    return stages->stage;
}

/* Takes off the kernel's time stamp and systemd's status. */
static const char *skip_head(const char *line)
{
    line += strspn(line, " ");
    while (line[0] == '[') {
        gsize inner = strspn(line + 1, " 0123456789.T");
        const char *status = line + 1 + strspn(line + 1, " ");
        if (line[1 + inner] == ']')
            line += inner + 2;
        else if (g_str_has_prefix(status, "OK ") || g_str_has_prefix(status, "FAILED"))
            line = strchr(status, ']') ? strchr(status, ']') + 1 : status;
        else
            break;
        line += strspn(line, " ");
    }
    if (g_str_has_prefix(line, "systemd[1]: "))
        line += strlen("systemd[1]: ");
    return line;
}

static gboolean matches(const char *line, gboolean whole, guint flags, const char *text,
                        const char *then)
{
    if (!whole && !(flags & PROMPT))
        return FALSE;
    const char *at =
        flags & HEAD ? (g_str_has_prefix(line, text) ? line : NULL) : strstr(line, text);
    if (at == NULL || then == NULL)
        return at != NULL;
    at += strlen(text);
    return flags & ENDS ? g_str_has_suffix(at, then) : strstr(at, then) != NULL;
}

/* getty's prompt: "HOST login:" at the beginning of a line; what was typed may follow. */
static gboolean is_login_prompt(const char *line)
{
    const char *prompt = strstr(line, " login:");
    if (prompt == NULL || prompt == line || prompt - line > HOST_NAME_MAX_LENGTH)
        return FALSE;
    for (const char *c = line; c < prompt; c++)
        if (!g_ascii_isalnum(*c) && *c != '-' && *c != '.' && *c != '_')
            return FALSE;
    return !g_str_has_prefix(line, "Last login:"); /* what login(1) greets with */
}

static void reach(SteadStages *stages, SteadStage stage, gboolean reboot, const char *line)
{
    stages->stage = stage;
    SteadStageEvent event = {.stage = stage, .line = line, .reboot = reboot};
    stages->func(&event, stages->data);
}

static void look_for_stage(SteadStages *stages, const char *line, const char *body, gboolean whole)
{
    if (stages->stage < STEAD_STAGE_LOGIN && is_login_prompt(line))
        reach(stages, STEAD_STAGE_LOGIN, FALSE, line); /* others may write behind it */
    for (gsize i = 0; i < G_N_ELEMENTS(stage_rules); i++) {
        const StageRule *rule = &stage_rules[i];
        gboolean anew = stages->stage > STEAD_STAGE_KERNEL && (rule->flags & REBOOT);
        if (rule->stage <= stages->stage && !anew)
            continue;
        if (!matches(body, whole, rule->flags, rule->text, rule->then))
            continue;
        if (anew)
            stages->troubles = 0;
        reach(stages, rule->stage, anew, line);
        return;
    }
}

static guint64 bits_of_kind(const char *trouble)
{
    guint64 bits = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(trouble_rules); i++)
        if (strcmp(trouble_rules[i].trouble, trouble) == 0)
            bits |= G_GUINT64_CONSTANT(1) << i;
    return bits;
}

static void look_for_trouble(SteadStages *stages, const char *line, const char *body,
                             gboolean whole)
{
    for (gsize i = 0; i < G_N_ELEMENTS(trouble_rules); i++) {
        const TroubleRule *rule = &trouble_rules[i];
        if (stages->troubles & (G_GUINT64_CONSTANT(1) << i) ||
            !matches(body, whole, rule->flags, rule->text, rule->then))
            continue;
        stages->troubles |= bits_of_kind(rule->trouble);
        SteadStageEvent event = {.stage = stages->stage, .line = line, .trouble = rule->trouble};
        stages->func(&event, stages->data);
        return;
    }
}

static void look_at_line(const char *line, gboolean whole, gpointer data)
{
    /* Others write behind a prompt: "web login: [  OK  ] Started ssh.service". */
    const char *prompt = is_login_prompt(line) ? strstr(line, " login:") : NULL;
    const char *body = skip_head(prompt ? prompt + strlen(" login:") : line);
    look_for_stage(data, line, body, whole);
    look_for_trouble(data, line, body, whole);
}

void stead_stages_feed(SteadStages *stages, const void *bytes, gsize n, SteadStageFunc func,
                       gpointer data)
{
    stages->func = func;
    stages->data = data;
    stead_lines_feed(&stages->lines, bytes, n, look_at_line, stages);
}
