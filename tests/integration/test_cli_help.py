# SPDX-License-Identifier: Apache-2.0
"""What is made from the table of commands: help, manual pages, README's table."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
STEAD = os.environ.get("STEAD") or next((str(p) for p in sorted(TOP.glob("build*/src/cli/stead"))), None)
pytestmark = pytest.mark.skipif(STEAD is None, reason="the program is not built; set STEAD")


def stead(*arguments, **options):
    return subprocess.run([STEAD, *arguments], capture_output=True, text=True, timeout=20, **options)


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=program + " is not installed")


def page_source(page):
    if page == "stead-daemon.8":
        return (TOP / "packaging" / "man" / "stead-daemon.8.in").read_text()
    return stead("__man", page).stdout


@needs("groff")
@pytest.mark.parametrize("page", ["stead.1", "stead.yaml.5", "stead-daemon.8"])
def test_manual_pages_have_no_warnings(page):
    source = page_source(page)
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-rLL=80n", "-z"], input=source,
                          capture_output=True, text=True, timeout=60)
    assert source.startswith(".") and done.stderr == "" and done.returncode == 0


def show_manual(folder, width):
    """The page of the command as a reader of that many columns sees it."""
    page = folder / "stead.1"
    page.write_text(stead("__man", "stead.1").stdout)
    done = subprocess.run(["man", "--warnings=w", "-l", str(page)], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "MANPAGER": "cat", "MANWIDTH": str(width), "LC_ALL": "C.UTF-8"})
    assert (done.returncode, done.stderr) == (0, "")
    return re.sub(".\b", "", done.stdout)


def all_commands():
    """Every command by its words, groups included."""
    def offered(*words):
        lines = stead("__complete", "--", *words, "").stdout.splitlines()
        return [line.split("\t")[0] for line in lines if "\t" in line]
    for command in offered() if STEAD else []:
        yield [command]
        yield from ([command, member] for member in offered(command))


def blocks(page):
    """The texts of a help page without their layout: each entry's two columns, each paragraph."""
    for line in re.sub(r"\n {8,}(?=\S)", " ", page).splitlines():
        yield from (part for part in re.split(r"\s{2,}", line.strip()) if part)


@pytest.mark.parametrize("command", all_commands(), ids=" ".join)
def test_help_is_the_same_both_ways(command):
    assert stead("help", *command).stdout == stead(*command, "--help").stdout


@needs("man")
def test_the_manual_says_what_help_says(tmp_path):
    manual = " ".join(show_manual(tmp_path, 1000).split())  # wide: no word is hyphenated
    layout = re.compile(r"(Usage|Arguments|Options|Examples|Commands|Exit codes.*):|-h, --help|show this help|\d+")
    for command in all_commands():
        page = stead(*command, "--help").stdout
        paragraphs, _, entries = page.partition("Options:\n")
        assert "stead " + " ".join(command) in manual
        for text in [*paragraphs.split("\n\n"), *blocks(entries)]:
            words = " ".join(text.split()).removeprefix("Usage: ")
            if not layout.match(words) and words not in ("", "Commands:"):
                assert words in manual, (command, words)


@needs("man")
def test_the_manual_reads_well(tmp_path):
    plain = show_manual(tmp_path, 80)
    for words in ("STEAD(1)", "stead snapshot create", "--no-memory", "EXIT STATUS", "STEAD_ROOT"):
        assert words in plain


def test_help_goes_to_standard_output():
    for arguments in (["--help"], ["help"], ["help", "snapshot", "create"], ["rm", "-h"], []):
        done = stead(*arguments)
        assert done.returncode == 0 and done.stdout and not done.stderr


def test_every_exit_code_is_listed():
    lines = stead("help", "exits").stdout.splitlines()
    assert [int(line.split()[0]) for line in lines[2:]] == [*range(16), 130]


def test_an_unknown_command_is_told_with_the_nearest():
    done = stead("strat", "web")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "stead: there is no command 'stead strat'\nhint: Did you mean 'stead start'?\n"


def test_output_that_cannot_be_written_is_a_failure():
    with open("/dev/full", "w") as full:
        done = subprocess.run([STEAD, "--help"], stdout=full, timeout=20)
    assert done.returncode != 0


def test_the_program_does_not_link_libvirt():
    if shutil.which("ldd") is None:
        pytest.skip("ldd is not installed")
    linked = subprocess.run(["ldd", STEAD], capture_output=True, text=True, timeout=20).stdout
    assert "libsoup" in linked and "libvirt" not in linked


def test_the_readme_has_the_table_of_commands():
    readme = TOP / "README.md"
    if not readme.exists() or "| command | what it does |" not in readme.read_text():
        pytest.skip("README.md has no table of commands")
    assert stead("__readme").stdout in readme.read_text()
