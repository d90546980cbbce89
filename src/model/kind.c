/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables behind kind.h, and the state machine as one matrix: what it does not allow cannot be
 * written into a record, so no code that changes a state needs to know more than where it goes.
 */
#include "model/kind.h"

#include <string.h>

#define NAMES(symbol, count, ...)                                                                  \
    static const char *const symbol##_strings[] = {__VA_ARGS__};                                   \
    G_STATIC_ASSERT(G_N_ELEMENTS(symbol##_strings) == (count));                                    \
    const SteadNames symbol = {symbol##_strings, (count)}

NAMES(stead_kind_names, STEAD_N_KINDS, "auto", "vm", "microvm");
NAMES(stead_state_names, STEAD_N_STATES, "creating", "stopped", "starting", "running", "paused",
      "stopping", "failed", "removing");
NAMES(stead_action_names, STEAD_N_ACTIONS, "none", "start", "stop", "restart", "pause", "resume",
      "remove");
NAMES(stead_firmware_names, STEAD_N_FIRMWARES, "uefi", "bios");
NAMES(stead_restart_names, STEAD_N_RESTARTS, "never", "on-failure", "always");
NAMES(stead_hugepages_names, STEAD_N_HUGEPAGES, "off", "2M", "1G");
NAMES(stead_numa_mode_names, STEAD_N_NUMA_MODES, "strict", "preferred", "interleave");
NAMES(stead_network_mode_names, STEAD_N_NETWORK_MODES, "nat", "isolated", "routed", "bridge");
NAMES(stead_protocol_names, STEAD_N_PROTOCOLS, "tcp", "udp");

const char *stead_name_of(const SteadNames *names, int value)
{
    return value >= 0 && (guint)value < names->n ? names->names[value] : "?";
}

int stead_value_of(const SteadNames *names, const char *name)
{
    for (guint i = 0; name && i < names->n; i++)
        if (strcmp(names->names[i], name) == 0)
            return (int)i;
    return -1;
}

#define TO(state) (1u << STEAD_STATE_##state)

static const guint may_follow[] = {
    [STEAD_STATE_CREATING] = TO(STOPPED) | TO(FAILED) | TO(REMOVING),
    [STEAD_STATE_STOPPED] = TO(STARTING) | TO(FAILED) | TO(REMOVING),
    [STEAD_STATE_STARTING] =
        TO(RUNNING) | TO(PAUSED) | TO(STOPPING) | TO(STOPPED) | TO(FAILED) | TO(REMOVING),
    [STEAD_STATE_RUNNING] =
        TO(PAUSED) | TO(STOPPING) | TO(STOPPED) | TO(STARTING) | TO(FAILED) | TO(REMOVING),
    [STEAD_STATE_PAUSED] =
        TO(RUNNING) | TO(STOPPING) | TO(STOPPED) | TO(STARTING) | TO(FAILED) | TO(REMOVING),
    [STEAD_STATE_STOPPING] = TO(STOPPED) | TO(RUNNING) | TO(PAUSED) | TO(FAILED) | TO(REMOVING),
    [STEAD_STATE_FAILED] = TO(STARTING) | TO(STOPPED) | TO(RUNNING) | TO(PAUSED) | TO(REMOVING),
    [STEAD_STATE_REMOVING] = 0,
};
G_STATIC_ASSERT(G_N_ELEMENTS(may_follow) == STEAD_N_STATES);

gboolean stead_state_may_follow(SteadState from, SteadState to)
{
    return from < STEAD_N_STATES && to < STEAD_N_STATES && (may_follow[from] & (1u << to)) != 0;
}
