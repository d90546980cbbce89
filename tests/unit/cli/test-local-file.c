/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/local_file.h"

#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"
#include "base/paths.h"

typedef struct {
    char *folder;
    GPtrArray *keys;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    f->folder = g_dir_make_tmp("stead-test-XXXXXX", NULL);
    f->keys = g_ptr_array_new_with_free_func(g_free);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    stead_remove_tree(f->folder, NULL);
    g_free(f->folder);
    g_ptr_array_unref(f->keys);
}

static void put(Fixture *f, const char *name, const char *text, gssize length)
{
    g_autofree char *path = g_build_filename(f->folder, name, NULL);
    g_assert_true(g_file_set_contents(path, text, length, NULL));
}

static void test_a_key_is_taken_as_it_is(Fixture *f, gconstpointer data)
{
    g_assert_true(stead_local_keys("ssh-rsa AAAA me", f->folder, f->keys, NULL));
    g_assert_cmpstr(g_ptr_array_index(f->keys, 0), ==, "ssh-rsa AAAA me");
}

static void test_a_file_gives_all_its_keys(Fixture *f, gconstpointer data)
{
    put(f, "keys.pub", "# mine\nssh-rsa A a\n\n  ssh-rsa B b \r\n", -1);
    g_assert_true(stead_local_keys("keys.pub", f->folder, f->keys, NULL));
    g_assert_cmpuint(f->keys->len, ==, 2);
    g_assert_cmpstr(g_ptr_array_index(f->keys, 1), ==, "ssh-rsa B b");
}

static void assert_refused(Fixture *f, const char *entry, SteadErrorCode code, const char *message)
{
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_local_keys(entry, f->folder, f->keys, &error));
    g_assert_error(error, STEAD_ERROR, (int)code);
    g_assert_nonnull(strstr(error->message, message));
}

static void test_files_that_hold_no_key_are_refused(Fixture *f, gconstpointer data)
{
    put(f, "empty.pub", "\n# nothing\n", -1);
    put(f, "binary.pub", "\377\376", 2);
    g_autofree char *big = g_strnfill(STEAD_MAX_KEY_FILE + 1, 'x');
    put(f, "huge.pub", big, -1);
    assert_refused(f, "empty.pub", STEAD_ERROR_INVALID, "holds no public key");
    assert_refused(f, "binary.pub", STEAD_ERROR_INVALID, "is not UTF-8");
    assert_refused(f, "huge.pub", STEAD_ERROR_INVALID, "is longer than");
    assert_refused(f, "none.pub", STEAD_ERROR_NOT_FOUND, "none.pub cannot be read");
    assert_refused(f, "./", STEAD_ERROR_INVALID, "is not a file");
    assert_refused(f, "/dev/zero", STEAD_ERROR_INVALID, "is not a file");
}

static const char spec_text[] = "name: lab\n"
                                "instances:\n"
                                "  web:\n"
                                "    image: debian:12\n"
                                "    ssh-keys:\n"
                                "      - key.pub\n"
                                "    user-data-file: seed.yaml\n";

static void test_a_spec_gets_the_contents(Fixture *f, gconstpointer data)
{
    put(f, "key.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA me\n", -1);
    put(f, "seed.yaml", "#cloud-config\n", -1);
    g_autofree char *path = g_build_filename(f->folder, "lab.yaml", NULL);
    put(f, "lab.yaml", spec_text, -1);
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadSpec) spec = stead_local_spec(path, &error);
    g_assert_no_error(error);
    const SteadInstanceSpec *web = g_ptr_array_index(spec->instances, 0);
    g_assert_cmpstr(web->ssh_keys[0], ==, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA me");
    g_assert_cmpstr(web->user_data, ==, "#cloud-config\n");
    g_assert_null(web->user_data_file);
}

static void test_errors_name_the_place_in_the_spec(Fixture *f, gconstpointer data)
{
    put(f, "key.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA me\n", -1);
    g_autofree char *path = g_build_filename(f->folder, "lab.yaml", NULL);
    put(f, "lab.yaml", spec_text, -1);
    g_autofree char *place = g_strconcat(path, ":7:21: ", NULL);
    g_autoptr(GError) error = NULL;
    g_assert_null(stead_local_spec(path, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
    g_assert_true(g_str_has_prefix(error->message, place));
}

#define ADD(name, func) g_test_add("/local-file/" name, Fixture, NULL, set_up, func, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("a-key-is-taken-as-it-is", test_a_key_is_taken_as_it_is);
    ADD("a-file-gives-all-its-keys", test_a_file_gives_all_its_keys);
    ADD("files-that-hold-no-key-are-refused", test_files_that_hold_no_key_are_refused);
    ADD("a-spec-gets-the-contents", test_a_spec_gets_the_contents);
    ADD("errors-name-the-place-in-the-spec", test_errors_name_the_place_in_the_spec);
    return g_test_run();
}
