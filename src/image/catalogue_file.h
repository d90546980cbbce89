/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to the layer: reading a catalogue file. */
#pragma once

#include "image/catalogue.h"

void stead_catalogue_entry_free(SteadCatalogueEntry *entry);

/* The entries of the YAML text; the caller owns the array and, through it, the entries. All
 * problems are found in one pass: INVALID with a line "FILE:LINE:COLUMN: ..." each. */
GPtrArray *stead_catalogue_file_read(const char *yaml, gsize length, const char *file,
                                     GError **error);
