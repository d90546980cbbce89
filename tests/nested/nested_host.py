# SPDX-License-Identifier: Apache-2.0
"""A host with a working KVM, on any machine.

QEMU's emulation offers AMD's SVM with nested paging, and Debian's stock kernel carries kvm-amd: a
guest of the two has a real /dev/kvm some seconds after its start. This module fetches kernel and
busybox as packages into a cache, packs an initramfs with the programs under test, boots it and
returns what it wrote to its serial port. Nothing is installed, no privilege is needed.
"""

import gzip
import os
import re
import shlex
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

BOOT_TIMEOUT = 300  # of a machine that is busy with much else
FETCH_TIMEOUT = 300
QEMU = "qemu-system-x86_64"
# Before version 8.2, QEMU's SVM does not show XSETBV to the hypervisor, which then sets XCR0 back at
# the guest's next exit: what tasks keep in vector registers is lost. Without XSAVE, kernels take
# FXSAVE, which needs no such register.
QEMU_KEEPS_XCR0 = (8, 2)
CPU = "EPYC,+svm,+npt,-xsave,-avx,-avx2,-f16c"
CPU_WITH_XSAVE = "EPYC,+svm,+npt"
BEGIN, END = "---begin---", "---end---"
# An emulated CPU that runs guests loses an interrupt now and then. One that was a one-shot timer's
# was its last: let there be another tick.
_TICKING = "nohz=off highres=off"
_SYSTEM_MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay"]


class Unavailable(Exception):
    """The machine lacks something; the message says what. Tests skip."""


def cache_dir():
    base = os.environ.get("XDG_CACHE_HOME")
    path = Path(base) / "stead-test" if base else Path("/var/tmp/stead-test-cache")
    path.mkdir(parents=True, exist_ok=True)
    return path


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            raise Unavailable(f"{program} is not installed")


def qemu_version():
    """(major, minor)"""
    done = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True)
    return tuple(int(part) for part in re.search(r"version (\d+)\.(\d+)", done.stdout).groups())


def _concrete_package(name):
    """The package that a meta package like linux-image-amd64 stands for."""
    done = subprocess.run(["apt-cache", "depends", name], capture_output=True, text=True)
    found = re.search(r"Depends: (linux-image-\S+)", done.stdout)
    return found.group(1) if found else name


def unpacked_package(name):
    """The folder with the package's files; downloaded at the first call."""
    need("apt-get", "apt-cache", "dpkg-deb")
    package = _concrete_package(name)
    target = cache_dir() / package
    if target.is_dir():
        return target
    with tempfile.TemporaryDirectory(dir=cache_dir()) as work:
        done = subprocess.run(["apt-get", "download", package], cwd=work, capture_output=True,
                              text=True, timeout=FETCH_TIMEOUT)
        debs = list(Path(work).glob("*.deb"))
        if done.returncode != 0 or not debs:
            raise Unavailable(f"cannot download {package}: {done.stderr.strip()[-200:]}")
        tree = Path(work) / "tree"
        subprocess.run(["dpkg-deb", "-x", debs[0], tree], check=True)
        try:
            tree.rename(target)
        except OSError:  # another test was faster
            if not target.is_dir():
                raise
    return target


def _module_depends(path):
    data = path.read_bytes()
    found = re.search(rb"\0depends=([^\0]*)\0", data)
    return [d.decode() for d in found.group(1).split(b",") if d] if found else []


def modules(tree, wanted):
    """The files of the modules and of all they need, in loading order."""
    files = {p.name.split(".")[0].replace("-", "_"): p for p in tree.rglob("*.ko")}
    order = []

    def visit(name):
        name = name.replace("-", "_")
        if name not in files:
            raise Unavailable(f"the kernel package has no uncompressed module {name}")
        for depend in _module_depends(files[name]):
            visit(depend)
        if files[name] not in order:
            order.append(files[name])

    for name in wanted:
        visit(name)
    return order


