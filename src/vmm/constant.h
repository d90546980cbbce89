/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of pointers are constant but for the moment in which the program finds its place in
 * memory. A dynamic linker protects them afterwards; a static program has to do it itself.
 */
#pragma once

/* Once, before anything of a guest is looked at. 0 or a negative errno. */
int vmm_constant_protect(void);
