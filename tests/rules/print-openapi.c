/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the API's description, for docs/openapi.json and the test that compares the two. */
#include <stdio.h>

#include "api/openapi.h"

int main(void)
{
    g_autoptr(JsonNode) node = stead_openapi();
    g_autofree char *text = json_to_string(node, TRUE);
    puts(text);
    return 0;
}
