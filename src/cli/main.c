/* SPDX-License-Identifier: Apache-2.0 */
/* The entry point: the one place that prints errors and chooses the exit code. */
#include <gio/gio.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/command.h"
#include "cli/help.h"
#include "cli/screen.h"

static int show_help(const SteadCommand *command)
{
    g_autofree char *text = stead_help_text(command);
    fputs(text, stdout);
    return 0;
}

static int run(SteadCall *call, GError **error)
{
    const SteadCommand *command = stead_call_command(call);
    return stead_call_help(call) ? show_help(command) : command->run(call, error);
}

/* Output that could not be written (a full disk, a closed pipe) is a failure too. */
static int finish(int code)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return code != 0 ? code : 1;
    return code;
}

/* A reader that goes away (stead logs | head) ends stead silently. GIO ignores the signal when its
 * socket class is made, so that has to be done first; its own writes never raise it. */
static void stop_at_broken_pipes(void)
{
    g_type_class_unref(g_type_class_ref(G_TYPE_SOCKET));
    signal(SIGPIPE, SIG_DFL);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    setlocale(LC_CTYPE, "");
    stop_at_broken_pipes();
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("stead " STEAD_VERSION);
        return finish(0);
    }
    g_autoptr(SteadCall) call = stead_call_parse(argc, (const char *const *)argv, &error);
    int code = call ? run(call, &error) : 0;
    if (error == NULL)
        return finish(code);
    stead_screen_error(error);
    return finish(stead_error_exit_code(stead_error_code(error)));
}
