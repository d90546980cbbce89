/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The help of every command against tests/golden/cli/help/NAME.txt; STEAD_GOLDEN_UPDATE=1 writes
 * the files anew. And what must hold for every entry of the table.
 */
#include "cli/help.h"

#include <string.h>

#include "cli/text.h"
#include "model/kind.h"

static gboolean updating(void)
{
    return g_getenv("STEAD_GOLDEN_UPDATE") != NULL;
}

static void assert_golden(const char *name, const char *text)
{
    g_autofree char *file = g_strdelimit(g_strconcat(name, ".txt", NULL), " ", '-');
    g_autofree char *path = g_build_filename(GOLDEN_DIR, "help", file, NULL);
    g_autofree char *golden = NULL;
    g_autoptr(GError) error = NULL;
    if (updating())
        g_file_set_contents(path, text, -1, &error);
    else
        g_file_get_contents(path, &golden, NULL, &error);
    g_assert_no_error(error);
    if (golden != NULL)
        g_assert_cmpstr(text, ==, golden);
}

static void test_help_is_as_recorded(void)
{
    g_autofree char *whole = stead_help_text(NULL);
    assert_golden("stead", whole);
    for (gsize i = 0; i < stead_n_commands; i++) {
        g_autofree char *text = stead_help_text(stead_commands[i]);
        if (stead_commands[i]->section != STEAD_SECTION_HIDDEN)
            assert_golden(stead_commands[i]->name, text);
    }
}

static void test_every_golden_file_has_its_command(void)
{
    g_autofree char *folder = g_build_filename(GOLDEN_DIR, "help", NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    g_assert_nonnull(dir);
    for (const char *file = g_dir_read_name(dir); file != NULL; file = g_dir_read_name(dir)) {
        g_autofree char *name = g_strndup(file, strlen(file) - strlen(".txt"));
        gboolean known = strcmp(name, "stead") == 0 || stead_command_find(name) != NULL ||
                         stead_command_find(g_strdelimit(name, "-", ' ')) != NULL;
        if (!known)
            g_error("%s is of no command", file);
    }
}

static void assert_narrow(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        if (stead_text_width(*line) > 100)
            g_error("too wide: %s", *line);
}

static void test_help_is_narrow(void)
{
    for (gsize i = 0; i < stead_n_commands; i++) {
        g_autofree char *text = stead_help_text(stead_commands[i]);
        assert_narrow(text);
    }
}

static void assert_unique_options(const SteadCommand *command)
{
    for (const SteadOption *a = command->options; a != NULL && a->name != NULL; a++) {
        g_assert_cmpstr(a->name, !=, "help");
        g_assert_cmpint(a->letter, !=, 'h');
        for (const SteadOption *b = a + 1; b->name != NULL; b++) {
            g_assert_cmpstr(a->name, !=, b->name);
            g_assert_true(a->letter == '\0' || a->letter != b->letter);
        }
    }
}

static void assert_whole_options(const SteadCommand *command)
{
    for (const SteadOption *o = command->options; o != NULL && o->name != NULL; o++) {
        g_assert_nonnull(o->doc);
        g_assert_cmpint((o->type == STEAD_OPTION_CHOICE), ==, (o->choices != NULL));
        gboolean valued = o->type != STEAD_OPTION_FLAG && o->type != STEAD_OPTION_CHOICE;
        g_assert_cmpint(valued, ==, (o->metavar != NULL));
    }
}

static void test_the_table_is_sound(void)
{
    for (gsize i = 0; i < stead_n_commands; i++) {
        const SteadCommand *command = stead_commands[i];
        g_assert_true(stead_command_find(command->name) == command);
        g_assert_true(g_ascii_isupper(command->summary[0]));
        g_assert_false(g_str_has_suffix(command->summary, "."));
        assert_unique_options(command);
        assert_whole_options(command);
    }
}

static void test_members_follow_their_group(void)
{
    const SteadCommand *group = NULL;
    for (gsize i = 0; i < stead_n_commands; i++) {
        const SteadCommand *command = stead_commands[i];
        if (strchr(command->name, ' ') == NULL)
            group = command;
        else
            g_assert_true(stead_command_is_in(command, group) && group->run == NULL);
    }
}

/* Choices that stand for a model's enum must be all of its names. */
static void assert_choices(const char *command, const char *option, const SteadNames *names)
{
    const SteadOption *o = stead_command_find(command)->options;
    while (strcmp(o->name, option) != 0)
        o++;
    g_autoptr(GString) expected = g_string_new(NULL);
    for (guint i = 0; i < names->n; i++)
        g_string_append_printf(expected, "%s%s", i > 0 ? "|" : "", names->names[i]);
    g_assert_cmpstr(o->choices, ==, expected->str);
}

static void test_choices_are_the_models(void)
{
    assert_choices("run", "kind", &stead_kind_names);
    assert_choices("run", "firmware", &stead_firmware_names);
    assert_choices("run", "restart", &stead_restart_names);
    assert_choices("network create", "mode", &stead_network_mode_names);
}

static void test_the_manual_names_every_command(void)
{
    g_autofree char *manual = stead_help_manual();
    g_autofree char *readme = stead_help_markdown();
    for (gsize i = 0; i < stead_n_commands; i++) {
        const SteadCommand *command = stead_commands[i];
        if (command->section == STEAD_SECTION_HIDDEN)
            continue;
        g_autofree char *heading = g_strconcat(".SS stead ", command->name, NULL);
        g_autofree char *row = g_strconcat("| `stead ", command->name, NULL);
        g_assert_nonnull(strstr(manual, heading));
        g_assert_true(command->run == NULL || strstr(readme, row) != NULL);
    }
    g_assert_null(strstr(manual, "__complete"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/help/help-is-as-recorded", test_help_is_as_recorded);
    g_test_add_func("/help/every-golden-file-has-its-command",
                    test_every_golden_file_has_its_command);
    g_test_add_func("/help/help-is-narrow", test_help_is_narrow);
    g_test_add_func("/help/the-table-is-sound", test_the_table_is_sound);
    g_test_add_func("/help/members-follow-their-group", test_members_follow_their_group);
    g_test_add_func("/help/choices-are-the-models", test_choices_are_the_models);
    g_test_add_func("/help/the-manual-names-every-command", test_the_manual_names_every_command);
    return g_test_run();
}
