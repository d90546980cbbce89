/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a catalogue file. libyaml builds the document, whose nodes keep their marks; a table of
 * fields says where each value goes. Nodes are only looked at two levels deep, so that anchors that
 * refer to each other lead nowhere.
 */
#include "image/catalogue_file.h"

#include <string.h>
#include <yaml.h>

#include "base/error.h"
#include "base/near.h"
#include "image/checksum.h"
#include "model/check.h"

/* Problems beyond so many are not listed. */
#define MAX_PROBLEMS 20

typedef struct {
    yaml_document_t *document;
    const char *file;
    GString *problems;
    guint n_problems;
} Reader;

typedef enum { FIELD_STRING, FIELD_BOOLEAN, FIELD_LIST } FieldType;

typedef struct {
    const char *name;
    FieldType type;
    gsize offset;
} Field;

static const Field fields[] = {
    {"name", FIELD_STRING, G_STRUCT_OFFSET(SteadCatalogueEntry, name)},
    {"aliases", FIELD_LIST, G_STRUCT_OFFSET(SteadCatalogueEntry, aliases)},
    {"url", FIELD_STRING, G_STRUCT_OFFSET(SteadCatalogueEntry, url)},
    {"sums", FIELD_STRING, G_STRUCT_OFFSET(SteadCatalogueEntry, sums)},
    {"digest", FIELD_STRING, G_STRUCT_OFFSET(SteadCatalogueEntry, digest)},
    {"user", FIELD_STRING, G_STRUCT_OFFSET(SteadCatalogueEntry, user)},
    {"title", FIELD_STRING, G_STRUCT_OFFSET(SteadCatalogueEntry, title)},
    {"agent", FIELD_BOOLEAN, G_STRUCT_OFFSET(SteadCatalogueEntry, agent)},
};

static void problem_at(Reader *reader, gsize line, gsize column, const char *format, va_list args)
    G_GNUC_PRINTF(4, 0);

static void problem_at(Reader *reader, gsize line, gsize column, const char *format, va_list args)
{
    if (++reader->n_problems > MAX_PROBLEMS)
        return;
    g_string_append_printf(reader->problems, "%s%s:%" G_GSIZE_FORMAT ":%" G_GSIZE_FORMAT ": ",
                           reader->problems->len ? "\n" : "", reader->file, line + 1, column + 1);
    g_string_append_vprintf(reader->problems, format, args);
}

static void problem(Reader *reader, const yaml_node_t *node, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static void problem(Reader *reader, const yaml_node_t *node, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    problem_at(reader, node->start_mark.line, node->start_mark.column, format, args);
    va_end(args);
}

static const char *scalar(const yaml_node_t *node)
{
    return node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static yaml_node_t *node_of(Reader *reader, int index)
{
    return yaml_document_get_node(reader->document, index);
}

static void read_string(Reader *reader, const yaml_node_t *node, const char *name, char **into)
{
    const char *text = scalar(node);
    if (text == NULL || *text == '\0' || strlen(text) > STEAD_CATALOGUE_MAX_URL) {
        problem(reader, node, "%s has to be a text of at most %d characters", name,
                STEAD_CATALOGUE_MAX_URL);
        return;
    }
    g_free(*into);
    *into = g_strdup(text);
}

static void read_boolean(Reader *reader, const yaml_node_t *node, const char *name, gboolean *into)
{
    const char *text = scalar(node);
    if (g_strcmp0(text, "true") == 0 || g_strcmp0(text, "yes") == 0)
        *into = TRUE;
    else if (g_strcmp0(text, "false") == 0 || g_strcmp0(text, "no") == 0)
        *into = FALSE;
    else
        problem(reader, node, "%s has to be true or false", name);
}

static void read_list(Reader *reader, const yaml_node_t *node, const char *name, GStrv *into)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    if (node->type != YAML_SEQUENCE_NODE ||
        node->data.sequence.items.top - node->data.sequence.items.start >
            STEAD_CATALOGUE_MAX_ALIASES) {
        problem(reader, node, "%s has to be a list of at most %d names", name,
                STEAD_CATALOGUE_MAX_ALIASES);
        return;
    }
    for (yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++) {
        const char *text = scalar(node_of(reader, *item));
        if (text == NULL || !stead_image_ref_is_valid(text))
            problem(reader, node_of(reader, *item), "%s: not the name of an image", name);
        else
            g_strv_builder_add(builder, text);
    }
    g_strfreev(*into);
    *into = g_strv_builder_end(builder);
}

static void read_field(Reader *reader, yaml_node_t *key, yaml_node_t *value,
                       SteadCatalogueEntry *entry)
{
    const char *words[G_N_ELEMENTS(fields)];
    const char *name = scalar(key) ? scalar(key) : "";
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++) {
        words[i] = fields[i].name;
        if (strcmp(fields[i].name, name) != 0)
            continue;
        gpointer into = G_STRUCT_MEMBER_P(entry, fields[i].offset);
        if (fields[i].type == FIELD_STRING)
            read_string(reader, value, name, into);
        else if (fields[i].type == FIELD_BOOLEAN)
            read_boolean(reader, value, name, into);
        else
            read_list(reader, value, name, into);
        return;
    }
    const char *near = stead_near(name, words, G_N_ELEMENTS(words));
    problem(reader, key, "unknown field '%.64s'%s%s%s", name, near ? "; did you mean " : "",
            near ? near : "", near ? "?" : "");
}

