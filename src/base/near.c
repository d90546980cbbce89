/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "Did you mean": optimal string alignment distance, in three rolling rows, on words bounded by
 * STEAD_NEAR_MAX so that hostile input costs nothing. ASCII case is ignored.
 */
#include "base/near.h"

#include <string.h>

static guint distance(const char *a, gsize a_len, const char *b, gsize b_len)
{
    guint rows[3][STEAD_NEAR_MAX + 1];
    for (gsize j = 0; j <= b_len; j++)
        rows[0][j] = (guint)j;
    for (gsize i = 1; i <= a_len; i++) {
        guint *row = rows[i % 3];
        const guint *above = rows[(i - 1) % 3];
        const guint *two_above = rows[(i + 1) % 3]; /* (i - 2) mod 3 */
        row[0] = (guint)i;
        for (gsize j = 1; j <= b_len; j++) {
            char x = g_ascii_tolower(a[i - 1]), y = g_ascii_tolower(b[j - 1]);
            row[j] = MIN(MIN(above[j] + 1, row[j - 1] + 1), above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == g_ascii_tolower(b[j - 2]) && y == g_ascii_tolower(a[i - 2]))
                row[j] = MIN(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

const char *stead_near(const char *word, const char *const *words, gsize n)
{
    gsize length = strlen(word);
    if (length == 0 || length > STEAD_NEAR_MAX)
        return NULL;
    const char *nearest = NULL;
    guint least = G_MAXUINT;
    for (gsize i = 0; i < n; i++) {
        gsize other = words[i] ? strlen(words[i]) : 0;
        if (other == 0 || other > STEAD_NEAR_MAX)
            continue;
        guint d = distance(word, length, words[i], other);
        if (d < least && d <= MAX(1, MAX(length, other) / 3)) {
            least = d;
            nearest = words[i];
        }
    }
    return nearest;
}
