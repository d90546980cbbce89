/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comparing a spec with the records.
 *
 * A spec's instance with `count` n stands for n records named NAME-1 .. NAME-n; one that depends on
 * it waits for all of them. Instances are ordered depth first along depends-on, which the model has
 * checked to have no cycle.
 */
#include "engine/plan.h"

#include "base/error.h"
#include "engine/claims.h"

#define NAMES(symbol, count, ...)                                                                  \
    static const char *const symbol##_strings[] = {__VA_ARGS__};                                   \
    G_STATIC_ASSERT(G_N_ELEMENTS(symbol##_strings) == (count));                                    \
    const SteadNames symbol = {symbol##_strings, (count)}

NAMES(stead_step_names, STEAD_N_STEPS, "create", "change", "start", "none", "surplus");
NAMES(stead_part_names, STEAD_N_PARTS, "network", "volume", "instance");

static const char *const effect_names[] = {"now", "restart", "recreate"};
static const char *const effect_texts[] = {"at once", "needs a restart", "needs a new instance"};

static void step_free(gpointer data)
{
    SteadStep *step = data;
    g_free(step->name);
    g_clear_pointer(&step->changes, g_ptr_array_unref);
    g_strfreev(step->after);
    g_free(step);
}

static SteadStep *add_step(GPtrArray *steps, SteadStepKind kind, SteadPart part, const char *name,
                           gconstpointer spec)
{
    SteadStep *step = g_new0(SteadStep, 1);
    step->kind = kind;
    step->part = part;
    step->name = g_strdup(name);
    step->spec = spec;
    g_ptr_array_add(steps, step);
    return step;
}

static void set_changes(SteadStep *step, GPtrArray *changes)
{
    step->changes = changes;
    for (guint i = 0; i < changes->len; i++)
        step->effect = MAX(step->effect, ((SteadChange *)changes->pdata[i])->effect);
    if (changes->len > 0)
        step->kind = STEAD_STEP_CHANGE;
}

static gboolean check_owner(SteadPart part, const char *name, const char *owner,
                            const char *project, GError **error)
{
    if (g_strcmp0(owner, project) == 0)
        return TRUE;
    g_autofree char *whose = owner ? g_strdup_printf("the spec '%s'", owner)
                                   : g_strdup("no spec: it was made by a command");
    stead_set_error(error, STEAD_ERROR_CONFLICT,
                    "Choose another name in the spec, or remove the other one.",
                    "the %s '%s' is there already and belongs to %s",
                    stead_name_of(&stead_part_names, (int)part), name, whose);
    return FALSE;
}

/* The three types of record begin differently; these find one by its name. */
#define DEFINE_FIND(Type, find)                                                                    \
    static Type *find(GPtrArray *records, const char *name)                                        \
    {                                                                                              \
        for (guint i = 0; i < records->len; i++)                                                   \
            if (g_str_equal(((Type *)records->pdata[i])->name, name))                              \
                return records->pdata[i];                                                          \
        return NULL;                                                                               \
    }

DEFINE_FIND(SteadInstance, find_instance)
DEFINE_FIND(SteadNetwork, find_network)
DEFINE_FIND(SteadVolume, find_volume)

static gboolean plan_network(const SteadSpec *spec, guint i, const SteadWorld *world,
                             GPtrArray *steps, GError **error)
{
    const char *name = spec->network_names->pdata[i];
    const SteadNetworkSpec *wanted = spec->networks->pdata[i];
    SteadNetwork *found = find_network(world->networks, name);
    if (found == NULL) {
        add_step(steps, STEAD_STEP_CREATE, STEAD_PART_NETWORK, name, wanted);
        return TRUE;
    }
    if (!check_owner(STEAD_PART_NETWORK, name, found->project, spec->name, error))
        return FALSE;
    g_autoptr(SteadNetworkSpec) full = stead_network_spec_copy(wanted);
    if (full->subnet == NULL) /* "choose one" is content with the one chosen */
        full->subnet = g_strdup(found->spec->subnet);
    SteadStep *step = add_step(steps, STEAD_STEP_KEEP, STEAD_PART_NETWORK, name, wanted);
    set_changes(step, stead_network_spec_diff(found->spec, full));
    return TRUE;
}

static gboolean plan_volume(const SteadSpec *spec, guint i, const SteadWorld *world,
                            GPtrArray *steps, GError **error)
{
    const char *name = spec->volume_names->pdata[i];
    const SteadVolumeSpec *wanted = spec->volumes->pdata[i];
    SteadVolume *found = find_volume(world->volumes, name);
    if (found == NULL) {
        add_step(steps, STEAD_STEP_CREATE, STEAD_PART_VOLUME, name, wanted);
        return TRUE;
    }
    if (!check_owner(STEAD_PART_VOLUME, name, found->project, spec->name, error))
        return FALSE;
    SteadStep *step = add_step(steps, STEAD_STEP_KEEP, STEAD_PART_VOLUME, name, wanted);
    set_changes(step, stead_volume_spec_diff(found->spec, wanted));
    return TRUE;
}

static int index_of(GPtrArray *names, const char *name)
{
    for (guint i = 0; i < names->len; i++)
        if (g_str_equal(names->pdata[i], name))
            return (int)i;
    return -1;
}

/* The names of the records that a spec's instance stands for. */
static GStrv expand(const char *name, const SteadInstanceSpec *spec)
{
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    if (spec->count == 1)
        g_strv_builder_add(names, name);
    for (guint n = 1; spec->count > 1 && n <= spec->count; n++) {
        g_autofree char *one = g_strdup_printf("%s-%u", name, n);
        g_strv_builder_add(names, one);
    }
    return g_strv_builder_end(names);
}

static GStrv expand_dependencies(const SteadSpec *spec, const SteadInstanceSpec *instance)
{
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    for (guint i = 0; instance->depends_on && instance->depends_on[i]; i++) {
        int at = index_of(spec->instance_names, instance->depends_on[i]);
        g_auto(GStrv) expanded =
            at < 0 ? NULL : expand(instance->depends_on[i], spec->instances->pdata[at]);
        if (expanded)
            g_strv_builder_addv(names, (const char **)expanded);
    }
    return g_strv_builder_end(names);
}

/* A clone is of its template's size where its spec leaves that out. */
static void keep_size(SteadInstanceSpec *wanted, const SteadInstanceSpec *has)
{
    g_autoptr(SteadInstanceSpec) plain = stead_instance_spec_new();
    if (wanted->cpus == plain->cpus)
        wanted->cpus = has->cpus;
    if (wanted->memory.max == plain->memory.max)
        wanted->memory = has->memory;
}

static gboolean plan_record(const SteadSpec *spec, const char *name,
                            const SteadInstanceSpec *wanted, const SteadWorld *world,
                            GPtrArray *steps, GError **error)
{
    SteadInstance *found = find_instance(world->instances, name);
    if (found == NULL) {
        SteadStep *step = add_step(steps, STEAD_STEP_CREATE, STEAD_PART_INSTANCE, name, wanted);
        step->after = expand_dependencies(spec, wanted);
        return TRUE;
    }
    if (!check_owner(STEAD_PART_INSTANCE, name, found->project, spec->name, error))
        return FALSE;
    if (found->state == STEAD_STATE_REMOVING) {
        stead_set_error(error, STEAD_ERROR_BUSY, "Try again when it is gone.",
                        "the instance '%s' is being removed", name);
        return FALSE;
    }
    SteadStep *step = add_step(steps, STEAD_STEP_KEEP, STEAD_PART_INSTANCE, name, wanted);
    step->after = expand_dependencies(spec, wanted);
    g_autoptr(SteadInstanceSpec) one = stead_instance_spec_copy(wanted);
    one->count = 1; /* a record is one of them, however many there are */
    one->disk = MAX(one->disk, found->spec->disk); /* it was grown: that is no difference */
    if (found->template)
        keep_size(one, found->spec);
    set_changes(step, stead_instance_spec_diff(found->spec, one));
    gboolean ended = found->state == STEAD_STATE_STOPPED || found->state == STEAD_STATE_FAILED;
    step->then_start = ended && step->kind == STEAD_STEP_CHANGE;
    if (ended && step->kind == STEAD_STEP_KEEP)
        step->kind = STEAD_STEP_START;
    return TRUE;
}

static gboolean check_references(const SteadSpec *spec, const SteadInstanceSpec *instance,
                                 const SteadWorld *world, GError **error)
{
    for (guint i = 0; i < instance->networks->len; i++) {
        const char *name = ((SteadNicSpec *)instance->networks->pdata[i])->network;
        if (!g_str_equal(name, "default") && index_of(spec->network_names, name) < 0 &&
            !find_network(world->networks, name)) {
            stead_set_error(error, STEAD_ERROR_INVALID,
                            "Declare it under 'networks' in the spec, or make it: "
                            "stead network create.",
                            "there is no network '%s'", name);
            return FALSE;
        }
    }
    for (guint i = 0; i < instance->disks->len; i++) {
        const char *name = ((SteadDiskSpec *)instance->disks->pdata[i])->volume;
        if (name && index_of(spec->volume_names, name) < 0 && !find_volume(world->volumes, name)) {
            stead_set_error(error, STEAD_ERROR_INVALID,
                            "Declare it under 'volumes' in the spec, or make it: "
                            "stead volume create.",
                            "there is no volume '%s'", name);
            return FALSE;
        }
    }
    return TRUE;
}

/* The claims of a spec's own instances were compared when it was read. */
static gboolean check_claims(const SteadSpec *spec, const SteadInstanceSpec *wanted,
                             const SteadWorld *world, GError **error)
{
    g_autoptr(GPtrArray) others = g_ptr_array_new();
    for (guint i = 0; i < world->instances->len; i++) {
        SteadInstance *other = world->instances->pdata[i];
        if (g_strcmp0(other->project, spec->name) != 0)
            g_ptr_array_add(others, other);
    }
    return stead_claims_check(others, NULL, wanted, error);
}

/* Depth first: what an instance depends on comes before it. */
static gboolean plan_instance(const SteadSpec *spec, guint i, const SteadWorld *world,
                              gboolean *visited, GPtrArray *steps, GError **error)
{
    if (visited[i])
        return TRUE;
    visited[i] = TRUE;
    const char *name = spec->instance_names->pdata[i];
    const SteadInstanceSpec *wanted = spec->instances->pdata[i];
    for (guint d = 0; wanted->depends_on && wanted->depends_on[d]; d++) {
        int at = index_of(spec->instance_names, wanted->depends_on[d]);
        if (at >= 0 && !plan_instance(spec, (guint)at, world, visited, steps, error))
            return FALSE;
    }
    if (!check_references(spec, wanted, world, error) ||
        !check_claims(spec, wanted, world, error)) {
        g_prefix_error(error, "instance '%s': ", name);
        return FALSE;
    }
    g_auto(GStrv) records = expand(name, wanted);
    for (guint n = 0; records[n]; n++)
        if (!plan_record(spec, records[n], wanted, world, steps, error))
            return FALSE;
    return TRUE;
}

static gboolean is_planned(GPtrArray *steps, SteadPart part, const char *name)
{
    for (guint i = 0; i < steps->len; i++) {
        const SteadStep *step = steps->pdata[i];
        if (step->part == part && g_str_equal(step->name, name))
            return TRUE;
    }
    return FALSE;
}

static void add_surplus(const SteadSpec *spec, const SteadWorld *world, GPtrArray *steps)
{
    for (guint i = 0; i < world->instances->len; i++) {
        const SteadInstance *record = world->instances->pdata[i];
        if (g_strcmp0(record->project, spec->name) == 0 &&
            !is_planned(steps, STEAD_PART_INSTANCE, record->name))
            add_step(steps, STEAD_STEP_SURPLUS, STEAD_PART_INSTANCE, record->name, NULL);
    }
    for (guint i = 0; i < world->networks->len; i++) {
        const SteadNetwork *record = world->networks->pdata[i];
        if (g_strcmp0(record->project, spec->name) == 0 &&
            !is_planned(steps, STEAD_PART_NETWORK, record->name))
            add_step(steps, STEAD_STEP_SURPLUS, STEAD_PART_NETWORK, record->name, NULL);
    }
    for (guint i = 0; i < world->volumes->len; i++) {
        const SteadVolume *record = world->volumes->pdata[i];
        if (g_strcmp0(record->project, spec->name) == 0 &&
            !is_planned(steps, STEAD_PART_VOLUME, record->name))
            add_step(steps, STEAD_STEP_SURPLUS, STEAD_PART_VOLUME, record->name, NULL);
    }
}

GPtrArray *stead_plan_new(const SteadSpec *spec, const SteadWorld *world, GError **error)
{
    g_autoptr(GPtrArray) steps = g_ptr_array_new_with_free_func(step_free);
    for (guint i = 0; i < spec->networks->len; i++)
        if (!plan_network(spec, i, world, steps, error))
            return NULL;
    for (guint i = 0; i < spec->volumes->len; i++)
        if (!plan_volume(spec, i, world, steps, error))
            return NULL;
    g_autofree gboolean *visited = g_new0(gboolean, MAX(1, spec->instances->len));
    for (guint i = 0; i < spec->instances->len; i++)
        if (!plan_instance(spec, i, world, visited, steps, error))
            return NULL;
    add_surplus(spec, world, steps);
    return g_steal_pointer(&steps);
}

static void add_string(JsonBuilder *builder, const char *name, const char *value)
{
    if (value == NULL)
        return;
    json_builder_set_member_name(builder, name);
    json_builder_add_string_value(builder, value);
}

static char *describe(const SteadStep *step)
{
    switch (step->kind) {
    case STEAD_STEP_CREATE:
        return g_strdup("is not there yet");
    case STEAD_STEP_START:
        return g_strdup("does not run");
    case STEAD_STEP_KEEP:
        return g_strdup("as wanted");
    case STEAD_STEP_SURPLUS:
        return g_strdup("is no longer in the spec; left alone");
    case STEAD_STEP_CHANGE:
    case STEAD_N_STEPS:
        break;
    }
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < step->changes->len; i++) {
        const SteadChange *change = step->changes->pdata[i];
        g_string_append_printf(text, "%s%s: %s → %s (%s)", i ? "; " : "", change->field,
                               change->from ? change->from : "unset",
                               change->to ? change->to : "unset", effect_texts[change->effect]);
    }
    if (step->then_start)
        g_string_append(text, "; does not run, and is started");
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static void add_changes(JsonBuilder *builder, GPtrArray *changes)
{
    json_builder_set_member_name(builder, "changes");
    json_builder_begin_array(builder);
    for (guint i = 0; i < changes->len; i++) {
        const SteadChange *change = changes->pdata[i];
        json_builder_begin_object(builder);
        add_string(builder, "field", change->field);
        add_string(builder, "from", change->from);
        add_string(builder, "to", change->to);
        add_string(builder, "effect", effect_names[change->effect]);
        json_builder_end_object(builder);
    }
    json_builder_end_array(builder);
}

JsonNode *stead_plan_to_json(GPtrArray *steps)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "actions");
    json_builder_begin_array(builder);
    for (guint i = 0; i < steps->len; i++) {
        const SteadStep *step = steps->pdata[i];
        g_autofree char *detail = describe(step);
        json_builder_begin_object(builder);
        add_string(builder, "action", stead_name_of(&stead_step_names, (int)step->kind));
        add_string(builder, "what", stead_name_of(&stead_part_names, (int)step->part));
        add_string(builder, "name", step->name);
        add_string(builder, "detail", detail);
        if (step->changes && step->changes->len > 0)
            add_changes(builder, step->changes);
        json_builder_end_object(builder);
    }
    json_builder_end_array(builder);
    json_builder_end_object(builder);
    return json_builder_get_root(builder);
}
