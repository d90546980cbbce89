# SPDX-License-Identifier: Apache-2.0
"""Records that cannot be read are set aside: the rest is served, and what they made is left alone."""

import contextlib
import sqlite3

import pytest
import stead

BUCKETS = ("instance", "snapshot", "network", "volume", "image")


def execute(daemon, sql, *values):
    """In the store of a daemon that does not run."""
    with contextlib.closing(sqlite3.connect(daemon.root / "lib/stead.db")) as store, store:
        return store.execute(sql, values).fetchall()


def damage(daemon, *buckets):
    """Cuts off the records' last byte; what they were, to be put back."""
    marks = ",".join("?" * len(buckets))
    rows = execute(
        daemon, f"SELECT bucket, key, json FROM record WHERE bucket IN ({marks})", *buckets
    )
    for bucket, key, text in rows:
        put(daemon, bucket, key, text[:-1])
    return rows


def put(daemon, bucket, key, text):
    execute(
        daemon, "UPDATE record SET json = ? WHERE bucket = ? AND key = ?", text, bucket, key
    )


def seen(daemon):
    """What is on the host of this daemon's root."""
    host = daemon.host
    return {
        "domains": host.domains(),
        "guests": host.qemu_pids(),
        "networks": host.networks(),
        "volumes": host.volumes(),
        "folders": host.instance_folders(),
        "images": host.files("lib/images"),
    }


@pytest.fixture
def lab(make_daemon):
    """A running instance with a snapshot, a volume and a network of its own; and a stopped one."""
    daemon = make_daemon()
    api = daemon.api
    stead.import_blank(daemon)
    stead.import_blank(daemon, "blank:2", 2 << 20)
    api.run("POST", "/v1/networks", {"name": "lab", "spec": {"subnet": "10.214.7.0/24"}})
    api.run("POST", "/v1/volumes", {"name": "data", "spec": {"size": "1M"}})
    spec = stead.blank_spec(
        image="blank:2", networks=[{"network": "lab"}], disks=[{"volume": "data"}]
    )
    api.create("web", spec)
    api.run("POST", "/v1/instances/web/snapshots", {"name": "s1", "memory": False})
    api.create("other", stead.blank_spec(), start=False)
    return daemon


def test_a_damaged_instance_runs_on_and_the_rest_is_served(lab):
    api = lab.api
    before = seen(lab)
    lab.kill()
    (row,) = execute(
        lab, "SELECT key, json FROM record WHERE bucket = 'instance' AND json LIKE '%\"name\":\"web\"%'"
    )
    key, text = row
    assert '"kind":"vm"' in text
    put(lab, "instance", key, text.replace('"kind":"vm"', '"kind":"mv"'))
    lab.start()
    assert seen(lab) == before
    assert [instance["name"] for instance in api.instances()] == ["other"]
    api.act("other", "start")

    for word in ("web", key):
        with pytest.raises(stead.ApiError, match="'web' cannot be read") as caught:
            api.instance(word)
        assert caught.value.status == 409 and "stead doctor" in caught.value.hint
    with pytest.raises(stead.ApiError, match="'web' cannot be read"):
        api.create("web", stead.blank_spec())
    (check,) = [c for c in api.get("/v1/doctor")["checks"] if c["id"] == "records"]
    assert check["status"] == "fail" and key in check["mend"]
    events = [e for e in api.get("/v1/events?since=0") if e["type"] == "record.damaged"]
    assert events and events[0]["data"]["key"] == key
    assert "cannot be read" in lab.log.read_text()

    # what it may stand on stays
    with pytest.raises(stead.ApiError, match="cannot be read"):
        api.delete("/v1/networks/lab")
    with pytest.raises(stead.ApiError, match="cannot be read"):
        api.delete("/v1/volumes/data")
    api.delete("/v1/images/blank:2")
    api.remove("other")
    lab.restart()
    assert seen(lab)["images"] == before["images"]

    # mended, it is served as ever
    lab.kill()
    put(lab, "instance", key, text)
    lab.start()
    web = api.instance("web")
    assert web["state"] == "running" and lab.host.qemu_pids()["web"] == before["guests"]["web"]
    assert api.get("/v1/volumes/data")["attached-to"] == "web"
    assert [s["name"] for s in api.get("/v1/instances/web/snapshots")] == ["s1"]


@pytest.mark.parametrize("buckets", [*[(bucket,) for bucket in BUCKETS], BUCKETS])
def test_damage_of_a_sort_costs_only_that_sort(lab, buckets):
    api = lab.api
    before = seen(lab)
    lab.kill()
    rows = damage(lab, *buckets)
    assert rows
    lab.start()
    assert seen(lab) == before
    for bucket in ("instance", "network", "volume", "image"):
        assert (api.get(f"/v1/{bucket}s") == []) == (bucket in buckets)
    lab.kill()
    for row in rows:
        put(lab, *row)
    lab.start()
    assert seen(lab) == before
    assert {i["name"]: i["state"] for i in api.instances()} == {"web": "running", "other": "stopped"}
    api.remove_everything()
    stead.assert_clean(lab)


def test_a_damaged_record_that_is_given_up_leaves_nothing(lab):
    api = lab.api
    lab.kill()
    damage(lab, *BUCKETS)
    lab.start()
    lab.kill()
    execute(lab, "DELETE FROM record")
    lab.start()
    assert [c["found"] for c in api.get("/v1/doctor")["checks"] if c["id"] == "records"] == [
        "all can be read"
    ]
    stead.assert_clean(lab)
