/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection to libvirtd and how it comes back.
 *
 * There is at most one connection. Whoever needs it calls stead_libvirt_get(), which hands out a
 * reference, or makes the connection where it is absent or dead; `connecting` lets one thread do so
 * at a time. What changes the connection also queues an event for the main loop, so that the watch
 * is told there, in order. While there is no connection, a timer on the main loop starts a thread
 * that tries again, with a pause that doubles up to RETRY_MAX_MS.
 *
 * libvirt calls the close callback with a lock of the connection held, so the callback does nothing
 * but queue. A generation number tells a late callback of an old connection from the present one.
 *
 * Threads, timers and queued events hold a reference each: freeing the object ends them softly.
 */
#include "host/libvirt.h"

#include <gio/gio.h>
#include <errno.h>
#include <gio/gunixsocketaddress.h>
#include <sys/stat.h>
#include <unistd.h>
#include <libvirt-glib/libvirt-glib.h>

#include "base/error.h"
#include "base/subprocess.h"
#include "host/xml.h"

#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 5000
/* A libvirtd that does not answer for 5 × 6 s is taken for dead. */
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_COUNT 6

#define KVM_DEVICE "/dev/kvm"
#define DEFAULT_URI "qemu:///system"

struct _SteadLibvirt {
    gatomicrefcount refs;
    char *uri;

    GMutex connecting; /* held by the thread that opens a connection; taken before `lock` */
    GMutex lock;       /* guards the members below */
    virConnectPtr conn;
    guint generation;   /* counts connections */
    gboolean may_start; /* the daemons may still be started by us */
    gboolean closed;    /* freed by its owner */
    gulong version;     /* of libvirtd; 0: unknown */
    gboolean ids_known;
    guint uid, gid;

    /* Main loop only. */
    SteadLibvirtFunc func;
    gpointer data;
    GArray *watches; /* Watch; a removed one has no func */
    guint retry;     /* source id of the timer; 0: none */
    guint pause_ms;
    gboolean trying; /* a retry's thread is under way */
};

typedef struct {
    SteadLibvirtFunc func;
    gpointer data;
} Watch;

typedef struct {
    SteadLibvirt *libvirt;
    guint generation;
    gboolean connected;
    guint joined; /* tell only the watch with this handle; 0: all */
} Event;

static gboolean arm_retry(SteadLibvirt *libvirt);

static SteadLibvirt *libvirt_ref(SteadLibvirt *libvirt)
{
    g_atomic_ref_count_inc(&libvirt->refs);
    return libvirt;
}

static void libvirt_unref(gpointer data)
{
    SteadLibvirt *libvirt = data;
    if (!g_atomic_ref_count_dec(&libvirt->refs))
        return;
    g_mutex_clear(&libvirt->lock);
    g_mutex_clear(&libvirt->connecting);
    g_array_unref(libvirt->watches);
    g_free(libvirt->uri);
    g_free(libvirt);
}

static void event_free(gpointer data)
{
    Event *event = data;
    libvirt_unref(event->libvirt);
    g_free(event);
}

static Event *event_new(SteadLibvirt *libvirt, guint generation, gboolean connected)
{
    Event *event = g_new0(Event, 1);
    event->libvirt = libvirt_ref(libvirt);
    event->generation = generation;
    event->connected = connected;
    return event;
}

static void tell(SteadLibvirt *libvirt, const Event *event)
{
    for (guint i = 0; i < libvirt->watches->len; i++) {
        const Watch watch = g_array_index(libvirt->watches, Watch, i);
        if (watch.func && (event->joined == 0 || event->joined == i + 1))
            watch.func(event->connected, watch.data);
    }
    if (libvirt->func && event->joined == 0)
        libvirt->func(event->connected, libvirt->data);
}

/* Main loop: tells the watches, and sees to it that a lost connection comes back. */
static gboolean deliver(gpointer data)
{
    const Event *event = data;
    SteadLibvirt *libvirt = event->libvirt;
    g_mutex_lock(&libvirt->lock);
    gboolean closed = libvirt->closed, absent = libvirt->conn == NULL;
    g_mutex_unlock(&libvirt->lock);
    if (closed)
        return G_SOURCE_REMOVE;
    if (event->generation > 0)
        tell(libvirt, event);
    if (event->connected)
        libvirt->pause_ms = RETRY_MIN_MS;
    if (absent)
        arm_retry(libvirt);
    return G_SOURCE_REMOVE;
}

