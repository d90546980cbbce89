# SPDX-License-Identifier: Apache-2.0
"""A guest of a stock kernel, busybox and the agent as its first process, on QEMU's machine
`microvm` under emulation."""

import re
import socket
import subprocess
from pathlib import Path

import agent_client
import nested_host

MODULES = ["virtio_mmio", "virtio_net", "virtio_console", "virtio_balloon", "button",
           "evdev"]
TEMPLATE_MAC = "52:54:00:00:00:01"


def initramfs(kernel, agent):
    busybox = nested_host.unpacked_package("busybox-static")
    archive = nested_host.Initramfs()
    for name in ("proc", "sys", "dev", "run", "tmp", "etc/ssh", "bin", "lib/modules"):
        archive.folder(name)
    archive.device("dev/console", 5, 1)
    archive.file("bin/busybox", (busybox / "bin/busybox").read_bytes())
    archive.file("init", Path(agent).read_bytes())
    archive.file("etc/hostname", b"template\n", 0o644)
    archive.file("etc/hosts", b"127.0.0.1 localhost\n127.0.1.1 template.lan template\n", 0o644)
    archive.file("etc/machine-id", b"0" * 32 + b"\n", 0o444)
    archive.file("etc/ssh/ssh_host_rsa_key", b"old\n", 0o600)
    files = nested_host.modules(kernel, MODULES)
    for module in files:
        archive.file(f"lib/modules/{module.name}", module.read_bytes())
    listed = "".join(f"/lib/modules/{module.name}\n" for module in files)
    archive.file("lib/modules/stead.modules", listed.encode(), 0o644)
    return archive.bytes()


def clock_of_host():
    """The kernel measures its TSC against a timer, and hangs without it when the measurement fails,
    as it does on a busy host. Under emulation the TSC is the host's."""
    found = re.search(r"^cpu MHz\s*: (\d+)", Path("/proc/cpuinfo").read_text(), re.M)
    return f"tsc_early_khz={found.group(1)}000" if found else ""


class Guest:
    def __init__(self, folder, agent, options=()):
        kernel = nested_host.unpacked_package("linux-image-cloud-amd64")
        nested_host.need(nested_host.QEMU)
        self.folder = Path(folder)
        (self.folder / "initrd").write_bytes(initramfs(kernel, agent))
        self.console = self.folder / "console"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.folder / "agent"))
        self._listener.listen(8)
        listener = self._listener.fileno()
        self.argv = [
            nested_host.QEMU, "-M", "microvm,acpi=on,rtc=on", "-accel", "tcg",
            "-cpu", "Nehalem-v1", "-m", "128", "-nodefaults", "-display", "none", "-no-reboot",
            "-serial", f"file:{self.console}", "-kernel", str(next(kernel.glob("boot/vmlinuz-*"))),
            "-initrd", str(self.folder / "initrd"),
            "-append", f"console=ttyS0 reboot=t panic=-1 quiet ignored.word {clock_of_host()}",
            "-device", "virtio-serial-device",
            "-chardev", f"socket,id=agent,fd={listener},server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=stead.agent.0",
            "-netdev", "user,id=net,restrict=on",
            "-device", f"virtio-net-device,netdev=net,mac={TEMPLATE_MAC}", *options]
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, pass_fds=[listener])

    def connect(self):
        return agent_client.Agent(self.folder / "agent")

    def wait(self):
        return self.process.wait(60)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._listener.close()

    def said(self):
        return self.console.read_text(errors="replace") if self.console.exists() else ""
