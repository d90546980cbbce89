/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats of strings. `valid` decides; `pattern` tells an editor the same as well as a regular
 * expression can, and never refuses what `valid` accepts. Texts come here bounded and free of
 * control characters.
 */
#include "model/format.h"

#include <string.h>

#include "base/error.h"
#include "model/check.h"

#define MAX_HOST_NAME 64 /* Linux: HOST_NAME_MAX */
#define MAX_LABEL 63
#define MAX_USER 32
#define MAX_INTERFACE 15 /* Linux: IFNAMSIZ - 1 */
#define MAX_SSH_KEY 16384
#define MAX_REGEX 512
#define MAX_COMMAND 65536

/* Whether `text` has 1 to `max` characters, all alphanumeric or among `others`. */
static gboolean consists_of(const char *text, const char *others, gsize max)
{
    gsize n = 0;
    for (; text[n]; n++)
        if (n >= max || !(g_ascii_isalnum(text[n]) || strchr(others, text[n])))
            return FALSE;
    return n > 0;
}

static gboolean ipv4_is_valid(const char *text)
{
    guint32 address;
    return stead_ipv4_parse(text, &address);
}

static gboolean subnet_is_valid(const char *text)
{
    SteadSubnet subnet;
    return stead_subnet_parse(text, &subnet, NULL);
}

static char *explain_subnet(const char *text)
{
    g_autoptr(GError) error = NULL;
    SteadSubnet subnet;
    if (stead_subnet_parse(text, &subnet, &error) || !strstr(error->message, "did you mean"))
        return NULL;
    return g_strdup(strstr(error->message, "did you mean"));
}

static gboolean bridge_is_valid(const char *text)
{
    return consists_of(text, "._-", MAX_INTERFACE) && g_ascii_isalnum(text[0]);
}

static gboolean host_name_is_valid(const char *text)
{
    gsize label = 0, n = 0;
    for (; text[n]; n++) {
        gboolean dot = text[n] == '.';
        gboolean word = g_ascii_islower(text[n]) || g_ascii_isdigit(text[n]);
        if (!dot && !word && text[n] != '-')
            return FALSE;
        if ((dot || label == 0) && !(word || (dot && label > 0 && text[n - 1] != '-')))
            return FALSE;
        label = dot ? 0 : label + 1;
        if (label > MAX_LABEL)
            return FALSE;
    }
    return n <= MAX_HOST_NAME && label > 0 && text[n - 1] != '-';
}

static gboolean user_is_valid(const char *text)
{
    if (!g_ascii_islower(text[0]) && text[0] != '_')
        return FALSE;
    for (const char *p = text; *p; p++)
        if (g_ascii_isupper(*p))
            return FALSE;
    return consists_of(text, "_-", MAX_USER);
}

static const char *const ssh_key_types[] = {"ssh-ed25519",
                                            "ssh-rsa",
                                            "ecdsa-sha2-nistp256",
                                            "ecdsa-sha2-nistp384",
                                            "ecdsa-sha2-nistp521",
                                            "sk-ssh-ed25519@openssh.com",
                                            "sk-ecdsa-sha2-nistp256@openssh.com"};

/* A key's blob (RFC 4253, section 6.6) begins with its type once more, as a string. */
static gboolean ssh_blob_is_of_type(const char *base64, const char *type)
{
    gsize length = strcspn(base64, " "), n = strlen(type), blob_length = 0;
    g_autofree char *text = g_strndup(base64, length);
    if (length == 0 || length % 4 != 0 ||
        strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") != length)
        return FALSE;
    g_autofree guchar *blob = g_base64_decode(text, &blob_length);
    return blob_length > 4 + n && blob[0] == 0 && blob[1] == 0 && blob[2] == 0 && blob[3] == n &&
           memcmp(blob + 4, type, n) == 0;
}

static gboolean ssh_key_is_valid(const char *text)
{
    if (stead_ssh_key_is_file(text))
        return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(ssh_key_types); i++) {
        gsize n = strlen(ssh_key_types[i]);
        if (strncmp(text, ssh_key_types[i], n) == 0 && text[n] == ' ')
            return ssh_blob_is_of_type(text + n + 1, ssh_key_types[i]);
    }
    return FALSE;
}

