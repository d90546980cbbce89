# SPDX-License-Identifier: Apache-2.0
"""The rules of layers.py, over the whole tree."""

import subprocess
from pathlib import Path

import pytest

import layers

TOP = Path(__file__).resolve().parents[2]
CODE = (".c", ".h", ".S")
# Where the first lines are not ours to choose, or there is no room for a comment.
NO_SPDX = ("LICENSE", ".md", ".json", ".golden", ".xml", ".yml", ".txt", ".supp", ".gitignore",
           ".clang-format")


def tracked():
    """What git has, so that what lies about beside it does not count; else what lies there."""
    done = subprocess.run(["git", "-c", f"safe.directory={TOP}", "ls-files"], cwd=TOP, text=True,
                          capture_output=True)
    if done.returncode == 0:
        return [name for name in done.stdout.splitlines() if (TOP / name).is_file()]
    return [str(path.relative_to(TOP)) for top in ("src", "tests", "scripts", "bench")
            for path in (TOP / top).rglob("*") if path.is_file() and "__pycache__" not in path.parts]


FILES = tracked()


def complain(rule, names):
    found = []
    for name in names:
        found += rule(name, (TOP / name).read_text(errors="replace"))
    assert not found, "\n" + "\n".join(found)


def code(*folders):
    names = [name for name in FILES if name.endswith(CODE) and name.split("/")[0] in folders]
    assert names, "no source found: the test looks in the wrong place"
    return names


def test_each_folder_includes_only_what_stands_below_it():
    complain(layers.includes, code("src"))


def test_each_source_opens_with_licence_and_comment():
    complain(layers.opening, code("src"))


def test_each_test_names_its_licence():
    complain(layers.licence, code("tests"))


def test_each_script_and_build_file_names_its_licence():
    names = [name for name in FILES
             if name.startswith(("scripts/", "bench/", ".ci/")) and not name.endswith(NO_SPDX)
             or name.endswith(("meson.build", ".py", "Makefile"))]
    complain(layers.licence, names)


def test_no_call_that_has_no_place_here():
    complain(layers.calls, code("src"))


def test_nothing_is_left_open():
    complain(layers.left_open, code("src"))


def test_headers_guard_themselves():
    complain(layers.guards, code("src"))


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "SPECIFICATION.md",
                                      "CONTRIBUTING.md", "CHANGELOG.md"])
def test_documents_link_to_what_there_is(document):
    import re
    text = (TOP / document).read_text()
    missing = [target for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
               if not (TOP / target).exists()]
    assert not missing


def test_architecture_tells_of_every_folder():
    text = (TOP / "ARCHITECTURE.md").read_text()
    folders = {name.split("/")[1] for name in code("src")}
    assert not [folder for folder in folders if f"src/{folder}/" not in text]
