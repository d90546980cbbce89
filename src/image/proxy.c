/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proxies from the environment. GIO's simple resolver does the matching; here the variables become
 * its settings. The desktop's own proxy settings, which GIO would ask by default, are left out: a
 * daemon does what its environment says.
 */
#include "image/proxy.h"

#include <string.h>

#include "base/error.h"

static const char *const schemes[] = {"http", "socks", "socks4", "socks4a", "socks5", "socks5h"};

/* The value of a variable in lower case, else in upper case; NULL when empty. */
static const char *setting(const char *const *environment, const char *name)
{
    g_autofree char *upper = g_ascii_strup(name, -1);
    const char *value = g_environ_getenv((char **)(gsize)environment, name);
    if (value == NULL)
        value = g_environ_getenv((char **)(gsize)environment, upper);
    return value && *value ? value : NULL;
}

/* The proxy's address in full. Owned by the caller. */
static char *proxy_address(const char *name, const char *value, GError **error)
{
    g_autofree char *full =
        strstr(value, "://") ? g_strdup(value) : g_strconcat("http://", value, NULL);
    g_autoptr(GUri) uri = g_uri_parse(full, G_URI_FLAGS_HAS_PASSWORD, NULL);
    if (uri == NULL || g_uri_get_host(uri) == NULL || *g_uri_get_host(uri) == '\0') {
        stead_set_error(error, STEAD_ERROR_INVALID, "Write it like http://proxy.example:3128.",
                        "%s in the daemon's environment is not the address of a proxy", name);
        return NULL;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(schemes); i++)
        if (strcmp(g_uri_get_scheme(uri), schemes[i]) == 0)
            return g_steal_pointer(&full);
    stead_set_error(error, STEAD_ERROR_UNSUPPORTED, "Use an http or socks proxy.",
                    "%s names a proxy of the kind %s", name, g_uri_get_scheme(uri));
    return NULL;
}

/* Sets the proxy of a scheme from its variable, or from all_proxy. */
static gboolean take_proxy(GSimpleProxyResolver *resolver, const char *const *environment,
                           const char *scheme, GError **error)
{
    g_autofree char *name = g_strconcat(scheme, "_proxy", NULL);
    const char *value = setting(environment, name);
    if (value == NULL)
        value = setting(environment, "all_proxy");
    if (value == NULL)
        return TRUE;
    g_autofree char *address = proxy_address(name, value, error);
    if (address == NULL)
        return FALSE;
    g_simple_proxy_resolver_set_uri_proxy(resolver, scheme, address);
    return TRUE;
}

/* The hosts of no_proxy; *all is whether it names every host. */
static GStrv ignored_hosts(const char *list, gboolean *all)
{
    g_auto(GStrv) parts = g_strsplit_set(list, ", \t", STEAD_PROXY_MAX_HOSTS);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    *all = FALSE;
    for (char **part = parts; *part; part++) {
        *all = *all || strcmp(*part, "*") == 0;
        if (**part)
            g_strv_builder_add(builder, *part);
    }
    return g_strv_builder_end(builder);
}

GProxyResolver *stead_proxy_resolver_new(const char *const *environment, GError **error)
{
    g_autoptr(GProxyResolver) resolver = g_simple_proxy_resolver_new("direct://", NULL);
    GSimpleProxyResolver *simple = G_SIMPLE_PROXY_RESOLVER(resolver);
    const char *list = setting(environment, "no_proxy");
    gboolean none = FALSE;
    if (list) {
        g_auto(GStrv) hosts = ignored_hosts(list, &none);
        g_simple_proxy_resolver_set_ignore_hosts(simple, hosts);
    }
    if (!none && (!take_proxy(simple, environment, "http", error) ||
                  !take_proxy(simple, environment, "https", error)))
        return NULL;
    return g_steal_pointer(&resolver);
}
