# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: a daemon on a scratch root, its API, and a look at the host.

    Daemon    starts, kills and restarts one daemon of one root; runs the CLI against it
    Api       the API over the Unix socket; jobs are waited for
    Host      what of that root is on the host: domains, networks, pools, interfaces, processes,
              mounts, files. It never trusts the daemon's word.

Everything is found by the root: by its tag in libvirt's names, by STEAD_ROOT in a process's
environment, by its path. Processes are ended by pid, and only those that are of the root.
"""

import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.parse
import xml.etree.ElementTree as ET

REPO = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("STEAD_BUILD_DIR", REPO / "build")).resolve()
DAEMON = BUILD / "src/api/stead-daemon"
CLI = BUILD / "src/cli/stead"

START_SECONDS = 20
JOB_SECONDS = 120
SETTLE_SECONDS = 120
STEP = 0.01  # between two looks at something that cannot be waited on


def poll(look, seconds, what):
    """The first true value that look() returns; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = look()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(STEP)


# ---- the API ----


class ApiError(Exception):
    """An answer of the error classes; also the error of a failed job."""

    def __init__(self, status, body):
        body = body if isinstance(body, dict) else {"message": str(body)}
        self.status = status
        self.code = body.get("code")
        self.message = body.get("message", "")
        self.hint = body.get("hint")
        super().__init__(f"{status} {self.code}: {self.message}")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("stead", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._path))
        except OSError:
            self.sock.close()
            raise


def quote(name):
    return urllib.parse.quote(name, safe=":")


class Api:
    """Requests over the socket, each on a connection of its own."""

    def __init__(self, path, timeout=60):
        self.path = path
        self.timeout = timeout

    def request(self, method, path, body=None, timeout=None):
        """(status, value): JSON decoded, else text; None for an empty body."""
        connection = _UnixConnection(self.path, timeout or self.timeout)
        try:
            data = None if body is None else json.dumps(body)
            headers = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            text = response.read()
            if not text:
                return response.status, None
            if "json" in (response.headers.get("Content-Type") or ""):
                return response.status, json.loads(text)
            return response.status, text.decode(errors="replace")
        finally:
            connection.close()

    def _checked(self, method, path, body=None, timeout=None):
        status, value = self.request(method, path, body, timeout)
        if status >= 400:
            raise ApiError(status, value)
        return value

    def get(self, path, timeout=None):
        return self._checked("GET", path, None, timeout)

    def post(self, path, body=None, timeout=None):
        return self._checked("POST", path, {} if body is None else body, timeout)

    def delete(self, path, timeout=None):
        return self._checked("DELETE", path, None, timeout)

    # jobs

    def wait(self, job, seconds=JOB_SECONDS):
        """Waits for a job (its object, or its id); its last form. A failed one raises ApiError."""
        job_id = job["id"] if isinstance(job, dict) else job

        def ended():
            now = self.get(f"/v1/jobs/{job_id}")
            return now if now["state"] in ("done", "failed", "cancelled") else None

        last = poll(ended, seconds, f"job {job}")
        if last["state"] != "done":
            raise ApiError(0, last.get("error", {"message": last["state"]}))
        return last

    def run(self, method, path, body=None, seconds=JOB_SECONDS):
        """A request that answers with a job; waits for it."""
        if method == "POST" and body is None:
            body = {}
        return self.wait(self._checked(method, path, body), seconds)

    def active_jobs(self):
        return self.get("/v1/jobs?active=1")

    def settle(self, seconds=SETTLE_SECONDS):
        """Waits until no job is queued or running: after a start, until all is adopted."""
        poll(lambda: not self.active_jobs(), seconds, "the jobs to end")

    # instances

    def instances(self):
        return self.get("/v1/instances")

    def instance(self, name):
        return self.get(f"/v1/instances/{quote(name)}")

    def create(self, name, spec, start=True, seconds=JOB_SECONDS):
        self.run("POST", "/v1/instances", {"name": name, "spec": spec, "start": start}, seconds)
        return self.instance(name)

    def act(self, name, action, body=None, seconds=JOB_SECONDS):
        return self.run("POST", f"/v1/instances/{quote(name)}/{action}", body, seconds)

    def remove(self, name, force=True, seconds=JOB_SECONDS):
        return self.run("DELETE", f"/v1/instances/{quote(name)}?force={int(force)}", None, seconds)

    def wait_instance(self, name, seconds=JOB_SECONDS, **wanted):
        """Waits until members of an instance are as wanted: state="running", ready=True."""

        def look():
            now = self.instance(name)
            return now if all(now.get(key) == value for key, value in wanted.items()) else None

        return poll(look, seconds, f"{name} to be {wanted}")

    def remove_everything(self):
        """All instances, volumes, networks and images. Errors are raised at the end, together."""
        errors = []

        def attempt(function, *args):
            try:
                function(*args)
            except (ApiError, AssertionError) as error:
                errors.append(f"{args}: {error}")

        for item in self.get("/v1/instances"):
            attempt(self.remove, item["name"])
        for kind in ("volumes", "networks"):
            for item in self.get(f"/v1/{kind}"):
                attempt(self.run, "DELETE", f"/v1/{kind}/{quote(item['name'])}")
        for item in self.get("/v1/images"):
            attempt(self.delete, f"/v1/images/{quote(item['name'])}")
        assert not errors, "\n".join(errors)


