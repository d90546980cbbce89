# SPDX-License-Identifier: Apache-2.0
"""The completion scripts in the shells they are for; each shell that is not installed is skipped."""
import contextlib
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time

import pytest

from fake_daemon import FakeDaemon

TOP = pathlib.Path(__file__).resolve().parents[2]
STEAD = os.environ.get("STEAD") or next((str(p) for p in sorted(TOP.glob("build*/src/cli/stead"))), None)
pytestmark = pytest.mark.skipif(STEAD is None, reason="the program is not built; set STEAD")


def needs(shell):
    return pytest.mark.skipif(shutil.which(shell) is None, reason=shell + " is not installed")


@pytest.fixture
def daemon():
    """One that knows some instances and an image; the program is on its PATH, as `stead`."""
    with tempfile.TemporaryDirectory(prefix="stead-") as folder, FakeDaemon(folder) as fake:
        pathlib.Path(folder, "stead").symlink_to(STEAD)
        fake.path = "%s:%s" % (folder, os.environ["PATH"])
        fake.home = folder
        fake.instance("web")
        fake.instance("database")
        fake.answer("GET", "/v1/images", [{"name": "debian:12"}])
        yield fake


def environment(daemon):
    return daemon.environment(PATH=daemon.path, HOME=daemon.home, TERM="dumb", ZDOTDIR=daemon.home)


def run(daemon, *argv, **options):
    done = subprocess.run(argv, env=environment(daemon), capture_output=True, text=True, timeout=30, **options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("shell", [pytest.param(shell, marks=needs(shell)) for shell in ("bash", "zsh", "fish")])
def test_the_script_is_sound(daemon, shell):
    script = run(daemon, STEAD, "completion", shell)
    assert script and run(daemon, shell, "-n", input=script) == ""


COMPLETIONS = [
    ("stead snapsh", ["snapshot"]),
    ("stead snapshot re", ["restore"]),
    ("stead show we", ["web"]),
    ("stead rm --force ", ["database", "web"]),
    ("stead image show deb", ["debian:12"]),
    ("stead ls --qu", ["--quiet"]),
    ("stead ls --format j", ["json"]),
    ("stead no-such-command ", []),
]


@needs("bash")
@pytest.mark.parametrize("line, expected", COMPLETIONS)
def test_bash_completes(daemon, line, expected):
    words = line.split(" ")
    asked = ('source <(stead completion bash); COMP_WORDS=("$@") COMP_CWORD=%d; _stead; '
             '[ -z "$COMPREPLY" ] || printf "%%s\\n" "${COMPREPLY[@]}"' % (len(words) - 1))
    assert run(daemon, "bash", "--norc", "-c", asked, "bash", *words).split() == expected


@needs("fish")
@pytest.mark.parametrize("line, expected", COMPLETIONS)
def test_fish_completes(daemon, line, expected):
    asked = "stead completion fish | source; complete -C $argv[1]"
    lines = run(daemon, "fish", "--no-config", "-c", asked, line).splitlines()
    assert [candidate.split("\t")[0] for candidate in lines] == expected


@contextlib.contextmanager
def zsh(daemon):
    """An interactive zsh on a terminal of its own, with the completion loaded; a function that types."""
    main, other = pty.openpty()
    shell = subprocess.Popen(["zsh", "-f", "-i"], stdin=other, stdout=other, stderr=other,
                             env=environment(daemon), start_new_session=True)
    os.close(other)
    shown = ""

    def type_in(text, until):
        nonlocal shown
        os.write(main, text.encode())
        limit = time.monotonic() + 20
        while not until(shown):
            assert time.monotonic() < limit, shown
            if select.select([main], [], [], 0.05)[0]:
                shown += os.read(main, 65536).decode(errors="replace")
        return shown

    try:
        type_in("autoload -U compinit; compinit -D -u; source <(stead completion zsh); PS1=rea''dy\n",
                lambda text: "ready" in text)
        yield type_in
    finally:
        shell.kill()
        shell.wait()
        os.close(main)


@needs("zsh")
def test_zsh_completes_a_command_and_an_instance(daemon):
    with zsh(daemon) as type_in:
        type_in("stead sho\twe\t\n", lambda _: daemon.requested("GET", "/v1/instances/web"))


@needs("zsh")
def test_zsh_completes_a_name_with_a_colon(daemon):
    with zsh(daemon) as type_in:
        type_in("stead image show deb\t\n", lambda _: daemon.requested("GET", "/v1/images/debian:12"))


@needs("zsh")
def test_zsh_lists_names_without_a_description_that_repeats_them(daemon):
    with zsh(daemon) as type_in:
        shown = type_in("stead rm \t", lambda text: re.search(r"database\b.*\bweb\b", text, re.DOTALL))
    assert "-- web" not in shown


@needs("zsh")
def test_zsh_finds_the_installed_script_by_itself(daemon):
    script = pathlib.Path(daemon.home, "_stead")
    script.write_text(run(daemon, STEAD, "completion", "zsh"))
    with zsh(daemon) as type_in:
        type_in("unfunction _stead; fpath=($HOME $fpath); compinit -D -u; PS1=ag''ain\n",
                lambda text: "again" in text)
        type_in("stead sho\twe\t\n", lambda _: daemon.requested("GET", "/v1/instances/web"))
