/* SPDX-License-Identifier: Apache-2.0 */
/* What the probe makes of a guest's end, and how it reports it; no device is needed. */
#include <glib.h>
#include <string.h>

#include "vmm/probe/guest.h"
#include "vmm/probe/report.h"
#include "vmm/probe/steps.h"

static char *print(const ProbeReport *report)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    g_assert_cmpint(probe_report_print(report, out), ==, 0);
    fclose(out);
    char *copy = g_strdup(text);
    free(text);
    return copy;
}

static int index_of(const char *name)
{
    for (size_t i = 0; i < probe_n_steps; i++)
        if (strcmp(probe_steps[i].name, name) == 0)
            return (int)i;
    g_assert_not_reached();
}

static void test_step_names_are_unique(void)
{
    for (size_t i = 0; i < probe_n_steps; i++)
        g_assert_cmpint(index_of(probe_steps[i].name), ==, i);
}

static void test_step_has_one_way_to_run(void)
{
    for (size_t i = 0; i < probe_n_steps; i++)
        g_assert_true((probe_steps[i].host == NULL) != (probe_steps[i].entry == NULL));
}

static void test_guest_fits_its_place(void)
{
    g_assert_cmpint(probe_guest_end - probe_guest_start, <=, PROBE_CODE_MAX);
    for (size_t i = 0; i < probe_n_steps; i++) {
        if (probe_steps[i].entry == NULL)
            continue;
        g_assert_true(probe_steps[i].entry >= probe_guest_start);
        g_assert_true(probe_steps[i].entry < probe_guest_end);
    }
}

/* The interrupt table is filled on the assumption that all stubs have one size. */
static void test_stubs_have_their_size(void)
{
    for (int i = 0; i < PROBE_VECTORS; i++) {
        const uint8_t *stub = probe_stubs + i * PROBE_STUB_SIZE;
        g_assert_cmphex(stub[0], ==, 0x6a); /* push imm8 */
        g_assert_cmpint(stub[1], ==, i);
    }
}

static ProbeVerdict judge(ProbeEnd end, char *detail)
{
    return probe_judge(&end, 250, detail);
}

static void test_answers(void)
{
    char detail[PROBE_DETAIL_MAX] = "";
    g_assert_cmpint(judge((ProbeEnd){.answer = PROBE_PASS}, detail), ==, PROBE_PASSED);
    g_assert_cmpint(judge((ProbeEnd){.answer = PROBE_SKIP}, detail), ==, PROBE_SKIPPED);
    g_assert_cmpstr(detail, ==, "");
    g_assert_cmpint(judge((ProbeEnd){.answer = PROBE_FAIL}, detail), ==, PROBE_FAILED);
    g_assert_cmpstr(detail, ==, "the guest computed a wrong result");
    g_assert_cmpint(judge((ProbeEnd){.answer = 0xffffffff}, detail), ==, PROBE_FAILED);
}

static void test_every_bad_end_is_explained(void)
{
    for (int kind = PROBE_END_FAULT; kind <= PROBE_END_ERROR; kind++) {
        char detail[PROBE_DETAIL_MAX] = "";
        g_assert_cmpint(judge((ProbeEnd){.kind = (ProbeEndKind)kind}, detail), ==, PROBE_FAILED);
        g_assert_cmpstr(detail, !=, "");
    }
}

static void test_speed(void)
{
    char detail[PROBE_DETAIL_MAX] = "";
    g_assert_cmpint(probe_judge_speed(1.0, detail), ==, PROBE_PASSED);
    g_assert_cmpint(probe_judge_speed(PROBE_SLOWDOWN_MAX, detail), ==, PROBE_PASSED);
    g_assert_cmpint(probe_judge_speed(900, detail), ==, PROBE_FAILED);
    g_assert_nonnull(strstr(detail, "900 times slower"));
}

