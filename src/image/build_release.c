/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be built, and where its packages come from.
 *
 * The host's own apt knows the nearest mirror, and on many sites the only one that can be reached.
 * So the mirror is taken from the host's apt sources: the entries that are signed with Debian's
 * archive keyring or, in the old one-line style without a keyring, whose path ends in /debian. A
 * mirror serves all releases, so the host's own release does not matter. Everything here but the
 * reading of /etc/apt is text in, text out.
 */
#include <string.h>

#include "image/build_parts.h"

#define DEFAULT_ARCHIVE "http://deb.debian.org/debian"
#define DEFAULT_SECURITY "http://deb.debian.org/debian-security"

/* Boot, cloud-init and remote access, and the few tools without which nobody can look around. */
#define PACKAGES                                                                                   \
    "linux-image-cloud-amd64,initramfs-tools,lz4,grub-cloud-amd64,"                                \
    "systemd-sysv,systemd-resolved,udev,dbus,libpam-systemd,"                                      \
    "cloud-init,cloud-guest-utils,openssh-server,qemu-guest-agent,sudo,"                           \
    "ca-certificates,e2fsprogs,iproute2,iputils-ping,kmod,less,login,mount,netbase,procps,"        \
    "tzdata,vim-tiny"

/* depmod loads the library that unpacks modules by itself, where it is there. */
#define TINY_PACKAGES "linux-image-cloud-amd64,busybox-static,kmod,liblzma5"

#define FULL STEAD_BUILD_FULL, STEAD_BUILD_DISK_DEFAULT, STEAD_BUILD_DISK_MIN
#define TINY STEAD_BUILD_TINY, STEAD_BUILD_TINY_DEFAULT, STEAD_BUILD_TINY_MIN

static const SteadBuildRelease releases[] = {
    {"debian:12", "bookworm", "bookworm", PACKAGES, 232, FULL},
    {"debian:13", "trixie", "trixie", PACKAGES ",systemd-repart", 225, FULL},
    {"tiny:12", "bookworm", "bookworm-tiny", TINY_PACKAGES, 45, TINY},
    {"tiny:13", "trixie", "trixie-tiny", TINY_PACKAGES, 45, TINY},
};

static const char *const names[] = {"debian:12", "debian:13", "tiny:12", "tiny:13", NULL};
G_STATIC_ASSERT(G_N_ELEMENTS(names) == G_N_ELEMENTS(releases) + 1);

const SteadBuildRelease *stead_build_release(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(releases); i++)
        if (g_strcmp0(releases[i].name, name) == 0)
            return &releases[i];
    return NULL;
}

gboolean stead_image_build_known(const char *release)
{
    return stead_build_release(release) != NULL;
}

gboolean stead_image_build_is_tiny(const char *release)
{
    const SteadBuildRelease *known = stead_build_release(release);
    return known && known->flavour == STEAD_BUILD_TINY;
}

const char *const *stead_image_build_releases(void)
{
    return names;
}

void stead_build_mirror_clear(SteadBuildMirror *mirror)
{
    g_clear_pointer(&mirror->archive, g_free);
    g_clear_pointer(&mirror->security, g_free);
}

static gboolean has_web_scheme(const char *uri)
{
    return g_str_has_prefix(uri, "http://") || g_str_has_prefix(uri, "https://");
}

/* Files one URI as archive or security archive, by the suites that the host takes from it. */
static void take_uri(SteadBuildMirror *mirror, const char *uri, char **suites)
{
    if (!has_web_scheme(uri) || suites == NULL || suites[0] == NULL)
        return;
    gboolean security =
        g_str_has_suffix(suites[0], "-security") || g_str_has_suffix(suites[0], "/updates");
    char **place = security ? &mirror->security : &mirror->archive;
    if (*place != NULL)
        return;
    *place = g_strdup(uri);
    for (gsize n = strlen(*place); n > 0 && (*place)[n - 1] == '/'; n--)
        (*place)[n - 1] = '\0';
}

/* The words of a field or line, without empty ones. */
static char **split_words(const char *text)
{
    g_auto(GStrv) raw = g_strsplit_set(text ? text : "", " \t\n", -1);
    GPtrArray *words = g_ptr_array_new();
    for (char **word = raw; *word; word++)
        if (**word)
            g_ptr_array_add(words, g_strdup(*word));
    g_ptr_array_add(words, NULL);
    return (char **)g_ptr_array_free(words, FALSE);
}

static void take_stanza(SteadBuildMirror *mirror, GHashTable *fields)
{
    g_auto(GStrv) types = split_words(g_hash_table_lookup(fields, "types"));
    g_auto(GStrv) uris = split_words(g_hash_table_lookup(fields, "uris"));
    g_auto(GStrv) suites = split_words(g_hash_table_lookup(fields, "suites"));
    const char *enabled = g_hash_table_lookup(fields, "enabled");
    if (!g_strv_contains((const char *const *)types, "deb") ||
        (enabled && g_ascii_strcasecmp(enabled, "no") == 0) ||
        g_strcmp0(g_hash_table_lookup(fields, "signed-by"), STEAD_BUILD_KEYRING) != 0)
        return;
    for (char **uri = uris; *uri; uri++)
        take_uri(mirror, *uri, suites);
}

