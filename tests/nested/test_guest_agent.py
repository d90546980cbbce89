# SPDX-License-Identifier: Apache-2.0
"""The agent as the first process of a real guest: boot, sessions, a clone's identity, the end."""

import os
import signal
import socket
import struct
import time
from pathlib import Path

import pytest

import agent_client
import agent_guest
import elf
import nested_host
from agent_client import PTY

BUILD = Path(os.environ.get("STEAD_BUILD_DIR", Path(__file__).resolve().parents[2] / "build"))
AGENT = BUILD / "src/guest/agent"


def boot(folder, options=()):
    if not AGENT.exists():
        pytest.skip(f"{AGENT} is not built (STEAD_BUILD_DIR names the build folder)")
    try:
        return agent_guest.Guest(folder, AGENT, options)
    except nested_host.Unavailable as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    booted = boot(tmp_path_factory.mktemp("guest"))
    yield booted
    booted.kill()


@pytest.fixture
def agent(guest):
    connected = guest.connect()
    yield connected
    connected.close()


def sh(agent, script, **options):
    return agent.run("busybox", "sh", "-c", script, **options)


def test_says_that_it_is_init(agent):
    assert agent.version == 1
    assert agent.flags == 1


def test_static_and_small():
    # Any system runs it, whatever libraries it has.
    assert elf.interpreter(AGENT.read_bytes()) is None
    assert elf.libraries(AGENT.read_bytes()) == 0
    assert AGENT.stat().st_size < 100 * 1024


def test_what_is_not_static_is_told():
    program = Path("/bin/sh").read_bytes()
    assert elf.interpreter(program).startswith(b"/lib")
    assert elf.libraries(program) > 0


def test_runs_programs(agent):
    end = sh(agent, "echo out; echo err >&2; exit 3")
    assert end == agent_client.End(3, 0, "out\n", "err\n")


def test_file_systems_are_mounted(agent):
    mounted = {line.split()[1] for line in agent.run("busybox", "cat", "/proc/mounts").out.split("\n")
               if line}
    assert {"/proc", "/sys", "/dev", "/dev/pts", "/run", "/tmp"} <= mounted


def test_loopback_is_up(agent):
    assert agent.run("busybox", "ping", "-c", "1", "127.0.0.1").code == 0


def test_terminal(agent):
    agent.start(["busybox", "sh", "-c", "busybox stty size; busybox tty"], flags=PTY, size=(24, 80))
    assert agent.finish().out == "24 80\r\n/dev/pts/0\r\n"


def test_orphans_are_reaped(agent):
    sh(agent, "(busybox sh -c 'exit 0' &) ; busybox true")
    end = sh(agent, "for s in /proc/[0-9]*/stat; do read -r line < $s; echo \"$line\"; done 2>&1")
    assert ") Z " not in end.out


def test_files(agent):
    content = os.urandom(300000)
    agent.put("/tmp/file", content, 0o751)
    assert sh(agent, "busybox stat -c %a /tmp/file").out == "751\n"
    assert agent.get("/tmp/file") == content


def test_memory(agent):
    total, free, available = struct.unpack("<QQQ", agent.ask(agent_client.MEMORY,
                                                             agent_client.MEMORY_REPLY)[:24])
    assert 64 << 20 < total < 128 << 20
    assert free <= available < total


def test_clock(agent):
    agent.ask(agent_client.CLOCK, agent_client.OK, struct.pack("<Q", 1_900_000_000 * 10**9))
    assert 0 <= int(sh(agent, "busybox date +%s").out) - 1_900_000_000 < 30


def test_sync(agent):
    agent.send(agent_client.SYNC, 7)
    agent.expect(agent_client.DONE)


def test_host_comes_and_goes(guest):
    first = guest.connect()
    first.start(["busybox", "sh", "-c", "trap 'echo hup > /tmp/hup' HUP; echo; read x; read y"],
                flags=0)
    first.expect(agent_client.STARTED)
    first.expect(agent_client.STDOUT)
    first.close()
    for _ in range(3):
        second = guest.connect()
        assert sh(second, "until busybox test -s /tmp/hup; do :; done; busybox cat /tmp/hup").out \
            == "hup\n"
        second.close()


def test_idle_without_a_host(guest, agent):
    """A port whose host is gone reports that for ever; nobody may spin on it."""
    agent.close()
    with_host = guest.connect()
    before = int(with_host.run("busybox", "awk", "{print $14+$15}", "/proc/1/stat").out)
    with_host.close()
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        signal.sigtimedwait([], deadline - time.monotonic())
    again = guest.connect()
    after = int(again.run("busybox", "awk", "{print $14+$15}", "/proc/1/stat").out)
    again.close()
    assert after - before < 25  # of 100 a second


