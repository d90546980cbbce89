# SPDX-License-Identifier: Apache-2.0
"""What fails half-way leaves nothing behind, says why, and can be done again."""

import contextlib
import re
import socket
import sqlite3

import pytest
import stead


@contextlib.contextmanager
def taken_port():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def free_port():
    with taken_port() as port:
        return port


@contextlib.contextmanager
def refusing(daemon, what, when):
    """The daemon's store takes no change of the sort."""
    path = daemon.root / "lib/stead.db"

    def execute(sql):
        with contextlib.closing(sqlite3.connect(path)) as store, store:
            store.execute(sql)

    execute(
        f"CREATE TRIGGER refuse BEFORE {what} ON record WHEN {when} BEGIN "
        "SELECT RAISE(ABORT, 'the disk is on fire'); END"
    )
    try:
        yield
    finally:
        execute("DROP TRIGGER refuse")


def make(daemon, ports=()):
    """A stopped instance that publishes ports."""
    for port in ports:
        daemon.host.ports_seen.add(port)
    spec = stead.blank_spec(ports=[f"127.0.0.1:{port}:80" for port in ports])
    return daemon.api.create("web", spec, start=False)


def check_failed(daemon, *words):
    """It is as if it had never been started, but for the reason."""
    web = daemon.api.instance("web")
    assert web["state"] == "failed" and not web["want-running"], web
    for word in words:
        assert word in web["error"], web["error"]
    assert daemon.host.domains() == {"web": "shut off"}
    assert not daemon.host.qemu_pids() and not daemon.host.forwarders()
    assert not [name for name in daemon.host.files("run/instances") if "/ports/" in name]
    assert daemon.api.active_jobs() == []


def check_starts(daemon, ports=()):
    daemon.api.act("web", "start")
    assert daemon.api.instance("web")["state"] == "running"
    assert "error" not in daemon.api.instance("web")
    assert len(daemon.host.forwarders()) == len(ports)
    daemon.api.remove("web")
    assert not daemon.host.domains() and not daemon.host.forwarders()


def test_a_port_that_was_taken_since_it_was_checked(blank):
    with taken_port() as taken:
        ports = [free_port(), taken]
        make(blank, ports)
        with pytest.raises(stead.ApiError, match=str(taken)) as caught:
            blank.api.act("web", "start")
        assert caught.value.code == "conflict"
        check_failed(blank, str(taken))
    check_starts(blank, ports)


def test_a_start_that_libvirt_refuses(blank):
    ports = [free_port()]
    disk = make(blank, ports)["disks"][0]["path"]
    aside = blank.root / "aside.qcow2"
    path = blank.root / disk
    path.rename(aside)
    with pytest.raises(stead.ApiError, match=re.escape(path.name)):
        blank.api.act("web", "start")
    check_failed(blank, path.name)
    aside.rename(path)
    check_starts(blank, ports)


def test_a_start_that_cannot_be_put_on_record(blank):
    ports = [free_port()]
    make(blank, ports)
    with refusing(blank, "UPDATE", """new.json LIKE '%"state":"running"%'"""):
        with pytest.raises(stead.ApiError, match="on fire"):
            blank.api.act("web", "start")
    check_failed(blank, "on fire")
    check_starts(blank, ports)


def test_a_creation_that_cannot_be_put_on_record(blank):
    with refusing(blank, "UPDATE", """new.json LIKE '%"state":"stopped"%'"""):
        with pytest.raises(stead.ApiError, match="on fire"):
            make(blank)
    assert blank.api.instances() == [] and blank.records("instance") == {}
    assert not blank.host.domains() and not blank.host.instance_folders()
    assert not blank.host.volumes()


def test_records_that_cannot_be_erased_all_stay(blank):
    """The removal of an instance changes several records: all of them or none."""
    api = blank.api
    api.run("POST", "/v1/volumes", {"name": "data", "spec": {"size": "1M"}})
    make(blank)
    api.run("POST", "/v1/instances/web/volumes", {"volume": "data"})
    api.run("POST", "/v1/instances/web/snapshots", {"name": "s1"})
    volumes = blank.records("volume")
    with refusing(blank, "DELETE", "old.bucket = 'instance'"):
        with pytest.raises(stead.ApiError, match="on fire"):
            api.remove("web")
        assert api.instance("web")["state"] == "removing"
        assert blank.records("volume").keys() == volumes.keys()
        assert [v["attached"] for v in blank.records("volume").values()] == [api.instance("web")["id"]]
        assert api.get("/v1/volumes/data")["attached-to"] == "web"
    blank.restart()
    assert api.instances() == []
    assert "attached" not in api.get("/v1/volumes/data")
    assert blank.records("snapshot") == {}
