/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine that is played by a thread: it reads commands line by line, and answers each as its
 * script says. What it is told to write comes as it is, so that it may be anything.
 */
#include "runtime/microvm/qmp.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/paths.h"

#define GREETING "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\n"

typedef struct _Fixture Fixture;

/* What the engine does upon a command; FALSE: it hangs up. */
typedef gboolean (*Answer)(Fixture *f, const char *command, gint64 id);

struct _Fixture {
    char *dir, *path;
    SteadWires *wires;
    SteadQmp *qmp;
    /* the engine's own */
    GThread *engine;
    int listener, connection;
    int passed; /* the descriptor that came last; -1 */
    Answer answer;
    gint64 kept; /* an id, for later */
    /* what the client was told */
    GMutex lock;
    GCond changed;
    GString *events; /* "NAME(reason) " */
    gboolean released;
};

/* ---- the engine ---- */

static void say(Fixture *f, const char *text)
{
    for (gsize left = strlen(text); left > 0;) {
        ssize_t n = send(f->connection, text, left, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the client has hung up, as it may */
        text += n;
        left -= (gsize)n;
    }
}

static void reply(Fixture *f, gint64 id, const char *value)
{
    g_autofree char *line =
        g_strdup_printf("{\"return\": %s, \"id\": %" G_GINT64_FORMAT "}\r\n", value, id);
    say(f, line);
}

/* One byte, and the descriptor that may come with it. */
static gboolean read_byte(Fixture *f, char *byte)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control.space};
    if (recvmsg(f->connection, &message, MSG_CMSG_CLOEXEC) != 1)
        return FALSE;
    if (CMSG_FIRSTHDR(&message))
        memcpy(&f->passed, CMSG_DATA(&control.header), sizeof f->passed);
    return TRUE;
}

static gboolean read_command(Fixture *f, GString *line)
{
    char byte;
    g_string_truncate(line, 0);
    while (read_byte(f, &byte)) {
        if (byte == '\n')
            return TRUE;
        g_string_append_c(line, byte);
    }
    return FALSE;
}

static gboolean take_command(Fixture *f, const char *line)
{
    g_autoptr(JsonNode) node = json_from_string(line, NULL);
    JsonObject *object = json_node_get_object(node);
    const char *command = json_object_get_string_member(object, "execute");
    gint64 id = json_object_get_int_member(object, "id");
    if (!g_str_equal(command, "qmp_capabilities"))
        return f->answer(f, command, id);
    reply(f, id, "{}");
    return TRUE;
}

static gpointer run_engine(gpointer data)
{
    Fixture *f = data;
    g_autoptr(GString) line = g_string_new(NULL);
    f->connection = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
    say(f, GREETING);
    while (read_command(f, line) && take_command(f, line->str))
        ;
    stead_clear_fd(&f->connection);
    return NULL;
}

/* ---- the client ---- */

static void on_event(const char *event, JsonObject *data, gpointer user)
{
    Fixture *f = user;
    const char *reason =
        data ? json_object_get_string_member_with_default(data, "reason", "?") : "";
    g_mutex_lock(&f->lock);
    g_string_append_printf(f->events, "%s(%s) ", event ? event : "END", reason);
    g_cond_broadcast(&f->changed);
    g_mutex_unlock(&f->lock);
}

static void on_release(gpointer user)
{
    Fixture *f = user;
    g_mutex_lock(&f->lock);
    f->released = TRUE;
    g_cond_broadcast(&f->changed);
    g_mutex_unlock(&f->lock);
}

static void await_release(Fixture *f)
{
    g_mutex_lock(&f->lock);
    while (!f->released)
        g_cond_wait(&f->changed, &f->lock);
    g_mutex_unlock(&f->lock);
}

