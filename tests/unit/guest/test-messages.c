/* SPDX-License-Identifier: Apache-2.0 */
/* Fields and messages: what is written reads back the same, and what is out of bounds does not. */
#include <errno.h>
#include <string.h>

#include <glib.h>

#include "guest/protocol.h"

static guint8 buffer[GUEST_PAYLOAD_MAX + 1];

/* Writes with the function and reads back into another struct; the bytes between. */
#define ROUND_TRIP(fields_of, from, to)                                                            \
    ({                                                                                             \
        GuestFields writer = guest_fields_writer(buffer, sizeof buffer);                           \
        fields_of(&writer, from);                                                                  \
        ssize_t written = guest_fields_end(&writer);                                               \
        g_assert_cmpint(written, >, 0);                                                            \
        GuestFields reader = guest_fields_reader(buffer, (gsize)written);                          \
        fields_of(&reader, to);                                                                    \
        g_assert_cmpint(guest_fields_end(&reader), ==, 0);                                         \
        (gsize) written;                                                                           \
    })

#define WRITE_ERROR(fields_of, from)                                                               \
    ({                                                                                             \
        GuestFields writer = guest_fields_writer(buffer, sizeof buffer);                           \
        fields_of(&writer, from);                                                                  \
        guest_fields_end(&writer);                                                                 \
    })

static GuestExec sample_exec(void)
{
    return (GuestExec){.flags = GUEST_EXEC_PTY,
                       .rows = 25,
                       .cols = 80,
                       .user = "root",
                       .cwd = "/tmp",
                       .n_args = 2,
                       .args = {"echo", ""},
                       .n_env = 1,
                       .env = {"A=b"}};
}

static void test_exec(void)
{
    GuestExec from = sample_exec(), to;
    ROUND_TRIP(guest_exec_fields, &from, &to);
    g_assert_cmpuint(to.cols, ==, 80);
    g_assert_cmpstr(to.user, ==, "root");
    g_assert_cmpstr(to.cwd, ==, "/tmp");
    g_assert_cmpstr(to.args[0], ==, "echo");
    g_assert_cmpstr(to.args[1], ==, "");
    g_assert_null(to.args[2]);
    g_assert_cmpstr(to.env[0], ==, "A=b");
    g_assert_null(to.env[1]);
}

/* Each prefix of it is refused, and leaves nothing to trip over. */
static void test_every_cut_is_found(void)
{
    GuestExec from = sample_exec(), to;
    gsize length = ROUND_TRIP(guest_exec_fields, &from, &to);
    for (gsize cut = 0; cut < length; cut++) {
        GuestFields reader = guest_fields_reader(buffer, cut);
        guest_exec_fields(&reader, &to);
        g_assert_cmpint(guest_fields_end(&reader), ==, -EBADMSG);
        g_assert_nonnull(to.user);
        g_assert_nonnull(to.cwd);
    }
}

static void test_bytes_that_are_left_are_an_error(void)
{
    GuestExec from = sample_exec(), to;
    gsize length = ROUND_TRIP(guest_exec_fields, &from, &to);
    GuestFields reader = guest_fields_reader(buffer, length + 1);
    guest_exec_fields(&reader, &to);
    g_assert_cmpint(guest_fields_end(&reader), ==, -EBADMSG);
}

static void test_exec_out_of_bounds(void)
{
    GuestExec no_args = sample_exec(), flags = sample_exec(), env = sample_exec(),
              nameless = sample_exec(), both = sample_exec();
    no_args.n_args = 0;
    flags.flags = 0x80;
    env.env[0] = "novalue";
    nameless.env[0] = "=x";
    both.flags |= GUEST_EXEC_NO_STDIN;
    g_assert_cmpint(WRITE_ERROR(guest_exec_fields, &no_args), ==, -EINVAL);
    g_assert_cmpint(WRITE_ERROR(guest_exec_fields, &flags), ==, -EINVAL);
    g_assert_cmpint(WRITE_ERROR(guest_exec_fields, &env), ==, -EINVAL);
    g_assert_cmpint(WRITE_ERROR(guest_exec_fields, &nameless), ==, -EINVAL);
    g_assert_cmpint(WRITE_ERROR(guest_exec_fields, &both), ==, -EINVAL);
}

