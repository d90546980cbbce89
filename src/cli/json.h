/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the API's objects: members that may be absent or of another type than expected. */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>

#include "model/texts.h"

/* The member at `path` ("memory.max": members of members), NULL when there is none. `node` may be
 * NULL or anything. Owned by `node`. */
JsonNode *stead_json_member(JsonNode *node, const char *path);

/* Its value, or what stands for "none": NULL, the fallback, FALSE. Owned by `node`. */
const char *stead_json_text(JsonNode *node, const char *path);
gint64 stead_json_integer(JsonNode *node, const char *path, gint64 fallback);
double stead_json_number(JsonNode *node, const char *path, double fallback);
gboolean stead_json_flag(JsonNode *node, const char *path);

/* The elements of an array: 0 and NULL for anything else. */
guint stead_json_length(JsonNode *node);
JsonNode *stead_json_element(JsonNode *node, guint n);

/* An array's texts joined by ", ". Owned by the caller. */
char *stead_json_join(JsonNode *node, const char *path);

/* Prints it to standard output, indented, with a line end. */
void stead_json_print(JsonNode *node);
/* Likewise in one line, and flushes. */
void stead_json_print_line(JsonNode *node);

/* A node of the object that `builder` made. Owned by the caller. */
JsonNode *stead_json_build(JsonBuilder *builder);

/* Adds "name": value to the object that is being built; nothing when value is NULL. */
void stead_json_add_text(JsonBuilder *builder, const char *name, const char *value);
void stead_json_add_list(JsonBuilder *builder, const char *name, const char *const *values);
