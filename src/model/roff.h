/* SPDX-License-Identifier: Apache-2.0 */
/* Manual pages are made from tables; this is how a table's text gets into one unharmed. */
#pragma once

#include <glib.h>

/* Appends text so that roff takes no part of it for a request, an escape or a hyphen: what a
 * reader copies from the page is what was typed. */
void stead_roff_append(GString *out, const char *text);
