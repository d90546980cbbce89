/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks on the libvirtd of this machine. Each test has a root of its own, hence names that
 * nobody else uses, and removes whatever its root made, also when it failed.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/paths.h"
#include "model/check.h"
#include "net/addresses.h"
#include "net/entries.h"
#include "net/lease.h"
#include "net/network.h"
#include "net/network_xml.h"
#include "net/reservations.h"

#define LIBVIRT_SOCKET "/run/libvirt/libvirt-sock"
#define LEASES_DIR "/var/lib/libvirt/dnsmasq"
#define WAIT_MS 5000
#define MAC_A "52:54:00:aa:00:01"
#define MAC_B "52:54:00:aa:00:02"

typedef struct {
    char *root;
    SteadPaths *paths;
    SteadLibvirt *libvirt;
    virConnectPtr conn;
    SteadNetworkSpec spec;
    SteadNetwork network;
} Fixture;

static void clear_record(Fixture *fixture)
{
    g_clear_pointer(&fixture->network.libvirt_name, g_free);
    g_clear_pointer(&fixture->network.bridge, g_free);
    g_clear_pointer(&fixture->spec.subnet, g_free);
}

static void new_id(Fixture *fixture)
{
    g_free(fixture->network.id);
    fixture->network.id = g_uuid_string_random();
}

static void set_up(Fixture *fixture, gconstpointer data)
{
    if (geteuid() != 0 || !g_file_test(LIBVIRT_SOCKET, G_FILE_TEST_EXISTS)) {
        g_test_skip("needs root and a running libvirtd");
        return;
    }
    fixture->root = g_dir_make_tmp("stead-net-XXXXXX", NULL);
    fixture->paths = stead_paths_new_for_root(fixture->root, NULL);
    fixture->libvirt = stead_libvirt_new(NULL);
    fixture->conn = stead_libvirt_get(fixture->libvirt, NULL);
    g_assert_nonnull(fixture->conn);
    fixture->spec.mode = STEAD_NETWORK_NAT;
    fixture->network.name = (char *)"lab";
    fixture->network.spec = &fixture->spec;
    new_id(fixture);
}

static void remove_all_of_root(Fixture *fixture)
{
    g_autoptr(GHashTable) none = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) names =
        stead_network_orphans(fixture->libvirt, fixture->paths, none, NULL);
    for (guint i = 0; names && i < names->len; i++)
        stead_network_remove_orphan(fixture->libvirt, fixture->paths, names->pdata[i], NULL);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    remove_all_of_root(fixture);
    clear_record(fixture);
    g_free(fixture->network.id);
    virConnectClose(fixture->conn);
    stead_libvirt_free(fixture->libvirt);
    stead_paths_free(fixture->paths);
    stead_remove_tree(fixture->root, NULL);
    g_free(fixture->root);
}

/* Tests fail by returning, so that tear_down() runs. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            g_test_message("%s:%d: %s", __FILE__, __LINE__, #condition);                           \
            g_test_fail();                                                                         \
            return;                                                                                \
        }                                                                                          \
    } while (0)

static gboolean is_fine(GError *error)
{
    if (error)
        g_test_message("%s", error->message);
    return error == NULL;
}

static gboolean make(Fixture *fixture)
{
    g_autoptr(GError) error = NULL;
    stead_network_make(fixture->libvirt, &fixture->network, fixture->paths, &error);
    return is_fine(error);
}

static gboolean ensure(Fixture *fixture)
{
    g_autoptr(GError) error = NULL;
    stead_network_ensure_started(fixture->libvirt, &fixture->network, fixture->paths, &error);
    return is_fine(error);
}

static virNetworkPtr real(Fixture *fixture)
{
    return virNetworkLookupByUUIDString(fixture->conn, fixture->network.id);
}

static gboolean is_running(Fixture *fixture)
{
    g_autoptr(virNetwork) network = real(fixture);
    return network && virNetworkIsActive(network) == 1 && virNetworkIsPersistent(network) == 1;
}

static void test_made_repeated_removed(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    CHECK(make(fixture));
    CHECK(is_running(fixture));
    CHECK(fixture->spec.subnet && fixture->network.libvirt_name && fixture->network.bridge);
    g_autofree char *subnet = g_strdup(fixture->spec.subnet);
    clear_record(fixture); /* a daemon died before it saved the record */
    CHECK(make(fixture));
    g_assert_cmpstr(fixture->spec.subnet, ==, subnet);
    CHECK(stead_network_remove(fixture->libvirt, &fixture->network, NULL));
    g_autoptr(virNetwork) left = real(fixture);
    CHECK(left == NULL);
    CHECK(stead_network_remove(fixture->libvirt, &fixture->network, NULL));
}

