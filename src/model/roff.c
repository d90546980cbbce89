/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roff reads a line that begins with a dot or a quote as a request, a backslash as an escape, and
 * shows a plain dash, quote, tilde or caret as some other character of the font.
 */
#include "model/roff.h"

void stead_roff_append(GString *out, const char *text)
{
    gboolean begin = out->len == 0 || out->str[out->len - 1] == '\n';
    for (const char *p = text; *p != '\0'; p++) {
        if (begin && (*p == '.' || *p == '\''))
            g_string_append(out, "\\&");
        if (*p == '\\')
            g_string_append(out, "\\e");
        else if (*p == '-')
            g_string_append(out, "\\-");
        else if (*p == '\'')
            g_string_append(out, "\\(aq");
        else if (*p == '~')
            g_string_append(out, "\\(ti");
        else if (*p == '^')
            g_string_append(out, "\\(ha");
        else
            g_string_append_c(out, *p);
        begin = *p == '\n';
    }
}
