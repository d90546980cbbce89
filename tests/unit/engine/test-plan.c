/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/plan.h"

#include <string.h>

#include "base/error.h"
#include "engine/claims.h"

typedef struct {
    SteadWorld world;
    SteadSpec *spec;
    GPtrArray *steps;
    GError *error;
} Fixture;

static void set_up(Fixture *f, gconstpointer unused)
{
    f->world.instances = g_ptr_array_new_with_free_func((GDestroyNotify)stead_instance_free);
    f->world.networks = g_ptr_array_new_with_free_func((GDestroyNotify)stead_network_free);
    f->world.volumes = g_ptr_array_new_with_free_func((GDestroyNotify)stead_volume_free);
}

static void forget_plan(Fixture *f)
{
    g_clear_pointer(&f->steps, g_ptr_array_unref);
    g_clear_pointer(&f->spec, stead_spec_free);
    g_clear_error(&f->error);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    forget_plan(f);
    g_ptr_array_unref(f->world.instances);
    g_ptr_array_unref(f->world.networks);
    g_ptr_array_unref(f->world.volumes);
}

static void plan(Fixture *f, const char *yaml)
{
    g_autoptr(GError) error = NULL;
    forget_plan(f);
    f->spec = stead_spec_parse(yaml, -1, "test.yaml", &error);
    g_assert_no_error(error);
    f->steps = stead_plan_new(f->spec, &f->world, &f->error);
}

static const SteadStep *step(Fixture *f, guint i)
{
    g_assert_nonnull(f->steps);
    g_assert_cmpuint(i, <, f->steps->len);
    return f->steps->pdata[i];
}

static void assert_step(Fixture *f, guint i, SteadStepKind kind, const char *name)
{
    g_assert_cmpstr(stead_name_of(&stead_step_names, (int)step(f, i)->kind), ==,
                    stead_name_of(&stead_step_names, (int)kind));
    g_assert_cmpstr(step(f, i)->name, ==, name);
}

/* What an `up` that succeeded leaves: a record that runs, for each instance of the spec. */
static SteadInstance *add_record(Fixture *f, const char *name, const char *project,
                                 const char *spec, SteadState state)
{
    g_autoptr(GError) error = NULL;
    SteadInstance *record = g_new0(SteadInstance, 1);
    record->id = g_uuid_string_random();
    record->name = g_strdup(name);
    record->project = g_strdup(project);
    record->spec = stead_instance_spec_parse(spec, -1, "test", &error);
    g_assert_no_error(error);
    record->disks = g_ptr_array_new_with_free_func((GDestroyNotify)stead_disk_record_free);
    record->nics = g_ptr_array_new_with_free_func((GDestroyNotify)stead_nic_record_free);
    record->state = state;
    g_ptr_array_add(f->world.instances, record);
    return record;
}

#define WEB "{image: debian:12}"
#define LAB(instances) "name: lab\ninstances:\n" instances

static void test_what_is_not_there_is_created(Fixture *f, gconstpointer unused)
{
    plan(f, LAB("  web: " WEB "\n"));
    assert_step(f, 0, STEAD_STEP_CREATE, "web");
    g_assert_cmpuint(f->steps->len, ==, 1);
}

static void test_what_is_as_wanted_is_kept(Fixture *f, gconstpointer unused)
{
    add_record(f, "web", "lab", WEB, STEAD_STATE_RUNNING);
    plan(f, LAB("  web: " WEB "\n"));
    assert_step(f, 0, STEAD_STEP_KEEP, "web");
}

static void test_what_does_not_run_is_started(Fixture *f, gconstpointer unused)
{
    add_record(f, "a", "lab", WEB, STEAD_STATE_STOPPED);
    add_record(f, "b", "lab", WEB, STEAD_STATE_FAILED);
    plan(f, LAB("  a: " WEB "\n  b: " WEB "\n"));
    assert_step(f, 0, STEAD_STEP_START, "a");
    assert_step(f, 1, STEAD_STEP_START, "b");
}

