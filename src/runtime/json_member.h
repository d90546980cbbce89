/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members of what a peer wrote: each is there and of the type that is asked for, or is not there.
 * A guest may stand behind the peer, so nobody reads its JSON by json-glib's own readers, which
 * return NULL, or complain, where a value is of another type than they expect.
 *
 * `object` and `node` may be NULL, which have nothing. What is returned is the object's.
 */
#pragma once

#include <json-glib/json-glib.h>

JsonObject *stead_json_object(JsonNode *node);
JsonArray *stead_json_array(JsonNode *node);

JsonObject *stead_json_object_in(JsonObject *object, const char *name);
JsonArray *stead_json_array_in(JsonObject *object, const char *name);
/* NULL when there is none. */
const char *stead_json_text_in(JsonObject *object, const char *name);
/* FALSE when there is none, and *number stays. */
gboolean stead_json_number_in(JsonObject *object, const char *name, gint64 *number);
/* 0 when there is none, or it is negative. */
guint64 stead_json_count_in(JsonObject *object, const char *name);
/* FALSE when there is none. */
gboolean stead_json_flag_in(JsonObject *object, const char *name);
