/* SPDX-License-Identifier: Apache-2.0 */
/* Downloading and pulling, against a server of the test's own. */
#include "image/fetch.h"

#include <string.h>
#include <unistd.h>

#include "base/filelock.h"
#include "base/paths.h"
#include "fixture.h"
#include "image/pull.h"
#include "web.h"

/* Content of so many bytes that no two places look alike. */
#define SIZE 300000

static char *content_new(guint seed)
{
    char *bytes = g_malloc(SIZE);
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    for (gsize i = 0; i < SIZE; i++)
        bytes[i] = (char)g_rand_int(rand);
    return bytes;
}

typedef struct {
    Fixture base;
    Web *web;
    char *bytes;
    char *target;
    char *part;
    guint stall_seconds; /* 0: the usual, which no busy machine reaches */
} Net;

static Web *web; /* one for the whole program; NULL: skip */

static const char *const variables[] = {"http_proxy",    "https_proxy",  "all_proxy", "no_proxy",
                                        "HTTP_PROXY",    "HTTPS_PROXY",  "ALL_PROXY", "NO_PROXY",
                                        "SSL_CERT_FILE", "STEAD_CA_FILE"};

static void net_set_up(Net *net, gconstpointer data)
{
    fixture_set_up(&net->base, data);
    net->web = web;
    net->bytes = content_new(1);
    net->stall_seconds = 0;
    net->target = fixture_path(&net->base, "disk");
    net->part = fixture_path(&net->base, "disk.part");
    for (gsize i = 0; i < G_N_ELEMENTS(variables); i++)
        g_unsetenv(variables[i]);
    if (web == NULL)
        return;
    g_setenv("STEAD_CA_FILE", web_ca_file(web), TRUE);
    web_put(web, "disk", net->bytes, SIZE);
    g_free(web_take_log(web));
    g_free(web_take_proxy_log(web));
}

static void net_tear_down(Net *net, gconstpointer data)
{
    g_free(net->bytes);
    g_free(net->target);
    g_free(net->part);
    fixture_tear_down(&net->base, data);
}

typedef void (*NetTest)(Net *net);

static void run_net_test(Net *net, gconstpointer data)
{
    const NetTest *test = data;
    if (net->web == NULL)
        g_test_skip("openssl or GLib's TLS support is not installed");
    else
        (*test)(net);
}

static gboolean fetch(Net *net, const char *url, GError **error)
{
    SteadFetchOptions options = {.url = url, .stall_seconds = net->stall_seconds};
    return stead_fetch(&options, net->target, NULL, NULL, NULL, error);
}

static gboolean fetch_path(Net *net, const char *path, GError **error)
{
    g_autofree char *url = web_https(net->web, path);
    return fetch(net, url, error);
}

static void assert_target(Net *net, const char *bytes, gsize length)
{
    g_autofree char *got = NULL;
    gsize got_length;
    g_assert_true(g_file_get_contents(net->target, &got, &got_length, NULL));
    g_assert_cmpmem(got, got_length, bytes, length);
    g_assert_false(g_file_test(net->part, G_FILE_TEST_EXISTS));
    g_assert_cmpuint(fixture_count(net->base.folder), ==, 2); /* and the state folder */
}

static void assert_log(Net *net, const char *expected)
{
    g_autofree char *log = web_take_log(net->web);
    g_assert_cmpstr(log, ==, expected);
}

static void assert_fetches(Net *net, const char *path)
{
    g_autoptr(GError) error = NULL;
    fetch_path(net, path, &error);
    g_assert_no_error(error);
    assert_target(net, net->bytes, SIZE);
}

static void assert_fails(Net *net, const char *url, SteadErrorCode code, const char *because)
{
    g_autoptr(GError) error = NULL;
    g_assert_false(fetch(net, url, &error));
    assert_stead_error(error, code);
    g_test_message("%s (%s)", error->message, stead_error_hint(error));
    g_assert_nonnull(strstr(error->message, because));
    g_assert_false(g_file_test(net->target, G_FILE_TEST_EXISTS));
}

