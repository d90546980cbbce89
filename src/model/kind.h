/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small closed vocabularies of the model: kinds, states, and the choices that a spec offers.
 * Each enum stands beside its string table; enum_names are what YAML, JSON and the CLI show.
 */
#pragma once

#include <glib.h>

/* What runs an instance (AUTO: stead chooses, and says why). */
typedef enum { STEAD_KIND_AUTO, STEAD_KIND_VM, STEAD_KIND_MICROVM, STEAD_N_KINDS } SteadKind;

/* creating → stopped ⇄ starting → running → stopping → stopped; failed; paused.
 * `removing` is the way out: nothing but the record's removal follows it. */
typedef enum {
    STEAD_STATE_CREATING,
    STEAD_STATE_STOPPED,
    STEAD_STATE_STARTING,
    STEAD_STATE_RUNNING,
    STEAD_STATE_PAUSED,
    STEAD_STATE_STOPPING,
    STEAD_STATE_FAILED,
    STEAD_STATE_REMOVING,
    STEAD_N_STATES
} SteadState;

/* What a user asks of an instance. */
typedef enum {
    STEAD_ACTION_NONE,
    STEAD_ACTION_START,
    STEAD_ACTION_STOP,
    STEAD_ACTION_RESTART,
    STEAD_ACTION_PAUSE,
    STEAD_ACTION_RESUME,
    STEAD_ACTION_REMOVE,
    STEAD_N_ACTIONS
} SteadAction;

typedef enum { STEAD_FIRMWARE_UEFI, STEAD_FIRMWARE_BIOS, STEAD_N_FIRMWARES } SteadFirmware;

/* When stead starts an instance again that ended without being asked to. */
typedef enum {
    STEAD_RESTART_NEVER,
    STEAD_RESTART_ON_FAILURE,
    STEAD_RESTART_ALWAYS,
    STEAD_N_RESTARTS
} SteadRestart;

typedef enum {
    STEAD_HUGEPAGES_OFF,
    STEAD_HUGEPAGES_2M,
    STEAD_HUGEPAGES_1G,
    STEAD_N_HUGEPAGES
} SteadHugepages;

/* libvirt's numatune modes. */
typedef enum {
    STEAD_NUMA_STRICT,
    STEAD_NUMA_PREFERRED,
    STEAD_NUMA_INTERLEAVE,
    STEAD_N_NUMA_MODES
} SteadNumaMode;

/* How a network reaches the world. BRIDGE: an existing bridge of the host. */
typedef enum {
    STEAD_NETWORK_NAT,
    STEAD_NETWORK_ISOLATED,
    STEAD_NETWORK_ROUTED,
    STEAD_NETWORK_BRIDGE,
    STEAD_N_NETWORK_MODES
} SteadNetworkMode;

typedef enum { STEAD_PROTOCOL_TCP, STEAD_PROTOCOL_UDP, STEAD_N_PROTOCOLS } SteadProtocol;

/* An enum's names in the order of its values; `n` entries. */
typedef struct {
    const char *const *names;
    guint n;
} SteadNames;

extern const SteadNames stead_kind_names;
extern const SteadNames stead_state_names;
extern const SteadNames stead_action_names;
extern const SteadNames stead_firmware_names;
extern const SteadNames stead_restart_names;
extern const SteadNames stead_hugepages_names;
extern const SteadNames stead_numa_mode_names;
extern const SteadNames stead_network_mode_names;
extern const SteadNames stead_protocol_names;

/* The name of a value ("?" out of range), and the value of a name (-1 when there is none). */
const char *stead_name_of(const SteadNames *names, int value);
int stead_value_of(const SteadNames *names, const char *name);

/* Whether an instance may go from one state to another. */
gboolean stead_state_may_follow(SteadState from, SteadState to);
