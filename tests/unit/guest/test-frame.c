/* SPDX-License-Identifier: Apache-2.0 */
/* Frames survive any cut and any garbage; nothing else is taken for one. */
#include <errno.h>
#include <string.h>

#include <glib.h>

#include "guest/protocol.h"

static GuestDecoder decoder;
static guint8 encoded[GUEST_ENCODED_MAX];

static void restart(void)
{
    memset(&decoder, 0, sizeof decoder);
}

static gsize encode(guint type, guint channel, const void *payload, gsize length)
{
    ssize_t n = guest_frame_encode(encoded, sizeof encoded, (guint16)type, (guint16)channel,
                                   payload, length);
    g_assert_cmpint(n, >, 0);
    g_assert_cmpuint((gsize)n, <=, GUEST_ENCODED_SIZE(GUEST_FRAME_HEAD + length));
    g_assert_true(memchr(encoded, 0, (gsize)n) == encoded + n - 1);
    return (gsize)n;
}

/* Feeds in pieces of that size; the result of the last. */
static GuestFeed feed(const guint8 *bytes, gsize length, gsize piece, GuestFrame *frame)
{
    GuestFeed fed = GUEST_FEED_MORE;
    while (length > 0) {
        gsize used, n = MIN(piece, length);
        fed = guest_decoder_feed(&decoder, bytes, n, &used, frame);
        g_assert_cmpuint(used, <=, n);
        g_assert_true(used == n || fed != GUEST_FEED_MORE);
        bytes += used;
        length -= used;
    }
    return fed;
}

static void check_round_trip(const guint8 *payload, gsize length, gsize piece)
{
    GuestFrame frame;
    restart();
    gsize n = encode(0x1234, 0xfedc, payload, length);
    g_assert_cmpint(feed(encoded, n, piece, &frame), ==, GUEST_FEED_FRAME);
    g_assert_cmphex(frame.type, ==, 0x1234);
    g_assert_cmphex(frame.channel, ==, 0xfedc);
    g_assert_cmpmem(frame.payload, frame.length, payload, length);
}

static void test_round_trip_of_lengths(void)
{
    static guint8 ones[1100], zeros[1100];
    memset(ones, 1, sizeof ones);
    for (gsize length = 0; length < sizeof ones; length++) {
        check_round_trip(ones, length, 4096);
        check_round_trip(zeros, length, 4096);
    }
}

static void test_round_trip_in_pieces(void)
{
    guint8 mixed[700];
    for (gsize i = 0; i < sizeof mixed; i++)
        mixed[i] = (guint8)(i % 5 ? i : 0);
    for (gsize piece = 1; piece < 300; piece += 7)
        check_round_trip(mixed, sizeof mixed, piece);
}

static void test_greatest_frame(void)
{
    g_autofree guint8 *payload = g_malloc(GUEST_PAYLOAD_MAX + 1);
    memset(payload, 0xaa, GUEST_PAYLOAD_MAX + 1);
    check_round_trip(payload, GUEST_PAYLOAD_MAX, 1000);
    g_assert_cmpint(
        guest_frame_encode(encoded, sizeof encoded, 1, 1, payload, GUEST_PAYLOAD_MAX + 1), ==,
        -EMSGSIZE);
}

static void test_encoding_needs_room(void)
{
    guint8 small[16];
    g_assert_cmpint(guest_frame_encode(small, sizeof small, 1, 1, "12345678901", 11), ==, -ENOBUFS);
    g_assert_cmpint(guest_frame_encode(small, sizeof small, 1, 1, "1234567890", 10), ==, 16);
}

static void test_too_long_is_passed_over(void)
{
    GuestFrame frame;
    restart();
    for (int i = 0; i < 300; i++) {
        guint8 block[255];
        memset(block, 0xff, sizeof block);
        g_assert_cmpint(feed(block, sizeof block, 255, &frame), ==, GUEST_FEED_MORE);
    }
    g_assert_cmpint(feed((const guint8 *)"", 1, 1, &frame), ==, GUEST_FEED_BAD);
    gsize n = encode(7, 8, "next", 4);
    g_assert_cmpint(feed(encoded, n, n, &frame), ==, GUEST_FEED_FRAME);
    g_assert_cmpmem(frame.payload, frame.length, "next", 4);
}

