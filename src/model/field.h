/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structs described by tables. A table lists the fields of one struct: where each lies, how it is
 * written, its limits, its default and what it means. Everything that is done with such structs
 * (reading, writing, copying, freeing, comparing, the JSON Schema, the manual) is done here once,
 * over the tables.
 *
 * Adding a field to a spec is: a member in its struct and a row in its table.
 */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>

#include "model/node.h"
#include "model/problem.h"
#include "model/spec.h"

typedef enum {
    STEAD_FIELD_BOOL,     /* gboolean */
    STEAD_FIELD_UINT,     /* guint */
    STEAD_FIELD_NUMBER,   /* guint64 or gint64, never negative; written as a plain number */
    STEAD_FIELD_SIZE,     /* guint64, bytes; written "1G" */
    STEAD_FIELD_DURATION, /* guint64, milliseconds; written "5m" */
    STEAD_FIELD_ENUM,     /* an enum, with `names` */
    STEAD_FIELD_STRING,   /* char *, with `format`; NULL where it is not set */
    STEAD_FIELD_STRINGS,  /* GStrv, each of `format`; never NULL; one string stands for a list */
    STEAD_FIELD_OBJECT,   /* a struct within the struct, with `table` */
    STEAD_FIELD_POINTER,  /* a struct of its own, with `table`; never NULL */
    STEAD_FIELD_OBJECTS,  /* GPtrArray of structs, with `table` */
    STEAD_FIELD_MAP,      /* two GPtrArrays: names (at `names_offset`), structs (at `offset`) */
    STEAD_FIELD_JSON,     /* JsonNode *, kept as it is and shared by copies; NULL: not set */
    STEAD_N_FIELD_TYPES
} SteadFieldType;

typedef enum {
    STEAD_FIELD_REQUIRED = 1 << 0,
    STEAD_FIELD_ALWAYS = 1 << 1,       /* written also when it has its default */
    STEAD_FIELD_DEFAULT_ITEM = 1 << 2, /* the default of OBJECTS is one object of defaults */
    STEAD_FIELD_SECRET = 1 << 3,       /* its value is in no message */
} SteadFieldFlags;

/* What strings of some kind look like. */
typedef struct {
    const char *what;                    /* "an IPv4 address such as 10.77.0.10" */
    const char *pattern;                 /* regular expression of ECMA-262; NULL: none */
    gboolean (*valid)(const char *text); /* NULL: any */
    char *(*explain)(const char *text);  /* more about a wrong one; NULL, or returns NULL: none */
    gsize max;                           /* bytes; 0: STEAD_MAX_STRING */
    gboolean lines;                      /* may hold line ends and tabs */
} SteadText;

#define STEAD_MAX_STRING 1024
/* Items of a list where its field says nothing else. */
#define STEAD_MAX_ITEMS 256

typedef struct _SteadField SteadField;
typedef struct _SteadStruct SteadStruct;

struct _SteadField {
    const char *name; /* in files */
    SteadFieldType type;
    guint offset;
    guint names_offset;
    guint flags; /* SteadFieldFlags */
    SteadEffect effect;
    const SteadNames *names;
    const SteadText *format;
    const SteadStruct *table;
    guint64 min, max;     /* of numbers, sizes and durations; `max` items of a list */
    guint64 def;          /* of BOOL, UINT, NUMBER, SIZE, DURATION and ENUM */
    const char *def_text; /* of STRING; for the rest, what the manual says instead of `def` */
    const char *doc;      /* full sentences */
    const char *example;  /* as YAML */
    const char *also;     /* words that people try for it, separated by blanks */
};

struct _SteadStruct {
    const char *what; /* "an instance" */
    const char *id;   /* in the schema: "instance" */
    const char *doc;
    const SteadField *fields;
    guint n;
    gsize size;
    GDestroyNotify destroy; /* frees a struct of its own */

    /* The short form: one scalar instead of a mapping. Either it is the value of the field `brief`,
     * or `parse` reads it, and `write` writes it (never NULL then). */
    const char *brief;
    gboolean (*parse)(const char *text, gpointer object);
    char *(*write)(gconstpointer object);
    const SteadText *brief_format; /* with `parse` */

