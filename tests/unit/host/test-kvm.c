/* SPDX-License-Identifier: Apache-2.0 */
/* The probe program is played by scripts that count how often they were run. */
#include "host/kvm.h"

#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"
#include "base/paths.h"

#define USABLE "{\"status\":\"usable\",\"step\":null,\"detail\":\"\",\"slowdown\":1.02}"
#define UNUSABLE                                                                                   \
    "{\"status\":\"unusable\",\"step\":\"lock cmpxchg16b\",\"detail\":\"cannot execute\","         \
    "\"slowdown\":900}"

typedef struct {
    char *folder;
    char *program;
    char *cache;
} Fixture;

static void set_up(Fixture *f, gconstpointer unused)
{
    f->folder = g_dir_make_tmp("stead-kvm-XXXXXX", NULL);
    f->program = g_build_filename(f->folder, "probe", NULL);
    f->cache = g_build_filename(f->folder, "kvm.cache", NULL);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    if (g_getenv("STEAD_KVM"))
        g_unsetenv("STEAD_KVM");
    g_assert_true(stead_remove_tree(f->folder, NULL));
    g_free(f->folder);
    g_free(f->program);
    g_free(f->cache);
}

static void write_program(Fixture *f, const char *answer)
{
    g_autofree char *script = g_strdup_printf(
        "#!/bin/sh\necho x >> '%s/runs'\nprintf '%%s\\n' '%s'\n", f->folder, answer);
    g_assert_true(g_file_set_contents(f->program, script, -1, NULL));
    g_assert_cmpint(g_chmod(f->program, 0755), ==, 0);
}

static gsize runs(Fixture *f)
{
    g_autofree char *path = g_build_filename(f->folder, "runs", NULL);
    gsize length = 0;
    g_autofree char *text = NULL;
    g_file_get_contents(path, &text, &length, NULL);
    return length / 2;
}

static SteadKvmStatus ask(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadKvm) kvm = stead_kvm_probe(f->program, f->cache, NULL, &error);
    g_assert_no_error(error);
    return kvm->status;
}

static void test_parse_usable(void)
{
    g_autoptr(SteadKvm) kvm = stead_kvm_parse(USABLE "\n", NULL);
    g_assert_cmpint(kvm->status, ==, STEAD_KVM_USABLE);
    g_assert_null(kvm->step);
    g_assert_cmpstr(kvm->detail, ==, "");
    g_assert_cmpfloat(kvm->slowdown, ==, 1.02);
}

static void test_describe_names_the_instruction(void)
{
    g_autoptr(SteadKvm) kvm = stead_kvm_parse(UNUSABLE, NULL);
    g_autofree char *text = stead_kvm_describe(kvm);
    g_assert_cmpstr(text, ==, "unusable: lock cmpxchg16b: cannot execute");
}

static void test_statuses_round_trip(void)
{
    for (int i = 0; i < STEAD_KVM_N_STATUSES; i++) {
        g_autofree char *json =
            g_strdup_printf("{\"status\":\"%s\"}", stead_kvm_status_name((SteadKvmStatus)i));
        g_autoptr(SteadKvm) kvm = stead_kvm_parse(json, NULL);
        g_assert_cmpint(kvm->status, ==, i);
    }
}