static void queue(SteadLibvirt *libvirt, guint generation, gboolean connected)
{
    g_idle_add_full(G_PRIORITY_DEFAULT, deliver, event_new(libvirt, generation, connected),
                    event_free);
}

/* Takes the dead connection out; `lock` is held. The caller closes it without the lock. */
static virConnectPtr drop_locked(SteadLibvirt *libvirt)
{
    queue(libvirt, libvirt->generation, FALSE);
    return g_steal_pointer(&libvirt->conn);
}

static gboolean on_closed_idle(gpointer data)
{
    const Event *event = data;
    SteadLibvirt *libvirt = event->libvirt;
    g_autoptr(virConnect) dead = NULL;
    g_mutex_lock(&libvirt->lock);
    if (libvirt->conn && libvirt->generation == event->generation)
        dead = drop_locked(libvirt);
    g_mutex_unlock(&libvirt->lock);
    return G_SOURCE_REMOVE;
}

static void on_closed(virConnectPtr conn, int reason, void *data)
{
    const Event *event = data;
    g_idle_add_full(G_PRIORITY_DEFAULT, on_closed_idle,
                    event_new(event->libvirt, event->generation, FALSE), event_free);
}

static void be_silent(void *data, virErrorPtr failure)
{
    /* libvirt would print every error to standard error; stead reports them by GError. */
}

static gpointer register_once(gpointer data)
{
    gvir_event_register();
    virInitialize();
    virSetErrorFunc(NULL, be_silent);
    return NULL;
}

static gboolean is_listening(const char *path)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GSocketConnection) connection =
        g_socket_client_connect(client, G_SOCKET_CONNECTABLE(address), NULL, NULL);
    return connection != NULL;
}

static gboolean start_daemon(const char *program, GError **error)
{
    const char *const argv[] = {program, "-d", NULL};
    g_autoptr(GError) reason = NULL;
    g_debug("starting %s", program);
    if (stead_run(argv, NULL, NULL, NULL, &reason))
        return TRUE;
    if (stead_error_code(reason) != STEAD_ERROR_INTERNAL) {
        g_propagate_error(error, g_steal_pointer(&reason));
        return FALSE;
    }
    stead_set_error(error, STEAD_ERROR_UNAVAILABLE,
                    "'stead doctor' shows what the host lacks; libvirtd without -d says more.",
                    "libvirt does not run, and could not be started: %s", reason->message);
    return FALSE;
}

/*
 * Where no udev runs, /dev/kvm is root's alone. libvirtd probes QEMU as root and then asks whether
 * QEMU's own user has KVM; as long as the two answers differ it probes again at every look: a
 * minute for one definition. So the device gets the mode that systemd's udev rules give it.
 */
static void open_kvm(void)
{
    struct stat st;
    if (stat(KVM_DEVICE, &st) != 0 || !S_ISCHR(st.st_mode) || (st.st_mode & 0666) == 0666)
        return;
    if (chmod(KVM_DEVICE, 0666) != 0)
        g_debug("%s stays root's: %s", KVM_DEVICE, g_strerror(errno));
}

/* Where systemd runs, starting libvirtd is its business (a socket unit listens for it). */
static gboolean start_daemons(SteadLibvirt *libvirt, GError **error)
{
    if (!g_str_equal(libvirt->uri, DEFAULT_URI) ||
        g_file_test("/run/systemd/system", G_FILE_TEST_IS_DIR) ||
        is_listening("/run/libvirt/libvirt-sock") || is_listening("/run/libvirt/virtqemud-sock"))
        return TRUE;
    open_kvm();
    if (!is_listening("/run/libvirt/virtlogd-sock") && !start_daemon("virtlogd", error))
        return FALSE;
    if (start_daemon("libvirtd", error))
        return TRUE;
    /* Somebody else may have started it meanwhile. */
    if (!is_listening("/run/libvirt/libvirt-sock"))
        return FALSE;
    g_clear_error(error);
    return TRUE;
}

