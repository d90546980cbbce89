# SPDX-License-Identifier: Apache-2.0
"""What the daemon answers has the members that its description names, and no others."""

import json
import subprocess

import pytest
import stead

SPEC = {"image": "tiny", "memory": "64M", "ready": {"agent": False}}


@pytest.fixture(scope="module")
def schemas():
    printer = stead.BUILD / "tests/rules/print-openapi"
    text = subprocess.run([printer], check=True, capture_output=True).stdout
    return json.loads(text)["components"]["schemas"]


def check(schemas, name, value, always=()):
    known = set(schemas[name]["properties"])
    assert set(value) <= known, f"{name} has more than is described: {set(value) - known}"
    assert set(always) <= set(value), f"{name} lacks {set(always) - set(value)}"


def import_tiny(daemon):
    """An image of a megabyte, which boots nothing."""
    disk = daemon.root / "tiny.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1M"], check=True)
    return daemon.api.run("POST", "/v1/images/import", {"path": str(disk), "name": "tiny"})


def test_answers_are_as_described(daemon, schemas):
    api = daemon.api
    check(schemas, "Host", api.get("/v1"), ("name", "version", "api", "resident"))
    report = api.get("/v1/doctor")
    check(schemas, "Report", report, ("ok", "checks"))
    for result in report["checks"]:
        check(schemas, "Check", result, ("id", "title", "status"))
    for entry in api.get("/v1/catalogue"):
        check(schemas, "CatalogueEntry", entry, ("name", "address", "local"))
    for pool in api.get("/v1/pools"):
        check(schemas, "Pool", pool, ("name", "type", "state", "default"))


def test_records_are_as_described(clean_daemon, schemas):
    api = clean_daemon.api
    check(schemas, "Job", import_tiny(clean_daemon), ("id", "type", "subject", "state", "result"))
    api.run("POST", "/v1/volumes", {"name": "data", "spec": {"size": "1M"}})
    api.run("POST", "/v1/instances", {"name": "web", "spec": SPEC, "start": False})
    api.run("POST", "/v1/instances/web/volumes", {"volume": "data"})
    api.run("POST", "/v1/instances/web/snapshots", {"name": "s1"})

    summary = api.get("/v1/instances")[0]
    check(schemas, "InstanceSummary", summary, ("id", "name", "kind", "state", "image"))
    instance = api.get("/v1/instances/web")
    check(schemas, "Instance", instance, ("id", "name", "spec", "disks", "networks", "domain"))
    image = api.get("/v1/images/tiny")
    check(schemas, "Image", image, ("name", "digest", "size", "used-by"))
    assert image["used-by"] == ["web"]
    network = api.get("/v1/networks/default")
    check(schemas, "Network", network, ("name", "bridge", "spec", "instances"))
    volume = api.get("/v1/volumes/data")
    check(schemas, "Volume", volume, ("name", "path", "spec", "attached-to"))
    snapshot = api.get("/v1/instances/web/snapshots")[0]
    check(schemas, "Snapshot", snapshot, ("name", "complete", "memory", "instance"))
    for event in api.get("/v1/events?since=0"):
        check(schemas, "Event", event, ("seq", "time", "type", "subject"))
    plan = api.post("/v1/plan", {"spec": {"name": "lab", "instances": {"db": SPEC}}})
    check(schemas, "Plan", plan, ("actions",))


def test_errors_are_as_described(daemon, schemas):
    codes = schemas["Error"]["properties"]["code"]["enum"]
    wrong = [
        ("GET", "/v1/nothing", None, 404),
        ("GET", "/v1/instances/none", None, 404),
        ("PUT", "/v1/instances", None, 405),
        ("POST", "/v1/instances", {}, 400),
        ("POST", "/v1/instances", {"name": "../x", "spec": {"image": "a"}}, 400),
        ("POST", "/v1/images/pull", {"name": "debain:12"}, 404),
        ("POST", "/v1/volumes", {"name": "v", "spec": {"size": "-1"}}, 400),
        ("POST", "/v1/up", {"spec": {"instances": {}}}, 400),
        ("DELETE", "/v1/networks/none", None, 404),
    ]
    for method, path, body, status in wrong:
        got, error = daemon.api.request(method, path, body)
        assert got == status, (method, path, error)
        check(schemas, "Error", error, ("code", "message"))
        assert error["code"] in codes


def test_an_image_out_of_reach_leads_to_the_builder(make_daemon):
    nowhere = "http://127.0.0.1:9"
    daemon = make_daemon(env={"http_proxy": nowhere, "https_proxy": nowhere})
    with pytest.raises(stead.ApiError) as caught:
        daemon.api.run("POST", "/v1/instances", {"name": "web", "spec": {"image": "debian:12"}})
    assert "stead image build debian:12" in caught.value.hint
    assert daemon.api.instances() == []


def test_a_port_promised_to_a_stopped_instance_is_taken(clean_daemon):
    api = clean_daemon.api
    import_tiny(clean_daemon)
    ports = {**SPEC, "ports": ["28080:80"]}
    api.run("POST", "/v1/instances", {"name": "one", "spec": ports, "start": False})
    with pytest.raises(stead.ApiError, match="given to 'one'"):
        api.post("/v1/instances", {"name": "two", "spec": ports, "start": False})
