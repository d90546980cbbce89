# SPDX-License-Identifier: Apache-2.0
"""The commands for what the daemon keeps by name: what they ask of it, and what they print."""
import json
import os
import pathlib
import subprocess
import tempfile

import pytest

from fake_daemon import FakeDaemon

TOP = pathlib.Path(__file__).resolve().parents[2]
STEAD = os.environ.get("STEAD") or next((str(p) for p in sorted(TOP.glob("build*/src/cli/stead"))), None)
pytestmark = pytest.mark.skipif(STEAD is None, reason="the program is not built; set STEAD")

IMAGE = {"name": "debian:12", "size": 3 << 20, "virtual-size": 2 << 30, "agent": True, "digest": "ab" * 32,
         "source": "https://example.org/d.qcow2", "created": 0, "used-by": ["web", "db"]}
NETWORK = {"name": "lab", "spec": {"subnet": "10.77.0.0/24"}, "bridge": "br-lab", "instances": ["web"]}
LEASES = [{"hostname": "web", "address": "10.77.0.10", "mac": "52:54:00:00:00:01"}]
VOLUME = {"name": "data", "spec": {"size": "10G"}, "attached-to": "web", "path": "/p/data"}
POOL = {"name": "default", "type": "dir", "state": "running", "capacity": 1 << 40, "available": 1 << 39,
        "default": True, "path": "/p"}
SNAPSHOT = {"name": "s1", "memory": True, "size": 1 << 20, "parent": "s0", "created": 0}
JOB = {"id": "7", "type": "image.pull", "subject": "debian:12", "state": "failed", "progress": 0.5, "created": 0,
       "error": {"message": "no route", "hint": "Go on."}}


@pytest.fixture
def daemon():
    with tempfile.TemporaryDirectory(prefix="stead-") as folder, FakeDaemon(folder) as fake:
        yield fake


def stead(daemon, *arguments):
    return subprocess.run([STEAD, *arguments], env=daemon.environment(TZ="UTC"), capture_output=True, text=True,
                          timeout=20)


LISTS = {
    "image ls": ("/v1/images", IMAGE, """\
NAME       SIZE   DISK   AGENT  DIGEST        AGE  USED BY
debian:12  3 MiB  2 GiB  yes    abababababab  -    web, db
"""),
    "network ls": ("/v1/networks", NETWORK, """\
NAME  MODE  SUBNET        BRIDGE  PROJECT  INSTANCES
lab   nat   10.77.0.0/24  br-lab  -        web
"""),
    "volume ls": ("/v1/volumes", VOLUME, """\
NAME  SIZE  POOL     ATTACHED TO  PROJECT  AGE
data  10G   default  web          -        -
"""),
    "pool ls": ("/v1/pools", POOL, """\
NAME     TYPE  STATE    CAPACITY  AVAILABLE  DEFAULT  PATH
default  dir   running  1 TiB     512 GiB    yes      /p
"""),
    "snapshot ls web": ("/v1/instances/web/snapshots", SNAPSHOT, """\
NAME  MEMORY  SIZE   AFTER  AGE
s1    yes     1 MiB  s0     -
"""),
}


@pytest.mark.parametrize("command", LISTS)
def test_a_list_is_a_table(daemon, command):
    path, item, table = LISTS[command]
    daemon.answer("GET", path, [item])
    assert stead(daemon, *command.split()).stdout == table


@pytest.mark.parametrize("command", LISTS)
def test_a_list_is_names_alone_or_json(daemon, command):
    path, item, _ = LISTS[command]
    daemon.answer("GET", path, [item])
    assert stead(daemon, *command.split(), "--quiet").stdout == item["name"] + "\n"
    assert json.loads(stead(daemon, *command.split(), "--format", "json").stdout) == [item]


def test_the_catalogue_tells_aliases(daemon):
    daemon.answer("GET", "/v1/catalogue", [
        {"name": "debian:12", "title": "Debian 12", "address": "https://example.org/d", "aliases": ["debian"],
         "local": True}])
    assert stead(daemon, "image", "catalogue").stdout == """\
NAME       HERE  ALSO NAMED  ADDRESS
debian:12  yes   debian      https://example.org/d
"""


SHOWN = {
    "image show debian:12": ("/v1/images/debian:12", IMAGE, """\
Name:          debian:12
Size:          3 MiB
Disk:          2 GiB
Guest agent:   yes
Digest:        %s
Source:        https://example.org/d.qcow2
Used by:       web, db
""" % ("ab" * 32)),
    "network show lab": ("/v1/networks/lab", NETWORK, """\
Name:       lab
Mode:       nat
Subnet:     10.77.0.0/24
Bridge:     br-lab
Instances:  web
"""),
    "volume show data": ("/v1/volumes/data", VOLUME, """\
Name:         data
Size:         10G
Pool:         default
Attached to:  web
Path:         /p/data
"""),
    "job show 7": ("/v1/jobs/7", JOB, """\
Id:        7
Type:      image.pull
Subject:   debian:12
State:     failed
Done:      50%
Error:     no route
Hint:      Go on.
"""),
}


