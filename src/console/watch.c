/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One inotify descriptor for all consoles, since a user may have but few (128 by default).
 *
 * Each file has two watches: its own, which tells of writes, and one on its folder, which tells of
 * a new file under that name. The folder's does not ask for writes, because the disks that lie
 * there are written all the time. A watch follows the inode, so after each change of name it is
 * set anew on whatever has the name then.
 *
 * Two watches on one inode have one number in inotify, so a number maps to a list.
 */
#include "console/watch.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define FILE_MASK (IN_MODIFY | IN_MOVE_SELF | IN_DELETE_SELF | IN_ATTRIB)
#define FOLDER_MASK (IN_CREATE | IN_MOVED_TO | IN_ONLYDIR)
#define EVENT_BUFFER 16384

struct _SteadWatch {
    guint references;
    char *path;
    SteadWatchFunc func; /* NULL: freed */
    gpointer data;
    int file;   /* inotify's number; -1: none */
    int folder; /* likewise */
    guint poll;
    gboolean dirty;
};

static int inotify = -1;
static guint source;
static GHashTable *table; /* number → GPtrArray of SteadWatch */
static guint users;

static void watch_unref(gpointer data)
{
    SteadWatch *watch = data;
    if (--watch->references > 0)
        return;
    g_free(watch->path);
    g_free(watch);
}

static void enter(int number, SteadWatch *watch)
{
    GPtrArray *list = g_hash_table_lookup(table, GINT_TO_POINTER(number));
    if (list == NULL) {
        list = g_ptr_array_sized_new(1);
        g_hash_table_insert(table, GINT_TO_POINTER(number), list);
    }
    g_ptr_array_add(list, watch);
}

static void leave(int *number, SteadWatch *watch)
{
    GPtrArray *list = *number >= 0 ? g_hash_table_lookup(table, GINT_TO_POINTER(*number)) : NULL;
    if (list) {
        g_ptr_array_remove_fast(list, watch);
        if (list->len == 0) {
            g_hash_table_remove(table, GINT_TO_POINTER(*number));
            inotify_rm_watch(inotify, *number);
        }
    }
    *number = -1;
}

static gboolean on_poll(gpointer data)
{
    SteadWatch *watch = data;
    watch->func(watch->data);
    return G_SOURCE_CONTINUE;
}

static void poll_instead(SteadWatch *watch)
{
    leave(&watch->file, watch);
    leave(&watch->folder, watch);
    watch->poll = g_timeout_add(STEAD_WATCH_POLL_MS, on_poll, watch);
}

/* Sets the file's own watch on whatever has the name now. */
static void rearm(SteadWatch *watch)
{
    if (inotify < 0 || watch->poll != 0)
        return;
    int number = inotify_add_watch(inotify, watch->path, FILE_MASK | IN_MASK_ADD);
    if (number < 0 && errno != ENOENT) {
        poll_instead(watch);
    } else if (number != watch->file) {
        leave(&watch->file, watch);
        watch->file = number;
        if (number >= 0)
            enter(number, watch);
    }
}

static void mark_dirty(SteadWatch *watch, GPtrArray *dirty)
{
    if (watch->dirty)
        return;
    watch->dirty = TRUE;
    watch->references++;
    g_ptr_array_add(dirty, watch);
}

static void mark_all(GPtrArray *dirty)
{
    GHashTableIter iter;
    gpointer list;
    g_hash_table_iter_init(&iter, table);
    while (g_hash_table_iter_next(&iter, NULL, &list))
        for (guint i = 0; i < ((GPtrArray *)list)->len; i++)
            mark_dirty(((GPtrArray *)list)->pdata[i], dirty);
}

static void take_event(const struct inotify_event *event, GPtrArray *dirty)
{
    if (event->mask & IN_Q_OVERFLOW) {
        mark_all(dirty);
        return;
    }
    GPtrArray *list = g_hash_table_lookup(table, GINT_TO_POINTER(event->wd));
    for (guint i = 0; list && i < list->len; i++) {
        SteadWatch *watch = list->pdata[i];
        if (event->len == 0 || g_str_has_suffix(watch->path, event->name))
            mark_dirty(watch, dirty);
    }
    if (list && (event->mask & IN_IGNORED)) {
        for (guint i = 0; i < list->len; i++) {
            SteadWatch *watch = list->pdata[i];
            watch->file = watch->file == event->wd ? -1 : watch->file;
            watch->folder = watch->folder == event->wd ? -1 : watch->folder;
        }
        g_hash_table_remove(table, GINT_TO_POINTER(event->wd));
    }
}

static gboolean on_readable(int fd, GIOCondition condition, gpointer data)
{
    _Alignas(struct inotify_event) char buffer[EVENT_BUFFER];
    gssize n = read(fd, buffer, sizeof buffer);
    if (n <= 0)
        return G_SOURCE_CONTINUE;
    g_autoptr(GPtrArray) dirty = g_ptr_array_new_with_free_func(watch_unref);
    for (gssize at = 0; at < n;) {
        const struct inotify_event *event = (const void *)(buffer + at);
        take_event(event, dirty);
        at += (gssize)(sizeof *event + event->len);
    }
    for (guint i = 0; i < dirty->len; i++) {
        SteadWatch *watch = dirty->pdata[i];
        watch->dirty = FALSE;
        if (watch->func == NULL)
            continue;
        rearm(watch);
        watch->func(watch->data);
    }
    return G_SOURCE_CONTINUE;
}

static void use_inotify(void)
{
    if (users++ > 0)
        return;
    table = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_ptr_array_unref);
    inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (inotify >= 0)
        source = g_unix_fd_add(inotify, G_IO_IN, on_readable, NULL);
}

static void drop_inotify(void)
{
    if (--users > 0)
        return;
    if (inotify >= 0) {
        g_source_remove(source);
        close(inotify);
        inotify = -1;
    }
    g_clear_pointer(&table, g_hash_table_unref);
}

SteadWatch *stead_watch_new(const char *path, SteadWatchFunc func, gpointer data)
{
    SteadWatch *watch = g_new0(SteadWatch, 1);
    *watch = (SteadWatch){.references = 1,
                          .path = g_strdup(path),
                          .func = func,
                          .data = data,
                          .file = -1,
                          .folder = -1};
    use_inotify();
    g_autofree char *folder = g_path_get_dirname(path);
    if (inotify >= 0)
        watch->folder = inotify_add_watch(inotify, folder, FOLDER_MASK | IN_MASK_ADD);
    if (watch->folder < 0) {
        poll_instead(watch);
    } else {
        enter(watch->folder, watch);
        rearm(watch);
    }
    return watch;
}

void stead_watch_free(SteadWatch *watch)
{
    if (watch == NULL)
        return;
    g_clear_handle_id(&watch->poll, g_source_remove);
    leave(&watch->file, watch);
    leave(&watch->folder, watch);
    watch->func = NULL;
    watch_unref(watch);
    drop_inotify();
}

gboolean stead_watch_is_polling(const SteadWatch *watch)
{
    return watch->poll != 0;
}
