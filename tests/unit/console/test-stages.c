/* SPDX-License-Identifier: Apache-2.0 */
#include "console/stages.h"

#include <string.h>

#include "base/error.h"
#include "console/match.h"

/* Writes the story of the events into a string: "kernel init !the kernel panicked ". */
static void tell(const SteadStageEvent *event, gpointer data)
{
    if (event->trouble)
        g_string_append_printf(data, "!%s ", event->trouble);
    else
        g_string_append_printf(data, "%s%s ", event->reboot ? "<reboot> " : "",
                               stead_stage_name(event->stage));
    g_assert_true(g_utf8_validate(event->line, -1, NULL));
}

static char *story_of(const char *bytes, gsize n, gsize step)
{
    g_autoptr(SteadStages) stages = stead_stages_new();
    GString *story = g_string_new(NULL);
    for (gsize at = 0; at < n; at += step)
        stead_stages_feed(stages, bytes + at, MIN(step, n - at), tell, story);
    return g_string_free(story, FALSE);
}

/* The story must be the same however the bytes are cut. */
static void assert_story(const char *bytes, const char *expected)
{
    static const gsize steps[] = {1, 3, 17, 100, 4096, 16384, 1000000};
    for (gsize i = 0; i < G_N_ELEMENTS(steps); i++) {
        g_autofree char *story = story_of(bytes, strlen(bytes), steps[i]);
        g_assert_cmpstr(story, ==, expected);
    }
}

static void assert_story_of_file(const char *name, const char *expected)
{
    g_autofree char *path = g_build_filename(DATA_DIR, name, NULL);
    g_autofree char *bytes = NULL;
    g_autoptr(GError) error = NULL;
    g_file_get_contents(path, &bytes, NULL, &error);
    g_assert_no_error(error);
    assert_story(bytes, expected);
}

static void test_debian_12_recorded(void)
{
    assert_story_of_file("debian-12.log", "firmware bootloader kernel initramfs init network ssh "
                                          "cloud-init login configured ");
}

static void test_ubuntu_24_04(void)
{
    assert_story_of_file("ubuntu-24.04.log", "firmware bootloader kernel initramfs init network "
                                             "ssh login configured ");
}

static void test_root_that_cannot_be_mounted(void)
{
    assert_story_of_file("no-root.log", "firmware bootloader kernel initramfs "
                                        "!the root file system cannot be mounted "
                                        "!the initramfs is in its rescue shell ");
}

static void test_prompt_without_line_end(void)
{
    assert_story("Debian GNU/Linux 12 web ttyS0\r\n\r\nweb login: ", "login ");
    assert_story("\x1b[0mweb-1.lab login: root\r\nPassword: ", "login ");
}

static void test_what_follows_a_prompt(void)
{
    assert_story("web login: [\x1b[0;1;31mFAILED\x1b[0m] Failed to start cloud-final.service\r\n",
                 "login !cloud-init failed ");
}

static void test_what_is_no_prompt(void)
{
    assert_story("Last login: Fri Nov 21 01:00:00 UTC 2026 on ttyS0\r\n", "");
    assert_story("please use the login: prompt\r\n login: x\r\n", "");
}

static void test_stages_only_go_forward(void)
{
    assert_story("web login: \r\n[  OK  ] Started ssh.service - OpenBSD Secure Shell server.\r\n"
                 "[    0.000000] Linux version 6.1\r\n",
                 "login ");
}

static void test_reboot_of_the_guest(void)
{
    assert_story("Welcome to GRUB!\r\n[    0.000000] Linux version 6.1\r\nweb login: \r\n"
                 "[ 99.0] Kernel panic - not syncing: oops\r\n"
                 "\x1b[2J\x1b[01;01HBdsDxe: loading Boot0001\r\nWelcome to GRUB!\r\n"
                 "[    0.000000] Linux version 6.1\r\n"
                 "[ 98.0] Kernel panic - not syncing: oops again\r\n",
                 "bootloader kernel login !the kernel panicked <reboot> firmware bootloader kernel "
                 "!the kernel panicked ");
}

static void test_words_inside_a_message_do_not_count(void)
{
    assert_story("echo Kernel panic - not syncing: no\r\nI said Welcome to Debian!\r\n"
                 "user: Run /init as init process\r\n",
                 "");
}

static void test_each_trouble_once(void)
{
    assert_story("Failed to start cloud-init.service\r\n[FAILED] Failed to start cloud-final."
                 "service - Execute cloud user/final scripts.\r\n",
                 "!cloud-init failed ");
}