@pytest.mark.parametrize("command", SHOWN)
def test_one_is_shown_as_fields_or_json(daemon, command):
    path, item, fields = SHOWN[command]
    daemon.answer("GET", path, item)
    assert stead(daemon, *command.split()).stdout == fields
    assert json.loads(stead(daemon, *command.split(), "--format", "json").stdout) == item


def test_a_network_is_shown_with_its_leases(daemon):
    daemon.answer("GET", "/v1/networks/lab", {**NETWORK, "leases": LEASES})
    assert stead(daemon, "network", "show", "lab").stdout == SHOWN["network show lab"][2] + """
HOST NAME  ADDRESS     MAC
web        10.77.0.10  52:54:00:00:00:01
"""


BODIES = {
    "image pull debian:12": ("/v1/images/pull", {"name": "debian:12"}),
    "image build debian:12": ("/v1/images/build", {"name": "debian:12", "as": "debian:12"}),
    "image build debian:12 --as mine": ("/v1/images/build", {"name": "debian:12", "as": "mine"}),
    "image import /d/Disk.qcow2.xz": ("/v1/images/import", {"path": "/d/Disk.qcow2.xz", "name": "disk"}),
    "image import /d/Disk.raw -n mine": ("/v1/images/import", {"path": "/d/Disk.raw", "name": "mine"}),
    "network create lab": ("/v1/networks", {"name": "lab", "spec": {}}),
    "network create lab --subnet 10.0.0.0/24 --domain d": (
        "/v1/networks", {"name": "lab", "spec": {"subnet": "10.0.0.0/24", "domain": "d"}}),
    "network create lab --bridge br0": (
        "/v1/networks", {"name": "lab", "spec": {"bridge": "br0", "mode": "bridge"}}),
    "network create lab --bridge br0 --mode routed": (
        "/v1/networks", {"name": "lab", "spec": {"bridge": "br0", "mode": "routed"}}),
    "volume create data --size 10G --pool p": (
        "/v1/volumes", {"name": "data", "spec": {"size": "10G", "pool": "p"}}),
    "volume attach web data": (
        "/v1/instances/web/volumes", {"volume": "data", "read-only": False}),
    "volume attach web data --read-only": (
        "/v1/instances/web/volumes", {"volume": "data", "read-only": True}),
    "volume resize data --size 20G": ("/v1/volumes/data/resize", {"size": "20G"}),
    "snapshot create web s1": ("/v1/instances/web/snapshots", {"name": "s1"}),
    "snapshot create web s1 --no-memory": (
        "/v1/instances/web/snapshots", {"name": "s1", "memory": False}),
    "snapshot restore web s1": ("/v1/instances/web/snapshots/s1/restore", None),
}


@pytest.mark.parametrize("command", BODIES)
def test_what_is_asked_for_is_in_the_request(daemon, command):
    path, body = BODIES[command]
    daemon.job("POST", path, "any", "any")["state"] = "done"
    done = stead(daemon, *command.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert daemon.requested("POST", path) == [body]


REMOVALS = {
    "network rm lab": "/v1/networks/lab",
    "volume rm data": "/v1/volumes/data",
    "volume detach web data": "/v1/instances/web/volumes/data",
    "snapshot rm web s1": "/v1/instances/web/snapshots/s1",
}


@pytest.mark.parametrize("command", REMOVALS)
def test_a_removal_is_a_job_that_is_followed(daemon, command):
    job = daemon.job("DELETE", REMOVALS[command], "any", "any")
    job.update(state="failed", error={"code": "busy", "message": "it is in use"})
    done = stead(daemon, *command.split())
    assert (done.returncode, done.stderr) == (6, "stead: it is in use\n")
    assert daemon.requested("DELETE", REMOVALS[command]) == [None]
    assert daemon.requested("GET", "/v1/jobs/" + job["id"])


def test_images_are_removed_one_by_one_until_one_cannot_be(daemon):
    for name in ("a", "c"):
        daemon.answer("DELETE", "/v1/images/" + name, None, 204)
    done = stead(daemon, "image", "rm", "a", "b", "c")
    assert done.returncode == 3 and done.stdout == ""
    assert [path for method, path, _, _ in daemon.requests if method == "DELETE"] == ["/v1/images/a", "/v1/images/b"]


@pytest.mark.parametrize("command", ["volume create data", "volume resize data"])
def test_a_volume_needs_a_size(daemon, command):
    done = stead(daemon, *command.split())
    assert done.returncode == 2 and "needs a size" in done.stderr and not daemon.requests


def test_an_ended_job_is_cancelled_in_vain(daemon):
    daemon.fail("DELETE", "/v1/jobs/7", 409, "state", "job 7 has ended")
    assert stead(daemon, "job", "cancel", "7").stderr == "stead: job 7 has ended\n"