static void test_collision_leaves_nothing(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    g_autoptr(GError) error = NULL;
    CHECK(make(fixture));
    g_autofree char *id = g_uuid_string_random();
    SteadNetwork other = {.id = id, .name = (char *)"other", .spec = &fixture->spec};
    CHECK(!stead_network_make(fixture->libvirt, &other, fixture->paths, &error));
    g_autoptr(virNetwork) left = virNetworkLookupByName(fixture->conn, other.libvirt_name);
    g_free(other.libvirt_name);
    g_free(other.bridge);
    CHECK(g_error_matches(error, STEAD_ERROR, STEAD_ERROR_CONFLICT));
    CHECK(strstr(error->message, fixture->network.libvirt_name));
    CHECK(strstr(stead_error_hint(error), "is free"));
    CHECK(left == NULL);
}

static void test_what_went_away_comes_back(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    CHECK(make(fixture));
    g_autoptr(virNetwork) first = real(fixture);
    CHECK(virNetworkDestroy(first) == 0); /* as after a reboot */
    CHECK(ensure(fixture) && is_running(fixture));
    CHECK(virNetworkDestroy(first) == 0 && virNetworkUndefine(first) == 0);
    CHECK(ensure(fixture) && is_running(fixture));
}

static void test_changed_spec_is_defined_anew(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    CHECK(make(fixture));
    fixture->spec.domain = (char *)"changed.example";
    CHECK(make(fixture));
    g_autoptr(virNetwork) network = real(fixture);
    g_autofree char *xml = virNetworkGetXMLDesc(network, 0);
    CHECK(strstr(xml, "changed.example"));
}

static void test_modes(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    const SteadNetworkMode modes[] = {STEAD_NETWORK_ROUTED, STEAD_NETWORK_ISOLATED};
    for (gsize i = 0; i < G_N_ELEMENTS(modes); i++) {
        fixture->spec.mode = modes[i];
        CHECK(make(fixture) && is_running(fixture));
    }
    /* The bridge of the last is one of the host's, as far as another network is concerned. */
    SteadNetworkSpec spec = {.mode = STEAD_NETWORK_BRIDGE, .bridge = fixture->network.bridge};
    SteadNetwork bridged = {.id = (char *)"x", .name = (char *)"lan", .spec = &spec};
    CHECK(stead_network_make(fixture->libvirt, &bridged, fixture->paths, NULL));
    g_autofree char *name = bridged.bridge;
    g_assert_cmpstr(name, ==, fixture->network.bridge);
    CHECK(bridged.libvirt_name == NULL);
    CHECK(stead_network_reserve(fixture->libvirt, &bridged, MAC_A, NULL, "web", NULL));
    CHECK(stead_network_remove(fixture->libvirt, &bridged, NULL));
    CHECK(is_running(fixture));
}

