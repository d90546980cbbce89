# SPDX-License-Identifier: Apache-2.0
"""Image builds from end to end. Slow, and in need of packages, so only on demand:

STEAD_TEST_BUILD=1   builds an image, again without a network, cancels and kills builds
STEAD_TEST_BOOT=1    also boots the image in QEMU under UEFI and BIOS
STEAD_BUILD_DIR      Meson's build folder, default ./build
STEAD_TEST_RELEASE   what is built, default debian:12
STEAD_TEST_CACHE     a package cache to start from; default a fresh one
"""

import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

BUILD_IMAGE = (
    Path(os.environ.get("STEAD_BUILD_DIR", "build")) / "tests/unit/image/build-image"
).resolve()
RELEASE = os.environ.get("STEAD_TEST_RELEASE", "debian:12")
OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
BUILD_SECONDS = 600
BOOT_SECONDS = 300

pytestmark = pytest.mark.skipif(
    os.environ.get("STEAD_TEST_BUILD") != "1", reason="STEAD_TEST_BUILD=1 is not set"
)
needs_boot = pytest.mark.skipif(
    os.environ.get("STEAD_TEST_BOOT") != "1", reason="STEAD_TEST_BOOT=1 is not set"
)


class Site:
    """A folder with a cache, and builds in it."""

    def __init__(self, folder):
        self.folder = folder
        self.work = folder / "work"
        self.out = folder / "out"
        self.out.mkdir()
        self.cache = Path(os.environ.get("STEAD_TEST_CACHE", folder / "cache"))

    def argv(self, name, cache=None):
        return [
            str(BUILD_IMAGE), RELEASE, str(self.out / name), str(self.work),
            str(cache or self.cache),
        ]

    def build(self, name, wrapper=(), **more):
        return subprocess.run(
            [*wrapper, *self.argv(name, **more)],
            capture_output=True, text=True, timeout=BUILD_SECONDS,
        )

    def start(self, name, until):
        """Starts a build and returns once it has printed a line that has `until` in it."""
        process = subprocess.Popen(
            self.argv(name), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        for line in process.stdout:
            if until in line:
                return process
        raise AssertionError(f"the build ended before {until!r}")

    def processes(self):
        """Command lines of processes that still work in the scratch folder."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                text = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.work) in text:
                found.append(text)
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("image-build"))
    yield site
    shutil.rmtree(site.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def image(site):
    result = site.build("first.qcow2")
    assert result.returncode == 0, result.stderr
    return site.out / "first.qcow2"


def test_the_image_is_a_sound_qcow2(image):
    check = subprocess.run(["qemu-img", "check", "-q", str(image)])
    assert check.returncode == 0


def test_nothing_but_the_image_is_left(site, image):
    assert not site.work.exists()
    assert [path.name for path in site.out.iterdir()] == ["first.qcow2"]


def test_progress_ends_at_the_whole(site):
    result = site.build("progress.qcow2")
    percents = [int(line.split("%")[0]) for line in result.stdout.splitlines()]
    (site.out / "progress.qcow2").unlink()
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert len(set(percents)) > 30


def test_a_second_build_needs_no_network(site, image):
    result = site.build("offline.qcow2", wrapper=("unshare", "-n"))
    assert result.returncode == 0, result.stderr
    (site.out / "offline.qcow2").unlink()


def test_without_network_and_packages_it_says_so(site, tmp_path):
    result = site.build("none.qcow2", wrapper=("unshare", "-n"), cache=tmp_path / "empty")
    assert result.returncode == 10
    assert result.stderr.startswith("unavailable: ")
    assert "hint: " in result.stderr
    assert not site.work.exists()


def test_cancelling_leaves_nothing(site, image):
    before = sorted(site.out.iterdir())
    process = site.start("cancelled.qcow2", until="20%")
    process.send_signal(signal.SIGTERM)
    process.stdout.read()
    assert process.wait(timeout=120) == 15
    assert sorted(site.out.iterdir()) == before
    assert not site.work.exists()
    assert site.processes() == []


def test_a_killed_build_leaves_only_scratch_and_the_next_clears_it(site, image):
    before = sorted(site.out.iterdir())
    process = site.start("killed.qcow2", until="20%")
    process.kill()
    process.stdout.read()
    process.wait(timeout=30)
    deadline = time.monotonic() + 30
    while site.processes() and time.monotonic() < deadline:
        os.sched_yield()
    assert site.processes() == []
    assert sorted(site.out.iterdir()) == before
    assert str(site.work) not in Path("/proc/mounts").read_text()
    result = site.build("next.qcow2")
    assert result.returncode == 0, result.stderr
    assert not site.work.exists()
    (site.out / "next.qcow2").unlink()


class Guest:
    """The image, booted from an overlay with a NoCloud seed; its serial console."""

    def __init__(self, image, folder, firmware):
        seed = folder / "seed"
        seed.mkdir()
        (seed / "meta-data").write_text("instance-id: i-1\nlocal-hostname: node1\n")
        (seed / "user-data").write_text(
            "#cloud-config\npassword: secret\nchpasswd: { expire: false }\n"
        )
        (seed / "network-config").write_text(
            "version: 2\nethernets:\n  id0:\n"
            '    match: { macaddress: "52:54:00:11:22:33" }\n'
            "    addresses: [ 10.0.2.99/24 ]\n"
            "    routes: [ { to: 0.0.0.0/0, via: 10.0.2.2 } ]\n"
            "    nameservers: { addresses: [ 10.0.2.3 ] }\n"
        )
        iso, disk = folder / "seed.iso", folder / "disk.qcow2"
        subprocess.run(
            ["xorriso", "-as", "mkisofs", "-quiet", "-V", "cidata", "-J", "-r", "-o",
             str(iso), str(seed)], check=True, stderr=subprocess.DEVNULL,
        )
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image), "-F", "qcow2",
             str(disk), "14G"], check=True,
        )
        argv = [
            "qemu-system-x86_64", "-machine", "q35,accel=tcg",
            "-cpu", "Nehalem,vendor=AuthenticAMD", "-smp", "2", "-m", "1024",
            "-nodefaults", "-display", "none", "-serial", "stdio",
            "-drive", f"if=none,id=d,file={disk},cache=unsafe",
            "-device", "virtio-blk-pci,drive=d,bootindex=1",
            "-drive", f"if=none,id=s,file={iso},format=raw,readonly=on",
            "-device", "virtio-blk-pci,drive=s",
            "-netdev", "user,id=n",
            "-device", "virtio-net-pci,netdev=n,mac=52:54:00:11:22:33",
        ]
        if firmware == "uefi":
            variables = folder / "vars.fd"
            shutil.copy(OVMF_VARS, variables)
            argv += [
                "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF_CODE}",
                "-drive", f"if=pflash,format=raw,unit=1,file={variables}",
            ]
        self.text = ""
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def expect(self, text):
        """Reads until `text` has come; returns what came before it."""
        deadline = time.monotonic() + BOOT_SECONDS
        while text not in self.text:
            ready, _, _ = select.select([self.process.stdout], [], [], 1)
            chunk = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert chunk or not ready, f"QEMU ended before {text!r}: {self.text[-2000:]}"
            self.text += chunk.decode(errors="replace")
            assert time.monotonic() < deadline, f"no {text!r}: {self.text[-2000:]}"
        before, self.text = self.text.split(text, 1)
        return before

    def type(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def log_in(self):
        # The prompt may come before cloud-init has set the password.
        self.expect(" finished at ")
        self.type("")
        self.expect("login: ")
        self.type("debian")
        self.expect("assword: ")
        self.type("secret")
        self.expect("$ ")
        self.type("stty -echo; PS1=")

    def run(self, command):
        """The output of a command, between marks that its echo does not contain."""
        self.type(f"echo 'be''gin'; {command}; echo 'e''nd'")
        self.expect("begin\r\n")
        return self.expect("end\r\n")

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module", params=["uefi", "bios"])
def guest(request, image, tmp_path_factory):
    if request.param == "uefi" and not OVMF_CODE.exists():
        pytest.skip("OVMF is not installed")
    guest = Guest(image, tmp_path_factory.mktemp(request.param), request.param)
    try:
        guest.log_in()
        yield guest
    finally:
        guest.end()


@needs_boot
def test_no_unit_fails(guest):
    assert guest.run("systemctl --failed --quiet --no-legend | cat").strip() == ""


@needs_boot
def test_cloud_init_is_content(guest):
    assert "status: done" in guest.run("cloud-init status")


@needs_boot
def test_the_host_name_comes_from_the_seed(guest):
    assert "node1" in guest.run("hostname")


@needs_boot
def test_the_root_has_grown(guest):
    assert int(guest.run("df --output=size -BG / | tail -1 | tr -d 'G '")) >= 13


@needs_boot
def test_the_address_is_static(guest):
    output = guest.run("{ ip -4 -brief address; ip route; } | cat")
    assert "10.0.2.99/24" in output
    assert "default via 10.0.2.2" in output


@needs_boot
def test_host_keys_are_new_and_ed25519_only(guest):
    assert guest.run("ls /etc/ssh/*_key").split() == ["/etc/ssh/ssh_host_ed25519_key"]


@needs_boot
def test_update_grub_works_in_the_guest(guest):
    output = guest.run("sudo update-grub >/dev/null 2>&1; echo status $?; "
                       "sudo grep -c 'ttyS0' /boot/grub/grub.cfg")
    assert "status 0" in output
    assert int(output.split()[-1]) > 0