/* Nothing is left of what failed. */
static void assert_fails_clean(Net *net, const char *path, SteadErrorCode code, const char *because)
{
    g_autofree char *url = web_https(net->web, path);
    assert_fails(net, url, code, because);
    g_assert_cmpuint(fixture_count(net->base.folder), ==, 1);
}

static void test_whole_file(Net *net)
{
    assert_fetches(net, "files/disk");
    assert_log(net, "/files/disk\n");
}

static void test_chunked(Net *net)
{
    assert_fetches(net, "chunked/disk");
}

static void test_redirects(Net *net)
{
    assert_fetches(net, "to/to/files/disk");
    assert_log(net, "/to/to/files/disk\n/to/files/disk\n/files/disk\n");
}

static void test_redirect_loop(Net *net)
{
    assert_fails_clean(net, "loop", STEAD_ERROR_UNAVAILABLE, "redirects more than 8 times");
}

static void test_redirect_to_http_is_refused(Net *net)
{
    assert_fails_clean(net, "down/files/disk", STEAD_ERROR_VERIFICATION, "https to http");
    assert_log(net, "/down/files/disk\n");
}

static void test_redirect_to_a_file_is_refused(Net *net)
{
    assert_fails_clean(net, "file", STEAD_ERROR_UNAVAILABLE, "no web address");
}

static void test_plain_http(Net *net)
{
    g_autofree char *url = web_http(net->web, "files/disk");
    g_assert_true(fetch(net, url, NULL));
    assert_target(net, net->bytes, SIZE);
}

static void test_https_only(Net *net)
{
    g_autofree char *url = web_http(net->web, "files/disk");
    SteadFetchOptions options = {.url = url, .https_only = TRUE};
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_fetch(&options, net->target, NULL, NULL, NULL, &error));
    assert_stead_error(error, STEAD_ERROR_INVALID);
    assert_log(net, "");
}

static void test_other_schemes(Net *net)
{
    assert_fails(net, "file:///etc/passwd", STEAD_ERROR_INVALID, "not an http");
    assert_fails(net, "ftp://x/y", STEAD_ERROR_INVALID, "not an http");
    assert_fails(net, "nonsense", STEAD_ERROR_INVALID, "not an http");
}

static void test_statuses(Net *net)
{
    assert_fails_clean(net, "status/404", STEAD_ERROR_NOT_FOUND, "404");
    assert_fails_clean(net, "status/403", STEAD_ERROR_DENIED, "403");
    assert_fails_clean(net, "status/500", STEAD_ERROR_UNAVAILABLE, "500");
    assert_fails_clean(net, "status/204", STEAD_ERROR_UNAVAILABLE, "204");
}

/* Leaves a part of 100,000 bytes behind, as a daemon that was killed would. */
static void leave_part(Net *net, const char *url, const char *validator)
{
    g_autofree char *state = g_strconcat(net->part, ".state", NULL);
    g_autofree char *text =
        g_strdup_printf("[download]\nurl=%s\nvalidator=%s\ntotal=%d\n", url, validator, SIZE);
    g_assert_true(g_file_set_contents(net->part, net->bytes, 100000, NULL));
    g_assert_true(g_file_set_contents(state, text, -1, NULL));
}

static char *etag(const char *bytes)
{
    g_autofree char *digest =
        g_compute_checksum_for_data(G_CHECKSUM_MD5, (const guchar *)bytes, SIZE);
    return g_strdup_printf("\"%s\"", digest);
}

static void test_resume(Net *net)
{
    g_autofree char *url = web_https(net->web, "files/disk");
    g_autofree char *tag = etag(net->bytes);
    leave_part(net, url, tag);
    assert_fetches(net, "files/disk");
    assert_log(net, "/files/disk 100000-\n");
}

static void test_no_resume_of_changed_content(Net *net)
{
    g_autofree char *url = web_https(net->web, "files/disk");
    g_autofree char *tag = etag(net->bytes);
    g_autofree char *other = content_new(2);
    leave_part(net, url, tag);
    web_put(net->web, "disk", other, SIZE);
    g_assert_true(fetch(net, url, NULL));
    assert_target(net, other, SIZE);
}

