/* SPDX-License-Identifier: Apache-2.0 */
/* The names of the messages, for logs and tests. */
#include "guest/protocol.h"

static const struct {
    unsigned type;
    const char *name;
} types[] = {
    {GUEST_HELLO, "HELLO"},
    {GUEST_PING, "PING"},
    {GUEST_RENEW, "RENEW"},
    {GUEST_CLOCK, "CLOCK"},
    {GUEST_MEMORY, "MEMORY"},
    {GUEST_NETWORK, "NETWORK"},
    {GUEST_SHUTDOWN, "SHUTDOWN"},
    {GUEST_EXEC, "EXEC"},
    {GUEST_STDIN, "STDIN"},
    {GUEST_STDIN_EOF, "STDIN_EOF"},
    {GUEST_RESIZE, "RESIZE"},
    {GUEST_SIGNAL, "SIGNAL"},
    {GUEST_PUT, "PUT"},
    {GUEST_GET, "GET"},
    {GUEST_SYNC, "SYNC"},
    {GUEST_CLOSE, "CLOSE"},
    {GUEST_DATA, "DATA"},
    {GUEST_CREDIT, "CREDIT"},
    {GUEST_HELLO_REPLY, "HELLO_REPLY"},
    {GUEST_PONG, "PONG"},
    {GUEST_RENEWED, "RENEWED"},
    {GUEST_OK, "OK"},
    {GUEST_FAILED, "FAILED"},
    {GUEST_MEMORY_REPLY, "MEMORY_REPLY"},
    {GUEST_NETWORK_REPLY, "NETWORK_REPLY"},
    {GUEST_STARTED, "STARTED"},
    {GUEST_STDOUT, "STDOUT"},
    {GUEST_STDERR, "STDERR"},
    {GUEST_EXIT, "EXIT"},
    {GUEST_FILE, "FILE"},
    {GUEST_DONE, "DONE"},
};

const char *guest_type_name(unsigned type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].type == type)
            return types[i].name;
    return "?";
}
