/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal and the client of `stead console`, on pseudo-terminals and pipes, against a server
 * on the same main loop. */
#include "cli/terminal.h"

#include <fcntl.h>
#include <gio/gunixsocketaddress.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>

#include "api/console_socket.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/console_client.h"
#include "support.h"

static void open_pty(int *leader, int *follower)
{
    *leader = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    g_assert_cmpint(*leader, >=, 0);
    g_assert_cmpint(grantpt(*leader), ==, 0);
    g_assert_cmpint(unlockpt(*leader), ==, 0);
    *follower = open(ptsname(*leader), O_RDWR | O_NOCTTY | O_CLOEXEC);
    g_assert_cmpint(*follower, >=, 0);
}

static gboolean is_raw(int fd)
{
    struct termios state;
    g_assert_cmpint(tcgetattr(fd, &state), ==, 0);
    return !(state.c_lflag & (ICANON | ECHO));
}

/* --- terminal --- */

static void test_raw_and_back(void)
{
    stead_autofd leader = -1, follower = -1;
    open_pty(&leader, &follower);
    g_assert_true(stead_terminal_raw(follower, FALSE, NULL));
    g_assert_true(is_raw(follower));
    stead_terminal_restore();
    g_assert_false(is_raw(follower));
    stead_terminal_restore();
}

static void test_no_terminal(void)
{
    g_autoptr(GError) error = NULL;
    stead_autofd fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    guint rows, columns;
    g_assert_false(stead_terminal_raw(fd, FALSE, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    g_assert_false(stead_terminal_size(fd, &rows, &columns));
}

/* A process that made the terminal raw and then ends in the given way. */
static void end_raw_process(int follower, int number)
{
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, 2);
        signal(number, SIG_DFL);
        if (!stead_terminal_raw(follower, FALSE, NULL) || !is_raw(follower))
            _exit(99);
        if (number == 0)
            exit(0);
        raise(number);
        _exit(98);
    }
    int status = 0;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    if (number == 0)
        g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    else
        g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == number);
}

static void test_restored_however_it_ends(void)
{
    static const int numbers[] = {0, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGABRT, SIGSEGV};
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        stead_autofd leader = -1, follower = -1;
        open_pty(&leader, &follower);
        end_raw_process(follower, numbers[i]);
        g_assert_false(is_raw(follower));
    }
}

