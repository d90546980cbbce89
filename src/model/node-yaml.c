/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The YAML reader: libyaml's events become nodes, each with its mark. What makes YAML surprising is
 * left out and said so: one document, plain keys, no tags, no alias within its own anchor.
 */
#include "model/node.h"

#include <string.h>
#include <yaml.h>

#include "base/error.h"

#define MAX_ANCHORS 1000

typedef struct {
    yaml_parser_t parser;
    const char *file;
    const char *text;
    gsize length;
    SteadTree *tree;
    GHashTable *anchors; /* name → SteadNode; NULL while the node is not complete */
    SteadNode *open[STEAD_MAX_NODE_DEPTH + 1];
    const char *anchor[STEAD_MAX_NODE_DEPTH + 1]; /* of open[i]; NULL: none */
    guint n_open;
    gboolean in_key; /* the next scalar is a key of open[n_open - 1] */
    const char *key; /* that was read */
    guint key_line, key_column;
    guint documents;
    GError **error;
} Reader;

static gboolean fail(Reader *reader, const yaml_mark_t *mark, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static gboolean fail(Reader *reader, const yaml_mark_t *mark, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    stead_set_error(reader->error, STEAD_ERROR_INVALID, NULL, "%s:%zu:%zu: %s", reader->file,
                    mark->line + 1, mark->column + 1, what);
    return FALSE;
}

/* Whether the line that holds a mark has a tab among its leading blanks, where YAML has none. */
static gboolean tab_indents(const Reader *reader, gsize line)
{
    const char *p = reader->text, *end = reader->text + reader->length;
    for (; line > 0 && p < end; p++)
        line -= *p == '\n';
    while (p < end && *p == ' ')
        p++;
    return p < end && *p == '\t';
}

/* The reader of characters knows only an offset in bytes. */
static yaml_mark_t mark_of_offset(const Reader *reader, gsize offset)
{
    yaml_mark_t mark = {0};
    for (gsize i = 0; i < MIN(offset, reader->length); i++) {
        gboolean line_end = reader->text[i] == '\n';
        mark.line += line_end;
        mark.column = line_end ? 0 : mark.column + 1;
    }
    return mark;
}

static gboolean fail_syntax(Reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem ? parser->problem : "not YAML";
    yaml_mark_t mark = parser->problem_mark;
    if (parser->error == YAML_READER_ERROR)
        mark = mark_of_offset(reader, parser->problem_offset);
    else if (tab_indents(reader, mark.line))
        return fail(reader, &mark, "a tab cannot indent YAML; use spaces");
    if (parser->context)
        return fail(reader, &mark, "%s %s", problem, parser->context);
    return fail(reader, &mark, "%s", problem);
}

/* Puts the place before an error of the tree's. */
static gboolean fail_tree(Reader *reader, const yaml_mark_t *mark, GError *error)
{
    fail(reader, mark, "%s", error->message);
    g_error_free(error);
    return FALSE;
}

static gboolean is_null(const char *text, gsize length)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    for (gsize i = 0; i < G_N_ELEMENTS(nulls); i++)
        if (strlen(nulls[i]) == length && memcmp(nulls[i], text, length) == 0)
            return TRUE;
    return FALSE;
}

/* Adds a node at the event's mark; in a map, below the key that was read. */
static SteadNode *add_node(Reader *reader, const yaml_event_t *event, SteadNodeType type)
{
    const yaml_mark_t *mark = &event->start_mark;
    SteadNode *parent = reader->n_open > 0 ? reader->open[reader->n_open - 1] : NULL;
    if (reader->in_key) {
        fail(reader, mark, "a key must be a plain word");
        return NULL;
    }
    GError *error = NULL;
    SteadNode *node = stead_tree_add(reader->tree, parent, type, &error);
    if (!node) {
        fail_tree(reader, mark, error);
        return NULL;
    }
    node->line = (guint)mark->line + 1;
    node->column = (guint)mark->column + 1;
    if (parent && parent->type == STEAD_NODE_MAP) {
        node->key = reader->key;
        node->key_line = reader->key_line;
        node->key_column = reader->key_column;
        reader->in_key = TRUE;
    }
    return node;
}

/* A tag other than the one that stead itself would give is refused, never ignored. */
static gboolean check_extras(Reader *reader, const yaml_event_t *event, const yaml_char_t *tag,
                             const yaml_char_t *anchor)
{
    if (tag)
        return fail(reader, &event->start_mark, "the tag '%.40s' is not used here; remove it",
                    (const char *)tag);
    if (anchor && g_hash_table_size(reader->anchors) >= MAX_ANCHORS)
        return fail(reader, &event->start_mark, "more than %d anchors", MAX_ANCHORS);
    return TRUE;
}

/* What an anchor names; `node` NULL while it is not complete. */
static const char *set_anchor(Reader *reader, const yaml_char_t *anchor, SteadNode *node)
{
    if (!anchor)
        return NULL;
    const char *name =
        stead_tree_strdup(reader->tree, (const char *)anchor, strlen((char *)anchor));
    g_hash_table_insert(reader->anchors, (gpointer)name, node);
    return name;
}

