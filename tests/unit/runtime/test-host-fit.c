/* SPDX-License-Identifier: Apache-2.0 */
/* What a spec asks of the host, against a sysfs made up for the test. */
#include "runtime/vm/host_fit.h"

#include <string.h>

#include "base/error.h"
#include "base/paths.h"

#define PAGES "kernel/mm/hugepages/hugepages-2048kB"

typedef struct {
    char *sys;
    SteadInstanceSpec *spec;
} Fixture;

static void put(const Fixture *f, const char *folder, const char *name, const char *text)
{
    g_autofree char *dir = g_build_filename(f->sys, folder, NULL);
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_assert_true(stead_make_dir(dir, 0700, NULL));
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void set_up(Fixture *f, gconstpointer data)
{
    f->sys = g_dir_make_tmp("stead-fit-XXXXXX", NULL);
    f->spec = stead_instance_spec_parse("memory: 64M", -1, "test", NULL);
    g_assert_nonnull(f->spec);
    put(f, "devices/system/cpu", "online", "0-1\n");
    put(f, "devices/system/node", "online", "0\n");
    put(f, PAGES, "nr_hugepages", "10\n");
    put(f, PAGES, "free_hugepages", "4\n");
}

static void tear_down(Fixture *f, gconstpointer data)
{
    stead_instance_spec_free(f->spec);
    g_assert_true(stead_remove_tree(f->sys, NULL));
    g_free(f->sys);
}

static void pin(Fixture *f, GStrv lists)
{
    g_strfreev(f->spec->cpu_pinning);
    f->spec->cpu_pinning = lists;
}

static void expect(Fixture *f, SteadErrorCode code, const char *words)
{
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_vm_fits_host(f->spec, f->sys, &error));
    g_assert_error(error, STEAD_ERROR, (int)code);
    g_autofree char *all = g_strconcat(error->message, stead_error_hint(error), NULL);
    g_assert_nonnull(strstr(all, words));
}

static void asks_nothing(Fixture *f, gconstpointer data)
{
    g_assert_true(stead_vm_fits_host(f->spec, f->sys, NULL));
}

static void cpu_that_is_there(Fixture *f, gconstpointer data)
{
    pin(f, g_strsplit("0 0-1", " ", -1));
    g_assert_true(stead_vm_fits_host(f->spec, f->sys, NULL));
}

static void cpu_that_is_not(Fixture *f, gconstpointer data)
{
    pin(f, g_strsplit("0 1-2", " ", -1));
    expect(f, STEAD_ERROR_UNSUPPORTED, "CPU 1-2, and this host has 0-1 only");
}

static void node_that_is_not(Fixture *f, gconstpointer data)
{
    f->spec->numa.nodes = g_strdup("1");
    expect(f, STEAD_ERROR_UNSUPPORTED, "NUMA node 1");
}

static void enough_pages(Fixture *f, gconstpointer data)
{
    put(f, PAGES, "free_hugepages", "32\n");
    f->spec->hugepages = STEAD_HUGEPAGES_2M;
    g_assert_true(stead_vm_fits_host(f->spec, f->sys, NULL));
}

static void too_few_pages(Fixture *f, gconstpointer data)
{
    f->spec->hugepages = STEAD_HUGEPAGES_2M;
    expect(f, STEAD_ERROR_EXHAUSTED, "echo 38 > /sys/" PAGES "/nr_hugepages");
}

static void pages_of_no_such_size(Fixture *f, gconstpointer data)
{
    f->spec->hugepages = STEAD_HUGEPAGES_1G;
    expect(f, STEAD_ERROR_UNSUPPORTED, "no huge pages of 1 GiB");
}

static void unreadable_is_left_to_libvirt(Fixture *f, gconstpointer data)
{
    pin(f, g_strsplit("99", " ", -1));
    g_assert_true(stead_vm_fits_host(f->spec, "/nonexistent", NULL));
}

#define TEST(function)                                                                             \
    g_test_add("/host-fit/" #function, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(asks_nothing);
    TEST(cpu_that_is_there);
    TEST(cpu_that_is_not);
    TEST(node_that_is_not);
    TEST(enough_pages);
    TEST(too_few_pages);
    TEST(pages_of_no_such_size);
    TEST(unreadable_is_left_to_libvirt);
    return g_test_run();
}