static void test_a_difference_is_a_change(Fixture *f, gconstpointer unused)
{
    add_record(f, "web", "lab", WEB, STEAD_STATE_RUNNING);
    plan(f, LAB("  web: {image: debian:12, cpus: 3}\n"));
    assert_step(f, 0, STEAD_STEP_CHANGE, "web");
    g_assert_cmpint((int)step(f, 0)->effect, ==, STEAD_EFFECT_RESTART);
    g_assert_false(step(f, 0)->then_start);
    g_autoptr(JsonNode) json = stead_plan_to_json(f->steps);
    g_autofree char *text = json_to_string(json, FALSE);
    g_assert_nonnull(strstr(text, "\"field\":\"cpus\""));
    g_assert_nonnull(strstr(text, "needs a restart"));
}

static void test_a_stopped_one_with_changes_is_started(Fixture *f, gconstpointer unused)
{
    add_record(f, "web", "lab", WEB, STEAD_STATE_STOPPED);
    plan(f, LAB("  web: {image: debian:12, cpus: 3}\n"));
    assert_step(f, 0, STEAD_STEP_CHANGE, "web");
    g_assert_true(step(f, 0)->then_start);
}

static void test_a_disk_that_was_grown_is_no_difference(Fixture *f, gconstpointer unused)
{
    add_record(f, "web", "lab", "{image: debian:12, disk: 20G}", STEAD_STATE_RUNNING);
    plan(f, LAB("  web: {image: debian:12, disk: 10G}\n"));
    assert_step(f, 0, STEAD_STEP_KEEP, "web");
}

static void test_what_left_the_spec_is_surplus(Fixture *f, gconstpointer unused)
{
    add_record(f, "old", "lab", WEB, STEAD_STATE_RUNNING);
    add_record(f, "other", "elsewhere", WEB, STEAD_STATE_RUNNING);
    add_record(f, "mine", NULL, WEB, STEAD_STATE_RUNNING);
    plan(f, LAB("  web: " WEB "\n"));
    assert_step(f, 0, STEAD_STEP_CREATE, "web");
    assert_step(f, 1, STEAD_STEP_SURPLUS, "old");
    g_assert_cmpuint(f->steps->len, ==, 2);
}

static void test_a_name_of_another_project_is_refused(Fixture *f, gconstpointer unused)
{
    add_record(f, "web", "elsewhere", WEB, STEAD_STATE_RUNNING);
    plan(f, LAB("  web: " WEB "\n"));
    g_assert_error(f->error, STEAD_ERROR, STEAD_ERROR_CONFLICT);
    g_assert_nonnull(strstr(f->error->message, "the spec 'elsewhere'"));
}

static void test_a_name_made_by_a_command_is_refused(Fixture *f, gconstpointer unused)
{
    add_record(f, "web", NULL, WEB, STEAD_STATE_RUNNING);
    plan(f, LAB("  web: " WEB "\n"));
    g_assert_error(f->error, STEAD_ERROR, STEAD_ERROR_CONFLICT);
}

static void test_one_that_is_being_removed_is_waited_for(Fixture *f, gconstpointer unused)
{
    add_record(f, "web", "lab", WEB, STEAD_STATE_REMOVING);
    plan(f, LAB("  web: " WEB "\n"));
    g_assert_error(f->error, STEAD_ERROR, STEAD_ERROR_BUSY);
}

static void test_count_stands_for_so_many(Fixture *f, gconstpointer unused)
{
    add_record(f, "web-2", "lab", WEB, STEAD_STATE_RUNNING);
    plan(f, LAB("  web: {image: debian:12, count: 3}\n"));
    assert_step(f, 0, STEAD_STEP_CREATE, "web-1");
    assert_step(f, 1, STEAD_STEP_KEEP, "web-2");
    assert_step(f, 2, STEAD_STEP_CREATE, "web-3");
}

static void test_a_smaller_count_leaves_a_surplus(Fixture *f, gconstpointer unused)
{
    add_record(f, "web-3", "lab", WEB, STEAD_STATE_RUNNING);
    plan(f, LAB("  web: {image: debian:12, count: 2}\n"));
    g_assert_cmpuint(f->steps->len, ==, 3);
    assert_step(f, 2, STEAD_STEP_SURPLUS, "web-3");
}

