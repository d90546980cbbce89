/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing ports. The forwarder is socat, run as nobody: what comes in through a published port
 * is hostile, and a forwarder needs no right but that to bind its port. Traffic of the host itself
 * is forwarded as well, which firewall rules alone do not do.
 *
 * Whether a port is free is decided by binding it, not by looking it up. Looking it up only serves
 * the message.
 */
#include "net/ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/detached.h"
#include "base/error.h"
#include "base/paths.h"
#include "base/subprocess.h"
#include "model/check.h"
#include "net/port_holder.h"

#define NOBODY "65534"
#define FIRST_UNPRIVILEGED_PORT 1024
/* How long the other direction may go on after one side of a connection was shut down, and how long
 * a UDP peer is remembered; in seconds. */
#define HALF_CLOSED_SECONDS "600"
#define UDP_IDLE_SECONDS "120"
#define CONNECT_SECONDS 10
/* What socat writes once it has its port. */
#define SOCAT_READY "listening on "

typedef struct {
    const char *socat; /* its address type */
    int type;
} Protocol;

static const Protocol protocols[] = {
    [STEAD_PROTOCOL_TCP] = {"TCP4", SOCK_STREAM},
    [STEAD_PROTOCOL_UDP] = {"UDP4", SOCK_DGRAM},
};
G_STATIC_ASSERT(G_N_ELEMENTS(protocols) == STEAD_N_PROTOCOLS);

static const char *bind_address(const SteadPortSpec *port)
{
    return port->host_address ? port->host_address : "0.0.0.0";
}

/* ---- the program ---- */

static gboolean check_port(const SteadPortSpec *port, const char *guest_address, GError **error)
{
    guint32 address;
    if (port->host < 1 || port->host > G_MAXUINT16 || port->guest < 1 ||
        port->guest > G_MAXUINT16 || port->protocol >= STEAD_N_PROTOCOLS)
        stead_set_error(error, STEAD_ERROR_INVALID, "Ports go from 1 to 65535.",
                        "%u:%u is not a pair of ports", port->host, port->guest);
    else if (!stead_ipv4_parse(bind_address(port), &address))
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "'%.64s' is not an IPv4 address",
                        bind_address(port));
    else if (!stead_ipv4_parse(guest_address, &address))
        stead_set_error(error, STEAD_ERROR_INVALID, NULL,
                        "'%.64s' is not an IPv4 address to forward a port to", guest_address);
    else
        return TRUE;
    return FALSE;
}

static void add_all(GPtrArray *argv, const char *const words[])
{
    for (guint i = 0; words[i]; i++)
        g_ptr_array_add(argv, g_strdup(words[i]));
}

/* Only a port below 1024 needs a capability to bind it. */
static void add_setpriv(GPtrArray *argv, const SteadPortSpec *port, const char *setpriv)
{
    gboolean low = port->host < FIRST_UNPRIVILEGED_PORT;
    const char *const words[] = {
        setpriv,
        "--reuid=" NOBODY,
        "--regid=" NOBODY,
        "--clear-groups",
        "--no-new-privs",
        low ? "--inh-caps=-all,+net_bind_service" : "--inh-caps=-all",
        low ? "--ambient-caps=-all,+net_bind_service" : "--ambient-caps=-all",
        "--",
        NULL,
    };
    add_all(argv, words);
}

