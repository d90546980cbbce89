/* SPDX-License-Identifier: Apache-2.0 */
/* The API's description, made from the route table. */
#pragma once

#include <json-glib/json-glib.h>

/* An OpenAPI 3.1 document; owned by the caller. */
JsonNode *stead_openapi(void);
