# SPDX-License-Identifier: Apache-2.0
"""Images as microVMs boot them: kernel and initramfs taken out of the image, the agent put in, on
QEMU's machine `microvm` under emulation. A tiny image is built for it from packages."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

import agent_client
import images
import nested_host

BUILD = Path(os.environ.get("STEAD_BUILD_DIR", Path(__file__).resolve().parents[2] / "build"))
AGENT = BUILD / "src/guest/agent"
BOOT_FILES = BUILD / "tests/unit/image/boot-files"
BUILD_IMAGE = BUILD / "tests/unit/image/build-image"
BUILD_SECONDS = 300
BOOT_SECONDS = 150
END_SECONDS = 60
IS_INIT, IS_SYSTEMD = 1, 2
LACKING = ("unavailable:", "missing:", "denied:", "unsupported:")


def need_built():
    for program in (AGENT, BOOT_FILES, BUILD_IMAGE):
        if not program.exists():
            pytest.skip(f"{program} is not built (STEAD_BUILD_DIR names the build folder)")
    for program in (nested_host.QEMU, "qemu-img", "debugfs", "sfdisk", "e2fsck"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def tsc_frequency():
    """Where the host is busy, an emulated kernel does not find it out by itself, and hangs."""
    found = re.search(r"cpu MHz\s*: ([\d.]+)", Path("/proc/cpuinfo").read_text())
    return f"tsc=reliable tsc_early_khz={int(float(found.group(1)) * 1000)}" if found else ""


class Guest:
    """A microVM of an image, on an overlay of it."""

    def __init__(self, folder, image, memory, cpus, size=None):
        self.folder = folder
        done = subprocess.run([BOOT_FILES, image, folder / "state", AGENT], text=True,
                              capture_output=True, timeout=BUILD_SECONDS)
        assert done.returncode == 0, done.stderr
        self.kernel, self.initrd, self.root = done.stdout.split()
        self.disk = folder / "disk.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2",
                        self.disk, *([size] if size else [])], check=True)
        self.console = folder / "console"
        self._listener = socket.socket(socket.AF_UNIX)  # there before QEMU is, which answers on it
        self._listener.bind(str(folder / "agent"))
        self._listener.listen()
        self.process = subprocess.Popen([
            nested_host.QEMU, "-M", "microvm,acpi=on,rtc=on,isa-serial=on", "-accel", "tcg",
            "-cpu", "Nehalem-v1,vendor=AuthenticAMD", "-smp", str(cpus), "-m", str(memory),
            "-global", "virtio-mmio.force-legacy=false", "-nodefaults", "-display", "none",
            "-no-reboot", "-serial", f"file:{self.console}",
            "-kernel", self.kernel, "-initrd", self.initrd, "-append",
            f"root={self.root} ro console=ttyS0 reboot=t panic=-1 quiet {tsc_frequency()}",
            "-drive", f"file={self.disk},if=none,id=disk",
            "-device", "virtio-blk-device,drive=disk",
            "-netdev", "user,id=net", "-device", "virtio-net-device,netdev=net",
            "-device", "virtio-serial-device",
            "-chardev", f"socket,id=agent,fd={self._listener.fileno()},server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=stead.agent.0",
        ], stdin=subprocess.DEVNULL, pass_fds=[self._listener.fileno()])

    def connect(self):
        return agent_client.Agent(self.folder / "agent", patience=BOOT_SECONDS)

    def said(self):
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._listener.close()


def out(agent, script):
    end = agent.run("sh", "-c", script)
    assert end.code == 0, end
    return end.out


@pytest.fixture(scope="module")
def tiny_image(tmp_path_factory):
    need_built()
    folder = tmp_path_factory.mktemp("tiny")
    done = subprocess.run([BUILD_IMAGE, "tiny:12", folder / "tiny.qcow2", folder / "work",
                           nested_host.cache_dir() / "packages"], text=True, capture_output=True,
                          timeout=BUILD_SECONDS)
    if done.returncode != 0 and done.stderr.startswith(LACKING):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return folder / "tiny.qcow2"


@pytest.fixture
def tiny(tiny_image, tmp_path):
    guest = Guest(tmp_path, tiny_image, 128, 1, "1G")
    yield guest
    guest.kill()


def test_tiny_guest_lives_on_its_own_disk(tiny):
    agent = tiny.connect()
    assert agent.flags & IS_INIT
    root = next(line for line in out(agent, "cat /proc/mounts").splitlines() if " / " in line)
    assert root.split()[2] == "ext4" and "rw" in root.split()[3].split(","), root
    kib = int(out(agent, "df -k / | tail -1 | awk '{print $2}'"))
    assert kib > 900 * 1024, "the file system has not grown to its disk"
    assert "virtio_balloon" in out(agent, "cat /proc/modules")
    assert out(agent, "modprobe dummy && cat /proc/modules").startswith("dummy ")
    assert "stead-agent:" not in tiny.said(), tiny.said()


def test_tiny_guest_keeps_what_was_written(tiny):
    agent = tiny.connect()
    out(agent, "echo kept > /root/file")
    agent.ask(agent_client.SHUTDOWN, agent_client.OK, bytes([agent_client.POWEROFF]))
    assert tiny.process.wait(END_SECONDS) == 0
    raw = tiny.folder / "raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", tiny.disk, raw], check=True)
    subprocess.run(["e2fsck", "-fn", raw], check=True, capture_output=True)
    shown = subprocess.run(["debugfs", "-R", "cat /root/file", raw], capture_output=True, text=True)
    assert shown.stdout == "kept\n"


def test_tiny_guest_has_a_lease(tiny):
    agent = tiny.connect()
    script = ("for i in $(seq 200); do [ -s /etc/resolv.conf ] && break; usleep 100000; done;"
              " ip -4 address show eth0; ip route; cat /etc/resolv.conf")
    words = out(agent, script)
    assert "inet 10.0.2.15/24" in words and "default via 10.0.2.2" in words, words
    assert "nameserver 10.0.2.3" in words


def test_debian_has_the_agent_without_a_change_to_its_disk(tmp_path):
    need_built()
    try:
        image = images.path("debian:12")
    except images.Unavailable as why:
        pytest.skip(str(why))
    guest = Guest(tmp_path, image, 1024, 2)
    try:
        agent = guest.connect()
        assert "login:" not in guest.said(), "the agent answers only after the login prompt"
        assert agent.flags & IS_SYSTEMD
        own = out(agent, "readlink /proc/*/exe 2>/dev/null | grep stead | sort -u")
        assert own == "/run/stead/agent\n"
        assert "nosuid,nodev" in out(agent, "grep /run/stead /proc/mounts")
        assert out(agent, "find / -xdev -name '*stead-agent*'") == ""
    finally:
        guest.kill()
