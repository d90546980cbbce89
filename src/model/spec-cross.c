/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of a whole file: what its parts say of one another, and what two of them cannot both have.
 * Networks and volumes that the file does not declare may exist on the host; only the daemon can
 * tell.
 */
#include "model/spec-fields.h"

#include <string.h>

#include "base/near.h"
#include "model/check.h"

/* Things of which there can be one each ("tcp port 8080"), with the place that took it first. */
typedef struct {
    const SteadWhere *where;
    GHashTable *owners; /* char * → char * */
} Claims;

/* Takes `key` over. `what` is what a message calls it. */
static void claim(Claims *claims, char *key, const char *owner, const char *sub, const char *what)
{
    const char *first = g_hash_table_lookup(claims->owners, key);
    if (!first) {
        g_hash_table_insert(claims->owners, key, g_strdup(owner));
        return;
    }
    g_free(key);
    stead_problem(claims->where, sub, "%s is already that of %s%s%s", what,
                  g_str_equal(first, owner) ? "this instance" : "'",
                  g_str_equal(first, owner) ? "" : first, g_str_equal(first, owner) ? "" : "'");
}

static gpointer find(const GPtrArray *names, const GPtrArray *things, const char *name)
{
    for (guint i = 0; i < names->len; i++)
        if (strcmp(names->pdata[i], name) == 0)
            return things->pdata[i];
    return NULL;
}

static void check_address(const SteadSpec *spec, const SteadWhere *where, const SteadNicSpec *nic,
                          const char *sub)
{
    const SteadNetworkSpec *network = find(spec->network_names, spec->networks, nic->network);
    SteadSubnet subnet;
    if (!network)
        return;
    if (network->mode == STEAD_NETWORK_BRIDGE) {
        stead_problem(where, sub, "stead gives out no addresses on the bridge network '%s'",
                      nic->network);
    } else if (!network->subnet) {
        stead_problem(where, sub, "a static address needs a subnet; give the network '%s' one",
                      nic->network);
    } else if (stead_subnet_parse(network->subnet, &subnet, NULL)) {
        g_autofree char *wrong = stead_subnet_refuses(&subnet, nic->address);
        if (wrong)
            stead_problem(where, sub, "%s of the network '%s'", wrong, nic->network);
    }
}

static void check_nics(const SteadSpec *spec, const char *name, const SteadInstanceSpec *instance,
                       Claims *claims)
{
    for (guint i = 0; i < instance->networks->len; i++) {
        const SteadNicSpec *nic = instance->networks->pdata[i];
        g_autofree char *address = g_strdup_printf("instances.%s.networks[%u].address", name, i);
        g_autofree char *mac = g_strdup_printf("instances.%s.networks[%u].mac", name, i);
        if (nic->address) {
            check_address(spec, claims->where, nic, address);
            claim(claims, g_strdup_printf("address %s %s", nic->network, nic->address), name,
                  address, nic->address);
        }
        if (nic->mac) {
            g_autofree char *lower = g_ascii_strdown(nic->mac, -1);
            claim(claims, g_strdup_printf("mac %s", lower), name, mac, nic->mac);
        }
    }
}

static void check_volumes(const char *name, const SteadInstanceSpec *instance, Claims *claims)
{
    for (guint i = 0; i < instance->disks->len; i++) {
        const SteadDiskSpec *disk = instance->disks->pdata[i];
        if (!disk->volume)
            continue;
        g_autofree char *sub = g_strdup_printf("instances.%s.disks[%u]", name, i);
        g_autofree char *what = g_strdup_printf("the volume '%s'", disk->volume);
        claim(claims, g_strdup_printf("volume %s", disk->volume), name, sub, what);
    }
}

static gboolean is_everywhere(const char *address)
{
    return !address || strcmp(address, "0.0.0.0") == 0;
}

/* Who published the port before, on an address that this one would take too; NULL: nobody. `any`
 * has the first owner of each port, whatever its address; `exact` of each port and address. */
