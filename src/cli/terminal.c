/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw mode, and the way back.
 *
 * A terminal that is left raw is useless to its user, so the saved state is restored from three
 * sides: by stead_terminal_restore(), by atexit(3), and by handlers of every signal that ends a
 * process and that nobody else handles. tcsetattr(3) is safe in a handler (signal-safety(7)). The
 * handlers then raise the signal anew with its default action, so that the parent sees the truth.
 */
#include "cli/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"

static struct {
    volatile sig_atomic_t active;
    int fd;
    struct termios saved;
    struct termios raw;
} terminal;

static const int deadly[] = {SIGABRT, SIGALRM, SIGBUS,  SIGFPE,  SIGHUP,  SIGILL, SIGINT,
                             SIGPIPE, SIGQUIT, SIGSEGV, SIGTERM, SIGXCPU, SIGXFSZ};

static void give_back(void)
{
    if (terminal.active)
        tcsetattr(terminal.fd, TCSANOW, &terminal.saved);
}

static void on_deadly_signal(int number)
{
    give_back();
    signal(number, SIG_DFL);
    raise(number);
}

/* SIGSTOP cannot be held up, so what follows raise() happens when the process is continued. */
static void on_stop(int number)
{
    int kept = errno;
    give_back();
    raise(SIGSTOP);
    if (terminal.active)
        tcsetattr(terminal.fd, TCSANOW, &terminal.raw);
    errno = kept;
}

static void handle(int number, void (*handler)(int))
{
    struct sigaction old, action = {.sa_handler = handler, .sa_flags = SA_RESTART | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) &&
        old.sa_handler == SIG_DFL)
        sigaction(number, &action, NULL);
}

static void guard_exits(void)
{
    static gboolean done;
    if (!done)
        atexit(stead_terminal_restore);
    done = TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(deadly); i++)
        handle(deadly[i], on_deadly_signal);
    handle(SIGTSTP, on_stop);
}

static gboolean failed(GError **error)
{
    stead_set_error(error, STEAD_ERROR_INVALID, "Run it on a terminal.",
                    "the terminal cannot be used: %s", g_strerror(errno));
    return FALSE;
}

gboolean stead_terminal_raw(int fd, gboolean keep_signals, GError **error)
{
    if (terminal.active)
        return TRUE;
    if (tcgetattr(fd, &terminal.saved) < 0)
        return failed(error);
    terminal.fd = fd;
    terminal.raw = terminal.saved;
    cfmakeraw(&terminal.raw);
    if (keep_signals)
        terminal.raw.c_lflag |= ISIG;
    terminal.raw.c_cc[VMIN] = 1;
    terminal.raw.c_cc[VTIME] = 0;
    guard_exits();
    terminal.active = TRUE;
    if (tcsetattr(fd, TCSADRAIN, &terminal.raw) == 0)
        return TRUE;
    terminal.active = FALSE;
    return failed(error);
}

void stead_terminal_restore(void)
{
    if (!terminal.active)
        return;
    tcsetattr(terminal.fd, TCSADRAIN, &terminal.saved);
    terminal.active = FALSE;
}

gboolean stead_terminal_size(int fd, guint *rows, guint *columns)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
        return FALSE;
    *rows = size.ws_row;
    *columns = size.ws_col;
    return TRUE;
}

gboolean stead_key_parse(const char *text, int *key, GError **error)
{
    gsize length = strlen(text);
    if (strcmp(text, "none") == 0) {
        *key = STEAD_KEY_NONE;
    } else if (length == 2 && text[0] == '^' && g_ascii_toupper(text[1]) >= '@' &&
               g_ascii_toupper(text[1]) <= '_') {
        *key = g_ascii_toupper(text[1]) & 0x1f;
    } else if (length == 1 && g_ascii_isprint(text[0])) {
        *key = (guchar)text[0];
    } else {
        stead_set_error(error, STEAD_ERROR_INVALID,
                        "Write Ctrl-A as ^A, another key as itself, or none.", "'%.16s' is no key",
                        text);
        return FALSE;
    }
    return TRUE;
}

char *stead_key_name(int key)
{
    if (key == STEAD_KEY_NONE)
        return g_strdup("none");
    return key < 0x20 ? g_strdup_printf("^%c", key + '@') : g_strdup_printf("%c", key);
}