GStrv stead_port_argv(const SteadPortSpec *port, const char *guest_address, const char *socat,
                      const char *setpriv, GError **error)
{
    if (!check_port(port, guest_address, error))
        return NULL;
    gboolean tcp = port->protocol == STEAD_PROTOCOL_TCP;
    const char *type = protocols[port->protocol].socat;
    GPtrArray *argv = g_ptr_array_new();
    if (setpriv)
        add_setpriv(argv, port, setpriv);
    const char *const common[] = {socat, "-d", "-d", "-t", HALF_CLOSED_SECONDS, NULL};
    const char *const idle[] = {"-T", UDP_IDLE_SECONDS, NULL};
    add_all(argv, common);
    if (!tcp)
        add_all(argv, idle);
    g_ptr_array_add(argv, g_strdup_printf("%s-LISTEN:%u,bind=%s,reuseaddr,fork,max-children=%d%s",
                                          type, port->host, bind_address(port),
                                          STEAD_MAX_PORT_CONNECTIONS, tcp ? ",keepalive" : ""));
    g_autofree char *options =
        tcp ? g_strdup_printf(",connect-timeout=%d,keepalive", CONNECT_SECONDS) : g_strdup("");
    g_ptr_array_add(argv, g_strdup_printf("%s:%s:%u%s", type, guest_address, port->guest, options));
    g_ptr_array_add(argv, NULL);
    return (GStrv)g_ptr_array_free(argv, FALSE);
}

static gboolean need_program(const char *name, char **path, GError **error)
{
    if (stead_find_program(name, path))
        return TRUE;
    const char *package = stead_program_package(name);
    g_autofree char *hint = g_strdup_printf("Install it: apt install %s", package ? package : name);
    stead_set_error(error, STEAD_ERROR_MISSING, hint,
                    "the program %s, which publishes ports, is not installed", name);
    return FALSE;
}

/* ---- whether a port is free ---- */

static gboolean fail_bind(const SteadPortSpec *port, int saved, GError **error)
{
    const char *name = stead_name_of(&stead_protocol_names, (int)port->protocol);
    guint32 address = 0;
    stead_ipv4_parse(bind_address(port), &address);
    g_autofree char *holder =
        saved == EADDRINUSE ? stead_port_holder(port->protocol, address, port->host) : NULL;
    if (saved == EADDRINUSE)
        stead_set_error(error, STEAD_ERROR_CONFLICT,
                        "Publish another port of the host, or end what has this one.",
                        "port %u/%s of the host is taken%s%s", port->host, name,
                        holder ? " by " : "", holder ? holder : "");
    else if (saved == EADDRNOTAVAIL)
        stead_set_error(error, STEAD_ERROR_INVALID, "Leave the address out to use all.",
                        "the host does not have the address %s", bind_address(port));
    else
        stead_set_error(error, saved == EACCES ? STEAD_ERROR_DENIED : STEAD_ERROR_INTERNAL, NULL,
                        "binding port %u/%s: %s", port->host, name, g_strerror(saved));
    return FALSE;
}

/* A socket that has the port; -1 with errno set when it cannot be had. */
static int bind_port(const SteadPortSpec *port)
{
    guint32 address = 0;
    stead_ipv4_parse(bind_address(port), &address);
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_port = htons((guint16)port->host),
                               .sin_addr.s_addr = htonl(address)};
    stead_autofd fd = socket(AF_INET, protocols[port->protocol].type | SOCK_CLOEXEC, 0);
    int on = 1;
    /* For TCP this only overlooks connections that are closing; for UDP it would share the port. */
    if (fd >= 0 && port->protocol == STEAD_PROTOCOL_TCP)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&name, sizeof name) != 0 ||
        (port->protocol == STEAD_PROTOCOL_TCP && listen(fd, 1) != 0))
        return -1;
    return stead_steal_fd(&fd);
}

static void close_held(gpointer data)
{
    close(GPOINTER_TO_INT(data));
}

gboolean stead_ports_check_free(const GPtrArray *ports, GError **error)
{
    /* All are held until the last is bound, so that two that collide are found. */
    g_autoptr(GPtrArray) held = g_ptr_array_new_with_free_func(close_held);
    for (guint i = 0; i < ports->len; i++) {
        const SteadPortSpec *port = g_ptr_array_index(ports, i);
        if (!check_port(port, "0.0.0.0", error))
            return FALSE;
        int fd = bind_port(port);
        if (fd < 0)
            return fail_bind(port, errno, error);
        g_ptr_array_add(held, GINT_TO_POINTER(fd));
    }
    return TRUE;
}

/* ---- publishing ---- */

static char *records_dir(const char *run_dir)
{
    return g_build_filename(run_dir, "ports", NULL);
}