static void test_foreign_network_is_left_alone(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    g_autoptr(GError) error = NULL;
    g_autofree char *name = stead_network_libvirt_name(fixture->paths, "lab");
    g_autofree char *xml = g_strdup_printf("<network><name>%s</name></network>", name);
    g_autoptr(virNetwork) foreign = virNetworkDefineXML(fixture->conn, xml);
    CHECK(foreign);
    gboolean made = stead_network_make(fixture->libvirt, &fixture->network, fixture->paths, &error);
    gboolean removed = stead_network_remove_orphan(fixture->libvirt, fixture->paths, name, NULL);
    int undefined = virNetworkUndefine(foreign);
    CHECK(!made && !removed && undefined == 0);
    CHECK(g_error_matches(error, STEAD_ERROR, STEAD_ERROR_CONFLICT));
}

static void test_orphan_is_told_and_replaced(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);
    CHECK(make(fixture));
    g_autoptr(GPtrArray) orphans =
        stead_network_orphans(fixture->libvirt, fixture->paths, known, NULL);
    CHECK(orphans && orphans->len == 1);
    g_hash_table_add(known, fixture->network.id);
    g_autoptr(GPtrArray) none =
        stead_network_orphans(fixture->libvirt, fixture->paths, known, NULL);
    CHECK(none && none->len == 0);
    new_id(fixture);
    clear_record(fixture);
    CHECK(make(fixture) && is_running(fixture));
}

/* ---- reservations ---- */

static gboolean reserve(Fixture *fixture, const char *mac, const char *address,
                        const char *hostname, GError **error)
{
    return stead_network_reserve(fixture->libvirt, &fixture->network, mac, address, hostname,
                                 error);
}

static gboolean release(Fixture *fixture, const char *mac)
{
    return stead_network_release(fixture->libvirt, &fixture->network, mac, NULL);
}

/* "10.77.3.0/24" and 9 make 10.77.3.9. */
static char *nth(Fixture *fixture, guint n)
{
    SteadSubnet subnet;
    stead_subnet_parse(fixture->spec.subnet, &subnet, NULL);
    return stead_ipv4_format(subnet.network + n);
}

/* The MAC that the nth address is prepared for. */
static char *nth_mac(Fixture *fixture, guint n)
{
    SteadAddressPlan plan;
    g_autofree char *address = nth(fixture, n);
    stead_address_plan(&fixture->spec, &plan, NULL);
    return stead_address_mac(&plan, fixture->network.id, address);
}

/* The MAC that has an address reserved in the state (0: running); NULL when none. */
static char *holder(Fixture *fixture, const char *address, guint state)
{
    g_autoptr(virNetwork) network = real(fixture);
    g_autoptr(SteadEntries) entries = stead_entries_read(network, state, NULL);
    const SteadReservation *host = entries ? stead_entries_find_ip(entries, address) : NULL;
    return host ? g_strdup(host->mac) : NULL;
}

static gboolean is_held_by(Fixture *fixture, const char *address, const char *mac)
{
    g_autofree char *running = holder(fixture, address, 0);
    g_autofree char *defined = holder(fixture, address, VIR_NETWORK_XML_INACTIVE);
    return g_strcmp0(running, mac) == 0 && g_strcmp0(defined, mac) == 0;
}

static gboolean knows(Fixture *fixture, const char *text)
{
    g_autoptr(virNetwork) network = real(fixture);
    g_autofree char *xml = virNetworkGetXMLDesc(network, 0);
    return strstr(xml, text) != NULL;
}

static void test_addresses_are_reserved(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    CHECK(make(fixture));
    g_autofree char *high = nth(fixture, 200), *higher = nth(fixture, 201);
    CHECK(reserve(fixture, MAC_A, high, "web", NULL) && is_held_by(fixture, high, MAC_A));
    gint64 began = g_get_monotonic_time();
    CHECK(ensure(fixture));
    gint64 ensured = g_get_monotonic_time();
    CHECK(reserve(fixture, MAC_A, high, "web", NULL));
    g_test_message("to find all as it should be: network %" G_GINT64_FORMAT
                   " us, reservation %" G_GINT64_FORMAT " us",
                   ensured - began, g_get_monotonic_time() - ensured);
    CHECK(reserve(fixture, MAC_A, higher, "www", NULL) && is_held_by(fixture, higher, MAC_A));
    CHECK(is_held_by(fixture, high, NULL) && !knows(fixture, ">web<"));
    CHECK(release(fixture, MAC_A) && release(fixture, MAC_A));
    CHECK(!knows(fixture, MAC_A) && !knows(fixture, "www") && !knows(fixture, "<dns>"));
}

