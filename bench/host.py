# SPDX-License-Identifier: Apache-2.0
"""A daemon of its own below a scratch root, and ways to talk to it. Everything it made goes with it."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("STEAD_BUILD_DIR") or TOP / "build")
STEAD = BUILD / "src/cli/stead"
DAEMON = BUILD / "src/api/stead-daemon"
PROBE = BUILD / "src/vmm/stead-kvm-probe"
VIRSH = ["virsh", "--quiet", "--connect", "qemu:///system"]
START_SECONDS = 30
FOLLOW_SECONDS = 120


class Failed(Exception):
    pass


def run(*argv, env=None, ok=True):
    done = subprocess.run([str(word) for word in argv], env=env, text=True, capture_output=True,
                          stdin=subprocess.DEVNULL)
    if ok and done.returncode != 0:
        raise Failed(f"{' '.join(map(str, argv))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def virsh(*words, ok=True):
    return run(*VIRSH, *words, ok=ok)


def spend(*argv, env=None):
    """Runs a program to its end, output thrown away, with as little of Python's own time as can be."""
    argv = [str(word) for word in argv]
    null = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    pid = os.posix_spawnp(argv[0], argv, env or os.environ, file_actions=null)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        raise Failed(f"{' '.join(argv)}: failed")


class Host:
    """with Host() as host: a daemon that serves, with nothing on record."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="stead-bench-", dir="/var/tmp"))
        self.root.chmod(0o755)  # QEMU's user opens its disks below it
        self.log = self.root / "daemon.log"
        self.env = dict(os.environ, STEAD_ROOT=str(self.root), STEAD_KVM_PROBE=str(PROBE))
        self.process = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            if self.process and self.process.poll() is None:
                self.remove_all()
                self.stop()
        finally:
            self.remove_pools()
            shutil.rmtree(self.root, ignore_errors=True)

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([DAEMON], env=self.env, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run([STEAD, "info"], env=self.env, capture_output=True).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failed("the daemon does not serve:\n" + self.log.read_text()[-2000:])
            time.sleep(0.05)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(START_SECONDS)

    def stead(self, *words, ok=True):
        return run(STEAD, *words, env=self.env, ok=ok)

    def show(self, *words):
        return json.loads(self.stead(*words, "--format", "json"))

    def follow(self, *words, until):
        """Runs a command that tells events, one JSON object a line, until one satisfies `until`.
        What it began goes on. Milliseconds until then."""
        words = ["timeout", str(FOLLOW_SECONDS), STEAD, *words]
        since = time.perf_counter()
        process = subprocess.Popen([*words, "--format", "json"], env=self.env, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        try:
            for line in process.stdout:
                if until(json.loads(line)):
                    return (time.perf_counter() - since) * 1e3
            raise Failed(f"{' '.join(map(str, words))}: {process.stderr.read().strip() or 'no end'}")
        finally:
            process.terminate()
            process.wait()

    def resident(self):
        """MiB of the daemon that are in memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+)", status, re.M)[1]) / 1024

    def remove_all(self):
        for _ in range(2):  # one that is being removed already fails the first time
            names = self.stead("ls", "--quiet", ok=False).split()
            if names:
                self.stead("rm", "--force", *names, ok=False)
        for network in self.show("network", "ls"):
            self.stead("network", "rm", network["name"], ok=False)

    def remove_pools(self):
        """The root's own pool, which has no command to remove it: it is part of the installation."""
        for name in virsh("pool-list", "--all", "--name", ok=False).split():
            if f"{self.root}/" in virsh("pool-dumpxml", name, ok=False):
                virsh("pool-destroy", name, ok=False)
                virsh("pool-undefine", name, ok=False)

    # --- what the figures need ---

    def import_blank(self, name):
        """An image of 1 MiB with nothing on it: a guest of it starts, and finds nothing to boot."""
        raw = self.root / "blank.raw"
        raw.write_bytes(bytes(1 << 20))
        self.stead("image", "import", raw, "--name", name)

    def put_records(self, count):
        """Instances on record that never were: as many stopped ones, written between two runs of
        the daemon."""
        self.stop()
        now = int(time.time() * 1e6)
        with sqlite3.connect(next(self.root.glob("lib/*.db"))) as database:
            for number in range(count):
                key = str(uuid.uuid4())
                record = {
                    "id": key, "name": f"record-{number:04}", "kind": "vm", "state": "stopped",
                    "want-running": False, "ready": False, "created": now + number,
                    "kind-reason": "asked for", "image-digest": "0" * 64,
                    "spec": {"kind": "vm", "image": "blank:1"},
                    "disks": [{"path": f"{self.root}/lib/pool/{key}.qcow2", "format": "qcow2"}],
                    "nics": [{"network": "default", "mac": f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}",
                              "address": f"10.99.{number >> 8}.{number & 255}"}],
                }
                database.execute("INSERT INTO record (bucket, key, json) VALUES ('instance', ?, ?)",
                                 (key, json.dumps(record)))
        database.close()
        self.start()