static void test_parse_refuses_what_is_no_answer(void)
{
    static const char *const outputs[] = {"",
                                          "usable",
                                          "[]",
                                          "null",
                                          "{\"status\":1}",
                                          "{\"status\":\"good\"}",
                                          "{}{}",
                                          "{}",
                                          "{\"status\":",
                                          "{\"status\":[\"usable\"]}",
                                          "\xff\xfe"};
    for (gsize i = 0; i < G_N_ELEMENTS(outputs); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(stead_kvm_parse(outputs[i], &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INTERNAL);
    }
}

static void test_parse_refuses_too_much(void)
{
    g_autofree char *deep = g_strnfill(STEAD_KVM_OUTPUT_MAX + 1, '[');
    g_assert_null(stead_kvm_parse(deep, NULL));
    deep[STEAD_KVM_OUTPUT_MAX] = '\0';
    g_assert_null(stead_kvm_parse(deep, NULL));
}

static void test_parse_tames_texts_and_numbers(void)
{
    g_autofree char *fill = g_strnfill(STEAD_KVM_TEXT_MAX + 50, 'x');
    g_autofree char *json =
        g_strdup_printf("{\"status\":\"unusable\",\"step\":\"a\\nb\\u001b[2J\",\"detail\":\"%s\","
                        "\"slowdown\":-3}",
                        fill);
    g_autoptr(SteadKvm) kvm = stead_kvm_parse(json, NULL);
    g_assert_cmpstr(kvm->step, ==, "a b [2J");
    g_assert_cmpuint(strlen(kvm->detail), ==, STEAD_KVM_TEXT_MAX);
    g_assert_cmpfloat(kvm->slowdown, ==, 0);
}

static void test_parse_of_wrong_types(void)
{
    g_autoptr(SteadKvm) kvm =
        stead_kvm_parse("{\"status\":\"absent\",\"step\":7,\"detail\":{},\"slowdown\":[]}", NULL);
    g_assert_null(kvm->step);
    g_assert_cmpstr(kvm->detail, ==, "");
    g_assert_cmpfloat(kvm->slowdown, ==, 0);
}

static void test_answer_is_kept(Fixture *f, gconstpointer answer)
{
    write_program(f, answer);
    SteadKvmStatus first = ask(f);
    g_assert_cmpint(ask(f), ==, first);
    g_assert_cmpuint(runs(f), ==, 1);
}

static void test_no_device_is_not_kept(Fixture *f, gconstpointer unused)
{
    write_program(f, "{\"status\":\"absent\"}");
    g_assert_cmpint(ask(f), ==, STEAD_KVM_ABSENT);
    g_assert_cmpint(ask(f), ==, STEAD_KVM_ABSENT);
    g_assert_cmpuint(runs(f), ==, 2);
}

static void test_new_program_is_asked_anew(Fixture *f, gconstpointer unused)
{
    write_program(f, UNUSABLE);
    g_assert_cmpint(ask(f), ==, STEAD_KVM_UNUSABLE);
    write_program(f, USABLE);
    g_assert_cmpint(ask(f), ==, STEAD_KVM_USABLE);
}

/* Replaces line `number` of the cache file. */
static void edit_cache(Fixture *f, guint number, const char *line)
{
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(f->cache, &text, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(text, "\n", 4);
    g_free(lines[number]);
    lines[number] = g_strdup(line);
    g_autofree char *joined = g_strjoinv("\n", lines);
    g_assert_true(g_file_set_contents(f->cache, joined, -1, NULL));
}

static void test_other_boot_is_asked_anew(Fixture *f, gconstpointer unused)
{
    write_program(f, USABLE);
    ask(f);
    edit_cache(f, 1, "another boot");
    ask(f);
    g_assert_cmpuint(runs(f), ==, 2);
}

static void test_old_bad_answer_is_asked_anew(Fixture *f, gconstpointer unused)
{
    write_program(f, UNUSABLE);
    ask(f);
    edit_cache(f, 2, "1000");
    ask(f);
    g_assert_cmpuint(runs(f), ==, 2);
}

static void test_old_good_answer_holds(Fixture *f, gconstpointer unused)
{
    write_program(f, USABLE);
    ask(f);
    edit_cache(f, 2, "1000");
    ask(f);
    g_assert_cmpuint(runs(f), ==, 1);
}

static void test_spoilt_cache_is_ignored(Fixture *f, gconstpointer unused)
{
    static const char *const spoilt[] = {"", "\n\n\n\n", "stead-kvm 1\n", "{}"};
    write_program(f, USABLE);
    for (gsize i = 0; i < G_N_ELEMENTS(spoilt); i++) {
        g_assert_true(g_file_set_contents(f->cache, spoilt[i], -1, NULL));
        g_assert_cmpint(ask(f), ==, STEAD_KVM_USABLE);
    }
    g_assert_cmpuint(runs(f), ==, G_N_ELEMENTS(spoilt));
    edit_cache(f, 3, "{\"status\":\"wonderful\"}");
    g_assert_cmpint(ask(f), ==, STEAD_KVM_USABLE);
}

static void test_cache_that_cannot_be_written_is_no_error(Fixture *f, gconstpointer unused)
{
    write_program(f, USABLE);
    g_autofree char *cache = g_build_filename(f->folder, "none", "there", NULL);
    g_autoptr(SteadKvm) kvm = stead_kvm_probe(f->program, cache, NULL, NULL);
    g_assert_nonnull(kvm);
}

static void test_switched_off(Fixture *f, gconstpointer unused)
{
    write_program(f, USABLE);
    g_setenv("STEAD_KVM", "off", TRUE);
    g_assert_cmpint(ask(f), ==, STEAD_KVM_ABSENT);
    g_assert_cmpuint(runs(f), ==, 0);
}

static void test_forced_probe(Fixture *f, gconstpointer unused)
{
    write_program(f, USABLE);
    g_setenv("STEAD_KVM", "probe", TRUE);
    ask(f);
    ask(f);
    g_assert_cmpuint(runs(f), ==, 2);
}

static void test_unknown_switch_is_refused(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_setenv("STEAD_KVM", "maybe", TRUE);
    g_assert_null(stead_kvm_probe(f->program, NULL, NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
}

static void test_missing_program(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(stead_kvm_probe(f->program, NULL, NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_MISSING);
}

static void test_failing_program(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(stead_kvm_probe("false", f->cache, NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INTERNAL);
    g_assert_false(g_file_test(f->cache, G_FILE_TEST_EXISTS));
}

static void test_real_program_answers(Fixture *f, gconstpointer unused)
{
    const char *program = g_getenv("STEAD_KVM_PROBE");
    if (program == NULL) {
        g_test_skip("STEAD_KVM_PROBE does not name the program");
        return;
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadKvm) kvm = stead_kvm_probe(program, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_true((kvm->status == STEAD_KVM_USABLE) == (kvm->step == NULL));
}

#define ADD(name, data, function)                                                                  \
    g_test_add("/kvm/" name, Fixture, data, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_unsetenv("STEAD_KVM");
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kvm/parse-usable", test_parse_usable);
    g_test_add_func("/kvm/describe", test_describe_names_the_instruction);
    g_test_add_func("/kvm/statuses", test_statuses_round_trip);
    g_test_add_func("/kvm/parse-no-answer", test_parse_refuses_what_is_no_answer);
    g_test_add_func("/kvm/parse-too-much", test_parse_refuses_too_much);
    g_test_add_func("/kvm/parse-texts", test_parse_tames_texts_and_numbers);
    g_test_add_func("/kvm/parse-types", test_parse_of_wrong_types);
    ADD("usable-is-kept", USABLE, test_answer_is_kept);
    ADD("unusable-is-kept", UNUSABLE, test_answer_is_kept);
    ADD("absent-is-not-kept", NULL, test_no_device_is_not_kept);
    ADD("new-program", NULL, test_new_program_is_asked_anew);
    ADD("other-boot", NULL, test_other_boot_is_asked_anew);
    ADD("old-bad-answer", NULL, test_old_bad_answer_is_asked_anew);
    ADD("old-good-answer", NULL, test_old_good_answer_holds);
    ADD("spoilt-cache", NULL, test_spoilt_cache_is_ignored);
    ADD("unwritable-cache", NULL, test_cache_that_cannot_be_written_is_no_error);
    ADD("off", NULL, test_switched_off);
    ADD("forced", NULL, test_forced_probe);
    ADD("unknown-switch", NULL, test_unknown_switch_is_refused);
    ADD("missing-program", NULL, test_missing_program);
    ADD("failing-program", NULL, test_failing_program);
    ADD("real-program", NULL, test_real_program_answers);
    return g_test_run();
}
