/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that wait on descriptor 3, which the test has the other end of, and hold descriptor 4:
 * its end is the end of the last of them.
 */
#include "base/detached.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/paths.h"

#define WAIT "read x <&3"
#define ORPHAN "--leave-an-orphan"

typedef struct {
    char *dir, *record, *log;
    int input[2], output[2]; /* pipes; the program has the first and the last end */
    const char *argv[4];
    SteadDetachedOptions options;
} Fixture;

static void set_up(Fixture *f, gconstpointer unused)
{
    f->dir = g_dir_make_tmp("stead-detached-XXXXXX", NULL);
    f->record = g_build_filename(f->dir, "program.pid", NULL);
    f->log = g_build_filename(f->dir, "log", NULL);
    g_assert_cmpint(pipe2(f->input, O_CLOEXEC), ==, 0);
    g_assert_cmpint(pipe2(f->output, O_CLOEXEC), ==, 0);
    f->argv[0] = "/bin/sh";
    f->argv[1] = "-c";
    f->options = (SteadDetachedOptions){.record = f->record, .argv = f->argv};
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    stead_detached_end(f->record, TRUE, NULL);
    for (int i = 0; i < 2; i++) {
        stead_clear_fd(&f->input[i]);
        stead_clear_fd(&f->output[i]);
    }
    stead_remove_tree(f->dir, NULL);
    g_free(f->dir);
    g_free(f->record);
    g_free(f->log);
}

static gboolean start(Fixture *f, const char *script, GError **error)
{
    const int fds[] = {f->input[0], f->output[1]};
    f->argv[2] = script;
    f->options.fds = fds;
    f->options.n_fds = 2;
    gboolean started = stead_detached_start(&f->options, error);
    stead_clear_fd(&f->output[1]);
    return started;
}

static void start_well(Fixture *f, const char *script)
{
    g_autoptr(GError) error = NULL;
    start(f, script, &error);
    g_assert_no_error(error);
}

/* All that the program writes to descriptor 4, until nobody has it any more. */
static char *read_output(Fixture *f)
{
    GString *text = g_string_new(NULL);
    char bytes[256];
    for (ssize_t n; (n = read(f->output[0], bytes, sizeof bytes)) > 0;)
        g_string_append_len(text, bytes, n);
    return g_string_free(text, FALSE);
}

static gboolean is_running(const Fixture *f, const char *const argv[])
{
    g_autoptr(GError) error = NULL;
    gboolean runs = stead_detached_is_running(f->record, argv, &error);
    g_assert_no_error(error);
    return runs;
}

static void assert_not_running(const Fixture *f)
{
    g_autoptr(GError) error = NULL;
    g_assert_false(is_running(f, NULL));
    g_assert_cmpint(stead_detached_pid(f->record, &error), ==, 0);
    g_assert_no_error(error);
    g_assert_cmpint(stead_detached_open(f->record, &error), ==, -1);
    g_assert_no_error(error);
}

static void assert_over(Fixture *f)
{
    g_autofree char *output = read_output(f);
    g_assert_nonnull(output);
    assert_not_running(f);
}

static void end_well(Fixture *f, gboolean at_once)
{
    g_autoptr(GError) error = NULL;
    stead_detached_end(f->record, at_once, &error);
    g_assert_no_error(error);
    g_assert_false(g_file_test(f->record, G_FILE_TEST_EXISTS));
    assert_over(f);
}