static void test_troubles(void)
{
    static const struct {
        const char *bytes, *story;
    } cases[] = {
        {"BdsDxe: No bootable option or device was found.\r\n",
         "!the firmware found no bootable device "},
        {"No bootable device.\n", "!the firmware found no bootable device "},
        {"error: no such partition.\r\nEntering rescue mode...\r\ngrub rescue> ",
         "!the boot loader is in its rescue shell "},
        {"[    2.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"
         "\r\n",
         "!the kernel panicked "},
        {"ALERT!  UUID=1234 does not exist.  Dropping to a shell!\r\n",
         "!the root file system was not found "},
        {"You are in emergency mode. After logging in, type \"journalctl -xb\"",
         ""}, /* not before its line is whole */
        {"You are in emergency mode. After logging in\r\n", "!the system is in emergency mode "},
        {"[\x1b[0;1;31mFAILED\x1b[0m] Failed to start \x1b[0;1;39mcloud-final.service\x1b[0m\r\n",
         "!cloud-init failed "},
        {"[   70.2] Out of memory: Killed process 700 (java) total-vm:1kB\n",
         "!the guest ran out of memory "},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        assert_story(cases[i].bytes, cases[i].story);
}

static void test_trouble_keeps_the_stage(void)
{
    g_autoptr(SteadStages) stages = stead_stages_new();
    const char bytes[] = "[    0.0] Linux version 6\n[   1.5] Kernel panic - not syncing: died\n";
    g_autoptr(GString) story = g_string_new(NULL);
    stead_stages_feed(stages, bytes, strlen(bytes), tell, story);
    g_assert_cmpint(stead_stages_current(stages), ==, STEAD_STAGE_KERNEL);
    stead_stages_reset(stages);
    g_assert_cmpint(stead_stages_current(stages), ==, STEAD_STAGE_NONE);
}

static void test_names_and_fractions(void)
{
    double last = -1;
    for (SteadStage stage = 0; stage < STEAD_N_STAGES; stage++) {
        g_assert_cmpint(stead_stage_from_name(stead_stage_name(stage)), ==, stage);
        g_assert_cmpfloat(stead_stage_fraction(stage), >, last);
        last = stead_stage_fraction(stage);
    }
    g_assert_cmpfloat(last, ==, 1.0);
    g_assert_cmpint(stead_stage_from_name("nonsense"), ==, -1);
}

static void test_hostile_bytes(void)
{
    g_autoptr(SteadStages) stages = stead_stages_new();
    g_autoptr(GString) story = g_string_new(NULL);
    for (int i = 0; i < 5000; i++) {
        char bytes[256];
        for (gsize j = 0; j < sizeof bytes; j++)
            bytes[j] = (char)g_test_rand_int_range(0, 256);
        if (i % 7 == 0)
            memcpy(bytes + 10, "\n[[[ OK [FAILED", 15);
        stead_stages_feed(stages, bytes, sizeof bytes, tell, story);
    }
}

static gboolean matches(const char *pattern, const char *bytes)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadMatch) match = stead_match_new(pattern, &error);
    g_assert_no_error(error);
    return stead_match_feed(match, bytes, strlen(bytes));
}

static void test_pattern_finds_a_line(void)
{
    g_assert_true(matches("^ready: \\d+$", "not yet\r\n\x1b[1mready: 42\x1b[0m\r\nmore"));
    g_assert_true(matches("login: $", "web login: "));
    g_assert_false(matches("^ready$", "ready now\nnot ready\n"));
}

static void test_pattern_over_cuts(void)
{
    g_autoptr(SteadMatch) match = stead_match_new("service up", NULL);
    g_assert_false(stead_match_feed(match, "the serv", 8));
    g_assert_true(stead_match_feed(match, "ice up", 6));
    g_assert_cmpstr(stead_match_line(match), ==, "the service up");
    g_assert_true(stead_match_feed(match, "\nnever mind\n", 12));
}

static void test_wrong_pattern(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(stead_match_new("ready (", &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    g_assert_null(strstr(error->message, "LIMIT"));
    g_clear_error(&error);
    g_autofree char *endless = g_strnfill(STEAD_MATCH_PATTERN_MAX + 1, 'a');
    g_assert_null(stead_match_new(endless, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
}

static void test_hostile_pattern_is_given_up(void)
{
    g_autoptr(SteadMatch) match = stead_match_new("^(a+)+$", NULL);
    g_autofree char *line = g_strnfill(4000, 'a');
    line[3998] = 'b';
    line[3999] = '\n';
    gint64 start = g_get_monotonic_time();
    for (int i = 0; i < 1000; i++)
        g_assert_false(stead_match_feed(match, line, 4000));
    g_assert_true(stead_match_is_given_up(match));
    g_assert_cmpint(g_get_monotonic_time() - start, <, 10 * G_USEC_PER_SEC);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/stages/debian-12-recorded", test_debian_12_recorded);
    g_test_add_func("/stages/ubuntu-24.04", test_ubuntu_24_04);
    g_test_add_func("/stages/root-that-cannot-be-mounted", test_root_that_cannot_be_mounted);
    g_test_add_func("/stages/prompt-without-line-end", test_prompt_without_line_end);
    g_test_add_func("/stages/what-follows-a-prompt", test_what_follows_a_prompt);
    g_test_add_func("/stages/what-is-no-prompt", test_what_is_no_prompt);
    g_test_add_func("/stages/only-go-forward", test_stages_only_go_forward);
    g_test_add_func("/stages/reboot-of-the-guest", test_reboot_of_the_guest);
    g_test_add_func("/stages/words-inside-a-message", test_words_inside_a_message_do_not_count);
    g_test_add_func("/stages/each-trouble-once", test_each_trouble_once);
    g_test_add_func("/stages/troubles", test_troubles);
    g_test_add_func("/stages/trouble-keeps-the-stage", test_trouble_keeps_the_stage);
    g_test_add_func("/stages/names-and-fractions", test_names_and_fractions);
    g_test_add_func("/stages/hostile-bytes", test_hostile_bytes);
    g_test_add_func("/match/finds-a-line", test_pattern_finds_a_line);
    g_test_add_func("/match/over-cuts", test_pattern_over_cuts);
    g_test_add_func("/match/wrong-pattern", test_wrong_pattern);
    g_test_add_func("/match/hostile-pattern-is-given-up", test_hostile_pattern_is_given_up);
    return g_test_run();
}
