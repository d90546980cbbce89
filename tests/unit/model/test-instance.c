/* SPDX-License-Identifier: Apache-2.0 */
/* Records: what is written is read back, also by another version; damage is found. */
#include "model/instance.h"

#include <string.h>

#include "base/error.h"

#define ID "6a1ce0a4-6a63-4e0c-93b5-3d4a50a8a1f7"
#define DIGEST "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

#define INSTANCE                                                                                   \
    "{\"id\":\"" ID "\",\"name\":\"web-1\",\"project\":\"lab\",\"kind\":\"vm\","                   \
    "\"kind-reason\":\"the image is a disk\","                                                     \
    "\"spec\":{\"image\":\"debian:12\",\"cpus\":4,\"memory\":{\"max\":\"2G\"}},"                   \
    "\"image-digest\":\"" DIGEST "\",\"disks\":[{\"path\":\"/a\",\"format\":\"qcow2\"},"           \
    "{\"path\":\"/b\",\"format\":\"raw\",\"volume\":\"data\",\"read-only\":true}],"                \
    "\"nics\":[{\"network\":\"lab\",\"mac\":\"52:54:00:00:00:01\",\"address\":\"10.77.0.10\"}],"   \
    "\"restoring\":\"" ID "\",\"state\":\"running\",\"want-running\":true,"                        \
    "\"ready\":true,\"restart-needed\":true,\"stage\":\"login\","                                  \
    "\"addresses\":[\"10.77.0.10\"],\"accel\":\"tcg\",\"error\":\"two\\nlines\",\"restarts\":2,"   \
    "\"created\":1700000000000000,\"started\":1700000001000000}"
#define SNAPSHOT                                                                                   \
    "{\"id\":\"" ID "\",\"instance\":\"" ID "\",\"name\":\"s1\",\"parent\":\"s0\","                \
    "\"memory\":true,\"complete\":true,\"size\":4096,\"spec\":{\"image\":\"debian:12\"},"          \
    "\"layers\":{\"disks\":[\"/a\"],\"memory\":null},\"created\":5}"
#define NETWORK                                                                                    \
    "{\"id\":\"" ID "\",\"name\":\"lab\",\"project\":\"lab\","                                     \
    "\"spec\":{\"subnet\":\"10.77.0.0/24\"},\"libvirt-name\":\"stead-lab\",\"bridge\":\"sb0\","    \
    "\"created\":5}"
#define VOLUME                                                                                     \
    "{\"id\":\"" ID "\",\"name\":\"data\",\"spec\":{\"size\":\"1G\"},\"path\":\"/x/data\","        \
    "\"attached\":\"" ID "\",\"created\":5}"
#define IMAGE                                                                                      \
    "{\"name\":\"debian:12\",\"digest\":\"" DIGEST "\",\"source\":\"build\","                      \
    "\"published\":\"sha512:00\",\"size\":7,\"virtual-size\":9000000000,\"agent\":true,"           \
    "\"created\":5}"

/* Reads a record, copies it, and expects the copy to be written as it was read. */
#define ASSERT_READ_BACK(text, Type, name)                                                         \
    G_STMT_START                                                                                   \
    {                                                                                              \
        g_autoptr(GError) error = NULL;                                                            \
        g_autoptr(JsonNode) json = json_from_string(text, NULL);                                   \
        g_autoptr(Type) record = stead_##name##_from_json(json, &error);                           \
        g_assert_no_error(error);                                                                  \
        g_autoptr(Type) copy = stead_##name##_copy(record);                                        \
        g_autoptr(JsonNode) written = stead_##name##_to_json(copy);                                \
        g_autofree char *again = json_to_string(written, FALSE);                                   \
        g_assert_cmpstr(again, ==, text);                                                          \
        g_assert_null(stead_##name##_copy(NULL));                                                  \
        stead_##name##_free(NULL);                                                                 \
    }                                                                                              \
    G_STMT_END

static void test_records_are_read_back(void)
{
    ASSERT_READ_BACK(INSTANCE, SteadInstance, instance);
    ASSERT_READ_BACK(SNAPSHOT, SteadSnapshot, snapshot);
    ASSERT_READ_BACK(NETWORK, SteadNetwork, network);
    ASSERT_READ_BACK(VOLUME, SteadVolume, volume);
    ASSERT_READ_BACK(IMAGE, SteadImage, image);
}

static SteadInstance *read_instance(const char *text, GError **error)
{
    g_autoptr(JsonNode) json = json_from_string(text, NULL);
    g_assert_nonnull(json);
    return stead_instance_from_json(json, error);
}

static void test_members_are_filled_in(void)
{
    g_autoptr(SteadInstance) instance = read_instance(INSTANCE, NULL);
    g_assert_cmpstr(instance->id, ==, ID);
    g_assert_cmpint(instance->kind, ==, STEAD_KIND_VM);
    g_assert_cmpint(instance->state, ==, STEAD_STATE_RUNNING);
    g_assert_cmpuint(instance->spec->cpus, ==, 4);
    g_assert_cmpstr(instance->addresses[0], ==, "10.77.0.10");
    g_assert_cmpint(instance->created, ==, G_GINT64_CONSTANT(1700000000000000));
}

static void test_a_record_made_by_hand_is_written(void)
{
    g_autoptr(SteadInstance) instance = g_new0(SteadInstance, 1);
    instance->id = g_strdup(ID);
    instance->name = g_strdup("web");
    instance->kind = STEAD_KIND_VM;
    g_autoptr(SteadInstance) copy = stead_instance_copy(instance);
    g_autoptr(JsonNode) json = stead_instance_to_json(instance);
    g_autofree char *text = json_to_string(json, FALSE);
    g_assert_cmpstr(text, ==,
                    "{\"id\":\"" ID "\",\"name\":\"web\",\"kind\":\"vm\",\"state\":\"creating\","
                    "\"want-running\":false,\"ready\":false}");
    g_assert_nonnull(copy->spec);
}

static void test_unknown_fields_and_nulls_are_skipped(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadInstance) instance = read_instance(
        "{\"id\":\"a\",\"name\":\"web\",\"new-thing\":[1],\"error\":null,\"stage\":\"\\u001b[0m\","
        "\"spec\":{\"newer\":{}}}",
        &error);
    g_assert_no_error(error);
    g_assert_null(instance->error);
    g_assert_cmpstr(instance->stage, ==, "\033[0m");
}