static void test_found_and_ended(Fixture *f, gconstpointer unused)
{
    static const char *const others[] = {"/bin/sh", "-c", "other", NULL};
    struct stat st;
    start_well(f, WAIT);
    g_assert_true(is_running(f, NULL));
    g_assert_true(is_running(f, f->argv));
    g_assert_false(is_running(f, others));
    g_assert_cmpint(stead_detached_pid(f->record, NULL), >, 1);
    g_assert_cmpint(stat(f->record, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 0777, ==, 0600);
    end_well(f, FALSE);
}

static void test_pidfd_tells_the_end(Fixture *f, gconstpointer unused)
{
    start_well(f, WAIT);
    stead_autofd pidfd = stead_detached_open(f->record, NULL);
    struct pollfd poller = {.fd = pidfd, .events = POLLIN};
    g_assert_cmpint(poll(&poller, 1, 0), ==, 0);
    stead_clear_fd(&f->input[1]); /* it reads the end */
    g_assert_cmpint(poll(&poller, 1, STEAD_DETACHED_WAIT_MS), ==, 1);
    assert_over(f);
}

/* It is no child of ours, and leads a session of its own. */
static void test_belongs_to_nobody(Fixture *f, gconstpointer unused)
{
    start_well(f, WAIT);
    int pid = stead_detached_pid(f->record, NULL);
    g_assert_cmpint(waitpid(pid, NULL, WNOHANG), ==, -1);
    g_assert_cmpint(getsid(pid), ==, pid);
}

static void test_descriptors(Fixture *f, gconstpointer unused)
{
    start_well(f, "read line <&3; echo \"got $line\" >&4; ls /proc/$$/fd >&4");
    g_assert_cmpint(write(f->input[1], "words\n", 6), ==, 6);
    g_autofree char *output = read_output(f);
    g_assert_true(g_str_has_prefix(output, "got words\n"));
    g_assert_null(strstr(output, "\n5\n")); /* and none of our others */
    g_assert_cmpint(fcntl(f->input[0], F_GETFD), ==, FD_CLOEXEC);
}

static void test_environment(Fixture *f, gconstpointer unused)
{
    g_setenv("STEAD_TEST_SECRET", "1", TRUE);
    start_well(f, "echo \"$PWD ${STEAD_TEST_SECRET-unset} $LC_ALL\" >&4");
    g_autofree char *output = read_output(f);
    g_unsetenv("STEAD_TEST_SECRET");
    g_assert_cmpstr(output, ==, "/ unset C\n");
}

static void test_log(Fixture *f, gconstpointer unused)
{
    g_autofree char *log = NULL;
    f->options.log = f->log;
    g_assert_true(g_file_set_contents(f->log, "of the former one, and longer\n", -1, NULL));
    start_well(f, "echo last words >&2");
    g_free(read_output(f));
    g_assert_true(g_file_get_contents(f->log, &log, NULL, NULL));
    g_assert_cmpstr(log, ==, "last words\n");
}

static void test_ready(Fixture *f, gconstpointer unused)
{
    f->options.ready = "is up";
    start_well(f, "echo first >&2; echo it is up >&2; " WAIT);
    g_assert_true(is_running(f, f->argv));
}

static void test_not_ready(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    f->options.ready = "is up";
    g_assert_false(start(f, "echo first >&2; echo no such thing >&2", &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INTERNAL);
    g_assert_nonnull(strstr(error->message, "no such thing"));
    g_assert_false(g_file_test(f->record, G_FILE_TEST_EXISTS));
    assert_over(f);
}

/* It never says that it is up, but a lot. */
static void test_chatty(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    f->options.ready = "is up";
    g_assert_false(start(f, "while echo no >&2; do :; done", &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INTERNAL);
    assert_over(f);
}

static void test_missing_program(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    f->argv[0] = "/no/such/program";
    g_assert_false(start(f, "", &error));
    g_assert_nonnull(error);
    g_assert_false(g_file_test(f->record, G_FILE_TEST_EXISTS));
}

static void test_no_place_for_the_record(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *target = g_build_filename(f->dir, "target", NULL);
    g_assert_cmpint(symlink(target, f->record), ==, 0);
    g_assert_false(start(f, "echo it runs >&4", &error));
    g_assert_nonnull(error);
    g_autofree char *output = read_output(f);
    g_assert_cmpstr(output, ==, "");
    g_assert_false(g_file_test(target, G_FILE_TEST_EXISTS));
}

static gboolean setup(gpointer data)
{
    return data != NULL && write(4, "setup\n", 6) == 6;
}

static void test_setup(Fixture *f, gconstpointer unused)
{
    f->options.setup = setup;
    f->options.data = f;
    start_well(f, "echo program >&4");
    g_autofree char *output = read_output(f);
    g_assert_cmpstr(output, ==, "setup\nprogram\n");
}

static void test_setup_that_fails(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    f->options.setup = setup;
    f->options.ready = "is up";
    g_assert_false(start(f, "echo program >&4", &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INTERNAL);
    g_autofree char *output = read_output(f);
    g_assert_cmpstr(output, ==, "");
    g_assert_false(g_file_test(f->record, G_FILE_TEST_EXISTS));
}

static void test_killed_at_once(Fixture *f, gconstpointer unused)
{
    gint64 begin = g_get_monotonic_time();
    f->options.ready = "is up";
    start_well(f, "trap '' TERM; echo is up >&2; " WAIT);
    end_well(f, TRUE);
    g_assert_cmpint(g_get_monotonic_time() - begin, <,
                    STEAD_DETACHED_WAIT_MS * G_TIME_SPAN_MILLISECOND);
}

/* What it forked of itself ends with it: nobody holds the pipe any more. */
static void test_children_end_too(Fixture *f, gconstpointer unused)
{
    f->options.ready = "is up";
    start_well(f, "( " WAIT " ) & echo is up >&2; " WAIT);
    end_well(f, FALSE);
}

/* Nor does it matter what they have become: at the return they are gone, and not only soon. */
static void test_whoever_it_forked_ends_too(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    struct pollfd poller = {.fd = f->output[0], .events = POLLIN};
    f->options.ready = "is up";
    start_well(f, "sleep 60 & (exec sleep 61) & echo is up >&2; " WAIT);
    g_assert_true(stead_detached_end(f->record, TRUE, &error));
    g_assert_no_error(error);
    g_assert_cmpint(poll(&poller, 1, 0), ==, 1);
    g_assert_cmpint(poller.revents, ==, POLLHUP);
}

/* What is started in the next test: it leaves a child, which takes its arguments apart. */
static int be_orphaned(char *assignment)
{
    char byte;
    if (fork() == 0) {
        *strchr(assignment, '=') = '\0';
        g_printerr("is up\n");
        return (int)read(3, &byte, 1);
    }
    return 0;
}

/* Only its words tell a child of one that is gone from somebody in another group of that number. */
static void test_orphans_end_too(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    const char *const argv[] = {self, ORPHAN, "x=y", NULL};
    struct pollfd poller = {.fd = f->output[0], .events = POLLIN};
    f->options.argv = argv;
    f->options.ready = "is up";
    start_well(f, NULL);
    while (is_running(f, NULL))
        g_usleep(1000);
    g_assert_cmpint(poll(&poller, 1, 0), ==, 0);
    g_assert_true(stead_detached_end(f->record, TRUE, &error));
    g_assert_cmpint(poll(&poller, 1, 0), ==, 1);
}

/* ---- not being able to look ---- */

/* Lets the process open `spare` more descriptors than it has. */
static void allow_files(guint spare, struct rlimit *former)
{
    stead_autofd next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct rlimit limit;
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, former), ==, 0);
    limit = *former;
    limit.rlim_cur = (rlim_t)next + spare;
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
}

/* What is there, or an error: never that there is none. TRUE when all was found. */
static gboolean look_with(const Fixture *f, guint spare)
{
    struct rlimit former;
    g_autoptr(GError) running = NULL, numbered = NULL, opened = NULL;
    allow_files(spare, &former);
    gboolean runs = stead_detached_is_running(f->record, NULL, &running);
    int pid = stead_detached_pid(f->record, &numbered);
    stead_autofd pidfd = stead_detached_open(f->record, &opened);
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &former), ==, 0);
    g_assert_true(runs == (running == NULL));
    g_assert_true((pid > 0) == (numbered == NULL));
    g_assert_true((pidfd >= 0) == (opened == NULL));
    return runs && pid > 0 && pidfd >= 0;
}

