/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stead image: the local store of images, and the catalogue they come from. Files to import are
 * read by the daemon, so their paths are made absolute here, where the user's folder is known.
 */
#include "cli/commands.h"

#include <string.h>

#include "cli/collection.h"
#include "cli/json.h"
#include "cli/watch.h"

static const SteadColumn columns[] = {
    {"NAME", "name", STEAD_CELL_TEXT},         {"SIZE", "size", STEAD_CELL_SIZE},
    {"DISK", "virtual-size", STEAD_CELL_SIZE}, {"AGENT", "agent", STEAD_CELL_FLAG},
    {"DIGEST", "digest", STEAD_CELL_SHORT},    {"AGE", "created", STEAD_CELL_AGE},
    {"USED BY", "used-by", STEAD_CELL_LIST},   {NULL},
};

static const SteadColumn fields[] = {
    {"Name", "name", STEAD_CELL_TEXT},
    {"Size", "size", STEAD_CELL_SIZE},
    {"Disk", "virtual-size", STEAD_CELL_SIZE},
    {"Guest agent", "agent", STEAD_CELL_FLAG},
    {"Digest", "digest", STEAD_CELL_TEXT},
    {"Source", "source", STEAD_CELL_TEXT},
    {"Published as", "published", STEAD_CELL_TEXT},
    {"Created", "created", STEAD_CELL_TIME},
    {"Used by", "used-by", STEAD_CELL_LIST},
    {NULL},
};

static const SteadCollection images = {
    .path = "images",
    .columns = columns,
    .empty = "No image yet. Fetch one: stead image pull debian:12    What there is: stead image "
             "catalogue",
    .fields = fields,
    .at_once = TRUE,
};

static const SteadColumn catalogue_columns[] = {
    {"NAME", "name", STEAD_CELL_TEXT},
    {"HERE", "local", STEAD_CELL_FLAG},
    {"ALSO NAMED", "aliases", STEAD_CELL_LIST},
    {"ADDRESS", "address", STEAD_CELL_TEXT},
    {NULL},
};

static int run_pull(SteadCall *call, GError **error)
{
    const char *name = stead_call_argument(call, 0);
    g_autoptr(JsonNode) body = stead_json_texts("name", name, NULL);
    return stead_watch_request(call, "POST", "/v1/images/pull", body, name, NULL, error);
}

static int run_build(SteadCall *call, GError **error)
{
    const char *name = stead_call_argument(call, 0);
    const char *as = stead_call_text(call, "as");
    g_autoptr(JsonNode) body = stead_json_texts("name", name, "as", as ? as : name, NULL);
    return stead_watch_request(call, "POST", "/v1/images/build", body, name, NULL, error);
}

static int run_import(SteadCall *call, GError **error)
{
    const char *file = stead_call_argument(call, 0);
    g_autofree char *path = g_canonicalize_filename(file, NULL);
    g_autofree char *base = g_path_get_basename(file);
    const char *name = stead_call_text(call, "name");
    /* "disk.qcow2.xz" → "disk" */
    base[strcspn(base, ".")] = '\0';
    g_autofree char *invented = g_ascii_strdown(base, -1);
    const char *chosen = name ? name : invented;
    g_autoptr(JsonNode) body = stead_json_texts("path", path, "name", chosen, NULL);
    return stead_watch_request(call, "POST", "/v1/images/import", body, chosen, NULL, error);
}

static int run_catalogue(SteadCall *call, GError **error)
{
    return stead_table_list(call, "/v1/catalogue", catalogue_columns, NULL, NULL, error);
}

static const SteadArgument catalogue_argument[] = {
    {.name = "IMAGE",
     .doc = "a name of the catalogue: debian:12, ubuntu:24.04",
     .complete = STEAD_COMPLETE_CATALOGUE},
    {NULL},
};

static const SteadArgument image_argument[] = {
    {.name = "IMAGE", .doc = "an image of the local store", .complete = STEAD_COMPLETE_IMAGE},
    {NULL},
};

static const SteadArgument image_arguments[] = {
    {.name = "IMAGE",
     .doc = "an image of the local store",
     .many = TRUE,
     .complete = STEAD_COMPLETE_IMAGE},
    {NULL},
};

static const SteadArgument file_argument[] = {
    {.name = "FILE",
     .doc = "qcow2, raw, vmdk, vdi, vhdx or vhd, also as .gz, .xz or .zst; on the daemon's host",
     .complete = STEAD_COMPLETE_FILE},
    {NULL},
};

static const SteadOption build_options[] = {
    {.name = "as",
     .type = STEAD_OPTION_TEXT,
     .metavar = "NAME",
     .doc = "what to call the image",
     .fallback = "the release's name"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadOption import_options[] = {
    {.name = "name",
     .letter = 'n',
     .type = STEAD_OPTION_TEXT,
     .metavar = "NAME",
     .doc = "what to call the image",
     .fallback = "the file's name"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

static const SteadExample import_examples[] = {
    {"stead image import appliance.vmdk.gz --name appliance:1", "From another hypervisor:"},
    {NULL},
};

static const SteadExit pull_exits[] = {
    {3, "the catalogue has no such image"},
    {7, "there is no room for it"},
    {8, "what came is not what was published"},
    {10, "the catalogue's server does not answer"},
    {0, NULL},
};

const SteadCommand stead_cmd_image = {
    .name = "image",
    .section = STEAD_SECTION_STORE,
    .summary = "Fetch, build, import, list and remove images",
};

const SteadCommand stead_cmd_image_pull = {
    .name = "image pull",
    .section = STEAD_SECTION_STORE,
    .summary = "Fetch an image of the catalogue and verify it",
    .description = "A broken download is taken up where it ended. The daemon's http_proxy, "
                   "https_proxy and no_proxy are heeded.",
    .arguments = catalogue_argument,
    .options = stead_format_options,
    .exits = pull_exits,
    .run = run_pull,
};

const SteadCommand stead_cmd_image_build = {
    .name = "image build",
    .section = STEAD_SECTION_STORE,
    .summary = "Build an image from the distribution's packages",
    .description = "Where no image can be downloaded, but packages can: a Debian with cloud-init "
                   "and the guest agent, bootable by UEFI.",
    .arguments = catalogue_argument,
    .options = build_options,
    .run = run_build,
};

const SteadCommand stead_cmd_image_import = {
    .name = "image import",
    .section = STEAD_SECTION_STORE,
    .summary = "Take a disk file into the store",
    .arguments = file_argument,
    .options = import_options,
    .examples = import_examples,
    .run = run_import,
};

const SteadCommand stead_cmd_image_ls = {
    .name = "image ls",
    .section = STEAD_SECTION_STORE,
    .summary = "List the images of the local store",
    .options = stead_list_options,
    .collection = &images,
    .run = stead_collection_list,
};

const SteadCommand stead_cmd_image_show = {
    .name = "image show",
    .section = STEAD_SECTION_STORE,
    .summary = "Show all that is known of an image",
    .arguments = image_argument,
    .options = stead_format_options,
    .collection = &images,
    .run = stead_collection_show,
};

const SteadCommand stead_cmd_image_rm = {
    .name = "image rm",
    .section = STEAD_SECTION_STORE,
    .summary = "Remove images that no instance uses",
    .arguments = image_arguments,
    .collection = &images,
    .run = stead_collection_remove,
};

const SteadCommand stead_cmd_image_catalogue = {
    .name = "image catalogue",
    .section = STEAD_SECTION_STORE,
    .summary = "List the images that can be fetched by name",
    .options = stead_format_options,
    .run = run_catalogue,
};
