/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a spec: they are refused with a message, or read. What is read is written, and what
 * was written is read back to the same: as text, as JSON, and as a copy.
 */
#include <string.h>

#include <glib.h>

#include "base/error.h"
#include "fuzz.h"
#include "model/spec.h"

#define MAX_BYTES (64 * 1024)

static char *text_of(JsonNode *node)
{
    char *text = json_to_string(node, FALSE);
    json_node_unref(node);
    return text;
}

static void check_error(const GError *error)
{
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INVALID);
    g_assert_true(g_utf8_validate(error->message, -1, NULL));
    g_assert_true(*error->message);
}

static void check_instances(const SteadSpec *spec)
{
    for (guint i = 0; i < spec->instances->len; i++) {
        g_autoptr(SteadInstanceSpec) copy = stead_instance_spec_copy(spec->instances->pdata[i]);
        g_autoptr(GPtrArray) same = stead_instance_spec_diff(spec->instances->pdata[i], copy);
        g_assert_cmpuint(same->len, ==, 0);
        g_autoptr(SteadInstanceSpec) plain = stead_instance_spec_new();
        g_autoptr(GPtrArray) changes = stead_instance_spec_diff(plain, copy);
        g_assert_cmpuint(changes->len, >=, 1); /* the image, if nothing else */
    }
}

static void check_read_back(const SteadSpec *spec)
{
    g_autofree char *text = text_of(stead_spec_to_json(spec));
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadSpec) again = stead_spec_parse(text, -1, "again.json", &error);
    g_assert_no_error(error);
    g_autofree char *text_again = text_of(stead_spec_to_json(again));
    g_assert_cmpstr(text, ==, text_again);
    g_autoptr(JsonNode) json = json_from_string(text, &error);
    g_assert_no_error(error);
    g_autoptr(SteadSpec) from_json = stead_spec_from_json(json, &error);
    g_assert_no_error(error);
    g_autofree char *text_json = text_of(stead_spec_to_json(from_json));
    g_assert_cmpstr(text, ==, text_json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > MAX_BYTES)
        return 0;
    g_autoptr(GError) error = NULL;
    g_autoptr(SteadSpec) spec =
        stead_spec_parse(size > 0 ? (const char *)data : "", (gssize)size, "fuzz.yaml", &error);
    if (!spec) {
        check_error(error);
        return 0;
    }
    check_instances(spec);
    check_read_back(spec);
    return 0;
}