static void test_no_resume_of_another_address(Net *net)
{
    g_autofree char *tag = etag(net->bytes);
    leave_part(net, "https://other.example/disk", tag);
    assert_fetches(net, "files/disk");
    assert_log(net, "/files/disk\n");
}

static void test_no_resume_without_state(Net *net)
{
    g_assert_true(g_file_set_contents(net->part, "rubbish", -1, NULL));
    assert_fetches(net, "files/disk");
    assert_log(net, "/files/disk\n");
}

static void test_resume_where_the_server_cannot(Net *net)
{
    g_autofree char *url = web_https(net->web, "whole/disk");
    g_autofree char *tag = etag(net->bytes);
    leave_part(net, url, tag);
    assert_fetches(net, "whole/disk");
    assert_log(net, "/whole/disk 100000-\n");
}

/* What was left is longer than what there is now. */
static void test_content_became_shorter(Net *net)
{
    static const char shorter[] = "short";
    g_autofree char *url = web_https(net->web, "dated/disk");
    leave_part(net, url, "Wed, 01 Jan 2020 00:00:00 GMT");
    web_put(net->web, "disk", shorter, strlen(shorter));
    web_set_limit(net->web, SIZE);
    g_assert_true(fetch(net, url, NULL));
    assert_target(net, shorter, strlen(shorter));
    assert_log(net, "/dated/disk 100000-\n/dated/disk\n");
}

static void test_broken_connection_is_resumed(Net *net)
{
    web_set_limit(net->web, 120000);
    assert_fetches(net, "short/disk");
    assert_log(net, "/short/disk\n/short/disk 120000-\n/short/disk 240000-\n");
}

static void test_broken_connection_is_resumed_by_date(Net *net)
{
    web_set_limit(net->web, 200000);
    assert_fetches(net, "dated/disk");
    assert_log(net, "/dated/disk\n/dated/disk 200000-\n");
}

/* A connection that always breaks is given up; what came stays for the next call. */
static void test_truncated(Net *net)
{
    g_autofree char *url = web_https(net->web, "short/disk");
    web_set_limit(net->web, 10000);
    assert_fails(net, url, STEAD_ERROR_UNAVAILABLE, "localhost");
    g_free(web_take_log(net->web));
    web_set_limit(net->web, SIZE);
    assert_fetches(net, "short/disk");
    assert_log(net, "/short/disk 60000-\n");
}

static void test_wrong_range(Net *net)
{
    g_autofree char *url = web_https(net->web, "wrong/disk");
    web_set_limit(net->web, 120000);
    assert_fails(net, url, STEAD_ERROR_UNAVAILABLE, "another range");
}

static void test_stall(Net *net)
{
    g_autofree char *url = web_https(net->web, "stall/disk");
    web_set_limit(net->web, 50000);
    net->stall_seconds = 1;
    assert_fails(net, url, STEAD_ERROR_UNAVAILABLE, "nothing came for 1 s");
    net->stall_seconds = 0;
    g_assert_true(g_file_test(net->part, G_FILE_TEST_EXISTS));
    g_free(web_take_log(net->web));
    web_set_limit(net->web, SIZE);
    assert_fetches(net, "stall/disk");
    assert_log(net, "/stall/disk 50000-\n");
}

static void test_announced_too_large(Net *net)
{
    assert_fails_clean(net, "huge/disk", STEAD_ERROR_EXHAUSTED, "larger than 256 GiB");
}

static void test_too_large(Net *net)
{
    g_autofree char *url = web_https(net->web, "chunked/disk");
    SteadFetchOptions options = {.url = url, .max_bytes = SIZE - 1};
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_fetch(&options, net->target, NULL, NULL, NULL, &error));
    assert_stead_error(error, STEAD_ERROR_EXHAUSTED);
    g_assert_cmpuint(fixture_count(net->base.folder), ==, 1);
}

