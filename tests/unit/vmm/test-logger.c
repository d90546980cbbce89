/* SPDX-License-Identifier: Apache-2.0 */
/* The program stead-log at the end of a pipe. */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_SIZE (2U << 20)
#define LINE "0123456789abcde\n"
#define LINE_LENGTH 16U

typedef struct {
    char *path;
    int folder, to;
    pid_t pid;
} Rig;

static void run_logger(const Rig *rig, int from)
{
    char folder_number[16], from_number[16];
    g_snprintf(folder_number, sizeof folder_number, "%d", rig->folder);
    g_snprintf(from_number, sizeof from_number, "%d", from);
    close(rig->to);
    execl(g_getenv("STEAD_LOG"), "stead-log", folder_number, from_number, "console.log", NULL);
    _exit(127);
}

static void rig_init(Rig *rig)
{
    int ends[2];
    rig->path = g_dir_make_tmp("logger-XXXXXX", NULL);
    rig->folder = open(rig->path, O_RDONLY | O_DIRECTORY);
    g_assert_cmpint(pipe(ends), ==, 0);
    rig->to = ends[1];
    rig->pid = fork();
    g_assert_cmpint(rig->pid, >=, 0);
    if (rig->pid == 0)
        run_logger(rig, ends[0]);
    close(ends[0]);
}

static void send_lines(const Rig *rig, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        g_assert_cmpint(write(rig->to, LINE, LINE_LENGTH), ==, LINE_LENGTH);
}

static int await_end(Rig *rig)
{
    int status;
    close(rig->to);
    g_assert_cmpint(waitpid(rig->pid, &status, 0), ==, rig->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void rig_clear(Rig *rig)
{
    g_autoptr(GDir) dir = g_dir_open(rig->path, 0, NULL);
    for (const char *name; (name = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *file = g_build_filename(rig->path, name, NULL);
        g_unlink(file);
    }
    g_assert_cmpint(g_rmdir(rig->path), ==, 0);
    close(rig->folder);
    g_free(rig->path);
}

/* The lines of all files, oldest first. */
static char *read_all(const Rig *rig)
{
    static const char *const names[] = {"console.log.2", "console.log.1", "console.log.0",
                                        "console.log"};
    GString *all = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *file = g_build_filename(rig->path, names[i], NULL);
        g_autofree char *text = NULL;
        gsize length = 0;
        if (g_file_get_contents(file, &text, &length, NULL))
            g_string_append_len(all, text, (gssize)length);
        g_assert_cmpuint(length, <=, FILE_SIZE);
    }
    return g_string_free(all, FALSE);
}

static void test_writes_until_the_end(void)
{
    Rig rig;
    rig_init(&rig);
    send_lines(&rig, 3);
    g_assert_cmpint(await_end(&rig), ==, 0);
    g_autofree char *text = read_all(&rig);
    g_assert_cmpstr(text, ==, LINE LINE LINE);
    rig_clear(&rig);
}

static void test_rotates_and_loses_nothing(void)
{
    Rig rig;
    const unsigned n = 2 * FILE_SIZE / LINE_LENGTH + 100;
    rig_init(&rig);
    send_lines(&rig, n);
    g_assert_cmpint(await_end(&rig), ==, 0);
    g_autofree char *text = read_all(&rig);
    g_assert_cmpuint(strlen(text), ==, (gsize)n * LINE_LENGTH);
    rig_clear(&rig);
}

static void test_is_bounded(void)
{
    Rig rig;
    rig_init(&rig);
    send_lines(&rig, 6 * FILE_SIZE / LINE_LENGTH);
    g_assert_cmpint(await_end(&rig), ==, 0);
    g_autofree char *text = read_all(&rig);
    g_assert_cmpuint(strlen(text), <=, 4 * FILE_SIZE);
    g_assert_cmpuint(strlen(text), >, 2 * FILE_SIZE);
    g_autofree char *beyond = g_build_filename(rig.path, "console.log.3", NULL);
    g_assert_false(g_file_test(beyond, G_FILE_TEST_EXISTS));
    rig_clear(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmm/logger/writes-until-the-end", test_writes_until_the_end);
    g_test_add_func("/vmm/logger/rotates-and-loses-nothing", test_rotates_and_loses_nothing);
    g_test_add_func("/vmm/logger/is-bounded", test_is_bounded);
    return g_test_run();
}
