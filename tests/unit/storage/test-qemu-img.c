/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/qemu_img.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/paths.h"
#include "base/subprocess.h"

static void test_answer_is_read(void)
{
    g_autoptr(SteadDiskFile) file = stead_disk_file_parse(
        "{\"virtual-size\": 2147483648, \"filename\": \"/a\", \"format\": \"qcow2\","
        " \"actual-size\": 200704, \"backing-filename\": \"b\","
        " \"full-backing-filename\": \"/img/b\"}",
        NULL);
    g_assert_cmpstr(file->format, ==, "qcow2");
    g_assert_cmpstr(file->backing, ==, "/img/b");
    g_assert_cmpuint(file->virtual_size, ==, 2147483648u);
    g_assert_cmpuint(file->actual_size, ==, 200704);
}

static void test_odd_answers_are_refused(void)
{
    const char *const odd[] = {"", "[]", "{}", "{\"format\": 3}", "{\"format\"", "null"};
    for (gsize i = 0; i < G_N_ELEMENTS(odd); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(stead_disk_file_parse(odd[i], &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INTERNAL);
    }
    g_autoptr(SteadDiskFile) file =
        stead_disk_file_parse("{\"format\": \"raw\", \"virtual-size\": -1}", NULL);
    g_assert_cmpuint(file->virtual_size, ==, 0);
}

static void test_progress_is_read(void)
{
    g_assert_cmpfloat(fabs(stead_disk_file_progress("    (12.50/100%)") - 0.125), <, 1e-9);
    g_assert_cmpfloat(stead_disk_file_progress("    (100.00/100%)"), ==, 1);
    g_assert_cmpfloat(stead_disk_file_progress("hello (world)"), ==, -1);
    g_assert_cmpfloat(stead_disk_file_progress(""), ==, -1);
}

static void note_progress(const char *stage, double fraction, gpointer data)
{
    *(double *)data = fraction;
}

static void test_image_is_copied(void)
{
    if (!stead_find_program("qemu-img", NULL)) {
        g_test_skip("qemu-img is not installed");
        return;
    }
    g_autofree char *top = g_dir_make_tmp("stead-qemu-img-XXXXXX", NULL);
    g_autofree char *raw = g_build_filename(top, "raw", NULL);
    g_autofree char *image = g_build_filename(top, "image", NULL);
    g_autofree char *device = g_build_filename(top, "device", NULL);
    g_autofree char *content = g_strnfill(1 << 20, 'x');
    const char *const convert[] = {"qemu-img", "convert", "-f",  "raw", "-O",
                                   "qcow2",    raw,       image, NULL};
    g_autoptr(GError) error = NULL;
    double fraction = 0;
    g_assert_true(stead_write_file(raw, content, -1, 0600, NULL));
    g_assert_true(stead_write_file(device, "", 0, 0600, NULL));
    g_assert_cmpint(truncate(device, 2 << 20), ==, 0);
    g_assert_true(stead_run(convert, NULL, NULL, NULL, NULL));
    stead_disk_file_copy(image, "qcow2", device, note_progress, &fraction, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(SteadDiskFile) file = stead_disk_file_info(image, NULL, &error);
    g_assert_no_error(error);
    g_autofree char *copy = NULL;
    gsize length;
    g_assert_true(g_file_get_contents(device, &copy, &length, NULL));
    g_assert_true(stead_remove_tree(top, NULL));
    g_assert_cmpfloat(fraction, ==, 1);
    g_assert_cmpstr(file->format, ==, "qcow2");
    g_assert_cmpuint(file->virtual_size, ==, 1 << 20);
    g_assert_cmpuint(length, ==, 2 << 20);
    g_assert_cmpmem(copy, 1 << 20, content, 1 << 20);
}

static void test_what_is_no_image(void)
{
    if (!stead_find_program("qemu-img", NULL)) {
        g_test_skip("qemu-img is not installed");
        return;
    }
    g_autofree char *top = g_dir_make_tmp("stead-qemu-img-XXXXXX", NULL);
    g_autofree char *text = g_build_filename(top, "text", NULL);
    g_autofree char *none = g_build_filename(top, "none", NULL);
    g_autoptr(GError) invalid = NULL;
    g_autoptr(GError) absent = NULL;
    g_assert_true(stead_write_file(text, "text", -1, 0600, NULL));
    g_assert_null(stead_disk_file_info(text, "qcow2", &invalid));
    g_assert_null(stead_disk_file_info(none, NULL, &absent));
    g_assert_true(stead_remove_tree(top, NULL));
    g_assert_error(invalid, STEAD_ERROR, STEAD_ERROR_INVALID);
    g_assert_error(absent, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qemu-img/answer-is-read", test_answer_is_read);
    g_test_add_func("/qemu-img/odd-answers-are-refused", test_odd_answers_are_refused);
    g_test_add_func("/qemu-img/progress-is-read", test_progress_is_read);
    g_test_add_func("/qemu-img/image-is-copied", test_image_is_copied);
    g_test_add_func("/qemu-img/what-is-no-image", test_what_is_no_image);
    return g_test_run();
}
