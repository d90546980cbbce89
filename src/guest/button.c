/* SPDX-License-Identifier: Apache-2.0 */
/* Input devices are numbered from 0 without gaps at boot, when nothing was taken away yet. */
#include "guest/button.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/input.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "guest/text.h"

#define DEVICES_MAX 32
#define EVENTS_AT_ONCE 16
#define PATH_SIZE 64
#define LONG_BITS (sizeof(unsigned long) * CHAR_BIT)

static bool has_power_key(int fd)
{
    unsigned long keys[KEY_CNT / LONG_BITS + 1] = {0};
    return ioctl(fd, EVIOCGBIT(EV_KEY, sizeof keys), keys) >= 0 &&
           keys[KEY_POWER / LONG_BITS] >> KEY_POWER % LONG_BITS & 1;
}

static int open_device(unsigned number)
{
    char path[PATH_SIZE];
    GuestText text = guest_text(path, sizeof path);
    guest_text_add(&text, "/dev/input/event");
    guest_text_add_number(&text, number);
    return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

unsigned guest_button_open(int fds[GUEST_BUTTONS_MAX])
{
    unsigned n = 0;
    for (unsigned i = 0; i < DEVICES_MAX && n < GUEST_BUTTONS_MAX; i++) {
        int fd = open_device(i);
        if (fd < 0)
            break;
        if (has_power_key(fd))
            fds[n++] = fd;
        else
            close(fd);
    }
    return n;
}

bool guest_button_was_pressed(int fd)
{
    struct input_event events[EVENTS_AT_ONCE];
    bool was_pressed = false;
    ssize_t n;
    while ((n = read(fd, events, sizeof events)) > 0)
        for (size_t i = 0; i < (size_t)n / sizeof *events; i++)
            was_pressed |=
                events[i].type == EV_KEY && events[i].code == KEY_POWER && events[i].value == 1;
    return was_pressed;
}
