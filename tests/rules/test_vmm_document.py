# SPDX-License-Identifier: Apache-2.0
"""docs/stead-vmm.md tells of every option, command and event that the program's tables have."""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
DOCUMENT = (TOP / "docs/stead-vmm.md").read_text()


def table(file, begin, pattern):
    """What the lines of a table in a source file name."""
    text = (TOP / "src/vmm" / file).read_text().split(begin, 1)[1].split("\n};", 1)[0]
    found = re.findall(pattern, text)
    assert found, f"no table {begin} in {file}: the test looks in the wrong place"
    return found


WORDS = ([f"--{name}" for name in table("options.c", "OPTIONS[] = {", r'\n    {"([a-z-]+)"')] +
         table("commands.c", "COMMANDS[] = {", r'\n    {"([a-z_-]+)"') +
         table("commands.c", "*vmm_qmp_event(", r'= "([A-Z_]+)"'))


@pytest.mark.parametrize("word", WORDS)
def test_document_tells_of(word):
    assert f"`{word}`" in DOCUMENT