static const char *publish(Claims *any, Claims *exact, const SteadPortSpec *port, const char *name)
{
    gboolean everywhere = is_everywhere(port->host_address);
    g_autofree char *number = g_strdup_printf("%d %u", (int)port->protocol, port->host);
    g_autofree char *star = g_strdup_printf("%s *", number);
    g_autofree char *key = g_strdup_printf("%s %s", number, everywhere ? "*" : port->host_address);
    const char *owner =
        g_hash_table_lookup(everywhere ? any->owners : exact->owners, everywhere ? number : key);
    if (!owner)
        owner = g_hash_table_lookup(exact->owners, star);
    if (owner)
        return owner;
    if (!g_hash_table_contains(any->owners, number))
        g_hash_table_insert(any->owners, g_steal_pointer(&number), g_strdup(name));
    g_hash_table_insert(exact->owners, g_steal_pointer(&key), g_strdup(name));
    return NULL;
}

static void check_ports(const char *name, const SteadInstanceSpec *instance, Claims *any,
                        Claims *exact)
{
    for (guint i = 0; i < instance->ports->len; i++) {
        const SteadPortSpec *port = instance->ports->pdata[i];
        /* A wrong one keeps its default, 0. */
        const char *owner = port->host > 0 ? publish(any, exact, port, name) : NULL;
        if (!owner)
            continue;
        g_autofree char *sub = g_strdup_printf("instances.%s.ports[%u]", name, i);
        stead_problem(any->where, sub, "the host's %s port %u is already published for '%s'",
                      stead_name_of(&stead_protocol_names, (int)port->protocol), port->host, owner);
    }
}

/* The name of the nth instance of a row, from 1. */
static char *nth_name(const char *name, guint count, guint n)
{
    return count > 1 ? g_strdup_printf("%s-%u", name, n) : g_strdup(name);
}

static void check_names(const SteadSpec *spec, const SteadWhere *where)
{
    g_autoptr(GHashTable) taken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    guint total = 0;
    for (guint i = 0; i < spec->instances->len; i++) {
        const SteadInstanceSpec *instance = spec->instances->pdata[i];
        char *name = spec->instance_names->pdata[i];
        g_autofree char *sub = g_strdup_printf("instances.%s.count", name);
        g_autofree char *longest = nth_name(name, instance->count, instance->count);
        gboolean names_fit = strlen(longest) <= STEAD_MAX_NAME;
        total += instance->count;
        if (total > STEAD_MAX_INSTANCES) {
            stead_problem(where, sub, "a spec may have %d instances in all", STEAD_MAX_INSTANCES);
            return;
        }
        if (!names_fit && instance->count > 1)
            stead_problem(where, sub, "'%s' is longer than the %d characters of a name", longest,
                          STEAD_MAX_NAME);
        for (guint n = 1; names_fit && n <= instance->count; n++) {
            char *one = nth_name(name, instance->count, n);
            gpointer first = g_hash_table_lookup(taken, one);
            if (first && strcmp(first, name) != 0)
                stead_problem(where, sub, "'%s' is also the name of one of '%s'", one,
                              (char *)first);
            g_hash_table_insert(taken, one, name);
        }
    }
}

static void check_subnets(const SteadSpec *spec, const SteadWhere *where)
{
    for (guint i = 1; i < spec->networks->len; i++) {
        const SteadNetworkSpec *network = spec->networks->pdata[i];
        SteadSubnet mine, other;
        if (!network->subnet || !stead_subnet_parse(network->subnet, &mine, NULL))
            continue;
        for (guint j = 0; j < i; j++) {
            const SteadNetworkSpec *before = spec->networks->pdata[j];
            if (!before->subnet || !stead_subnet_parse(before->subnet, &other, NULL) ||
                !stead_subnets_overlap(&mine, &other))
                continue;
            g_autofree char *sub =
                g_strdup_printf("networks.%s.subnet", (char *)spec->network_names->pdata[i]);
            stead_problem(where, sub, "subnet %s overlaps that of the network '%s', %s",
                          network->subnet, (char *)spec->network_names->pdata[j], before->subnet);
            break;
        }
    }
}

/* The graph of depends-on, as indices. */
typedef struct {
    const SteadSpec *spec;
    const SteadWhere *where;
    GHashTable *index; /* name → its index + 1 */
    guint8 *mark;      /* 0: new, 1: on the way from where the walk began, 2: done */
    guint *way;
    guint n_way;
} Graph;