static void test_most_arguments(void)
{
    static GuestExec from, to;
    from = sample_exec();
    from.n_args = GUEST_ARGS_MAX;
    for (guint i = 0; i < GUEST_ARGS_MAX; i++)
        from.args[i] = "x";
    ROUND_TRIP(guest_exec_fields, &from, &to);
    g_assert_null(to.args[GUEST_ARGS_MAX]);
    from.n_args++;
    from.args[GUEST_ARGS_MAX] = "x";
    g_assert_cmpint(WRITE_ERROR(guest_exec_fields, &from), ==, -EINVAL);
}

static void test_text_with_a_zero_is_refused(void)
{
    guint8 bytes[] = {3, 0, 0, 0, 'a', 0, 'b', 0};
    const char *text;
    GuestFields reader = guest_fields_reader(bytes, sizeof bytes);
    guest_field_text(&reader, &text, 10);
    g_assert_cmpstr(text, ==, "");
    g_assert_cmpint(guest_fields_end(&reader), ==, -EBADMSG);
}

static void test_text_without_its_zero_is_refused(void)
{
    guint8 bytes[] = {2, 0, 0, 0, 'a', 'b', 'c'};
    const char *text;
    GuestFields reader = guest_fields_reader(bytes, sizeof bytes);
    guest_field_text(&reader, &text, 10);
    g_assert_cmpint(guest_fields_end(&reader), ==, -EBADMSG);
}

static void test_text_of_any_length_wraps_nothing(void)
{
    guint8 bytes[] = {0xff, 0xff, 0xff, 0xff, 'a', 0};
    const char *text;
    GuestFields reader = guest_fields_reader(bytes, sizeof bytes);
    guest_field_text(&reader, &text, SIZE_MAX);
    g_assert_cmpstr(text, ==, "");
    g_assert_cmpint(guest_fields_end(&reader), ==, -EBADMSG);
}

static void test_writing_beyond_the_buffer(void)
{
    GuestExec from = sample_exec();
    for (gsize size = 0; size < 40; size++) {
        g_autofree guint8 *small = g_malloc(size);
        GuestFields writer = guest_fields_writer(small, size);
        guest_exec_fields(&writer, &from);
        g_assert_cmpint(guest_fields_end(&writer), ==, -EMSGSIZE);
    }
}

static void test_hello(void)
{
    GuestHelloReply to, from = {.version = 1, .nonce = G_MAXUINT64, .flags = 3, .agent = "0.1"};
    ROUND_TRIP(guest_hello_reply_fields, &from, &to);
    g_assert_cmpuint(to.nonce, ==, G_MAXUINT64);
    g_assert_cmpstr(to.agent, ==, "0.1");
}

static void test_failure_has_an_errno(void)
{
    GuestFailed from = {.error = 0, .text = ""};
    g_assert_cmpint(WRITE_ERROR(guest_failed_fields, &from), ==, -EINVAL);
    from.error = -2;
    g_assert_cmpint(WRITE_ERROR(guest_failed_fields, &from), ==, -EINVAL);
}

static void test_credit_bounds(void)
{
    GuestCredit none = {0}, most = {GUEST_WINDOW}, more = {GUEST_WINDOW + 1}, to;
    g_assert_cmpint(WRITE_ERROR(guest_credit_fields, &none), ==, -EINVAL);
    g_assert_cmpint(WRITE_ERROR(guest_credit_fields, &more), ==, -EINVAL);
    ROUND_TRIP(guest_credit_fields, &most, &to);
}

static void test_paths_are_absolute(void)
{
    GuestGet relative = {.path = "etc/passwd"}, empty = {.path = ""};
    GuestPut put = {.path = "/a", .mode = 010000};
    g_assert_cmpint(WRITE_ERROR(guest_get_fields, &relative), ==, -EINVAL);
    g_assert_cmpint(WRITE_ERROR(guest_get_fields, &empty), ==, -EINVAL);
    g_assert_cmpint(WRITE_ERROR(guest_put_fields, &put), ==, -EINVAL);
}