static char *explain_ssh_key(const char *text)
{
    if (strstr(text, "PRIVATE KEY"))
        return g_strdup("that is the private half; the public one is in the file with .pub");
    if (g_str_has_prefix(text, "ssh-") || g_str_has_prefix(text, "ecdsa-"))
        return g_strdup("it seems to be cut off or damaged");
    return NULL;
}

/* The hashes of crypt(5) that are not broken. */
static gboolean password_hash_is_valid(const char *text)
{
    static const char *const methods[] = {"$y$",  "$gy$", "$7$", "$2a$",
                                          "$2b$", "$2y$", "$6$", "$5$"};
    for (gsize i = 0; i < G_N_ELEMENTS(methods); i++)
        if (g_str_has_prefix(text, methods[i]))
            return strlen(text) >= 20 && consists_of(text, "$./,=", 512);
    return FALSE;
}

static char *explain_password_hash(const char *text)
{
    return g_strdup("make one with: mkpasswd --method=yescrypt");
}

static gboolean path_is_valid(const char *text)
{
    return text[0] == '/' && consists_of(text, "/._+-", 255);
}

static gboolean package_is_valid(const char *text)
{
    return g_ascii_isalnum(text[0]) && consists_of(text, "+.:~=_/-", 128);
}

static gboolean begins_with(const char *text, const char *prefix)
{
    return g_ascii_strncasecmp(text, prefix, strlen(prefix)) == 0;
}

/* What cloud-init (and Ignition) recognise by their first bytes; they ignore anything else
 * without a word. */
static gboolean user_data_is_valid(const char *text)
{
    return text[0] == '#' || text[0] == '{' || begins_with(text, "Content-Type:") ||
           begins_with(text, "MIME-Version:");
}

static char *explain_user_data(const char *text)
{
    return g_strdup("is the line '#cloud-config' missing?");
}

static gboolean proxy_is_valid(const char *text)
{
    g_autoptr(GUri) uri = g_uri_parse(text, G_URI_FLAGS_NONE, NULL);
    if (!uri || !g_uri_get_host(uri) || !*g_uri_get_host(uri))
        return FALSE;
    return g_str_equal(g_uri_get_scheme(uri), "http") ||
           g_str_equal(g_uri_get_scheme(uri), "https");
}

static gboolean regex_is_valid(const char *text)
{
    g_autoptr(GRegex) regex = g_regex_new(text, 0, 0, NULL);
    return regex != NULL;
}

static char *explain_regex(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GRegex) regex = g_regex_new(text, 0, 0, &error);
    const char *place = regex ? NULL : strstr(error->message, "at char");
    return regex ? NULL : g_strdup(place ? place : error->message);
}

static gboolean digest_is_valid(const char *text)
{
    gsize n = strspn(text, "0123456789abcdef");
    return n > 0 && n <= 128 && text[n] == '\0';
}

#define OCTET "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
#define IPV4 OCTET "(\\." OCTET "){3}"
#define NAME "[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?"
#define IMAGE_PART "[a-z0-9][a-z0-9._-]{0,63}"
#define PORT "[1-9][0-9]{0,4}"

const SteadText stead_text_name = {
    .what = "a name of lower-case letters, digits and '-', at most 40, with a letter or digit "
            "first and last",
    .pattern = "^" NAME "$",
    .valid = stead_name_is_valid};

const SteadText stead_text_image = {.what = "an image such as debian:12",
                                    .pattern = "^" IMAGE_PART "(:" IMAGE_PART ")?$",
                                    .valid = stead_image_ref_is_valid};

const SteadText stead_text_ipv4 = {
    .what = "an IPv4 address such as 10.77.0.10", .pattern = "^" IPV4 "$", .valid = ipv4_is_valid};

