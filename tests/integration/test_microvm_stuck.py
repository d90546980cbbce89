# SPDX-License-Identifier: Apache-2.0
"""One engine that does not answer, beside one that does: the daemon begins, lists, executes and
removes as if there were none, and says of it what is known. And a guest whose snapshot was cut off.

Both are stopped and let go on by their pid; `well` is never touched.
"""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest

import stead
from microvms import TINY as IMAGE, leave_clean, open_site

SECONDS = 15  # for anything that does not depend on the one that is stuck, on a busy machine
BOOT_SECONDS = 300


@pytest.fixture(scope="module")
def site():
    with open_site() as site:
        site.run(IMAGE, "well", "--memory", "128M", "--cpus", "1", timeout=BOOT_SECONDS)
        yield site
        leave_clean(site)


def state_of(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


class Stuck:
    name = "stuck"

    def __init__(self, site):
        self.site = site
        site.run(IMAGE, self.name, "--memory", "128M", "--cpus", "1", timeout=BOOT_SECONDS)
        self.id = site.api.get(f"/v1/instances/{self.name}")["id"]
        self.run_dir = site.daemon.root / "run/instances" / self.id
        self.pids = self._family(site.pid(self.name))

    @staticmethod
    def _family(pid):
        """An engine that jails itself leaves its guest to a child."""
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def signal(self, number):
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def fill_queues(self):
        """Clients that are gone keep their place until they are accepted."""
        for name in ("qmp.sock", "agent.sock"):
            with contextlib.suppress(BlockingIOError):
                for _ in range(16):
                    with socket.socket(socket.AF_UNIX) as client:
                        client.setblocking(False)
                        client.connect(str(self.run_dir / name))

    def alive(self):
        """Those of its processes that have not ended; who has is buried by somebody else."""
        return [pid for pid in self.pids if state_of(pid) not in ("", "Z", "X")]


@pytest.fixture
def stuck(site):
    engine = Stuck(site)
    engine.signal(signal.SIGSTOP)
    yield engine
    engine.signal(signal.SIGCONT)
    site.daemon.running() or site.daemon.start()
    site.cli("rm", "--force", engine.name, check=False)


def timed(function, *args, **options):
    began = time.monotonic()
    result = function(*args, **options)
    assert time.monotonic() - began < SECONDS, f"{args} took {time.monotonic() - began:.1f} s"
    return result


def assert_others_are_well(site):
    assert timed(site.sh, "well", "hostname") == "well"
    assert "stuck" in timed(site.cli, "ls").stdout
    assert site.api.get("/v1/instances/stuck")["state"] == "running"
    assert "running" in timed(site.cli, "show", "stuck").stdout


def begin(site, *args):
    return subprocess.Popen([str(stead.CLI), *args], env=site.daemon.env, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def active(site, kind):
    return [job for job in site.api.active_jobs() if job["type"] == kind and job["state"] == "running"]


def test_the_next_daemon_adopts_the_others(site, stuck):
    """Even where connecting would wait for ever. It is adopted: the daemon sees its end."""
    stuck.fill_queues()
    site.daemon.kill()
    timed(site.daemon.start)
    assert_others_are_well(site)
    timed(site.cli, "exec", "well", "--", "sh", "-c", "(sleep 0.2; poweroff -f) > /dev/null 2>&1 &")
    site.api.wait_instance("well", seconds=SECONDS, state="stopped")
    site.cli("start", "well", timeout=BOOT_SECONDS)
    site.cli("wait", "well", timeout=BOOT_SECONDS)
    refused = timed(site.cli, "exec", "stuck", "--", "true", check=False)
    assert refused.returncode != 0 and "does not answer" in refused.stderr
    timed(site.cli, "rm", "--force", "stuck")
    assert not stuck.alive() and not stuck.run_dir.exists()


def test_it_goes_on_where_it_was(site, stuck):
    """A moment later nobody knows that it was stuck."""
    stuck.fill_queues()
    site.daemon.kill()
    timed(site.daemon.start)
    stuck.signal(signal.SIGCONT)
    assert timed(site.sh, "stuck", "hostname") == "stuck"
    assert site.pid("stuck") == stuck.pids[0]


def test_what_is_not_known_stays_as_it_was(site, stuck):
    """It was paused when the last daemon heard of it."""
    stuck.signal(signal.SIGCONT)
    site.cli("pause", "stuck")
    stuck.signal(signal.SIGSTOP)
    site.daemon.kill()
    timed(site.daemon.start)
    assert site.api.get("/v1/instances/stuck")["state"] == "paused"
    stuck.signal(signal.SIGCONT)
    timed(site.cli, "resume", "stuck")
    assert timed(site.sh, "stuck", "hostname") == "stuck"


@pytest.mark.parametrize("waits", ["stop", "pause", "snapshot"])
def test_force_does_not_queue_behind_who_waits(site, stuck, waits):
    argv = {"stop": ["stop", "stuck"], "pause": ["pause", "stuck"],
            "snapshot": ["snapshot", "create", "stuck", "s"]}[waits]
    kind = {"snapshot": "snapshot.create"}.get(waits, f"instance.{waits}")
    site.daemon.kill()
    timed(site.daemon.start)
    with begin(site, *argv) as child:
        stead.poll(lambda: active(site, kind), SECONDS, "somebody to wait for it")
        timed(site.cli, "stop", "--force", "stuck")
        assert child.wait(SECONDS) != 0
    assert site.api.get("/v1/instances/stuck")["state"] == "stopped"
    assert not stuck.alive()
    assert_that_starts(site)


def assert_that_starts(site):
    """Nothing of the former engine has its disks and taps any more."""
    site.cli("start", "stuck", timeout=BOOT_SECONDS)
    site.cli("wait", "stuck", timeout=BOOT_SECONDS)
    assert site.sh("stuck", "hostname") == "stuck"


def test_a_guest_goes_on_after_a_snapshot_that_was_cut_off(site):
    """At whatever moment; the engine may be writing its memory then."""
    for moment in range(8):
        job = site.api.post("/v1/instances/well/snapshots", {"name": f"cut{moment}", "memory": True})
        time.sleep(0.08 * moment)
        with contextlib.suppress(stead.ApiError):
            site.api.delete(f"/v1/jobs/{job['id']}")
        site.api.settle(SECONDS)
        assert timed(site.sh, "well", "echo goes on") == "goes on"
        assert site.api.get("/v1/instances/well")["state"] == "running"
    for snapshot in site.api.get("/v1/instances/well/snapshots"):
        site.cli("snapshot", "rm", "well", snapshot["name"])
