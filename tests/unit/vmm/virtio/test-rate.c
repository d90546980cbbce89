/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits: the buckets, and the devices that have them. */
#include "blk-fixture.h"
#include "vmm/rate.h"

static void test_rate_limit_delays(void)
{
    BlkFixture fixture;
    BlkKind kind = {.operations_per_second = 100};
    g_assert_true(blk_set_up(&fixture, &kind));
    gint64 start = g_get_monotonic_time();
    for (unsigned i = 0; i < 30; i++) /* 10 at once, then 1 every 10 ms */
        g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_IN, 0, 512, NULL), ==, 0);
    g_assert_cmpint(g_get_monotonic_time() - start, >=, 150000);
    blk_tear_down(&fixture);
}

/* A request larger than the whole bucket. */
static void test_rate_limit_lets_large_ones_pass(void)
{
    BlkFixture fixture;
    BlkKind kind = {.bytes_per_second = 8 << 20};
    g_assert_true(blk_set_up(&fixture, &kind));
    g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_IN, 0, 2 << 20, NULL), ==, 0);
    g_assert_cmpint(blk_ask(fixture.rig, VIRTIO_BLK_T_IN, 0, 512, NULL), ==, 0);
    blk_tear_down(&fixture);
}

static void test_buckets(void)
{
    VmmRate rate;
    const uint64_t ms = 1000000;
    vmm_rate_init(&rate, 0, 1000, 0); /* holds 100 */
    for (unsigned i = 0; i < 100; i++)
        g_assert_cmpuint(vmm_rate_take(&rate, 1 << 30, 0), ==, 0);
    g_assert_cmpuint(vmm_rate_take(&rate, 1, 0), ==, ms + 1);
    g_assert_cmpuint(vmm_rate_take(&rate, 1, ms), ==, 0);
    g_assert_cmpuint(vmm_rate_take(&rate, 1, ms), >, 0);
    for (unsigned i = 0; i < 100; i++) /* full again, and no fuller */
        g_assert_cmpuint(vmm_rate_take(&rate, 1, 10000 * ms), ==, 0);
    g_assert_cmpuint(vmm_rate_take(&rate, 1, 10000 * ms), >, 0);
    g_assert_cmpuint(vmm_rate_take(&rate, 1, 0), >, 0); /* a clock that goes back */
}

static void test_buckets_go_into_debt(void)
{
    VmmRate rate;
    vmm_rate_init(&rate, 1000, 0, 0);
    g_assert_cmpuint(vmm_rate_take(&rate, 1100, 0), ==, 0);
    g_assert_cmpuint(vmm_rate_take(&rate, 1, 0), ==, 1001000001);
    g_assert_cmpuint(vmm_rate_take(&rate, UINT64_MAX, 2000000000), ==, 0);
    vmm_rate_init(&rate, UINT64_MAX, UINT64_MAX, 0);
    g_assert_cmpuint(vmm_rate_take(&rate, UINT64_MAX, 0), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rate/blk", test_rate_limit_delays);
    g_test_add_func("/rate/blk-large", test_rate_limit_lets_large_ones_pass);
    g_test_add_func("/rate/buckets", test_buckets);
    g_test_add_func("/rate/debt", test_buckets_go_into_debt);
    return g_test_run();
}
