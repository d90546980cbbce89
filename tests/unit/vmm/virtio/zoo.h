/* SPDX-License-Identifier: Apache-2.0 */
/* One of each device, with what it needs outside, for tests and fuzzers that try them all. */
#pragma once

#include "rig.h"

#define ZOO_N 5

extern const char *const zoo_names[ZOO_N];

typedef struct {
    Rig *rig;
    int fds[4]; /* of the world outside; -1: none */
} Animal;

/* A rig with the device of that number attached, reset. */
Animal *animal_new(unsigned which);
void animal_free(Animal *animal);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Animal, animal_free)

unsigned animal_queues(const Animal *animal);
/* All features that it offers. */
uint64_t animal_features(const Animal *animal);
/* Lets it do what it can without waiting. */
void animal_run(Animal *animal);
/* Gives it a reason to look into each of its queues when the driver notifies it: bytes and packets
 * from outside, a port that is open, something that it has to tell. After rig_start(). */
void animal_provoke(Animal *animal);