const SteadText stead_text_subnet = {
    .what = "an IPv4 subnet such as 10.77.0.0/24, with a prefix from 8 to 30",
    .pattern = "^" IPV4 "/([89]|[12][0-9]|30)$",
    .valid = subnet_is_valid,
    .explain = explain_subnet};

const SteadText stead_text_mac = {.what =
                                      "the MAC address of one interface, such as 52:54:00:12:34:56",
                                  .pattern = "^[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$",
                                  .valid = stead_mac_is_valid};

const SteadText stead_text_cpus = {.what = "a list of numbers and ranges such as 0-3,8",
                                   .pattern =
                                       "^[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*$",
                                   .valid = stead_cpu_list_is_valid};

const SteadText stead_text_bridge = {.what = "the name of a bridge on the host, such as br0",
                                     .pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$",
                                     .valid = bridge_is_valid};

const SteadText stead_text_host_name = {
    .what = "a host name such as web or web.example.org, in lower case, at most 64 characters",
    .pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$",
    .valid = host_name_is_valid};

const SteadText stead_text_user = {
    .what = "a user's name such as admin: lower-case letters, digits, '_' and '-', at most 32",
    .pattern = "^[a-z_][a-z0-9_-]{0,31}$",
    .valid = user_is_valid};

const SteadText stead_text_ssh_key = {
    .what = "an SSH public key, one line as in ~/.ssh/id_ed25519.pub, or the name of such a file",
    .pattern = "^((ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\\.com|"
               "sk-ecdsa-sha2-nistp256@openssh\\.com) [A-Za-z0-9+/]+=*( .*)?|"
               "(~?|\\.\\.?)/.*|[^ ]*\\.pub)$",
    .valid = ssh_key_is_valid,
    .explain = explain_ssh_key,
    .max = MAX_SSH_KEY};

const SteadText stead_text_password_hash = {
    .what = "a hash as crypt(5) writes it, never a password",
    .pattern = "^\\$(y|gy|7|2[aby]|6|5)\\$[A-Za-z0-9$./,=]+$",
    .valid = password_hash_is_valid,
    .explain = explain_password_hash};

const SteadText stead_text_path = {.what = "an absolute path such as /bin/bash",
                                   .pattern = "^/[A-Za-z0-9/._+-]*$",
                                   .valid = path_is_valid};

const SteadText stead_text_package = {.what = "the name of a package, such as nginx",
                                      .pattern = "^[A-Za-z0-9][A-Za-z0-9+.:~=_/-]{0,127}$",
                                      .valid = package_is_valid};

const SteadText stead_text_command = {
    .what = "a command line for the guest's shell", .max = MAX_COMMAND, .lines = TRUE};

const SteadText stead_text_user_data = {
    .what = "cloud-init user-data, which begins with '#cloud-config' or '#!'",
    .pattern = "^([#{]|[Cc][Oo][Nn][Tt][Ee][Nn][Tt]-|[Mm][Ii][Mm][Ee]-)",
    .valid = user_data_is_valid,
    .explain = explain_user_data,
    .max = STEAD_MAX_USER_DATA,
    .lines = TRUE};

const SteadText stead_text_proxy = {.what =
                                        "a proxy's address such as http://proxy.example.org:3128",
                                    .pattern = "^[Hh][Tt][Tt][Pp][Ss]?://",
                                    .valid = proxy_is_valid};

const SteadText stead_text_no_proxy = {
    .what = "host names, domains and addresses, separated by commas"};

const SteadText stead_text_regex = {.what = "a regular expression (PCRE)",
                                    .valid = regex_is_valid,
                                    .explain = explain_regex,
                                    .max = MAX_REGEX};

const SteadText stead_text_port = {
    .what = "a published port such as 8080:80, 127.0.0.1:8080:80 or 5353:53/udp",
    .pattern = "^(" IPV4 ":)?" PORT ":" PORT "(/(tcp|udp))?$"};

const SteadText stead_text_digest = {.what = "a checksum in hexadecimal", .valid = digest_is_valid};
const SteadText stead_text_line = {.what = "a text of one line"};
const SteadText stead_text_text = {.what = "a text", .lines = TRUE};
