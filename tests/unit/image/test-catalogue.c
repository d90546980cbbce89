/* SPDX-License-Identifier: Apache-2.0 */
#include "image/catalogue.h"

#include <string.h>

#include "fixture.h"

static SteadCatalogue *read_yaml(const char *yaml, GError **error)
{
    return stead_catalogue_new(yaml, -1, "catalogue.yaml", error);
}

static void test_built_in(void)
{
    static const char *const names[] = {"debian:12", "debian:13", "ubuntu:22.04", "ubuntu:24.04"};
    g_autoptr(SteadCatalogue) catalogue = read_yaml(NULL, NULL);
    g_assert_cmpuint(stead_catalogue_count(catalogue), ==, G_N_ELEMENTS(names));
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        const SteadCatalogueEntry *entry = stead_catalogue_find(catalogue, names[i], NULL);
        g_assert_nonnull(entry);
        g_assert_true(g_str_has_prefix(entry->url, "https://"));
        g_assert_true(g_str_has_prefix(entry->sums, "https://"));
        g_assert_nonnull(entry->user);
        g_assert_nonnull(entry->title);
        g_assert_false(entry->agent);
    }
}

static void test_aliases(void)
{
    g_autoptr(SteadCatalogue) catalogue = read_yaml(NULL, NULL);
    g_assert_cmpstr(stead_catalogue_find(catalogue, "debian", NULL)->name, ==, "debian:12");
    g_assert_cmpstr(stead_catalogue_find(catalogue, "ubuntu", NULL)->name, ==, "ubuntu:24.04");
}

static void test_unknown_name(void)
{
    g_autoptr(SteadCatalogue) catalogue = read_yaml(NULL, NULL);
    g_autoptr(GError) error = NULL;
    g_assert_null(stead_catalogue_find(catalogue, "ubunut:24.04", &error));
    assert_stead_error(error, STEAD_ERROR_NOT_FOUND);
    g_assert_cmpstr(stead_error_hint(error), ==, "Did you mean ubuntu:24.04?");
}

static void test_unknown_name_far_from_all(void)
{
    g_autoptr(SteadCatalogue) catalogue = read_yaml(NULL, NULL);
    g_autoptr(GError) error = NULL;
    g_assert_null(stead_catalogue_find(catalogue, "windows", &error));
    assert_stead_error(error, STEAD_ERROR_NOT_FOUND);
    g_assert_cmpstr(stead_error_hint(error), ==,
                    "Known are debian:12, debian:13, ubuntu:22.04, ubuntu:24.04.");
}

static void test_file_adds_and_replaces(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadCatalogue) catalogue =
        read_yaml("images:\n"
                  "  - name: debian:12\n"
                  "    url: https://mirror.example/d12.qcow2\n"
                  "    sums: https://mirror.example/SHA512SUMS\n"
                  "    aliases: [debian, stable]\n"
                  "  - name: router:1.4\n"
                  "    url: http://files.example/router.vmdk.xz\n"
                  "    digest: sha256:"
                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"
                  "    agent: true\n"
                  "    user: admin\n"
                  "    title: 'The router'\n",
                  &error);
    g_assert_no_error(error);
    g_assert_cmpuint(stead_catalogue_count(catalogue), ==, 5);
    const SteadCatalogueEntry *mirror = stead_catalogue_find(catalogue, "stable", NULL);
    g_assert_cmpstr(mirror->url, ==, "https://mirror.example/d12.qcow2");
    const SteadCatalogueEntry *router = stead_catalogue_find(catalogue, "router:1.4", NULL);
    g_assert_true(router->agent);
    g_assert_cmpstr(router->user, ==, "admin");
    g_assert_null(router->sums);
}

static void test_empty_file(void)
{
    g_autoptr(SteadCatalogue) catalogue = read_yaml("# nothing yet\n", NULL);
    g_assert_cmpuint(stead_catalogue_count(catalogue), ==, 4);
}

typedef struct {
    const char *yaml;
    const char *expected; /* in the message */
} WrongCase;