static void assert_damaged(const char *text, const char *what)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadInstance) instance = read_instance(text, &error);
    g_assert_null(instance);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    if (!strstr(error->message, what))
        g_error("'%s' lacks '%s'", error->message, what);
}

static void test_damage_is_named(void)
{
    assert_damaged("{\"id\":1,\"name\":\"web\",\"spec\":{}}", "id must be");
    assert_damaged("{\"id\":\"../x\",\"name\":\"web\",\"spec\":{}}", "id must be");
    assert_damaged("{\"name\":\"web\",\"spec\":{}}", "needs 'id'");
    assert_damaged("{\"id\":\"a\",\"name\":\"web\"}", "needs 'spec'");
    assert_damaged("{\"id\":\"a\",\"name\":\"web\",\"spec\":{\"cpus\":\"2\"}}",
                   "spec: cpus must be a whole number from 1 to 512");
    assert_damaged("{\"id\":\"a\",\"name\":\"web\",\"spec\":{},\"created\":-1}", "created must be");
    assert_damaged("{\"id\":\"a\",\"name\":\"web\",\"spec\":{},\"state\":\"gone\"}",
                   "state must be creating, stopped");
    assert_damaged("[]", "must be a mapping of fields, not a list");
}

#define MANY 1000

/* Not a limit of the language but of patience: a thousand records are read and written at once
 * when the daemon starts and when they are listed. The bound is far above what it takes, so that
 * a slow machine does not fail and a quadratic table does. */
static void test_many_records_are_quick(void)
{
    g_autoptr(JsonNode) json = json_from_string(INSTANCE, NULL);
    gint64 start = g_get_monotonic_time();
    g_autoptr(GPtrArray) records =
        g_ptr_array_new_with_free_func((GDestroyNotify)stead_instance_free);
    for (int i = 0; i < MANY; i++)
        g_ptr_array_add(records, stead_instance_from_json(json, NULL));
    gint64 read = g_get_monotonic_time();
    for (int i = 0; i < MANY; i++)
        json_node_unref(stead_instance_to_json(records->pdata[i]));
    gint64 written = g_get_monotonic_time();
    for (int i = 0; i < MANY; i++)
        stead_instance_free(stead_instance_copy(records->pdata[i]));
    gint64 copied = g_get_monotonic_time();
    g_test_message("%d records: read in %" G_GINT64_FORMAT " us, written in %" G_GINT64_FORMAT
                   " us, copied in %" G_GINT64_FORMAT " us",
                   MANY, read - start, written - read, copied - written);
    g_assert_cmpint(copied - start, <, G_USEC_PER_SEC * 2);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/instance/records-are-read-back", test_records_are_read_back);
    g_test_add_func("/instance/members-are-filled-in", test_members_are_filled_in);
    g_test_add_func("/instance/a-record-made-by-hand-is-written",
                    test_a_record_made_by_hand_is_written);
    g_test_add_func("/instance/unknown-fields-and-nulls-are-skipped",
                    test_unknown_fields_and_nulls_are_skipped);
    g_test_add_func("/instance/damage-is-named", test_damage_is_named);
    g_test_add_func("/instance/many-records-are-quick", test_many_records_are_quick);
    return g_test_run();
}
