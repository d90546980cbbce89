# SPDX-License-Identifier: Apache-2.0
"""stead-vmm on a KVM that works: a stock Debian kernel with all devices, snapshots and clones.

checks.c runs inside the nested host, once; each of its lines is a test here.
"""

import os
import re
import shlex
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

import kernel_elf
import nested_host

BUILD = Path(os.environ.get("STEAD_BUILD_DIR", Path(__file__).resolve().parents[2] / "build"))
VMM = BUILD / "src/vmm/stead-vmm"
CHECKS = BUILD / "tests/nested/vmm-checks"
ALL_NAMES = re.findall(r'^    {"([^"]+)", \w+},$', (Path(__file__).parent / "checks.c").read_text(),
                       re.M)
FIGURES = ["starts fast", "restores fast"]  # by test_vmm_figures.py
NAMES = [name for name in ALL_NAMES if name not in FIGURES]

GUEST_MODULES = ["virtio_mmio", "virtio_blk", "virtio_net", "virtio_console", "virtio_balloon",
                 "virtio_rng", "button", "evdev"]
# The guest's side of machine.c: a shell on the agent's port, and the power button.
GUEST_INIT = """
busybox ip addr add 10.99.0.2/24 dev eth0
busybox ip link set eth0 up
for found in /sys/class/virtio-ports/*; do
    [ "$(cat $found/name 2>/dev/null)" = stead.agent.0 ] && port=/dev/${found##*/}
done
(busybox head -c 24 /dev/input/event0 >/dev/null; busybox poweroff -f) &
exec 3<>$port
while true; do
    while read -r line <&3; do
        busybox sh -c "$line" >&3 2>&1 3>&-
        code=$?
        busybox printf '\\n<%d>\\n' $code >&3
    done
    busybox sleep 0.05
done
""".strip().splitlines()


def overlay_files():
    """A file system with one file, and an empty copy-on-write image on top of it."""
    nested_host.need("mke2fs", "qemu-img")
    with tempfile.TemporaryDirectory() as folder:
        tree, base, overlay = (Path(folder) / name for name in ("tree", "base.raw", "o.qcow2"))
        tree.mkdir()
        (tree / "hello").write_text("from the base\n")
        for argv in (["mke2fs", "-q", "-t", "ext4", "-d", tree, base, "16M"],
                     ["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", overlay]):
            subprocess.run(argv, check=True, capture_output=True)
        return {"base.raw": base.read_bytes(), "overlay.qcow2": overlay.read_bytes()}


# For figures.c: mov $0x3f8, %dx; 1: mov $'!', %al; out %al, %dx; jmp 1b
TINY_CODE = bytes.fromhex("66baf803b021eeebfb")
QEMU_ROMS = ["bios-microvm.bin", "pvh.bin", "linuxboot_dma.bin", "kvmvapic.bin", "qboot.rom"]


def tiny_kernel():
    """An ELF file with one segment at 1 MiB and PVH's note."""
    load, entry, headers = 0x100000, 0x100000, 64 + 2 * 56
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen", entry)
    start = headers + len(note)
    header = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, entry, 64, 0, 0,
                                                       64, 56, 2, 0, 0, 0)
    size = len(TINY_CODE)
    segments = (struct.pack("<IIQQQQQQ", 1, 5, start, load, load, size, size, 4096) +
                struct.pack("<IIQQQQQQ", 4, 0, headers, 0, 0, len(note), len(note), 4))
    return header + segments + note + TINY_CODE


def qemu_files():
    """QEMU itself, to compare with; nothing where it lies elsewhere, which figures.c does not pass."""
    roms = Path("/usr/share/qemu")
    found = {f"qemu/{name}": (roms / name).read_bytes() for name in QEMU_ROMS
             if (roms / name).exists()}
    return found, {"qemu-system-x86_64": shutil.which(nested_host.QEMU)} if found else {}


def run_checks(command):
    """The lines of checks.c on a nested host of its own; skips where there cannot be one."""
    for needed in (VMM, CHECKS):
        if not needed.exists():
            pytest.skip(f"{needed} is not built (STEAD_BUILD_DIR names the build folder)")
    try:
        kernel = nested_host.unpacked_package("linux-image-cloud-amd64")
        bzimage = next(kernel.glob("boot/vmlinuz-*")).read_bytes()
        files = {
            "vmlinuz": bzimage,
            "vmlinux": kernel_elf.extract(bzimage) or b"",
            "initrd": nested_host.guest_initramfs(kernel, GUEST_MODULES, GUEST_INIT),
            "tiny.elf": tiny_kernel(),
            **overlay_files(),
        }
        roms, qemu = qemu_files()
        programs = {"stead-vmm": VMM, "vmm-checks": CHECKS, **qemu}
        return nested_host.run(programs, [command], memory="2G", files={**files, **roms},
                               wanted=["tun"])
    except nested_host.Unavailable as missing:
        pytest.skip(str(missing))


def expect_ok(lines, name):
    found = [line for line in lines if re.match(rf"(not )?ok {re.escape(name)}\b", line)]
    assert found, "the check did not run; the nested host's last lines:\n" + "\n".join(lines[-20:])
    assert found[0].startswith("ok "), found[0]


@pytest.fixture(scope="module")
def lines():
    found = run_checks("vmm-checks " + " ".join(shlex.quote(name) for name in NAMES))
    print("\n".join(line for line in found if line.startswith("figure ")))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_check(lines, name):
    expect_ok(lines, name)
