/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of images share: a folder that goes away, a store in it, small disk images. */
#pragma once

#include <glib.h>

#include "base/error.h"
#include "image/store.h"

typedef struct {
    char *folder;
    SteadImageStore *store;
} Fixture;

void fixture_set_up(Fixture *fixture, gconstpointer data);
void fixture_tear_down(Fixture *fixture, gconstpointer data);

/* A path in the fixture's folder; owned by the caller. */
char *fixture_path(Fixture *fixture, const char *name);

/* Writes a file there and returns its path. `length` -1 for a string. */
char *fixture_write(Fixture *fixture, const char *name, const void *bytes, gssize length);

/* A raw file of `mib` MiB with a pattern at its start and at its end, and zeros between. */
char *fixture_raw(Fixture *fixture, const char *name, guint mib);

/* Runs a program and insists on success. */
void fixture_run(const char *program, ...) G_GNUC_NULL_TERMINATED;

/* The number of files in a folder. */
guint fixture_count(const char *folder);

/* Insists that nothing half-made is left in the store: staging empty, `images` stored. */
void fixture_assert_clean(Fixture *fixture, guint images);

#define assert_stead_error(error, expected_code)                                                   \
    do {                                                                                           \
        g_assert_nonnull(error);                                                                   \
        if (stead_error_code(error) != (expected_code))                                            \
            g_error("%s: code %s, expected %s", (error)->message,                                  \
                    stead_error_code_name(stead_error_code(error)),                                \
                    stead_error_code_name(expected_code));                                         \
    } while (0)

#define add_test(path, function)                                                                   \
    g_test_add(path, Fixture, NULL, fixture_set_up, function, fixture_tear_down)