static void set_up(Fixture *f, gconstpointer unused)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    f->dir = g_dir_make_tmp("stead-qmp-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "qmp", NULL);
    g_strlcpy(address.sun_path, f->path, sizeof address.sun_path);
    f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    f->connection = f->passed = -1;
    g_assert_cmpint(bind(f->listener, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(f->listener, 1), ==, 0);
    g_mutex_init(&f->lock);
    g_cond_init(&f->changed);
    f->events = g_string_new(NULL);
    f->wires = stead_wires_new();
}

static void start(Fixture *f, Answer answer)
{
    g_autoptr(GError) error = NULL;
    f->answer = answer;
    f->engine = g_thread_new("engine", run_engine, f);
    f->qmp = stead_qmp_open(f->wires, f->path, on_event, f, on_release, NULL, &error);
    g_assert_no_error(error);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    stead_qmp_close(f->qmp);
    stead_qmp_unref(f->qmp);
    stead_wires_free(f->wires);
    if (f->engine)
        g_thread_join(f->engine);
    stead_clear_fd(&f->listener);
    stead_clear_fd(&f->passed);
    stead_remove_tree(f->dir, NULL);
    g_free(f->dir);
    g_free(f->path);
    g_string_free(f->events, TRUE);
    g_mutex_clear(&f->lock);
    g_cond_clear(&f->changed);
}

/* The answer to a command that returns a string; owned by the caller. */
static char *ask(Fixture *f, const char *command, GError **error)
{
    g_autoptr(JsonNode) answer = stead_qmp_call(f->qmp, command, NULL, -1, error);
    return answer ? g_strdup(json_node_get_string(answer)) : NULL;
}

static void assert_answered(Fixture *f, const char *command, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *answer = ask(f, command, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(answer, ==, expected);
}

static void assert_fails(Fixture *f, const char *command, SteadErrorCode code, const char *words)
{
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_qmp_do(f->qmp, command, NULL, -1, &error));
    g_assert_error(error, STEAD_ERROR, (int)code);
    g_assert_nonnull(strstr(error->message, words));
}

/* ---- tests ---- */

static gboolean echo(Fixture *f, const char *command, gint64 id)
{
    g_autofree char *value = g_strdup_printf("\"%s\"", command);
    reply(f, id, value);
    return TRUE;
}

static void test_answers(Fixture *f, gconstpointer unused)
{
    start(f, echo);
    assert_answered(f, "query-status", "query-status");
    assert_answered(f, "cont", "cont");
    g_assert_true(stead_qmp_is_open(f->qmp));
}

/* The first command is answered after the second one. */
static gboolean answer_later(Fixture *f, const char *command, gint64 id)
{
    if (f->kept == 0) {
        f->kept = id;
        return TRUE;
    }
    echo(f, command, id);
    reply(f, f->kept, "\"late\"");
    return TRUE;
}

static gpointer ask_first(gpointer data)
{
    return ask(data, "first", NULL);
}

/* Whichever of the two comes first is the one that waits. */
static void test_answers_out_of_order(Fixture *f, gconstpointer unused)
{
    start(f, answer_later);
    GThread *thread = g_thread_new("first", ask_first, f);
    g_autofree char *second = ask(f, "second", NULL);
    g_autofree char *first = g_thread_join(thread);
    gboolean in_order = g_strcmp0(first, "late") == 0 && g_strcmp0(second, "second") == 0;
    gboolean turned = g_strcmp0(first, "first") == 0 && g_strcmp0(second, "late") == 0;
    g_assert_true(in_order || turned);
}

static gboolean answer_amid_events(Fixture *f, const char *command, gint64 id)
{
    say(f, "{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 1}}\n"
           "{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"guest\"}}\n");
    reply(f, id, "\"between\"");
    say(f, "{\"event\": \"RESUME\", \"data\": 3}\n");
    return TRUE;
}

static void test_events(Fixture *f, gconstpointer unused)
{
    start(f, answer_amid_events);
    assert_answered(f, "stop", "between");
    assert_answered(f, "stop", "between"); /* behind the event that followed the first answer */
    stead_qmp_close(f->qmp);
    await_release(f);
    g_assert_cmpstr(f->events->str, ==,
                    "STOP() SHUTDOWN(guest) RESUME() STOP() SHUTDOWN(guest) RESUME() END() ");
}

static gboolean refuse(Fixture *f, const char *command, gint64 id)
{
    static const char *const errors[] = {
        "{\"class\": \"GenericError\", \"desc\": \"it has no such device\"}", "{\"desc\": 3}",
        "\"why not\"", "null"};
    g_autofree char *line = g_strdup_printf("{\"error\": %s, \"id\": %" G_GINT64_FORMAT "}\n",
                                            errors[g_ascii_digit_value(command[0])], id);
    say(f, line);
    return TRUE;
}

static void test_errors(Fixture *f, gconstpointer unused)
{
    start(f, refuse);
    assert_fails(f, "0", STEAD_ERROR_INTERNAL, "it has no such device");
    assert_fails(f, "1", STEAD_ERROR_INTERNAL, "no reason was given");
    assert_fails(f, "2", STEAD_ERROR_INTERNAL, "no reason was given");
    assert_fails(f, "3", STEAD_ERROR_INTERNAL, "no reason was given");
    g_assert_true(stead_qmp_is_open(f->qmp));
}

static gboolean answer_with_a_long_reason(Fixture *f, const char *command, gint64 id)
{
    g_autofree char *much = g_strnfill(100000, 'x');
    g_autofree char *line = g_strdup_printf(
        "{\"error\": {\"desc\": \"%s\"}, \"id\": %" G_GINT64_FORMAT "}\n", much, id);
    say(f, line);
    return TRUE;
}

static void test_long_reason_is_cut(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    start(f, answer_with_a_long_reason);
    g_assert_false(stead_qmp_do(f->qmp, "cont", NULL, -1, &error));
    g_assert_cmpuint(strlen(error->message), <, 400);
}

static gboolean answer_amid_garbage(Fixture *f, const char *command, gint64 id)
{
    g_autofree char *deep = g_strnfill(5000, '[');
    static const char *const garbage[] = {
        "\n",
        "garbage\n",
        "{\"return\": \n",
        "[1, 2]\n",
        "3\n",
        "\"text\"\n",
        "null\n",
        "{}\n",
        "{\"event\": 3}\n",
        "{\"return\": \"no id\"}\n",
        "{\"return\": \"text as id\", \"id\": \"1\"}\n",
        "{\"return\": \"null as id\", \"id\": null}\n",
        "{\"return\": \"list as id\", \"id\": [1]}\n",
        "{\"return\": \"nobody's\", \"id\": 4711}\n",
        "{\"return\": \"negative\", \"id\": -1}\n",
        "\xff\xfe\x80\n",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(garbage); i++)
        say(f, garbage[i]);
    say(f, deep);
    say(f, "\n");
    return echo(f, command, id);
}

static void test_garbage_is_passed_over(Fixture *f, gconstpointer unused)
{
    start(f, answer_amid_garbage);
    assert_answered(f, "query-status", "query-status");
    assert_answered(f, "query-status", "query-status");
    g_assert_cmpstr(f->events->str, ==, "");
}

static gboolean answer_twice(Fixture *f, const char *command, gint64 id)
{
    return echo(f, command, id) && echo(f, command, id);
}

static void test_second_answers_find_nobody(Fixture *f, gconstpointer unused)
{
    start(f, answer_twice);
    assert_answered(f, "cont", "cont");
    assert_answered(f, "stop", "stop");
}

static gboolean write_an_endless_line(Fixture *f, const char *command, gint64 id)
{
    g_autofree char *much = g_strnfill(STEAD_QMP_LINE_MAX + 1, ' ');
    say(f, much);
    return TRUE;
}

static void test_endless_line(Fixture *f, gconstpointer unused)
{
    start(f, write_an_endless_line);
    assert_fails(f, "query-status", STEAD_ERROR_UNAVAILABLE, "has ended");
    g_assert_false(stead_qmp_is_open(f->qmp));
}

static gboolean write_the_longest_line(Fixture *f, const char *command, gint64 id)
{
    g_autofree char *end =
        g_strdup_printf("{\"return\":\"long\",\"id\":%" G_GINT64_FORMAT "}\n", id);
    g_autofree char *blanks = g_strnfill(STEAD_QMP_LINE_MAX - strlen(end), ' ');
    say(f, blanks);
    say(f, end);
    return TRUE;
}

static void test_longest_line(Fixture *f, gconstpointer unused)
{
    start(f, write_the_longest_line);
    assert_answered(f, "query-status", "long");
}

static gboolean hang_up(Fixture *f, const char *command, gint64 id)
{
    say(f, "{\"return\": {\"running");
    return FALSE;
}

static void test_hang_up_amid_an_answer(Fixture *f, gconstpointer unused)
{
    start(f, hang_up);
    assert_fails(f, "query-status", STEAD_ERROR_UNAVAILABLE, "has ended");
    assert_fails(f, "query-status", STEAD_ERROR_UNAVAILABLE, "closed");
    await_release(f);
    g_assert_cmpstr(f->events->str, ==, "END() ");
}

#define TIMES 200

static gpointer hang_up_at_once(gpointer data)
{
    Fixture *f = data;
    for (int i = 0; i < TIMES; i++)
        close(accept4(f->listener, NULL, NULL, SOCK_CLOEXEC));
    return NULL;
}

/* At whatever moment: the end is told, and `user` is let go of. */
static void test_ends_before_it_is_up(Fixture *f, gconstpointer unused)
{
    f->engine = g_thread_new("engine", hang_up_at_once, f);
    for (int i = 0; i < TIMES; i++) {
        g_autoptr(GError) error = NULL;
        f->released = FALSE;
        g_assert_null(stead_qmp_open(f->wires, f->path, on_event, f, on_release, NULL, &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_UNAVAILABLE);
        await_release(f);
    }
}

static void test_nobody_listens(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *elsewhere = g_build_filename(f->dir, "elsewhere", NULL);
    g_autofree char *too_long = g_strnfill(200, 'x');
    g_assert_null(stead_qmp_open(f->wires, elsewhere, on_event, f, on_release, NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_UNAVAILABLE);
    g_clear_error(&error);
    g_assert_null(stead_qmp_open(f->wires, too_long, on_event, f, on_release, NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    g_assert_true(f->released);
    g_assert_cmpstr(f->events->str, ==, "");
}

static void test_descriptor_is_passed(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    stead_autofd sent = memfd_create("sent", MFD_CLOEXEC);
    char bytes[8];
    g_assert_cmpint(pwrite(sent, "content", 7, 0), ==, 7);
    start(f, echo);
    JsonObject *arguments = json_object_new();
    json_object_set_string_member(arguments, "fdname", "state");
    stead_qmp_do(f->qmp, "getfd", arguments, sent, &error);
    g_assert_no_error(error);
    g_assert_cmpint(f->passed, >=, 0);
    g_assert_cmpint(pread(f->passed, bytes, sizeof bytes, 0), ==, 7);
    g_assert_cmpmem(bytes, 7, "content", 7);
    g_assert_cmpint(fcntl(sent, F_GETFD), ==, FD_CLOEXEC); /* it stays ours */
}

#define ASKERS 8

static gpointer ask_often(gpointer data)
{
    g_autofree char *command = g_strdup_printf("from-%p", (void *)g_thread_self());
    for (int i = 0; i < 50; i++)
        assert_answered(data, command, command);
    return NULL;
}

static void test_many_ask_at_once(Fixture *f, gconstpointer unused)
{
    GThread *askers[ASKERS];
    start(f, echo);
    for (gsize i = 0; i < ASKERS; i++)
        askers[i] = g_thread_new("asker", ask_often, f);
    for (gsize i = 0; i < ASKERS; i++)
        g_thread_join(askers[i]);
}

/* ---- engines that say too much, or nothing ---- */

#define FLOOD_MS 450
#define LINE "{\"event\":\"E\"}\n"

static gboolean flood(Fixture *f, const char *command, gint64 id)
{
    for (int i = 0; i < 100000; i++)
        say(f, LINE);
    return FALSE;
}

/* It is listened to for one read in each turn; the thread is the others' in between. */
static void test_flood(Fixture *f, gconstpointer unused)
{
    const SteadQmpCommand command = {.name = "flood", .fd = -1, .timeout_ms = FLOOD_MS};
    g_autoptr(GError) error = NULL;
    guint events = 0;
    start(f, flood);
    gint64 began = g_get_monotonic_time();
    g_assert_null(stead_qmp_ask(f->qmp, &command, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_TIMEOUT);
    gint64 turns = (g_get_monotonic_time() - began) / 1000 / STEAD_QMP_TURN_MS + 2;
    g_mutex_lock(&f->lock);
    for (const char *at = f->events->str; (at = strchr(at, '(')) != NULL; at++)
        events++;
    g_mutex_unlock(&f->lock);
    g_assert_cmpuint(events, >, STEAD_QMP_LINES);
    g_assert_cmpuint(events, <=, (guint)turns * (4096 / (sizeof LINE - 1) + STEAD_QMP_LINES));
}

static gboolean say_nothing(Fixture *f, const char *command, gint64 id)
{
    return TRUE;
}

static gpointer cancel_soon(gpointer cancellable)
{
    g_usleep(50000);
    g_cancellable_cancel(cancellable);
    return NULL;
}

static void test_cancelled(Fixture *f, gconstpointer unused)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    const SteadQmpCommand command = {.name = "stop", .fd = -1, .cancellable = cancellable};
    g_autoptr(GError) error = NULL;
    start(f, say_nothing);
    GThread *thread = g_thread_new("cancelling", cancel_soon, cancellable);
    g_assert_null(stead_qmp_ask(f->qmp, &command, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CANCELLED);
    g_thread_join(thread);
    g_clear_error(&error);
    g_assert_null(stead_qmp_ask(f->qmp, &command, &error)); /* before it began */
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CANCELLED);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(Fixture *f, gconstpointer unused);
    } tests[] = {
        {"answers", test_answers},
        {"answers-out-of-order", test_answers_out_of_order},
        {"events", test_events},
        {"errors", test_errors},
        {"long-reason-is-cut", test_long_reason_is_cut},
        {"garbage-is-passed-over", test_garbage_is_passed_over},
        {"second-answers-find-nobody", test_second_answers_find_nobody},
        {"endless-line", test_endless_line},
        {"longest-line", test_longest_line},
        {"hang-up-amid-an-answer", test_hang_up_amid_an_answer},
        {"ends-before-it-is-up", test_ends_before_it_is_up},
        {"nobody-listens", test_nobody_listens},
        {"descriptor-is-passed", test_descriptor_is_passed},
        {"many-ask-at-once", test_many_ask_at_once},
        {"flood", test_flood},
        {"cancelled", test_cancelled},
    };
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/qmp/", tests[i].name, NULL);
        g_test_add(path, Fixture, NULL, set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
