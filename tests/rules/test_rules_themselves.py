# SPDX-License-Identifier: Apache-2.0
"""Each rule finds what it is there to find, in a sample that is wrong, and leaves a right one alone."""

import pytest

import layers


def complaints(rule, name, text):
    return list(rule(name, text))


@pytest.mark.parametrize("name, line", [
    ("src/base/a.c", '#include "model/spec.h"'),
    ("src/model/a.c", '#include "store/store.h"'),
    ("src/store/a.h", '#include "host/libvirt.h"'),
    ("src/net/a.c", '#include "storage/pool.h"'),
    ("src/storage/a.c", '#include "net/network.h"'),
    ("src/runtime/vm/a.c", '#include "engine/engine.h"'),
    ("src/engine/a.c", '  #  include "api/server.h"'),
    ("src/cli/a.c", '#include "engine/engine.h"'),
    ("src/cli/a.c", '#include "store/store.h"'),
    ("src/api/a.c", '#include "cli/help.h"'),
    ("src/vmm/a.c", '#include "base/error.h"'),
    ("src/vmm/a.c", "#include <glib.h>"),
    ("src/guest/a.c", "#include <gio/gio.h>"),
    ("src/engine/a.c", '#include "../api/server.h"'),
    ("src/engine/a.c", '#include "job.h"'),
    ("src/attic/a.c", ""),
])
def test_wrong_includes_are_found(name, line):
    assert len(complaints(layers.includes, name, f"/* x */\n{line}\n")) == 1


@pytest.mark.parametrize("name, line", [
    ("src/base/a.c", '#include "base/error.h"'),
    ("src/base/a.c", "#include <glib.h>"),
    ("src/net/a.c", '#include "host/libvirt.h"'),
    ("src/storage/a.c", '#include "host/libvirt.h"'),
    ("src/cli/a.c", '#include "model/spec.h"'),
    ("src/api/a.c", '#include "engine/engine.h"'),
    ("src/vmm/probe/a.c", '#include "vmm/probe/steps.h"'),
    ("src/vmm/a.c", "#include <linux/kvm.h>"),
])
def test_right_includes_pass(name, line):
    assert complaints(layers.includes, name, line + "\n") == []


def test_complaint_names_file_and_line():
    found = complaints(layers.includes, "src/base/a.c", '\n\n#include "cli/help.h"\n')
    assert found == ['src/base/a.c:3: base may not include "cli/help.h"']


@pytest.mark.parametrize("text", [
    "",
    "int x;\n",
    "/* SPDX-License-Identifier: GPL-2.0-only */\n/* what */\n",
    "/* SPDX-License-Identifier: Apache-2.0 */\n#include <glib.h>\n",
])
def test_wrong_openings_are_found(text):
    assert len(complaints(layers.opening, "src/base/a.c", text)) == 1


def test_file_without_licence_is_found():
    assert len(complaints(layers.licence, "scripts/a", "#!/bin/bash\n# Copyright\n")) == 1
    assert len(complaints(layers.licence, "scripts/a", "")) == 1


def test_right_openings_pass():
    spdx = "SPDX-License-Identifier: Apache-2.0"
    assert complaints(layers.opening, "src/base/a.c", f"/* {spdx} */\n/* What it does. */\n") == []
    assert complaints(layers.licence, "scripts/a", f"#!/bin/bash\n# {spdx}\n") == []


@pytest.mark.parametrize("function", sorted(layers.FORBIDDEN_CALLS))
def test_forbidden_calls_are_found(function):
    assert len(complaints(layers.calls, "src/base/a.c", f"\nx = {function} (a);\n")) == 1


@pytest.mark.parametrize("text", [
    "snprintf(a, 1, b);",
    "g_strlcpy(a, b, 1);",
    "/* system(x) */",
    "// popen(x)",
    'puts("system(x)");',
    "job->system(x);",
    "stead_system(x);",
    "fgets(a, 1, f);",
])
def test_calls_that_only_look_alike_pass(text):
    assert complaints(layers.calls, "src/base/a.c", text) == []


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX", "HACK", "Not implemented"])
def test_what_is_left_open_is_found(word):
    assert len(complaints(layers.left_open, "src/base/a.c", f"/* {word}: later */")) == 1


def test_header_without_guard_is_found():
    assert complaints(layers.guards, "src/base/a.h", "int x;")
    assert not complaints(layers.guards, "src/base/a.h", "#pragma once\n")
    assert not complaints(layers.guards, "src/base/a.c", "int x;")


def test_every_layer_includes_only_layers():
    for layer, below in layers.MAY_INCLUDE.items():
        assert below <= set(layers.MAY_INCLUDE), layer
        assert layer not in below
        for lower in below:  # and what stands below it never includes it
            assert layer not in layers.MAY_INCLUDE[lower]
