/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vm driver on a real libvirtd with a real guest: what the unit tests cannot see.
 *
 *     vm-driver IMAGE [BOOTS]
 *
 * IMAGE is a qcow2 of a Linux with the guest agent. It boots once (twice with BOOTS 2, for what
 * needs a stopped guest) and is snapshotted and restored from then on. Everything lies in a folder
 * of its own below /var/tmp, and goes away in the end, also upon failure. Prints TAP; durations are
 * diagnostics.
 */
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/subprocess.h"
#include "runtime/vm/vm.h"

#define BOOT_TIMEOUT_S 300
#define SLOT_TIMEOUT_MS 60000

typedef struct {
    SteadLibvirt *libvirt;
    SteadPaths *paths;
    SteadRuntime *runtime;
    SteadMachine *machine;
    GMainLoop *loop;
    const char *image;
    int boots;
    char *root;
    int failures; /* told; atomic */
    guint events; /* told; main loop writes, the thread only shows it */
    int test, failed;
    gint64 began;
} Bench;

static void ok(Bench *bench, gboolean good, const char *what, GError *error)
{
    double ms = (double)(g_get_monotonic_time() - bench->began) / 1000.0;
    printf("%s %d - %s\n# %.1f ms\n", good ? "ok" : "not ok", ++bench->test, what, ms);
    if (error)
        printf("# %s\n", error->message);
    bench->failed += good ? 0 : 1;
    fflush(stdout);
    bench->began = g_get_monotonic_time();
}

/* One call that should succeed, timed. */
#define STEP(what, call)                                                                           \
    do {                                                                                           \
        g_autoptr(GError) error = NULL;                                                            \
        bench->began = g_get_monotonic_time();                                                     \
        gboolean good_ = (call);                                                                   \
        ok(bench, good_, what, error);                                                             \
    } while (0)

/* Standard output of a command of the guest's shell; NULL upon failure. */
static char *guest(Bench *bench, const char *script)
{
    g_autoptr(GError) error = NULL;
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    g_autoptr(SteadExecResult) result = stead_runtime_exec(bench->runtime, bench->machine->id, argv,
                                                           NULL, SLOT_TIMEOUT_MS, NULL, &error);
    if (result == NULL) {
        printf("# %s: %s\n", script, error->message);
        return NULL;
    }
    gsize size = 0;
    const char *data = g_bytes_get_data(result->out, &size);
    return g_strchomp(g_strndup(data ? data : "", size));
}

static gboolean guest_says(Bench *bench, const char *script, const char *expected)
{
    g_autofree char *said = guest(bench, script);
    if (g_strcmp0(said, expected) != 0)
        printf("# %s: '%s', not '%s'\n", script, said ? said : "(nothing)", expected);
    return g_strcmp0(said, expected) == 0;
}

static gboolean await_agent(Bench *bench)
{
    gint64 deadline = g_get_monotonic_time() + BOOT_TIMEOUT_S * G_TIME_SPAN_SECOND;
    while (g_get_monotonic_time() < deadline) {
        if (stead_runtime_agent_ping(bench->runtime, bench->machine->id, NULL))
            return TRUE;
        g_poll(NULL, 0, 500);
    }
    return FALSE;
}

static int state_of(Bench *bench)
{
    g_autoptr(GPtrArray) list = stead_runtime_list(bench->runtime, NULL);
    for (guint i = 0; list && i < list->len; i++)
        if (g_str_equal(((SteadActual *)list->pdata[i])->id, bench->machine->id))
            return (int)((SteadActual *)list->pdata[i])->state;
    return -1;
}

static gboolean run(const char *const argv[])
{
    g_autoptr(GError) error = NULL;
    if (stead_run(argv, NULL, NULL, NULL, &error))
        return TRUE;
    printf("# %s\n", error->message);
    return FALSE;
}

static SteadMachineDisk *new_disk(char *path, const char *serial)
{
    SteadMachineDisk *disk = g_new0(SteadMachineDisk, 1);
    disk->path = path;
    disk->format = g_strdup("qcow2");
    disk->serial = g_strdup(serial);
    return disk;
}

