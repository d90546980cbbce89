/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's end of a console: a terminal, or a pipe, on the API's WebSocket.
 */
#pragma once

#include <libsoup/soup.h>

/* Input that is sent ahead of what the guest has taken, in bytes, when it comes from a pipe. */
#define STEAD_CONSOLE_AHEAD_MAX 16384

typedef struct {
    gboolean read_only; /* does not ask for the writer's place */
    gboolean force;     /* takes it from whoever has it */
    const char *from;   /* "start", "boot", "now" or "tail:N" */
    int escape;         /* the key that detaches; STEAD_KEY_NONE: none */
    guint linger_ms;    /* at the end of piped input: leave after so much silence */
    int input;          /* descriptors; 0, 1 and 2 for a command */
    int output;
    int messages;
    gboolean quiet; /* no remarks on `messages` */
} SteadConsoleClientOptions;

/*
 * Runs on the default main context until the user detaches, the console ends, or a signal asks for
 * it (SIGINT, SIGTERM, SIGHUP); all these are success.
 *
 * Where `input` is a terminal it is raw meanwhile, and its size goes to the guest. Where it is not,
 * all of it is sent as fast as the guest takes it; after its end the console is shown until nothing
 * has come for linger_ms. A read-only console ignores such input, and is shown until it ends.
 *
 * `session` sends to the daemon whatever the host name. Errors: BUSY when somebody else is the
 * writer; what libsoup says when there is no connection; UNAVAILABLE when it breaks.
 */
gboolean stead_console_client(SoupSession *session, const char *instance,
                              const SteadConsoleClientOptions *options, GError **error);
