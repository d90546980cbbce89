/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over the text with a stack of what is open. What may come next is a state: a value, a
 * key, a colon, or a comma or an end.
 */
#include "vmm/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef enum {
    WANT_VALUE,
    WANT_VALUE_OR_END,
    WANT_KEY,
    WANT_KEY_OR_END,
    WANT_COLON,
    WANT_COMMA
} Want;

typedef struct {
    VmmJson *json;
    const char *text;
    size_t length, at;
    int open[VMM_JSON_DEPTH_MAX];
    unsigned depth;
    Want want;
} Parser;

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c);
}

static int add_node(Parser *parser, VmmJsonKind kind, size_t start)
{
    VmmJson *json = parser->json;
    if (json->n == VMM_JSON_NODES_MAX)
        return -E2BIG;
    json->nodes[json->n] = (VmmJsonNode){.kind = kind, .start = (uint32_t)start};
    return (int)json->n++;
}

/* Ends a node that holds nothing, or no more. */
static void end_node(Parser *parser, int node, size_t length)
{
    parser->json->nodes[node].length = (uint32_t)length;
    parser->json->nodes[node].end = parser->json->n;
}

static bool in_object(const Parser *parser)
{
    return parser->depth > 0 &&
           parser->json->nodes[parser->open[parser->depth - 1]].kind == VMM_JSON_OBJECT;
}

static int take_string(Parser *parser)
{
    size_t start = ++parser->at;
    int node = add_node(parser, VMM_JSON_STRING, start);
    if (node < 0)
        return node;
    for (; parser->at < parser->length; parser->at++) {
        char c = parser->text[parser->at];
        if ((unsigned char)c < 0x20)
            return -EINVAL;
        if (c == '"') {
            end_node(parser, node, parser->at++ - start);
            return 0;
        }
        if (c == '\\' && ++parser->at == parser->length)
            break;
    }
    return -EINVAL;
}

/* Numbers and words; only their characters are looked at here. */
static int take_plain(Parser *parser, VmmJsonKind kind, const char *characters)
{
    size_t start = parser->at;
    int node = add_node(parser, kind, start);
    if (node < 0)
        return node;
    while (parser->at < parser->length && is_one_of(parser->text[parser->at], characters))
        parser->at++;
    end_node(parser, node, parser->at - start);
    return 0;
}

static int take_open(Parser *parser, VmmJsonKind kind)
{
    if (parser->depth == VMM_JSON_DEPTH_MAX)
        return -E2BIG;
    int node = add_node(parser, kind, parser->at++);
    if (node < 0)
        return node;
    parser->open[parser->depth++] = node;
    parser->want = kind == VMM_JSON_OBJECT ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
    return 0;
}

static int take_close(Parser *parser, char c)
{
    if (parser->depth == 0 || in_object(parser) != (c == '}'))
        return -EINVAL;
    int node = parser->open[--parser->depth];
    parser->at++;
    end_node(parser, node, parser->at - parser->json->nodes[node].start);
    parser->want = WANT_COMMA;
    return 0;
}

static int take_value(Parser *parser, char c)
{
    if (c == '{' || c == '[')
        return take_open(parser, c == '{' ? VMM_JSON_OBJECT : VMM_JSON_ARRAY);
    parser->want = WANT_COMMA;
    if (c == '"')
        return take_string(parser);
    if (is_one_of(c, "-0123456789"))
        return take_plain(parser, VMM_JSON_NUMBER, "-+.eE0123456789");
    if (is_one_of(c, "tfn"))
        return take_plain(parser, VMM_JSON_WORD, "truefalsn");
    return -EINVAL;
}

static int take_key(Parser *parser, char c)
{
    parser->want = WANT_COLON;
    return c == '"' ? take_string(parser) : -EINVAL;
}

static int take_mark(Parser *parser, char c, char mark, Want next)
{
    if (c != mark)
        return -EINVAL;
    parser->at++;
    parser->want = next;
    return 0;
}

static int take(Parser *parser)
{
    char c = parser->text[parser->at];
    bool may_end = parser->want == WANT_COMMA || parser->want == WANT_KEY_OR_END ||
                   parser->want == WANT_VALUE_OR_END;
    if (may_end && (c == '}' || c == ']'))
        return take_close(parser, c);
    switch (parser->want) {
    case WANT_VALUE:
    case WANT_VALUE_OR_END:
        return take_value(parser, c);
    case WANT_KEY:
    case WANT_KEY_OR_END:
        return take_key(parser, c);
    case WANT_COLON:
        return take_mark(parser, c, ':', WANT_VALUE);
    case WANT_COMMA:
        break;
    }
    if (parser->depth == 0)
        return -EINVAL; /* something stands behind the value */
    return take_mark(parser, c, ',', in_object(parser) ? WANT_KEY : WANT_VALUE);
}

