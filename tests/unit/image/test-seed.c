/* SPDX-License-Identifier: Apache-2.0 */
/* Golden files lie in golden/; STEAD_GOLDEN_UPDATE=1 rewrites them. */
#include "image/seed.h"

#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/subprocess.h"
#include "fixture.h"

static const char *const ssh_keys[] = {"ssh-ed25519 AAAAC3Nz ada@example", NULL};
static const char *const packages[] = {"nginx", "jq", NULL};
static const char *const commands[] = {"echo \"hello\" > /tmp/x", "systemctl restart nginx", NULL};

typedef struct {
    SteadInstanceSpec *spec;
    SteadUserSpec users[2];
    SteadSeedNic nics[2];
    SteadSeedOptions options;
} Case;

static void case_init(Case *one)
{
    memset(one, 0, sizeof *one);
    one->spec = stead_instance_spec_new();
    one->options = (SteadSeedOptions){
        .instance_id = "b6a0e3c2-0000-4000-8000-000000000001",
        .hostname = "web",
        .spec = one->spec,
    };
}

static void case_clear(Case *one)
{
    if (one->spec == NULL)
        return;
    g_ptr_array_set_free_func(one->spec->users, NULL);
    g_ptr_array_set_size(one->spec->users, 0);
    stead_instance_spec_free(one->spec);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Case, case_clear)

static void set_list(GStrv *list, const char *const *items)
{
    g_strfreev(*list);
    *list = g_strdupv((GStrv)(gsize)items);
}

static void fill(Case *one)
{
    SteadInstanceSpec *spec = one->spec;
    set_list(&spec->ssh_keys, ssh_keys);
    set_list(&spec->packages, packages);
    set_list(&spec->commands, commands);
    spec->proxy.http = g_strdup("http://proxy.example:3128");
    spec->proxy.https = g_strdup("http://proxy.example:3128");
    spec->proxy.no_proxy = g_strdup("localhost,10.0.0.0/8");
    one->users[0] = (SteadUserSpec){.name = (char *)(gsize) "ada",
                                    .ssh_keys = (GStrv)(gsize)ssh_keys,
                                    .shell = (char *)(gsize) "/bin/zsh",
                                    .sudo = TRUE};
    one->users[1] = (SteadUserSpec){.name = (char *)(gsize) "bob",
                                    .password_hash = (char *)(gsize) "$6$salt$hash"};
    g_ptr_array_add(spec->users, &one->users[0]);
    g_ptr_array_add(spec->users, &one->users[1]);
    one->nics[0] = (SteadSeedNic){.mac = "52:54:00:AA:BB:01"};
    one->nics[1] = (SteadSeedNic){.mac = "52:54:00:aa:bb:02",
                                  .address = "10.77.0.5",
                                  .prefix = 24,
                                  .gateway = "10.77.0.1",
                                  .dns = "10.77.0.1",
                                  .search = "lab.example"};
    one->options.nics = one->nics;
    one->options.n_nics = 2;
    one->options.install_agent = TRUE;
}

static void compare_golden(const char *name, const char *text)
{
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, "golden", name, NULL);
    g_autofree char *golden = NULL;
    g_autoptr(GError) error = NULL;
    if (g_getenv("STEAD_GOLDEN_UPDATE"))
        g_file_set_contents(path, text, -1, &error);
    g_assert_no_error(error);
    g_file_get_contents(path, &golden, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(text, ==, golden);
}

static void make(const Case *one, SteadSeedFiles *files)
{
    g_autoptr(GError) error = NULL;
    stead_seed_files(&one->options, files, &error);
    g_assert_no_error(error);
}

static void test_plain(void)
{
    g_auto(Case) one;
    g_auto(SteadSeedFiles) files = {0};
    case_init(&one);
    make(&one, &files);
    compare_golden("plain.meta-data", files.meta_data);
    compare_golden("plain.user-data", files.user_data);
    compare_golden("plain.network-config", files.network_config);
    g_assert_null(files.vendor_data);
}

static void test_full(void)
{
    g_auto(Case) one;
    g_auto(SteadSeedFiles) files = {0};
    case_init(&one);
    fill(&one);
    make(&one, &files);
    compare_golden("full.user-data", files.user_data);
    compare_golden("full.network-config", files.network_config);
    g_assert_null(files.vendor_data);
}

static void test_user_data_is_passed_through(void)
{
    static const char script[] = "#!/bin/sh\n\techo 'ü' \\ \"x\"\r\n";
    g_auto(Case) one;
    g_auto(SteadSeedFiles) files = {0};
    case_init(&one);
    fill(&one);
    one.spec->user_data = g_strdup(script);
    make(&one, &files);
    g_assert_cmpstr(files.user_data, ==, script);
    compare_golden("full.vendor-data", files.vendor_data);
}

