/* SPDX-License-Identifier: Apache-2.0 */
#include "model/kind.h"

#include <string.h>

static void test_names_are_read_back(void)
{
    static const SteadNames *const all[] = {
        &stead_kind_names,      &stead_state_names,        &stead_action_names,
        &stead_firmware_names,  &stead_restart_names,      &stead_hugepages_names,
        &stead_numa_mode_names, &stead_network_mode_names, &stead_protocol_names};
    for (gsize i = 0; i < G_N_ELEMENTS(all); i++)
        for (guint value = 0; value < all[i]->n; value++)
            g_assert_cmpint(stead_value_of(all[i], stead_name_of(all[i], (int)value)), ==, value);
    g_assert_cmpstr(stead_name_of(&stead_kind_names, -1), ==, "?");
    g_assert_cmpstr(stead_name_of(&stead_kind_names, STEAD_N_KINDS), ==, "?");
    g_assert_cmpint(stead_value_of(&stead_kind_names, "zebra"), ==, -1);
    g_assert_cmpint(stead_value_of(&stead_kind_names, NULL), ==, -1);
}

static void test_the_usual_life(void)
{
    static const SteadState life[] = {
        STEAD_STATE_CREATING, STEAD_STATE_STOPPED, STEAD_STATE_STARTING, STEAD_STATE_RUNNING,
        STEAD_STATE_PAUSED,   STEAD_STATE_RUNNING, STEAD_STATE_STOPPING, STEAD_STATE_STOPPED};
    for (gsize i = 1; i < G_N_ELEMENTS(life); i++)
        g_assert_true(stead_state_may_follow(life[i - 1], life[i]));
}

static void test_what_cannot_follow(void)
{
    g_assert_false(stead_state_may_follow(STEAD_STATE_CREATING, STEAD_STATE_RUNNING));
    g_assert_false(stead_state_may_follow(STEAD_STATE_STOPPED, STEAD_STATE_PAUSED));
    for (int to = 0; to < STEAD_N_STATES; to++)
        g_assert_false(stead_state_may_follow(STEAD_STATE_REMOVING, (SteadState)to));
    g_assert_false(stead_state_may_follow(STEAD_N_STATES, STEAD_STATE_STOPPED));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kind/names-are-read-back", test_names_are_read_back);
    g_test_add_func("/kind/the-usual-life", test_the_usual_life);
    g_test_add_func("/kind/what-cannot-follow", test_what_cannot_follow);
    return g_test_run();
}
