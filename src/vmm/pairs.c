/* SPDX-License-Identifier: Apache-2.0 */
/* A descriptor that is not open is found here, where the option can be named, and not later. */
#include "vmm/pairs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MAC_TEXT 17 /* characters */

int vmm_parse_number(const char *text, uint64_t *value)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return -EINVAL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno || *end)
        return -EINVAL;
    *value = number;
    return 0;
}

int vmm_parse_size(const char *text, uint64_t *value)
{
    static const char units[] = "KMGT";
    char digits[24];
    size_t length = strlen(text);
    const char *unit = length > 0 ? strchr(units, text[length - 1]) : NULL;
    unsigned shift = unit && *unit ? 10 * (unsigned)(unit - units + 1) : 0;
    if (length >= sizeof digits || length == 0)
        return -EINVAL;
    memcpy(digits, text, length + 1);
    if (shift)
        digits[length - 1] = '\0';
    if (vmm_parse_number(digits, value) || *value > UINT64_MAX >> shift)
        return -EINVAL;
    *value <<= shift;
    return 0;
}

int vmm_parse_fd(const char *text, int *fd, VmmError *error)
{
    uint64_t number;
    if (vmm_parse_number(text, &number) || number > INT_MAX)
        return vmm_error(error, -EINVAL, "'%s' is no descriptor's number", text);
    if (fcntl((int)number, F_GETFD) < 0)
        return vmm_error(error, -EBADF, "descriptor %s is not open", text);
    *fd = (int)number;
    return 0;
}

static int parse_mac(const char *text, uint8_t *mac)
{
    if (strlen(text) != MAC_TEXT)
        return -EINVAL;
    for (unsigned i = 0; i < 6; i++) {
        char *end, pair[3] = {text[3 * i], text[3 * i + 1], '\0'};
        mac[i] = (uint8_t)strtoul(pair, &end, 16);
        bool is_separated = i == 5 || text[3 * i + 2] == ':';
        if (end != pair + 2 || pair[0] == '-' || pair[0] == '+' || pair[0] == ' ' || !is_separated)
            return -EINVAL;
    }
    return 0;
}

static int add_fd(VmmPairFds *list, const char *text, VmmError *error)
{
    if (list->n == VMM_PAIR_FDS_MAX)
        return vmm_error(error, -EINVAL, "more than %d descriptors", VMM_PAIR_FDS_MAX);
    return vmm_parse_fd(text, &list->fds[list->n++], error);
}

static int take(const VmmPair *pair, const char *value, void *into, VmmError *error)
{
    void *field = (char *)into + pair->offset;
    int failed = 0;
    switch (pair->kind) {
    case VMM_PAIR_FLAG:
        *(bool *)field = true;
        break;
    case VMM_PAIR_FD:
        return vmm_parse_fd(value, field, error);
    case VMM_PAIR_FDS:
        return add_fd(field, value, error);
    case VMM_PAIR_NUMBER:
        failed = vmm_parse_number(value, field);
        break;
    case VMM_PAIR_SIZE:
        failed = vmm_parse_size(value, field);
        break;
    case VMM_PAIR_TEXT:
        *(const char **)field = value;
        break;
    case VMM_PAIR_MAC:
        failed = parse_mac(value, field);
        break;
    }
    if (failed)
        return vmm_error(error, failed, "%s=%s makes no sense", pair->key, value);
    return 0;
}

static const VmmPair *find(const VmmPair *pairs, const char *key)
{
    for (; pairs->key; pairs++)
        if (strcmp(pairs->key, key) == 0)
            return pairs;
    return NULL;
}

static int take_item(char *item, bool is_first, const VmmPair *pairs, void *into, VmmError *error)
{
    char *value = strchr(item, '=');
    if (value)
        *value++ = '\0';
    const VmmPair *pair = find(pairs, item);
    if (pair == NULL && value == NULL && is_first && (pair = find(pairs, "")))
        return take(pair, item, into, error);
    if (pair == NULL || *item == '\0')
        return vmm_error(error, -EINVAL, "'%s' is not known here", item);
    if ((value == NULL) != (pair->kind == VMM_PAIR_FLAG))
        return vmm_error(error, -EINVAL, "'%s' %s", item,
                         value ? "takes no value" : "needs a value");
    return take(pair, value, into, error);
}

int vmm_pairs_parse(char *text, const VmmPair *pairs, void *into, VmmError *error)
{
    bool is_first = true;
    int failed = 0;
    while (!failed && text) {
        char *next = strchr(text, ',');
        if (next)
            *next++ = '\0';
        failed = take_item(text, is_first, pairs, into, error);
        is_first = false;
        text = next;
    }
    return failed;
}
