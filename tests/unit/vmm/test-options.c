/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: what is taken, and what is refused with a reason. */
#include <errno.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/options.h"

/* Parses words that are separated by spaces. */
static int parse(VmmOptions *options, const char *line, VmmError *error)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    static char *kept[32];
    *error = (VmmError){""};
    guint n = g_strv_length(words);
    for (guint i = 0; i <= n; i++) {
        g_free(kept[i]);
        kept[i] = g_strdup(words[i]); /* the options point into them */
    }
    return vmm_options_parse(options, (int)n, kept, error);
}

static void test_defaults(void)
{
    VmmOptions options;
    VmmError error;
    g_assert_cmpint(parse(&options, "vmm --kernel fd=0", &error), ==, 0);
    g_assert_cmpuint(options.memory, ==, 128 << 20);
    g_assert_cmpuint(options.cpus, ==, 1);
    g_assert_cmpint(options.kernel, ==, 0);
    g_assert_cmpint(options.initrd, ==, -1);
    g_assert_false(options.no_jail);
    g_assert_false(options.no_seccomp);
    g_assert_cmpuint(options.uid, ==, 65534);
}

static void test_everything_at_once(void)
{
    VmmOptions options;
    VmmError error;
    g_assert_cmpint(parse(&options,
                          "vmm --memory 1G,fd=0,private --cpus 4 --kernel fd=1 --initrd fd=2 "
                          "--disk fd=0,base-fd=1,base-fd=2,format=qcow2,readonly,serial=s,bps=10M "
                          "--net fd=0,mac=52:54:00:ab:cD:0f,pps=5 --user 7:8 --paused --rng "
                          "--log fd=0,size=1M,backups=2,name=x",
                          &error),
                    ==, 0);
    g_assert_cmpuint(options.memory, ==, 1 << 30);
    g_assert_true(options.memory_is_private);
    g_assert_cmpuint(options.disks[0].fds.n, ==, 3);
    g_assert_cmpint(options.disks[0].fds.fds[2], ==, 2);
    g_assert_cmpstr(options.disks[0].format, ==, "qcow2");
    g_assert_true(options.disks[0].is_read_only);
    g_assert_cmpuint(options.disks[0].bytes_per_second, ==, 10 << 20);
    g_assert_cmpmem(options.nets[0].mac, 6, "\x52\x54\x00\xab\xcd\x0f", 6);
    g_assert_cmpuint(options.uid, ==, 7);
    g_assert_cmpuint(options.gid, ==, 8);
    g_assert_true(options.is_paused);
    g_assert_true(options.has_rng);
    g_assert_false(options.has_balloon);
    g_assert_cmpstr(options.log_name, ==, "x");
}

static void test_nonsense_is_refused_with_a_reason(void)
{
    static const struct {
        const char *line, *why;
    } wrong[] = {
        {"vmm", "neither a --kernel nor"},
        {"vmm --what", "no option --what"},
        {"vmm kernel", "no option kernel"},
        {"vmm --kernel", "--kernel needs fd=N"},
        {"vmm --kernel 0", "'0' is not known here"},
        {"vmm --kernel fd=x", "'x' is no descriptor's number"},
        {"vmm --kernel fd=-1", "'-1' is no descriptor's number"},
        {"vmm --kernel fd=999", "descriptor 999 is not open"},
        {"vmm --kernel fd=4294967296", "is no descriptor's number"},
        {"vmm --kernel fd=0 --memory 0", "whole pages"},
        {"vmm --kernel fd=0 --memory 1", "whole pages"},
        {"vmm --kernel fd=0 --memory 2T,private,", "'' is not known here"},
        {"vmm --kernel fd=0 --memory 2T", "at most 1 TiB"},
        {"vmm --kernel fd=0 --memory 99999999999T", "makes no sense"},
        {"vmm --kernel fd=0 --memory 1G,private=1", "takes no value"},
        {"vmm --kernel fd=0 --memory 1G,fd", "needs a value"},
        {"vmm --kernel fd=0 --cpus 0", "--cpus: 1 to"},
        {"vmm --kernel fd=0 --cpus 65", "--cpus: 1 to"},
        {"vmm --kernel fd=0 --cpus 1x", "makes no sense"},
        {"vmm --kernel fd=0 --disk readonly", "a disk needs fd="},
        {"vmm --kernel fd=0 --net mac=52:54:00:00:00:01", "needs fd="},
        {"vmm --kernel fd=0 --net fd=0,mac=52:54:00:00:00", "makes no sense"},
        {"vmm --kernel fd=0 --net fd=0,mac=52:54:00:00:00:0g", "makes no sense"},
        {"vmm --kernel fd=0 --net fd=0,mac=52-54-00-00-00-01", "makes no sense"},
        {"vmm --kernel fd=0 --user 0", "not 0"},
        {"vmm --kernel fd=0 --user 5:0", "not 0"},
        {"vmm --kernel fd=0 --user nobody", "as numbers"},
        {"vmm --restore fd=0", "a snapshot's memory is needed"},
        {"vmm --incoming", "a snapshot's memory is needed"},
    };
    VmmOptions options;
    VmmError error;
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_assert_cmpint(parse(&options, wrong[i].line, &error), <, 0);
        if (strstr(error.text, wrong[i].why) == NULL)
            g_error("%s: %s", wrong[i].line, error.text);
    }
}

static void test_number_of_devices_is_limited(void)
{
    VmmOptions options;
    VmmError error;
    g_autoptr(GString) line = g_string_new("vmm --kernel fd=0");
    for (int i = 0; i <= VMM_DISKS_MAX; i++)
        g_string_append(line, " --disk fd=0");
    g_assert_cmpint(parse(&options, line->str, &error), ==, -EINVAL);
    g_assert_nonnull(strstr(error.text, "more than 8 disks"));
    g_string_assign(line, "vmm --kernel fd=0 --disk fd=0");
    for (int i = 0; i < VMM_PAIR_FDS_MAX; i++)
        g_string_append(line, ",base-fd=0");
    g_assert_cmpint(parse(&options, line->str, &error), ==, -EINVAL);
    g_assert_nonnull(strstr(error.text, "more than 16 descriptors"));
}

static void test_questions_need_no_machine(void)
{
    VmmOptions options;
    VmmError error;
    g_assert_cmpint(parse(&options, "vmm --version", &error), ==, 0);
    g_assert_true(options.version);
    g_assert_cmpint(parse(&options, "vmm --check --kvm /dev/null", &error), ==, 0);
    g_assert_cmpstr(options.kvm, ==, "/dev/null");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmm/options/defaults", test_defaults);
    g_test_add_func("/vmm/options/everything", test_everything_at_once);
    g_test_add_func("/vmm/options/nonsense", test_nonsense_is_refused_with_a_reason);
    g_test_add_func("/vmm/options/limits", test_number_of_devices_is_limited);
    g_test_add_func("/vmm/options/questions", test_questions_need_no_machine);
    return g_test_run();
}
