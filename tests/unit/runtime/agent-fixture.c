/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/runtime/agent-fixture.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/paths.h"

#define PATIENCE (HOST_PATIENCE_MS * G_TIME_SPAN_MILLISECOND)
#define CAPACITY 65536

static void on_ready(guint32 flags, gpointer user)
{
    g_atomic_int_inc(&((Fixture *)user)->greeted);
}

static void on_release(gpointer user)
{
    g_atomic_int_inc(&((Fixture *)user)->released);
}

gint64 patience(void)
{
    return g_get_monotonic_time() + PATIENCE;
}

void open_agent(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(f->host->folder, "agent", NULL);
    f->wires = stead_wires_new();
    f->agent = stead_agent_open(f->wires, path, on_ready, f, on_release, &error);
    g_assert_no_error(error);
}

void await_ready(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    stead_agent_await_ready(f->agent, patience(), NULL, &error);
    g_assert_no_error(error);
}

void set_up(Fixture *f, gconstpointer unused)
{
    f->host = host_start();
    host_disconnect(f->host);
    open_agent(f);
    await_ready(f);
}

void hang_up(Fixture *f)
{
    stead_agent_close(f->agent);
    stead_agent_unref(g_steal_pointer(&f->agent));
    stead_wires_free(g_steal_pointer(&f->wires));
    g_assert_cmpint(f->released, ==, 1);
}

void tear_down(Fixture *f, gconstpointer unused)
{
    hang_up(f);
    host_stop(f->host);
}

/* ---- the peer that we play ---- */

guint64 read_hello(Fixture *f)
{
    GuestHello hello;
    g_autoptr(HostFrame) frame = host_expect(f->host, GUEST_HELLO, 0);
    HOST_READ(frame, guest_hello_fields, &hello);
    return hello.nonce;
}

void send_hello(Fixture *f, guint64 nonce)
{
    GuestHelloReply reply = {GUEST_PROTOCOL_VERSION, nonce, 0, "1"};
    host_send_bytes(f->host, "", 1);
    HOST_SEND(f->host, GUEST_HELLO_REPLY, 0, guest_hello_reply_fields, &reply);
}

void set_up_peer(Fixture *f, gconstpointer unused)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    Host *host = f->host = g_new0(Host, 1);
    host->folder = g_dir_make_tmp("stead-agent-XXXXXX", NULL);
    host->bytes = g_malloc(CAPACITY);
    g_autofree char *path = g_build_filename(host->folder, "agent", NULL);
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    host->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(host->listener, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(host->listener, 1), ==, 0);
    open_agent(f);
    host->connection = accept4(host->listener, NULL, NULL, SOCK_CLOEXEC);
}

void set_up_greeted_peer(Fixture *f, gconstpointer unused)
{
    set_up_peer(f, NULL);
    send_hello(f, read_hello(f));
    await_ready(f);
}

void tear_down_peer(Fixture *f, gconstpointer unused)
{
    hang_up(f);
    stead_clear_fd(&f->host->connection);
    stead_clear_fd(&f->host->listener);
    stead_remove_tree(f->host->folder, NULL);
    g_free(f->host->folder);
    g_free(f->host->bytes);
    g_free(f->host);
}

void send_exit(Fixture *f, guint channel, guint code)
{
    GuestExit exit = {.code = code};
    HOST_SEND(f->host, GUEST_EXIT, channel, guest_exit_fields, &exit);
}

void send_failed(Fixture *f, guint channel, int error)
{
    GuestFailed failed = {.error = error, .text = "a reason"};
    HOST_SEND(f->host, GUEST_FAILED, channel, guest_failed_fields, &failed);
}

guint16 read_request(Fixture *f, GuestType type)
{
    g_autoptr(HostFrame) frame = host_next(f->host);
    g_assert_cmpstr(guest_type_name(frame->type), ==, guest_type_name(type));
    return frame->channel;
}

guint16 read_exec(Fixture *f)
{
    return read_request(f, GUEST_EXEC);
}