static void test_prepared_addresses_stay(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    CHECK(make(fixture));
    g_autofree char *address = nth(fixture, 2), *mac = nth_mac(fixture, 2);
    CHECK(is_held_by(fixture, address, mac));
    CHECK(reserve(fixture, mac, address, "web", NULL) && knows(fixture, ">web<"));
    CHECK(release(fixture, mac) && !knows(fixture, ">web<"));
    CHECK(is_held_by(fixture, address, mac));
}

static void test_prepared_address_goes_to_another_mac(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    CHECK(make(fixture));
    g_autofree char *address = nth(fixture, 2), *mac = nth_mac(fixture, 2);
    CHECK(reserve(fixture, MAC_A, address, "web", NULL) && is_held_by(fixture, address, MAC_A));
    CHECK(release(fixture, MAC_A) && is_held_by(fixture, address, NULL));
    CHECK(reserve(fixture, mac, address, "web", NULL) && is_held_by(fixture, address, mac));
}

static void test_claims_are_respected(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    g_autoptr(GError) by_address = NULL;
    g_autoptr(GError) by_name = NULL;
    g_autoptr(GError) outside = NULL;
    g_autoptr(GError) prepared = NULL;
    CHECK(make(fixture));
    g_autofree char *address = nth(fixture, 200), *other = nth(fixture, 201);
    g_autofree char *second = nth(fixture, 2), *mac = nth_mac(fixture, 2);
    CHECK(reserve(fixture, MAC_A, address, "web", NULL));
    CHECK(!reserve(fixture, MAC_B, address, "db", &by_address));
    CHECK(g_error_matches(by_address, STEAD_ERROR, STEAD_ERROR_CONFLICT));
    CHECK(strstr(by_address->message, "belongs to web"));
    CHECK(!reserve(fixture, MAC_B, other, "web", &by_name));
    CHECK(g_error_matches(by_name, STEAD_ERROR, STEAD_ERROR_CONFLICT));
    CHECK(!reserve(fixture, MAC_B, "203.0.113.5", NULL, &outside));
    CHECK(g_error_matches(outside, STEAD_ERROR, STEAD_ERROR_INVALID));
    CHECK(reserve(fixture, mac, second, "db", NULL));
    CHECK(!reserve(fixture, MAC_B, second, "other", &prepared));
    CHECK(g_error_matches(prepared, STEAD_ERROR, STEAD_ERROR_CONFLICT));
}

static void test_half_done_reservation_is_finished(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    CHECK(make(fixture));
    g_autofree char *address = nth(fixture, 200);
    CHECK(reserve(fixture, MAC_A, address, "web", NULL));
    g_autofree char *host = g_strdup_printf("<host mac='%s' ip='%s'/>", MAC_A, address);
    g_autoptr(virNetwork) network = real(fixture);
    CHECK(virNetworkUpdate(network, VIR_NETWORK_UPDATE_COMMAND_DELETE,
                           VIR_NETWORK_SECTION_IP_DHCP_HOST, -1, host,
                           VIR_NETWORK_UPDATE_AFFECT_LIVE) == 0);
    CHECK(reserve(fixture, MAC_A, address, "web", NULL) && is_held_by(fixture, address, MAC_A));
}

