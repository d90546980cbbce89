/* SPDX-License-Identifier: Apache-2.0 */
/* The tables themselves: each row is whole, its words agree with its member, its example is right,
 * and what is made of the tables names every field. */
#include "model/field.h"

#include <string.h>

#include "model/spec-fields.h"

typedef void (*OnField)(const SteadStruct *table, const SteadField *field);

static void for_each_field(const SteadStruct *table, GHashTable *done, OnField func)
{
    if (!g_hash_table_add(done, (gpointer)table))
        return;
    for (guint i = 0; i < table->n; i++) {
        func(table, &table->fields[i]);
        if (table->fields[i].table)
            for_each_field(table->fields[i].table, done, func);
    }
}

static void for_all(OnField func)
{
    g_autoptr(GHashTable) done = g_hash_table_new(NULL, NULL);
    for_each_field(&stead_spec_table, done, func);
    g_assert_cmpuint(g_hash_table_size(done), ==, 12);
}

static void assert_whole(const SteadStruct *table, const SteadField *field)
{
    g_assert_cmpuint(table->n, <=, 64); /* the decoder's set of fields is a guint64 */
    g_assert_nonnull(table->id);
    g_assert_nonnull(table->doc);
    g_assert_nonnull(table->destroy);
    if (!field->doc || !g_str_has_suffix(field->doc, "."))
        g_error("%s of %s has no sentence", field->name, table->what);
    gboolean container = field->table != NULL;
    if (!container && !field->example)
        g_error("%s of %s has no example", field->name, table->what);
    g_assert_cmpuint(field->offset, <, table->size);
    if (field->type == STEAD_FIELD_UINT || field->type == STEAD_FIELD_SIZE ||
        field->type == STEAD_FIELD_DURATION)
        g_assert_cmpuint(field->min, <, field->max);
    g_assert_true((field->type == STEAD_FIELD_ENUM) == (field->names != NULL));
}

static void test_rows_are_whole(void)
{
    for_all(assert_whole);
}

static void assert_unique(const SteadStruct *table, const SteadField *field)
{
    g_assert_true(stead_table_field(table, field->name) == field);
    for (const char *p = field->name; *p; p++)
        g_assert_true(g_ascii_islower(*p) || *p == '-');
    g_auto(GStrv) also = g_strsplit(field->also ? field->also : "", " ", -1);
    for (guint i = 0; also[i]; i++)
        if (stead_table_field(table, also[i]))
            g_error("'%s' is a field of %s", also[i], table->what);
}

static void test_names_are_unique(void)
{
    for_all(assert_unique);
}

/* Reads the example as the field's value. Those with "..." are not meant to be read. */
static void assert_example(const SteadStruct *table, const SteadField *field)
{
    if (!field->example || strstr(field->example, "..."))
        return;
    gpointer object = stead_object_new(table);
    g_autofree char *text = g_strdup_printf("%s: %s", field->name, field->example);
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadTree) tree = stead_tree_from_yaml(text, strlen(text), "example", &error);
    g_assert_no_error(error);
    g_autoptr(SteadProblems) problems = stead_problems_new("example");
    stead_object_decode(table, stead_tree_root(tree), object, STEAD_READ_RECORD, problems);
    gboolean good = stead_problems_finish(problems, &error);
    if (!good && !strstr(error->message, " needs '"))
        g_error("%s", error->message);
    if (stead_field_is_default(field, object))
        g_error("the example of '%s' of %s is its default", field->name, table->what);
    stead_object_free(table, object);
}

static void test_examples_are_right(void)
{
    for_all(assert_example);
}

static void test_defaults_are_equal_to_themselves(void)
{
    gpointer a = stead_object_new(&stead_instance_spec_table);
    gpointer b = stead_object_copy(&stead_instance_spec_table, a);
    g_assert_true(stead_object_equal(&stead_instance_spec_table, a, b));
    for (guint i = 0; i < stead_instance_spec_table.n; i++)
        g_assert_true(stead_field_is_default(&stead_instance_spec_table.fields[i], a));
    stead_object_free(&stead_instance_spec_table, a);
    stead_object_free(&stead_instance_spec_table, b);
}