static gboolean has_scheme(const char *url, const char *scheme)
{
    return url && g_ascii_strncasecmp(url, scheme, strlen(scheme)) == 0 &&
           g_uri_is_valid(url, G_URI_FLAGS_NONE, NULL);
}

/* What holds for an entry as a whole. */
static void check_entry(Reader *reader, const yaml_node_t *node, const SteadCatalogueEntry *entry)
{
    SteadDigest digest;
    if (entry->name == NULL || !stead_image_ref_is_valid(entry->name))
        problem(reader, node, "name has to be given, like debian:12");
    if (!has_scheme(entry->url, "https://") && !has_scheme(entry->url, "http://"))
        problem(reader, node, "url has to be given, as an https address");
    else if (entry->digest == NULL && !has_scheme(entry->url, "https://"))
        problem(reader, node, "url has to be https where no digest is given");
    if (entry->digest == NULL && entry->sums == NULL)
        problem(reader, node, "sums or digest has to be given: what is fetched is verified");
    if (entry->sums && !has_scheme(entry->sums, "https://"))
        problem(reader, node, "sums has to be an https address");
    if (entry->digest && !stead_digest_parse(entry->digest, &digest, NULL))
        problem(reader, node, "digest has to be sha256: or sha512: and hex digits");
}

static SteadCatalogueEntry *read_entry(Reader *reader, yaml_node_t *node)
{
    SteadCatalogueEntry *entry = g_new0(SteadCatalogueEntry, 1);
    if (node->type != YAML_MAPPING_NODE) {
        problem(reader, node, "an image has to be a map with name, url and sums or digest");
    } else {
        for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
             pair < node->data.mapping.pairs.top; pair++)
            read_field(reader, node_of(reader, pair->key), node_of(reader, pair->value), entry);
        check_entry(reader, node, entry);
    }
    if (entry->aliases == NULL)
        entry->aliases = g_new0(char *, 1);
    return entry;
}

static void read_images(Reader *reader, yaml_node_t *node, GPtrArray *entries)
{
    if (node->type != YAML_SEQUENCE_NODE ||
        node->data.sequence.items.top - node->data.sequence.items.start >
            STEAD_CATALOGUE_MAX_ENTRIES) {
        problem(reader, node, "images has to be a list of at most %d images",
                STEAD_CATALOGUE_MAX_ENTRIES);
        return;
    }
    for (yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++)
        g_ptr_array_add(entries, read_entry(reader, node_of(reader, *item)));
}

static void read_root(Reader *reader, GPtrArray *entries)
{
    yaml_node_t *root = yaml_document_get_root_node(reader->document);
    if (root == NULL)
        return; /* an empty file adds nothing */
    if (root->type != YAML_MAPPING_NODE) {
        problem(reader, root, "expected 'images:' and a list");
        return;
    }
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = node_of(reader, pair->key);
        if (g_strcmp0(scalar(key), "images") == 0)
            read_images(reader, node_of(reader, pair->value), entries);
        else
            problem(reader, key, "expected 'images:' and a list");
    }
}

static void report_syntax(Reader *reader, const yaml_parser_t *parser)
{
    g_string_append_printf(reader->problems, "%s:%" G_GSIZE_FORMAT ":%" G_GSIZE_FORMAT ": %s",
                           reader->file, parser->problem_mark.line + 1,
                           parser->problem_mark.column + 1,
                           parser->problem ? parser->problem : "not YAML");
    reader->n_problems++;
}

GPtrArray *stead_catalogue_file_read(const char *yaml, gsize length, const char *file,
                                     GError **error)
{
    yaml_parser_t parser;
    yaml_document_t document;
    g_autoptr(GString) problems = g_string_new(NULL);
    g_autoptr(GPtrArray) entries =
        g_ptr_array_new_with_free_func((GDestroyNotify)stead_catalogue_entry_free);
    Reader reader = {.document = &document, .file = file, .problems = problems};
    if (length > STEAD_CATALOGUE_MAX_BYTES || !yaml_parser_initialize(&parser)) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "%s is larger than 1 MiB", file);
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml, length);
    if (yaml_parser_load(&parser, &document)) {
        read_root(&reader, entries);
        yaml_document_delete(&document);
    } else {
        report_syntax(&reader, &parser);
    }
    yaml_parser_delete(&parser);
    if (reader.n_problems == 0)
        return g_steal_pointer(&entries);
    stead_set_error(error, STEAD_ERROR_INVALID, NULL, "%s", problems->str);
    return NULL;
}
