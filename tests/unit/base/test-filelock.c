/* SPDX-License-Identifier: Apache-2.0 */
#include "base/filelock.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/paths.h"

typedef struct {
    char *dir, *path;
} Fixture;

static void set_up(Fixture *f, gconstpointer unused)
{
    f->dir = g_dir_make_tmp("stead-lock-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "lock", NULL);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    stead_remove_tree(f->dir, NULL);
    g_free(f->dir);
    g_free(f->path);
}

static void assert_busy(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(stead_file_lock(path, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_BUSY);
}

static void assert_free(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadFileLock) lock = stead_file_lock(path, &error);
    g_assert_no_error(error);
    g_assert_cmpint(stead_file_lock_fd(lock), >=, 0);
}

static void test_one_in_a_process(Fixture *f, gconstpointer unused)
{
    SteadFileLock *lock = stead_file_lock(f->path, NULL);
    g_autofree char *other_way = g_build_filename(f->dir, ".", "lock", NULL);
    assert_busy(f->path);
    assert_busy(other_way);
    stead_file_lock_free(lock);
    assert_free(f->path);
}

static void write_byte(int fd)
{
    while (write(fd, "x", 1) != 1)
        continue;
}

static gboolean read_byte(int fd)
{
    char byte;
    return read(fd, &byte, 1) == 1;
}

/* A process that has the lock, and one that it forked; `told` has a byte from each. */
static pid_t fork_holder(const char *path, int told, int end)
{
    pid_t holder = fork();
    if (holder != 0)
        return holder;
    SteadFileLock *lock = stead_file_lock(path, NULL);
    pid_t child = lock ? fork() : -1;
    if (child < 0)
        _exit(1);
    write_byte(told);
    read_byte(end); /* the child until the test closes it, the holder until it is killed */
    _exit(0);
}

static void test_a_killed_holder_leaves_it_to_nobody(Fixture *f, gconstpointer unused)
{
    int told[2], end[2];
    g_assert_cmpint(pipe(told), ==, 0);
    g_assert_cmpint(pipe(end), ==, 0);
    pid_t holder = fork_holder(f->path, told[1], end[0]);
    g_assert_true(read_byte(told[0]) && read_byte(told[0]));
    assert_busy(f->path);
    kill(holder, SIGKILL);
    g_assert_cmpint(waitpid(holder, NULL, 0), ==, holder);
    assert_free(f->path); /* though its child has the descriptor yet */
    write_byte(end[1]);
    for (int i = 0; i < 2; i++) {
        close(told[i]);
        close(end[i]);
    }
}

static void test_no_symbolic_link_is_followed(Fixture *f, gconstpointer unused)
{
    g_autofree char *target = g_build_filename(f->dir, "target", NULL);
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(symlink(target, f->path), ==, 0);
    g_assert_null(stead_file_lock(f->path, &error));
    g_assert_nonnull(strstr(error->message, "opening"));
    g_assert_false(g_file_test(target, G_FILE_TEST_EXISTS));
    g_assert_cmpint(g_unlink(f->path), ==, 0);
    assert_free(f->path); /* the failure let go of it */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/filelock/one-in-a-process", Fixture, NULL, set_up, test_one_in_a_process,
               tear_down);
    g_test_add("/filelock/a-killed-holder-leaves-it-to-nobody", Fixture, NULL, set_up,
               test_a_killed_holder_leaves_it_to_nobody, tear_down);
    g_test_add("/filelock/no-symbolic-link-is-followed", Fixture, NULL, set_up,
               test_no_symbolic_link_is_followed, tear_down);
    return g_test_run();
}
