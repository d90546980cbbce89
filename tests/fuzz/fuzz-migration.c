/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what an engine writes when its machine is frozen. Whatever they are, the memory
 * keeps its size, and the state is no longer than they are; where they are refused there is none.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fuzz.h"
#include "runtime/microvm/migration.h"

#define MEMORY 16384
#define INPUT_MAX (256 * 1024)

static off_t size_of(int fd)
{
    struct stat st;
    g_assert_cmpint(fstat(fd, &st), ==, 0);
    return st.st_size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    stead_autofd from = memfd_create("from", MFD_CLOEXEC);
    stead_autofd memory = memfd_create("memory", MFD_CLOEXEC);
    stead_autofd state = memfd_create("state", MFD_CLOEXEC);
    if (size > INPUT_MAX)
        return 0;
    g_assert_cmpint(pwrite(from, data, size, 0), ==, (gssize)size);
    g_assert_cmpint(ftruncate(memory, MEMORY), ==, 0);
    g_autoptr(GError) error = NULL;
    const SteadMigration migration = {
        .from = from, .block = "ram", .size = MEMORY, .memory = memory, .state = state};
    gboolean done = stead_migration_split(&migration, &error);
    g_assert_true(done == (error == NULL));
    g_assert_cmpint(size_of(memory), ==, MEMORY);
    g_assert_cmpint(size_of(state), <=, done ? (off_t)size : 0);
    return 0;
}