    /* Called when all fields are read; bit i of `given` tells that field i stood there. */
    void (*complete)(gpointer object, guint64 given);
    /* Checks fields against one another; called where each is right in itself, or always: then
     * fields that were wrong have their defaults. */
    void (*check)(gconstpointer object, const SteadWhere *where);
    gboolean check_always;
};

/* How strictly a tree is read. */
typedef enum {
    STEAD_READ_SPEC,   /* a user's: everything is checked */
    STEAD_READ_RECORD, /* our own, maybe from another version: unknown fields are skipped, null is
                          the default, and fields are not checked against one another */
} SteadReadMode;

/* Structs. A new one has all defaults; `copy` is a deep one. Owned by the caller, who frees them
 * with table->destroy. clear() frees what a struct owns, not the struct. */
gpointer stead_object_new(const SteadStruct *table);
gpointer stead_object_copy(const SteadStruct *table, gconstpointer object);
void stead_object_free(const SteadStruct *table, gpointer object);
void stead_object_init(const SteadStruct *table, gpointer object);
void stead_object_clear(const SteadStruct *table, gpointer object);
gboolean stead_object_equal(const SteadStruct *table, gconstpointer a, gconstpointer b);
gboolean stead_field_equal(const SteadField *field, gconstpointer a, gconstpointer b);
/* Whether a field of `object` has its default. */
gboolean stead_field_is_default(const SteadField *field, gconstpointer object);

/* Reads `node` into `object`, which has all defaults; adds what is wrong to `problems`. */
void stead_object_decode(const SteadStruct *table, const SteadNode *node, gpointer object,
                         SteadReadMode mode, SteadProblems *problems);

/* Canonical JSON: the long forms, in the table's order, without defaults. */
JsonNode *stead_object_encode(const SteadStruct *table, gconstpointer object);

/* Adds a SteadChange for each field that differs. `prefix` as in "memory."; "" at the top. */
void stead_object_diff(const SteadStruct *table, gconstpointer from, gconstpointer to,
                       const char *prefix, GPtrArray *changes);

/* An empty array for stead_object_diff(). */
GPtrArray *stead_changes_new(void);

/* A field's value as YAML on one line; NULL where it is not set. `value` points to the member. */
char *stead_field_format(const SteadField *field, gconstpointer object);

/* What is expected of a field: "a whole number from 1 to 512". Owned by the caller. */
char *stead_field_expected(const SteadField *field);
/* Likewise of a struct, with its short form. */
char *stead_table_expected(const SteadStruct *table);
/* Its default for the manual: "1G"; NULL where it has none. */
char *stead_field_default(const SteadField *field);

/* The field of that name; NULL when there is none. */
const SteadField *stead_table_field(const SteadStruct *table, const char *name);

/* The JSON Schema of a file that `table` describes; man(7) source of all its fields. */
JsonNode *stead_table_schema(const SteadStruct *table);
void stead_table_manual(const SteadStruct *table, GString *out);

/* Where a field's member is. */
static inline gpointer stead_member(const SteadField *field, gconstpointer object)
{
    return (char *)(gpointer)object + field->offset;
}

static inline GPtrArray **stead_member_names(const SteadField *field, gconstpointer object)
{
    return (GPtrArray **)(gpointer)((char *)(gpointer)object + field->names_offset);
}

/* Rows of tables: TYPE(struct, member, name in files, further initializers...). The casts in the
 * conditional make the compiler refuse a member of another type. */
#define STEAD_ROW(kind, struct_, member, ctype, file_name, ...)                                    \
    {                                                                                              \
        .type = STEAD_FIELD_##kind, .name = file_name,                                             \
        .offset = G_STRUCT_OFFSET(struct_, member) +                                               \
                  0 * sizeof(1 ? (ctype *)NULL : &((struct_ *)NULL)->member),                      \
        __VA_ARGS__                                                                                \
    }