# ---- the daemon ----


class Daemon:
    """One daemon of one root. `env` is added to its environment, and to that of the CLI."""

    def __init__(self, root, env=None, wrapper=()):
        self.root = pathlib.Path(root)
        self.env = {**os.environ, "STEAD_ROOT": str(root), **(env or {})}
        self.wrapper = list(wrapper)
        self.process = None
        self.log = self.root / "daemon.log"
        self.socket = self.root / "run/stead.sock"
        self.api = Api(self.socket)
        self.host = Host(self.root)

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def start(self, settle=True):
        """Starts it and waits until it answers; with `settle` also until all is adopted."""
        assert not self.running()
        self.root.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, str(DAEMON)],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        poll(self._answers, START_SECONDS, "the daemon to answer")
        if settle:
            self.api.settle()
        return self

    def _answers(self):
        assert self.process.poll() is None, f"the daemon ended: {self.tail()}"
        try:
            return self.api.request("GET", "/v1", timeout=5)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def kill(self, how=signal.SIGKILL, seconds=30):
        """Ends it by its pid; its exit status."""
        if self.running():
            self.process.send_signal(how)
        return self.process.wait(seconds)

    def stop(self):
        return self.kill(signal.SIGTERM)

    def restart(self, settle=True):
        self.kill()
        return self.start(settle)

    def tail(self, lines=40):
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def records(self, bucket):
        """Key → record, as the daemon has written them."""
        uri = f"file:{self.root}/lib/stead.db?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=10)) as store:
            rows = store.execute("SELECT key, json FROM record WHERE bucket = ?", (bucket,))
            return {key: json.loads(text) for key, text in rows}

    def resident(self):
        """Its resident memory in bytes."""
        pages = pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def stead(self, *args, check=True, timeout=120, **options):
        """Runs the CLI; a CompletedProcess with text. With `check` a failure raises."""
        done = subprocess.run(
            [str(CLI), *map(str, args)],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            **options,
        )
        assert not check or done.returncode == 0, f"stead {args}: {done.stdout}\n{done.stderr}"
        return done

    def cleanup(self):
        """Takes all away that is of this root, whatever state it is in. Never raises."""
        if self.process is not None:
            try:
                self.kill()
            except (OSError, subprocess.TimeoutExpired):
                pass
        self.host.wipe()
        shutil.rmtree(self.root, ignore_errors=True)
        if self.root.exists():
            print(f"left behind: {self.root}")


# ---- the host ----


