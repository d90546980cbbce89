# SPDX-License-Identifier: Apache-2.0
"""One real Debian guest for all tests that need one: booted once, restored often.

The guest is brought up from a spec that uses as much of it as one first boot can show. When it is
ready a snapshot with memory is taken; `fresh` returns it to that point in a few seconds.
"""

import ipaddress
import os
import pathlib
import random
import re
import select
import socket
import struct
import subprocess
import time

import images
import stead

IMAGE = "debian:12"
BOOT_SECONDS = 900
MAC = "52:54:00:aa:bb:10"

USER_DATA = """#cloud-config
# Given as it is: "quotes", 'quotes', \\backslash, tab\there, üñî, trailing blanks
apt:
  preserve_sources_list: false
  sources_list: |
    # none: the packages below are in the image
write_files:
  - path: /root/from-user-data
    content: "written by user-data\\n"
"""

SPEC = """
name: {project}
networks:
  lab: {{subnet: {subnet}, domain: lab.test}}
instances:
  web:
    image: {image}
    cpus: 2
    memory: {{max: 1G, reserve: 256M}}
    networks: [{{network: lab, address: {address}, mac: "{mac}"}}]
    ports: ["127.0.0.1:{ssh}:22", "127.0.0.1:{http}:8080"]
    hostname: web.example.org
    users:
      - {{name: tester, ssh-keys: ["{key}"]}}
      - {{name: plain, sudo: false}}
    packages: [openssh-server]
    commands: ["echo made by $(hostname) > /root/made"]
    user-data-file: user-data
    restart: on-failure
    ready: {{agent: true, cloud-init: true, timeout: 20m}}
"""


def cli(daemon, *args, input=None, timeout=120, check=False):
    """Runs the CLI with bytes as its input; its output as text."""
    done = subprocess.run(
        [str(stead.CLI), *map(str, args)],
        env=daemon.env,
        input=input if input is not None else b"",
        capture_output=True,
        timeout=timeout,
    )
    done.stdout = done.stdout.decode(errors="replace")
    done.stderr = done.stderr.decode(errors="replace")
    assert not check or done.returncode == 0, f"stead {args}: {done.stdout}\n{done.stderr}"
    return done


def free_subnet():
    """A /24 that overlaps no route of the host."""
    routes = subprocess.run(["ip", "-4", "route"], capture_output=True, text=True).stdout
    taken = []
    for word in routes.split():
        try:
            taken.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            continue
    taken = [network for network in taken if network.prefixlen > 0]
    while True:
        subnet = ipaddress.ip_network(f"10.{random.randint(180, 250)}.{random.randint(1, 250)}.0/24")
        if not any(subnet.overlaps(network) for network in taken):
            return subnet


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def connect(port, seconds=20, host="127.0.0.1"):
    """The first bytes that a TCP service sends."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection((host, port), timeout=5) as stream:
                stream.settimeout(10)
                data = stream.recv(64)
                if data:
                    return data
        except OSError:
            pass
        assert time.monotonic() < deadline, f"nothing answers at {host}:{port}"
        time.sleep(0.2)


def resolve(server, name):
    """The first A record that a DNS server gives; None when there is none."""
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
    query = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + question + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        udp.sendto(query, (str(server), 53))
        reply = udp.recv(512)
    count = struct.unpack(">H", reply[6:8])[0]
    return socket.inet_ntoa(reply[-4:]) if count else None


class Terminal:
    """A program on a pseudo terminal."""

    def __init__(self, argv, env, rows=24, columns=80):
        self.master, slave = os.openpty()
        import fcntl
        import termios

        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            argv, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.text = ""

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, words, seconds=30):
        """Reads until `words` are there; what came up to their end is consumed."""
        deadline = time.monotonic() + seconds
        while words not in self.text:
            ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"waited in vain for {words!r} in {self.text[-500:]!r}"
            try:
                data = os.read(self.master, 4096)
            except OSError:
                data = b""
            assert data, f"the program ended before {words!r}: {self.text[-500:]!r}"
            self.text += data.decode(errors="replace")
        end = self.text.index(words) + len(words)
        seen, self.text = self.text[:end], self.text[end:]
        return seen

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)


def file_of_disk(disk, name, raw):
    """A file's content as a disk has it whose machine was killed: both image and file system are
    checked, and the file system's journal is all that may be done for it. `raw` is scratch."""
    checked = subprocess.run(["qemu-img", "check", disk], capture_output=True, text=True)
    assert checked.returncode in (0, 3), checked.stdout + checked.stderr  # 3: leaked clusters
    try:
        subprocess.run(["qemu-img", "convert", "-O", "raw", disk, raw], check=True)
        table = subprocess.run(["sfdisk", "-d", raw], capture_output=True, text=True).stdout
        start = re.search(r"start=\s*(\d+)", table)
        where = f"{raw}?offset={int(start[1]) * 512}" if start else raw
        for argv in (["-E", "journal_only", "-p"], ["-fn"]):
            checked = subprocess.run(["e2fsck", *argv, where], capture_output=True, text=True)
            assert checked.returncode == 0, checked.stdout + checked.stderr
        return subprocess.run(["debugfs", "-R", f"cat {name}", where], check=True, capture_output=True).stdout
    finally:
        raw.unlink(missing_ok=True)