static void test_dependencies_come_first(Fixture *f, gconstpointer unused)
{
    plan(f, LAB("  a: {image: debian:12, depends-on: [b]}\n"
                "  b: {image: debian:12, depends-on: [c]}\n"
                "  c: " WEB "\n"));
    assert_step(f, 0, STEAD_STEP_CREATE, "c");
    assert_step(f, 1, STEAD_STEP_CREATE, "b");
    assert_step(f, 2, STEAD_STEP_CREATE, "a");
    g_assert_cmpstr(step(f, 2)->after[0], ==, "b");
    g_assert_null(step(f, 2)->after[1]);
}

static void test_a_dependency_on_several_waits_for_all(Fixture *f, gconstpointer unused)
{
    plan(f, LAB("  a: {image: debian:12, depends-on: [b]}\n"
                "  b: {image: debian:12, count: 2}\n"));
    assert_step(f, 2, STEAD_STEP_CREATE, "a");
    const char *const both[] = {"b-1", "b-2", NULL};
    g_assert_true(g_strv_equal((const char *const *)step(f, 2)->after, both));
}

static void test_an_unknown_network_is_refused(Fixture *f, gconstpointer unused)
{
    plan(f, LAB("  web: {image: debian:12, networks: [{network: nowhere}]}\n"));
    g_assert_error(f->error, STEAD_ERROR, STEAD_ERROR_INVALID);
    g_assert_nonnull(strstr(f->error->message, "instance 'web': there is no network 'nowhere'"));
}

static void test_an_unknown_volume_is_refused(Fixture *f, gconstpointer unused)
{
    plan(f, LAB("  web: {image: debian:12, disks: [{volume: nothing}]}\n"));
    g_assert_error(f->error, STEAD_ERROR, STEAD_ERROR_INVALID);
    g_assert_nonnull(strstr(f->error->message, "there is no volume 'nothing'"));
}

static void test_networks_and_volumes_come_before_instances(Fixture *f, gconstpointer unused)
{
    plan(f,
         LAB("  web: {image: debian:12, networks: [lan], disks: [{volume: data}]}\n") "networks:\n "
                                                                                      " lan: "
                                                                                      "{}\nvolumes:"
                                                                                      "\n  data: "
                                                                                      "{size: "
                                                                                      "1G}\n");
    assert_step(f, 0, STEAD_STEP_CREATE, "lan");
    assert_step(f, 1, STEAD_STEP_CREATE, "data");
    assert_step(f, 2, STEAD_STEP_CREATE, "web");
}

static SteadNetwork *add_network(Fixture *f, const char *project, const char *spec)
{
    SteadNetwork *network = g_new0(SteadNetwork, 1);
    network->id = g_uuid_string_random();
    network->name = g_strdup("lan");
    network->project = g_strdup(project);
    network->spec = stead_network_spec_parse(spec, -1, "test", NULL);
    g_assert_nonnull(network->spec);
    g_ptr_array_add(f->world.networks, network);
    return network;
}

static void test_a_chosen_subnet_is_no_difference(Fixture *f, gconstpointer unused)
{
    add_network(f, "lab", "{subnet: 10.77.0.0/24}");
    plan(f, "name: lab\nnetworks:\n  lan: {}\n");
    assert_step(f, 0, STEAD_STEP_KEEP, "lan");
    plan(f, "name: lab\nnetworks:\n  lan: {subnet: 10.78.0.0/24}\n");
    assert_step(f, 0, STEAD_STEP_CHANGE, "lan");
}

static void test_a_larger_volume_is_a_change(Fixture *f, gconstpointer unused)
{
    SteadVolume *volume = g_new0(SteadVolume, 1);
    volume->id = g_uuid_string_random();
    volume->name = g_strdup("data");
    volume->project = g_strdup("lab");
    volume->spec = stead_volume_spec_parse("{size: 1G}", -1, "test", NULL);
    g_ptr_array_add(f->world.volumes, volume);
    plan(f, "name: lab\nvolumes:\n  data: {size: 2G}\n");
    assert_step(f, 0, STEAD_STEP_CHANGE, "data");
    plan(f, "name: lab\ninstances:\n  web: " WEB "\n");
    assert_step(f, 1, STEAD_STEP_SURPLUS, "data");
}

