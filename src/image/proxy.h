/* SPDX-License-Identifier: Apache-2.0 */
/* The proxies that an environment asks for: http_proxy, https_proxy, all_proxy, no_proxy. */
#pragma once

#include <gio/gio.h>

/* Hosts that no_proxy may list; more are ignored. */
#define STEAD_PROXY_MAX_HOSTS 256

/*
 * A resolver for the environment given (NULL-terminated NAME=VALUE). Names count in lower and upper
 * case, lower first. A proxy is an http or socks address; without a scheme it is http. no_proxy
 * lists hosts, domains (with or without a dot in front: all hosts below match), addresses and
 * CIDRs; "*" means that no proxy is used at all. Without any setting the resolver says "direct".
 *
 * Errors: INVALID for a proxy that is no address, UNSUPPORTED for one of another scheme.
 */
GProxyResolver *stead_proxy_resolver_new(const char *const *environment, GError **error);
