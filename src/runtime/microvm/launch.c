/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting an engine: everything that it will use is opened by the daemon (handover.h) and handed
 * over as open descriptors. It may never gain privileges again, and is either confined between fork
 * and exec, as an unprivileged user, or jails itself (engine_user.h says as whom).
 */
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/detached.h"
#include "base/error.h"
#include "runtime/microvm/engine_user.h"
#include "runtime/microvm/handover.h"
#include "runtime/microvm/logger.h"
#include "runtime/microvm/tsc.h"

/* What is read of an engine's last words, in bytes. */
#define WORDS_MAX 4096

typedef struct {
    gboolean drop; /* become the unprivileged user */
    uid_t uid;
    gid_t gid;
    gid_t kvm; /* the group that may open /dev/kvm; 0: none */
} Confinement;

static Confinement find_confinement(const SteadEngineProgram *program, const SteadMachine *machine)
{
    struct stat device;
    SteadEngineUser user = stead_engine_user(program, machine->id);
    Confinement confinement = {
        .drop = geteuid() == 0 && !program->jails_itself, .uid = user.uid, .gid = user.gid};
    if (g_str_equal(machine->accel, "kvm") && stat("/dev/kvm", &device) == 0)
        confinement.kvm = device.st_gid;
    return confinement;
}

/* Between fork and exec. Huge pages would make a page that a guest touches into five hundred. */
static gboolean confine(gpointer data)
{
    const Confinement *confinement = data;
    const struct rlimit no_core = {0, 0};
    if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &no_core) != 0)
        return FALSE;
    if (confinement->drop &&
        (setgroups(confinement->kvm ? 1 : 0, &confinement->kvm) != 0 ||
         setresgid(confinement->gid, confinement->gid, confinement->gid) != 0 ||
         setresuid(confinement->uid, confinement->uid, confinement->uid) != 0))
        return FALSE;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

char *stead_microvm_last_words(const SteadMicrovm *microvm, const char *id)
{
    char text[WORDS_MAX + 1];
    g_autofree char *path = stead_microvm_path(microvm, id, "engine.log");
    stead_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    ssize_t n = size > 0 ? pread(fd, text, WORDS_MAX, MAX(0, size - WORDS_MAX)) : 0;
    text[MAX(0, n)] = '\0';
    g_autofree char *clean = g_utf8_make_valid(g_strstrip(text), -1);
    const char *line = strrchr(clean, '\n');
    return g_strdup(*clean == '\0' ? "it gave no reason" : line ? line + 1 : clean);
}

static gboolean spawn(const SteadEngineProgram *program, const SteadMachine *machine,
                      const SteadHandover *handover, GError **error)
{
    g_autofree char *path = program->find(error);
    if (path == NULL)
        return FALSE;
    Confinement confinement = find_confinement(program, machine);
    SteadEngineFds numbers = handover->numbers;
    numbers.tsc_khz = g_str_equal(machine->accel, "tcg") ? stead_tsc_khz() : 0;
    numbers.uid = confinement.uid;
    numbers.gid = confinement.gid;
    g_auto(GStrv) args = program->args(path, machine, &numbers);
    g_autofree char *record = g_build_filename(machine->run_dir, "engine.pid", NULL);
    g_autofree char *log = g_build_filename(machine->run_dir, "engine.log", NULL);
    const SteadDetachedOptions options = {.record = record,
                                          .argv = (const char *const *)args,
                                          .log = log,
                                          .fds = (const int *)(gpointer)handover->fds->data,
                                          .n_fds = handover->fds->len,
                                          .setup = confine,
                                          .data = &confinement};
    return stead_detached_start(&options, error);
}

static gboolean go_on(const SteadEngineProgram *program, SteadMonitor *monitor, int state,
                      GError **error)
{
    return program->load(monitor, state, error) &&
           stead_qmp_do(monitor->qmp, "cont", NULL, -1, error);
}

/* An engine that is up answers, and takes the state that it goes on from; one that ends before has
 * said why. */
static gboolean await_up(SteadMicrovm *microvm, const SteadEngineProgram *program,
                         const SteadMachine *machine, int state, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(SteadMonitor) monitor = stead_monitor_attach(microvm, machine->id, NULL, &why);
    if (monitor && (state < 0 || go_on(program, monitor, state, &why))) {
        stead_process_tell(monitor->process);
        return TRUE;
    }
    if (why && !g_error_matches(why, STEAD_ERROR, STEAD_ERROR_UNAVAILABLE)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    g_autofree char *words = stead_microvm_last_words(microvm, machine->id);
    stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "its engine did not start: %s", words);
    return FALSE;
}

gboolean stead_microvm_launch(SteadMicrovm *microvm, const SteadMachine *machine, GError **error)
{
    const SteadEngineProgram *program = stead_engine_program(machine->engine);
    g_auto(SteadHandover) handover = {0};
    /* The logger is first: a daemon that is killed leaves no engine without one, and a logger
     * without an engine ends. */
    if (!stead_logger_finish(machine->run_dir, error) ||
        !stead_handover_open(&handover, program, microvm, machine, error) ||
        !stead_logger_start(machine, handover.said, error))
        return FALSE;
    gboolean spawned = spawn(program, machine, &handover, error);
    /* From here on the engine alone has its sockets and its pipe: should it end, they are closed.
     */
    g_array_set_size(handover.fds, 0);
    if (spawned && await_up(microvm, program, machine, handover.state, error))
        return TRUE;
    g_autofree char *record = g_build_filename(machine->run_dir, "engine.pid", NULL);
    stead_detached_end(record, TRUE, NULL);
    stead_logger_finish(machine->run_dir, NULL);
    return FALSE;
}
