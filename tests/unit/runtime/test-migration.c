/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams as QEMU writes them, made here byte by byte: what is put with `keeps` has to come out in
 * the state as it is, the rest in the memory or nowhere.
 */
#include "runtime/microvm/migration.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"

#define PAGE 4096
#define PAGES 4
#define SIZE (PAGES * PAGE)
#define RAM_ID 2
#define SILENCE_MS 100

/* migration/ram.c, migration/savevm.c */
#define ZERO 0x02
#define MEM_SIZE 0x04
#define CONTENT 0x08
#define EOS 0x10
#define CONTINUE 0x20

typedef struct {
    GByteArray *bytes, *kept;
} Stream;

static void stream_clear(Stream *stream)
{
    g_byte_array_unref(stream->bytes);
    g_byte_array_unref(stream->kept);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Stream, stream_clear)

/* ---- making streams ---- */

static void put(Stream *stream, gboolean keeps, const void *bytes, gsize n)
{
    g_byte_array_append(stream->bytes, bytes, (guint)n);
    if (keeps)
        g_byte_array_append(stream->kept, bytes, (guint)n);
}

static void put_number(Stream *stream, gboolean keeps, guint64 value, gsize n)
{
    guint64 big = GUINT64_TO_BE(value);
    put(stream, keeps, (const guint8 *)&big + 8 - n, n);
}

static void put_name(Stream *stream, gboolean keeps, const char *name)
{
    put_number(stream, keeps, strlen(name), 1);
    put(stream, keeps, name, strlen(name));
}

/* Up to where the records begin. */
static void put_head(Stream *stream)
{
    put(stream, TRUE, "QEVM\0\0\0\003", 8);
    put(stream, TRUE, "\007\0\0\0\007microvm", 12);
    put_number(stream, TRUE, 1, 1);
    put_number(stream, TRUE, RAM_ID, 4);
    put_name(stream, TRUE, "ram");
    put_number(stream, TRUE, 0, 4); /* instance */
    put_number(stream, TRUE, 4, 4); /* version */
}

static void put_block(Stream *stream, const char *name, guint64 size)
{
    put_name(stream, TRUE, name);
    put_number(stream, TRUE, size, 8);
    put_number(stream, TRUE, 0, 8);
}

static void put_sizes(Stream *stream)
{
    put_number(stream, TRUE, (SIZE + PAGE) | MEM_SIZE, 8);
    put_block(stream, "ram", SIZE);
    put_block(stream, "rom", PAGE);
}

/* A page filled with one byte; NULL as name: of the block before. */
static void put_page(Stream *stream, gboolean keeps, const char *name, guint64 address, char byte)
{
    char page[PAGE];
    memset(page, byte, sizeof page);
    put_number(stream, keeps, address | CONTENT | (name ? 0 : CONTINUE), 8);
    if (name)
        put_name(stream, keeps, name);
    put(stream, keeps, page, sizeof page);
}

static void put_zero(Stream *stream, gboolean keeps, const char *name, guint64 address, char fill)
{
    put_number(stream, keeps, address | ZERO | (name ? 0 : CONTINUE), 8);
    if (name)
        put_name(stream, keeps, name);
    put(stream, keeps, &fill, 1);
}

static void end_section(Stream *stream)
{
    put_number(stream, TRUE, EOS, 8);
    put_number(stream, TRUE, 0x7e, 1);
    put_number(stream, TRUE, RAM_ID, 4);
}

static void begin_section(Stream *stream, guint type)
{
    put_number(stream, TRUE, type, 1);
    put_number(stream, TRUE, RAM_ID, 4);
}

static void put_devices(Stream *stream)
{
    static const char devices[] = "\004\0\0\0\003\005timer\0 and others, \001\0\0\0\002\003ram";
    put(stream, TRUE, devices, sizeof devices);
}

static Stream begin(void)
{
    return (Stream){g_byte_array_new(), g_byte_array_new()};
}

static Stream begin_records(void)
{
    Stream stream = begin();
    put_head(&stream);
    put_sizes(&stream);
    return stream;
}

/* Three sections, two blocks, both kinds of pages. Returns where the devices begin. */
static gsize put_all(Stream *stream)
{
    put_head(stream);
    put_sizes(stream);
    end_section(stream);
    begin_section(stream, 2);
    put_page(stream, FALSE, "ram", PAGE, 'a');
    put_zero(stream, FALSE, NULL, (guint64)2 * PAGE, 0);
    put_page(stream, TRUE, "rom", 0, 'r');
    put_zero(stream, TRUE, NULL, 0, 'z');
    put_page(stream, FALSE, "ram", 0, 'b');
    end_section(stream);
    begin_section(stream, 3);
    put_page(stream, FALSE, "ram", SIZE - PAGE, 'c');
    put_page(stream, FALSE, NULL, 0, 'd');
    end_section(stream);
    gsize devices = stream->bytes->len;
    put_devices(stream);
    return devices;
}