static void test_odd_host_names_are_taken(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    const char *const names[] = {"ignore", "123", "web.lab.example", "Upper"};
    CHECK(make(fixture));
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *mac = nth_mac(fixture, 2 + i), *address = nth(fixture, 2 + i);
        CHECK(reserve(fixture, mac, address, names[i], &error) && is_fine(error));
        CHECK(reserve(fixture, mac, address, names[i], &error) && is_fine(error));
    }
}

/* What a job of a daemon does, in a process that can be killed. */
static void play_daemon(Fixture *fixture)
{
    SteadLibvirt *libvirt = stead_libvirt_new(NULL);
    stead_network_make(libvirt, &fixture->network, fixture->paths, NULL);
    g_autofree char *address = nth(fixture, 200);
    stead_network_reserve(libvirt, &fixture->network, MAC_A, address, "web", NULL);
    stead_network_release(libvirt, &fixture->network, MAC_A, NULL);
    stead_network_remove(libvirt, &fixture->network, NULL);
    _exit(0);
}

#define KILLS 5
#define JOB_US 1500000 /* about what the job above takes */

static void test_killed_daemon_is_no_hindrance(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    for (guint i = 0; i < KILLS; i++) {
        g_autoptr(GError) error = NULL;
        pid_t daemon = fork();
        if (daemon == 0)
            play_daemon(fixture);
        g_usleep((gulong)g_random_int_range(0, JOB_US)); /* not to wait: to hit any instruction */
        kill(daemon, SIGKILL);
        waitpid(daemon, NULL, 0);
        CHECK(make(fixture));
        g_autofree char *address = nth(fixture, 200);
        CHECK(reserve(fixture, MAC_A, address, "web", &error) && is_fine(error));
        CHECK(is_held_by(fixture, address, MAC_A));
        CHECK(stead_network_remove(fixture->libvirt, &fixture->network, NULL));
        clear_record(fixture);
    }
}

/* ---- what dnsmasq makes of it ---- */

static int server_socket(Fixture *fixture, guint port)
{
    g_autofree char *gateway = nth(fixture, 1);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((guint16)port)};
    inet_pton(AF_INET, gateway, &to.sin_addr);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, fixture->network.bridge,
               (socklen_t)strlen(fixture->network.bridge));
    g_assert_cmpint(connect(fd, (struct sockaddr *)&to, sizeof to), ==, 0);
    return fd;
}

/* Whether the network's DNS knows "web.lab". */
static gboolean ask_dns(Fixture *fixture)
{
    static const guint8 query[] = {0,   7,   1,   0, 0,   1,   0,   0, 0, 0, 0, 0, 3,
                                   'w', 'e', 'b', 3, 'l', 'a', 'b', 0, 0, 1, 0, 1};
    guint8 answer[512];
    stead_autofd fd = server_socket(fixture, 53);
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    if (write(fd, query, sizeof query) < 0 || poll(&poller, 1, 500) != 1)
        return FALSE;
    ssize_t n = read(fd, answer, sizeof answer);
    return n > 12 && (answer[3] & 15) == 0 && answer[7] == 1;
}

static void test_names_resolve(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    CHECK(make(fixture));
    g_autofree char *address = nth(fixture, 2), *mac = nth_mac(fixture, 2);
    CHECK(reserve(fixture, mac, address, "web", NULL));
    /* dnsmasq reads its files again some time after it was told to. */
    gint64 deadline = g_get_monotonic_time() + WAIT_MS * G_TIME_SPAN_MILLISECOND;
    gboolean known = FALSE;
    while (!(known = ask_dns(fixture)) && g_get_monotonic_time() < deadline)
        g_thread_yield();
    CHECK(known);
}

/* Asks for `address` as a machine does that had it before. */
static void request_lease(Fixture *fixture, guint8 last_of_mac, const char *address)
{
    const guint8 mac[6] = {0x52, 0x54, 0, 0xaa, 0, last_of_mac};
    guint8 packet[STEAD_DHCP_RELEASE_MAX];
    guint32 ip;
    stead_ipv4_parse(address, &ip);
    gsize n = stead_dhcp_release_packet(packet, mac, ip, 0, 1);
    packet[242] = 3;   /* a request, not a release */
    packet[243] = 255; /* of any server */
    stead_autofd fd = server_socket(fixture, 67);
    g_assert_cmpint(write(fd, packet, n), ==, (ssize_t)n);
}