static void test_report_of_a_usable_one(void)
{
    ProbeReport report = {.status = PROBE_USABLE,
                          .is_done = true,
                          .loop_ms = 1.5,
                          .host_loop_ms = 1.25,
                          .slowdown = 1.2};
    g_autofree char *text = print(&report);
    g_assert_cmpstr(text, ==,
                    "{\"status\":\"usable\",\"step\":null,\"detail\":\"\",\"failed\":[],"
                    "\"loop_ms\":1.500,\"host_loop_ms\":1.250,\"slowdown\":1.200}\n");
}

static void test_report_escapes(void)
{
    ProbeReport report = {.status = PROBE_UNUSABLE, .has_failed = true, .failed = index_of("int3")};
    report.is_failed[report.failed] = true;
    g_strlcpy(report.detail, "a \"b\" \\ \n\xc3", sizeof report.detail);
    g_autofree char *text = print(&report);
    g_assert_cmpstr(text, ==,
                    "{\"status\":\"unusable\",\"step\":\"int3\",\"detail\":"
                    "\"a \\\"b\\\" \\\\ \\u000a\\u00c3\",\"failed\":[\"int3\"],"
                    "\"loop_ms\":null,\"host_loop_ms\":null,\"slowdown\":null}\n");
}

static void test_giving_up_names_the_step_under_way(void)
{
    ProbeReport report = {.current = index_of("hlt")};
    probe_report_give_up(&report, "KVM did not come back from it");
    g_assert_cmpint(report.status, ==, PROBE_UNUSABLE);
    g_assert_cmpstr(probe_step_name(report.failed), ==, "hlt");
    g_assert_cmpstr(report.detail, ==, "KVM did not come back from it");
}

static void test_giving_up_keeps_the_first_failure(void)
{
    ProbeReport report = {.current = index_of("hlt"),
                          .has_failed = true,
                          .failed = index_of("int3"),
                          .detail = "first"};
    probe_report_give_up(&report, "second");
    g_assert_cmpstr(probe_step_name(report.failed), ==, "int3");
    g_assert_cmpstr(report.detail, ==, "first");
}

static void test_giving_up_on_nonsense(void)
{
    ProbeReport report = {.current = 1000000};
    probe_report_give_up(&report, "died");
    g_assert_cmpint(report.failed, ==, 0);
}

static void test_device_that_is_absent(void)
{
    ProbeReport report = {0};
    probe_run_steps("/nonexistent/kvm", &report);
    g_assert_true(report.is_done);
    g_assert_cmpint(report.status, ==, PROBE_ABSENT);
}

static void test_device_that_is_something_else(void)
{
    ProbeReport report = {0};
    probe_run_steps("/dev/null", &report);
    g_assert_cmpint(report.status, ==, PROBE_UNUSABLE);
    g_assert_cmpstr(probe_step_name(report.failed), ==, "API version");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/probe/step-names", test_step_names_are_unique);
    g_test_add_func("/probe/step-ways", test_step_has_one_way_to_run);
    g_test_add_func("/probe/guest-fits", test_guest_fits_its_place);
    g_test_add_func("/probe/stubs", test_stubs_have_their_size);
    g_test_add_func("/probe/answers", test_answers);
    g_test_add_func("/probe/bad-ends", test_every_bad_end_is_explained);
    g_test_add_func("/probe/speed", test_speed);
    g_test_add_func("/probe/report-usable", test_report_of_a_usable_one);
    g_test_add_func("/probe/report-escapes", test_report_escapes);
    g_test_add_func("/probe/give-up", test_giving_up_names_the_step_under_way);
    g_test_add_func("/probe/give-up-later", test_giving_up_keeps_the_first_failure);
    g_test_add_func("/probe/give-up-nonsense", test_giving_up_on_nonsense);
    g_test_add_func("/probe/absent", test_device_that_is_absent);
    g_test_add_func("/probe/not-kvm", test_device_that_is_something_else);
    return g_test_run();
}
