/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"

#include "base/error.h"

#define G (G_GUINT64_CONSTANT(1) << 30)

static void assert_size(const char *text, guint64 expected)
{
    guint64 bytes = 0;
    g_autoptr(GError) error = NULL;
    g_assert_true(stead_parse_size(text, &bytes, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(bytes, ==, expected);
}

static void test_sizes(void)
{
    assert_size("0", 0);
    assert_size("4096", 4096);
    assert_size("512M", 512 << 20);
    assert_size("20G", 20 * G);
    assert_size("1.5GiB", G + G / 2);
    assert_size("1 gb", G);
    assert_size("0.1K", 102);
    assert_size("7P", 7 * G * 1024 * 1024);
}

static void test_wrong_sizes(void)
{
    static const char *const wrong[] = {
        "", "G", "-1G", "1X", "1.G", "1e9", "8192P", "99999999999999999999", "1G1", "0x10", "1,5G"};
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        guint64 bytes;
        g_autoptr(GError) error = NULL;
        g_assert_false(stead_parse_size(wrong[i], &bytes, &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    }
}

static void assert_duration(const char *text, guint64 expected)
{
    guint64 ms = 0;
    g_assert_true(stead_parse_duration(text, &ms, NULL));
    g_assert_cmpuint(ms, ==, expected);
}

static void test_durations(void)
{
    assert_duration("90", 90000);
    assert_duration("90s", 90000);
    assert_duration("500ms", 500);
    assert_duration("1h30m", 5400000);
    assert_duration("1.5m", 90000);
    assert_duration("0", 0);
}

static void test_wrong_durations(void)
{
    static const char *const wrong[] = {"", "m", "5x", "-1s", "11y", "99999999h", "1h-2m", "5 m"};
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        guint64 ms;
        g_autoptr(GError) error = NULL;
        g_assert_false(stead_parse_duration(wrong[i], &ms, &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    }
}

static void test_exact_forms_are_read_back(void)
{
    static const guint64 values[] = {0, 1, 1023, 1024, 20 * G, 3 * G + 512, G_MAXINT64};
    for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autofree char *text = stead_format_size_exact(values[i]);
        assert_size(text, values[i]);
    }
    static const guint64 times[] = {0, 1, 999, 1000, 61001, 5400000, 90061001};
    for (gsize i = 0; i < G_N_ELEMENTS(times); i++) {
        g_autofree char *text = stead_format_duration_exact(times[i]);
        assert_duration(text, times[i]);
    }
}

static void test_forms_for_people(void)
{
    g_autofree char *a = stead_format_size(20 * G);
    g_autofree char *b = stead_format_size(G + G / 2);
    g_autofree char *c = stead_format_duration(185000);
    g_autofree char *d = stead_format_duration(7800000);
    g_assert_cmpstr(a, ==, "20 GiB");
    g_assert_cmpstr(b, ==, "1.5 GiB");
    g_assert_cmpstr(c, ==, "3m05s");
    g_assert_cmpstr(d, ==, "2h10m");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/units/sizes", test_sizes);
    g_test_add_func("/units/wrong-sizes", test_wrong_sizes);
    g_test_add_func("/units/durations", test_durations);
    g_test_add_func("/units/wrong-durations", test_wrong_durations);
    g_test_add_func("/units/exact-forms-are-read-back", test_exact_forms_are_read_back);
    g_test_add_func("/units/forms-for-people", test_forms_for_people);
    return g_test_run();
}
