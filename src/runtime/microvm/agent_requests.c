/* SPDX-License-Identifier: Apache-2.0 */
/* Questions of which somebody knows what they mean: to sync, to go down, to become somebody else.
 */
#include "base/error.h"
#include "runtime/microvm/agent_parts.h"

gboolean stead_agent_sync(SteadAgent *agent, gint64 deadline, GCancellable *cancellable,
                          GError **error)
{
    g_autoptr(GBytes) done =
        stead_agent_ask(agent, GUEST_SYNC, NULL, 0, GUEST_DONE, deadline, cancellable, error);
    return done != NULL;
}

gboolean stead_agent_shut_down(SteadAgent *agent, gint64 deadline, GCancellable *cancellable,
                               GError **error)
{
    guint8 payload[4];
    GuestFields fields = guest_fields_writer(payload, sizeof payload);
    GuestShutdown shutdown = {GUEST_POWEROFF};
    guest_shutdown_fields(&fields, &shutdown);
    gsize length = stead_agent_end_fields(&fields, error);
    g_autoptr(GBytes) done = length == 0 ? NULL
                                         : stead_agent_ask(agent, GUEST_SHUTDOWN, payload, length,
                                                           GUEST_OK, deadline, cancellable, error);
    return done != NULL;
}

static gboolean check_renewed(const GuestRenew *renew, GBytes *answer, GError **error)
{
    gsize length;
    const guint8 *bytes = g_bytes_get_data(answer, &length);
    g_autofree guint8 *copy = g_memdup2(bytes, length);
    g_autofree GuestRenewed *renewed = g_new0(GuestRenewed, 1);
    GuestFields fields = guest_fields_reader(copy, length);
    guest_renewed_fields(&fields, renewed);
    if (guest_fields_end(&fields) == 0 && guest_renewed_is_complete(renew, renewed))
        return TRUE;
    for (guint i = 0; i < renewed->n_steps; i++)
        if (renewed->steps[i].error) {
            stead_set_error(error, STEAD_ERROR_GUEST, NULL, "renewing its %s: %s",
                            guest_step_name(renewed->steps[i].kind),
                            g_strerror((int)renewed->steps[i].error));
            return FALSE;
        }
    stead_set_error(error, STEAD_ERROR_GUEST, NULL, "the agent renewed only a part of it");
    return FALSE;
}

gboolean stead_agent_renew(SteadAgent *agent, const GuestRenew *renew, gint64 deadline,
                           GCancellable *cancellable, GError **error)
{
    g_autofree guint8 *payload = g_malloc(GUEST_PAYLOAD_MAX);
    g_autofree GuestRenew *copy = g_memdup2(renew, sizeof *renew);
    GuestFields fields = guest_fields_writer(payload, GUEST_PAYLOAD_MAX);
    guest_renew_fields(&fields, copy);
    gsize length = stead_agent_end_fields(&fields, error);
    g_autoptr(GBytes) answer = length == 0
                                   ? NULL
                                   : stead_agent_ask(agent, GUEST_RENEW, payload, length,
                                                     GUEST_RENEWED, deadline, cancellable, error);
    return answer && check_renewed(renew, answer, error);
}
