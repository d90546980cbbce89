# SPDX-License-Identifier: Apache-2.0
"""stead-vmm's figures. Those that stand beside QEMU's come from the nested host (figures.c); what
has a limit of its own is measured on this machine's KVM, where a guest of a few instructions runs
even if a kernel does not. The clock goes from the process's start to the first byte of the guest."""

import json
import os
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import time

import pytest

import test_vmm
from test_vmm import BUILD, VMM

PROBE = BUILD / "src/vmm/stead-kvm-probe"
WARM_UPS, ROUNDS = 2, 25
RESTORE_MS = 8
SIZE_KIB = 400
ANSWER_SECONDS = 20
NEEDED_STEPS = {"create machine", "create vCPU", "interrupt controller", "protected mode",
                "port I/O"}


@pytest.fixture(scope="module")
def lines():
    # One CPU: emulated ones wait for each other, and for the host that has few.
    names = " ".join(shlex.quote(name) for name in test_vmm.FIGURES)
    return test_vmm.run_checks(f"vmm-checks {names}")


@pytest.mark.parametrize("name", test_vmm.FIGURES)
def test_figure(lines, name):
    print("\n".join(line for line in lines if line.startswith("figure ")))
    test_vmm.expect_ok(lines, name)


def need_kvm():
    if not VMM.exists() or not PROBE.exists():
        pytest.skip(f"{VMM} is not built (STEAD_BUILD_DIR names the build folder)")
    if os.geteuid() != 0:
        pytest.skip("a jail needs root")
    report = json.loads(subprocess.run([PROBE], capture_output=True, check=True).stdout)
    if report["status"] in ("absent", "denied") or NEEDED_STEPS & set(report["failed"]):
        pytest.skip(f"KVM is {report['status']}: {report['step']}: {report['detail']}")


class Sockets:
    """Listening ones, by name."""

    def __init__(self, folder):
        self._folder, self._open = folder, {}

    def fd(self, name):
        if name not in self._open:
            self._open[name] = socket.socket(socket.AF_UNIX)
            self._open[name].bind(str(self._folder / name))
            self._open[name].listen()
        return self._open[name].fileno()

    def connect(self, name):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(ANSWER_SECONDS)
        client.connect(str(self._folder / name))
        return client

    def close(self):
        for listening in self._open.values():
            listening.close()


class Machine:
    """A monitor, from its start to its guest's first byte."""

    def __init__(self, sockets, name, fds, *arguments):
        self._pid = os.memfd_create("pid")
        serial = sockets.fd(name)
        self._output = sockets.connect(name)  # there before the program is
        passed = [*fds, serial, self._pid]
        argv = [VMM, "--serial", f"fd={serial}", "--pid", f"fd={self._pid}", *arguments]
        start = time.monotonic()
        self._process = subprocess.Popen(argv, pass_fds=passed)
        assert self._output.recv(1), "the guest says nothing"
        self.milliseconds = (time.monotonic() - start) * 1e3

    def end(self):
        """The process that was started waits for the monitor."""
        os.kill(int(os.pread(self._pid, 16, 0)), signal.SIGKILL)
        self._process.wait(ANSWER_SECONDS)
        self._output.close()
        os.close(self._pid)


def say(client, command, fds=(), **arguments):
    message = json.dumps({"execute": command, "arguments": arguments}).encode()
    socket.send_fds(client, [message], list(fds))
    answer = b""
    while b'"return"' not in answer:
        part = client.recv(4096)
        assert part and b'"error"' not in part, answer + part
        answer += part


@pytest.fixture
def files(tmp_path):
    """Sockets, the tiny kernel, and two empty files of memory: for a guest's, and for its state."""
    sockets = Sockets(tmp_path)
    (tmp_path / "kernel").write_bytes(test_vmm.tiny_kernel())
    kernel = os.open(tmp_path / "kernel", os.O_RDONLY)
    memory, state = os.memfd_create("memory"), os.memfd_create("state")
    yield sockets, kernel, memory, state
    for fd in (kernel, memory, state):
        os.close(fd)
    sockets.close()


def milliseconds(name, start):
    taken = []
    for _ in range(WARM_UPS + ROUNDS):
        machine = start()
        taken.append(machine.milliseconds)
        machine.end()
    kept = taken[WARM_UPS:]
    print(f"figure {name}: {statistics.median(kept):.2f} ms ({min(kept):.2f}..{max(kept):.2f})")
    return kept


def test_restore_of_512_mib(files):
    need_kvm()
    sockets, kernel, memory, state = files
    os.ftruncate(memory, 512 << 20)
    devices = ["--agent", f"fd={sockets.fd('agent')}", "--console", f"fd={sockets.fd('console')}",
               "--rng", "--balloon"]
    device_fds = [sockets.fd("agent"), sockets.fd("console")]
    template = Machine(sockets, "template", [kernel, memory, sockets.fd("qmp"), *device_fds],
                       "--memory", f"512M,fd={memory}", "--kernel", f"fd={kernel}",
                       "--qmp", f"fd={sockets.fd('qmp')}", *devices)
    with sockets.connect("qmp") as qmp:
        say(qmp, "qmp_capabilities")
        say(qmp, "stop")
        say(qmp, "getfd", [state], fdname="state")
        say(qmp, "snapshot-save", state="state")
    template.end()
    milliseconds("start", lambda: Machine(
        sockets, "cold", [kernel, *device_fds], "--memory", "512M", "--kernel", f"fd={kernel}",
        *devices))
    restored = milliseconds("restore", lambda: Machine(
        sockets, "warm", [memory, state, *device_fds], "--memory", f"512M,private,fd={memory}",
        "--restore", f"fd={state}", *devices))
    # The limit is of a machine that does nothing else: the round that was disturbed least tells.
    assert min(restored) <= RESTORE_MS


def test_program_is_small(tmp_path):
    if not VMM.exists() or shutil.which("strip") is None:
        pytest.skip(f"{VMM} is not built, or strip is not installed")
    subprocess.run(["strip", "-o", tmp_path / "stripped", VMM], check=True)
    size = (tmp_path / "stripped").stat().st_size
    print(f"figure program: {size / 1024:.0f} KiB")
    assert size <= SIZE_KIB * 1024
