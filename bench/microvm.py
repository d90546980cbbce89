# SPDX-License-Identifier: Apache-2.0
"""Figures of microVMs: a clone against the boot that it stands for, many at once, and what one owns."""

import re
import sys
import time
from pathlib import Path

from host import Failed, STEAD, TOP, spend
from measure import Row, Sample, alternate, repeat, timed

sys.path.insert(0, str(TOP / "tests/integration"))
import images  # noqa: E402  (the path comes first)

TINY = "tiny:12"
DEBIAN = "debian:12"
SMALL = ["--kind", "microvm", "--memory", "128M", "--cpus", "1"]
ROUNDS = 7
CROWD = 50
WARM_SECONDS = 60


def take_image(host, name):
    """The one that the tests keep, else built from packages."""
    kept = images.kept(name)
    if kept.exists():
        host.stead("image", "import", str(kept), "--name", name)
    else:
        host.stead("image", "build", name)


def until_answer(host, name, *how):
    """From nothing to the first answer of a command in the guest."""
    def act():
        host.stead("run", "--name", name, *how)
        answer = host.stead("exec", name, "--", "hostname").strip()
        assert answer == name, answer

    taken = timed(act)
    host.stead("rm", "--force", name)
    return taken


def clone(host):
    take_image(host, TINY)
    host.stead("run", "--name", "a", *SMALL, TINY)
    host.stead("template", "create", "base", "--from", "a")

    def cloned_warm():
        await_warm(host)
        return until_answer(host, "b", "template:base")

    warm, booted = alternate([cloned_warm, lambda: until_answer(host, "c", *SMALL, TINY)], rounds=ROUNDS)
    yield Row("`run template:` until a command answers, tiny guest", warm, "its cold boot", booted,
              1 / 25, "ratio <= 0.04")
    host.stead("template", "warm", "base", "0")
    cloned = [until_answer(host, "b", "template:base") for _ in range(ROUNDS)]
    yield Row("the same with no engine started ahead (--warm 0)", Sample(cloned), "its cold boot", booted)
    again = repeat(lambda: spend(STEAD, "exec", "a", "--", "hostname", env=host.env), rounds=ROUNDS)
    yield Row("`stead exec` in a guest that has run it before", again)
    yield own_memory(host)


def await_warm(host):
    deadline = time.monotonic() + WARM_SECONDS
    while host.show("template", "show", "base")["warm-ready"] < 1:
        if time.monotonic() > deadline:
            raise Failed("no engine was started ahead")
        time.sleep(0.1)
    time.sleep(0.5)  # and the host rests


def own_memory(host):
    """Of ten clones that do nothing: the pages that no other process shares."""
    host.stead("run", "--name", "m", "--count", "10", "template:base")
    owned = []
    for record in host.root.glob("run/instances/*/engine.pid"):
        pid = record.read_text().splitlines()[2].split()[0]
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if re.search(rb"guest=\S*-m-\d+", command):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            owned.append(int(re.search(r"^Anonymous:\s+(\d+)", rollup, re.M)[1]) / 1024)
    assert len(owned) == 10, owned
    host.stead("rm", "--force", *[f"m-{n}" for n in range(1, 11)])
    return Row("own memory of an idle clone of 128 MiB, emulated", Sample(owned, "MiB"), limit=20,
               promise="<= 20 MiB")


def crowd(host):
    """A full Debian: systemd, cloud-init, 1 GiB."""
    take_image(host, DEBIAN)
    def boot():
        host.stead("run", "--kind", "microvm", "--name", "a", DEBIAN)
        host.stead("exec", "a", "--", "cloud-init", "status", "--wait")

    booted = timed(boot)
    host.stead("template", "create", "base", "--from", "a", "--warm", "0")
    host.stead("stop", "a")
    times = []
    for n in range(ROUNDS):
        times.append(timed(lambda: host.stead("run", "--name", f"b{n}", "template:base")))
        host.stead("rm", "--force", f"b{n}")
    yield Row("clone of a Debian with systemd until it is ready", Sample(times),
              "its boot until cloud-init is done", Sample([booted]), 1 / 50, "ratio <= 0.02")
    taken = timed(lambda: host.stead("run", "--name", "n", "--count", str(CROWD), "template:base"))
    yield Row(f"{CROWD} such clones, all ready", Sample([taken]), limit=30000, promise="<= 30 s")
    host.stead("rm", "--force", *[f"n-{n}" for n in range(1, CROWD + 1)])


