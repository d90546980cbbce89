/* SPDX-License-Identifier: Apache-2.0 */
/* It has its folder and its pipe, and no other way to anything. */
#include "runtime/microvm/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/detached.h"
#include "base/error.h"
#include "host/helper.h"

#define LOGGER "stead-log"
/* What is left in a pipe when its engine ends is at most 64 KiB. */
#define FINISH_TIMEOUT_MS 2000

static char *record_in(const char *run_dir)
{
    return g_build_filename(run_dir, "log.pid", NULL);
}

gboolean stead_logger_start(const SteadMachine *machine, int pipe, GError **error)
{
    g_autofree char *path = stead_helper_find("vmm", LOGGER);
    g_autofree char *record = record_in(machine->run_dir);
    stead_autofd folder = open(machine->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int saved = errno;
    if (path == NULL) {
        stead_set_error(error, STEAD_ERROR_MISSING, "Install the package 'stead' anew.",
                        "the program %s is not installed", LOGGER);
        return FALSE;
    }
    if (folder < 0) {
        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(saved), "opening %s: %s",
                    machine->dir, g_strerror(saved));
        return FALSE;
    }
    const char *const argv[] = {path, "3", "4", "console.log", NULL};
    const int fds[] = {folder, pipe};
    const SteadDetachedOptions options = {
        .record = record, .argv = argv, .fds = fds, .n_fds = G_N_ELEMENTS(fds)};
    return stead_detached_start(&options, error);
}

gboolean stead_logger_finish(const char *run_dir, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autofree char *record = record_in(run_dir);
    stead_autofd process = stead_detached_open(record, &why);
    struct pollfd poller = {.fd = process, .events = POLLIN};
    while (process >= 0 && poll(&poller, 1, FINISH_TIMEOUT_MS) < 0 && errno == EINTR)
        ;
    if (why == NULL)
        return stead_detached_end(record, TRUE, error);
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}