static GuestRenew sample_renew(void)
{
    static const guint8 entropy[GUEST_ENTROPY_MIN] = {1, 2, 3};
    return (GuestRenew){
        .realtime = 1700000000000000000,
        .entropy = {entropy, sizeof entropy},
        .host_name = "b",
        .machine_id = "0123456789abcdef0123456789abcdef",
        .n_nics = 1,
        .nics = {{.match = {2, 0, 0, 0, 0, 1},
                  .mac = {2, 0, 0, 0, 0, 2},
                  .prefix = 24,
                  .address = {10, 0, 0, 2},
                  .gateway = {10, 0, 0, 1}}},
        .n_servers = 1,
        .servers = {{10, 0, 0, 1}},
        .domain = "stead",
        .n_files = 1,
        .files = {{.path = "/etc/ssh/ssh_host_ed25519_key",
                   .mode = 0600,
                   .content = {(const guint8 *)"key", 3}}},
        .n_removed = 1,
        .removed = {"/etc/ssh/ssh_host_rsa_key"},
    };
}

static void test_renew(void)
{
    GuestRenew from = sample_renew(), to;
    ROUND_TRIP(guest_renew_fields, &from, &to);
    g_assert_cmpuint(to.realtime, ==, from.realtime);
    g_assert_cmpmem(to.entropy.data, to.entropy.length, from.entropy.data, from.entropy.length);
    g_assert_cmpstr(to.machine_id, ==, from.machine_id);
    g_assert_cmpmem(to.nics[0].mac, 6, from.nics[0].mac, 6);
    g_assert_cmpmem(to.files[0].content.data, to.files[0].content.length, "key", 3);
    g_assert_cmpstr(to.removed[0], ==, "/etc/ssh/ssh_host_rsa_key");
}

static void test_renew_with_nothing(void)
{
    GuestRenew from = {0}, to;
    ROUND_TRIP(guest_renew_fields, &from, &to);
    g_assert_cmpstr(to.host_name, ==, "");
    g_assert_cmpuint(to.n_files, ==, 0);
}

static void refuse_renew_path(const char *path)
{
    GuestRenew renew = sample_renew();
    renew.files[0].path = path;
    g_assert_cmpint(WRITE_ERROR(guest_renew_fields, &renew), ==, -EINVAL);
    renew = sample_renew();
    renew.removed[0] = path;
    g_assert_cmpint(WRITE_ERROR(guest_renew_fields, &renew), ==, -EINVAL);
}

static void test_renew_keeps_to_its_folders(void)
{
    refuse_renew_path("/etc/passwd");
    refuse_renew_path("/etc/ssh/");
    refuse_renew_path("/etc/ssh/..");
    refuse_renew_path("/etc/ssh/.");
    refuse_renew_path("/etc/ssh/../passwd");
    refuse_renew_path("/etc/ssh/sub/file");
    refuse_renew_path("/etc/sshd");
    refuse_renew_path("");
}

static void refuse_host_name(const char *name)
{
    GuestRenew renew = sample_renew();
    renew.host_name = name;
    g_assert_cmpint(WRITE_ERROR(guest_renew_fields, &renew), ==, -EINVAL);
    renew = sample_renew();
    renew.domain = name;
    g_assert_cmpint(WRITE_ERROR(guest_renew_fields, &renew), ==, -EINVAL);
}

static void test_names_are_names(void)
{
    refuse_host_name("a b");
    refuse_host_name("a\nb");
    refuse_host_name("-a");
    refuse_host_name(".a");
    refuse_host_name("a/b");
    refuse_host_name("\xc3\xa4");
}

static void refuse_machine_id(const char *id)
{
    GuestRenew renew = sample_renew();
    renew.machine_id = id;
    g_assert_cmpint(WRITE_ERROR(guest_renew_fields, &renew), ==, -EINVAL);
}

static void test_machine_id_is_one(void)
{
    refuse_machine_id("0123456789abcdef0123456789abcde");
    refuse_machine_id("0123456789abcdef0123456789abcdef0");
    refuse_machine_id("0123456789ABCDEF0123456789abcdef");
    refuse_machine_id("0123456789abcdef0123456789abcde\n");
}

static void test_little_entropy_is_refused(void)
{
    GuestRenew renew = sample_renew();
    renew.entropy.length = GUEST_ENTROPY_MIN - 1;
    g_assert_cmpint(WRITE_ERROR(guest_renew_fields, &renew), ==, -EINVAL);
}