static gboolean make_machine(Bench *bench)
{
    SteadMachine *machine = bench->machine = stead_machine_new();
    machine->id = g_uuid_string_random();
    machine->name = g_strdup("guest");
    machine->domain = g_strdup_printf("stead-vmtest-%.8s", machine->id);
    machine->dir = g_build_filename(bench->paths->state, "instances", machine->id, NULL);
    machine->run_dir = g_build_filename(bench->paths->run, "instances", machine->id, NULL);
    machine->accel = g_strdup("tcg");
    machine->spec = stead_instance_spec_new();
    machine->spec->cpus = 2;
    machine->spec->memory.max = G_GUINT64_CONSTANT(1) << 30;
    g_autofree char *volumes = g_build_filename(bench->paths->state, "volumes", NULL);
    if (!stead_make_dir(machine->dir, 0755, NULL) ||
        !stead_make_dir(machine->run_dir, 0755, NULL) || !stead_make_dir(volumes, 0755, NULL))
        return FALSE;
    char *path = g_build_filename(volumes, "guest-1a2b3c4d.qcow2", NULL);
    g_ptr_array_add(machine->disks, new_disk(path, NULL));

    g_autofree char *seed_dir = g_build_filename(bench->root, "seed", NULL);
    g_autofree char *user = g_build_filename(seed_dir, "user-data", NULL);
    g_autofree char *meta = g_build_filename(seed_dir, "meta-data", NULL);
    machine->seed = g_build_filename(machine->dir, "seed.iso", NULL);
    stead_make_dir(seed_dir, 0755, NULL);
    stead_write_file(user, "#cloud-config\n{}\n", -1, 0644, NULL);
    stead_write_file(meta, "instance-id: vm-driver\nlocal-hostname: guest\n", -1, 0644, NULL);
    const char *const clone[] = {"qemu-img",   "create", "-q",    "-f", "qcow2", "-b",
                                 bench->image, "-F",     "qcow2", path, NULL};
    const char *const iso[] = {"xorriso", "-as",    "mkisofs", "-quiet", "-o",     machine->seed,
                               "-V",      "cidata", "-J",      "-r",     seed_dir, NULL};
    return run(clone) && run(iso);
}

/* ---- scenarios ---- */

static void boot(Bench *bench)
{
    STEP("prepare", stead_runtime_prepare(bench->runtime, bench->machine, &error));
    STEP("a prepared instance is listed as stopped", state_of(bench) == STEAD_STATE_STOPPED);
    STEP("start", stead_runtime_start(bench->runtime, bench->machine, &error));
    STEP("start again does nothing", stead_runtime_start(bench->runtime, bench->machine, &error));
    STEP("it is listed as running", state_of(bench) == STEAD_STATE_RUNNING);
    STEP("the agent answers", await_agent(bench));
    g_autofree char *log = g_build_filename(bench->machine->dir, "console.log", NULL);
    g_autofree char *text = NULL;
    STEP("the console was recorded from the firmware on",
         g_file_get_contents(log, &text, NULL, &error) && strstr(text, "Linux version") != NULL);
}

static gboolean exec_shows_streams(Bench *bench, GError **error)
{
    const char *const argv[] = {"sh", "-c", "cat; echo err >&2; exit 3", NULL};
    g_autoptr(SteadExecResult) result = stead_runtime_exec(
        bench->runtime, bench->machine->id, argv, "in\xc3\xbc", SLOT_TIMEOUT_MS, NULL, error);
    return result && result->exit_code == 3 && g_bytes_get_size(result->err) == 4 &&
           g_bytes_get_size(result->out) == 4;
}

static gboolean exec_shows_signal(Bench *bench, GError **error)
{
    const char *const argv[] = {"sh", "-c", "kill -9 $$", NULL};
    g_autoptr(SteadExecResult) result = stead_runtime_exec(bench->runtime, bench->machine->id, argv,
                                                           NULL, SLOT_TIMEOUT_MS, NULL, error);
    return result && result->exit_code == 137;
}

static gboolean exec_fails_with(Bench *bench, const char *script, guint64 timeout_ms, int code)
{
    g_autoptr(GError) error = NULL;
    const char *const argv[] = {"sh", "-c", script, NULL};
    g_autoptr(SteadExecResult) result = stead_runtime_exec(bench->runtime, bench->machine->id, argv,
                                                           NULL, timeout_ms, NULL, &error);
    printf("# %s\n", error ? error->message : "no error");
    return result == NULL && (int)stead_error_code(error) == code;
}

