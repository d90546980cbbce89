# SPDX-License-Identifier: Apache-2.0
"""The daemon is killed at random moments; nothing may be lost, left over, or die with it.

A driver begins random operations on a handful of tiny guests, kills the daemon (SIGKILL, by its
pid) after a random short time, starts it again, waits until it is idle, and compares what is on
record, what is on the host, and what may be after those operations:

    records     what was acknowledged is there, or was being removed; states agree with libvirt
    guests      those that were not stopped, restored or removed run on, with the same QEMU
    host        each domain, network, disk, layer, memory file, folder, interface and forwarder
                belongs to a record
    content     each disk reads as it was written before the snapshot that it was restored to

STEAD_FAULT_KILLS and STEAD_FAULT_SEED set how often and how; the seed of a run is printed.
"""

import dataclasses
import json
import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import time

import pytest

import stead

KILLS = int(os.environ.get("STEAD_FAULT_KILLS", "200"))
SEED = int(os.environ.get("STEAD_FAULT_SEED", str(random.SystemRandom().randrange(1 << 32))))

HERE = pathlib.Path(__file__).resolve().parent
SHORTEST = 0.001  # seconds from an operation's begin to the kill
LONGEST = 1.5
MAX_SNAPSHOTS = 3
INSTANCES = ("a", "b", "c")
NETWORKS = {"lab": "10.213.7.0/24", "dmz": "10.213.8.0/24"}
VOLUMES = ("data", "logs")
# What libvirt says of each state of a record.
LIBVIRT_STATES = {"running": "running", "stopped": "shut off", "paused": "paused"}
FOLDER_FILES = re.compile(r"(seed\.iso|nvram\.fd|console\.log(\.\d+)?|console\.times)$")


