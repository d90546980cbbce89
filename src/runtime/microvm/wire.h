/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to the Unix sockets of a running engine, served by one thread for all of them, so
 * that neither a chatty guest nor a dead engine holds up the main loop.
 *
 * The thread alone reads. Anybody may send. What a callback is given as `data` stays alive until
 * the wire's `release` was called, which is the last call of all and comes exactly once.
 */
#pragma once

#include <gio/gio.h>

/* Bytes that wait for a peer that does not read; one more is an error. All that a guest gives
 * credit for, on all channels of its agent, finds room. */
#define STEAD_WIRE_BACKLOG_MAX (5 * 1024 * 1024)

/* What is read at a time, in bytes; then it is others' turn. */
#define STEAD_WIRE_CHUNK 65536

typedef struct _SteadWires SteadWires; /* the thread */
typedef struct _SteadWire SteadWire;

SteadWires *stead_wires_new(void);
/* Closes what is open, and refuses to open more. Any thread; repeatable. */
void stead_wires_close(SteadWires *wires);
/* Does that, serves the last callbacks, and ends the thread. NULL is fine. */
void stead_wires_free(SteadWires *wires);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadWires, stead_wires_free)

/* All are called on the wires' thread. */
typedef struct {
    gsize chunk; /* at most so many bytes at a time; 0: STEAD_WIRE_CHUNK */
    /* Returns for how many milliseconds what comes next stays where it is, so that the peer waits.
     */
    guint (*bytes)(const guint8 *bytes, gsize n, gpointer data);
    void (*closed)(gpointer data);  /* by the peer, by an error or by stead_wire_close() */
    void (*release)(gpointer data); /* after `closed` */
} SteadWireFuncs;

/* Connects to a socket that is listening already, even if nobody accepts yet, but never waits:
 * TIMEOUT where so many are waiting to be accepted already that there is no room for one more.
 * `funcs` is static; on failure (else UNAVAILABLE) none of them is called. The caller owns one
 * reference. */
SteadWire *stead_wire_open(SteadWires *wires, const char *path, const SteadWireFuncs *funcs,
                           gpointer data, GError **error);
void stead_wire_unref(SteadWire *wire);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SteadWire, stead_wire_unref)

/* Sends all bytes, in order with those of other callers, or keeps them until the peer reads. `fd`
 * (-1: none) goes with the first byte; it stays the caller's. Any thread. EXHAUSTED when too much
 * waits already, UNAVAILABLE when the wire is closed. */
gboolean stead_wire_send(SteadWire *wire, const void *bytes, gsize n, int fd, GError **error);

/* Has `func` called with `data` on the wires' thread in `ms`, if the thread is there then;
 * `release` is called in any case. Any thread. */
void stead_wire_later(SteadWire *wire, guint ms, void (*func)(gpointer data), gpointer data,
                      GDestroyNotify release);

/* Ends the connection; `closed` follows soon. Any thread, any time; repeatable. */
void stead_wire_close(SteadWire *wire);
