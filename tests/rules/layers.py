# SPDX-License-Identifier: Apache-2.0
"""What holds for every source file, as functions from a file's name and text to complaints.

Nothing is read here, so that each rule can be shown a wrong sample (test_rules_themselves.py).
"""

import re

# The house, as ARCHITECTURE.md tells it: each folder of src/ and those that it may include from,
# itself aside.
MAY_INCLUDE = {
    "base": set(),
    "model": {"base"},
    "store": {"base", "model"},
    "host": {"base", "model", "store"},
    "storage": {"base", "model", "store", "host"},
    "net": {"base", "model", "store", "host"},
    "image": {"base", "model", "store", "host", "storage", "net"},
    "console": {"base", "model", "store", "host", "storage", "net", "image"},
    # The agent's protocol is pure: both of its ends are built from it.
    "runtime": {"base", "model", "store", "host", "storage", "net", "image", "console", "guest"},
    "engine": {"base", "model", "store", "host", "storage", "net", "image", "console", "runtime"},
    "api": {"base", "model", "store", "host", "storage", "net", "image", "console", "runtime",
            "engine"},
    # A client: what it knows of the daemon it knows through the API.
    "cli": {"base", "model"},
    # These stand alone, without GLib.
    "vmm": set(),
    "guest": set(),
}
WITHOUT_GLIB = {"vmm", "guest"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
COMMENT_OR_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

# Calls that have no place here, and what has.
FORBIDDEN_CALLS = {
    "system": "stead_run() takes an argument vector; there is no shell",
    "popen": "stead_run() takes an argument vector; there is no shell",
    "g_spawn_command_line_sync": "stead_run() takes an argument vector",
    "g_spawn_command_line_async": "stead_run() takes an argument vector",
    "strcpy": "g_strlcpy() or g_strdup()",
    "strcat": "g_string_append() or g_strconcat()",
    "sprintf": "g_strdup_printf() or g_snprintf()",
    "vsprintf": "g_strdup_vprintf()",
    "gets": "fgets()",
    "tmpnam": "g_mkdtemp() or g_file_open_tmp()",
    "mktemp": "g_mkdtemp() or g_file_open_tmp()",
    "alloca": "g_malloc(): the stack has no error to return",
    "g_alloca": "g_malloc(): the stack has no error to return",
    "g_newa": "g_new(): the stack has no error to return",
    "sleep": "wait on the event",
    "usleep": "wait on the event",
    "g_usleep": "wait on the event",
    "nanosleep": "wait on the event",
}
CALL = re.compile(r"(?<![\w.>])(" + "|".join(FORBIDDEN_CALLS) + r")[ \t]*\(")
LEFT_OPEN = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|not implemented", re.I)


def blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def code_of(text):
    """The text with comments and literals blanked; lines stay where they are."""
    return COMMENT_OR_TEXT.sub(blank, text)


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def includes(name, text):
    """`name` is "src/LAYER/...". Complaints about what it includes from above or beside itself."""
    layer = name.split("/")[1]
    if layer not in MAY_INCLUDE:
        yield f"{name}: the folder src/{layer} has no place in the order of layers"
        return
    allowed = MAY_INCLUDE[layer] | {layer}
    for found in INCLUDE.finditer(text):
        quote, path = found.groups()
        at = f"{name}:{line_of(text, found.start())}"
        if quote == "<":
            if layer in WITHOUT_GLIB and re.match(r"(glib|gio|gobject|gmodule|json-glib)", path):
                yield f"{at}: {layer} stands without GLib, but includes <{path}>"
        elif ".." in path.split("/"):
            yield f"{at}: write \"layer/file.h\", not a path with '..'"
        elif "/" not in path:
            yield f"{at}: write \"{layer}/{path}\", so that the layer shows"
        elif path.split("/")[0] not in allowed:
            yield f"{at}: {layer} may not include \"{path}\""


def first_lines(text):
    lines = text.splitlines()
    return lines[1:] if lines and lines[0].startswith("#!") else lines


def licence(name, text):
    lines = first_lines(text)
    if not lines or "SPDX-License-Identifier: Apache-2.0" not in lines[0]:
        yield f"{name}:1: the first line is the SPDX line"


def opening(name, text):
    """The SPDX line, and the comment that tells the file's theory."""
    wrong = list(licence(name, text))
    yield from wrong
    if not wrong and not "\n".join(first_lines(text)[1:]).lstrip().startswith(("/*", "//")):
        yield f"{name}:2: a comment that tells what the file is about stands below the SPDX line"


def calls(name, text):
    code = code_of(text)
    for found in CALL.finditer(code):
        function = found.group(1)
        yield f"{name}:{line_of(code, found.start())}: {function}(): {FORBIDDEN_CALLS[function]}"


def left_open(name, text):
    for found in LEFT_OPEN.finditer(text):
        yield f"{name}:{line_of(text, found.start())}: '{found.group()}' is left open"


def guards(name, text):
    if name.endswith(".h") and "#pragma once" not in text:
        yield f"{name}: a header begins with #pragma once"
