/* SPDX-License-Identifier: Apache-2.0 */
/* Links where a static program can have io_uring and zlib; the build tries it, nobody runs it. */
#include <liburing.h>
#include <zlib.h>

int main(void)
{
    struct io_uring ring;
    struct io_uring_cqe *end;
    z_stream stream = {0};
    if (io_uring_queue_init(1, &ring, 0) || inflateInit2(&stream, -12) != Z_OK)
        return 1;
    io_uring_submit(&ring);
    io_uring_wait_cqe(&ring, &end);
    io_uring_queue_exit(&ring);
    inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
    return 0;
}