/* ---- splitting them ---- */

static int make_file(const void *bytes, gsize n)
{
    int fd = memfd_create("migration", MFD_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(pwrite(fd, bytes, n, 0), ==, (gssize)n);
    return fd;
}

static GBytes *read_file(int fd)
{
    struct stat st;
    g_assert_cmpint(fstat(fd, &st), ==, 0);
    guint8 *bytes = g_malloc((gsize)st.st_size + 1);
    g_assert_cmpint(pread(fd, bytes, (gsize)st.st_size, 0), ==, st.st_size);
    return g_bytes_new_take(bytes, (gsize)st.st_size);
}

static gboolean split_into(int from, int memory, int state, GError **error)
{
    const SteadMigration migration = {.from = from,
                                      .block = "ram",
                                      .size = SIZE,
                                      .memory = memory,
                                      .state = state,
                                      .silence_ms = SILENCE_MS};
    return stead_migration_split(&migration, error);
}

/* What was written is looked at by the caller, where it cares. */
static gboolean split(const void *bytes, gsize n, GBytes **memory, GBytes **state, GError **error)
{
    stead_autofd from = make_file(bytes, n);
    stead_autofd memory_fd = make_file("", 0);
    stead_autofd state_fd = make_file("", 0);
    g_assert_cmpint(ftruncate(memory_fd, SIZE), ==, 0);
    gboolean done = split_into(from, memory_fd, state_fd, error);
    *memory = read_file(memory_fd);
    *state = read_file(state_fd);
    g_assert_cmpuint(g_bytes_get_size(*memory), ==, SIZE);
    return done;
}

/* It is refused, and nothing of it became a state. */
static void assert_refused(const GByteArray *bytes, gsize n)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) memory = NULL;
    g_autoptr(GBytes) state = NULL;
    g_assert_false(split(bytes->data, n, &memory, &state, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    g_assert_cmpuint(g_bytes_get_size(state), ==, 0);
}

/* The records of a stream that is otherwise whole. */
static void assert_records_refused(Stream *stream)
{
    end_section(stream);
    put_devices(stream);
    assert_refused(stream->bytes, stream->bytes->len);
}

static void assert_state_is(const GByteArray *kept, GBytes *state)
{
    gsize n;
    const guint8 *bytes = g_bytes_get_data(state, &n);
    g_assert_cmpmem(bytes, n, kept->data, kept->len);
}

/* ---- tests ---- */

static void test_taken_apart(void)
{
    static const char fills[PAGES] = {'d', 'a', 0, 'c'};
    g_auto(Stream) stream = begin();
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) memory = NULL;
    g_autoptr(GBytes) state = NULL;
    put_all(&stream);
    split(stream.bytes->data, stream.bytes->len, &memory, &state, &error);
    g_assert_no_error(error);
    assert_state_is(stream.kept, state);
    const char *bytes = g_bytes_get_data(memory, NULL);
    for (gsize i = 0; i < SIZE; i++)
        g_assert_cmpint(bytes[i], ==, fills[i / PAGE]);
}

/* Parts of any size come from a pipe; these are larger than what is read at once. */
static void test_long_devices(void)
{
    g_auto(Stream) stream = begin();
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) memory = NULL;
    g_autoptr(GBytes) state = NULL;
    g_autofree char *much = g_malloc(3 << 20);
    put_all(&stream);
    for (gsize i = 0; i < 3 << 20; i++)
        much[i] = (char)(i * 7 >> 3);
    put(&stream, TRUE, much, 3 << 20);
    split(stream.bytes->data, stream.bytes->len, &memory, &state, &error);
    g_assert_no_error(error);
    assert_state_is(stream.kept, state);
}

static void test_cut_anywhere(void)
{
    g_auto(Stream) stream = begin();
    gsize devices = put_all(&stream);
    for (gsize n = 0; n <= devices; n += n % PAGE == 200 ? 1777 : 1)
        assert_refused(stream.bytes, n);
    assert_refused(stream.bytes, devices - 1);
    assert_refused(stream.bytes, devices);
}

static void test_wrong_beginning(void)
{
    g_auto(Stream) stream = begin();
    put_all(&stream);
    for (gsize i = 0; i < 8; i++) {
        stream.bytes->data[i] ^= 1;
        assert_refused(stream.bytes, stream.bytes->len);
        stream.bytes->data[i] ^= 1;
    }
}