/* Reads a cloud-config back as what it is, JSON behind one line. */
static JsonObject *read_back(const char *cloud_config, JsonParser *parser)
{
    static const char head[] = "#cloud-config\n";
    g_autoptr(GError) error = NULL;
    g_assert_true(g_str_has_prefix(cloud_config, head));
    json_parser_load_from_data(parser, cloud_config + strlen(head), -1, &error);
    g_assert_no_error(error);
    return json_node_get_object(json_parser_get_root(parser));
}

static void test_values_cannot_escape(void)
{
    static const char *const odd[] = {"\"]}\nrunpkg: x\n#", "a\tb\\u0000\\", "{{ x }} %s ${y} `z`",
                                      "\xc2\x85\xe2\x80\xa8\xef\xbb\xbf\x7f", NULL};
    g_auto(Case) one;
    g_auto(SteadSeedFiles) files = {0};
    g_autoptr(JsonParser) parser = json_parser_new();
    case_init(&one);
    set_list(&one.spec->commands, odd);
    make(&one, &files);
    JsonObject *object = read_back(files.user_data, parser);
    JsonArray *array = json_object_get_array_member(object, "runcmd");
    g_assert_false(json_object_has_member(object, "runpkg"));
    g_assert_cmpuint(json_array_get_length(array), ==, 4);
    for (guint i = 0; i < 4; i++)
        g_assert_cmpstr(json_array_get_string_element(array, i), ==, odd[i]);
    for (const char *p = files.user_data; *p; p = g_utf8_next_char(p))
        g_assert_true(*p == '\n' || g_unichar_isprint(g_utf8_get_char(p)));
}

static void refuse(const Case *one)
{
    g_auto(SteadSeedFiles) files = {0};
    g_autoptr(GError) error = NULL;
    g_assert_false(stead_seed_files(&one->options, &files, &error));
    assert_stead_error(error, STEAD_ERROR_INVALID);
    g_assert_null(files.user_data);
}

static void test_not_utf8(void)
{
    static const char *const bad[] = {"\xff\xfe", NULL};
    g_auto(Case) one;
    case_init(&one);
    set_list(&one.spec->commands, bad);
    refuse(&one);
}

static void test_wrong_proxy(void)
{
    static const char *const bad[] = {"", "http://x\nPATH=/tmp", "http://x\"", "a b", "$(x)"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_auto(Case) one;
        case_init(&one);
        one.spec->proxy.http = g_strdup(bad[i]);
        refuse(&one);
    }
}

static void test_wrong_host_name(void)
{
    static const char *const bad[] = {"", "a b", "a\nb", "-a", "../x", NULL};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_auto(Case) one;
        case_init(&one);
        one.options.hostname = bad[i];
        refuse(&one);
    }
}

static const SteadSeedNic wrong_nics[] = {
    {.mac = NULL},
    {.mac = "x"},
    {.mac = "52:54:00:aa:bb:01", .address = "10.0.0", .prefix = 24},
    {.mac = "52:54:00:aa:bb:01", .address = "10.0.0.1", .prefix = 0},
    {.mac = "52:54:00:aa:bb:01", .address = "10.0.0.1", .prefix = 33},
    {.mac = "52:54:00:aa:bb:01", .address = "10.0.0.1", .prefix = 24, .gateway = "x"},
    {.mac = "52:54:00:aa:bb:01", .address = "10.0.0.1", .prefix = 24, .dns = "10.0.0.256"},
    {.mac = "52:54:00:aa:bb:01", .address = "10.0.0.1", .prefix = 24, .search = "a b"},
};

static void test_wrong_interface(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(wrong_nics); i++) {
        g_auto(Case) one;
        case_init(&one);
        one.options.nics = &wrong_nics[i];
        one.options.n_nics = 1;
        refuse(&one);
    }
}

static void test_user_data_too_large(void)
{
    g_auto(Case) one;
    case_init(&one);
    one.spec->user_data = g_strnfill(STEAD_MAX_USER_DATA + 1, 'x');
    refuse(&one);
}

static gboolean have_xorriso(void)
{
    if (stead_find_program("xorriso", NULL))
        return TRUE;
    g_test_skip("xorriso is not installed");
    return FALSE;
}

static void extract(const char *iso, const char *name, const char *to)
{
    fixture_run("xorriso", "-osirrox", "on", "-indev", iso, "-extract", name, to, NULL);
}