static void test_cancel(Net *net)
{
    g_autofree char *url = web_https(net->web, "stall/disk");
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    SteadFetchOptions options = {.url = url};
    web_set_limit(net->web, 50000);
    web_cancel_on_stall(net->web, cancellable);
    g_assert_false(stead_fetch(&options, net->target, NULL, NULL, cancellable, &error));
    assert_stead_error(error, STEAD_ERROR_CANCELLED);
}

static void test_two_at_once(Net *net)
{
    SteadFileLock *lock = stead_file_lock(net->part, NULL);
    g_assert_nonnull(lock);
    g_autofree char *url = web_https(net->web, "files/disk");
    assert_fails(net, url, STEAD_ERROR_BUSY, "already");
    stead_file_lock_free(lock);
}

static void test_unknown_authority(Net *net)
{
    g_unsetenv("STEAD_CA_FILE");
    assert_fails_clean(net, "files/disk", STEAD_ERROR_VERIFICATION, "CA that is not known");
    assert_log(net, "");
}

static void test_authority_from_ssl_cert_file(Net *net)
{
    g_unsetenv("STEAD_CA_FILE");
    g_setenv("SSL_CERT_FILE", web_ca_file(net->web), TRUE);
    assert_fetches(net, "files/disk");
}

static void test_absent_ca_file(Net *net)
{
    g_setenv("STEAD_CA_FILE", "/no/such/ca.pem", TRUE);
    assert_fails_clean(net, "files/disk", STEAD_ERROR_NOT_FOUND, "/no/such/ca.pem");
}

static void test_proxy(Net *net)
{
    g_autofree char *proxy = web_proxy(net->web);
    g_autofree char *url = web_https_at(net->web, "files.example", "files/disk");
    g_setenv("https_proxy", proxy, TRUE);
    g_assert_true(fetch(net, url, NULL));
    assert_target(net, net->bytes, SIZE);
    g_autofree char *log = web_take_proxy_log(net->web);
    g_assert_true(g_str_has_prefix(log, "files.example:"));
}

static void test_no_proxy(Net *net)
{
    g_autofree char *proxy = web_proxy(net->web);
    g_setenv("HTTPS_PROXY", proxy, TRUE);
    g_setenv("NO_PROXY", "localhost", TRUE);
    assert_fetches(net, "files/disk");
    g_autofree char *log = web_take_proxy_log(net->web);
    g_assert_cmpstr(log, ==, "");
}

static void test_proxy_refuses(Net *net)
{
    g_autofree char *proxy = web_proxy(net->web);
    g_setenv("https_proxy", proxy, TRUE);
    assert_fails(net, "https://refused.example/disk", STEAD_ERROR_DENIED, "407");
}

static void test_certificate_for_another_host(Net *net)
{
    g_autofree char *proxy = web_proxy(net->web);
    g_autofree char *url = web_https_at(net->web, "other.example", "files/disk");
    g_setenv("https_proxy", proxy, TRUE);
    assert_fails(net, url, STEAD_ERROR_VERIFICATION, "another host");
}

static void test_no_such_host(Net *net)
{
    assert_fails(net, "https://no-such-host.invalid/disk", STEAD_ERROR_UNAVAILABLE,
                 "no-such-host.invalid");
}

static void test_connection_refused(Net *net)
{
    assert_fails(net, "https://127.0.0.1:1/disk", STEAD_ERROR_UNAVAILABLE, "127.0.0.1:1");
}

static void test_password_is_not_told(Net *net)
{
    g_autofree char *url = web_https_at(net->web, "u:secret@localhost", "status/404");
    g_autoptr(GError) error = NULL;
    g_assert_false(fetch(net, url, &error));
    g_assert_null(strstr(error->message, "secret"));
}

static void keep_last_stage(const char *stage, double fraction, gpointer data)
{
    char **last = data;
    g_free(*last);
    *last = g_strdup(stage);
}

static void test_progress(Net *net)
{
    g_autofree char *url = web_https(net->web, "files/big");
    g_autofree char *raw = fixture_raw(&net->base, "raw", 128);
    g_autofree char *stage = NULL;
    SteadFetchOptions options = {.url = url};
    web_put_file(net->web, "big", raw);
    g_assert_true(stead_fetch(&options, net->target, keep_last_stage, &stage, NULL, NULL));
    web_put(net->web, "big", "", 0);
    if (stage == NULL) {
        g_test_skip("this machine downloads 128 MiB in less than a quarter of a second");
        return;
    }
    g_assert_true(g_pattern_match_simple("downloading * of 128 MiB at */s", stage));
}

