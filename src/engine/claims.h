/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only one instance can have: a published port of the host, a MAC address, a static address.
 * Whether a port is free now is asked of the host when it is published; that another instance,
 * which may be stopped, has been promised it is known from the records alone.
 */
#pragma once

#include "model/instance.h"

/* CONFLICT, with the name of the holder, when one of `others` (SteadInstance) holds something that
 * `spec` claims. The one whose id is `except` (NULL: none) does not count. Pure. */
gboolean stead_claims_check(const GPtrArray *others, const char *except,
                            const SteadInstanceSpec *spec, GError **error);
