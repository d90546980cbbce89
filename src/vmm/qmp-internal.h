/* SPDX-License-Identifier: Apache-2.0 */
/* What qmp.c (the stream) and commands.c (what the commands do) share. */
#pragma once

#include "vmm/json.h"
#include "vmm/vm.h"

#define VMM_QMP_ANSWER_MAX 8192
#define VMM_QMP_DATA_MAX 160
#define VMM_QMP_NAME_MAX 64
#define VMM_QMP_ID_MAX 256
#define VMM_QMP_FDS_MAX 8
#define VMM_QMP_VERSION                                                                            \
    "{\"qemu\": {\"major\": 0, \"minor\": 1, \"micro\": 0}, \"package\": "                         \
    "\"stead-vmm " STEAD_VERSION "\"}"

/* Descriptors that the client sent, until a command uses them: the last one that came along with
 * bytes, and those that getfd gave a name. */
typedef struct {
    int received; /* -1: none */
    struct {
        int fd; /* -1: free */
        char name[VMM_QMP_NAME_MAX];
    } named[VMM_QMP_FDS_MAX];
} VmmQmpFds;

void vmm_qmp_fds_init(VmmQmpFds *fds);
void vmm_qmp_fds_close(VmmQmpFds *fds);
void vmm_qmp_fds_receive(VmmQmpFds *fds, int fd);

typedef struct {
    VmmVm *vm;
    const VmmJson *json;
    int arguments; /* a node, or VMM_JSON_NONE */
    VmmQmpFds *fds;
    char *answer; /* "{}" unless the command says more */
    size_t room;
    void (*then)(VmmVm *vm); /* after the answer was sent */
    VmmError why;
} VmmQmpCall;

typedef struct {
    const char *name;
    /* 0, or a negative errno with the reason. */
    int (*run)(VmmQmpCall *call, VmmError *error);
} VmmQmpCommand;

/* NULL: there is none of that name. */
const VmmQmpCommand *vmm_qmp_find(const char *name);
int vmm_qmp_capabilities(VmmQmpCall *call, VmmError *error);

/* The event's name; `data` is set to the rest of its object, from ", " on, or to "". */
const char *vmm_qmp_event(const VmmVm *vm, VmmEvent event, char data[VMM_QMP_DATA_MAX]);
