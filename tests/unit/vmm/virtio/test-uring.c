/* SPDX-License-Identifier: Apache-2.0 */
/* What a ring does for whoever writes entries of his own into it: nothing. */
#include <errno.h>
#include <glib.h>
#include <liburing.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/disk/uring.h"

#define TEXT "content"

typedef struct {
    const char *name;
    unsigned code, flags;
    int expected;
} Entry;

static const Entry entries[] = {
    {"read", IORING_OP_READV, 0, sizeof TEXT},
    {"nothing", IORING_OP_NOP, 0, -EACCES},
    {"open", IORING_OP_OPENAT, 0, -EACCES},
    {"close", IORING_OP_CLOSE, 0, -EACCES},
    {"connect", IORING_OP_CONNECT, 0, -EACCES},
    {"receive", IORING_OP_RECVMSG, 0, -EACCES},
    {"read-at-once", IORING_OP_READ, 0, -EACCES},
    {"linked-read", IORING_OP_READV, IOSQE_IO_LINK, -EACCES},
};

static const Entry *forged;
static int ended_with;

/* The linker puts it in the place of the function (meson.build). */
int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring)
{
    for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++) {
        struct io_uring_sqe *entry = &ring->sq.sqes[i & *ring->sq.kring_mask];
        entry->opcode = (__u8)forged->code;
        entry->flags = (__u8)forged->flags;
    }
    return __real_io_uring_submit(ring);
}

static void take_end(VmmUringOp *op, int result)
{
    ended_with = result;
}

static void test_entry(gconstpointer data)
{
    VmmLoop *loop;
    VmmUring *ring;
    char text[sizeof TEXT] = "";
    const struct iovec part = {text, sizeof text};
    VmmUringOp op = {take_end};
    forged = data;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    g_assert_cmpint(vmm_loop_new(&loop, &lock), ==, 0);
    int refused = vmm_uring_new(&ring, loop);
    if (refused) {
        vmm_loop_free(loop);
        g_autofree char *why = g_strdup_printf("no ring here: %s", g_strerror(-refused));
        g_test_skip(why);
        return;
    }
    int fd = memfd_create("file", MFD_CLOEXEC);
    g_assert_cmpint(write(fd, TEXT, sizeof TEXT), ==, sizeof TEXT);
    g_assert_cmpint(vmm_uring_read(ring, &op, fd, &part, 1, 0), ==, 0);
    ended_with = 1;
    vmm_uring_drain(ring);
    g_assert_cmpint(ended_with, ==, forged->expected);
    g_assert_cmpstr(text, ==, forged->expected > 0 ? TEXT : "");
    vmm_uring_free(ring);
    vmm_loop_free(loop);
    close(fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(entries); i++) {
        g_autofree char *path = g_strconcat("/vmm/uring/", entries[i].name, NULL);
        g_test_add_data_func(path, &entries[i], test_entry);
    }
    return g_test_run();
}
