/* SPDX-License-Identifier: Apache-2.0 */
/* Whom engines run as. */
#include <pwd.h>

#include "runtime/microvm/engine_user.h"

#define FIRST 1879048192U /* what nobody hands out */
#define LAST 2147352575U
#define INSTANCES 2000
#define NOBODY 65534

/* It is the same in every version: an instance that runs keeps its user when the daemon changes. */
static void test_number_follows_from_the_id(void)
{
    g_assert_cmpuint(stead_engine_user_number("6c3a4e1e-7d5c-4a3f-9c1d-0123456789ab"), ==,
                     2082497200U);
}

static void test_instances_have_numbers_of_their_own(void)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    for (guint i = 0; i < INSTANCES; i++) {
        g_autofree char *id = g_strdup_printf("%08x-7d5c-4a3f-9c1d-0123456789ab", i);
        guint32 number = stead_engine_user_number(id);
        g_assert_cmpuint(number, >=, FIRST);
        g_assert_cmpuint(number, <=, LAST);
        g_assert_true(g_hash_table_add(seen, GUINT_TO_POINTER(number)));
    }
}

static void test_only_who_is_jailed_has_one(void)
{
    static const char id[] = "6c3a4e1e-7d5c-4a3f-9c1d-0123456789ab";
    g_autofree char *map = NULL;
    const struct passwd *shared = getpwnam("libvirt-qemu");
    uid_t uid = shared ? shared->pw_uid : NOBODY;
    g_assert_cmpuint(stead_engine_user(&stead_qemu_program, id).uid, ==, uid);
    g_assert_true(g_file_get_contents("/proc/self/uid_map", &map, NULL, NULL));
    if (stead_engine_user_is_mapped(map, stead_engine_user_number(id)))
        uid = stead_engine_user_number(id);
    g_assert_cmpuint(stead_engine_user(&stead_vmm_program, id).uid, ==, uid);
}

static void test_namespaces_have_the_numbers_that_they_map(void)
{
    static const char all[] = "         0          0 4294967295\n";
    static const char some[] = "0 100000 65536\n70000 500000 10\n";
    g_assert_true(stead_engine_user_is_mapped(all, LAST));
    g_assert_true(stead_engine_user_is_mapped(some, 0));
    g_assert_true(stead_engine_user_is_mapped(some, 65535));
    g_assert_true(stead_engine_user_is_mapped(some, 70009));
    g_assert_false(stead_engine_user_is_mapped(some, 65536));
    g_assert_false(stead_engine_user_is_mapped(some, 70010));
    g_assert_false(stead_engine_user_is_mapped(some, LAST));
    g_assert_false(stead_engine_user_is_mapped("", 0));
    g_assert_false(stead_engine_user_is_mapped("no numbers\n", 0));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/runtime/engine-user/number", test_number_follows_from_the_id);
    g_test_add_func("/runtime/engine-user/own", test_instances_have_numbers_of_their_own);
    g_test_add_func("/runtime/engine-user/program", test_only_who_is_jailed_has_one);
    g_test_add_func("/runtime/engine-user/namespaces",
                    test_namespaces_have_the_numbers_that_they_map);
    return g_test_run();
}