static const char *manual;

static void assert_in_manual(const SteadStruct *table, const SteadField *field)
{
    g_auto(GStrv) parts = g_strsplit(field->name, "-", -1);
    g_autofree char *name = g_strjoinv("\\-", parts);
    g_autofree char *entry = g_strdup_printf("\n.B %s\n", name);
    if (!strstr(manual, entry))
        g_error("the manual lacks '%s' of %s", field->name, table->what);
}

static void test_the_manual_names_every_field(void)
{
    g_autofree char *text = stead_spec_manual();
    manual = text;
    for_all(assert_in_manual);
}

static void test_the_manual_is_clean_roff(void)
{
    g_autofree char *text = stead_spec_manual();
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    static const char *const requests[] = {".SH", ".TP", ".B", ".RS", ".RE", ".nf", ".fi"};
    for (guint i = 0; lines[i]; i++) {
        if (lines[i][0] != '.' && lines[i][0] != '\'')
            continue;
        g_autofree char *request = g_strndup(lines[i], strcspn(lines[i], " "));
        gboolean known = FALSE;
        for (gsize j = 0; j < G_N_ELEMENTS(requests); j++)
            known = known || strcmp(request, requests[j]) == 0;
        if (!known)
            g_error("line %u of the manual is no text: %s", i + 1, lines[i]);
    }
}

static JsonObject *schema_root;

static void assert_in_schema(const SteadStruct *table, const SteadField *field)
{
    JsonObject *defs = json_object_get_object_member(schema_root, "$defs");
    JsonObject *entry =
        table == &stead_spec_table ? schema_root : json_object_get_object_member(defs, table->id);
    g_assert_nonnull(entry);
    if (json_object_has_member(entry, "anyOf")) {
        JsonArray *branches = json_object_get_array_member(entry, "anyOf");
        entry = json_array_get_object_element(branches, 1);
    }
    JsonObject *properties = json_object_get_object_member(entry, "properties");
    if (!json_object_has_member(properties, field->name))
        g_error("the schema lacks '%s' of %s", field->name, table->what);
    g_assert_cmpuint(json_object_get_size(properties), ==, table->n);
    g_assert_false(json_object_get_boolean_member(entry, "additionalProperties"));
}

static void test_the_schema_has_every_field(void)
{
    g_autofree char *text = stead_spec_json_schema();
    g_autoptr(JsonNode) schema = json_from_string(text, NULL);
    g_assert_nonnull(schema);
    schema_root = json_node_get_object(schema);
    for_all(assert_in_schema);
}

/* A pattern may be wider than its format, never narrower: an editor must not refuse what is right.
 */
static void test_patterns_accept_their_examples(void)
{
    for (guint i = 0; i < stead_instance_spec_table.n; i++) {
        const SteadField *field = &stead_instance_spec_table.fields[i];
        if (field->type != STEAD_FIELD_STRING || !field->format->pattern ||
            strchr("\"", field->example[0]))
            continue;
        g_assert_true(g_regex_match_simple(field->format->pattern, field->example, 0, 0));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tables/rows-are-whole", test_rows_are_whole);
    g_test_add_func("/tables/names-are-unique", test_names_are_unique);
    g_test_add_func("/tables/examples-are-right", test_examples_are_right);
    g_test_add_func("/tables/defaults-are-equal-to-themselves",
                    test_defaults_are_equal_to_themselves);
    g_test_add_func("/tables/the-manual-names-every-field", test_the_manual_names_every_field);
    g_test_add_func("/tables/the-manual-is-clean-roff", test_the_manual_is_clean_roff);
    g_test_add_func("/tables/the-schema-has-every-field", test_the_schema_has_every_field);
    g_test_add_func("/tables/patterns-accept-their-examples", test_patterns_accept_their_examples);
    return g_test_run();
}
