/* SPDX-License-Identifier: Apache-2.0 */
/* A command run to its end by a thread that waits for it. */
#include <string.h>

#include "base/error.h"
#include "runtime/stream.h"

typedef struct {
    SteadStream *stream;
    const char *input;
    gsize left; /* of the input */
    GByteArray *out, *err;
    gboolean truncated;
} Collection;

static void collection_clear(Collection *collection)
{
    stead_stream_free(collection->stream);
    g_clear_pointer(&collection->out, g_byte_array_unref);
    g_clear_pointer(&collection->err, g_byte_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Collection, collection_clear)

static void write_input(Collection *collection)
{
    if (collection->input == NULL)
        return;
    gsize n = stead_stream_write(collection->stream, collection->input, collection->left);
    collection->input += n;
    collection->left -= n;
    if (collection->left > 0)
        return;
    collection->input = NULL;
    stead_stream_end_input(collection->stream);
}

static void keep(Collection *collection, GByteArray *array, GBytes *bytes)
{
    gsize n, have = collection->out->len + collection->err->len;
    const guint8 *data = g_bytes_get_data(bytes, &n);
    gsize kept = MIN(n, STEAD_STREAM_COLLECT_MAX - have);
    g_byte_array_append(array, data, (guint)kept);
    collection->truncated |= kept < n;
}

/* All that is there; the last event, if that was among it. */
static SteadStreamEvent *read_output(Collection *collection)
{
    SteadStreamEvent *event;
    while ((event = stead_stream_take(collection->stream)) != NULL) {
        if (event->bytes == NULL)
            return event;
        keep(collection, event->what == STEAD_STREAM_OUT ? collection->out : collection->err,
             event->bytes);
        stead_stream_event_free(event);
    }
    return NULL;
}

static SteadExecResult *make_result(Collection *collection, int exit_code)
{
    SteadExecResult *result = g_new0(SteadExecResult, 1);
    result->exit_code = exit_code;
    result->out = g_byte_array_free_to_bytes(g_steal_pointer(&collection->out));
    result->err = g_byte_array_free_to_bytes(g_steal_pointer(&collection->err));
    result->truncated = collection->truncated;
    return result;
}

SteadExecResult *stead_stream_collect(SteadStream *stream, const char *input, gint64 deadline,
                                      GCancellable *cancellable, GError **error)
{
    g_auto(Collection) collection = {.stream = stream,
                                     .input = input,
                                     .left = input ? strlen(input) : 0,
                                     .out = g_byte_array_new(),
                                     .err = g_byte_array_new()};
    g_autoptr(SteadStreamEvent) last = NULL;
    while (last == NULL) {
        write_input(&collection);
        if (!stead_stream_wait(stream, collection.input != NULL, deadline, cancellable, error))
            return NULL;
        last = read_output(&collection);
    }
    if (last->what == STEAD_STREAM_ENDED)
        return make_result(&collection, last->exit_code);
    g_propagate_error(error, g_steal_pointer(&last->error));
    return NULL;
}
