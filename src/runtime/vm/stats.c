/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a domain uses, from one call that returns all its counters by name.
 */
#include <string.h>

#include "base/error.h"
#include "runtime/vm/internal.h"

static guint64 number(const virTypedParameter *param)
{
    switch (param->type) {
    case VIR_TYPED_PARAM_INT:
        return (guint64)MAX(param->value.i, 0);
    case VIR_TYPED_PARAM_UINT:
        return param->value.ui;
    case VIR_TYPED_PARAM_LLONG:
        return (guint64)MAX(param->value.l, 0);
    case VIR_TYPED_PARAM_ULLONG:
        return param->value.ul;
    default:
        return 0;
    }
}

/* What of the counters is not a member of SteadStats itself. KiB. */
typedef struct {
    guint64 current, available, usable, unused;
} Balloon;

/* Counters of one name. */
static void take(const char *field, guint64 value, SteadStats *stats, Balloon *balloon)
{
    const struct {
        const char *name;
        guint64 *member;
        guint64 unit;
    } members[] = {
        {"cpu.time", &stats->cpu_ns, 1},
        {"balloon.maximum", &stats->memory_max, 1024},
        {"balloon.rss", &stats->memory_resident, 1024},
        {"balloon.current", &balloon->current, 1024},
        {"balloon.available", &balloon->available, 1024},
        {"balloon.usable", &balloon->usable, 1024},
        {"balloon.unused", &balloon->unused, 1024},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(members); i++)
        if (g_str_equal(field, members[i].name))
            *members[i].member = value * members[i].unit;
}

/* Counters that there are one of for each disk or interface: "block.0.rd.bytes". */
static void sum(const char *field, guint64 value, SteadStats *stats)
{
    const struct {
        const char *prefix, *suffix;
        guint64 *member;
    } members[] = {
        {"block.", ".rd.bytes", &stats->disk_read},
        {"block.", ".wr.bytes", &stats->disk_written},
        {"net.", ".rx.bytes", &stats->net_received},
        {"net.", ".tx.bytes", &stats->net_sent},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(members); i++)
        if (g_str_has_prefix(field, members[i].prefix) &&
            g_str_has_suffix(field, members[i].suffix))
            *members[i].member += value;
}

/* What the guest says it uses, as long as that can be true; else what the host has given it. */
static guint64 memory_used(const SteadStats *stats, const Balloon *balloon)
{
    guint64 free = balloon->usable ? balloon->usable : balloon->unused;
    if (balloon->available > 0 && free > 0 && free <= balloon->available &&
        balloon->available <= stats->memory_max)
        return balloon->available - free;
    return MIN(stats->memory_resident, stats->memory_max);
}

gboolean stead_vm_stats(gpointer self, const char *id, SteadStats *stats, GError **error)
{
    g_autoptr(virDomain) domain = stead_vm_find(self, id, error);
    if (domain == NULL)
        return FALSE;
    virDomainPtr list[] = {domain, NULL};
    virDomainStatsRecordPtr *records = NULL;
    guint wanted = VIR_DOMAIN_STATS_CPU_TOTAL | VIR_DOMAIN_STATS_BALLOON | VIR_DOMAIN_STATS_BLOCK |
                   VIR_DOMAIN_STATS_INTERFACE;
    /* A domain whose monitor is busy (a snapshot is under way) tells what needs no waiting. */
    int n = virDomainListGetStats(list, wanted, &records, VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT);
    if (n < 0)
        return stead_libvirt_error(error, "libvirt");
    Balloon balloon = {0};
    memset(stats, 0, sizeof *stats);
    for (int i = 0; n > 0 && i < records[0]->nparams; i++) {
        guint64 value = number(&records[0]->params[i]);
        take(records[0]->params[i].field, value, stats, &balloon);
        sum(records[0]->params[i].field, value, stats);
    }
    virDomainStatsRecordListFree(records);
    stats->memory_used = memory_used(stats, &balloon);
    return TRUE;
}