def test_renewed_identity(agent):
    """Last of those that share the guest, because it is another one then."""
    now = int(time.time())
    steps = agent.renew(
        realtime=now * 10**9, entropy=os.urandom(64), host_name="clone-7",
        machine_id="0123456789abcdef0123456789abcdef",
        nics=[(agent_guest.TEMPLATE_MAC, "52:54:00:12:34:56", 24, "10.0.2.77", "10.0.2.2")],
        servers=["10.0.2.3"], domain="stead.lan",
        files=[("/etc/ssh/ssh_host_ed25519_key", 0o600, b"new key\n")],
        removed=["/etc/ssh/ssh_host_rsa_key", "/etc/ssh/not-there"])
    assert [step[2] for step in steps] == [0] * len(steps), steps
    assert [step[:2] for step in steps] == [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0),
                                            (8, 0), (8, 1)]
    assert sh(agent, "busybox hostname; busybox cat /etc/hostname").out == "clone-7\nclone-7\n"
    assert "127.0.1.1 clone-7.lan clone-7\n" in agent.get("/etc/hosts").decode()
    assert agent.get("/etc/machine-id") == b"0123456789abcdef0123456789abcdef\n"
    assert agent.get("/etc/resolv.conf") == b"search stead.lan\nnameserver 10.0.2.3\n"
    assert sh(agent, "busybox stat -c '%a %n' /etc/ssh/*").out \
        == "600 /etc/ssh/ssh_host_ed25519_key\n"
    assert abs(int(sh(agent, "busybox date +%s").out) - now) < 30
    shown = sh(agent, "busybox ip addr; busybox ip route").out
    assert "52:54:00:12:34:56" in shown and agent_guest.TEMPLATE_MAC not in shown
    assert "inet 10.0.2.77/24 brd 10.0.2.255" in shown
    assert "default via 10.0.2.2" in shown
    assert agent.run("busybox", "ping", "-c", "1", "-W", "5", "10.0.2.2").code == 0


def test_renewed_again(agent):
    steps = agent.renew(host_name="clone-8", nics=[
        ("52:54:00:12:34:56", "52:54:00:12:34:57", 16, "10.0.99.1", "0.0.0.0"),
        ("52:54:00:00:00:99", "52:54:00:12:34:58", 16, "10.0.99.2", "0.0.0.0")])
    assert steps == [(3, 0, 0), (5, 0, 0), (5, 1, 19)]
    shown = sh(agent, "busybox ip addr; busybox ip route").out
    assert "10.0.2.77" not in shown and "default" not in shown
    assert "inet 10.0.99.1/16" in shown


def test_renewed_after_a_sync(agent):
    """A sync reads what the interfaces are, for a renewal that follows: nothing of it may be old."""
    agent.send(agent_client.SYNC, 7)
    agent.expect(agent_client.DONE)
    assert agent.renew(nics=[("52:54:00:12:34:57", "52:54:00:12:34:59", 16, "10.0.99.2", "0.0.0.0")]) \
        == [(5, 0, 0)]
    shown = sh(agent, "busybox ip addr").out
    assert "inet 10.0.99.2/16" in shown and "10.0.99.1/" not in shown
    agent.send(agent_client.SYNC, 7)
    agent.expect(agent_client.DONE)
    assert sh(agent, "busybox ip addr add 10.0.98.1/24 dev eth0").code == 0
    assert agent.renew(nics=[("52:54:00:12:34:59", "52:54:00:12:34:60", 16, "10.0.99.3", "0.0.0.0")]) \
        == [(5, 0, 0)]
    shown = sh(agent, "busybox ip addr").out
    assert "inet 10.0.99.3/16" in shown
    assert "10.0.98.1" not in shown and "10.0.99.2/" not in shown and "52:54:00:12:34:60" in shown


def test_powers_off(guest, agent):
    agent.ask(agent_client.SHUTDOWN, agent_client.OK, bytes([agent_client.POWEROFF]))
    assert guest.wait() == 0
    assert "cannot" not in guest.said()


@pytest.mark.parametrize("script", ["busybox kill -TERM 1", "busybox kill -INT 1", "busybox reboot"])
def test_reboots_when_asked_inside(tmp_path, script):
    guest = boot(tmp_path)
    try:
        agent = guest.connect()
        agent.start(["busybox", "sh", "-c", script])
        assert guest.wait() == 0  # -no-reboot: QEMU ends instead
    finally:
        guest.kill()


def test_power_button_ends_it(tmp_path):
    guest = boot(tmp_path, ["-qmp", f"unix:{tmp_path}/qmp,server=on,wait=off"])
    try:
        agent = guest.connect()
        agent.start(["busybox", "sh", "-c", "exec busybox sleep 1000"])  # to be ended, too
        agent.expect(agent_client.STARTED)
        with socket.socket(socket.AF_UNIX) as qmp:
            qmp.connect(str(tmp_path / "qmp"))
            for command in (b"qmp_capabilities", b"system_powerdown"):
                assert qmp.recv(4096)  # the greeting, and the first answer
                qmp.sendall(b'{"execute": "' + command + b'"}')
            assert guest.wait() == 0
        assert "cannot" not in guest.said()
    finally:
        guest.kill()
