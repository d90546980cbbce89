/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tap without TUNSETPERSIST goes away with the last descriptor of it, and with it its place on
 * the bridge. So there is no such thing as a tap that has to be cleaned up.
 */
#include "net/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

#define TUN_DEVICE "/dev/net/tun"
#define ID_CHARS 8

static void tap_name(const char *id, guint index, char name[IFNAMSIZ])
{
    g_snprintf(name, IFNAMSIZ, "st%.*s-%u", ID_CHARS, id, index);
}

static gboolean fail(GError **error, const char *name, const char *what)
{
    static const struct {
        int number;
        SteadErrorCode code;
    } classes[] = {{EPERM, STEAD_ERROR_DENIED},
                   {EACCES, STEAD_ERROR_DENIED},
                   {ENOENT, STEAD_ERROR_MISSING},
                   {EBUSY, STEAD_ERROR_BUSY}};
    int saved = errno;
    SteadErrorCode code = STEAD_ERROR_INTERNAL;
    for (gsize i = 0; i < G_N_ELEMENTS(classes); i++)
        if (classes[i].number == saved)
            code = classes[i].code;
    stead_set_error(error, code, NULL, "%s %s: %s", what, name, g_strerror(saved));
    return FALSE;
}

static gboolean take_mtu(int socket_fd, const char *name, const char *bridge, GError **error)
{
    struct ifreq request = {0};
    g_strlcpy(request.ifr_name, bridge, IFNAMSIZ);
    if (ioctl(socket_fd, SIOCGIFMTU, &request) != 0)
        return TRUE;
    g_strlcpy(request.ifr_name, name, IFNAMSIZ);
    return ioctl(socket_fd, SIOCSIFMTU, &request) == 0 || fail(error, name, "setting the MTU of");
}

static gboolean is_on(const char *bridge, const char *name)
{
    g_autofree char *path = g_strdup_printf("/sys/class/net/%s/master", name);
    g_autofree char *target = g_file_read_link(path, NULL);
    g_autofree char *master = target ? g_path_get_basename(target) : NULL;
    return g_strcmp0(master, bridge) == 0;
}

static gboolean join_bridge(int socket_fd, const char *name, const char *bridge, GError **error)
{
    struct ifreq request = {0};
    g_strlcpy(request.ifr_name, bridge, IFNAMSIZ);
    request.ifr_ifindex = (int)if_nametoindex(name);
    if (if_nametoindex(bridge) == 0) {
        stead_set_error(error, STEAD_ERROR_NOT_FOUND, NULL, "the host has no bridge '%s'", bridge);
        return FALSE;
    }
    int failed = ioctl(socket_fd, SIOCBRADDIF, &request) == 0 ? 0 : errno;
    if (failed && !is_on(bridge, name)) {
        errno = failed;
        return fail(error, bridge, "joining the bridge");
    }
    return take_mtu(socket_fd, name, bridge, error);
}

static gboolean bring_up(int socket_fd, const char *name, GError **error)
{
    struct ifreq request = {.ifr_flags = IFF_UP};
    g_strlcpy(request.ifr_name, name, IFNAMSIZ);
    return ioctl(socket_fd, SIOCSIFFLAGS, &request) == 0 || fail(error, name, "bringing up");
}

int stead_tap_open(const char *bridge, const char *id, guint index, GError **error)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    stead_autofd tap = open(TUN_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    stead_autofd socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (tap < 0 || socket_fd < 0) {
        fail(error, TUN_DEVICE, "opening");
        return -1;
    }
    tap_name(id, index, request.ifr_name);
    if (ioctl(tap, TUNSETIFF, &request) != 0) {
        fail(error, request.ifr_name, "making the tap");
        return -1;
    }
    if ((bridge && !join_bridge(socket_fd, request.ifr_name, bridge, error)) ||
        !bring_up(socket_fd, request.ifr_name, error))
        return -1;
    return stead_steal_fd(&tap);
}

gboolean stead_tap_join(const char *bridge, const char *id, guint index, GError **error)
{
    char name[IFNAMSIZ];
    stead_autofd socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    tap_name(id, index, name);
    return join_bridge(socket_fd, name, bridge, error);
}

static gboolean read_count(const char *name, const char *counter, guint64 *value)
{
    g_autofree char *path = g_strdup_printf("/sys/class/net/%s/statistics/%s", name, counter);
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return FALSE;
    *value = g_ascii_strtoull(text, NULL, 10);
    return TRUE;
}

gboolean stead_tap_count(const char *id, guint index, guint64 *sent, guint64 *received)
{
    char name[IFNAMSIZ];
    tap_name(id, index, name);
    return read_count(name, "rx_bytes", sent) && read_count(name, "tx_bytes", received);
}
