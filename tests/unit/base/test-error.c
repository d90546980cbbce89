/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <gio/gio.h>

static void test_names_round_trip(void)
{
    for (int code = 0; code < STEAD_N_ERRORS; code++)
        g_assert_cmpint(stead_error_code_from_name(stead_error_code_name((SteadErrorCode)code)), ==,
                        code);
    g_assert_cmpint(stead_error_code_from_name("no-such-code"), ==, -1);
    g_assert_cmpint(stead_error_code_from_name(NULL), ==, -1);
}

static void test_exit_codes_differ(void)
{
    for (int a = 0; a < STEAD_N_ERRORS; a++)
        for (int b = a + 1; b < STEAD_N_ERRORS; b++)
            g_assert_cmpint(stead_error_exit_code((SteadErrorCode)a), !=,
                            stead_error_exit_code((SteadErrorCode)b));
}

static void test_hint_survives_prefix_and_copy(void)
{
    g_autoptr(GError) error =
        stead_error_new(STEAD_ERROR_CONFLICT, "Choose another.", "taken: %d", 7);
    g_prefix_error(&error, "creating web: ");
    g_autoptr(GError) copy = g_error_copy(error);
    g_assert_cmpstr(copy->message, ==, "creating web: taken: 7");
    g_assert_cmpstr(stead_error_hint(copy), ==, "Choose another.");
    g_assert_cmpint((int)stead_error_code(copy), ==, STEAD_ERROR_CONFLICT);
}

static void test_foreign_errors_are_classed(void)
{
    g_autoptr(GError) space = g_error_new_literal(G_IO_ERROR, G_IO_ERROR_NO_SPACE, "full");
    g_autoptr(GError) absent = g_error_new_literal(G_FILE_ERROR, G_FILE_ERROR_NOENT, "absent");
    g_autoptr(GError) odd = g_error_new_literal(G_OPTION_ERROR, 0, "odd");
    g_assert_cmpint((int)stead_error_code(space), ==, STEAD_ERROR_EXHAUSTED);
    g_assert_cmpint((int)stead_error_code(absent), ==, STEAD_ERROR_NOT_FOUND);
    g_assert_cmpint((int)stead_error_code(odd), ==, STEAD_ERROR_INTERNAL);
    g_assert_null(stead_error_hint(space));
}

static void test_null_error_is_allowed(void)
{
    stead_set_error(NULL, STEAD_ERROR_INTERNAL, NULL, "%s", "nobody listens");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/error/names-round-trip", test_names_round_trip);
    g_test_add_func("/error/exit-codes-differ", test_exit_codes_differ);
    g_test_add_func("/error/hint-survives-prefix-and-copy", test_hint_survives_prefix_and_copy);
    g_test_add_func("/error/foreign-errors-are-classed", test_foreign_errors_are_classed);
    g_test_add_func("/error/null-error-is-allowed", test_null_error_is_allowed);
    return g_test_run();
}