static void test_without_memory(void)
{
    g_auto(Stream) stream = begin();
    static const char zeros[8192] = {0};
    put(&stream, TRUE, "QEVM\0\0\0\003", 8);
    put(&stream, TRUE, zeros, sizeof zeros);
    put_all(&stream); /* too late */
    assert_refused(stream.bytes, stream.bytes->len);
}

static void test_page_beyond_memory(void)
{
    static const guint64 beyond[] = {SIZE, SIZE + PAGE, G_GUINT64_CONSTANT(1) << 63,
                                     G_MAXUINT64 & ~G_GUINT64_CONSTANT(0xfff)};
    for (gsize i = 0; i < G_N_ELEMENTS(beyond); i++) {
        g_auto(Stream) stream = begin_records();
        put_page(&stream, FALSE, "ram", beyond[i], 'x');
        assert_records_refused(&stream);
    }
}

static void test_non_zero_fill(void)
{
    g_auto(Stream) stream = begin_records();
    put_zero(&stream, FALSE, "ram", 0, 1);
    assert_records_refused(&stream);
}

static void test_unknown_flags(void)
{
    static const guint64 unknown[] = {0x00, 0x01, 0x40, 0x80, 0x100, 0x800, 0x0a, 0x18, 0x30, 0x24};
    for (gsize i = 0; i < G_N_ELEMENTS(unknown); i++) {
        g_auto(Stream) stream = begin_records();
        put_number(&stream, FALSE, unknown[i], 8);
        put_name(&stream, FALSE, "ram");
        assert_records_refused(&stream);
    }
}

/* Blocks as a list with a total of its own; ends the stream. */
static void assert_sizes_refused(guint64 total, const char *name, const guint64 *sizes, gsize n)
{
    g_auto(Stream) stream = begin();
    put_head(&stream);
    put_number(&stream, TRUE, total | MEM_SIZE, 8);
    for (gsize i = 0; i < n; i++)
        put_block(&stream, name, sizes[i]);
    assert_records_refused(&stream);
}

static void test_wrong_sizes(void)
{
    static const guint64 smaller[] = {SIZE - PAGE}, larger[] = {SIZE + PAGE}, none[] = {0, SIZE};
    static const guint64 wraps[] = {SIZE, G_MAXUINT64 - SIZE + 1 + PAGE};
    static const guint64 right[] = {SIZE};
    assert_sizes_refused(SIZE - PAGE, "ram", smaller, 1);
    assert_sizes_refused(SIZE + PAGE, "ram", larger, 1);
    assert_sizes_refused(SIZE, "ram", none, 2);
    assert_sizes_refused(2 * SIZE, "ram", wraps, 2);
    assert_sizes_refused(SIZE - PAGE, "ram", right, 1);
    assert_sizes_refused(SIZE, "other", right, 1);
    assert_sizes_refused(0, "ram", right, 0);
}

static void test_endless_sizes(void)
{
    guint64 sizes[65];
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++)
        sizes[i] = SIZE;
    assert_sizes_refused(G_GUINT64_CONSTANT(1) << 62, "ram", sizes, G_N_ELEMENTS(sizes));
}

static void test_sections_of_others(void)
{
    g_auto(Stream) footer = begin_records();
    put_number(&footer, TRUE, EOS, 8);
    put_number(&footer, TRUE, 0x7e, 1);
    put_number(&footer, TRUE, RAM_ID + 1, 4);
    put_devices(&footer);
    assert_refused(footer.bytes, footer.bytes->len);

    g_auto(Stream) part = begin_records();
    end_section(&part);
    put_number(&part, TRUE, 2, 1);
    put_number(&part, TRUE, RAM_ID + 1, 4);
    assert_records_refused(&part);
}