int vmm_json_parse(VmmJson *json, const char *text, size_t length)
{
    Parser parser = {.json = json, .text = text, .length = length};
    json->text = text;
    json->n = 0;
    int failed = length > INT32_MAX ? -E2BIG : 0;
    while (!failed && parser.at < length) {
        if (is_space(text[parser.at]))
            parser.at++;
        else
            failed = take(&parser);
    }
    if (!failed && (parser.depth > 0 || parser.want != WANT_COMMA))
        failed = -EINVAL;
    return failed;
}

static bool equals(const VmmJson *json, int node, const char *text)
{
    size_t length = strlen(text);
    return json->nodes[node].length == length &&
           memcmp(json->text + json->nodes[node].start, text, length) == 0;
}

int vmm_json_get(const VmmJson *json, int object, const char *key)
{
    if (object < 0 || (unsigned)object >= json->n || json->nodes[object].kind != VMM_JSON_OBJECT)
        return VMM_JSON_NONE;
    int end = (int)json->nodes[object].end;
    for (int at = object + 1; at + 1 < end; at = (int)json->nodes[at + 1].end)
        if (equals(json, at, key))
            return at + 1;
    return VMM_JSON_NONE;
}

static const VmmJsonNode *node_of_kind(const VmmJson *json, int node, VmmJsonKind kind)
{
    if (node < 0 || (unsigned)node >= json->n || json->nodes[node].kind != kind)
        return NULL;
    return &json->nodes[node];
}

/* The character that \uXXXX stands for, -1 when it is not plain ASCII. */
static int hex_character(const char *digits)
{
    int value = 0;
    for (unsigned i = 0; i < 4; i++) {
        const char *all = "0123456789abcdef", *found = strchr(all, digits[i] | 0x20);
        if (found == NULL || digits[i] == '\0')
            return -1;
        value = value << 4 | (int)(found - all);
    }
    return value > 0 && value < 0x80 ? value : -1;
}

/* The character behind a backslash; moves over all but the last of it. */
static int unescape(const char **at, const char *end)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = **at;
    if (c == 'u') {
        if (end - *at < 5)
            return -1;
        *at += 4;
        return hex_character(*at - 3);
    }
    const char *found = c ? strchr(from, c) : NULL;
    return found ? to[found - from] : -1;
}

int vmm_json_string(const VmmJson *json, int node, char *to, size_t room)
{
    const VmmJsonNode *string = node_of_kind(json, node, VMM_JSON_STRING);
    if (string == NULL)
        return -EINVAL;
    const char *at = json->text + string->start, *end = at + string->length;
    size_t used = 0;
    for (; at < end; at++) {
        int c = (unsigned char)*at;
        if (c == '\\') {
            at++;
            c = unescape(&at, end);
        }
        if (c < 0)
            return -EINVAL;
        if (used + 1 >= room)
            return -E2BIG;
        to[used++] = (char)c;
    }
    to[used] = '\0';
    return 0;
}

int vmm_json_number(const VmmJson *json, int node, uint64_t *value)
{
    const VmmJsonNode *number = node_of_kind(json, node, VMM_JSON_NUMBER);
    uint64_t result = 0;
    if (number == NULL)
        return -EINVAL;
    for (uint32_t i = 0; i < number->length; i++) {
        char c = json->text[number->start + i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(result, 10, &result) ||
            __builtin_add_overflow(result, (uint64_t)(c - '0'), &result))
            return -EINVAL;
    }
    *value = result;
    return 0;
}

void vmm_json_escape(const char *text, char *to, size_t room)
{
    size_t used = 0;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        char piece[8];
        int n = c == '"' || c == '\\' ? snprintf(piece, sizeof piece, "\\%c", c)
                : c < 0x20            ? snprintf(piece, sizeof piece, "\\u%04x", c)
                                      : snprintf(piece, sizeof piece, "%c", c);
        if (used + (size_t)n >= room)
            break;
        memcpy(to + used, piece, (size_t)n);
        used += (size_t)n;
    }
    if (room > 0)
        to[used] = '\0';
}