static GuestRenewed all_done(void)
{
    return (GuestRenewed){.n_steps = 8,
                          .steps = {{GUEST_STEP_CLOCK, 0, 0},
                                    {GUEST_STEP_ENTROPY, 0, 0},
                                    {GUEST_STEP_HOST_NAME, 0, 0},
                                    {GUEST_STEP_MACHINE_ID, 0, 0},
                                    {GUEST_STEP_NIC, 0, 0},
                                    {GUEST_STEP_DNS, 0, 0},
                                    {GUEST_STEP_FILE, 0, 0},
                                    {GUEST_STEP_REMOVE, 0, 0}}};
}

static void test_renewed(void)
{
    GuestRenewed from = all_done(), to;
    from.steps[3].error = EROFS;
    ROUND_TRIP(guest_renewed_fields, &from, &to);
    g_assert_cmpuint(to.n_steps, ==, 8);
    g_assert_cmpuint(to.steps[3].error, ==, EROFS);
}

static void test_completeness(void)
{
    GuestRenew asked = sample_renew();
    GuestRenewed done = all_done();
    g_assert_true(guest_renewed_is_complete(&asked, &done));
    for (guint i = 0; i < done.n_steps; i++) {
        done.steps[i].error = EIO;
        g_assert_false(guest_renewed_is_complete(&asked, &done));
        done.steps[i].error = 0;
        done.steps[i].index = 1;
        g_assert_false(guest_renewed_is_complete(&asked, &done));
        done.steps[i].index = 0;
    }
    GuestRenew nothing = {0};
    done.n_steps = 0;
    g_assert_true(guest_renewed_is_complete(&nothing, &done));
    g_assert_false(guest_renewed_is_complete(&asked, &done));
}

static void test_network(void)
{
    static GuestNetwork from, to;
    from = (GuestNetwork){
        .host_name = "b",
        .n_interfaces = 1,
        .interfaces = {{.name = "eth0",
                        .mac = {1, 2, 3, 4, 5, 6},
                        .is_up = 1,
                        .n_addresses = 2,
                        .addresses = {{.family = 4, .prefix = 24, .address = {10, 0, 0, 2}},
                                      {.family = 6, .prefix = 64, .address = {0xfe, 0x80}}}}}};
    ROUND_TRIP(guest_network_fields, &from, &to);
    g_assert_cmpstr(to.interfaces[0].name, ==, "eth0");
    g_assert_cmpuint(to.interfaces[0].addresses[1].prefix, ==, 64);
    from.interfaces[0].addresses[0].prefix = 33;
    g_assert_cmpint(WRITE_ERROR(guest_network_fields, &from), ==, -EINVAL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/messages/exec", test_exec);
    g_test_add_func("/guest/messages/cut", test_every_cut_is_found);
    g_test_add_func("/guest/messages/left", test_bytes_that_are_left_are_an_error);
    g_test_add_func("/guest/messages/exec-bounds", test_exec_out_of_bounds);
    g_test_add_func("/guest/messages/most-arguments", test_most_arguments);
    g_test_add_func("/guest/messages/text-with-zero", test_text_with_a_zero_is_refused);
    g_test_add_func("/guest/messages/text-without-zero", test_text_without_its_zero_is_refused);
    g_test_add_func("/guest/messages/text-wraps", test_text_of_any_length_wraps_nothing);
    g_test_add_func("/guest/messages/no-room", test_writing_beyond_the_buffer);
    g_test_add_func("/guest/messages/hello", test_hello);
    g_test_add_func("/guest/messages/failed", test_failure_has_an_errno);
    g_test_add_func("/guest/messages/credit", test_credit_bounds);
    g_test_add_func("/guest/messages/paths", test_paths_are_absolute);
    g_test_add_func("/guest/messages/renew", test_renew);
    g_test_add_func("/guest/messages/renew-nothing", test_renew_with_nothing);
    g_test_add_func("/guest/messages/renew-folders", test_renew_keeps_to_its_folders);
    g_test_add_func("/guest/messages/host-name", test_names_are_names);
    g_test_add_func("/guest/messages/machine-id", test_machine_id_is_one);
    g_test_add_func("/guest/messages/entropy", test_little_entropy_is_refused);
    g_test_add_func("/guest/messages/renewed", test_renewed);
    g_test_add_func("/guest/messages/complete", test_completeness);
    g_test_add_func("/guest/messages/network", test_network);
    return g_test_run();
}