static void test_text(Net *net)
{
    g_autofree char *url = web_https(net->web, "files/sums");
    g_autoptr(GError) error = NULL;
    gsize length;
    web_put(net->web, "sums", "hello", 5);
    SteadFetchOptions options = {.url = url, .max_bytes = 5, .https_only = TRUE};
    g_autofree char *text = stead_fetch_text(&options, &length, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(text, ==, "hello");
    g_assert_cmpuint(length, ==, 5);
    options.max_bytes = 4;
    g_assert_null(stead_fetch_text(&options, NULL, NULL, &error));
    assert_stead_error(error, STEAD_ERROR_EXHAUSTED);
}

/* Pulling. */
static char *make_image(Net *net)
{
    g_autofree char *raw = fixture_raw(&net->base, "raw", 4);
    char *disk = fixture_path(&net->base, "disk.qcow2");
    fixture_run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, disk, NULL);
    return disk;
}

typedef struct {
    SteadCatalogueEntry entry;
    char *digest; /* hex SHA-512 of what is served */
} Offer;

static void offer_clear(Offer *offer)
{
    g_free(offer->entry.url);
    g_free(offer->entry.sums);
    g_free(offer->entry.digest);
    g_free(offer->digest);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Offer, offer_clear)

/* Serves a file as disk.img, and SHA512SUMS beside it. */
static void offer(Net *net, const char *path, Offer *offer)
{
    g_autofree char *bytes = NULL;
    gsize length;
    g_assert_true(g_file_get_contents(path, &bytes, &length, NULL));
    offer->digest = g_compute_checksum_for_data(G_CHECKSUM_SHA512, (guchar *)bytes, length);
    g_autofree char *sums = g_strdup_printf("%s  disk.img\n", offer->digest);
    web_put(net->web, "disk.img", bytes, length);
    web_put(net->web, "SHA512SUMS", sums, strlen(sums));
    offer->entry.name = (char *)(gsize) "test:1";
    offer->entry.agent = TRUE;
    offer->entry.url = web_https(net->web, "files/disk.img");
    offer->entry.sums = web_https(net->web, "files/SHA512SUMS");
}

static SteadImage *pull(Net *net, const Offer *offered, GError **error)
{
    return stead_image_pull(net->base.store, &offered->entry, NULL, NULL, NULL, error);
}

static void assert_nothing_kept(Net *net)
{
    fixture_assert_clean(&net->base, 0);
    g_assert_cmpuint(fixture_count(stead_image_store_downloads(net->base.store)), ==, 0);
}

static void test_pull(Net *net)
{
    g_auto(Offer) offered = {0};
    g_autofree char *disk = make_image(net);
    g_autoptr(GError) error = NULL;
    offer(net, disk, &offered);
    g_autoptr(SteadImage) image = pull(net, &offered, &error);
    g_assert_no_error(error);
    g_autofree char *published = g_strconcat("sha512:", offered.digest, NULL);
    g_assert_cmpstr(image->name, ==, "test:1");
    g_assert_cmpstr(image->source, ==, offered.entry.url);
    g_assert_cmpstr(image->published, ==, published);
    g_assert_true(image->agent);
    g_autofree char *path = stead_image_store_path(net->base.store, image->digest);
    fixture_run("cmp", path, disk, NULL);
    fixture_assert_clean(&net->base, 1);
    assert_log(net, "/files/SHA512SUMS\n/files/disk.img\n");
}

