# SPDX-License-Identifier: Apache-2.0
"""What README and docs/ say of the commands and the API is what the programs say of themselves."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("STEAD_BUILD_DIR", TOP / "build"))
STEAD = BUILD / "src/cli/stead"
CONTROL = (TOP / "packaging/debian/control").read_text()
README = (TOP / "README.md").read_text()


def output(*argv):
    if not STEAD.exists():
        pytest.skip(f"{STEAD} is not built")
    return subprocess.run([STEAD, *argv], capture_output=True, text=True, timeout=30)


def block_between(text, name):
    """What stands between <!-- NAME --> and <!-- /NAME -->."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.S)
    return found.group(1).strip() if found else None


def shell_lines(text):
    """Each command line in the shell blocks of a document."""
    for block in re.findall(r"```(?:sh|console|shell)\n(.*?)```", text, re.S):
        for line in block.splitlines():
            prompted = re.match(r"^(?:\$ |# )?((?:sudo )?stead\b.*)$", line)
            if prompted:
                yield prompted.group(1)


def words_of(line):
    words = shlex.split(line, comments=True)
    if words[0] == "sudo":
        words = words[1:]
    for end in ("|", ">", "&&", ";", "&"):
        if end in words:
            words = words[:words.index(end)]
    return words[1:]


LINES = sorted(set(shell_lines(README)))


def test_readme_shows_commands():
    assert len(LINES) >= 10


@pytest.mark.parametrize("line", LINES)
def test_command_of_the_readme_exists(line):
    """Its first words are a command, and that command's help knows its options."""
    words = words_of(line)
    if not words or words[0].startswith("-"):
        return
    help_text, depth = "", 0
    for depth in (2, 1):
        done = output(*words[:depth], "--help")
        if done.returncode == 0 and not any(word.startswith("-") for word in words[:depth]):
            help_text = done.stdout
            break
    assert help_text, f"stead {words[0]}: {done.stderr}"
    own = words[depth:]
    if "--" in own:
        own = own[:own.index("--")]
    for word in own:
        if word.startswith("-") and word != "-":
            option = word.split("=")[0]
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", help_text), \
                f"{option} is not in the help of: {line}"


def test_readme_has_the_table_of_commands():
    table = block_between(README, "commands")
    assert table is not None, "README.md has no <!-- commands --> block"
    done = output("__readme")
    assert done.returncode == 0, done.stderr
    assert table == done.stdout.strip(), "renew it with: scripts/docs"


def test_every_command_has_help():
    commands = re.findall(r"^  ([a-z]+)\b", output("--help").stdout, re.M)
    assert len(commands) >= 20
    for command in commands:
        done = output(command, "--help")
        assert done.returncode == 0 and f"stead {command}" in done.stdout, command


def test_openapi_document_is_what_the_routes_say():
    printer = BUILD / "tests/rules/print-openapi"
    if not printer.exists():
        pytest.skip(f"{printer} is not built")
    printed = subprocess.run([printer], capture_output=True, text=True, check=True).stdout
    committed = (TOP / "docs/openapi.json").read_text()
    assert json.loads(committed) == json.loads(printed), "renew it with: scripts/docs"


def test_makefile_help_lists_every_target_of_the_readme():
    text = (TOP / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", text, re.M))
    used = set(re.findall(r"(?:^|`)make ([a-z]+)\b", README, re.M))
    assert used <= targets, used - targets


def packages(group):
    """The lines of scripts/packages.txt of a group: each a list of alternatives."""
    for line in (TOP / "scripts/packages.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            groups, names, reason = line.split(None, 2)
            assert reason
            if group in groups.split(","):
                yield names.split("|")


@pytest.mark.parametrize("group, field", [("build", "Build-Depends"), ("run", "(?:Depends|Recommends)")])
def test_debian_package_needs_what_setup_installs(group, field):
    fields = re.findall(rf"^{field}:(.*(?:\n .*)*)", CONTROL, re.M)
    named = set(re.findall(r"^ ?([a-z0-9.+-]+)(?: \(.*\))?,?$", "\n".join(fields), re.M))
    by_others = {"gcc", "libc6-dev", "gzip"}  # build-essential holds them; essential
    lacking = [names for names in packages(group) if not named & set(names) and not by_others & set(names)]
    assert not lacking


def test_doctor_names_packages_that_setup_installs():
    """Whatever program stead calls, the package that holds it is installed by scripts/setup."""
    text = (TOP / "src/base/subprocess.c").read_text()
    table = text.split("ProgramPackage packages[]")[1].split("};")[0]
    essential = {"util-linux", "coreutils", "tar"}
    needed = set(re.findall(r'\{"[^"]+", "([^"]+)"\}', table)) - essential
    assert needed
    installed = {name for names in packages("run") for name in names}
    # libvirt-daemon-system depends on libvirt-daemon, which holds the programs.
    assert not needed - installed - {"libvirt-daemon"}