static void test_no_files_to_look_with(Fixture *f, gconstpointer unused)
{
    guint spare = 0;
    start_well(f, WAIT);
    while (!look_with(f, spare))
        g_assert_cmpuint(++spare, <, 16);
    g_assert_cmpuint(spare, >=, 2); /* the record, and what it is compared with */
}

static void test_no_files_to_end_with(Fixture *f, gconstpointer unused)
{
    struct rlimit former;
    guint failures = 0;
    start_well(f, WAIT);
    for (gboolean ended = FALSE; !ended; failures += !ended) {
        g_autoptr(GError) error = NULL;
        allow_files(failures, &former);
        ended = stead_detached_end(f->record, TRUE, &error);
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &former), ==, 0);
        g_assert_true(ended == (error == NULL));
        g_assert_true(ended != g_file_test(f->record, G_FILE_TEST_EXISTS));
        g_assert_cmpuint(failures, <, 16);
    }
    g_assert_cmpuint(failures, >=, 2);
    assert_over(f);
}

static void test_no_files_to_start_with(Fixture *f, gconstpointer unused)
{
    struct rlimit former;
    g_autoptr(GError) error = NULL;
    allow_files(0, &former);
    gboolean started = start(f, "echo it runs >&4", &error);
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &former), ==, 0);
    g_assert_false(started);
    g_assert_nonnull(error);
}