static void test_pull_of_a_packed_image(Net *net)
{
    g_auto(Offer) offered = {0};
    g_autofree char *disk = make_image(net);
    g_autofree char *packed = g_strconcat(disk, ".xz", NULL);
    g_autoptr(GError) error = NULL;
    fixture_run("xz", "-q", disk, NULL);
    offer(net, packed, &offered);
    g_autoptr(SteadImage) image = pull(net, &offered, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(image->virtual_size, ==, 4 << 20);
    fixture_assert_clean(&net->base, 1);
}

static void test_pull_resumes(Net *net)
{
    g_auto(Offer) offered = {0};
    g_autofree char *disk = make_image(net);
    g_autoptr(GError) error = NULL;
    offer(net, disk, &offered);
    g_free(offered.entry.url);
    offered.entry.url = web_https(net->web, "short/disk.img");
    web_set_limit(net->web, 20000);
    g_assert_null(pull(net, &offered, &error));
    assert_stead_error(error, STEAD_ERROR_UNAVAILABLE);
    fixture_assert_clean(&net->base, 0);
    g_free(web_take_log(net->web));
    web_set_limit(net->web, 1 << 24);
    g_autoptr(SteadImage) image = pull(net, &offered, NULL);
    g_assert_nonnull(image);
    assert_log(net, "/files/SHA512SUMS\n/short/disk.img 120000-\n");
}

/* The content is hostile as well: with a wrong digest nothing may even look at it. */
static void test_pull_of_something_else(Net *net)
{
    g_auto(Offer) offered = {0};
    g_autofree char *disk = make_image(net);
    g_autoptr(GError) error = NULL;
    offer(net, disk, &offered);
    web_put(net->web, "disk.img", net->bytes, SIZE);
    g_assert_null(pull(net, &offered, &error));
    assert_stead_error(error, STEAD_ERROR_VERIFICATION);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, offered.digest));
    assert_nothing_kept(net);
}

static void test_pull_not_in_the_sums(Net *net)
{
    g_auto(Offer) offered = {0};
    g_autofree char *disk = make_image(net);
    g_autoptr(GError) error = NULL;
    offer(net, disk, &offered);
    web_put(net->web, "SHA512SUMS", "nothing\n", 8);
    g_assert_null(pull(net, &offered, &error));
    assert_stead_error(error, STEAD_ERROR_VERIFICATION);
    assert_log(net, "/files/SHA512SUMS\n");
    assert_nothing_kept(net);
}

static void test_pull_of_hostile_sums(Net *net)
{
    g_auto(Offer) offered = {0};
    g_autofree char *disk = make_image(net);
    g_autofree char *sums = g_strnfill(2 * 1024 * 1024, 'x');
    g_autoptr(GError) error = NULL;
    offer(net, disk, &offered);
    web_put(net->web, "SHA512SUMS", sums, strlen(sums));
    g_assert_null(pull(net, &offered, &error));
    assert_stead_error(error, STEAD_ERROR_EXHAUSTED);
    assert_nothing_kept(net);
}

static void test_pull_needs_https_for_sums(Net *net)
{
    g_auto(Offer) offered = {0};
    g_autofree char *disk = make_image(net);
    g_autoptr(GError) error = NULL;
    offer(net, disk, &offered);
    g_free(offered.entry.sums);
    offered.entry.sums = web_http(net->web, "files/SHA512SUMS");
    g_assert_null(pull(net, &offered, &error));
    assert_stead_error(error, STEAD_ERROR_INVALID);
    assert_log(net, "");
}