static char *record_path(const char *dir, const SteadPortSpec *port)
{
    return g_strdup_printf("%s/%s-%s-%u", dir,
                           stead_name_of(&stead_protocol_names, (int)port->protocol),
                           bind_address(port), port->host);
}

/* A port that is wanted, its record and its forwarder's argv. */
typedef struct {
    const SteadPortSpec *port;
    char *record;
    GStrv argv;
} Wanted;

static void wanted_free(gpointer data)
{
    Wanted *wanted = data;
    g_free(wanted->record);
    g_strfreev(wanted->argv);
    g_free(wanted);
}

static GPtrArray *plan(const char *dir, const GPtrArray *ports, const char *guest_address,
                       GError **error)
{
    g_autofree char *socat = NULL, *setpriv = NULL;
    if (!need_program("socat", &socat, error) ||
        (geteuid() == 0 && !need_program("setpriv", &setpriv, error)))
        return NULL;
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(wanted_free);
    for (guint i = 0; i < ports->len; i++) {
        Wanted *wanted = g_new0(Wanted, 1);
        g_ptr_array_add(all, wanted);
        wanted->port = g_ptr_array_index(ports, i);
        wanted->argv = stead_port_argv(wanted->port, guest_address, socat, setpriv, error);
        if (wanted->argv == NULL)
            return NULL;
        wanted->record = record_path(dir, wanted->port);
    }
    return g_steal_pointer(&all);
}

/* FALSE without an error: there is none that carries what it should. */
static gboolean is_right(const GPtrArray *all, const char *record, GError **error)
{
    for (guint i = 0; i < all->len; i++) {
        const Wanted *wanted = g_ptr_array_index(all, i);
        if (strcmp(wanted->record, record) == 0)
            return stead_detached_is_running(record, (const char *const *)wanted->argv, error);
    }
    return FALSE;
}

/* Ends all forwarders on record but those that are right. `keep` NULL: all. */
static gboolean end_others(const char *dir, const GPtrArray *keep, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(GDir) entries = stead_open_dir(dir, &why);
    for (const char *name; entries && !why && (name = g_dir_read_name(entries));) {
        g_autofree char *record = g_build_filename(dir, name, NULL);
        gboolean stays = keep && is_right(keep, record, &why);
        if (!stays && why == NULL)
            stead_detached_end(record, FALSE, &why);
    }
    if (why == NULL)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

static gboolean start_missing(const GPtrArray *all, GError **error)
{
    for (guint i = 0; i < all->len; i++) {
        const Wanted *wanted = g_ptr_array_index(all, i);
        if (g_file_test(wanted->record, G_FILE_TEST_EXISTS))
            continue;
        int fd = bind_port(wanted->port);
        if (fd < 0)
            return fail_bind(wanted->port, errno, error);
        close(fd);
        const SteadDetachedOptions options = {.record = wanted->record,
                                              .argv = (const char *const *)wanted->argv,
                                              .ready = SOCAT_READY};
        if (!stead_detached_start(&options, error)) {
            g_prefix_error(error, "publishing port %u: ", wanted->port->host);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean stead_ports_publish(const char *run_dir, const GPtrArray *ports, const char *guest_address,
                             GError **error)
{
    if (ports->len == 0)
        return stead_ports_unpublish(run_dir, error);
    g_autofree char *dir = records_dir(run_dir);
    g_autoptr(GPtrArray) all = plan(dir, ports, guest_address, error);
    if (all && stead_make_dir(dir, 0700, error) && end_others(dir, all, error) &&
        start_missing(all, error))
        return TRUE;
    stead_ports_unpublish(run_dir, NULL);
    return FALSE;
}

gboolean stead_ports_unpublish(const char *run_dir, GError **error)
{
    g_autofree char *dir = records_dir(run_dir);
    return end_others(dir, NULL, error) && stead_remove_tree(dir, error);
}

guint stead_ports_count(const char *run_dir)
{
    g_autofree char *dir = records_dir(run_dir);
    g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
    guint n = 0;
    while (entries && g_dir_read_name(entries))
        n++;
    return n;
}
