/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine that a test plays: its process is one that sleeps, and its QMP is a thread, which
 * accepts one client after the other, as an engine does. Either may end first.
 */
#pragma once

#include "runtime/microvm/microvm.h"

#define ENGINE_ID "12345678-1234-4234-8234-123456789abc"
#define ENGINE_PATIENCE_S 10

typedef struct {
    char *root, *dir, *record;
    SteadPaths *paths;
    SteadRuntime *runtime;
    /* the engine's */
    int qmp, agent;   /* listening */
    int agent_client; /* the thread's alone; -1 */
    GThread *thread;
    GMutex lock; /* of what follows */
    GCond changed;
    int client;        /* -1 */
    guint clients;     /* so far */
    gboolean over;     /* it accepts nobody any more */
    const char *mute;  /* the command that is not answered; NULL */
    GString *commands; /* "NAME NAME " */
    /* what was told: main loop */
    guint news;           /* of any kind */
    SteadState state;     /* the last */
    SteadActual *stopped; /* that it has ended */
} Engine;

/* Both of its sockets listen, and nobody accepts: the engine is there, and does not answer. */
void engine_set_up_stuck(Engine *engine, gconstpointer unused);
/* And with the thread that answers, and the daemon attached. */
void engine_set_up(Engine *engine, gconstpointer unused);
void engine_tear_down(Engine *engine, gconstpointer unused);

void engine_begin(Engine *engine); /* the thread */
void engine_say(Engine *engine, const char *text);
/* Closes its client's connection; with `for_good` its QMP is gone. */
void engine_hang_up(Engine *engine, gboolean for_good);
void engine_end_process(const Engine *engine);
/* The only engine in a list. */
SteadActual *engine_list(Engine *engine);
/* Serves the main loop for so long, or until it was told that it has ended. */
void engine_serve(Engine *engine, guint ms);
/* Whatever it was told that it has ended. */
void engine_clear_told(Engine *engine);
/* Serves it until so many clients have come. */
void engine_await_clients(Engine *engine, guint n);
/* Waits until the engine has read all of these: "NAME NAME ". */
void engine_await_commands(Engine *engine, const char *commands);
