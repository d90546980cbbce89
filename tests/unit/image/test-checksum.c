/* SPDX-License-Identifier: Apache-2.0 */
#include "image/checksum.h"

#include <string.h>

#include "fixture.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C128 B64 A64

typedef struct {
    const char *text;
    const char *expected; /* NULL: an error */
} SumsCase;

static const SumsCase sums_cases[] = {
    {A64 "  disk.img\n", "sha256:" A64},
    {A64 " *disk.img\n", "sha256:" A64},
    {A64 "  ./disk.img\n", "sha256:" A64},
    {A64 "  disk.img", "sha256:" A64},
    {A64 "  disk.img\r\n", "sha256:" A64},
    {"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA  disk.img\n", "sha256:" A64},
    {B64 "  other.img\n" A64 "  disk.img\n", "sha256:" A64},
    {C128 "  disk.img\n", "sha512:" C128},
    {A64 "  disk.img\n" C128 "  disk.img\n", "sha512:" C128},
    {A64 "  disk.img\n" A64 "  disk.img\n", "sha256:" A64},
    {"SHA256 (disk.img) = " A64 "\n", "sha256:" A64},
    {"SHA512 (disk.img) = " C128 "\n", "sha512:" C128},
    {"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" A64 "  disk.img\n", "sha256:" A64},
    {"\\" A64 "  disk.img\n", "sha256:" A64},
    {A64 "  disk.img\n" B64 "  disk.img\n", NULL},
    {A64 "  disk.img.old\n", NULL},
    {A64 "  old-disk.img\n", NULL},
    {A64 "  a/disk.img\n", NULL},
    {A64 "disk.img\n", NULL},
    {"d41d8cd98f00b204e9800998ecf8427e  disk.img\n", NULL},
    {"MD5 (disk.img) = d41d8cd98f00b204e9800998ecf8427e\n", NULL},
    {"SHA256 (disk.img) = zz\n", NULL},
    {"SHA256 (disk.img", NULL},
    {"", NULL},
    {"\n\n \n", NULL},
    {A64, NULL},
    {A64 " ", NULL},
    {A64 "  ", NULL},
};

static void test_sums(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(sums_cases); i++) {
        const SumsCase *one = &sums_cases[i];
        g_autoptr(GError) error = NULL;
        SteadDigest digest;
        if (stead_sums_find(one->text, strlen(one->text), "disk.img", &digest, &error)) {
            g_autofree char *text = stead_digest_format(&digest);
            g_assert_cmpstr(text, ==, one->expected);
        } else {
            g_assert_cmpstr(one->expected, ==, NULL);
            assert_stead_error(error, STEAD_ERROR_VERIFICATION);
        }
    }
}

static void test_sums_escaped_name(void)
{
    static const char text[] = "\\" A64 "  a\\nb\\\\c\n";
    SteadDigest digest;
    g_assert_true(stead_sums_find(text, strlen(text), "a\nb\\c", &digest, NULL));
    g_assert_false(stead_sums_find(text, strlen(text), "anb", &digest, NULL));
}

static void test_sums_too_large(void)
{
    g_autofree char *text = g_strnfill(STEAD_SUMS_MAX_BYTES + 1, '\n');
    g_autoptr(GError) error = NULL;
    SteadDigest digest;
    g_assert_false(stead_sums_find(text, STEAD_SUMS_MAX_BYTES + 1, "x", &digest, &error));
    assert_stead_error(error, STEAD_ERROR_VERIFICATION);
}

/* A line that is too long is passed over, the next one still read. */
static void test_sums_long_line(void)
{
    g_autofree char *name = g_strnfill(STEAD_SUMS_MAX_LINE, 'x');
    g_autofree char *text = g_strdup_printf("%s  %s\n%s  disk.img\n", B64, name, A64);
    SteadDigest digest;
    g_assert_false(stead_sums_find(text, strlen(text), name, &digest, NULL));
    g_assert_true(stead_sums_find(text, strlen(text), "disk.img", &digest, NULL));
    g_assert_cmpstr(digest.hex, ==, A64);
}