def qemu_img(*args):
    done = subprocess.run(["qemu-img", *args], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"qemu-img {args}: {done.stderr}"
    return done.stdout


def chain(path):
    """The files that a disk consists of, that of its image excepted."""
    infos = json.loads(qemu_img("info", "-U", "--backing-chain", "--output=json", path))
    return [info["filename"] for info in infos if "/images/" not in info["filename"]]


def qemu_io(path, command, *options):
    done = subprocess.run(
        ["qemu-io", *options, "-f", "qcow2", "-c", command, path],
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.returncode == 0 and "failed" not in done.stdout + done.stderr


def write_mark(path, mark):
    assert qemu_io(path, f"write -P {mark} 0 4096"), path


def has_mark(path, mark):
    return qemu_io(path, f"read -P {mark} 0 4096", "-r", "-U")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclasses.dataclass
class Allowed:
    """What an instance may be after the operations of a round."""

    states: set
    gone: bool = False
    same_guest: bool = True  # if it ran before and does so now, then as the same process
    marks: set = dataclasses.field(default_factory=set)


class Driver:
    def __init__(self, daemon, seed):
        self.daemon = daemon
        self.api = daemon.api
        self.host = daemon.host
        self.random = random.Random(seed)
        self.counter = 0
        self.kills = 0
        self.journal = []
        # What a disk may hold. A running guest's file is not looked at: QEMU keeps back tables of
        # what it wrote.
        self.marks = {}  # instance → set of marks
        self.snapshot_marks = {}  # (instance id, snapshot name) → set of marks
        self.look()

    def note(self, text):
        self.journal.append(f"{time.monotonic() - T0:8.3f} {text}")

    # ---- what there is ----

    def look(self):
        """Reads the records, as the truth for the next round."""
        self.instances = {i["name"]: self.api.instance(i["name"]) for i in self.api.instances()}
        self.networks = {n["name"]: n for n in self.api.get("/v1/networks")}
        self.volumes = {v["name"]: v for v in self.api.get("/v1/volumes")}
        self.snapshots = {
            name: {s["name"]: s for s in self.api.get(f"/v1/instances/{name}/snapshots")}
            for name in self.instances
        }
        self.pids = self.host.qemu_pids()
        self.marks = {name: mark for name, mark in self.marks.items() if name in self.instances}

    # ---- operations: each begins a job, and widens what is allowed ----

    def begin(self, what, method, path, body=None):
        """Whether it was acknowledged; None when the answer did not come."""
        try:
            status, value = self.api.request(method, path, body)
        except OSError as error:
            self.note(f"  {what}: {error}")
            return None
        self.note(f"  {what}: {status} {value if status >= 400 else value['id']}")
        if status >= 400:
            assert status in (404, 409, 422), (what, status, value)
            return False
        self.jobs.append(value["id"])
        return True

    def allow(self, name, states, **changes):
        allowed = self.allowed[name]
        allowed.states |= set(states)
        for key, value in changes.items():
            setattr(allowed, key, value)

    def create(self, name):
        nets = ["default"] + [net for net in self.networks if net != "default"]
        net = self.random.choice(nets)
        spec = stead.blank_spec(networks=[{"network": net}])
        if self.random.random() < 0.4:
            port = free_port()
            spec["ports"] = [f"127.0.0.1:{port}:80"]
            self.host.ports_seen.add(port)
        if self.random.random() < 0.2:
            spec["disks"] = [{"size": "1M"}]
        start = self.random.random() < 0.6
        self.networks_in_use.add(net)
        body = {"name": name, "spec": spec, "start": start}
        done = self.begin(f"create {name} start={start} in {net}", "POST", "/v1/instances", body)
        self.allowed[name] = Allowed({"running" if start else "stopped"}, gone=done is not True)
        self.allowed[name].marks = {0}

    def act(self, name, action, state, body=None):
        """What was acknowledged is done in the end, by whichever daemon."""
        done = self.begin(f"{action} {name}", "POST", f"/v1/instances/{name}/{action}", body or {})
        if done:
            self.allowed[name].states = {state}
        self.allow(name, {state})

    def start(self, name):
        self.act(name, "start", "running")

    def stop(self, name):
        self.act(name, "stop", "stopped", {"force": True})

    def pause(self, name):
        self.act(name, "pause", "paused")

    def resume(self, name):
        self.act(name, "resume", "running")

    def remove(self, name):
        done = self.begin(f"remove {name}", "DELETE", f"/v1/instances/{name}?force=1")
        self.allow(name, {"stopped"}, gone=True)
        if done:
            self.allowed[name].states = set()

    def snapshot(self, name):
        self.counter += 1
        snapshot = f"s{self.counter}"
        running = self.instances[name]["state"] in ("running", "paused")
        memory = running and self.random.random() < 0.5
        body = {"name": snapshot, "memory": memory}
        what = f"snapshot {name} {snapshot} memory={memory}"
        self.begin(what, "POST", f"/v1/instances/{name}/snapshots", body)
        self.snapshot_marks[self.instances[name]["id"], snapshot] = self.marks[name]

    def restore(self, name, snapshot):
        path = f"/v1/instances/{name}/snapshots/{snapshot['name']}/restore"
        self.begin(f"restore {name} {snapshot['name']}", "POST", path, {})
        marks = self.snapshot_marks[self.instances[name]["id"], snapshot["name"]]
        self.allow(name, {"running" if snapshot["memory"] else "stopped"}, same_guest=False)
        self.allowed[name].marks |= marks

    def remove_snapshot(self, name, snapshot):
        path = f"/v1/instances/{name}/snapshots/{snapshot['name']}"
        self.begin(f"remove snapshot {name} {snapshot['name']}", "DELETE", path)
        self.snapshots_leaving.add((name, snapshot["name"]))

    def attach(self, name, volume):
        path = f"/v1/instances/{name}/volumes"
        self.begin(f"attach {volume} to {name}", "POST", path, {"volume": volume})

    def detach(self, name, volume):
        path = f"/v1/instances/{name}/volumes/{volume}"
        self.begin(f"detach {volume} from {name}", "DELETE", path)

    def mark(self, name):
        """Something new on the root disk of a stopped guest; not an operation of the daemon."""
        self.counter += 1
        mark = 1 + self.counter % 200
        write_mark(self.instances[name]["disks"][0]["path"], mark)
        self.marks[name] = {mark}
        self.allowed[name].marks = {mark}
        self.note(f"  mark {name} {mark}")

    def on_instance(self, name):
        """A random operation on an instance."""
        pick = self.random.random()
        if name not in self.instances:
            self.create(name)
            if pick < 0.1:
                self.remove(name)
            return
        state = self.instances[name]["state"]
        snapshots = list(self.snapshots[name].values())
        held = [v for v in self.volumes.values() if v.get("attached-to") == name]
        loose = [v for v in self.volumes.values() if not v.get("attached") and v.get("path")]
        choices = [(self.remove, 1.0)]
        if state == "stopped":
            choices += [(self.start, 3.0), (self.mark, 1.0)]
            choices += [(lambda n: self.detach(n, held[0]["name"]), 3.0)] if held else []
        if state == "running":
            choices += [(self.stop, 1.5), (self.pause, 0.5)]
        if state == "paused":
            choices += [(self.resume, 3.0), (self.stop, 1.0)]
        if loose:
            choices += [(lambda n: self.attach(n, self.random.choice(loose)["name"]), 1.0)]
        if len(snapshots) < MAX_SNAPSHOTS:
            choices += [(self.snapshot, 3.0)]
        if snapshots:
            snapshot = self.random.choice(snapshots)
            choices += [(lambda n: self.restore(n, snapshot), 2.0)]
            choices += [(lambda n: self.remove_snapshot(n, snapshot), 1.0)]
        operations, weights = zip(*choices)
        operation = self.random.choices(operations, weights)[0]
        operation(name)
        if operation == self.mark:
            self.start(name)

    def on_network(self, name):
        if name in self.networks:
            if name not in self.networks_in_use:
                self.begin(f"remove network {name}", "DELETE", f"/v1/networks/{name}")
                self.networks_leaving.add(name)
            return
        body = {"name": name, "spec": {"subnet": NETWORKS[name]}}
        if self.begin(f"create network {name}", "POST", "/v1/networks", body):
            self.networks_due.add(name)

    def on_volume(self, name):
        if name not in self.volumes:
            body = {"name": name, "spec": {"size": "1M"}}
            if self.begin(f"create volume {name}", "POST", "/v1/volumes", body):
                self.volumes_due.add(name)
        elif not self.volumes[name].get("attached"):
            self.begin(f"remove volume {name}", "DELETE", f"/v1/volumes/{name}")
            self.volumes_leaving.add(name)

    # ---- a round ----

    def kill_after_a_while(self, since):
        delay = SHORTEST * (LONGEST / SHORTEST) ** self.random.random()
        time.sleep(max(0, delay - (time.monotonic() - since)))
        self.daemon.kill()
        self.kills += 1
        self.note(f"kill {self.kills} after {time.monotonic() - since:.3f} s")

    def round(self):
        self.jobs, self.networks_due, self.volumes_due = [], set(), set()
        self.networks_leaving, self.volumes_leaving, self.snapshots_leaving = set(), set(), set()
        self.networks_in_use = {
            nic["network"] for i in self.instances.values() for nic in i["networks"]
        }
        self.allowed = {
            name: Allowed({instance["state"]}, marks=set(self.marks[name]))
            for name, instance in self.instances.items()
        }
        self.note("round: " + str({n: i["state"] for n, i in self.instances.items()}))
        begun = time.monotonic()
        for name in self.random.sample(INSTANCES, self.random.choice((1, 1, 2, 3))):
            self.on_instance(name)
        if self.random.random() < 0.3:
            self.on_network(self.random.choice(list(NETWORKS)))
        if self.random.random() < 0.3:
            self.on_volume(self.random.choice(VOLUMES))
        self.kill_after_a_while(begun)
        while self.random.random() < 0.15:  # and again, while it adopts and goes on
            begun = time.monotonic()
            self.daemon.start(settle=False)
            self.kill_after_a_while(begun)
        self.daemon.start()
        self.check()

    # ---- what must hold ----

    def check(self):
        before, pids = self.instances, self.pids
        snapshots_before = self.snapshots
        networks_before, volumes_before = set(self.networks), set(self.volumes)
        failed = [job for job in self.api.get("/v1/jobs") if job["state"] == "failed"]
        assert not failed, f"failed in recovery: {failed}"
        self.look()
        for name, allowed in self.allowed.items():
            self.check_instance(name, allowed, before.get(name), pids.get(name))
        assert set(self.instances) <= set(self.allowed)
        for name, snapshots in snapshots_before.items():
            kept = {s for s in snapshots if (name, s) not in self.snapshots_leaving}
            if name in self.instances and self.instances[name]["id"] == before[name]["id"]:
                assert kept <= set(self.snapshots[name]), f"{name} lost snapshots"
        lost = (networks_before | self.networks_due) - self.networks_leaving - set(self.networks)
        assert not lost, f"networks lost: {lost}"
        lost = (volumes_before | self.volumes_due) - self.volumes_leaving - set(self.volumes)
        assert not lost, f"volumes lost: {lost}"
        self.check_host()

    def check_instance(self, name, allowed, before, pid):
        now = self.instances.get(name)
        if now is None:
            assert allowed.gone, f"{name} is lost"
            self.marks.pop(name, None)
            return
        assert now["state"] in allowed.states, f"{name} is {now['state']}: {now}, not {allowed}"
        if before:
            assert now["id"] == before["id"], f"{name} is another"
        if before and pid and now["state"] in ("running", "paused") and allowed.same_guest:
            assert self.pids.get(name) == pid, f"the guest of {name} is another"
        self.marks[name] = allowed.marks
        if now["state"] == "stopped":
            self.marks[name] = self.held(now, allowed.marks)

    def held(self, instance, marks):
        """Those of the marks that a stopped instance's root disk holds: one."""
        root = instance["disks"][0]["path"]
        held = {mark for mark in marks if has_mark(root, mark)}
        assert held, f"{instance['name']}: {root} holds none of {marks}"
        return held

    def check_host(self):
        up = {n: i for n, i in self.instances.items() if i["state"] in ("running", "paused")}
        domains = {n: LIBVIRT_STATES.get(i["state"]) for n, i in self.instances.items()}
        assert self.host.domains() == domains
        assert set(self.pids) == set(up)
        networks = {f"{self.host.prefix}-{name}" for name in self.networks}
        assert set(self.host.networks()) == networks
        assert len(self.host.taps()) == sum(len(i["networks"]) for i in up.values())
        ports = sum(len(i["spec"].get("ports", [])) for i in up.values())
        assert len(self.host.forwarders()) == ports
        assert not stead.poll_empty(self.helpers), "they outlive the daemon that began them"
        self.check_disks()
        self.check_folders()

    def helpers(self):
        """Programs that a daemon has run."""
        known = {self.daemon.pid, *self.pids.values(), *self.host.forwarders()}
        return [argv for pid, argv in self.host.processes() if pid not in known]

    def check_disks(self):
        files = set()
        layers = {k: s.get("layers") for k, s in self.daemon.records("snapshot").items()}
        for name, instance in self.instances.items():
            for disk in instance["disks"]:
                files.update(chain(disk["path"]))
            for snapshot in self.snapshots[name].values():
                assert snapshot["complete"], snapshot
                for disk in layers[snapshot["id"]]["disks"]:
                    files.update(chain(disk["frozen"]))
            sources = {
                source.get("file")
                for source in self.host.domain_xml(name).iterfind("./devices/disk/source")
            }
            paths = {disk["path"] for disk in instance["disks"]}
            if instance["state"] == "stopped":  # the next start defines it anew
                assert instance["disks"][0]["path"] in sources, (paths, sources)
            else:
                assert paths == {s for s in sources if not s.endswith("seed.iso")}, (paths, sources)
        for volume in self.volumes.values():
            assert volume.get("path"), f"never made: {volume}"
            if not volume.get("attached"):
                files.update(chain(volume["path"]))
            holders = {
                name
                for name, instance in self.instances.items()
                for disk in instance["disks"]
                if disk.get("volume") == volume["id"]
            }
            assert holders == ({volume["attached-to"]} if volume.get("attached") else set()), volume
        assert set(self.host.volumes()) == {os.path.basename(path) for path in files}

    def check_folders(self):
        ids = {instance["id"]: name for name, instance in self.instances.items()}
        for path in self.host.files("lib/instances"):
            _, _, owner, rest = path.split("/", 3)
            assert owner in ids, f"{path} is nobody's"
            if rest.startswith("snapshots/"):
                snapshot = rest.removeprefix("snapshots/").split(".")[0]
                known = {s["id"] for s in self.snapshots[ids[owner]].values()}
                assert snapshot in known, f"{path} is of no snapshot"
            else:
                assert FOLDER_FILES.match(rest), f"{path} is a leftover"
        folders = {path.split("/")[2] for path in self.host.instance_folders()}
        assert folders == set(ids)

    # ---- the end ----

    def restore_all(self):
        for name in self.instances:
            for snapshot in self.snapshots[name].values():
                path = f"/v1/instances/{name}/snapshots/{snapshot['name']}/restore"
                self.note(f"restore {name} {snapshot['name']}")
                self.api.run("POST", path, {})
                now = self.api.instance(name)
                assert now["state"] == ("running" if snapshot["memory"] else "stopped")
                if snapshot["memory"]:
                    self.api.act(name, "stop", {"force": True})
                self.held(now, self.snapshot_marks[now["id"], snapshot["name"]])


T0 = time.monotonic()
NOT_ALLOWED = 77  # private-libvirt's


def survive():
    daemon = stead.Daemon(stead.scratch_root())
    driver = None
    try:
        daemon.start()
        stead.import_blank(daemon)
        driver = Driver(daemon, SEED)
        begun = time.monotonic()
        while driver.kills < KILLS:
            driver.round()
        driver.restore_all()
        daemon.api.remove_everything()
        stead.assert_clean(daemon)
        log = daemon.log.read_text(errors="replace")
        assert "CRITICAL" not in log, re.findall(r".*CRITICAL.*", log)
        print(f"{driver.kills} kills survived in {time.monotonic() - begun:.0f} s")
    except BaseException:
        print(*(driver.journal[-40:] if driver else []), daemon.tail(20), sep="\n")
        raise
    finally:
        daemon.cleanup()


def test_killed_at_random_moments():
    """With a libvirtd of its own, which ends a guest five times as fast where process 1 is slow."""
    reason = stead.why_not()
    if reason:
        pytest.skip(reason)
    print(f"STEAD_FAULT_SEED={SEED} STEAD_FAULT_KILLS={KILLS}")
    done = subprocess.run(
        [sys.executable, HERE / "private-libvirt", sys.executable, __file__],
        env={**os.environ, "STEAD_FAULT_SEED": str(SEED)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout)
    if done.returncode == NOT_ALLOWED:
        survive()
    else:
        assert done.returncode == 0


if __name__ == "__main__":
    survive()
