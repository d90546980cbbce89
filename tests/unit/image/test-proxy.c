/* SPDX-License-Identifier: Apache-2.0 */
#include "image/proxy.h"

#include <string.h>

#include "fixture.h"

/* What the resolver says for an address, in the given environment. Owned by the caller. */
static char *look_up(const char *const *environment, const char *url)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GProxyResolver) resolver = stead_proxy_resolver_new(environment, &error);
    g_assert_no_error(error);
    g_auto(GStrv) proxies = g_proxy_resolver_lookup(resolver, url, NULL, &error);
    g_assert_no_error(error);
    return g_strdup(proxies[0]);
}

typedef struct {
    const char *environment[4];
    const char *url;
    const char *expected;
} ProxyCase;

#define P "http://proxy:3128"

static const ProxyCase cases[] = {
    {{NULL}, "https://a.example/", "direct://"},
    {{"https_proxy=" P}, "https://a.example/", P},
    {{"HTTPS_PROXY=" P}, "https://a.example/", P},
    {{"https_proxy=" P, "HTTPS_PROXY=http://other:1"}, "https://a.example/", P},
    {{"https_proxy=" P}, "http://a.example/", "direct://"},
    {{"http_proxy=" P}, "http://a.example/", P},
    {{"http_proxy=" P}, "https://a.example/", "direct://"},
    {{"all_proxy=" P}, "https://a.example/", P},
    {{"https_proxy=proxy:3128"}, "https://a.example/", P},
    {{"https_proxy="}, "https://a.example/", "direct://"},
    {{"https_proxy=socks5://proxy:1080"}, "https://a.example/", "socks5://proxy:1080"},
    {{"https_proxy=" P, "no_proxy=a.example"}, "https://a.example/", "direct://"},
    {{"https_proxy=" P, "NO_PROXY=a.example"}, "https://a.example/", "direct://"},
    {{"https_proxy=" P, "no_proxy=example"}, "https://a.example/", "direct://"},
    {{"https_proxy=" P, "no_proxy=.example"}, "https://a.example/", "direct://"},
    {{"https_proxy=" P, "no_proxy=b.example, .other"}, "https://a.example/", P},
    {{"https_proxy=" P, "no_proxy=ample"}, "https://a.example/", P},
    {{"https_proxy=" P, "no_proxy=x,,10.0.0.0/8"}, "https://10.1.2.3/", "direct://"},
    {{"https_proxy=" P, "no_proxy=10.0.0.0/8"}, "https://11.1.2.3/", P},
    {{"https_proxy=" P, "no_proxy=127.0.0.1"}, "https://127.0.0.1:8443/", "direct://"},
    {{"https_proxy=" P, "no_proxy=*"}, "https://a.example/", "direct://"},
};

static void test_look_up(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *proxy = look_up(cases[i].environment, cases[i].url);
        g_test_message("%s %s", cases[i].environment[0], cases[i].url);
        g_assert_cmpstr(proxy, ==, cases[i].expected);
    }
}

static void test_wrong_settings(void)
{
    static const struct {
        const char *environment[2];
        SteadErrorCode code;
    } wrong[] = {
        {{"https_proxy=http://"}, STEAD_ERROR_INVALID},
        {{"https_proxy=http://[x"}, STEAD_ERROR_INVALID},
        {{"http_proxy=ftp://proxy"}, STEAD_ERROR_UNSUPPORTED},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(stead_proxy_resolver_new(wrong[i].environment, &error));
        assert_stead_error(error, wrong[i].code);
    }
}

/* The message must not show the password that a proxy's address may hold. */
static void test_password_is_not_told(void)
{
    static const char *const environment[] = {"https_proxy=ftp://u:secret@proxy", NULL};
    g_autoptr(GError) error = NULL;
    g_assert_null(stead_proxy_resolver_new(environment, &error));
    g_assert_null(strstr(error->message, "secret"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/image/proxy/look-up", test_look_up);
    g_test_add_func("/image/proxy/wrong-settings", test_wrong_settings);
    g_test_add_func("/image/proxy/password-is-not-told", test_password_is_not_told);
    return g_test_run();
}