static void test_digest_parse(void)
{
    static const char too_long[] = "sha256:" A64 "a";
    static const char other_hash[] = "sha512:" A64;
    static const char *const wrong[] = {
        "", "sha256", "sha256:", too_long, other_hash, "md5:d41d8cd98f00b204e9800998ecf8427e", A64,
    };
    SteadDigest digest, same;
    g_assert_true(stead_digest_parse("sha256:" A64, &digest, NULL));
    g_assert_true(stead_digest_parse("SHA256:" A64, &same, NULL));
    g_assert_true(stead_digest_equal(&digest, &same));
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(stead_digest_parse(wrong[i], &digest, &error));
        assert_stead_error(error, STEAD_ERROR_INVALID);
    }
}

static void test_hex_names(void)
{
    g_assert_true(stead_sha256_hex_is_valid(A64));
    g_assert_false(stead_sha256_hex_is_valid(NULL));
    g_assert_false(stead_sha256_hex_is_valid(""));
    g_assert_false(stead_sha256_hex_is_valid("../../etc/passwd"));
    g_assert_false(stead_sha256_hex_is_valid(A64 "a"));
    g_assert_false(stead_sha256_hex_is_valid(
        "Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

static void test_hash_file(Fixture *fixture, gconstpointer data)
{
    g_autofree char *path = fixture_write(fixture, "abc", "abc", -1);
    g_autoptr(GError) error = NULL;
    SteadDigest digest;
    g_assert_true(
        stead_hash_file(path, STEAD_HASH_SHA256, "hashing", NULL, NULL, NULL, &digest, &error));
    g_assert_cmpstr(digest.hex, ==,
                    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void count_calls(const char *stage, double fraction, gpointer data)
{
    g_assert_cmpstr(stage, ==, "hashing");
    g_assert_cmpfloat(fraction, <=, 1.0);
    ++*(guint *)data;
}

static void test_hash_tells_progress(Fixture *fixture, gconstpointer data)
{
    g_autofree char *path = fixture_raw(fixture, "big", 64);
    guint calls = 0;
    SteadDigest digest;
    g_assert_true(stead_hash_file(path, STEAD_HASH_SHA512, "hashing", count_calls, &calls, NULL,
                                  &digest, NULL));
    g_assert_cmpuint(calls, ==, 4);
    g_assert_cmpuint(strlen(digest.hex), ==, 128);
}

static void test_hash_cancelled(Fixture *fixture, gconstpointer data)
{
    g_autofree char *path = fixture_raw(fixture, "big", 1);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    SteadDigest digest;
    g_cancellable_cancel(cancellable);
    g_assert_false(stead_hash_file(path, STEAD_HASH_SHA256, "hashing", NULL, NULL, cancellable,
                                   &digest, &error));
    assert_stead_error(error, STEAD_ERROR_CANCELLED);
}

static void test_hash_missing_file(void)
{
    g_autoptr(GError) error = NULL;
    SteadDigest digest;
    g_assert_false(stead_hash_file("/no/such/file", STEAD_HASH_SHA256, "hashing", NULL, NULL, NULL,
                                   &digest, &error));
    assert_stead_error(error, STEAD_ERROR_NOT_FOUND);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/image/checksum/sums", test_sums);
    g_test_add_func("/image/checksum/sums-escaped-name", test_sums_escaped_name);
    g_test_add_func("/image/checksum/sums-too-large", test_sums_too_large);
    g_test_add_func("/image/checksum/sums-long-line", test_sums_long_line);
    g_test_add_func("/image/checksum/digest-parse", test_digest_parse);
    g_test_add_func("/image/checksum/hex-names", test_hex_names);
    add_test("/image/checksum/hash-file", test_hash_file);
    add_test("/image/checksum/hash-tells-progress", test_hash_tells_progress);
    add_test("/image/checksum/hash-cancelled", test_hash_cancelled);
    g_test_add_func("/image/checksum/hash-missing-file", test_hash_missing_file);
    return g_test_run();
}
