/* SPDX-License-Identifier: Apache-2.0 */
/* Small JSON objects of texts: requests, events, results. */
#pragma once

#include <json-glib/json-glib.h>

/* An object of (name, text, name, text, ..., NULL); members whose text is NULL are left out. The
 * texts must be UTF-8. Owned by the caller. */
JsonNode *stead_json_texts(const char *name, ...) G_GNUC_NULL_TERMINATED;
