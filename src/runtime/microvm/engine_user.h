/* SPDX-License-Identifier: Apache-2.0 */
/* Whom an engine runs as. */
#pragma once

#include <sys/types.h>

#include "runtime/microvm/engine.h"

typedef struct {
    uid_t uid;
    gid_t gid;
} SteadEngineUser;

/*
 * An engine that opens files by their names has the user of libvirt's QEMU, who may read them, or
 * nobody. One that is given all it uses has a user and a group that no other instance and no
 * account of the host has; where this process could not become that one, it has the other's, too.
 */
SteadEngineUser stead_engine_user(const SteadEngineProgram *program, const char *id);

/* An instance's own number, of its user and its group: a function of its id alone. */
guint32 stead_engine_user_number(const char *id);
/* Whether a user namespace has that number: `map` is the content of its uid_map or gid_map. */
gboolean stead_engine_user_is_mapped(const char *map, guint32 number);
