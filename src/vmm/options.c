/* SPDX-License-Identifier: Apache-2.0 */
/* One table of options; help and parsing come from it. */
#include "vmm/options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "vmm/machine.h"

#define DEFAULT_MEMORY (128ULL << 20)
#define DEFAULT_LOG_SIZE (2ULL << 20)
#define DEFAULT_LOG_BACKUPS 3
#define NOBODY 65534

#define FIELD(type, field) offsetof(type, field)

static const VmmPair MEMORY[] = {
    {"", VMM_PAIR_SIZE, FIELD(VmmOptions, memory)},
    {"fd", VMM_PAIR_FD, FIELD(VmmOptions, memory_fd)},
    {"private", VMM_PAIR_FLAG, FIELD(VmmOptions, memory_is_private)},
    {0},
};
static const VmmPair CPUS[] = {{"", VMM_PAIR_NUMBER, FIELD(VmmOptions, cpus)}, {0}};
static const VmmPair KERNEL[] = {{"fd", VMM_PAIR_FD, FIELD(VmmOptions, kernel)}, {0}};
static const VmmPair INITRD[] = {{"fd", VMM_PAIR_FD, FIELD(VmmOptions, initrd)}, {0}};
static const VmmPair SERIAL[] = {{"fd", VMM_PAIR_FD, FIELD(VmmOptions, serial)}, {0}};
static const VmmPair CONSOLE[] = {{"fd", VMM_PAIR_FD, FIELD(VmmOptions, console)}, {0}};
static const VmmPair AGENT[] = {{"fd", VMM_PAIR_FD, FIELD(VmmOptions, agent)}, {0}};
static const VmmPair QMP[] = {{"fd", VMM_PAIR_FD, FIELD(VmmOptions, qmp)}, {0}};
static const VmmPair RESTORE[] = {{"fd", VMM_PAIR_FD, FIELD(VmmOptions, restore)}, {0}};
static const VmmPair PID[] = {{"fd", VMM_PAIR_FD, FIELD(VmmOptions, pid_fd)}, {0}};
static const VmmPair LOG[] = {
    {"fd", VMM_PAIR_FD, FIELD(VmmOptions, log_folder)},
    {"name", VMM_PAIR_TEXT, FIELD(VmmOptions, log_name)},
    {"size", VMM_PAIR_SIZE, FIELD(VmmOptions, log_size)},
    {"backups", VMM_PAIR_NUMBER, FIELD(VmmOptions, log_backups)},
    {0},
};
static const VmmPair DISK[] = {
    {"fd", VMM_PAIR_FDS, FIELD(VmmDiskOption, fds)},
    {"base-fd", VMM_PAIR_FDS, FIELD(VmmDiskOption, fds)},
    {"format", VMM_PAIR_TEXT, FIELD(VmmDiskOption, format)},
    {"serial", VMM_PAIR_TEXT, FIELD(VmmDiskOption, serial)},
    {"readonly", VMM_PAIR_FLAG, FIELD(VmmDiskOption, is_read_only)},
    {"bps", VMM_PAIR_SIZE, FIELD(VmmDiskOption, bytes_per_second)},
    {"iops", VMM_PAIR_SIZE, FIELD(VmmDiskOption, operations_per_second)},
    {0},
};
static const VmmPair NET[] = {
    {"fd", VMM_PAIR_FD, FIELD(VmmNetOption, fd)},
    {"mac", VMM_PAIR_MAC, FIELD(VmmNetOption, mac)},
    {"bps", VMM_PAIR_SIZE, FIELD(VmmNetOption, bytes_per_second)},
    {"pps", VMM_PAIR_SIZE, FIELD(VmmNetOption, packets_per_second)},
    {0},
};

static int take_disk(VmmOptions *options, char *value, VmmError *error)
{
    if (options->n_disks == VMM_DISKS_MAX)
        return vmm_error(error, -EINVAL, "more than %d disks", VMM_DISKS_MAX);
    VmmDiskOption *disk = &options->disks[options->n_disks++];
    int failed = vmm_pairs_parse(value, DISK, disk, error);
    if (!failed && disk->fds.n == 0)
        failed = vmm_error(error, -EINVAL, "a disk needs fd=");
    return failed;
}

