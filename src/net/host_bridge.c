/* SPDX-License-Identifier: Apache-2.0 */
/* Bridges as sysfs shows them: an interface is a bridge when its folder holds one named bridge. */
#include "net/host_bridge.h"

#include <net/if.h>
#include <string.h>

#include "base/error.h"
#include "base/near.h"

static gboolean is_bridge(const char *sys_class_net, const char *name)
{
    g_autofree char *path = g_build_filename(sys_class_net, name, "bridge", NULL);
    return g_file_test(path, G_FILE_TEST_IS_DIR);
}

static GPtrArray *list_bridges(const char *sys_class_net)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(sys_class_net, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));)
        if (is_bridge(sys_class_net, name))
            g_ptr_array_add(names, g_strdup(name));
    return names;
}

static char *hint_for(const char *sys_class_net, const char *name)
{
    g_autoptr(GPtrArray) bridges = list_bridges(sys_class_net);
    const char *near = stead_near(name, (const char *const *)bridges->pdata, bridges->len);
    if (near)
        return g_strdup_printf("Did you mean %s?", near);
    if (bridges->len == 0)
        return g_strdup_printf("Make it: ip link add %.15s type bridge; or use mode nat.", name);
    g_ptr_array_add(bridges, NULL);
    g_autofree char *all = g_strjoinv(", ", (GStrv)bridges->pdata);
    return g_strdup_printf("The host has these bridges: %s", all);
}

static gboolean is_interface_name(const char *name)
{
    gsize n = strnlen(name, IFNAMSIZ);
    return n > 0 && n < IFNAMSIZ && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           strpbrk(name, "/ \t\n") == NULL;
}

gboolean stead_host_bridge_check(const char *sys_class_net, const char *name, GError **error)
{
    if (name == NULL || !is_interface_name(name)) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "'%.64s' cannot name a bridge",
                        name ? name : "");
        return FALSE;
    }
    if (is_bridge(sys_class_net, name))
        return TRUE;
    g_autofree char *hint = hint_for(sys_class_net, name);
    stead_set_error(error, STEAD_ERROR_NOT_FOUND, hint, "the host has no bridge '%s'", name);
    return FALSE;
}

guint stead_host_bridge_ports(const char *sys_class_net, const char *name)
{
    g_autofree char *path = g_build_filename(sys_class_net, name, "brif", NULL);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    guint n = 0;
    while (dir && g_dir_read_name(dir))
        n++;
    return n;
}