/* Adds a "Name: value" line, or a continuation of the field before, to the stanza's fields. */
static void add_field(GHashTable *fields, char **last, const char *line)
{
    if (line[0] == ' ' || line[0] == '\t') {
        const char *value = *last ? g_hash_table_lookup(fields, *last) : NULL;
        if (value)
            g_hash_table_replace(fields, g_strdup(*last), g_strconcat(value, line, NULL));
        return;
    }
    const char *colon = strchr(line, ':');
    if (colon == NULL)
        return;
    g_free(*last);
    *last = g_ascii_strdown(line, colon - line);
    g_hash_table_replace(fields, g_strdup(*last), g_strstrip(g_strdup(colon + 1)));
}

void stead_build_mirror_from_deb822(SteadBuildMirror *mirror, const char *text)
{
    g_autoptr(GHashTable) fields = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autofree char *last = NULL;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        if ((*line)[0] == '#')
            continue;
        if ((*line)[0] != '\0') {
            add_field(fields, &last, *line);
            continue;
        }
        take_stanza(mirror, fields);
        g_hash_table_remove_all(fields);
        g_clear_pointer(&last, g_free);
    }
    take_stanza(mirror, fields);
}

/* "deb [options] URI suite component…" */
static void take_list_line(SteadBuildMirror *mirror, const char *line)
{
    g_autofree char *options = NULL;
    g_autofree char *plain = g_strdup(line);
    char *comment = strchr(plain, '#');
    if (comment)
        *comment = '\0';
    char *open = strchr(plain, '['), *close = open ? strchr(open, ']') : NULL;
    if (close) {
        options = g_strndup(open + 1, (gsize)(close - open) - 1);
        memset(open, ' ', (gsize)(close - open) + 1);
    }
    g_auto(GStrv) words = split_words(plain);
    if (g_strv_length(words) < 3 || strcmp(words[0], "deb") != 0)
        return;
    char *signer = options ? strstr(options, "signed-by=") : NULL;
    g_autofree char *path = g_strdup(words[1]);
    while (g_str_has_suffix(path, "/"))
        path[strlen(path) - 1] = '\0';
    gboolean debian =
        signer ? strstr(signer, STEAD_BUILD_KEYRING) != NULL
               : g_str_has_suffix(path, "/debian") || g_str_has_suffix(path, "/debian-security");
    if (debian)
        take_uri(mirror, words[1], (char *[]){words[2], NULL});
}

void stead_build_mirror_from_list(SteadBuildMirror *mirror, const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++)
        take_list_line(mirror, *line);
}

static void take_file(SteadBuildMirror *mirror, const char *path)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return;
    if (g_str_has_suffix(path, ".sources"))
        stead_build_mirror_from_deb822(mirror, text);
    else if (g_str_has_suffix(path, ".list"))
        stead_build_mirror_from_list(mirror, text);
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void stead_build_mirror_of_host(SteadBuildMirror *mirror, const char *apt_dir)
{
    g_autofree char *list = g_build_filename(apt_dir, "sources.list", NULL);
    take_file(mirror, list);
    g_autofree char *folder = g_build_filename(apt_dir, "sources.list.d", NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(g_free);
    for (const char *name = dir ? g_dir_read_name(dir) : NULL; name; name = g_dir_read_name(dir))
        g_ptr_array_add(files, g_build_filename(folder, name, NULL));
    g_ptr_array_sort(files, compare_names);
    for (guint i = 0; i < files->len; i++)
        take_file(mirror, files->pdata[i]);
    if (mirror->archive == NULL)
        mirror->archive = g_strdup(DEFAULT_ARCHIVE);
    if (mirror->security == NULL)
        mirror->security = g_strdup(DEFAULT_SECURITY);
}

char *stead_build_sources(const SteadBuildRelease *release, const SteadBuildMirror *mirror)
{
    const char *suite = release->codename;
    return g_strdup_printf("deb [signed-by=%s] %s %s main\n"
                           "deb [signed-by=%s] %s %s-updates main\n"
                           "deb [signed-by=%s] %s %s-security main\n",
                           STEAD_BUILD_KEYRING, mirror->archive, suite, STEAD_BUILD_KEYRING,
                           mirror->archive, suite, STEAD_BUILD_KEYRING, mirror->security, suite);
}

char **stead_build_inrelease_uris(const SteadBuildRelease *release, const SteadBuildMirror *mirror)
{
    char **uris = g_new0(char *, 4);
    const char *suite = release->codename;
    uris[0] = g_strdup_printf("%s/dists/%s/InRelease", mirror->archive, suite);
    uris[1] = g_strdup_printf("%s/dists/%s-updates/InRelease", mirror->archive, suite);
    uris[2] = g_strdup_printf("%s/dists/%s-security/InRelease", mirror->security, suite);
    return uris;
}

char *stead_build_list_name(const char *uri)
{
    const char *rest = strstr(uri, "://");
    return g_strdelimit(g_strdup(rest ? rest + 3 : uri), "/", '_');
}