static int take_net(VmmOptions *options, char *value, VmmError *error)
{
    if (options->n_nets == VMM_NETS_MAX)
        return vmm_error(error, -EINVAL, "more than %d network devices", VMM_NETS_MAX);
    VmmNetOption *net = &options->nets[options->n_nets++];
    net->fd = -1;
    int failed = vmm_pairs_parse(value, NET, net, error);
    if (!failed && net->fd < 0)
        failed = vmm_error(error, -EINVAL, "a network device needs fd=");
    return failed;
}

static int take_console(VmmOptions *options, char *value, VmmError *error)
{
    options->has_console = true;
    return vmm_pairs_parse(value, CONSOLE, options, error);
}

/* UID or UID:GID; the group is the user's number unless it is given. */
static int take_user(VmmOptions *options, char *value, VmmError *error)
{
    uint64_t uid, gid;
    char *colon = strchr(value, ':');
    if (colon)
        *colon++ = '\0';
    if (vmm_parse_number(value, &uid) || vmm_parse_number(colon ? colon : value, &gid) ||
        uid == 0 || gid == 0 || uid >= UINT_MAX || gid >= UINT_MAX)
        return vmm_error(error, -EINVAL, "UID or UID:GID, as numbers, not 0");
    options->uid = (uid_t)uid;
    options->gid = (gid_t)gid;
    return 0;
}

/* One of: pairs into the options, a function for the value, or a field that is set to the whole
 * value or, where there is none, to true. */
typedef struct {
    const char *name;
    const char *value; /* for --help; NULL: none */
    const char *help;
    const VmmPair *pairs;
    int (*take)(VmmOptions *options, char *value, VmmError *error);
    size_t field;
} Option;

static const Option OPTIONS[] = {
    {"name", "TEXT", "whose machine it is, for the list of processes",
     .field = FIELD(VmmOptions, name)},
    {"memory", "SIZE[,fd=N[,private]]", "the guest's memory; in a file, or a private copy of one",
     .pairs = MEMORY},
    {"cpus", "N", "vCPUs; 1", .pairs = CPUS},
    {"kernel", "fd=N", "a bzImage or ELF file", .pairs = KERNEL},
    {"initrd", "fd=N", "its initial file system", .pairs = INITRD},
    {"cmdline", "TEXT", "its command line", .field = FIELD(VmmOptions, command_line)},
    {"virtio-cmdline", NULL, "name virtio devices on the command line, too",
     .field = FIELD(VmmOptions, name_virtio)},
    {"disk", "fd=N[,base-fd=N...][,format=raw|qcow2][,readonly][,serial=TEXT][,bps=N][,iops=N]",
     "a disk, with what backs it", .take = take_disk},
    {"net", "fd=N,mac=MAC[,bps=N][,pps=N]", "a network device on a tap", .take = take_net},
    {"serial", "fd=N", "a listening socket for the serial port", .pairs = SERIAL},
    {"log", "fd=N[,name=NAME][,size=SIZE][,backups=N]",
     "a folder, or a file, in which the serial port's output is logged", .pairs = LOG},
    {"console", "fd=N", "a listening socket for a virtio console", .take = take_console},
    {"agent", "fd=N", "a listening socket for the guest's agent", .pairs = AGENT},
    {"rng", NULL, "a device of random numbers", .field = FIELD(VmmOptions, has_rng)},
    {"balloon", NULL, "a balloon device", .field = FIELD(VmmOptions, has_balloon)},
    {"qmp", "fd=N", "a listening socket for control", .pairs = QMP},
    {"restore", "fd=N", "begin from a snapshot's state", .pairs = RESTORE},
    {"incoming", NULL, "begin with the snapshot that snapshot-load will name",
     .field = FIELD(VmmOptions, waits_for_snapshot)},
    {"paused", NULL, "do not run before cont", .field = FIELD(VmmOptions, is_paused)},
    {"no-reboot", NULL, "end when the guest resets itself", .field = FIELD(VmmOptions, no_reboot)},
    {"user", "UID[:GID]", "whom the jail runs as; 65534", .take = take_user},
    {"daemonize", NULL, "return when the machine runs", .field = FIELD(VmmOptions, daemonize)},
    {"pid", "fd=N", "where to write the process's number", .pairs = PID},
    {"no-jail", NULL, "stay the user, in the namespaces, one is",
     .field = FIELD(VmmOptions, no_jail)},
    {"no-seccomp", NULL, "allow all system calls", .field = FIELD(VmmOptions, no_seccomp)},
    {"kvm", "PATH", "the device; /dev/kvm", .field = FIELD(VmmOptions, kvm)},
    {"check", NULL, "only tell whether KVM has what is needed", .field = FIELD(VmmOptions, check)},
    {"help", NULL, "print this", .field = FIELD(VmmOptions, help)},
    {"version", NULL, "print the version", .field = FIELD(VmmOptions, version)},
};
#define N_OPTIONS (sizeof OPTIONS / sizeof *OPTIONS)