static void test_iso(Fixture *fixture, gconstpointer data)
{
    g_auto(Case) one;
    g_auto(SteadSeedFiles) files = {0};
    g_autofree char *iso = fixture_path(fixture, "seed.iso");
    g_autofree char *out = fixture_path(fixture, "out");
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    struct stat st;
    case_init(&one);
    if (!have_xorriso())
        return;
    fill(&one);
    one.spec->user_data = g_strdup("#cloud-config\nhostname: mine\n");
    stead_seed_write(&one.options, iso, &error);
    g_assert_no_error(error);
    g_assert_cmpint(stat(iso, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0600);
    extract(iso, "/user-data", out);
    g_assert_true(g_file_get_contents(out, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, one.spec->user_data);

    make(&one, &files);
    static const char *const names[] = {"/vendor-data", "/meta-data", "/network-config"};
    const char *const texts[] = {files.vendor_data, files.meta_data, files.network_config};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *one_out = g_strdup_printf("%s%" G_GSIZE_FORMAT, out, i);
        g_autofree char *got = NULL;
        extract(iso, names[i], one_out);
        g_assert_true(g_file_get_contents(one_out, &got, NULL, NULL));
        g_assert_cmpstr(got, ==, texts[i]);
    }
}

static void test_iso_is_labelled(Fixture *fixture, gconstpointer data)
{
    g_auto(Case) one;
    g_autofree char *iso = fixture_path(fixture, "seed.iso");
    g_autofree char *bytes = NULL;
    gsize length;
    case_init(&one);
    g_assert_true(stead_seed_write(&one.options, iso, NULL));
    g_assert_true(g_file_get_contents(iso, &bytes, &length, NULL));
    /* ISO 9660: the volume identifier of the primary descriptor, in sector 16. */
    g_assert_cmpint(strncmp(bytes + 16 * 2048 + 40, "cidata  ", 8), ==, 0);
}

#define ISO_SECTOR 2048

/* Each record of a directory (ISO 9660, 9.1) has a date at byte 18, the year first. */
static void assert_fixed_dates(const guint8 *directory)
{
    guint records = 0;
    for (gsize at = 0; at < ISO_SECTOR && directory[at] > 0; at += directory[at], records++) {
        g_assert_cmpuint(directory[at + 18], ==, 2020 - 1900);
        g_assert_cmpuint(directory[at + 19], ==, 1);
    }
    g_assert_cmpuint(records, ==, 2 + 3); /* itself, its parent, three files */
}

static void test_iso_is_reproducible(Fixture *fixture, gconstpointer data)
{
    g_auto(Case) one;
    g_autofree char *iso = fixture_path(fixture, "a.iso");
    g_autofree char *again = fixture_path(fixture, "b.iso");
    g_autofree char *bytes = NULL;
    case_init(&one);
    fill(&one);
    g_assert_true(stead_seed_write(&one.options, iso, NULL));
    g_assert_true(stead_seed_write(&one.options, again, NULL));
    fixture_run("cmp", iso, again, NULL);
    g_assert_cmpuint(fixture_count(fixture->folder), ==, 3);

    /* Equal because the dates are fixed, not because both were made in one second. */
    g_assert_true(g_file_get_contents(iso, &bytes, NULL, NULL));
    const char *descriptor = bytes + (gsize)16 * ISO_SECTOR;
    guint32 directory;
    g_assert_cmpint(strncmp(descriptor + 813, "20200101", 8), ==, 0);
    memcpy(&directory, descriptor + 156 + 2, sizeof directory);
    assert_fixed_dates((const guint8 *)bytes + (gsize)GUINT32_FROM_LE(directory) * ISO_SECTOR);
}

static void test_iso_to_nowhere(Fixture *fixture, gconstpointer data)
{
    g_auto(Case) one;
    g_autoptr(GError) error = NULL;
    case_init(&one);
    g_assert_false(stead_seed_write(&one.options, "/no/such/folder/seed.iso", &error));
    g_assert_nonnull(error);
}

static gpointer write_many(gpointer data)
{
    const char *iso = data;
    g_auto(Case) one;
    case_init(&one);
    for (guint i = 0; i < 20; i++)
        g_assert_true(stead_seed_write(&one.options, iso, NULL));
    return NULL;
}

static void test_isos_side_by_side(Fixture *fixture, gconstpointer data)
{
    g_autofree char *a = fixture_path(fixture, "a.iso");
    g_autofree char *b = fixture_path(fixture, "b.iso");
    GThread *other = g_thread_new("other", write_many, b);
    write_many(a);
    g_thread_join(other);
    fixture_run("cmp", a, b, NULL);
    g_assert_cmpuint(fixture_count(fixture->folder), ==, 3);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/image/seed/plain", test_plain);
    g_test_add_func("/image/seed/full", test_full);
    g_test_add_func("/image/seed/user-data-is-passed-through", test_user_data_is_passed_through);
    g_test_add_func("/image/seed/values-cannot-escape", test_values_cannot_escape);
    g_test_add_func("/image/seed/not-utf8", test_not_utf8);
    g_test_add_func("/image/seed/wrong-proxy", test_wrong_proxy);
    g_test_add_func("/image/seed/wrong-host-name", test_wrong_host_name);
    g_test_add_func("/image/seed/wrong-interface", test_wrong_interface);
    g_test_add_func("/image/seed/user-data-too-large", test_user_data_too_large);
    add_test("/image/seed/iso", test_iso);
    add_test("/image/seed/iso-is-labelled", test_iso_is_labelled);
    add_test("/image/seed/iso-is-reproducible", test_iso_is_reproducible);
    add_test("/image/seed/isos-side-by-side", test_isos_side_by_side);
    add_test("/image/seed/iso-to-nowhere", test_iso_to_nowhere);
    return g_test_run();
}