/* A cut between two blocks makes a shorter frame, which its fields show; any other makes none. */
static void test_cut_frame_harms_only_itself(void)
{
    GuestFrame frame;
    gsize n = encode(7, 8, "some words\0more", 15), n_bad = 0;
    for (gsize cut = 1; cut < n - 1; cut++) {
        restart();
        feed(encoded, cut, 100, &frame);
        GuestFeed fed = feed((const guint8 *)"", 1, 1, &frame);
        g_assert_true(fed == GUEST_FEED_BAD || frame.length < 15);
        n_bad += fed == GUEST_FEED_BAD;
        g_assert_cmpint(feed(encoded, n, 100, &frame), ==, GUEST_FEED_FRAME);
        g_assert_cmpuint(frame.length, ==, 15);
    }
    g_assert_cmpuint(n_bad, >, n / 2);
}

static void test_zeros_are_nothing(void)
{
    GuestFrame frame;
    guint8 zeros[100] = {0};
    restart();
    g_assert_cmpint(feed(zeros, sizeof zeros, 100, &frame), ==, GUEST_FEED_MORE);
}

static void test_short_frame_is_bad(void)
{
    GuestFrame frame;
    const guint8 three[] = {4, 1, 2, 3, 0};
    restart();
    g_assert_cmpint(feed(three, sizeof three, 5, &frame), ==, GUEST_FEED_BAD);
}

static void test_stops_behind_each_frame(void)
{
    GuestFrame frame;
    gsize used, n = encode(1, 2, "a", 1);
    guint8 two[64];
    memcpy(two, encoded, n);
    memcpy(two + n, encoded, n);
    restart();
    g_assert_cmpint(guest_decoder_feed(&decoder, two, 2 * n, &used, &frame), ==, GUEST_FEED_FRAME);
    g_assert_cmpuint(used, ==, n);
}

static void test_random_bytes(void)
{
    GuestFrame frame;
    restart();
    for (int i = 0; i < 20000; i++) {
        guint8 bytes[64];
        for (gsize j = 0; j < sizeof bytes; j++)
            bytes[j] = (guint8)g_test_rand_int_range(0, g_test_rand_bit() ? 256 : 6);
        gsize used;
        GuestFeed fed = guest_decoder_feed(&decoder, bytes, sizeof bytes, &used, &frame);
        g_assert_cmpuint(used, <=, sizeof bytes);
        if (fed == GUEST_FEED_FRAME)
            g_assert_cmpuint(frame.length, <=, GUEST_PAYLOAD_MAX);
    }
}

static void test_names(void)
{
    g_assert_cmpstr(guest_type_name(GUEST_HELLO), ==, "HELLO");
    g_assert_cmpstr(guest_type_name(GUEST_DONE), ==, "DONE");
    g_assert_cmpstr(guest_type_name(0x7f), ==, "?");
    g_assert_cmpstr(guest_step_name(GUEST_STEP_MACHINE_ID), ==, "machine id");
    g_assert_cmpstr(guest_step_name(0), ==, "?");
    g_assert_cmpstr(guest_step_name(99), ==, "?");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/frame/lengths", test_round_trip_of_lengths);
    g_test_add_func("/guest/frame/pieces", test_round_trip_in_pieces);
    g_test_add_func("/guest/frame/greatest", test_greatest_frame);
    g_test_add_func("/guest/frame/room", test_encoding_needs_room);
    g_test_add_func("/guest/frame/too-long", test_too_long_is_passed_over);
    g_test_add_func("/guest/frame/cut", test_cut_frame_harms_only_itself);
    g_test_add_func("/guest/frame/zeros", test_zeros_are_nothing);
    g_test_add_func("/guest/frame/short", test_short_frame_is_bad);
    g_test_add_func("/guest/frame/two", test_stops_behind_each_frame);
    g_test_add_func("/guest/frame/random", test_random_bytes);
    g_test_add_func("/guest/frame/names", test_names);
    return g_test_run();
}