static void test_no_room_for_a_page(void)
{
    g_autoptr(GError) error = NULL;
    const SteadMigration migration = {
        .from = -1, .block = "ram", .size = PAGE - 1, .memory = -1, .state = -1};
    g_assert_false(stead_migration_split(&migration, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
}

static void test_file_that_cannot_be_written(void)
{
    g_auto(Stream) stream = begin();
    g_autoptr(GError) error = NULL;
    put_all(&stream);
    stead_autofd from = make_file(stream.bytes->data, stream.bytes->len);
    stead_autofd memory = make_file("", 0);
    g_assert_false(split_into(from, memory, -1, &error));
    g_assert_nonnull(strstr(error->message, "writing the state"));
    g_clear_error(&error);
    g_assert_cmpint(lseek(from, 0, SEEK_SET), ==, 0);
    g_assert_false(split_into(from, -1, memory, &error));
    g_assert_nonnull(strstr(error->message, "writing the memory"));
}

/* Each page as often as `times`. */
static void put_pages(Stream *stream, guint times)
{
    put_zero(stream, FALSE, "ram", 0, 0);
    for (guint i = 1; i < times * PAGES; i++)
        put_zero(stream, FALSE, NULL, (guint64)(i % PAGES) * PAGE, 0);
}

static void test_as_many_pages_as_there_are(void)
{
    g_auto(Stream) twice = begin_records();
    g_auto(Stream) more = begin_records();
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) memory = NULL;
    g_autoptr(GBytes) state = NULL;
    put_pages(&twice, 2);
    end_section(&twice);
    put_devices(&twice);
    split(twice.bytes->data, twice.bytes->len, &memory, &state, &error);
    g_assert_no_error(error);
    put_pages(&more, 3);
    assert_records_refused(&more);
}

/* ---- engines that take their time ---- */

typedef struct {
    int to;
    guint every_ms; /* a byte; 0: never */
    gint over;
    GCancellable *cancellable; /* cancelled in a moment; NULL */
} Slow;

static gpointer write_slowly(gpointer data)
{
    Slow *slow = data;
    static const char head[] = "QEVM\0\0\0\003";
    for (gsize i = 0; !g_atomic_int_get(&slow->over); i++) {
        g_usleep((slow->every_ms ? slow->every_ms : 10) * 1000);
        if (slow->every_ms && write(slow->to, i < 8 ? head + i : "x", 1) != 1)
            break;
        if (slow->cancellable)
            g_cancellable_cancel(slow->cancellable);
    }
    return NULL;
}

/* The error, and how long it took in milliseconds. */
static GError *split_slowly(Slow *slow, guint silence_ms, gint64 *took_ms)
{
    int ends[2];
    GError *error = NULL;
    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    stead_autofd from = ends[0];
    stead_autofd to = ends[1];
    stead_autofd memory = make_file("", 0);
    stead_autofd state = make_file("", 0);
    const SteadMigration migration = {.from = from,
                                      .block = "ram",
                                      .size = SIZE,
                                      .memory = memory,
                                      .state = state,
                                      .silence_ms = silence_ms,
                                      .cancellable = slow->cancellable};
    slow->to = to;
    GThread *thread = g_thread_new("slow", write_slowly, slow);
    gint64 began = g_get_monotonic_time();
    g_assert_false(stead_migration_split(&migration, &error));
    *took_ms = (g_get_monotonic_time() - began) / 1000;
    g_atomic_int_set(&slow->over, TRUE);
    g_thread_join(thread);
    return error;
}

static void test_silence(void)
{
    Slow slow = {0};
    gint64 took;
    g_autoptr(GError) error = split_slowly(&slow, SILENCE_MS, &took);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_TIMEOUT);
    g_assert_cmpint(took, >=, SILENCE_MS - 1);
}

/* Not silent for long, but all in all. */
static void test_drip(void)
{
    Slow slow = {.every_ms = SILENCE_MS / 4};
    gint64 took;
    g_autoptr(GError) error = split_slowly(&slow, SILENCE_MS, &took);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_TIMEOUT);
    g_assert_cmpint(took, >=, 2 * SILENCE_MS);
}

static void test_cancelled(void)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    Slow slow = {.cancellable = cancellable};
    gint64 took;
    g_autoptr(GError) error = split_slowly(&slow, 60000, &took);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CANCELLED);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/migration/taken-apart", test_taken_apart);
    g_test_add_func("/migration/long-devices", test_long_devices);
    g_test_add_func("/migration/cut-anywhere", test_cut_anywhere);
    g_test_add_func("/migration/wrong-beginning", test_wrong_beginning);
    g_test_add_func("/migration/without-memory", test_without_memory);
    g_test_add_func("/migration/page-beyond-memory", test_page_beyond_memory);
    g_test_add_func("/migration/non-zero-fill", test_non_zero_fill);
    g_test_add_func("/migration/unknown-flags", test_unknown_flags);
    g_test_add_func("/migration/wrong-sizes", test_wrong_sizes);
    g_test_add_func("/migration/endless-sizes", test_endless_sizes);
    g_test_add_func("/migration/sections-of-others", test_sections_of_others);
    g_test_add_func("/migration/no-room-for-a-page", test_no_room_for_a_page);
    g_test_add_func("/migration/file-that-cannot-be-written", test_file_that_cannot_be_written);
    g_test_add_func("/migration/as-many-pages-as-there-are", test_as_many_pages_as_there_are);
    g_test_add_func("/migration/silence", test_silence);
    g_test_add_func("/migration/drip", test_drip);
    g_test_add_func("/migration/cancelled", test_cancelled);
    return g_test_run();
}
