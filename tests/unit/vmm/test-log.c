/* SPDX-License-Identifier: Apache-2.0 */
/* What is in which file after how much output. */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/log.h"

typedef struct {
    char *path;
    VmmLogOptions options;
    VmmLog *log;
} Rig;

static void rig_init(Rig *rig, unsigned backups)
{
    *rig = (Rig){.path = g_dir_make_tmp("log-XXXXXX", NULL)};
    rig->options = (VmmLogOptions){
        .where = open(rig->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        .name = "console.log",
        .size = VMM_LOG_SIZE_MIN,
        .backups = backups,
    };
    g_assert_cmpint(vmm_log_new(&rig->log, &rig->options), ==, 0);
}

static void rig_free(Rig *rig)
{
    g_autoptr(GDir) dir = g_dir_open(rig->path, 0, NULL);
    const char *name;
    vmm_log_free(rig->log);
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(rig->path, name, NULL);
        g_unlink(file);
    }
    g_rmdir(rig->path);
    g_free(rig->path);
    close(rig->options.where);
}

static char *content(const Rig *rig, const char *name)
{
    g_autofree char *file = g_build_filename(rig->path, name, NULL);
    char *text = NULL;
    g_file_get_contents(file, &text, NULL, NULL);
    return text;
}

/* A file's worth of one letter. */
static void fill(const Rig *rig, char letter)
{
    g_autofree char *text = g_strnfill(VMM_LOG_SIZE_MIN, letter);
    vmm_log_write(rig->log, (const uint8_t *)text, VMM_LOG_SIZE_MIN);
}

static void expect_letter(const Rig *rig, const char *name, char letter)
{
    g_autofree char *text = content(rig, name);
    g_assert_nonnull(text);
    g_assert_cmpuint(strlen(text), ==, VMM_LOG_SIZE_MIN);
    g_assert_cmpint(text[0], ==, letter);
}

static void test_full_files_move_on(void)
{
    Rig rig;
    rig_init(&rig, 2);
    for (char letter = 'a'; letter <= 'd'; letter++)
        fill(&rig, letter);
    expect_letter(&rig, "console.log", 'd');
    expect_letter(&rig, "console.log.0", 'c');
    expect_letter(&rig, "console.log.1", 'b');
    g_autofree char *gone = content(&rig, "console.log.2");
    g_assert_null(gone);
    rig_free(&rig);
}

static void test_without_backups_there_is_one_file(void)
{
    Rig rig;
    rig_init(&rig, 0);
    fill(&rig, 'a');
    fill(&rig, 'b');
    expect_letter(&rig, "console.log", 'b');
    g_autofree char *gone = content(&rig, "console.log.0");
    g_assert_null(gone);
    rig_free(&rig);
}

static void test_an_open_file_is_emptied(void)
{
    Rig rig;
    VmmLog *log;
    rig_init(&rig, 1);
    VmmLogOptions options = rig.options;
    options.where =
        openat(rig.options.where, "file", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    g_assert_cmpint(vmm_log_new(&log, &options), ==, 0);
    vmm_log_write(log, (const uint8_t *)"one", 3);
    VmmLog *ours = rig.log;
    rig.log = log;
    fill(&rig, 'b');
    rig.log = ours;
    expect_letter(&rig, "file", 'b');
    vmm_log_free(log);
    close(options.where);
    rig_free(&rig);
}

static void test_a_second_start_appends(void)
{
    Rig rig;
    rig_init(&rig, 1);
    vmm_log_write(rig.log, (const uint8_t *)"one", 3);
    vmm_log_free(rig.log);
    g_assert_cmpint(vmm_log_new(&rig.log, &rig.options), ==, 0);
    vmm_log_write(rig.log, (const uint8_t *)"two", 3);
    g_autofree char *text = content(&rig, "console.log");
    g_assert_cmpstr(text, ==, "onetwo");
    rig_free(&rig);
}

static void test_names_and_sizes_are_checked(void)
{
    Rig rig;
    VmmLog *log;
    rig_init(&rig, 0);
    VmmLogOptions wrong = rig.options;
    wrong.name = "../console.log";
    g_assert_cmpint(vmm_log_new(&log, &wrong), ==, -EINVAL);
    wrong.name = "";
    g_assert_cmpint(vmm_log_new(&log, &wrong), ==, -EINVAL);
    wrong = rig.options;
    wrong.size = VMM_LOG_SIZE_MIN - 1;
    g_assert_cmpint(vmm_log_new(&log, &wrong), ==, -EINVAL);
    wrong = rig.options;
    wrong.backups = VMM_LOG_BACKUPS_MAX + 1;
    g_assert_cmpint(vmm_log_new(&log, &wrong), ==, -EINVAL);
    rig_free(&rig);
}

static void test_a_link_is_not_followed(void)
{
    Rig rig;
    VmmLog *log;
    rig_init(&rig, 0);
    g_assert_cmpint(symlinkat("/dev/null", rig.options.where, "link"), ==, 0);
    VmmLogOptions options = rig.options;
    options.name = "link";
    g_assert_cmpint(vmm_log_new(&log, &options), ==, -ELOOP);
    rig_free(&rig);
}

static void test_what_cannot_be_written_is_counted(void)
{
    Rig rig;
    rig_init(&rig, 0);
    g_autofree char *file = g_build_filename(rig.path, "console.log", NULL);
    vmm_log_free(rig.log);
    g_unlink(file);
    g_assert_cmpint(symlinkat("/dev/full", rig.options.where, "full"), ==, 0);
    g_assert_cmpint(mkdirat(rig.options.where, "folder", 0700), ==, 0);
    VmmLogOptions options = rig.options;
    g_assert_cmpint(vmm_log_new(&rig.log, &options), ==, 0);
    /* The next file cannot be made: its name is a folder's. */
    fill(&rig, 'a');
    g_assert_cmpint(unlinkat(rig.options.where, "console.log", 0), ==, 0);
    g_assert_cmpint(mkdirat(rig.options.where, "console.log", 0700), ==, 0);
    fill(&rig, 'b');
    g_assert_cmpuint(vmm_log_lost(rig.log), ==, VMM_LOG_SIZE_MIN);
    g_rmdir(file);
    g_autofree char *folder = g_build_filename(rig.path, "folder", NULL);
    g_rmdir(folder);
    rig_free(&rig);
}

static void test_a_file_that_could_not_be_opened_is_tried_again(void)
{
    Rig rig;
    struct rlimit before, none;
    rig_init(&rig, 1);
    fill(&rig, 'a');
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
    none = (struct rlimit){0, before.rlim_max};
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
    fill(&rig, 'b');
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
    g_assert_cmpuint(vmm_log_lost(rig.log), ==, VMM_LOG_SIZE_MIN);
    fill(&rig, 'c');
    expect_letter(&rig, "console.log.0", 'a');
    expect_letter(&rig, "console.log", 'c');
    rig_free(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmm/log/full", test_full_files_move_on);
    g_test_add_func("/vmm/log/no-backups", test_without_backups_there_is_one_file);
    g_test_add_func("/vmm/log/open-file", test_an_open_file_is_emptied);
    g_test_add_func("/vmm/log/second-start", test_a_second_start_appends);
    g_test_add_func("/vmm/log/checked", test_names_and_sizes_are_checked);
    g_test_add_func("/vmm/log/link", test_a_link_is_not_followed);
    g_test_add_func("/vmm/log/again", test_a_file_that_could_not_be_opened_is_tried_again);
    g_test_add_func("/vmm/log/lost", test_what_cannot_be_written_is_counted);
    return g_test_run();
}
