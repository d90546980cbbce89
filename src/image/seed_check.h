/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to the layer: what a seed may not be made from. */
#pragma once

#include "image/seed.h"

/* INVALID for a host name, address, proxy or size that cannot be written safely. */
gboolean stead_seed_check(const SteadSeedOptions *options, GError **error);