static const char *name_at(const Graph *graph, guint i)
{
    return graph->spec->instance_names->pdata[i];
}

static void report_cycle(const Graph *graph, guint from, guint entry)
{
    g_autoptr(GString) text = g_string_new(NULL);
    guint start = stead_problems_full(graph->where->problems) ? graph->n_way : 0;
    while (start < graph->n_way && graph->way[start] != entry)
        start++;
    for (guint i = start; i < graph->n_way; i++)
        g_string_append_printf(text, "'%s', which waits for ", name_at(graph, graph->way[i]));
    g_autofree char *sub = g_strdup_printf("instances.%s.depends-on", name_at(graph, from));
    stead_problem(graph->where, sub, "depends-on goes in a circle: %s'%s'", text->str,
                  name_at(graph, entry));
}

/* Deep as the longest chain: at most STEAD_MAX_INSTANCES small frames. */
static void walk(Graph *graph, guint i)
{
    const SteadInstanceSpec *instance = graph->spec->instances->pdata[i];
    graph->mark[i] = 1;
    graph->way[graph->n_way++] = i;
    for (guint j = 0; instance->depends_on[j]; j++) {
        gpointer found = g_hash_table_lookup(graph->index, instance->depends_on[j]);
        guint next = GPOINTER_TO_UINT(found) - 1;
        if (found && graph->mark[next] == 1)
            report_cycle(graph, i, next);
        else if (found && graph->mark[next] == 0)
            walk(graph, next);
    }
    graph->n_way--;
    graph->mark[i] = 2;
}

static void check_known(const Graph *graph, guint i)
{
    const SteadInstanceSpec *instance = graph->spec->instances->pdata[i];
    const GPtrArray *names = graph->spec->instance_names;
    for (guint j = 0; instance->depends_on[j]; j++) {
        const char *name = instance->depends_on[j];
        if (g_hash_table_contains(graph->index, name))
            continue;
        gboolean told = !stead_problems_full(graph->where->problems);
        const char *near =
            told ? stead_near(name, (const char *const *)names->pdata, names->len) : NULL;
        g_autofree char *sub = g_strdup_printf("instances.%s.depends-on[%u]", name_at(graph, i), j);
        stead_problem(graph->where, sub, "depends-on: there is no instance '%s' in this file%s%s%s",
                      name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
}

static void check_dependencies(const SteadSpec *spec, const SteadWhere *where)
{
    guint n = spec->instances->len;
    g_autoptr(GHashTable) index = g_hash_table_new(g_str_hash, g_str_equal);
    g_autofree guint8 *mark = g_new0(guint8, n + 1);
    g_autofree guint *way = g_new0(guint, n + 1);
    Graph graph = {.spec = spec, .where = where, .index = index, .mark = mark, .way = way};
    for (guint i = 0; i < n; i++)
        g_hash_table_insert(index, spec->instance_names->pdata[i], GUINT_TO_POINTER(i + 1));
    for (guint i = 0; i < n; i++)
        check_known(&graph, i);
    for (guint i = 0; i < n; i++)
        if (mark[i] == 0)
            walk(&graph, i);
}

static GHashTable *new_owners(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

void stead_spec_check_file(gconstpointer object, const SteadWhere *where)
{
    const SteadSpec *spec = object;
    g_autoptr(GHashTable) things = new_owners();
    g_autoptr(GHashTable) ports = new_owners();
    g_autoptr(GHashTable) exact_ports = new_owners();
    Claims claims = {.where = where, .owners = things};
    Claims any = {.where = where, .owners = ports};
    Claims exact = {.where = where, .owners = exact_ports};
    for (guint i = 0; i < spec->instances->len; i++) {
        const char *name = spec->instance_names->pdata[i];
        const SteadInstanceSpec *instance = spec->instances->pdata[i];
        check_nics(spec, name, instance, &claims);
        check_volumes(name, instance, &claims);
        check_ports(name, instance, &any, &exact);
    }
    check_names(spec, where);
    check_subnets(spec, where);
    check_dependencies(spec, where);
}
