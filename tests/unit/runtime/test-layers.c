/* SPDX-License-Identifier: Apache-2.0 */
/* The layer tree, on real qcow2 files with contents that tell them apart. */
#include "runtime/vm/layers.h"

#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"
#include "base/subprocess.h"

#define ID_ONE "aaaaaaaa-0000-4000-8000-000000000001"
#define ID_TWO "bbbbbbbb-0000-4000-8000-000000000002"

typedef struct {
    char *dir, *root, *one, *two;
} Tree;

static gboolean run(const char *const argv[])
{
    g_autoptr(GError) error = NULL;
    gboolean done = stead_run(argv, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    return done;
}

/* 64 KiB of one byte at 64 KiB * place. */
static void write_byte(const char *path, int place, int byte)
{
    g_autofree char *command = g_strdup_printf("write -q -P %d %dk 64k", byte, 64 * place);
    const char *const argv[] = {"qemu-io", "-f", "qcow2", "-c", command, path, NULL};
    run(argv);
}

static void check_byte(const char *path, int place, int byte)
{
    g_autofree char *command = g_strdup_printf("read -q -P %d %dk 64k", byte, 64 * place);
    const char *const argv[] = {"qemu-io", "-r", "-f", "qcow2", "-c", command, path, NULL};
    run(argv);
}

/* root ← one ← two, each with a byte of its own, and the root's byte below all. */
static gboolean set_up(Tree *tree)
{
    if (!stead_find_program("qemu-img", NULL) || !stead_find_program("qemu-io", NULL)) {
        g_test_skip("qemu-img or qemu-io is not installed");
        return FALSE;
    }
    tree->dir = g_dir_make_tmp("stead-layers-XXXXXX", NULL);
    tree->root = g_build_filename(tree->dir, "web-1a2b3c4d.qcow2", NULL);
    tree->one = stead_layer_path(tree->root, ID_ONE);
    tree->two = stead_layer_path(tree->one, ID_TWO);
    const char *const make[] = {"qemu-img", "create", "-q", "-f", "qcow2", tree->root, "1M", NULL};
    run(make);
    write_byte(tree->root, 0, 1);
    g_assert_true(stead_layer_create(tree->one, tree->root, "qcow2", NULL));
    write_byte(tree->one, 1, 2);
    g_assert_true(stead_layer_create(tree->two, tree->one, "qcow2", NULL));
    write_byte(tree->two, 2, 3);
    g_assert_true(stead_layer_freeze(tree->root, TRUE, NULL));
    g_assert_true(stead_layer_freeze(tree->one, TRUE, NULL));
    return TRUE;
}

static void tear_down(Tree *tree)
{
    stead_remove_tree(tree->dir, NULL);
    g_free(tree->dir);
    g_free(tree->root);
    g_free(tree->one);
    g_free(tree->two);
}

static void check_backing(const char *path, const char *expected)
{
    g_autofree char *backing = NULL, *format = NULL;
    g_assert_true(stead_layer_backing(path, &backing, &format, NULL));
    g_assert_cmpstr(backing, ==, expected);
}

static void test_names(void)
{
    g_autofree char *first = stead_layer_path("/v/web-1a2b3c4d.qcow2", ID_ONE);
    g_autofree char *second = stead_layer_path(first, ID_TWO);
    g_autofree char *of_raw = stead_layer_path("/v/data.img", ID_ONE);
    g_assert_cmpstr(first, ==, "/v/web-1a2b3c4d.aaaaaaaa.qcow2");
    g_assert_cmpstr(second, ==, "/v/web-1a2b3c4d.bbbbbbbb.qcow2");
    g_assert_cmpstr(of_raw, ==, "/v/data.aaaaaaaa.qcow2");
}

static void test_families(void)
{
    g_assert_true(stead_layer_same_family("/v/web.qcow2", "/v/web.aaaaaaaa.qcow2"));
    g_assert_true(stead_layer_same_family("/v/web.bbbbbbbb.qcow2", "/v/web.aaaaaaaa.qcow2"));
    g_assert_true(stead_layer_same_family("/v/data.img", "/v/data.aaaaaaaa.qcow2"));
    g_assert_true(stead_layer_same_family("/dev/vg/a", "/dev/vg/a"));
    g_assert_false(stead_layer_same_family("/v/web.qcow2", "/v/web-disk1.qcow2"));
    g_assert_false(stead_layer_same_family("/v/web.qcow2", "/w/web.qcow2"));
    g_assert_false(stead_layer_same_family("/v/web.qcow2", "/v/web.aaaaaaa.qcow2"));
    g_assert_false(stead_layer_same_family("/v.aaaaaaaa/web", "/v.bbbbbbbb/web"));
}

static void test_the_tree_stands_in_the_headers(void)
{
    Tree tree;
    if (!set_up(&tree))
        return;
    check_backing(tree.root, NULL);
    check_backing(tree.one, tree.root);
    check_backing(tree.two, tree.one);
    g_autoptr(GPtrArray) children = stead_layer_children(tree.root, NULL);
    g_assert_cmpuint(children->len, ==, 1);
    g_assert_cmpstr(children->pdata[0], ==, tree.one);
    tear_down(&tree);
}

static void check_contents(const char *path)
{
    check_byte(path, 0, 1);
    check_byte(path, 1, 2);
    check_byte(path, 2, 3);
    check_byte(path, 3, 0);
}

static void test_a_layer_in_the_middle_is_absorbed(void)
{
    Tree tree;
    if (!set_up(&tree))
        return;
    g_assert_true(stead_layer_absorb(tree.two, TRUE, NULL));
    check_backing(tree.two, tree.root);
    g_assert_true(stead_layer_delete(tree.one, NULL));
    check_contents(tree.two);
    tear_down(&tree);
}

/* The file that was open is left as it was, so that who reads it sees no change. */
static void test_an_open_layer_is_replaced(void)
{
    Tree tree;
    if (!set_up(&tree))
        return;
    GStatBuf before, after;
    g_assert_cmpint(g_stat(tree.one, &before), ==, 0);
    g_assert_true(stead_layer_absorb(tree.one, FALSE, NULL));
    g_assert_cmpint(g_stat(tree.one, &after), ==, 0);
    g_assert_cmpuint(before.st_ino, !=, after.st_ino);
    g_assert_true(stead_layer_is_frozen(tree.one));
    check_backing(tree.one, NULL);
    g_assert_true(stead_layer_delete(tree.root, NULL));
    check_contents(tree.two);
    g_autoptr(GPtrArray) family = stead_layer_family(tree.two, NULL);
    g_assert_cmpuint(family->len, ==, 2);
    tear_down(&tree);
}

static void test_sweeping_takes_leftovers_only(void)
{
    Tree tree;
    if (!set_up(&tree))
        return;
    g_autofree char *left = stead_layer_path(tree.root, "cccccccc");
    g_autofree char *other = g_build_filename(tree.dir, "web-1a2b3c4d-disk1.qcow2", NULL);
    g_assert_true(stead_layer_create(left, tree.one, "qcow2", NULL));
    g_assert_true(stead_layer_create(other, tree.one, "qcow2", NULL));
    g_assert_true(stead_layer_sweep(tree.two, NULL));
    g_assert_false(g_file_test(left, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_test(other, G_FILE_TEST_EXISTS));
    check_contents(tree.two);
    tear_down(&tree);
}

/* A guest may write what it likes at the start of its raw disk. */
static void test_a_raw_disk_is_not_asked_what_it_stands_on(void)
{
    Tree tree;
    if (!set_up(&tree))
        return;
    g_autofree char *raw = g_build_filename(tree.dir, "raw.img", NULL);
    const char *const forge[] = {"cp", tree.two, raw, NULL};
    run(forge);
    check_backing(raw, NULL);
    g_autofree char *layer = stead_layer_path(raw, ID_ONE);
    g_assert_true(stead_layer_create(layer, raw, "raw", NULL));
    g_assert_true(stead_layer_absorb(layer, TRUE, NULL));
    check_backing(layer, NULL);
    tear_down(&tree);
}

static void test_a_failure_leaves_nothing(void)
{
    Tree tree;
    if (!set_up(&tree))
        return;
    g_autofree char *absent = g_build_filename(tree.dir, "absent.qcow2", NULL);
    g_autofree char *layer = stead_layer_path(tree.root, "dddddddd");
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_layer_create(layer, absent, "qcow2", &error));
    g_assert_nonnull(error);
    g_assert_false(g_file_test(layer, G_FILE_TEST_EXISTS));
    g_assert_true(stead_layer_delete(layer, NULL));
    tear_down(&tree);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/layers/names", test_names);
    g_test_add_func("/layers/families", test_families);
    g_test_add_func("/layers/the-tree-stands-in-the-headers", test_the_tree_stands_in_the_headers);
    g_test_add_func("/layers/a-layer-in-the-middle-is-absorbed",
                    test_a_layer_in_the_middle_is_absorbed);
    g_test_add_func("/layers/an-open-layer-is-replaced", test_an_open_layer_is_replaced);
    g_test_add_func("/layers/sweeping-takes-leftovers-only", test_sweeping_takes_leftovers_only);
    g_test_add_func("/layers/a-raw-disk-is-not-asked-what-it-stands-on",
                    test_a_raw_disk_is_not_asked_what_it_stands_on);
    g_test_add_func("/layers/a-failure-leaves-nothing", test_a_failure_leaves_nothing);
    return g_test_run();
}
