/* SPDX-License-Identifier: Apache-2.0 */
/* Terminals are asked once a call; everything that is shown passes the cleaner of text.c. */
#include "cli/screen.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/text.h"

/* The least width that tables and lines are laid out for. */
#define MIN_COLUMNS 20
#define MIN_ROWS 4
#define MAX_ANSWER 64

gboolean stead_screen_is_terminal(void)
{
    return isatty(STDOUT_FILENO) == 1;
}

gboolean stead_screen_is_live(void)
{
    const char *term = g_getenv("TERM");
    return stead_screen_is_terminal() && g_strcmp0(term, "dumb") != 0;
}

gboolean stead_screen_has_colour(void)
{
    const char *no_colour = g_getenv("NO_COLOR");
    return stead_screen_is_live() && (no_colour == NULL || *no_colour == '\0');
}

void stead_screen_size(guint *columns, guint *rows)
{
    struct winsize size;
    gboolean known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    *columns = known ? MAX(size.ws_col, MIN_COLUMNS) : 80;
    *rows = known && size.ws_row > 0 ? MAX(size.ws_row, MIN_ROWS) : 24;
}

static const char *const sequences[] = {
    [STEAD_COLOUR_NONE] = "",        [STEAD_COLOUR_GOOD] = "\033[32m",
    [STEAD_COLOUR_BAD] = "\033[31m", [STEAD_COLOUR_BUSY] = "\033[33m",
    [STEAD_COLOUR_DIM] = "\033[2m",  [STEAD_COLOUR_BOLD] = "\033[1m",
};
G_STATIC_ASSERT(G_N_ELEMENTS(sequences) == STEAD_N_COLOURS);

const char *stead_colour_on(SteadColour colour, gboolean wanted)
{
    return wanted && colour < STEAD_N_COLOURS ? sequences[colour] : "";
}

const char *stead_colour_off(SteadColour colour, gboolean wanted)
{
    return wanted && colour != STEAD_COLOUR_NONE ? "\033[0m" : "";
}

typedef struct {
    const char *state;
    SteadColour colour;
} StateColour;

static const StateColour state_colours[] = {
    {"ready", STEAD_COLOUR_GOOD},    {"running", STEAD_COLOUR_GOOD},
    {"done", STEAD_COLOUR_GOOD},     {"ok", STEAD_COLOUR_GOOD},
    {"failed", STEAD_COLOUR_BAD},    {"fail", STEAD_COLOUR_BAD},
    {"creating", STEAD_COLOUR_BUSY}, {"starting", STEAD_COLOUR_BUSY},
    {"stopping", STEAD_COLOUR_BUSY}, {"removing", STEAD_COLOUR_BUSY},
    {"queued", STEAD_COLOUR_BUSY},   {"warn", STEAD_COLOUR_BUSY},
    {"paused", STEAD_COLOUR_BUSY},   {"stopped", STEAD_COLOUR_DIM},
    {"cancelled", STEAD_COLOUR_DIM},
};

SteadColour stead_colour_of(const char *state)
{
    for (gsize i = 0; i < G_N_ELEMENTS(state_colours); i++)
        if (g_strcmp0(state, state_colours[i].state) == 0)
            return state_colours[i].colour;
    return STEAD_COLOUR_NONE;
}

void stead_screen_error(const GError *error)
{
    g_autofree char *message = stead_clean_lines(error->message);
    fflush(stdout);
    fprintf(stderr, "stead: %s\n", message);
    const char *hint = stead_error_hint(error);
    if (hint == NULL || *hint == '\0')
        return;
    g_autofree char *clean = stead_clean_lines(hint);
    fprintf(stderr, "hint: %s\n", clean);
}

void stead_screen_remark(const char *format, ...)
{
    if (!isatty(STDERR_FILENO))
        return;
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    fflush(stdout);
    fprintf(stderr, "%s\n", text);
}

gboolean stead_screen_confirm(const char *question, gboolean *yes, GError **error)
{
    char answer[MAX_ANSWER];
    *yes = FALSE;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        stead_set_error(error, STEAD_ERROR_INVALID, "Say --yes where nobody can be asked.", "%s",
                        question);
        return FALSE;
    }
    fprintf(stderr, "%s [y/N] ", question);
    if (fgets(answer, sizeof answer, stdin) != NULL)
        *yes = answer[0] == 'y' || answer[0] == 'Y';
    return TRUE;
}
