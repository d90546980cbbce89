/* SPDX-License-Identifier: Apache-2.0 */
/* stead-vmm as whoever starts it sees it: exit codes, and what it says when there is nothing to
 * run a guest on. */
#include <glib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAILED 1
#define USAGE 2

static const char *program;

typedef struct {
    const char *name;
    const char *arguments; /* separated by blanks */
    int code;
    const char *said, *complaint; /* on its outputs: how they begin */
    gboolean needs_kvm;
} Call;

static const Call CALLS[] = {
    {"check", "--check", 0, "", "", TRUE},
    {"check-without-kvm", "--check --kvm /nonexistent", FAILED, "",
     "stead-vmm: cannot open /nonexistent: No such file or directory\n"},
    {"check-no-kvm", "--check --kvm /dev/null", FAILED, "", "stead-vmm: the device is not KVM's: "},
    {"run-without-kvm", "--kvm /nonexistent --kernel fd=0", FAILED, "",
     "stead-vmm: cannot open /nonexistent: No such file or directory\n"},
    {"no-kernel", "--no-jail", USAGE, "",
     "stead-vmm: there is neither a --kernel nor something to --restore\n"},
    {"unknown", "--kernal fd=0", USAGE, "", "stead-vmm: there is no option --kernal; see --help\n"},
    {"no-value", "--kvm", USAGE, "", "stead-vmm: --kvm needs PATH\n"},
    {"version", "--version", 0, "stead-vmm " STEAD_VERSION "\n", ""},
    {"help", "--help", 0, "Usage: stead-vmm OPTION...\n", ""},
};

static void expect_begin(const char *text, const char *begin)
{
    if (*begin == '\0')
        g_assert_cmpstr(text, ==, "");
    else if (!g_str_has_prefix(text, begin))
        g_error("'%s' does not begin with '%s'", text, begin);
}

static void test_call(const void *data)
{
    const Call *call = data;
    g_autofree char *line = g_strdup_printf("%s %s", program, call->arguments);
    g_auto(GStrv) argv = g_strsplit(line, " ", -1);
    g_autofree char *said = NULL, *complaint = NULL;
    g_autoptr(GError) error = NULL;
    int status;
    if (call->needs_kvm && access("/dev/kvm", R_OK | W_OK) != 0) {
        g_test_skip("no /dev/kvm");
        return;
    }
    g_spawn_sync(NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &said, &complaint, &status, &error);
    g_assert_no_error(error);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, call->code);
    expect_begin(said, call->said);
    expect_begin(complaint, call->complaint);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    program = argv[1];
    for (gsize i = 0; i < G_N_ELEMENTS(CALLS); i++) {
        g_autofree char *path = g_strdup_printf("/vmm/program/%s", CALLS[i].name);
        g_test_add_data_func(path, &CALLS[i], test_call);
    }
    return g_test_run();
}