static void assert_nobody(Fixture *f, const char *text)
{
    g_autoptr(GError) error = NULL;
    g_assert_true(g_file_set_contents(f->record, text, -1, NULL));
    assert_not_running(f);
    g_assert_true(stead_detached_end(f->record, TRUE, &error));
    g_assert_no_error(error);
    g_assert_false(g_file_test(f->record, G_FILE_TEST_EXISTS));
}

/* Ourselves, as it were, but for the boot or the start time: we are still here afterwards. */
static void test_records_of_nobody(Fixture *f, gconstpointer unused)
{
    static const char *const damaged[] = {"",
                                          "\n",
                                          "\n\n",
                                          "a boot\na command\n",
                                          "a boot\na command\n12 (x",
                                          "a\nb\n-1 (x) S 1 1\n",
                                          "a\nb\n1 (x) S 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"};
    g_autofree char *stat = NULL;
    g_autofree char *boot = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(damaged); i++)
        assert_nobody(f, damaged[i]);
    g_assert_true(g_file_get_contents("/proc/self/stat", &stat, NULL, NULL));
    g_assert_true(g_file_get_contents("/proc/sys/kernel/random/boot_id", &boot, NULL, NULL));
    g_autofree char *other_boot = g_strdup_printf("another boot\ncommand\n%s", stat);
    g_autofree char *other_start = g_strdup_printf(
        "%scommand\n%d (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0\n", boot, (int)getpid());
    assert_nobody(f, other_boot);
    assert_nobody(f, other_start);
}

static void test_no_record(Fixture *f, gconstpointer unused)
{
    g_assert_true(stead_detached_end(f->record, FALSE, NULL));
    assert_not_running(f);
}

/* The kernel lets anybody raise the score, and lower it to what it was. */
static void test_goes_first_when_memory_runs_out(Fixture *f, gconstpointer unused)
{
    static const char own[] = "/proc/self/oom_score_adj";
    g_autofree char *before = NULL;
    g_assert_true(g_file_get_contents(own, &before, NULL, NULL));
    stead_autofd fd = open(own, O_WRONLY | O_CLOEXEC);
    g_assert_cmpint(write(fd, "100", 3), ==, 3);
    start_well(f, "cat /proc/self/oom_score_adj >&4");
    g_assert_cmpint(pwrite(fd, before, strlen(before), 0), ==, (ssize_t)strlen(before));
    g_autofree char *score = read_output(f);
    g_assert_cmpstr(score, ==, "0\n");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(Fixture *f, gconstpointer unused);
    } tests[] = {
        {"found-and-ended", test_found_and_ended},
        {"pidfd-tells-the-end", test_pidfd_tells_the_end},
        {"belongs-to-nobody", test_belongs_to_nobody},
        {"memory-runs-out", test_goes_first_when_memory_runs_out},
        {"descriptors", test_descriptors},
        {"environment", test_environment},
        {"log", test_log},
        {"ready", test_ready},
        {"not-ready", test_not_ready},
        {"chatty", test_chatty},
        {"missing-program", test_missing_program},
        {"no-place-for-the-record", test_no_place_for_the_record},
        {"setup", test_setup},
        {"setup-that-fails", test_setup_that_fails},
        {"killed-at-once", test_killed_at_once},
        {"children-end-too", test_children_end_too},
        {"whoever-it-forked-ends-too", test_whoever_it_forked_ends_too},
        {"orphans-end-too", test_orphans_end_too},
        {"no-files-to-look-with", test_no_files_to_look_with},
        {"no-files-to-end-with", test_no_files_to_end_with},
        {"no-files-to-start-with", test_no_files_to_start_with},
        {"records-of-nobody", test_records_of_nobody},
        {"no-record", test_no_record},
    };
    if (argc == 3 && strcmp(argv[1], ORPHAN) == 0)
        return be_orphaned(argv[2]);
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/detached/", tests[i].name, NULL);
        g_test_add(path, Fixture, NULL, set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
