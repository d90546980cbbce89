/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command that runs says by its table what it is about, so that these functions need no more
 * than the call. Names of things come first among its arguments, unless they are parts of an
 * instance, which then is named before them.
 */
#include "cli/collection.h"

#include <stdio.h>

#include "cli/json.h"
#include "cli/watch.h"

static const SteadCollection *collection_of(SteadCall *call)
{
    return stead_call_command(call)->collection;
}

/* The arguments that name some of the collection itself. */
static const char *const *names(SteadCall *call)
{
    return stead_call_arguments(call, collection_of(call)->of_instance ? 1 : 0);
}

char *stead_collection_path(SteadCall *call, const char *name, const char *action)
{
    const SteadCollection *collection = collection_of(call);
    if (!collection->of_instance)
        return stead_client_path(collection->path, name, action, NULL);
    return stead_client_path("instances", stead_call_argument(call, 0), collection->path, name,
                             action, NULL);
}

int stead_collection_list(SteadCall *call, GError **error)
{
    const SteadCollection *collection = collection_of(call);
    g_autofree char *path = stead_collection_path(call, NULL, NULL);
    return stead_table_list(call, path, collection->columns, collection->empty,
                            stead_call_flag(call, "quiet") ? "name" : NULL, error);
}

static void print_part(const SteadCollection *collection, JsonNode *item)
{
    JsonNode *part = collection->part ? stead_json_member(item, collection->part) : NULL;
    if (stead_json_length(part) == 0)
        return;
    g_autofree char *table =
        stead_table_format(collection->part_columns, part, g_get_real_time(), G_MAXUINT, FALSE);
    printf("\n%s", table);
}

int stead_collection_show(SteadCall *call, GError **error)
{
    const SteadCollection *collection = collection_of(call);
    g_autofree char *path = stead_collection_path(call, *names(call), NULL);
    g_autoptr(JsonNode) item = stead_table_show(call, path, collection->fields, error);
    if (item == NULL)
        return 1;
    if (!stead_call_json(call))
        print_part(collection, item);
    return 0;
}

static int remove_one(SteadCall *call, const char *name, GError **error)
{
    g_autofree char *path = stead_collection_path(call, name, NULL);
    if (!collection_of(call)->at_once)
        return stead_watch_request(call, "DELETE", path, NULL, name, NULL, error);
    g_autoptr(JsonNode) reply = stead_call_request(call, "DELETE", path, NULL, error);
    return reply ? 0 : 1;
}

int stead_collection_remove(SteadCall *call, GError **error)
{
    int code = 0;
    for (const char *const *name = names(call); *name != NULL && code == 0; name++)
        code = remove_one(call, *name, error);
    return code;
}

int stead_collection_create(SteadCall *call, JsonNode *spec, GError **error)
{
    const char *name = *names(call);
    g_autofree char *path = stead_collection_path(call, NULL, NULL);
    g_autoptr(JsonNode) body = stead_json_texts("name", name, NULL);
    json_object_set_member(json_node_get_object(body), "spec", spec);
    return stead_watch_request(call, "POST", path, body, name, NULL, error);
}
