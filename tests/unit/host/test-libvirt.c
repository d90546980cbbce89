/* SPDX-License-Identifier: Apache-2.0 */
/* The connection, on libvirt's built-in test driver; the classes of its errors; its XML. */
#include "host/libvirt.h"

#include <errno.h>

#include "base/error.h"
#include "host/xml.h"

#define TEST_URI "test:///default"

static void test_errors_are_classed(void)
{
    static const struct {
        int domain, number, system;
        const char *message;
        SteadErrorCode code;
    } cases[] = {
        {VIR_FROM_QEMU, VIR_ERR_NO_DOMAIN, 0, "none", STEAD_ERROR_NOT_FOUND},
        {VIR_FROM_QEMU, VIR_ERR_OPERATION_FAILED, 0, "domain 'a' already exists with uuid b",
         STEAD_ERROR_CONFLICT},
        {VIR_FROM_QEMU, VIR_ERR_OPERATION_INVALID, 0, "not running", STEAD_ERROR_STATE},
        {VIR_FROM_QEMU, VIR_ERR_AGENT_UNRESPONSIVE, 0, "no", STEAD_ERROR_GUEST},
        {VIR_FROM_QEMU, VIR_ERR_INTERNAL_ERROR, 0, "write: No space left on device",
         STEAD_ERROR_EXHAUSTED},
        {VIR_FROM_QEMU, VIR_ERR_SYSTEM_ERROR, EACCES, "open", STEAD_ERROR_DENIED},
        {VIR_FROM_RPC, VIR_ERR_INTERNAL_ERROR, 0, "client socket is closed",
         STEAD_ERROR_UNAVAILABLE},
        {VIR_FROM_RPC, VIR_ERR_SYSTEM_ERROR, ENOENT, "Failed to connect socket",
         STEAD_ERROR_UNAVAILABLE},
        {VIR_FROM_QEMU, VIR_ERR_CONFIG_UNSUPPORTED, 0, "no", STEAD_ERROR_UNSUPPORTED},
        {VIR_FROM_QEMU, VIR_ERR_INTERNAL_ERROR, 0, "whatever", STEAD_ERROR_INTERNAL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        virError failure = {.domain = cases[i].domain,
                            .code = cases[i].number,
                            .level = VIR_ERR_ERROR,
                            .message = (char *)cases[i].message,
                            .int1 = cases[i].system};
        int code = (int)stead_libvirt_error_class(&failure);
        g_assert_cmpint(code, ==, (int)cases[i].code);
    }
}

static void test_an_error_says_what_was_asked(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(virConnect) conn = virConnectOpen(TEST_URI);
    g_assert_null(virDomainLookupByName(conn, "absent"));
    g_assert_false(stead_libvirt_error(&error, "looking for %s", "absent"));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
    g_assert_true(g_str_has_prefix(error->message, "looking for absent: "));
}

typedef struct {
    GMainLoop *loop;
    int connected;
} Seen;

static void on_connection(gboolean connected, gpointer data)
{
    Seen *seen = data;
    seen->connected += connected ? 1 : 0;
    g_main_loop_quit(seen->loop);
}

static void test_watches_are_told(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    Seen first = {.loop = loop}, late = {.loop = loop}, gone = {.loop = loop};
    SteadLibvirt *libvirt = stead_libvirt_new(TEST_URI);
    stead_libvirt_set_watch(libvirt, on_connection, &first);
    stead_libvirt_remove_watch(libvirt, stead_libvirt_add_watch(libvirt, on_connection, &gone));
    g_autoptr(virConnect) conn = stead_libvirt_get(libvirt, &error);
    g_assert_no_error(error);
    g_assert_nonnull(conn);
    g_main_loop_run(loop);
    g_assert_cmpint(first.connected, ==, 1);
    stead_libvirt_add_watch(libvirt, on_connection, &late);
    g_main_loop_run(loop);
    g_assert_cmpint(late.connected, ==, 1);
    g_assert_cmpint(first.connected, ==, 1);
    g_assert_cmpint(gone.connected, ==, 0);
    stead_libvirt_free(libvirt);
}

static void test_one_connection_is_shared(void)
{
    SteadLibvirt *libvirt = stead_libvirt_new(TEST_URI);
    g_autoptr(virConnect) one = stead_libvirt_get(libvirt, NULL);
    g_autoptr(virConnect) two = stead_libvirt_get(libvirt, NULL);
    g_assert_nonnull(one);
    g_assert_true(one == two);
    stead_libvirt_free(libvirt);
    stead_libvirt_free(NULL);
}

static void test_no_driver_is_an_error(void)
{
    g_autoptr(GError) error = NULL;
    SteadLibvirt *libvirt = stead_libvirt_new("test:///no/such/file");
    g_assert_null(stead_libvirt_get(libvirt, &error));
    g_assert_nonnull(error);
    g_assert_true(error->domain == STEAD_ERROR);
    stead_libvirt_free(libvirt);
}

static void test_xml_is_asked_by_path(void)
{
    g_autoptr(xmlDoc) doc = stead_xml_parse("test", "<a><b c='1'/><b c='2'/><e/></a>", NULL);
    g_assert_nonnull(doc);
    g_autofree char *first = stead_xml_string(doc, "/a/b/@c");
    g_autofree char *absent = stead_xml_string(doc, "/a/d");
    g_autofree char *empty = stead_xml_string(doc, "/a/e");
    g_auto(GStrv) all = stead_xml_strings(doc, "/a/b/@c");
    g_auto(GStrv) none = stead_xml_strings(doc, "/a/d");
    g_assert_cmpstr(first, ==, "1");
    g_assert_null(absent);
    g_assert_null(empty);
    g_assert_cmpuint(g_strv_length(all), ==, 2);
    g_assert_cmpuint(g_strv_length(none), ==, 0);
}

static void test_what_is_no_xml_is_an_error(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(stead_xml_parse("test", "<a>", &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_INTERNAL);
    g_assert_null(stead_xml_parse("test", "", NULL));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/libvirt/errors-are-classed", test_errors_are_classed);
    g_test_add_func("/libvirt/an-error-says-what-was-asked", test_an_error_says_what_was_asked);
    g_test_add_func("/libvirt/watches-are-told", test_watches_are_told);
    g_test_add_func("/libvirt/one-connection-is-shared", test_one_connection_is_shared);
    g_test_add_func("/libvirt/no-driver-is-an-error", test_no_driver_is_an_error);
    g_test_add_func("/xml/is-asked-by-path", test_xml_is_asked_by_path);
    g_test_add_func("/xml/what-is-no-xml-is-an-error", test_what_is_no_xml_is_an_error);
    return g_test_run();
}
