/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of a peer's JSON before json-glib parses it. */
#pragma once

#include <glib.h>

/*
 * Why the text must not be parsed, as the end of a sentence ("has too many levels or values"); NULL
 * when it may be. It has at most `max_depth` levels and about `max_values` values, and nothing
 * that JSON lacks (RFC 8259, sections 2 and 7), nor a NUL or half a surrogate pair in a string;
 * whether it is JSON in full is the parser's to find. Pure; the text need not be UTF-8.
 */
const char *stead_json_refuses(const char *text, gsize length, guint max_depth, guint max_values);