def virsh(*args, check=True):
    done = subprocess.run(
        ["virsh", "-q", "-c", "qemu:///system", *args], capture_output=True, text=True, timeout=60
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"virsh {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


class Host:
    """What is on this host of one root."""

    def __init__(self, root):
        self.root = str(root)
        self.tag = "-" + hashlib.sha256(self.root.encode()).hexdigest()[:6]
        self.prefix = f"stead{self.tag}"
        self.bridges_seen = set()
        self.ports_seen = set()  # published ones: forwarders keep nothing of their environment

    # libvirt

    def _names(self, *args):
        return [
            name for name in virsh(*args, "--all", "--name").split() if name.startswith(self.prefix)
        ]

    def domains(self):
        """Names of the root's domains, without their prefix, with their states."""
        lines = virsh("list", "--all").splitlines()
        found = {}
        for line in lines:
            match = re.match(rf"\s*(?:\d+|-)\s+{re.escape(self.prefix)}-(\S+)\s+(.+?)\s*$", line)
            if match:
                found[match[1]] = match[2]
        return found

    def domain_xml(self, name):
        return ET.fromstring(virsh("dumpxml", f"{self.prefix}-{name}"))

    def qemu_pids(self):
        """Instance name → pid of its QEMU, or of the first process of its stead-vmm."""
        found = {}
        for pid, command in engines():
            match = re.search(rf"\0guest={re.escape(self.prefix)}-([^,\0]+)", command)
            if match:
                found[match[1]] = pid
        return found

    def networks(self):
        """libvirt's names of the root's networks."""
        names = self._names("net-list")
        for name in names:
            match = re.search(r"<bridge name=['\"]([^'\"]+)", virsh("net-dumpxml", name, check=False))
            if match:
                self.bridges_seen.add(match[1])
        return names

    def pools(self):
        return self._names("pool-list")

    def volumes(self):
        """File names in the root's volumes folder."""
        return sorted(path.name for path in self._path("lib/volumes").glob("*"))

    # the kernel

    def bridges(self):
        """Bridges of networks that were seen; call networks() while they are there."""
        return [name for name in sorted(self.bridges_seen) if os.path.exists(f"/sys/class/net/{name}")]

    def taps(self):
        """Interfaces that are in one of those bridges, and those of the root's domains."""
        found = set()
        for entry in pathlib.Path("/sys/class/net").iterdir():
            master = entry / "master"
            if master.is_symlink() and os.path.basename(os.readlink(master)) in self.bridges_seen:
                found.add(entry.name)
        for name, state in self.domains().items():
            if state != "shut off":
                for line in virsh("domiflist", f"{self.prefix}-{name}", check=False).splitlines():
                    if line.split() and line.split()[0] != "-":
                        found.add(line.split()[0])
        return sorted(found)

    def forwarders(self):
        """pids of the root's port forwarders: of those on record, and of any that was once."""
        for record in self._path("run/instances").glob("*/ports/*"):
            match = re.search(r"-LISTEN:(\d+),", record.read_text(errors="replace"))
            if match:
                self.ports_seen.add(int(match[1]))
        found = []
        for pid, command in _processes():
            match = re.search(r"-LISTEN:(\d+),", command)
            if match and int(match[1]) in self.ports_seen and "socat" in command:
                found.append(pid)
        return found

    def processes(self):
        """(pid, argv) of every process that has this STEAD_ROOT, this process excepted; and of
        the root's guests and forwarders. Zombies do not count."""
        forwarders = self.forwarders()
        mark = f"STEAD_ROOT={self.root}\0".encode()
        found = []
        for pid, command in _processes():
            try:
                environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes() + b"\0"
            except OSError:
                environment = b""
            ours = environment.startswith(mark) or b"\0" + mark in environment or pid in forwarders
            if pid != os.getpid() and (ours or f"guest={self.prefix}-" in command):
                found.append((pid, command.rstrip("\0").split("\0")))
        return found

    def mounts(self):
        text = pathlib.Path("/proc/self/mountinfo").read_text()
        at = (self.root, self.root + "/")
        lines = ((line, line.split()[4]) for line in text.splitlines())
        return [line for line, path in lines if path == at[0] or path.startswith(at[1])]

    def leases(self):
        """dnsmasq's files about the root's networks."""
        found = []
        for entry in pathlib.Path("/var/lib/libvirt/dnsmasq").glob("*"):
            stem = entry.name.split(".")[0]
            if stem.startswith(self.prefix + "-") or stem in self.bridges_seen:
                found.append(str(entry))
        return sorted(found)

    # files

    def _path(self, below):
        return pathlib.Path(self.root) / below

    def instance_folders(self):
        """What lies in the folders of instances, below lib and below run."""
        both = [*self._path("lib/instances").glob("*"), *self._path("run/instances").glob("*")]
        return sorted(str(path.relative_to(self.root)) for path in both)

    def files(self, below=""):
        """All files of the root, relative to it."""
        top = self._path(below)
        return sorted(str(p.relative_to(self.root)) for p in top.rglob("*") if not p.is_dir())

    # all of it

    def left(self):
        """A list of all that should not be there once everything was removed."""
        networks = self.networks()
        left = [f"domain {name}: {state}" for name, state in self.domains().items()]
        left += [f"network {name}" for name in networks]
        left += [f"bridge {name}" for name in self.bridges()]
        left += [f"interface {name}" for name in self.taps()]
        left += [f"lease file {name}" for name in self.leases()]
        left += [f"volume {name}" for name in self.volumes()]
        left += [f"folder {name}" for name in self.instance_folders()]
        left += [f"mount {line}" for line in self.mounts()]
        left += [f"image {name}" for name in self.files("lib/images")]
        left += [
            f"process {pid}: {' '.join(argv)[:120]}"
            for pid, argv in self.processes()
            if os.path.basename(argv[0]) != "stead-daemon"
        ]
        return left

    def wipe(self):
        """Takes everything of the root away from the host, without the daemon. Never raises."""
        try:
            self._wipe_libvirt()
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            print(f"could not clean up in libvirt: {error}")
        for pid, _ in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for line in reversed(self.mounts()):
            subprocess.run(["umount", "-l", line.split()[4]], check=False)

    def _wipe_libvirt(self):
        self.networks()
        for name in self.domains():
            domain = f"{self.prefix}-{name}"
            virsh("destroy", domain, check=False)
            virsh("managedsave-remove", domain, check=False)
            virsh("undefine", "--nvram", "--snapshots-metadata", domain, check=False)
        for name in self.networks():
            virsh("net-destroy", name, check=False)
            virsh("net-undefine", name, check=False)
        for name in self.pools():
            virsh("pool-destroy", name, check=False)
            virsh("pool-undefine", name, check=False)


def _processes():
    """(pid, command line with NUL between its words) of each process that is not a zombie."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            command = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if command:
            yield int(entry), command


def engines():
    """Of the processes, those that run a guest; not the jailed child of one, which looks like it."""
    running = dict(_processes())
    for pid, command in running.items():
        if "\0guest=" not in command or not re.search("qemu|stead-vmm", command.split("\0", 1)[0]):
            continue
        try:
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue
        if running.get(int(stat.rpartition(")")[2].split()[1])) != command:
            yield pid, command


def assert_clean(daemon):
    """Once all was removed: nothing of the root is left on the host, whoever looks."""
    for kind in ("instances", "networks", "volumes", "images"):
        assert daemon.api.get(f"/v1/{kind}") == []
    left = poll_empty(daemon.host.left)
    assert not left, "left behind:\n" + "\n".join(left)


def poll_empty(look, seconds=5):
    """look()'s value when it is empty, or its last one: what was ended may take a moment."""
    deadline = time.monotonic() + seconds
    while True:
        value = look()
        if not value or time.monotonic() > deadline:
            return value
        time.sleep(0.05)


# ---- tiny guests ----

BLANK_SPEC = {
    "kind": "vm",
    "image": "blank:1",
    "cpus": 1,
    "memory": {"max": "64M"},
    "firmware": "bios",
    "ready": {"agent": False},
}


def blank_spec(**changes):
    """A guest with nothing to boot: it is up as soon as QEMU runs, and never shuts down by itself."""
    return {**BLANK_SPEC, **changes}


def import_blank(daemon, name="blank:1", size=1 << 20):
    path = daemon.root / "blank.raw"
    with open(path, "wb") as file:
        file.truncate(size)
    daemon.api.run("POST", "/v1/images/import", {"path": str(path), "name": name})
    path.unlink()


def scratch_root():
    """A new root with a short path, since sockets lie below it. QEMU, which is not root, must be
    able to pass through."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="st-", dir="/var/tmp"))
    root.chmod(0o711)
    return root


def why_not():
    """Why the integration tests cannot run here; None when they can."""
    if os.geteuid() != 0:
        return "needs root"
    for program in (DAEMON, CLI):
        if not program.exists():
            return f"{program} is not built (STEAD_BUILD_DIR)"
    try:
        virsh("version")
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        return f"needs a running libvirtd: {error}"
    return None
