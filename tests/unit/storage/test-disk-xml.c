/* SPDX-License-Identifier: Apache-2.0 */
/* Golden files: run with STEAD_GOLDEN_UPDATE=1 to rewrite them. */
#include "storage/disk_xml.h"

#define GIB (G_GUINT64_CONSTANT(1) << 30)

static void assert_golden(const char *name, const char *xml)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(g_getenv("STEAD_GOLDEN_DIR"), name, NULL);
    g_autofree char *expected = NULL;
    if (g_getenv("STEAD_GOLDEN_UPDATE"))
        g_assert_true(g_file_set_contents(path, xml, -1, NULL));
    g_file_get_contents(path, &expected, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(xml, ==, expected);
}

static void test_blank_file(void)
{
    g_autofree char *xml = stead_disk_xml("data-1a2b3c4d.qcow2", 5 * GIB, TRUE, NULL);
    assert_golden("blank.xml", xml);
}

static void test_clone(void)
{
    const SteadDiskImage image = {"/images/<a&b>.qcow2", "qcow2", 2 * GIB};
    g_autofree char *xml = stead_disk_xml("web-1a2b3c4d.qcow2", 20 * GIB, TRUE, &image);
    assert_golden("clone.xml", xml);
}

static void test_device(void)
{
    const SteadDiskImage image = {"/images/a.qcow2", "qcow2", 2 * GIB};
    g_autofree char *xml = stead_disk_xml("web-1a2b3c4d", 20 * GIB, FALSE, &image);
    assert_golden("device.xml", xml);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/disk-xml/blank-file", test_blank_file);
    g_test_add_func("/disk-xml/clone", test_clone);
    g_test_add_func("/disk-xml/device", test_device);
    return g_test_run();
}