static void test_pull_with_a_pinned_digest_by_http(Net *net)
{
    g_auto(Offer) offered = {0};
    g_autofree char *disk = make_image(net);
    g_autoptr(GError) error = NULL;
    offer(net, disk, &offered);
    g_free(offered.entry.url);
    g_clear_pointer(&offered.entry.sums, g_free);
    offered.entry.url = web_http(net->web, "files/disk.img");
    offered.entry.digest = g_strconcat("sha512:", offered.digest, NULL);
    g_autoptr(SteadImage) image = pull(net, &offered, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(image->published, ==, offered.entry.digest);
    assert_log(net, "/files/disk.img\n");
}

/* Verified, but dangerous all the same. */
static void test_pull_of_a_backing_file(Net *net)
{
    g_auto(Offer) offered = {0};
    g_autofree char *disk = fixture_path(&net->base, "bad");
    g_autoptr(GError) error = NULL;
    fixture_run("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd",
                disk, "1M", NULL);
    offer(net, disk, &offered);
    g_assert_null(pull(net, &offered, &error));
    assert_stead_error(error, STEAD_ERROR_INVALID);
    assert_nothing_kept(net);
}

typedef struct {
    const char *path;
    NetTest test;
} NetCase;

static const NetCase net_cases[] = {
    {"/image/fetch/whole-file", test_whole_file},
    {"/image/fetch/chunked", test_chunked},
    {"/image/fetch/redirects", test_redirects},
    {"/image/fetch/redirect-loop", test_redirect_loop},
    {"/image/fetch/redirect-to-http-is-refused", test_redirect_to_http_is_refused},
    {"/image/fetch/redirect-to-a-file-is-refused", test_redirect_to_a_file_is_refused},
    {"/image/fetch/plain-http", test_plain_http},
    {"/image/fetch/https-only", test_https_only},
    {"/image/fetch/other-schemes", test_other_schemes},
    {"/image/fetch/statuses", test_statuses},
    {"/image/fetch/resume", test_resume},
    {"/image/fetch/no-resume-of-changed-content", test_no_resume_of_changed_content},
    {"/image/fetch/no-resume-of-another-address", test_no_resume_of_another_address},
    {"/image/fetch/no-resume-without-state", test_no_resume_without_state},
    {"/image/fetch/resume-where-the-server-cannot", test_resume_where_the_server_cannot},
    {"/image/fetch/content-became-shorter", test_content_became_shorter},
    {"/image/fetch/broken-connection-is-resumed", test_broken_connection_is_resumed},
    {"/image/fetch/broken-connection-is-resumed-by-date",
     test_broken_connection_is_resumed_by_date},
    {"/image/fetch/truncated", test_truncated},
    {"/image/fetch/wrong-range", test_wrong_range},
    {"/image/fetch/stall", test_stall},
    {"/image/fetch/announced-too-large", test_announced_too_large},
    {"/image/fetch/too-large", test_too_large},
    {"/image/fetch/cancel", test_cancel},
    {"/image/fetch/two-at-once", test_two_at_once},
    {"/image/fetch/unknown-authority", test_unknown_authority},
    {"/image/fetch/authority-from-ssl-cert-file", test_authority_from_ssl_cert_file},
    {"/image/fetch/absent-ca-file", test_absent_ca_file},
    {"/image/fetch/proxy", test_proxy},
    {"/image/fetch/no-proxy", test_no_proxy},
    {"/image/fetch/proxy-refuses", test_proxy_refuses},
    {"/image/fetch/certificate-for-another-host", test_certificate_for_another_host},
    {"/image/fetch/no-such-host", test_no_such_host},
    {"/image/fetch/connection-refused", test_connection_refused},
    {"/image/fetch/password-is-not-told", test_password_is_not_told},
    {"/image/fetch/progress", test_progress},
    {"/image/fetch/text", test_text},
    {"/image/pull/pull", test_pull},
    {"/image/pull/packed", test_pull_of_a_packed_image},
    {"/image/pull/resumes", test_pull_resumes},
    {"/image/pull/something-else", test_pull_of_something_else},
    {"/image/pull/not-in-the-sums", test_pull_not_in_the_sums},
    {"/image/pull/hostile-sums", test_pull_of_hostile_sums},
    {"/image/pull/needs-https-for-sums", test_pull_needs_https_for_sums},
    {"/image/pull/pinned-digest-by-http", test_pull_with_a_pinned_digest_by_http},
    {"/image/pull/backing-file", test_pull_of_a_backing_file},
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autofree char *folder = g_dir_make_tmp("stead-web-XXXXXX", NULL);
    web = web_new(folder);
    for (gsize i = 0; i < G_N_ELEMENTS(net_cases); i++)
        g_test_add(net_cases[i].path, Net, &net_cases[i].test, net_set_up, run_net_test,
                   net_tear_down);
    int result = g_test_run();
    if (web)
        web_free(web);
    stead_remove_tree(folder, NULL);
    return result;
}