static const WrongCase wrong_cases[] = {
    {"images:\n  - name: a:1\n    url: https://x/y\n", "catalogue.yaml:2:5: sums or digest"},
    {"images:\n  - name: a:1\n    url: http://x/y\n    sums: https://x/s\n", "url has to be https"},
    {"images:\n  - name: a:1\n    url: https://x/y\n    sums: http://x/s\n", "sums has to be"},
    {"images:\n  - name: a:1\n    url: file:///etc/passwd\n    sums: https://x/s\n",
     "https address"},
    {"images:\n  - name: a:1\n    url: https://x/y\n    digest: md5:00\n", "digest has to be"},
    {"images:\n  - name: ../../x\n    url: https://x/y\n    sums: https://x/s\n", "name has to be"},
    {"images:\n  - name: a:1\n    utl: https://x/y\n",
     "3:5: unknown field 'utl'; did you mean url?"},
    {"images:\n  - name: a:1\n    agent: maybe\n", "3:12: agent has to be true or false"},
    {"images:\n  - name: [a]\n", "name has to be a text"},
    {"images:\n  - name: a:1\n    aliases: x\n", "aliases has to be a list"},
    {"images:\n  - name: a:1\n    aliases: [../x]\n", "not the name of an image"},
    {"images: 3\n", "images has to be a list"},
    {"images: [3]\n", "has to be a map"},
    {"pictures: []\n", "1:1: expected 'images:'"},
    {"- a\n", "expected 'images:'"},
    {"images: [", "catalogue.yaml:"},
    {"images: *nowhere\n", "catalogue.yaml:"},
    {"a: &a [*a]\nimages: *a\n", "expected 'images:'"},
};

static void test_wrong_files(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(wrong_cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(SteadCatalogue) catalogue = read_yaml(wrong_cases[i].yaml, &error);
        g_assert_null(catalogue);
        assert_stead_error(error, STEAD_ERROR_INVALID);
        g_test_message("%s", error->message);
        g_assert_nonnull(strstr(error->message, wrong_cases[i].expected));
    }
}

static void test_all_problems_at_once(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(read_yaml("images:\n  - nam: x\n  - agent: 3\n", &error));
    g_auto(GStrv) lines = g_strsplit(error->message, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), >=, 4);
}

static void test_too_large(void)
{
    g_autofree char *yaml = g_strnfill(STEAD_CATALOGUE_MAX_BYTES + 1, ' ');
    g_autoptr(GError) error = NULL;
    g_assert_null(read_yaml(yaml, &error));
    assert_stead_error(error, STEAD_ERROR_INVALID);
}

static void test_load_from_environment(Fixture *fixture, gconstpointer data)
{
    g_autofree char *path = fixture_write(fixture, "my.yaml",
                                          "images:\n  - name: mine:1\n    url: https://x/y\n"
                                          "    sums: https://x/s\n",
                                          -1);
    g_autoptr(GError) error = NULL;
    g_setenv("STEAD_CATALOGUE", path, TRUE);
    g_autoptr(SteadCatalogue) catalogue = stead_catalogue_load(&error);
    g_unsetenv("STEAD_CATALOGUE");
    g_assert_no_error(error);
    g_assert_nonnull(stead_catalogue_find(catalogue, "mine:1", NULL));
}

static void test_named_file_is_absent(void)
{
    g_autoptr(GError) error = NULL;
    g_setenv("STEAD_CATALOGUE", "/no/such/file.yaml", TRUE);
    g_assert_null(stead_catalogue_load(&error));
    g_unsetenv("STEAD_CATALOGUE");
    assert_stead_error(error, STEAD_ERROR_NOT_FOUND);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/image/catalogue/built-in", test_built_in);
    g_test_add_func("/image/catalogue/aliases", test_aliases);
    g_test_add_func("/image/catalogue/unknown-name", test_unknown_name);
    g_test_add_func("/image/catalogue/unknown-name-far-from-all", test_unknown_name_far_from_all);
    g_test_add_func("/image/catalogue/file-adds-and-replaces", test_file_adds_and_replaces);
    g_test_add_func("/image/catalogue/empty-file", test_empty_file);
    g_test_add_func("/image/catalogue/wrong-files", test_wrong_files);
    g_test_add_func("/image/catalogue/all-problems-at-once", test_all_problems_at_once);
    g_test_add_func("/image/catalogue/too-large", test_too_large);
    add_test("/image/catalogue/load-from-environment", test_load_from_environment);
    g_test_add_func("/image/catalogue/named-file-is-absent", test_named_file_is_absent);
    return g_test_run();
}
