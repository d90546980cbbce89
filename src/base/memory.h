/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping a process that mostly waits small. */
#pragma once

/* Bounds what the allocator keeps for threads; to be called before the first is made. */
void stead_memory_init(void);

/*
 * Gives back what is held but not used: free heap, and the pages of programs and libraries that
 * were mapped to start and are not needed now. Those stay in the page cache, from which a page that
 * is needed again comes back without reading the disk. Any thread.
 */
void stead_memory_give_back(void);
