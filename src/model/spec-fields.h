/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of a spec's structs, and the checks that go with them. */
#pragma once

#include "model/field.h"

extern const SteadStruct stead_spec_table;
extern const SteadStruct stead_instance_spec_table;
extern const SteadStruct stead_network_spec_table;
extern const SteadStruct stead_volume_spec_table;

/* The default image, and the default network's name. */
#define STEAD_DEFAULT_IMAGE "debian:12"
#define STEAD_DEFAULT_NETWORK "default"

/* spec-check.c: called by the decoder, see SteadStruct. */
void stead_spec_check_memory(gconstpointer memory, const SteadWhere *where);
void stead_spec_check_disk(gconstpointer disk, const SteadWhere *where);
void stead_spec_check_instance(gconstpointer instance, const SteadWhere *where);
void stead_spec_check_network(gconstpointer network, const SteadWhere *where);
/* spec-cross.c: parts of a file against one another. */
void stead_spec_check_file(gconstpointer spec, const SteadWhere *where);
