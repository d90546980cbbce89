/* SPDX-License-Identifier: Apache-2.0 */
/* What is written is read back; what was tampered with is refused with a reason. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "vmm/state.h"

static VmmStateWriter sample(void)
{
    VmmStateWriter writer = {0};
    vmm_state_begin(&writer, "first", 3);
    vmm_state_put_u8(&writer, 0x12);
    vmm_state_put_u16(&writer, 0x3456);
    vmm_state_put_u32(&writer, 0x789abcde);
    vmm_state_put_u64(&writer, 0xf0123456789abcdeULL);
    vmm_state_put_bytes(&writer, "bytes", 5);
    vmm_state_end(&writer);
    vmm_state_begin(&writer, "second", 1);
    vmm_state_end(&writer);
    g_assert_cmpint(writer.failed, ==, 0);
    return writer;
}

static int read_sample(VmmStateReader *reader)
{
    char bytes[5];
    vmm_state_enter(reader, "first", 3);
    vmm_state_get_u8(reader);
    vmm_state_get_u16(reader);
    vmm_state_get_u32(reader);
    vmm_state_get_u64(reader);
    vmm_state_get_bytes(reader, bytes, sizeof bytes);
    vmm_state_leave(reader);
    vmm_state_enter(reader, "second", 1);
    vmm_state_leave(reader);
    return reader->failed;
}

static void test_round_trip(void)
{
    VmmStateWriter writer = sample();
    VmmStateReader reader;
    char bytes[5];
    vmm_state_reader_init(&reader, writer.bytes, writer.length);
    g_assert_cmpuint(vmm_state_enter(&reader, "first", 4), ==, 3);
    g_assert_cmphex(vmm_state_get_u8(&reader), ==, 0x12);
    g_assert_cmphex(vmm_state_get_u16(&reader), ==, 0x3456);
    g_assert_cmphex(vmm_state_get_u32(&reader), ==, 0x789abcde);
    g_assert_cmphex(vmm_state_get_u64(&reader), ==, 0xf0123456789abcdeULL);
    g_assert_cmpuint(vmm_state_left(&reader), ==, 5);
    vmm_state_get_bytes(&reader, bytes, 5);
    g_assert_cmpmem(bytes, 5, "bytes", 5);
    vmm_state_leave(&reader);
    g_assert_cmpuint(vmm_state_enter(&reader, "second", 1), ==, 1);
    vmm_state_leave(&reader);
    g_assert_cmpint(reader.failed, ==, 0);
    vmm_state_writer_free(&writer);
}

static void test_every_cut_is_refused(void)
{
    VmmStateWriter writer = sample();
    for (size_t length = 0; length < writer.length; length++) {
        VmmStateReader reader;
        g_autofree void *cut = g_memdup2(writer.bytes, length);
        vmm_state_reader_init(&reader, cut, length);
        g_assert_cmpint(read_sample(&reader), ==, -EINVAL);
        g_assert_nonnull(strstr(reader.why.text, "cut short"));
    }
    vmm_state_writer_free(&writer);
}

static void test_flipped_bits_in_headers_are_refused(void)
{
    VmmStateWriter writer = sample();
    for (size_t bit = 0; bit < 22 * 8; bit++) {
        VmmStateReader reader;
        if (bit == 16 * 8 || bit == 16 * 8 + 1)
            continue; /* versions 2 and 1, which are known */
        writer.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        vmm_state_reader_init(&reader, writer.bytes, writer.length);
        g_assert_cmpint(read_sample(&reader), ==, -EINVAL);
        writer.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    vmm_state_writer_free(&writer);
}

static void test_reading_beyond_a_section_fails_and_stays_so(void)
{
    VmmStateWriter writer = sample();
    VmmStateReader reader;
    uint8_t bytes[64] = {1};
    vmm_state_reader_init(&reader, writer.bytes, writer.length);
    vmm_state_enter(&reader, "first", 3);
    vmm_state_get_bytes(&reader, bytes, 21);
    g_assert_cmpint(reader.failed, ==, -EINVAL);
    g_assert_cmpuint(bytes[0], ==, 0);
    g_assert_cmpuint(vmm_state_get_u8(&reader), ==, 0);
    g_assert_cmpuint(vmm_state_left(&reader), ==, 0);
    vmm_state_writer_free(&writer);
}

static void test_a_section_read_in_part_is_refused(void)
{
    VmmStateWriter writer = sample();
    VmmStateReader reader;
    vmm_state_reader_init(&reader, writer.bytes, writer.length);
    vmm_state_enter(&reader, "first", 3);
    vmm_state_leave(&reader);
    g_assert_cmpint(reader.failed, ==, -EINVAL);
    vmm_state_writer_free(&writer);
}

static void test_the_first_refusal_counts(void)
{
    VmmStateReader reader;
    vmm_state_reader_init(&reader, NULL, 0);
    vmm_state_refuse(&reader, "queue %d is too long", 3);
    vmm_state_refuse(&reader, "something else");
    g_assert_nonnull(strstr(reader.why.text, "queue 3 is too long"));
}

static void test_writer_has_a_limit(void)
{
    VmmStateWriter writer = {0};
    g_autofree uint8_t *half = g_malloc0(VMM_STATE_MAX / 2);
    vmm_state_begin(&writer, "large", 1);
    vmm_state_put_bytes(&writer, half, VMM_STATE_MAX / 2);
    g_assert_cmpint(writer.failed, ==, 0);
    vmm_state_put_bytes(&writer, half, VMM_STATE_MAX / 2);
    g_assert_cmpint(writer.failed, ==, -EFBIG);
    vmm_state_end(&writer);
    g_assert_cmpint(writer.failed, ==, -EFBIG);
    vmm_state_writer_free(&writer);
}

static void test_sections_do_not_nest(void)
{
    VmmStateWriter writer = {0};
    vmm_state_begin(&writer, "outer", 1);
    vmm_state_begin(&writer, "inner", 1);
    g_assert_cmpint(writer.failed, ==, -EINVAL);
    vmm_state_writer_free(&writer);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmm/state/round-trip", test_round_trip);
    g_test_add_func("/vmm/state/every-cut", test_every_cut_is_refused);
    g_test_add_func("/vmm/state/flipped-bits", test_flipped_bits_in_headers_are_refused);
    g_test_add_func("/vmm/state/beyond-a-section",
                    test_reading_beyond_a_section_fails_and_stays_so);
    g_test_add_func("/vmm/state/read-in-part", test_a_section_read_in_part_is_refused);
    g_test_add_func("/vmm/state/first-refusal", test_the_first_refusal_counts);
    g_test_add_func("/vmm/state/limit", test_writer_has_a_limit);
    g_test_add_func("/vmm/state/no-nesting", test_sections_do_not_nest);
    return g_test_run();
}
