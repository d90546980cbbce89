/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser's verdict on samples.txt, whose other reader asks the JSON Schema; and the schema in
 * the tree is the one that the tables make (STEAD_UPDATE_GOLDEN=1 rewrites it). The argument is the
 * root of the source tree.
 */
#include "model/spec.h"

#include <string.h>

static const char *root;

static char *read_source(const char *path)
{
    g_autofree char *full = g_build_filename(root, path, NULL);
    g_autoptr(GError) error = NULL;
    char *text = NULL;
    g_file_get_contents(full, &text, NULL, &error);
    g_assert_no_error(error);
    return text;
}

static void check_sample(const char *title, const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadSpec) spec = stead_spec_parse(text, -1, "sample.yaml", &error);
    gboolean accept = g_str_has_prefix(title, "accept: ");
    g_assert_true(accept || g_str_has_prefix(title, "refuse: ") ||
                  g_str_has_prefix(title, "beyond: "));
    if (accept && !spec)
        g_error("%s: %s", title, error->message);
    if (!accept && spec)
        g_error("%s: was read", title);
}

static void test_samples(void)
{
    g_autofree char *text = read_source("tests/unit/model/samples.txt");
    g_auto(GStrv) samples = g_strsplit(text, "\n### ", -1);
    guint n = 0;
    for (guint i = 1; samples[i]; i++, n++) {
        char *body = strchr(samples[i], '\n');
        *body = '\0';
        check_sample(samples[i], body + 1);
    }
    g_assert_cmpuint(n, >, 40);
}

static void check_example(const char *path)
{
    g_autofree char *text = read_source(path);
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadSpec) spec = stead_spec_parse(text, -1, path, &error);
    g_assert_no_error(error);
    g_assert_nonnull(spec);
}

static void test_examples(void)
{
    check_example("examples/edge-node.yaml");
    check_example("examples/lab.yaml");
}

static void test_the_newcomers_example_is_small(void)
{
    g_autofree char *text = read_source("examples/edge-node.yaml");
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), <, 30);
}

static void test_the_schema_in_the_tree_is_current(void)
{
    g_autofree char *schema = stead_spec_json_schema();
    if (g_getenv("STEAD_UPDATE_GOLDEN")) {
        g_autofree char *path = g_build_filename(root, "data/stead.schema.json", NULL);
        g_assert_true(g_file_set_contents(path, schema, -1, NULL));
    }
    g_autofree char *stored = read_source("data/stead.schema.json");
    g_assert_true(strcmp(stored, schema) == 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(argc, ==, 2);
    root = argv[1];
    g_test_add_func("/samples/samples", test_samples);
    g_test_add_func("/samples/examples", test_examples);
    g_test_add_func("/samples/the-newcomers-example-is-small", test_the_newcomers_example_is_small);
    g_test_add_func("/samples/the-schema-in-the-tree-is-current",
                    test_the_schema_in_the_tree_is_current);
    return g_test_run();
}
