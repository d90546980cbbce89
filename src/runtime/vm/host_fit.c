/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvirt finds such things out late and says them in the kernel's words ("Numerical result out of
 * range", "hugetlbfs filesystem is not mounted"). Asked for here, before anything is started, the
 * answer can say how many there are and how to get more.
 *
 * What cannot be read is left to libvirt.
 */
#include "runtime/vm/host_fit.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/units.h"

/* Of a list such as 0-3,8: its greatest number; -1 when it has none. */
static gint64 greatest(const char *list)
{
    gint64 most = -1;
    for (const char *p = list; *p != '\0'; p++) {
        if (!g_ascii_isdigit(*p))
            continue;
        char *end = NULL;
        most = MAX(most, g_ascii_strtoll(p, &end, 10));
        p = end - 1;
    }
    return most;
}

static char *read_line(const char *sys, const char *path)
{
    g_autofree char *full = g_build_filename(sys, path, NULL);
    char *text = NULL;
    return g_file_get_contents(full, &text, NULL, NULL) ? g_strstrip(text) : NULL;
}

/* A number of `wanted` that is above all of `path`, a list in sysfs. */
static gboolean list_fits(const char *sys, const char *path, const char *wanted, const char *field,
                          const char *what, GError **error)
{
    g_autofree char *present = read_line(sys, path);
    if (present == NULL || greatest(wanted) <= greatest(present))
        return TRUE;
    g_autofree char *hint = g_strdup_printf("Change %s in the spec.", field);
    stead_set_error(error, STEAD_ERROR_UNSUPPORTED, hint,
                    "%s wants %s %s, and this host has %s only", field, what, wanted, present);
    return FALSE;
}

static gboolean cpus_fit(const SteadInstanceSpec *spec, const char *sys, GError **error)
{
    for (char **list = spec->cpu_pinning; list && *list; list++)
        if (!list_fits(sys, "devices/system/cpu/online", *list, "cpu-pinning", "CPU", error))
            return FALSE;
    return TRUE;
}

static gboolean nodes_fit(const SteadInstanceSpec *spec, const char *sys, GError **error)
{
    return spec->numa.nodes == NULL || list_fits(sys, "devices/system/node/online",
                                                 spec->numa.nodes, "numa", "NUMA node", error);
}

static gboolean pages_fit(const SteadInstanceSpec *spec, const char *sys, GError **error)
{
    static const guint page_kib[] = {
        [STEAD_HUGEPAGES_OFF] = 0, [STEAD_HUGEPAGES_2M] = 2048, [STEAD_HUGEPAGES_1G] = 1048576};
    G_STATIC_ASSERT(G_N_ELEMENTS(page_kib) == STEAD_N_HUGEPAGES);

    guint64 size = page_kib[spec->hugepages] * G_GUINT64_CONSTANT(1024);
    if (size == 0)
        return TRUE;
    guint64 needed = (spec->memory.max + size - 1) / size;
    g_autofree char *folder =
        g_strdup_printf("kernel/mm/hugepages/hugepages-%ukB", page_kib[spec->hugepages]);
    g_autofree char *free_path = g_build_filename(folder, "free_hugepages", NULL);
    g_autofree char *all_path = g_build_filename(folder, "nr_hugepages", NULL);
    g_autofree char *count = read_line(sys, free_path);
    g_autofree char *all = read_line(sys, all_path);
    g_autofree char *page = stead_format_size(size);
    if (count == NULL) {
        stead_set_error(error, STEAD_ERROR_UNSUPPORTED, "Leave hugepages out of the spec.",
                        "this host's kernel has no huge pages of %s", page);
        return FALSE;
    }
    guint64 free_pages = g_ascii_strtoull(count, NULL, 10);
    if (free_pages >= needed)
        return TRUE;
    guint64 more = needed - free_pages + (all ? g_ascii_strtoull(all, NULL, 10) : 0);
    g_autofree char *hint =
        g_strdup_printf("As root: echo %" G_GUINT64_FORMAT " > /sys/%s/nr_hugepages. libvirt also "
                        "needs hugetlbfs mounted: mount -t hugetlbfs none /dev/hugepages.",
                        more, folder);
    stead_set_error(error, STEAD_ERROR_EXHAUSTED, hint,
                    "it needs %" G_GUINT64_FORMAT " huge pages of %s, and the host has %s free",
                    needed, page, count);
    return FALSE;
}

gboolean stead_vm_fits_host(const SteadInstanceSpec *spec, const char *sys, GError **error)
{
    const char *top = sys ? sys : "/sys";
    return cpus_fit(spec, top, error) && nodes_fit(spec, top, error) && pages_fit(spec, top, error);
}