static void questions(Bench *bench)
{
    const char *id = bench->machine->id;
    STEP("exec: input, both outputs, exit code", exec_shows_streams(bench, &error));
    STEP("exec: a signal is 128 + n", exec_shows_signal(bench, &error));
    STEP("exec: a time-out ends it", exec_fails_with(bench, "sleep 77", 1500, STEAD_ERROR_TIMEOUT));
    STEP("exec: what was given up is killed",
         guest_says(bench,
                    "i=0; while pgrep -f '[s]leep 77' >/dev/null && [ $i -lt 20 ]; do "
                    "i=$((i+1)); sleep .5; done; pgrep -fc '[s]leep 77'",
                    "0"));
    STEP("exec: too much output is an error",
         exec_fails_with(bench, "head -c 6000000 /dev/zero", SLOT_TIMEOUT_MS,
                         STEAD_ERROR_EXHAUSTED));
    STEP("exec: works afterwards", guest_says(bench, "echo fine", "fine"));
    SteadStats stats;
    STEP("stats", stead_runtime_stats(bench->runtime, id, &stats, &error) && stats.cpu_ns > 0 &&
                      stats.memory_max == bench->machine->spec->memory.max &&
                      stats.memory_used > 0 && stats.disk_read > 0);
    printf("# used %" G_GUINT64_FORMAT ", resident %" G_GUINT64_FORMAT "\n", stats.memory_used,
           stats.memory_resident);
    g_autoptr(JsonNode) display = NULL;
    STEP("display", (display = stead_runtime_display(bench->runtime, id, &error)) != NULL);
    g_auto(GStrv) addresses = NULL;
    STEP("addresses", (addresses = stead_runtime_addresses(bench->runtime, id, &error)) != NULL);
    STEP("pause", stead_runtime_pause(bench->runtime, id, NULL, &error) &&
                      state_of(bench) == STEAD_STATE_PAUSED);
    STEP("resume", stead_runtime_resume(bench->runtime, id, &error) &&
                       state_of(bench) == STEAD_STATE_RUNNING);
}

static void hotplug(Bench *bench)
{
    const char *id = bench->machine->id;
    g_autofree char *folder =
        g_path_get_dirname(((SteadMachineDisk *)bench->machine->disks->pdata[0])->path);
    g_autofree char *path = g_build_filename(folder, "extra-5e6f7a8b.qcow2", NULL);
    const char *const make[] = {"qemu-img", "create", "-q", "-f", "qcow2", path, "64M", NULL};
    run(make);
    SteadMachineDisk disk = {.path = path, .format = (char *)"qcow2", .serial = (char *)"extra"};
    g_auto(GStrv) disks = NULL;
    STEP("attach", stead_runtime_attach_disk(bench->runtime, id, &disk, &error));
    STEP("disks tells it", (disks = stead_runtime_disks(bench->runtime, id, &error)) != NULL &&
                               g_strcmp0(disks[1], path) == 0);
    STEP("the guest sees it",
         guest_says(bench,
                    "for i in 1 2 3 4 5 6 7 8 9; do "
                    "test -e /dev/disk/by-id/virtio-extra && break; sleep 1; done; "
                    "lsblk -bdno SIZE /dev/disk/by-id/virtio-extra",
                    "67108864"));
    STEP("grow", stead_runtime_resize_disk(bench->runtime, id, path, 128 << 20, &error));
    STEP("the guest sees its size",
         guest_says(bench, "lsblk -bdno SIZE /dev/disk/by-id/virtio-extra", "134217728"));
    STEP("detach", stead_runtime_detach_disk(bench->runtime, id, path, &error));
    STEP("it is gone",
         guest_says(bench, "test -e /dev/disk/by-id/virtio-extra || echo gone", "gone"));
}

typedef struct {
    char *id;
    JsonNode *layers;
} Snapshot;

