/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/disk_name.h"

#define ID "1a2b3c4d-0000-4000-8000-000000000000"

static void test_stems(void)
{
    g_autofree char *root = stead_disk_stem("web", ID, 0);
    g_autofree char *second = stead_disk_stem("web", ID, 2);
    g_assert_cmpstr(root, ==, "web-1a2b3c4d");
    g_assert_cmpstr(second, ==, "web-1a2b3c4d-disk2");
}

static void test_id_is_found(void)
{
    const struct {
        const char *volume;
        const char *id;
    } cases[] = {
        {"web-1a2b3c4d.qcow2", "1a2b3c4d"},
        {"web-1a2b3c4d", "1a2b3c4d"},
        {"web-1a2b3c4d-disk1.qcow2", "1a2b3c4d"},
        {"web-1a2b3c4d-disk12", "1a2b3c4d"},
        {"web-1a2b3c4d.s1.qcow2", "1a2b3c4d"},
        {"web-deadbeef-1a2b3c4d.qcow2", "1a2b3c4d"},
        {"web-disk1-1a2b3c4d.qcow2", "1a2b3c4d"},
        {"a-b-c-1a2b3c4d.qcow2", "1a2b3c4d"},
        {"web.qcow2", NULL},
        {"web-1A2B3C4D.qcow2", NULL},
        {"web-1a2b3c4.qcow2", NULL},
        {"web-1a2b3c4de.qcow2", NULL},
        {"-1a2b3c4d.qcow2", NULL},
        {"1a2b3c4d.qcow2", NULL},
        {"debian-12-disk.qcow2", NULL},
        {"lost+found", NULL},
        {".", NULL},
        {"", NULL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *id = stead_disk_name_id(cases[i].volume);
        g_assert_cmpstr(id, ==, cases[i].id);
    }
}

static void test_names_are_told_apart(void)
{
    g_assert_true(stead_disk_name_is_of("web-1a2b3c4d.qcow2", ID));
    g_assert_true(stead_disk_name_is_of("web-1a2b3c4d-disk1.qcow2", ID));
    g_assert_true(stead_disk_name_is_of("web-1a2b3c4d.s1.qcow2", ID));
    g_assert_false(stead_disk_name_is_of("web-1a2b3c4e.qcow2", ID));
    g_assert_true(stead_disk_name_is_of("old-web-1a2b3c4d.qcow2", ID));
    g_assert_false(stead_disk_name_is_of("web-1a2b3c4d-deadbeef.qcow2", ID));
    g_assert_false(stead_disk_name_is_of("web.qcow2", ID));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/disk-name/stems", test_stems);
    g_test_add_func("/disk-name/id-is-found", test_id_is_found);
    g_test_add_func("/disk-name/names-are-told-apart", test_names_are_told_apart);
    return g_test_run();
}
