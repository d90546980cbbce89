/* SPDX-License-Identifier: Apache-2.0 */
/* Links where a static program can have io_uring; the build tries it, nobody runs it. */
#include <liburing.h>

int main(void)
{
    struct io_uring ring;
    struct io_uring_cqe *end;
    if (io_uring_queue_init(1, &ring, 0))
        return 1;
    io_uring_submit(&ring);
    io_uring_wait_cqe(&ring, &end);
    io_uring_queue_exit(&ring);
    return 0;
}