static void test_restored_while_stopped(void)
{
    stead_autofd leader = -1, follower = -1;
    open_pty(&leader, &follower);
    pid_t child = fork();
    if (child == 0) {
        if (!stead_terminal_raw(follower, FALSE, NULL))
            _exit(99);
        raise(SIGTSTP);
        _exit(is_raw(follower) ? 0 : 97);
    }
    int status = 0;
    g_assert_cmpint(waitpid(child, &status, WUNTRACED), ==, child);
    g_assert_true(WIFSTOPPED(status));
    g_assert_false(is_raw(follower));
    g_assert_cmpint(kill(child, SIGCONT), ==, 0);
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

static void test_keys(void)
{
    static const struct {
        const char *text;
        int key;
    } keys[] = {{"^]", 0x1d}, {"^a", 1}, {"^A", 1}, {"~", '~'}, {"none", STEAD_KEY_NONE}};
    static const char *const wrong[] = {"", "^", "^^^", "Ctrl-A", "\x01", "^1", "\xc3\xbc"};
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        int key = 0;
        g_assert_true(stead_key_parse(keys[i].text, &key, NULL));
        g_assert_cmpint(key, ==, keys[i].key);
        g_autofree char *name = stead_key_name(key);
        g_assert_cmpint(g_ascii_strcasecmp(name, keys[i].text), ==, 0);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        int key;
        if (strcmp(wrong[i], "^") == 0)
            continue; /* the key itself */
        g_assert_false(stead_key_parse(wrong[i], &key, &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    }
}

/* --- client --- */

typedef struct {
    Place place;
    SteadConsole *console;
    SoupServer *server;
    SoupSession *session;
    GSocket *socket;   /* the daemon's end of the last connection */
    GString *query;    /* of the last connection */
    int guest;         /* QEMU's listening socket */
    int peer;          /* QEMU's end of the connection */
    GString *received; /* by the guest */
    gboolean typed;
    guint rows, columns;
    int leader, follower; /* a pseudo-terminal */
    int in[2], out[2], messages[2];
    SteadConsoleClientOptions options;
} World;

static void on_resize(guint rows, guint columns, gpointer data)
{
    World *world = data;
    world->rows = rows;
    world->columns = columns;
}

static void on_websocket(SoupServer *server, SoupServerMessage *message, const char *path,
                         SoupWebsocketConnection *connection, gpointer data)
{
    World *world = data;
    const char *query = g_uri_get_query(soup_server_message_get_uri(message));
    g_string_assign(world->query, query);
    g_set_object(&world->socket, soup_server_message_get_socket(message));
    SteadConsoleSocketOptions options = {.write = strstr(query, "write=1") != NULL,
                                         .force = strstr(query, "force=1") != NULL,
                                         .from = {STEAD_CONSOLE_START, 0},
                                         .resize = on_resize,
                                         .resize_data = world};
    g_assert_cmpstr(path, ==, "/v1/instances/web/console");
    g_assert_true(stead_console_websocket(connection, world->console, &options, NULL));
}

static void listen_as_guest(World *world)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, world->place.input, sizeof address.sun_path);
    world->guest = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    g_assert_cmpint(bind(world->guest, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(world->guest, 4), ==, 0);
    world->peer = -1;
}

static void world_set_up(World *world, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    place_set_up(&world->place, NULL);
    SteadConsoleOptions options = {.log_path = world->place.log, .input_path = world->place.input};
    world->console = stead_console_open(&options, NULL);
    world->query = g_string_new(NULL);
    world->received = g_string_new(NULL);
    world->server = soup_server_new(NULL, NULL);
    soup_server_add_websocket_handler(world->server, NULL, NULL, NULL, on_websocket, world, NULL);
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(world->place.listen);
    soup_server_listen(world->server, address, 0, &error);
    g_assert_no_error(error);
    world->session = soup_session_new_with_options("remote-connectable", address, NULL);
    listen_as_guest(world);
    open_pty(&world->leader, &world->follower);
    g_assert_true(g_unix_open_pipe(world->in, FD_CLOEXEC, NULL));
    g_assert_true(g_unix_open_pipe(world->out, FD_CLOEXEC, NULL));
    g_assert_true(g_unix_open_pipe(world->messages, FD_CLOEXEC, NULL));
    world->options = (SteadConsoleClientOptions){.from = "now",
                                                 .escape = 0x1d,
                                                 .linger_ms = 50,
                                                 .input = world->follower,
                                                 .output = world->out[1],
                                                 .messages = world->messages[1]};
}

static void world_tear_down(World *world, gconstpointer data)
{
    int *fds[] = {&world->guest,       &world->peer,       &world->leader, &world->follower,
                  &world->in[0],       &world->in[1],      &world->out[0], &world->out[1],
                  &world->messages[0], &world->messages[1]};
    soup_session_abort(world->session);
    g_object_unref(world->session);
    g_clear_object(&world->socket);
    soup_server_disconnect(world->server);
    g_object_unref(world->server);
    drain();
    stead_console_unref(world->console);
    for (gsize i = 0; i < G_N_ELEMENTS(fds); i++)
        stead_clear_fd(fds[i]);
    g_string_free(world->query, TRUE);
    g_string_free(world->received, TRUE);
    place_tear_down(&world->place, NULL);
}

/* Called every few milliseconds while the client runs, until it returns FALSE. */
typedef gboolean (*Step)(World *world);
typedef struct {
    World *world;
    Step step; /* NULL: none (any more) */
} Steps;

static gboolean on_step(gpointer data)
{
    Steps *steps = data;
    World *world = steps->world;
    char bytes[65536];
    if (world->peer < 0)
        world->peer = accept4(world->guest, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    gssize n = world->peer >= 0 ? recv(world->peer, bytes, sizeof bytes, MSG_DONTWAIT) : -1;
    if (n > 0)
        g_string_append_len(world->received, bytes, n);
    else if (n == 0)
        stead_clear_fd(&world->peer);
    if (steps->step && !steps->step(world))
        steps->step = NULL;
    return G_SOURCE_CONTINUE;
}

static gboolean run_client(World *world, Step step, GError **error)
{
    Steps steps = {world, step};
    guint watchdog = g_timeout_add_seconds(20, give_up_waiting, (gpointer) "the client to end");
    guint stepper = g_timeout_add(2, on_step, &steps);
    gboolean success = stead_console_client(world->session, "web", &world->options, error);
    g_source_remove(stepper);
    g_source_remove(watchdog);
    drain();
    on_step(&(Steps){world, NULL});
    g_assert_false(is_raw(world->follower));
    return success;
}

static char *take(int fd)
{
    char bytes[65536];
    fcntl(fd, F_SETFL, O_NONBLOCK);
    gssize n = read(fd, bytes, sizeof bytes);
    return g_strndup(bytes, n > 0 ? (gsize)n : 0);
}

static void type(World *world, const char *keys)
{
    g_assert_cmpint(write(world->leader, keys, strlen(keys)), ==, (int)strlen(keys));
}

static gboolean type_and_detach(World *world)
{
    if (is_raw(world->follower) && !world->typed) {
        type(world, "l\x03\n"); /* Ctrl-C is the guest's */
        world->typed = TRUE;
    }
    int shown = 0;
    g_assert_cmpint(ioctl(world->out[0], FIONREAD, &shown), ==, 0);
    if (world->received->len < 3 || world->rows == 0 || shown < (int)strlen("web login: "))
        return TRUE;
    type(world, "\x1d");
    return FALSE;
}

static void test_keys_go_to_the_guest_until_the_escape(World *world, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    struct winsize size = {.ws_row = 33, .ws_col = 99};
    g_assert_cmpint(ioctl(world->follower, TIOCSWINSZ, &size), ==, 0);
    append(world->place.log, "web login: ");
    g_assert_true(run_client(world, type_and_detach, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(world->received->str, ==, "l\x03\n");
    g_assert_cmpuint(world->rows, ==, 33);
    g_assert_cmpuint(world->columns, ==, 99);
    g_autofree char *shown = take(world->out[0]);
    g_autofree char *remarks = take(world->messages[0]);
    g_assert_cmpstr(shown, ==, "web login: ");
    g_assert_nonnull(strstr(remarks, "^] detaches"));
    g_assert_cmpstr(world->query->str, ==, "from=now&write=1");
}

static void test_piped_input(World *world, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    world->options.input = world->in[0];
    append(world->place.log, "hello\n");
    g_assert_cmpint(write(world->in[1], "root\n\x1d", 6), ==, 6); /* no escape key in a pipe */
    stead_clear_fd(&world->in[1]);
    g_assert_true(run_client(world, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(world->received->str, ==, "root\n\x1d");
    g_autofree char *shown = take(world->out[0]);
    g_assert_cmpstr(shown, ==, "hello\n");
}

static void test_much_piped_input_loses_nothing(World *world, gconstpointer data)
{
    enum { N = 1000000 };
    g_autoptr(GError) error = NULL;
    g_autofree char *bulk = g_strnfill(N, 'q');
    g_autofree char *path = g_build_filename(world->place.dir, "bulk", NULL);
    g_assert_true(g_file_set_contents(path, bulk, N, NULL));
    stead_autofd file = open(path, O_RDONLY | O_CLOEXEC);
    world->options.input = file;
    g_assert_true(run_client(world, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(world->received->len, ==, N);
    g_autofree char *remarks = take(world->messages[0]);
    g_assert_cmpstr(remarks, ==, "");
}

static gboolean close_when_connected(World *world)
{
    if (world->query->len == 0)
        return TRUE;
    append(world->place.log, "goodbye\n");
    stead_console_close(world->console);
    return FALSE;
}

static void test_end_of_the_console(World *world, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    world->options.read_only = TRUE;
    world->options.input = world->in[0];
    g_assert_true(run_client(world, close_when_connected, &error));
    g_assert_no_error(error);
    g_autofree char *shown = take(world->out[0]);
    g_autofree char *remarks = take(world->messages[0]);
    g_assert_cmpstr(shown, ==, "goodbye\n");
    g_assert_cmpstr(remarks, ==, "The console of web has ended.\n");
    g_assert_cmpstr(world->query->str, ==, "from=now");
}

static gboolean end_by_signal(World *world)
{
    if (!is_raw(world->follower))
        return TRUE;
    raise(SIGTERM);
    return FALSE;
}

static void test_signal_leaves_the_terminal_well(World *world, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_assert_true(run_client(world, end_by_signal, &error));
    g_assert_no_error(error);
}

static void test_taken_console(World *world, gconstpointer data)
{
    static const SteadConsoleWriter somebody = {NULL, NULL};
    g_autoptr(GError) error = NULL;
    stead_console_take_writer(world->console, FALSE, &somebody, NULL, NULL);
    g_assert_false(run_client(world, NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_BUSY);
    g_assert_nonnull(strstr(stead_error_hint(error), "--force"));
}

static gboolean take_over_when_raw(World *world)
{
    static const SteadConsoleWriter somebody = {NULL, NULL};
    if (!is_raw(world->follower) || stead_console_room(world->console) == 0)
        return TRUE;
    stead_console_take_writer(world->console, TRUE, &somebody, NULL, NULL);
    type(world, "x\x1d");
    return FALSE;
}

static void test_console_taken_over(World *world, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_assert_true(run_client(world, take_over_when_raw, &error));
    g_assert_no_error(error);
}

static gboolean break_when_raw(World *world)
{
    if (!is_raw(world->follower))
        return TRUE;
    g_assert_true(g_socket_shutdown(world->socket, TRUE, TRUE, NULL));
    return FALSE;
}

static void test_daemon_that_goes_away(World *world, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_assert_false(run_client(world, break_when_raw, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_UNAVAILABLE);
}

static void test_no_daemon(World *world, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    soup_server_disconnect(world->server);
    g_unlink(world->place.listen);
    g_assert_false(run_client(world, NULL, &error));
    g_assert_nonnull(error);
}

#define WORLD(path, function) g_test_add(path, World, NULL, world_set_up, function, world_tear_down)

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/terminal/raw-and-back", test_raw_and_back);
    g_test_add_func("/terminal/no-terminal", test_no_terminal);
    g_test_add_func("/terminal/restored-however-it-ends", test_restored_however_it_ends);
    g_test_add_func("/terminal/restored-while-stopped", test_restored_while_stopped);
    g_test_add_func("/terminal/keys", test_keys);
    WORLD("/client/keys-go-to-the-guest", test_keys_go_to_the_guest_until_the_escape);
    WORLD("/client/piped-input", test_piped_input);
    WORLD("/client/much-piped-input", test_much_piped_input_loses_nothing);
    WORLD("/client/end-of-the-console", test_end_of_the_console);
    WORLD("/client/signal", test_signal_leaves_the_terminal_well);
    WORLD("/client/taken-console", test_taken_console);
    WORLD("/client/console-taken-over", test_console_taken_over);
    WORLD("/client/daemon-that-goes-away", test_daemon_that_goes_away);
    WORLD("/client/no-daemon", test_no_daemon);
    return g_test_run();
}