static char *leased_to(Fixture *fixture)
{
    g_autoptr(GPtrArray) leases = stead_network_leases(fixture->libvirt, &fixture->network, NULL);
    if (leases)
        g_ptr_array_set_free_func(leases, (GDestroyNotify)stead_lease_free);
    return leases && leases->len == 1 ? g_strdup(((SteadLease *)leases->pdata[0])->mac) : NULL;
}

/* Waits until the only lease is that of `mac` (NULL: until there is none). */
static gboolean wait_for_lease(Fixture *fixture, const char *mac)
{
    stead_autofd events = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    inotify_add_watch(events, LEASES_DIR, IN_CLOSE_WRITE | IN_MOVED_TO);
    struct pollfd poller = {.fd = events, .events = POLLIN};
    gint64 deadline = g_get_monotonic_time() + WAIT_MS * G_TIME_SPAN_MILLISECOND;
    while (g_get_monotonic_time() < deadline) {
        char drain[4096];
        g_autofree char *holder = leased_to(fixture);
        if (g_strcmp0(holder, mac) == 0)
            return TRUE;
        poll(&poller, 1, 500);
        while (read(events, drain, sizeof drain) > 0)
            ;
    }
    return FALSE;
}

static void test_released_address_can_be_leased_again(Fixture *fixture, gconstpointer data)
{
    if (fixture->root == NULL)
        return;
    CHECK(make(fixture));
    g_autofree char *address = nth(fixture, 200);
    CHECK(reserve(fixture, MAC_A, address, "web", NULL));
    request_lease(fixture, 1, address);
    CHECK(wait_for_lease(fixture, MAC_A));
    CHECK(stead_network_release(fixture->libvirt, &fixture->network, MAC_A, NULL));
    CHECK(wait_for_lease(fixture, NULL));
    CHECK(reserve(fixture, MAC_B, address, "web", NULL));
    request_lease(fixture, 2, address);
    CHECK(wait_for_lease(fixture, MAC_B));
}

/* libvirt-glib tells of every event, without a log domain. */
static void drop_message(const char *domain, GLogLevelFlags level, const char *text, gpointer data)
{
}

#define ADD(name, func) g_test_add("/network/" name, Fixture, NULL, set_up, func, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_log_set_handler(NULL, G_LOG_LEVEL_DEBUG, drop_message, NULL);
    ADD("made-repeated-removed", test_made_repeated_removed);
    ADD("collision-leaves-nothing", test_collision_leaves_nothing);
    ADD("what-went-away-comes-back", test_what_went_away_comes_back);
    ADD("changed-spec-is-defined-anew", test_changed_spec_is_defined_anew);
    ADD("modes", test_modes);
    ADD("foreign-network-is-left-alone", test_foreign_network_is_left_alone);
    ADD("orphan-is-told-and-replaced", test_orphan_is_told_and_replaced);
    ADD("addresses-are-reserved", test_addresses_are_reserved);
    ADD("prepared-addresses-stay", test_prepared_addresses_stay);
    ADD("prepared-address-goes-to-another-mac", test_prepared_address_goes_to_another_mac);
    ADD("claims-are-respected", test_claims_are_respected);
    ADD("half-done-reservation-is-finished", test_half_done_reservation_is_finished);
    ADD("odd-host-names-are-taken", test_odd_host_names_are_taken);
    ADD("killed-daemon-is-no-hindrance", test_killed_daemon_is_no_hindrance);
    ADD("names-resolve", test_names_resolve);
    ADD("released-address-can-be-leased-again", test_released_address_can_be_leased_again);
    return g_test_run();
}
