/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading is bounded, and refuses what is no regular file. An error about a file that a spec names
 * gets the place in the spec where the name stands: its first occurrence as a whole word.
 */
#include "cli/local_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "model/check.h"

/* "~/x" is in the user's home, all else that is relative in `folder`. Owned by the caller. */
static char *whole_path(const char *path, const char *folder)
{
    if (strcmp(path, "~") == 0 || g_str_has_prefix(path, "~/"))
        return g_build_filename(g_get_home_dir(), path + 1, NULL);
    if (folder == NULL || g_path_is_absolute(path))
        return g_strdup(path);
    return g_build_filename(folder, path, NULL);
}

static GString *read_descriptor(int fd, gsize limit, const char *name, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    char buffer[16 * 1024];
    ssize_t n;
    while ((n = read(fd, buffer, sizeof buffer)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            stead_set_error(error, STEAD_ERROR_INVALID, NULL, "%s cannot be read: %s", name,
                            g_strerror(errno));
            return NULL;
        }
        g_string_append_len(text, buffer, n);
        if (text->len > limit) {
            stead_set_error(error, STEAD_ERROR_INVALID, NULL,
                            "%s is longer than the %" G_GSIZE_FORMAT " bytes allowed", name, limit);
            return NULL;
        }
    }
    if (g_utf8_validate(text->str, (gssize)text->len, NULL))
        return g_steal_pointer(&text);
    stead_set_error(error, STEAD_ERROR_INVALID, NULL, "%s is not UTF-8 text", name);
    return NULL;
}

/* Waits for no device: a pipe is read (process substitution), a folder or terminal is refused. */
static GString *read_file(const char *path, gsize limit, GError **error)
{
    struct stat info;
    stead_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &info) != 0) {
        int saved = errno;
        stead_set_error(error, saved == ENOENT ? STEAD_ERROR_NOT_FOUND : STEAD_ERROR_INVALID, NULL,
                        "%s cannot be read: %s", path, g_strerror(saved));
        return NULL;
    }
    if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode)) {
        stead_set_error(error, STEAD_ERROR_INVALID, NULL, "%s is not a file", path);
        return NULL;
    }
    return read_descriptor(fd, limit, path, error);
}

gboolean stead_local_keys(const char *entry, const char *folder, GPtrArray *keys, GError **error)
{
    if (!stead_ssh_key_is_file(entry)) {
        g_ptr_array_add(keys, g_strdup(entry));
        return TRUE;
    }
    g_autofree char *path = whole_path(entry, folder);
    GString *text = read_file(path, STEAD_MAX_KEY_FILE, error);
    if (text == NULL)
        return FALSE;
    g_auto(GStrv) lines = g_strsplit(text->str, "\n", -1);
    g_string_free(text, TRUE);
    guint before = keys->len;
    for (char **line = lines; *line != NULL; line++) {
        g_strstrip(*line);
        if (**line != '\0' && **line != '#')
            g_ptr_array_add(keys, g_strdup(*line));
    }
    if (keys->len > before)
        return TRUE;
    stead_set_error(error, STEAD_ERROR_INVALID, NULL, "%s holds no public key", path);
    return FALSE;
}

char *stead_local_user_data(const char *path, const char *folder, GError **error)
{
    g_autofree char *whole = whole_path(path, folder);
    GString *text = read_file(whole, STEAD_MAX_USER_DATA, error);
    return text ? g_string_free(text, FALSE) : NULL;
}

/* --- specs --- */

static gboolean is_word_part(char c)
{
    return g_ascii_isalnum(c) || strchr("_-./~", c) != NULL;
}

/* Where `word` stands in the text first; NULL when it is written in another way. */
static const char *find_word(const char *text, const char *word)
{
    gsize length = strlen(word);
    for (const char *p = strstr(text, word); p != NULL; p = strstr(p + 1, word)) {
        gboolean begins = p == text || !is_word_part(p[-1]);
        if (begins && (p[length] == '\0' || !is_word_part(p[length])))
            return p;
    }
    return NULL;
}

static void prefix_place(GError **error, const char *text, const char *file, const char *word)
{
    const char *at = find_word(text, word);
    guint line = 1, column = 1;
    for (const char *p = text; at != NULL && p < at; p++, column++)
        if (*p == '\n') {
            line++;
            column = 0;
        }
    if (at != NULL)
        g_prefix_error(error, "%s:%u:%u: ", file, line, column);
    else
        g_prefix_error(error, "%s: ", file);
}

static gboolean resolve_keys(GStrv *list, const char *folder, const char *text, const char *file,
                             GError **error)
{
    g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func(g_free);
    for (char **entry = *list; entry != NULL && *entry != NULL; entry++)
        if (!stead_local_keys(*entry, folder, keys, error)) {
            prefix_place(error, text, file, *entry);
            return FALSE;
        }
    g_ptr_array_add(keys, NULL);
    g_strfreev(*list);
    *list = (GStrv)g_ptr_array_free(g_steal_pointer(&keys), FALSE);
    return TRUE;
}

static gboolean resolve_instance(SteadInstanceSpec *spec, const char *folder, const char *text,
                                 const char *file, GError **error)
{
    if (spec->ssh_keys != NULL && !resolve_keys(&spec->ssh_keys, folder, text, file, error))
        return FALSE;
    for (guint i = 0; spec->users != NULL && i < spec->users->len; i++) {
        SteadUserSpec *user = g_ptr_array_index(spec->users, i);
        if (user->ssh_keys != NULL && !resolve_keys(&user->ssh_keys, folder, text, file, error))
            return FALSE;
    }
    if (spec->user_data_file == NULL)
        return TRUE;
    g_free(spec->user_data);
    spec->user_data = stead_local_user_data(spec->user_data_file, folder, error);
    if (spec->user_data == NULL) {
        prefix_place(error, text, file, spec->user_data_file);
        return FALSE;
    }
    g_clear_pointer(&spec->user_data_file, g_free);
    return TRUE;
}

gboolean stead_local_resolve(SteadSpec *spec, const char *text, const char *file, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(file);
    for (guint i = 0; i < spec->instances->len; i++)
        if (!resolve_instance(g_ptr_array_index(spec->instances, i), folder, text, file, error))
            return FALSE;
    return TRUE;
}

SteadSpec *stead_local_spec(const char *path, GError **error)
{
    gboolean standard = strcmp(path, "-") == 0;
    const char *file = standard ? "(standard input)" : path;
    GString *text = standard ? read_descriptor(STDIN_FILENO, STEAD_MAX_SPEC_BYTES, file, error)
                             : read_file(path, STEAD_MAX_SPEC_BYTES, error);
    if (text == NULL)
        return NULL;
    g_autofree char *kept = g_string_free(text, FALSE);
    g_autoptr(SteadSpec) spec = stead_spec_parse(kept, -1, file, error);
    if (spec == NULL || !stead_local_resolve(spec, kept, standard ? "./-" : path, error))
        return NULL;
    return g_steal_pointer(&spec);
}
