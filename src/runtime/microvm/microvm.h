/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime of microVMs: engines that the daemon starts itself, each a detached process with
 * sockets, log and record in the instance's folders, which any later daemon adopts.
 *
 *     STATE/instances/ID/  console.log, console.log.0, ...
 *     RUN/instances/ID/    engine.pid (the record), engine.log, qmp.sock, console.sock, agent.sock,
 *                          log.pid (the record of who writes the log)
 */
#pragma once

#include "base/paths.h"
#include "host/kvm.h"
#include "runtime/runtime.h"

/* Made and freed on the main loop. `paths` is borrowed; so is `kvm`, NULL where it could not be
 * probed. */
SteadRuntime *stead_microvm_runtime_new(const SteadPaths *paths, const SteadKvm *kvm);