static void test_a_port_of_a_stopped_instance_is_taken(Fixture *f, gconstpointer unused)
{
    add_record(f, "old", NULL, "{image: debian:12, ports: ['8080:80']}", STEAD_STATE_STOPPED);
    plan(f, LAB("  web: {image: debian:12, ports: ['127.0.0.1:8080:81']}\n"));
    g_assert_error(f->error, STEAD_ERROR, STEAD_ERROR_CONFLICT);
    g_assert_nonnull(strstr(f->error->message, "port 8080/tcp of the host is given to 'old'"));
}

static void test_ports_of_other_addresses_and_protocols_are_free(Fixture *f, gconstpointer unused)
{
    add_record(f, "old", NULL,
               "{image: debian:12, ports: ['127.0.0.1:8080:80', '8081:80/udp', '8082:80']}",
               STEAD_STATE_RUNNING);
    plan(f, LAB("  web: {image: debian:12, ports: ['127.0.0.2:8080:80', '8081:80']}\n"));
    assert_step(f, 0, STEAD_STEP_CREATE, "web");
}

static void test_an_instance_does_not_conflict_with_itself(Fixture *f, gconstpointer unused)
{
    SteadInstance *web =
        add_record(f, "web", NULL, "{image: debian:12, ports: ['8080:80']}", STEAD_STATE_RUNNING);
    g_autoptr(GError) error = NULL;
    g_assert_true(stead_claims_check(f->world.instances, web->id, web->spec, &error));
    g_assert_no_error(error);
    g_assert_false(stead_claims_check(f->world.instances, NULL, web->spec, NULL));
}

static void test_a_mac_is_had_once_in_a_network(Fixture *f, gconstpointer unused)
{
    SteadInstance *old = add_record(f, "old", NULL, WEB, STEAD_STATE_STOPPED);
    SteadNicRecord *nic = g_new0(SteadNicRecord, 1);
    nic->network = g_strdup("default");
    nic->mac = g_strdup("52:54:00:aa:bb:cc");
    g_ptr_array_add(old->nics, nic);
    plan(f, LAB("  web: {image: debian:12, networks: [{mac: '52:54:00:AA:BB:CC'}]}\n"));
    g_assert_error(f->error, STEAD_ERROR, STEAD_ERROR_CONFLICT);
}

#define ADD(path, func) g_test_add("/plan/" path, Fixture, NULL, set_up, func, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("create", test_what_is_not_there_is_created);
    ADD("keep", test_what_is_as_wanted_is_kept);
    ADD("start", test_what_does_not_run_is_started);
    ADD("change", test_a_difference_is_a_change);
    ADD("change-then-start", test_a_stopped_one_with_changes_is_started);
    ADD("grown-disk", test_a_disk_that_was_grown_is_no_difference);
    ADD("surplus", test_what_left_the_spec_is_surplus);
    ADD("conflict/other-project", test_a_name_of_another_project_is_refused);
    ADD("conflict/command", test_a_name_made_by_a_command_is_refused);
    ADD("being-removed", test_one_that_is_being_removed_is_waited_for);
    ADD("count/expands", test_count_stands_for_so_many);
    ADD("count/smaller", test_a_smaller_count_leaves_a_surplus);
    ADD("order/chain", test_dependencies_come_first);
    ADD("order/several", test_a_dependency_on_several_waits_for_all);
    ADD("order/parts", test_networks_and_volumes_come_before_instances);
    ADD("unknown/network", test_an_unknown_network_is_refused);
    ADD("unknown/volume", test_an_unknown_volume_is_refused);
    ADD("network/subnet", test_a_chosen_subnet_is_no_difference);
    ADD("volume/size", test_a_larger_volume_is_a_change);
    ADD("claims/port", test_a_port_of_a_stopped_instance_is_taken);
    ADD("claims/free", test_ports_of_other_addresses_and_protocols_are_free);
    ADD("claims/self", test_an_instance_does_not_conflict_with_itself);
    ADD("claims/mac", test_a_mac_is_had_once_in_a_network);
    return g_test_run();
}
