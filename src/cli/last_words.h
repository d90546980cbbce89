/* SPDX-License-Identifier: Apache-2.0 */
/* What is said on standard error when waiting ends without success. */
#pragma once

#include "cli/client.h"
#include "cli/view.h"

/* After Ctrl-C: how to go on with the view's instances, and with the jobs (ids, NULL-terminated)
 * that still run. */
void stead_last_words_advice(const SteadView *view, const char *const jobs[]);

/* The last lines of the consoles of the instances that failed, where a person may find why. */
void stead_last_words_failures(const SteadView *view, SteadClient *client);
