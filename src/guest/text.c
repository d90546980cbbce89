/* SPDX-License-Identifier: Apache-2.0 */
/* Small helpers, each with its bound. */
#include "guest/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define DIGITS_MAX 20

GuestText guest_text(char *buffer, size_t size)
{
    buffer[0] = '\0';
    return (GuestText){.text = buffer, .size = size};
}

void guest_text_add_bytes(GuestText *text, const char *bytes, size_t length)
{
    size_t room = text->size - 1 - text->length;
    if (length > room) {
        text->is_cut = true;
        length = room;
    }
    memcpy(text->text + text->length, bytes, length);
    text->length += length;
    text->text[text->length] = '\0';
}

void guest_text_add(GuestText *text, const char *string)
{
    guest_text_add_bytes(text, string, strlen(string));
}

void guest_text_add_number(GuestText *text, uint64_t number)
{
    char digits[DIGITS_MAX];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    guest_text_add_bytes(text, digits + at, sizeof digits - at);
}

size_t guest_number(const char *text, uint64_t *number)
{
    uint64_t value = 0;
    size_t n = 0;
    for (; text[n] >= '0' && text[n] <= '9'; n++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[n] - '0'), &value))
            return 0;
    *number = value;
    return n;
}

static int64_t read_all(int fd, char *buffer, size_t size)
{
    size_t length = 0;
    while (length < size) {
        ssize_t n = read(fd, buffer + length, size - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0) {
            buffer[length] = '\0';
            return (int64_t)length;
        }
        length += (size_t)n;
    }
    return -EFBIG;
}

int64_t guest_read_file(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int64_t length = read_all(fd, buffer, size);
    close(fd);
    return length;
}

int guest_write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, text, strlen(text));
    int failed = n < 0 ? -errno : 0;
    close(fd);
    return failed;
}