static virConnectPtr open_connection(SteadLibvirt *libvirt, guint generation, GError **error)
{
    g_autoptr(virConnect) conn = virConnectOpen(libvirt->uri);
    if (conn == NULL) {
        stead_libvirt_error(error, "connecting to libvirt (%s)", libvirt->uri);
        return NULL;
    }
    /* Neither is offered by every driver; without them a loss is found by the next call. */
    virConnectSetKeepAlive(conn, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT);
    if (g_str_has_prefix(libvirt->uri, "test:")) /* takes a callback, and never lets go of it */
        return g_steal_pointer(&conn);
    Event *event = event_new(libvirt, generation, FALSE);
    if (virConnectRegisterCloseCallback(conn, on_closed, event, event_free) < 0)
        event_free(event);
    return g_steal_pointer(&conn);
}

/* A reference to the live connection, or NULL. */
static virConnectPtr present(SteadLibvirt *libvirt)
{
    g_autoptr(virConnect) dead = NULL;
    virConnectPtr conn = NULL;
    g_mutex_lock(&libvirt->lock);
    if (libvirt->conn && virConnectIsAlive(libvirt->conn) == 1) {
        conn = libvirt->conn;
        virConnectRef(conn);
    } else if (libvirt->conn) {
        dead = drop_locked(libvirt);
    }
    g_mutex_unlock(&libvirt->lock);
    return conn;
}

/* Opens the connection and publishes it; `connecting` is held. */
static virConnectPtr make(SteadLibvirt *libvirt, gboolean by_caller, GError **error)
{
    if (by_caller && libvirt->may_start && !start_daemons(libvirt, error)) {
        queue(libvirt, 0, FALSE);
        return NULL;
    }
    guint generation = libvirt->generation + 1;
    virConnectPtr conn = open_connection(libvirt, generation, error);
    if (conn == NULL) {
        queue(libvirt, 0, FALSE);
        return NULL;
    }
    gulong version = 0;
    if (virConnectGetLibVersion(conn, &version) != 0)
        version = 0;
    g_mutex_lock(&libvirt->lock);
    if (!libvirt->closed) {
        libvirt->conn = conn;
        libvirt->version = version;
        virConnectRef(conn);
        libvirt->generation = generation;
        libvirt->may_start = FALSE;
        queue(libvirt, generation, TRUE);
    }
    g_mutex_unlock(&libvirt->lock);
    return conn;
}

static virConnectPtr get(SteadLibvirt *libvirt, gboolean by_caller, GError **error)
{
    virConnectPtr conn = present(libvirt);
    if (conn)
        return conn;
    g_mutex_lock(&libvirt->connecting);
    conn = present(libvirt);
    if (conn == NULL)
        conn = make(libvirt, by_caller, error);
    g_mutex_unlock(&libvirt->connecting);
    return conn;
}

virConnectPtr stead_libvirt_get(SteadLibvirt *libvirt, GError **error)
{
    return get(libvirt, TRUE, error);
}

static void try_again(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(virConnect) conn = get(data, FALSE, &error);
    if (conn == NULL)
        g_debug("%s", error->message);
    g_task_return_boolean(task, conn != NULL);
}

static void on_tried(GObject *source, GAsyncResult *result, gpointer data)
{
    SteadLibvirt *libvirt = data;
    libvirt->trying = FALSE;
    if (!g_task_propagate_boolean(G_TASK(result), NULL))
        arm_retry(libvirt);
    libvirt_unref(libvirt);
}

static gboolean on_retry(gpointer data)
{
    SteadLibvirt *libvirt = data;
    libvirt->retry = 0;
    libvirt->trying = TRUE;
    g_autoptr(GTask) task = g_task_new(NULL, NULL, on_tried, libvirt_ref(libvirt));
    g_task_set_task_data(task, libvirt_ref(libvirt), libvirt_unref);
    g_task_run_in_thread(task, try_again);
    return G_SOURCE_REMOVE;
}

static gboolean arm_retry(SteadLibvirt *libvirt)
{
    if (libvirt->retry || libvirt->trying || libvirt->closed)
        return FALSE;
    libvirt->retry = g_timeout_add_full(G_PRIORITY_DEFAULT, libvirt->pause_ms, on_retry,
                                        libvirt_ref(libvirt), libvirt_unref);
    libvirt->pause_ms = MIN(libvirt->pause_ms * 2, RETRY_MAX_MS);
    return TRUE;
}

