/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"

#include <string.h>

#define NOW (1000 * (gint64)G_USEC_PER_SEC)

static char *shout(JsonNode *item)
{
    return g_strdup("HEY\033[2J");
}

static const SteadColumn columns[] = {
    {"NAME", "name", STEAD_CELL_TEXT},      {"STATE", "state", STEAD_CELL_STATE},
    {"SIZE", "size", STEAD_CELL_SIZE},      {"AGE", "made", STEAD_CELL_AGE},
    {"LIST", "list", STEAD_CELL_LIST},      {"OWN", NULL, STEAD_CELL_FUNCTION, shout},
    {"NOTE", "deep.note", STEAD_CELL_TEXT}, {NULL},
};

static const SteadColumn two[] = {
    {"NAME", "name", STEAD_CELL_TEXT},
    {"NOTE", "note", STEAD_CELL_TEXT},
    {NULL},
};

static JsonNode *parse(const char *json)
{
    JsonNode *node = json_from_string(json, NULL);
    g_assert_nonnull(node);
    return node;
}

static void assert_table(const SteadColumn *table, const char *json, guint width, gboolean colour,
                         const char *expected)
{
    g_autoptr(JsonNode) items = parse(json);
    g_autofree char *text = stead_table_format(table, items, NOW, width, colour);
    g_assert_cmpstr(text, ==, expected);
}

static void test_columns_are_aligned(void)
{
    assert_table(columns,
                 "[{'name':'a-long-name','state':'running','size':1073741824,'made':940000000,"
                 "'list':['x','y'],'deep':{'note':'n'}},{'name':'b'}]",
                 G_MAXUINT, FALSE,
                 "NAME         STATE    SIZE   AGE    LIST  OWN  NOTE\n"
                 "a-long-name  running  1 GiB  1m00s  x, y  HEY  n\n"
                 "b            -        -      -      -     HEY  -\n");
}

static void test_wrong_types_are_no_values(void)
{
    assert_table(columns, "[{'name':{},'state':[1],'size':'big','made':null,'list':'x','deep':3}]",
                 G_MAXUINT, FALSE,
                 "NAME  STATE  SIZE  AGE  LIST  OWN  NOTE\n"
                 "-     -      -     -    -     HEY  -\n");
    assert_table(two, "{}", G_MAXUINT, FALSE, "NAME  NOTE\n");
    assert_table(two, "[3]", G_MAXUINT, FALSE, "NAME  NOTE\n-     -\n");
}

static void test_the_last_column_is_cut(void)
{
    assert_table(two, "[{'name':'web','note':'a very long remark'}]", 16, FALSE,
                 "NAME  NOTE\nweb   a very lo…\n");
}

static void test_states_are_coloured(void)
{
    assert_table(columns, "[{'name':'a','state':'failed'}]", G_MAXUINT, TRUE,
                 "NAME  STATE   SIZE  AGE  LIST  OWN  NOTE\n"
                 "a     \033[31mfailed\033[0m  -     -    -     HEY  -\n");
}

static void test_texts_are_made_harmless(void)
{
    assert_table(two, "[{\"name\":\"a\\u001b[2Jb\",\"note\":\"c\\nd\\u0007\"}]", G_MAXUINT, FALSE,
                 "NAME  NOTE\nab    c d\n");
}

static void test_fields_leave_out_what_is_not_there(void)
{
    static const SteadColumn fields[] = {
        {"Name", "name", STEAD_CELL_TEXT},
        {"Up for", "up", STEAD_CELL_DURATION},
        {"Done", "done", STEAD_CELL_PERCENT},
        {"Digest", "digest", STEAD_CELL_SHORT},
        {"Flag", "flag", STEAD_CELL_FLAG},
        {"Gone", "gone", STEAD_CELL_TEXT},
        {NULL},
    };
    g_autoptr(JsonNode) item =
        parse("{'name':'web','up':90000,'done':0.42,'digest':'0123456789abcdef','flag':true}");
    g_autofree char *text = stead_table_format_fields(fields, item, NOW, FALSE);
    g_assert_cmpstr(text, ==,
                    "Name:    web\n"
                    "Up for:  1m30s\n"
                    "Done:    42%\n"
                    "Digest:  0123456789ab\n"
                    "Flag:    yes\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/table/columns-are-aligned", test_columns_are_aligned);
    g_test_add_func("/table/wrong-types-are-no-values", test_wrong_types_are_no_values);
    g_test_add_func("/table/the-last-column-is-cut", test_the_last_column_is_cut);
    g_test_add_func("/table/states-are-coloured", test_states_are_coloured);
    g_test_add_func("/table/texts-are-made-harmless", test_texts_are_made_harmless);
    g_test_add_func("/table/fields-leave-out", test_fields_leave_out_what_is_not_there);
    return g_test_run();
}
