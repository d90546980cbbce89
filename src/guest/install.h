/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the agent comes to stay in a guest whose disk does not have it: the host's initramfs runs it
 * when the real root is mounted and /run is about to be moved there. What it leaves lies in memory
 * and is gone with the next boot, which may bring another version:
 *
 *     FOLDER/stead/agent                            on a file system of its own, as /run is noexec
 *     FOLDER/systemd/system/stead-agent.service     and what makes systemd start it
 *     FOLDER/modules-load.d/stead.conf              the driver of the port to the host
 */
#pragma once

/* Installs the program that runs below `folder` (/run; absolute, at most 255 bytes, /run is what
 * the unit is written for). 0, or a negative errno with what could not be done in *what. */
int guest_install(const char *folder, const char **what);