void vmm_options_print_help(void)
{
    puts("Usage: stead-vmm OPTION...\nRuns a machine on KVM.\n");
    for (size_t i = 0; i < N_OPTIONS; i++)
        printf("  --%s%s%s\n      %s\n", OPTIONS[i].name, OPTIONS[i].value ? " " : "",
               OPTIONS[i].value ? OPTIONS[i].value : "", OPTIONS[i].help);
}

static const Option *find(const char *argument)
{
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (strncmp(argument, "--", 2) == 0 && strcmp(argument + 2, OPTIONS[i].name) == 0)
            return &OPTIONS[i];
    return NULL;
}

static int take(VmmOptions *options, const Option *option, char *value, VmmError *error)
{
    VmmError why = {""};
    int failed = 0;
    if (option->pairs)
        failed = vmm_pairs_parse(value, option->pairs, options, &why);
    else if (option->take)
        failed = option->take(options, value, &why);
    else
        *(const char **)((char *)options + option->field) = value;
    return failed ? vmm_error(error, failed, "--%s: %s", option->name, why.text) : 0;
}

static int check(const VmmOptions *options, VmmError *error)
{
    if (options->help || options->version || options->check)
        return 0;
    bool is_restored = options->restore >= 0 || options->waits_for_snapshot;
    if (options->kernel < 0 && !is_restored)
        return vmm_error(error, -EINVAL, "there is neither a --kernel nor something to --restore");
    if (is_restored && options->memory_fd < 0)
        return vmm_error(error, -EINVAL, "a snapshot's memory is needed: --memory SIZE,fd=N");
    if (options->cpus == 0 || options->cpus > VMM_CPUS_MAX)
        return vmm_error(error, -EINVAL, "--cpus: 1 to %d", VMM_CPUS_MAX);
    if (options->memory == 0 || options->memory % VMM_MEMORY_PAGE ||
        options->memory > VMM_MEMORY_MAX)
        return vmm_error(error, -EINVAL, "--memory: whole pages, at most %llu TiB",
                         VMM_MEMORY_MAX >> 40);
    return 0;
}

int vmm_options_parse(VmmOptions *options, int argc, char **argv, VmmError *error)
{
    *options = (VmmOptions){
        .memory = DEFAULT_MEMORY,
        .memory_fd = -1,
        .cpus = 1,
        .kernel = -1,
        .initrd = -1,
        .command_line = "",
        .serial = -1,
        .console = -1,
        .agent = -1,
        .qmp = -1,
        .log_folder = -1,
        .log_name = "console.log",
        .log_size = DEFAULT_LOG_SIZE,
        .log_backups = DEFAULT_LOG_BACKUPS,
        .restore = -1,
        .uid = NOBODY,
        .gid = NOBODY,
        .pid_fd = -1,
        .kvm = "/dev/kvm",
    };
    for (int i = 1; i < argc; i++) {
        const Option *option = find(argv[i]);
        if (option == NULL)
            return vmm_error(error, -EINVAL, "there is no option %s; see --help", argv[i]);
        if (option->value == NULL) {
            *(bool *)((char *)options + option->field) = true;
            continue;
        }
        if (++i == argc)
            return vmm_error(error, -EINVAL, "--%s needs %s", option->name, option->value);
        int failed = take(options, option, argv[i], error);
        if (failed)
            return failed;
    }
    return check(options, error);
}
