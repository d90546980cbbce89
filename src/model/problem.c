/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Problems are kept with their place and sorted by it in the end: checks of the whole come after
 * the reading of its parts, but a reader goes through a file from top to bottom.
 */
#include "model/problem.h"

#include <string.h>

#include "base/error.h"

typedef struct {
    guint line, column;
    guint order;
    char *text;
} Problem;

struct _SteadProblems {
    char *file;
    GArray *list; /* Problem */
    guint count;
};

static void clear_problem(gpointer problem)
{
    g_free(((Problem *)problem)->text);
}

SteadProblems *stead_problems_new(const char *file)
{
    SteadProblems *problems = g_new0(SteadProblems, 1);
    problems->file = g_strdup(file);
    problems->list = g_array_new(FALSE, FALSE, sizeof(Problem));
    g_array_set_clear_func(problems->list, clear_problem);
    return problems;
}

void stead_problems_free(SteadProblems *problems)
{
    if (!problems)
        return;
    g_free(problems->file);
    g_array_unref(problems->list);
    g_free(problems);
}

guint stead_problems_count(const SteadProblems *problems)
{
    return problems->count;
}

gboolean stead_problems_full(const SteadProblems *problems)
{
    return problems->list->len >= STEAD_MAX_PROBLEMS;
}

/* Appends the whole path: "instances.web.networks[0]". */
static void append_path(GString *out, const SteadPath *path)
{
    if (!path || !path->up)
        return;
    append_path(out, path->up);
    if (!path->name)
        g_string_append_printf(out, "[%u]", path->index);
    else
        g_string_append_printf(out, "%s%s", out->len > 0 ? "." : "", path->name);
}

char *stead_path_label(const SteadPath *path)
{
    if (!path || !path->up)
        return g_strdup("the spec");
    if (path->name && !path->inner)
        return g_strdup(path->name);
    g_autofree char *up = stead_path_label(path->up);
    return path->name ? g_strdup_printf("%s.%s", up, path->name)
                      : g_strdup_printf("item %u of %s", path->index + 1, up);
}

/* The object that holds what stead_path_label() names. */
static const SteadPath *holder(const SteadPath *path)
{
    while (path && path->up && (!path->name || path->inner))
        path = path->up;
    return path ? path->up : NULL;
}

/* Counts a problem; TRUE when it is also to be told. A hostile file has a problem in every value,
 * and must not make us write a message for each. */
static gboolean count(SteadProblems *problems)
{
    gboolean told = !stead_problems_full(problems);
    problems->count++;
    return told;
}

/* Takes `text` over. */
static void add(SteadProblems *problems, guint line, guint column, const char *place, char *text)
{
    Problem problem = {.line = line, .column = column, .order = problems->count};
    if (problems->file && line > 0)
        problem.text = g_strdup_printf("%s:%u:%u: %s", problems->file, line, column, text);
    else if (*place)
        problem.text = g_strdup_printf("%s: %s", place, text);
    else
        problem.text = g_strdup(text);
    g_free(text);
    g_array_append_val(problems->list, problem);
}

/* Likewise, from what a caller was given. */
static void G_GNUC_PRINTF(5, 0)
    add_formatted(SteadProblems *problems, guint line, guint column, const SteadPath *path,
                  const char *format, va_list args)
{
    g_autoptr(GString) place = g_string_new(NULL);
    append_path(place, path);
    add(problems, line, column, place->str, g_strdup_vprintf(format, args));
}

void stead_problem_at(SteadProblems *problems, const SteadNode *node, const SteadPath *path,
                      const char *format, ...)
{
    if (!count(problems))
        return;
    va_list args;
    va_start(args, format);
    add_formatted(problems, node->line, node->column, holder(path), format, args);
    va_end(args);
}

void stead_problem_at_key(SteadProblems *problems, const SteadNode *node, const SteadPath *path,
                          const char *format, ...)
{
    if (!count(problems))
        return;
    va_list args;
    va_start(args, format);
    add_formatted(problems, node->key_line, node->key_column, path, format, args);
    va_end(args);
}

void stead_problem(const SteadWhere *where, const char *sub, const char *format, ...)
{
    if (!count(where->problems))
        return;
    va_list args;
    va_start(args, format);
    g_autoptr(GString) place = g_string_new(NULL);
    append_path(place, where->path);
    if (place->len > 0 && *sub && *sub != '[')
        g_string_append_c(place, '.');
    g_string_append(place, sub);
    const SteadNode *node = stead_node_find(where->node, sub);
    add(where->problems, node->line, node->column, place->str, g_strdup_vprintf(format, args));
    va_end(args);
}

static gint by_place(gconstpointer a, gconstpointer b)
{
    const Problem *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

gboolean stead_problems_finish(SteadProblems *problems, GError **error)
{
    if (problems->count == 0)
        return TRUE;
    g_array_sort(problems->list, by_place);
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < problems->list->len; i++)
        g_string_append_printf(text, "%s%s", i > 0 ? "\n" : "",
                               g_array_index(problems->list, Problem, i).text);
    if (problems->count > problems->list->len)
        g_string_append_printf(text, "\nand %u more", problems->count - problems->list->len);
    stead_set_error(error, STEAD_ERROR_INVALID, NULL, "%s", text->str);
    return FALSE;
}