def libraries(program):
    """The shared libraries that a program needs, the loader included."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True)
    return [Path(p) for p in re.findall(r"(/\S+) \(0x", done.stdout)]


class Initramfs:
    """A cpio archive in the kernel's `newc` format."""

    def __init__(self):
        self._data = bytearray()
        self._inode = 0
        self._folders = set()

    def _entry(self, name, mode, content=b"", device=(0, 0)):
        self._inode += 1
        fields = [self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0]
        header = b"070701" + b"".join(b"%08X" % f for f in fields)
        for part in (header + name.encode() + b"\0", content):
            self._data += part + b"\0" * (-len(part) % 4)

    def folder(self, name):
        for parent in [*reversed(Path(name).parents), Path(name)]:
            path = str(parent)
            if path not in (".", "/") and path not in self._folders:
                self._folders.add(path)
                self._entry(path, stat.S_IFDIR | 0o755)

    def file(self, name, content, mode=0o755):
        name = name.lstrip("/")
        self.folder(str(Path(name).parent))
        self._entry(name, stat.S_IFREG | mode, content)

    def device(self, name, major, minor):
        self.folder(str(Path(name).parent))
        self._entry(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def program(self, name, path):
        self.file(name, Path(path).read_bytes())
        for library in libraries(path):
            if str(library) not in self._folders:
                self._folders.add(str(library))
                self.file(str(library), library.read_bytes())

    def bytes(self):
        self._entry("TRAILER!!!", 0)
        return gzip.compress(bytes(self._data), 1)


def _init_head(module_files):
    lines = ["#!/bin/busybox sh", "export PATH=/bin", "busybox mount -t proc proc /proc",
             "busybox mount -t sysfs sysfs /sys", "busybox mount -t devtmpfs dev /dev"]
    return lines + [f"busybox insmod /modules/{m.name}" for m in module_files]


def _init_script(module_files, commands):
    lines = _init_head(module_files)
    lines += [f"echo {BEGIN}", *commands, f"echo {END}", "busybox poweroff -f"]
    return "\n".join(lines) + "\n"


def guest_initramfs(kernel, wanted, init, programs=()):
    """An initramfs for a guest: busybox, the modules of the kernel package in /modules, with an
    /init that loads them and goes on with the lines of `init`."""
    busybox = unpacked_package("busybox-static")
    archive = Initramfs()
    for name in ("proc", "sys", "dev", "tmp"):
        archive.folder(name)
    archive.device("dev/console", 5, 1)
    archive.file("bin/busybox", (busybox / "bin/busybox").read_bytes())
    module_files = modules(kernel, wanted)
    for module in module_files:
        archive.file(f"modules/{module.name}", module.read_bytes())
    for name, path in dict(programs).items():
        archive.program(f"bin/{name}", path)
    archive.file("init", ("\n".join(_init_head(module_files) + init) + "\n").encode())
    return archive.bytes()


def run(programs, commands, with_kvm=True, memory="512M", files=None, wanted=(),
        cpu=CPU):
    """Boots, runs the commands (busybox sh) and returns the lines that they wrote.

    `programs` maps names in /bin to files of this machine, `files` names in / to bytes; `wanted`
    are modules to load beside KVM's.
    """
    need(QEMU, "ldd")
    kernel = unpacked_package("linux-image-amd64")
    busybox = unpacked_package("busybox-static")
    module_files = modules(kernel, ["kvm_amd", *wanted]) if with_kvm else []
    archive = Initramfs()
    for name in ("proc", "sys", "dev", "tmp"):
        archive.folder(name)
    archive.device("dev/console", 5, 1)
    archive.file("bin/busybox", (busybox / "bin/busybox").read_bytes())
    for module in module_files:
        archive.file(f"modules/{module.name}", module.read_bytes())
    for name, path in programs.items():
        archive.program(f"bin/{name}", path)
    for name, content in (files or {}).items():
        archive.file(name, content, 0o644)
    archive.file("init", _init_script(module_files, commands).encode())
    with tempfile.TemporaryDirectory() as work:
        initrd = Path(work) / "initrd"
        initrd.write_bytes(archive.bytes())
        return _boot(next(kernel.glob("boot/vmlinuz-*")), initrd, memory, cpu)


# The root of this machine, read-only, with room for changes in memory.
_SYSTEM_INIT = """
busybox mkdir -p /lower /changes /root
busybox mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 root /lower
busybox mount -t tmpfs changes /changes
busybox mkdir -p /changes/upper /changes/work
busybox mount -t overlay -o lowerdir=/lower,upperdir=/changes/upper,workdir=/changes/work all /root
busybox mount -t proc proc /root/proc
busybox mount -t sysfs sysfs /root/sys
busybox mount -t devtmpfs dev /root/dev
busybox mkdir -p /root/dev/pts /root/dev/shm
busybox mount -t devpts pts /root/dev/pts
busybox mount -t tmpfs run /root/run
exec busybox switch_root /root /bin/sh -c {command}
""".strip()


def run_system(command, environment, memory, wanted=()):
    """Boots into this machine's own file system, of which it cannot change anything, and runs a
    command there as root; the lines that it wrote. Programs, libraries and the build are all there.
    """
    need(QEMU)
    kernel = unpacked_package("linux-image-amd64")
    words = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
             *(f"{name}={value}" for name, value in environment.items())]
    line = " ".join(shlex.quote(str(word)) for word in ["env", "-i", *words, *command])
    script = f"echo {BEGIN}; {line} 2>&1; echo {END}; echo o > /proc/sysrq-trigger; read x"
    init = _SYSTEM_INIT.format(command=shlex.quote(script)).splitlines()
    share = ["-fsdev", "local,id=root,path=/,readonly=on,security_model=none,multidevs=remap",
             "-device", "virtio-9p-pci,fsdev=root,mount_tag=root"]
    with tempfile.TemporaryDirectory() as work:
        initrd = Path(work) / "initrd"
        initrd.write_bytes(guest_initramfs(kernel, ["kvm_amd", *_SYSTEM_MODULES, *wanted], init))
        return _boot(next(kernel.glob("boot/vmlinuz-*")), initrd, memory, CPU,
                     _TICKING, share)


def _boot(kernel, initrd, memory, cpu, cmdline="", more=()):
    """The host has one CPU: threads of the emulator that raise interrupts for each other lose one now
    and then while guests run, and so does the host its stack."""
    argv = [QEMU, "-accel", "tcg", "-cpu", cpu, "-machine", "q35", "-m", memory,
            "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot",
            "-kernel", kernel, "-initrd", initrd, "-append", f"console=ttyS0 quiet panic=-1 {cmdline}",
            *more]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=BOOT_TIMEOUT)
    except subprocess.TimeoutExpired as late:
        text = (late.stdout or b"").decode(errors="replace")
        raise AssertionError(f"the nested host took too long:\n{text[-3000:]}") from None
    text = done.stdout.decode(errors="replace").replace("\r", "")
    if BEGIN not in text or END not in text:
        raise AssertionError(f"the nested host did not get through:\n{text[-3000:]}\n"
                             f"{done.stderr.decode(errors='replace')[-1000:]}")
    return text.split(BEGIN + "\n", 1)[1].split(END, 1)[0].splitlines()
