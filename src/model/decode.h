/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the decoder; others use stead_object_decode(). */
#pragma once

#include "model/field.h"

typedef struct {
    SteadReadMode mode;
    SteadProblems *problems;
} SteadDecoder;

/* Reads `node` into one field of `object`, by the field's type. */
typedef void SteadDecodeFunc(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
                             gpointer object, const SteadPath *path);

SteadDecodeFunc stead_decode_bool;
SteadDecodeFunc stead_decode_uint;
SteadDecodeFunc stead_decode_number;
SteadDecodeFunc stead_decode_size;
SteadDecodeFunc stead_decode_duration;
SteadDecodeFunc stead_decode_enum;
SteadDecodeFunc stead_decode_string;
SteadDecodeFunc stead_decode_strings;

/* Adds "LABEL must be EXPECTED, not NODE; MORE". `more` may be NULL; so may the type, format and
 * names of `field` be unset. */
void stead_decode_wrong(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
                        const SteadPath *path, const char *expected, const char *more);

/* The same with what the field itself expects. */
void stead_decode_wrong_value(SteadDecoder *decoder, const SteadField *field, const SteadNode *node,
                              const SteadPath *path);

/* Whether a list or map has no more items than its field allows; adds a problem if not. */
gboolean stead_decode_few_enough(SteadDecoder *decoder, const SteadField *field,
                                 const SteadNode *node, const SteadPath *path);

/* Whether a scalar may be read as a number or boolean, and as a text. */
static inline gboolean stead_node_is_literal(const SteadNode *node)
{
    return node->type == STEAD_NODE_PLAIN || node->type == STEAD_NODE_NUMBER;
}

static inline gboolean stead_node_is_text(const SteadNode *node)
{
    return node->type == STEAD_NODE_PLAIN || node->type == STEAD_NODE_STRING;
}