static void snapshot_clear(Snapshot *snapshot)
{
    g_clear_pointer(&snapshot->id, g_free);
    g_clear_pointer(&snapshot->layers, json_node_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Snapshot, snapshot_clear)

/* As the engine does: the record follows the runtime. */
static gboolean sync_disks(Bench *bench, GError **error)
{
    g_auto(GStrv) disks = stead_runtime_disks(bench->runtime, bench->machine->id, error);
    for (guint i = 0; disks && disks[i]; i++) {
        SteadMachineDisk *disk = bench->machine->disks->pdata[i];
        g_free(disk->path);
        disk->path = g_strdup(disks[i]);
    }
    return disks != NULL;
}

static gboolean take(Bench *bench, Snapshot *snapshot, gboolean memory, GError **error)
{
    snapshot->id = g_uuid_string_random();
    snapshot->layers = stead_runtime_snapshot(bench->runtime, bench->machine, snapshot->id, memory,
                                              NULL, NULL, NULL, error);
    return snapshot->layers && sync_disks(bench, error);
}

static gboolean restore(Bench *bench, const Snapshot *snapshot, GError **error)
{
    return stead_runtime_restore(bench->runtime, bench->machine, snapshot->id, snapshot->layers,
                                 error) &&
           sync_disks(bench, error);
}

static gboolean drop(Bench *bench, Snapshot *snapshot, GError **error)
{
    return stead_runtime_snapshot_remove(bench->runtime, bench->machine, snapshot->id,
                                         snapshot->layers, error) &&
           sync_disks(bench, error);
}

static void mark(Bench *bench, const char *word)
{
    g_autofree char *script =
        g_strdup_printf("echo %s > /run/mark; echo %s > /var/mark; sync", word, word);
    char *said = guest(bench, script);
    g_free(said);
}

static gboolean is_marked(Bench *bench, const char *word)
{
    g_autofree char *both = g_strdup_printf("%s %s", word, word);
    return guest_says(bench, "echo $(cat /run/mark) $(cat /var/mark)", both);
}

static guint count_files(Bench *bench)
{
    g_autofree char *folder =
        g_path_get_dirname(((SteadMachineDisk *)bench->machine->disks->pdata[0])->path);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    guint n = 0;
    for (const char *name = g_dir_read_name(dir); name; name = g_dir_read_name(dir))
        n += g_str_has_prefix(name, "guest-") ? 1 : 0;
    return n;
}

static gboolean is_intact(Bench *bench)
{
    return guest_says(bench,
                      "echo 3 > /proc/sys/vm/drop_caches; "
                      "sha256sum < /var/blob | cut -c1-64 | cmp - /var/blob.sum && echo same",
                      "same");
}

static void snapshots(Bench *bench)
{
    g_auto(Snapshot) one = {0}, two = {0}, three = {0};
    char *made = guest(bench, "head -c 20000000 /dev/urandom > /var/blob; "
                              "sha256sum < /var/blob | cut -c1-64 > /var/blob.sum; "
                              "(while :; do sleep 1; done) >/dev/null 2>&1 & "
                              "echo $! > /run/counter; sync");
    g_free(made);
    mark(bench, "one");
    STEP("snapshot with memory", take(bench, &one, TRUE, &error));
    STEP("the guest goes on", guest_says(bench, "kill -0 $(cat /run/counter) && echo yes", "yes"));
    mark(bench, "lost");
    STEP("restore", restore(bench, &one, &error));
    STEP("it runs", state_of(bench) == STEAD_STATE_RUNNING);
    STEP("memory and disk are of the very point", await_agent(bench) && is_marked(bench, "one"));
    STEP("its processes live on",
         guest_says(bench, "kill -0 $(cat /run/counter) && echo yes", "yes"));
    STEP("two layers are left", count_files(bench) == 2);

    mark(bench, "two");
    STEP("snapshot of disks, running", take(bench, &two, FALSE, &error));
    mark(bench, "three");
    STEP("another with memory", take(bench, &three, TRUE, &error));
    mark(bench, "lost");
    STEP("the first goes, below the others, while it runs", drop(bench, &one, &error));
    STEP("three layers are left", count_files(bench) == 3);
    STEP("the guest reads what it wrote", is_marked(bench, "lost") && is_intact(bench));
    STEP("restore on the merged tree", restore(bench, &three, &error));
    STEP("the very point again",
         await_agent(bench) && is_marked(bench, "three") && is_intact(bench));
    STEP("the last goes while it runs", drop(bench, &three, &error));
    STEP("the guest does not notice", is_marked(bench, "three") && is_intact(bench));
    STEP("kill", stead_runtime_kill(bench->runtime, bench->machine->id, &error) &&
                     state_of(bench) == STEAD_STATE_STOPPED);
    STEP("restore without memory", restore(bench, &two, &error));
    STEP("it does not run", state_of(bench) == STEAD_STATE_STOPPED);
    STEP("the one left goes from a stopped instance", drop(bench, &two, &error));
    STEP("one layer is left", count_files(bench) == 1);
}

static void half_made(Bench *bench)
{
    g_auto(Snapshot) lost = {0};
    STEP("snapshot of a stopped instance", take(bench, &lost, FALSE, &error));
    g_clear_pointer(&lost.layers, json_node_unref);
    STEP("a snapshot of which nothing is on record is removed", drop(bench, &lost, &error));
    STEP("and again", drop(bench, &lost, &error));
    STEP("one layer is left again", count_files(bench) == 1);
}

static void second_boot(Bench *bench)
{
    STEP("start from a restored disk", stead_runtime_start(bench->runtime, bench->machine, &error));
    STEP("the agent answers again", await_agent(bench));
    STEP("the disk is of that point",
         guest_says(bench, "cat /var/mark", "two") && is_intact(bench));
    STEP("stop", stead_runtime_stop(bench->runtime, bench->machine->id, 120000, NULL, &error));
    STEP("it is stopped", state_of(bench) == STEAD_STATE_STOPPED);
    STEP("stop again does nothing",
         stead_runtime_stop(bench->runtime, bench->machine->id, 1000, NULL, &error));
}

/* QEMU dies: that is a failure of the instance, and told as one. */
static void crash(Bench *bench)
{
    g_autofree char *file = g_strdup_printf("/run/libvirt/qemu/%s.pid", bench->machine->domain);
    g_autofree char *text = NULL;
    STEP("start for a crash", stead_runtime_start(bench->runtime, bench->machine, &error));
    g_atomic_int_set(&bench->failures, 0);
    if (g_file_get_contents(file, &text, NULL, NULL))
        kill((pid_t)atoi(text), SIGKILL);
    for (int i = 0; i < 100 && g_atomic_int_get(&bench->failures) == 0; i++)
        g_poll(NULL, 0, 100);
    STEP("a crash is told", g_atomic_int_get(&bench->failures) == 1);
    STEP("it is listed as stopped", state_of(bench) == STEAD_STATE_STOPPED);
}

static gpointer scenario(gpointer data)
{
    Bench *bench = data;
    STEP("a machine", make_machine(bench));
    if (bench->failed == 0)
        boot(bench);
    if (bench->failed == 0) {
        questions(bench);
        hotplug(bench);
        snapshots(bench);
        half_made(bench);
        crash(bench);
        if (bench->boots > 1)
            second_boot(bench);
    }
    if (bench->machine) {
        STEP("destroy", stead_runtime_destroy(bench->runtime, bench->machine->id, &error));
        STEP("destroy again", stead_runtime_destroy(bench->runtime, bench->machine->id, &error));
        STEP("it is not listed", state_of(bench) == -1);
    }
    printf("# %u events were told\n1..%d\n", bench->events, bench->test);
    g_main_loop_quit(bench->loop);
    return NULL;
}

static void on_actual(const SteadActual *actual, gpointer data)
{
    Bench *bench = data;
    bench->events++;
    if (actual->failed)
        g_atomic_int_inc(&bench->failures);
    printf("# event: %s%s\n", stead_name_of(&stead_state_names, (int)actual->state),
           actual->failed ? ", failed" : "");
}

int main(int argc, char **argv)
{
    if (argc < 2 || !g_file_test(argv[1], G_FILE_TEST_EXISTS)) {
        printf("1..0 # SKIP no image of a guest is given\n");
        return 0;
    }
    Bench bench = {.image = argv[1], .boots = argc > 2 ? atoi(argv[2]) : 1};
    bench.root = g_strdup("/var/tmp/stead-vmtest-XXXXXX");
    g_mkdtemp_full(bench.root, 0755);
    bench.paths = stead_paths_new_for_root(bench.root, NULL);
    bench.libvirt = stead_libvirt_new(NULL);
    bench.runtime = stead_vm_runtime_new(bench.libvirt, bench.paths);
    bench.loop = g_main_loop_new(NULL, FALSE);
    stead_runtime_watch(bench.runtime, on_actual, &bench);
    GThread *thread = g_thread_new("scenario", scenario, &bench);
    g_main_loop_run(bench.loop);
    g_thread_join(thread);
    stead_runtime_free(bench.runtime);
    stead_libvirt_free(bench.libvirt);
    stead_remove_tree(bench.root, NULL);
    stead_paths_free(bench.paths);
    stead_machine_free(bench.machine);
    g_free(bench.root);
    g_main_loop_unref(bench.loop);
    return bench.failed > 0;
}
