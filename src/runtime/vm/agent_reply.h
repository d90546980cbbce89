/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what a guest's agent says. The guest is hostile: its replies are bounded in size and
 * depth before anything parses them, and no member is taken to be there or of its type. Pure.
 */
#pragma once

#include "runtime/runtime.h"

/* libvirt's transport carries no longer strings. */
#define STEAD_AGENT_REPLY_MAX (4 * 1024 * 1024)
#define STEAD_AGENT_DEPTH_MAX 16
#define STEAD_AGENT_VALUES_MAX 1024

/* The "return" member of a reply. GUEST when it is not what an agent may say. */
JsonNode *stead_agent_reply_parse(const char *reply, GError **error);

/* The pid in the answer to guest-exec; GUEST when there is none. */
gboolean stead_agent_reply_pid(JsonNode *node, gint64 *pid, GError **error);

/* The answer to guest-exec-status: FALSE with GUEST when it is none. *result is NULL while the
 * command runs. */
gboolean stead_agent_reply_status(JsonNode *node, SteadExecResult **result, GError **error);

/* The request that runs argv. Owned by the caller. */
char *stead_agent_exec_request(const char *const argv[], const char *input);