static gboolean on_key(Reader *reader, const yaml_event_t *event)
{
    if (event->data.scalar.anchor)
        return fail(reader, &event->start_mark, "a key cannot have an anchor");
    reader->key = stead_tree_strdup(reader->tree, (const char *)event->data.scalar.value,
                                    event->data.scalar.length);
    reader->key_line = (guint)event->start_mark.line + 1;
    reader->key_column = (guint)event->start_mark.column + 1;
    reader->in_key = FALSE;
    return TRUE;
}

static gboolean on_scalar(Reader *reader, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    gsize length = event->data.scalar.length;
    if (!check_extras(reader, event, event->data.scalar.tag, event->data.scalar.anchor))
        return FALSE;
    if (memchr(text, '\0', length))
        return fail(reader, &event->start_mark, "a value cannot hold the character NUL");
    if (reader->in_key)
        return on_key(reader, event);
    SteadNodeType type = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE ? STEAD_NODE_STRING
                         : is_null(text, length)                             ? STEAD_NODE_NULL
                                                                             : STEAD_NODE_PLAIN;
    SteadNode *node = add_node(reader, event, type);
    if (!node)
        return FALSE;
    node->text = stead_tree_strdup(reader->tree, text, length);
    set_anchor(reader, event->data.scalar.anchor, node);
    return TRUE;
}

static gboolean on_start(Reader *reader, const yaml_event_t *event, SteadNodeType type,
                         const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (!check_extras(reader, event, tag, anchor))
        return FALSE;
    SteadNode *node = add_node(reader, event, type);
    if (!node)
        return FALSE;
    reader->anchor[reader->n_open] = set_anchor(reader, anchor, NULL);
    reader->open[reader->n_open++] = node;
    reader->in_key = type == STEAD_NODE_MAP;
    return TRUE;
}

static gboolean on_end(Reader *reader)
{
    SteadNode *node = reader->open[--reader->n_open];
    stead_node_close(node);
    if (reader->anchor[reader->n_open])
        g_hash_table_insert(reader->anchors, (gpointer)reader->anchor[reader->n_open], node);
    reader->in_key = reader->n_open > 0 && reader->open[reader->n_open - 1]->type == STEAD_NODE_MAP;
    return TRUE;
}

static gboolean on_alias(Reader *reader, const yaml_event_t *event)
{
    const char *anchor = (const char *)event->data.alias.anchor;
    gpointer target = NULL;
    if (!g_hash_table_lookup_extended(reader->anchors, anchor, NULL, &target))
        return fail(reader, &event->start_mark, "there is no anchor '&%.40s' before this", anchor);
    if (!target)
        return fail(reader, &event->start_mark, "'*%.40s' stands within itself", anchor);
    SteadNode *node = add_node(reader, event, STEAD_NODE_NULL);
    if (!node)
        return FALSE;
    GError *error = NULL;
    return stead_tree_alias(reader->tree, node, target, &error) ||
           fail_tree(reader, &event->start_mark, error);
}

static gboolean on_event(Reader *reader, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return ++reader->documents == 1 ||
               fail(reader, &event->start_mark, "a file holds one document; a second begins here");
    case YAML_SCALAR_EVENT:
        return on_scalar(reader, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(reader, event, STEAD_NODE_LIST, event->data.sequence_start.anchor,
                        event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return on_start(reader, event, STEAD_NODE_MAP, event->data.mapping_start.anchor,
                        event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_end(reader);
    case YAML_ALIAS_EVENT:
        return on_alias(reader, event);
    default:
        return TRUE;
    }
}

static gboolean read_events(Reader *reader)
{
    for (gboolean done = FALSE; !done;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&reader->parser, &event))
            return fail_syntax(reader);
        done = event.type == YAML_STREAM_END_EVENT;
        gboolean good = on_event(reader, &event);
        yaml_event_delete(&event);
        if (!good)
            return FALSE;
    }
    return TRUE;
}

/* An empty file is a tree of nothing. */
static gboolean ensure_root(Reader *reader)
{
    if (stead_tree_root(reader->tree))
        return TRUE;
    SteadNode *root = stead_tree_add(reader->tree, NULL, STEAD_NODE_NULL, reader->error);
    if (root)
        root->line = root->column = 1;
    return root != NULL;
}

SteadTree *stead_tree_from_yaml(const char *text, gsize length, const char *file, GError **error)
{
    if (length > STEAD_MAX_SPEC_BYTES) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "%s: larger than %d KiB", file,
                        STEAD_MAX_SPEC_BYTES / 1024);
        return NULL;
    }
    g_autoptr(SteadTree) tree = stead_tree_new();
    g_autoptr(GHashTable) anchors = g_hash_table_new(g_str_hash, g_str_equal);
    Reader reader = {.file = file,
                     .text = text,
                     .length = length,
                     .tree = tree,
                     .anchors = anchors,
                     .error = error};
    if (!yaml_parser_initialize(&reader.parser)) {
        stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "%s: no memory for a parser", file);
        return NULL;
    }
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, length);
    gboolean good = read_events(&reader) && ensure_root(&reader);
    yaml_parser_delete(&reader.parser);
    return good ? g_steal_pointer(&tree) : NULL;
}