SteadLibvirt *stead_libvirt_new(const char *uri)
{
    static GOnce once = G_ONCE_INIT;
    g_once(&once, register_once, NULL);

    SteadLibvirt *libvirt = g_new0(SteadLibvirt, 1);
    g_atomic_ref_count_init(&libvirt->refs);
    g_mutex_init(&libvirt->lock);
    g_mutex_init(&libvirt->connecting);
    libvirt->watches = g_array_new(FALSE, FALSE, sizeof(Watch));
    libvirt->uri = g_strdup(uri ? uri : DEFAULT_URI);
    libvirt->may_start = TRUE;
    libvirt->pause_ms = RETRY_MIN_MS;
    return libvirt;
}

void stead_libvirt_free(SteadLibvirt *libvirt)
{
    if (libvirt == NULL)
        return;
    g_mutex_lock(&libvirt->lock);
    g_autoptr(virConnect) conn = g_steal_pointer(&libvirt->conn);
    libvirt->closed = TRUE;
    g_mutex_unlock(&libvirt->lock);
    libvirt->func = NULL;
    if (libvirt->retry)
        g_source_remove(libvirt->retry);
    libvirt->retry = 0;
    if (conn)
        virConnectUnregisterCloseCallback(conn, on_closed);
    libvirt_unref(libvirt);
}

void stead_libvirt_set_watch(SteadLibvirt *libvirt, SteadLibvirtFunc func, gpointer data)
{
    libvirt->func = func;
    libvirt->data = data;
}

guint stead_libvirt_add_watch(SteadLibvirt *libvirt, SteadLibvirtFunc func, gpointer data)
{
    Watch watch = {func, data};
    g_array_append_val(libvirt->watches, watch);
    guint handle = libvirt->watches->len;
    g_mutex_lock(&libvirt->lock);
    gboolean connected = libvirt->conn != NULL;
    guint generation = libvirt->generation;
    g_mutex_unlock(&libvirt->lock);
    if (connected) {
        Event *event = event_new(libvirt, generation, TRUE);
        event->joined = handle;
        g_idle_add_full(G_PRIORITY_DEFAULT, deliver, event, event_free);
    }
    return handle;
}

void stead_libvirt_remove_watch(SteadLibvirt *libvirt, guint handle)
{
    if (handle > 0 && handle <= libvirt->watches->len)
        g_array_index(libvirt->watches, Watch, handle - 1).func = NULL;
}

static gboolean parse_ids(const char *capabilities, guint *uid, guint *gid, GError **error)
{
    g_autoptr(xmlDoc) doc = stead_xml_parse("libvirt's capabilities", capabilities, error);
    if (doc == NULL)
        return FALSE;
    g_autofree char *label =
        stead_xml_string(doc, "/capabilities/host/secmodel[model='dac']/baselabel[1]");
    if (label && sscanf(label, "+%u:+%u", uid, gid) == 2)
        return TRUE;
    /* Without the DAC driver QEMU runs as libvirtd does. */
    *uid = *gid = 0;
    return TRUE;
}

gboolean stead_libvirt_qemu_ids(SteadLibvirt *libvirt, guint *uid, guint *gid, GError **error)
{
    g_mutex_lock(&libvirt->lock);
    gboolean known = libvirt->ids_known;
    *uid = libvirt->uid;
    *gid = libvirt->gid;
    g_mutex_unlock(&libvirt->lock);
    if (known)
        return TRUE;

    g_autoptr(virConnect) conn = stead_libvirt_get(libvirt, error);
    if (conn == NULL)
        return FALSE;
    char *capabilities = virConnectGetCapabilities(conn);
    if (capabilities == NULL)
        return stead_libvirt_error(error, "asking libvirt for its capabilities");
    gboolean parsed = parse_ids(capabilities, uid, gid, error);
    free(capabilities);
    if (!parsed)
        return FALSE;
    g_mutex_lock(&libvirt->lock);
    libvirt->uid = *uid;
    libvirt->gid = *gid;
    libvirt->ids_known = TRUE;
    g_mutex_unlock(&libvirt->lock);
    return TRUE;
}

gboolean stead_libvirt_is_connected(SteadLibvirt *libvirt, gulong *version)
{
    g_mutex_lock(&libvirt->lock);
    gboolean connected = libvirt->conn != NULL;
    *version = libvirt->version;
    g_mutex_unlock(&libvirt->lock);
    return connected;
}