def find_image(daemon):
    """A disk file of Debian: STEAD_TEST_IMAGE, or the one that is kept."""
    given = os.environ.get("STEAD_TEST_IMAGE")
    return pathlib.Path(given) if given else images.path(IMAGE, daemon)


class Guest:
    name = "web"
    project = "itest"

    def __init__(self, daemon):
        self.daemon = daemon
        self.api = daemon.api
        self.subnet = free_subnet()
        self.gateway = self.subnet[1]
        self.address = str(self.subnet[10])
        self.mac = MAC
        self.ssh_port, self.http_port = free_port(), free_port()
        self.key = daemon.root / "key"
        self.spec = daemon.root / "itest.yaml"

    def write_spec(self, **changes):
        (self.daemon.root / "user-data").write_text(USER_DATA)
        text = SPEC.format(
            project=self.project,
            subnet=self.subnet,
            image=IMAGE,
            address=self.address,
            mac=self.mac,
            ssh=self.ssh_port,
            http=self.http_port,
            key=self.key.with_suffix(".pub").read_text().strip(),
        )
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        self.spec.write_text(text)

    def boot(self):
        image = find_image(self.daemon)
        names = [item["name"] for item in self.api.get("/v1/images")]
        if IMAGE not in names:
            self.stead("image", "import", image, "--name", IMAGE)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True
        )
        self.write_spec()
        self.up_output = self.stead("up", self.spec, "-t", f"{BOOT_SECONDS}s", timeout=BOOT_SECONDS).stdout
        self.stead("snapshot", "create", self.name, "booted")

    def restore(self, snapshot="booted"):
        self.stead("snapshot", "restore", self.name, snapshot)
        self.stead("wait", self.name, "-t", "60s")

    def reset(self):
        """Back to `booted`, without any later snapshot or attached volume."""
        for item in self.api.get(f"/v1/instances/{self.name}/snapshots"):
            if item["name"] != "booted":
                self.stead("snapshot", "rm", self.name, item["name"])
        self.restore()

    def stead(self, *args, check=True, **options):
        return cli(self.daemon, *args, check=check, **options)

    def run(self, *command, **options):
        """A command in the guest; its CompletedProcess."""
        return self.stead("exec", self.name, "--", *command, check=False, **options)

    def shell(self, script, **options):
        """A shell script in the guest, which must succeed; its output."""
        done = self.run("sh", "-c", script, **options)
        assert done.returncode == 0, f"{script}: {done.returncode}: {done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def show(self):
        return self.api.instance(self.name)

    def logs(self, *options):
        return self.stead("logs", self.name, *options).stdout

    def console(self, *options, **size):
        argv = [str(stead.CLI), "console", self.name, *options]
        return Terminal(argv, self.daemon.env, **size)

    def root(self):
        """The folder of the image that runs."""
        return self.daemon.root / "lib/instances" / self.show()["id"]

    def run_dir(self):
        return self.daemon.root / "run/instances" / self.show()["id"]
