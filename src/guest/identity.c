/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files are written only where somebody reads them: an initramfs guest has no /etc/hostname, and
 * misses none. What is written appears at once (guest/files.h).
 */
#include "guest/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "guest/files.h"
#include "guest/text.h"

#define NANOSECONDS 1000000000U
#define FILE_MODE 0644
#define MACHINE_ID_MODE 0444
#define HOSTS_MAX 65536
#define RESOLV_MAX 1024
#define RESOLV_LOOKED_AT 4096
#define BLANK " \t"

int guest_set_clock(uint64_t realtime)
{
    struct timespec now = {.tv_sec = (time_t)(realtime / NANOSECONDS),
                           .tv_nsec = (long)(realtime % NANOSECONDS)};
    return clock_settime(CLOCK_REALTIME, &now) < 0 ? -errno : 0;
}

int guest_add_entropy(const GuestBytes *entropy)
{
    struct {
        int entropy_count;
        int buf_size;
        uint8_t buf[GUEST_ENTROPY_MAX];
    } pool = {.entropy_count = (int)entropy->length * 8, .buf_size = (int)entropy->length};
    memcpy(pool.buf, entropy->data, entropy->length);
    int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int failed = ioctl(fd, RNDADDENTROPY, &pool) < 0 ? -errno : 0;
    if (!failed && ioctl(fd, RNDRESEEDCRNG) < 0)
        failed = -errno;
    close(fd);
    explicit_bzero(&pool, sizeof pool);
    return failed;
}

static bool is_file(const char *path)
{
    struct stat about;
    return lstat(path, &about) == 0 && S_ISREG(about.st_mode);
}

/* A word of the line of 127.0.1.1: the old name becomes the new, with a domain behind it too. */
static void add_word(GuestText *out, const char *word, size_t length, const char *old,
                     const char *new)
{
    size_t n = strlen(old);
    bool is_it =
        n > 0 && length >= n && memcmp(word, old, n) == 0 && (length == n || word[n] == '.');
    if (is_it)
        guest_text_add(out, new);
    guest_text_add_bytes(out, word + (is_it ? n : 0), length - (is_it ? n : 0));
}

static void add_line(GuestText *out, const char *line, size_t length, const char *old,
                     const char *new)
{
    const char *end = line + length;
    size_t address = strcspn(line, BLANK "\n");
    bool is_it = address == strlen("127.0.1.1") && memcmp(line, "127.0.1.1", address) == 0;
    while (is_it && line < end) {
        size_t word = strcspn(line, BLANK "\n");
        add_word(out, line, word, old, new);
        line += word;
        size_t blank = strspn(line, BLANK "\n");
        blank = blank < (size_t)(end - line) ? blank : (size_t)(end - line);
        guest_text_add_bytes(out, line, blank);
        line += blank;
    }
    guest_text_add_bytes(out, line, (size_t)(end - line));
}

static int renew_hosts(const char *old, const char *new)
{
    static char before[HOSTS_MAX], after[2 * HOSTS_MAX];
    int64_t length = guest_read_file("/etc/hosts", before, sizeof before);
    GuestText out = guest_text(after, sizeof after);
    if (length == -ENOENT)
        return 0;
    if (length < 0)
        return (int)length;
    for (const char *line = before; *line;) {
        size_t n = strcspn(line, "\n");
        n += line[n] == '\n';
        add_line(&out, line, n, old, new);
        line += n;
    }
    if (out.is_cut)
        return -EFBIG;
    if (strcmp(before, after) == 0)
        return 0;
    return guest_replace("/etc/hosts", after, out.length, FILE_MODE);
}

int guest_set_host_name(const char *name)
{
    char old[GUEST_HOST_NAME_MAX + 1] = "", line[GUEST_HOST_NAME_MAX + 2];
    gethostname(old, sizeof old - 1);
    if (sethostname(name, strlen(name)) < 0)
        return -errno;
    GuestText text = guest_text(line, sizeof line);
    guest_text_add(&text, name);
    guest_text_add(&text, "\n");
    int failed = 0;
    if (is_file("/etc/hostname"))
        failed = guest_replace("/etc/hostname", line, text.length, FILE_MODE);
    return failed ? failed : renew_hosts(old, name);
}

int guest_set_machine_id(const char *id)
{
    static const char dbus[] = "/var/lib/dbus/machine-id";
    char line[GUEST_MACHINE_ID_LENGTH + 2];
    GuestText text = guest_text(line, sizeof line);
    guest_text_add(&text, id);
    guest_text_add(&text, "\n");
    int failed = guest_replace("/etc/machine-id", line, text.length, MACHINE_ID_MODE);
    if (!failed && is_file(dbus))
        failed = guest_replace(dbus, line, text.length, FILE_MODE);
    return failed;
}

/* Services write a link, or their name into the file. */
static bool is_kept_by_a_service(void)
{
    static const char *const services[] = {"systemd-resolved", "NetworkManager", "resolvconf"};
    static char content[RESOLV_LOOKED_AT];
    struct stat about;
    if (lstat("/etc/resolv.conf", &about) < 0)
        return false;
    if (!S_ISREG(about.st_mode) || guest_read_file("/etc/resolv.conf", content, sizeof content) < 0)
        return true;
    for (size_t i = 0; i < sizeof services / sizeof *services; i++)
        if (strstr(content, services[i]))
            return true;
    return false;
}

int guest_set_name_servers(const uint8_t (*servers)[4], uint32_t count, const char *domain)
{
    char lines[RESOLV_MAX];
    GuestText text = guest_text(lines, sizeof lines);
    if (is_kept_by_a_service())
        return 0;
    if (*domain) {
        guest_text_add(&text, "search ");
        guest_text_add(&text, domain);
        guest_text_add(&text, "\n");
    }
    for (uint32_t i = 0; i < count; i++) {
        guest_text_add(&text, "nameserver");
        for (int part = 0; part < 4; part++) {
            guest_text_add(&text, part ? "." : " ");
            guest_text_add_number(&text, servers[i][part]);
        }
        guest_text_add(&text, "\n");
    }
    return guest_replace("/etc/resolv.conf", lines, text.length, FILE_MODE);
}
