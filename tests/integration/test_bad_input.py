# SPDX-License-Identifier: Apache-2.0
"""What is wrong is refused: with its class, with words that name what and where, and a way to mend
it; nothing half-made stays, and the daemon goes on."""

import concurrent.futures
import contextlib
import os
import socket
import subprocess
import time

import pytest

import stead
from stead import ApiError, blank_spec
from web import catalogue, sha256, web_server

STATUS = {"invalid": 400, "not-found": 404, "conflict": 409, "state": 409, "busy": 409}
EXIT = {
    "invalid": 2,
    "not-found": 3,
    "conflict": 4,
    "state": 5,
    "busy": 6,
    "exhausted": 7,
    "verification": 8,
    "unavailable": 10,
    "missing": 11,
}
RESIDENT_MAX = 64 << 20  # after all of it
CONNECTIONS = 200
LONG = "x" * 5000

HOSTILE_NAMES = ["../x", "..", ".", "/", "a/b", "", " ", "-x", "a\nb", "a\0b", "ünï", "😀", LONG, "A" * 64]


@pytest.fixture(scope="module")
def shared(request):
    """One daemon for all that leaves nothing behind; with an image, and an instance and a network
    that are in the way."""
    reason = stead.why_not()
    if reason:
        pytest.skip(reason)
    daemon = stead.Daemon(stead.scratch_root())
    try:
        daemon.start()
        stead.import_blank(daemon)
        daemon.api.create("taken", blank_spec(), start=False)
        yield daemon
    finally:
        print(daemon.tail())
        daemon.cleanup()


@pytest.fixture
def daemon_unchanged(shared):
    """Whatever is asked, the same things are there afterwards, and the daemon is the same."""
    before = inventory(shared)
    yield shared
    assert shared.running()
    shared.api.settle()
    after = inventory(shared)
    assert after == before
    assert shared.resident() < RESIDENT_MAX


def inventory(daemon):
    api, host = daemon.api, daemon.host
    names = {
        kind: sorted(item["name"] for item in api.get(f"/v1/{kind}"))
        for kind in ("instances", "networks", "volumes", "images")
    }
    return names, host.domains(), host.networks(), host.volumes(), host.instance_folders()


def run_job(api, method, path, body):
    status, value = api.request(method, path, body)
    if status != 202:
        raise ApiError(status, value)
    return api.wait(value)


# ---- requests that are refused, at once or by their job: code, words of the message ----


def instance(name="new", **spec):
    return ("POST", "/v1/instances", {"name": name, "spec": blank_spec(**spec)})


REFUSED = {
    "unknown image": (instance(image="nonesuch:1"), "not-found", "nonesuch"),
    "no image": (instance(image=None), "invalid", "image"),
    "unknown field": (instance(imagee="x"), "invalid", "did you mean 'image'"),
    "wrong type": (instance(cpus="many"), "invalid", "cpus"),
    "too many cpus": (instance(cpus=10**6), "invalid", "cpus"),
    "huge number": (instance(cpus=10**30), "invalid", "cpus"),
    "negative": (instance(cpus=-1), "invalid", "cpus"),
    "too much memory": (instance(memory={"max": "9999999T"}), "invalid", "memory"),
    "too small a disk": (instance(disk="512"), "invalid", "disk"),
    "unknown network": (instance(networks=[{"network": "no"}]), "not-found", "no"),
    "unknown volume": (instance(disks=[{"volume": "no"}]), "not-found", "no"),
    "unknown pool": (instance(pool="no"), "not-found", "no"),
    "address outside": (
        instance(networks=[{"network": "default", "address": "192.0.2.1"}]),
        "invalid",
        "192.0.2.1",
    ),
    "file of the host": (instance(**{"user-data-file": "/etc/shadow"}), "invalid", "client"),
    "taken name": (instance("taken"), "conflict", "taken"),
    "two kinds of nonsense": (instance(cpus="x", memory="y"), "invalid", "memory"),
    "collapsing subnet": (
        ("POST", "/v1/networks", {"name": "n", "spec": {"subnet": "10.0.0.0/33"}}),
        "invalid",
        "subnet",
    ),
    "loopback's subnet": (
        ("POST", "/v1/networks", {"name": "n", "spec": {"subnet": "127.0.0.0/8"}}),
        "invalid",
        "127.0.0.0",
    ),
    "absent bridge": (
        ("POST", "/v1/networks", {"name": "n", "spec": {"mode": "bridge", "bridge": "nobr0"}}),
        "not-found",
        "nobr0",
    ),
    "volume without size": (("POST", "/v1/volumes", {"name": "v", "spec": {}}), "invalid", "size"),
    "endless volume": (
        ("POST", "/v1/volumes", {"name": "v", "spec": {"size": "99999999T"}}),
        "invalid",
        "size",
    ),
    "snapshot of nobody": (
        ("POST", "/v1/instances/nobody/snapshots", {"name": "s"}),
        "not-found",
        "nobody",
    ),
    "memory of a stopped one": (
        ("POST", "/v1/instances/taken/snapshots", {"name": "s", "memory": True}),
        "state",
        "not running",
    ),
    "absent snapshot": (
        ("POST", "/v1/instances/taken/snapshots/no/restore", {}),
        "not-found",
        "no",
    ),
    "pausing a stopped one": (("POST", "/v1/instances/taken/pause", {}), "state", "stopped"),
    "import of nothing": (
        ("POST", "/v1/images/import", {"path": "/nonexistent", "name": "x:1"}),
        "not-found",
        "/nonexistent",
    ),
    "import of a folder": (
        ("POST", "/v1/images/import", {"path": "/etc", "name": "x:1"}),
        "invalid",
        "/etc",
    ),
    "import of a relative path": (
        ("POST", "/v1/images/import", {"path": "../../etc/shadow", "name": "x:1"}),
        "invalid",
        "absolute",
    ),
    "used image": (("DELETE", "/v1/images/blank:1", None), "busy", "taken"),
    "used network": (("DELETE", "/v1/networks/default", None), "busy", "taken"),
    "unknown member": (("POST", "/v1/volumes", {"nane": "v"}), "invalid", "nane"),
    "absent member": (("POST", "/v1/volumes", {}), "invalid", "name"),
    "body of another type": (("POST", "/v1/volumes", [1, 2]), "invalid", "object"),
    "unknown path": (("GET", "/v1/nonesuch", None), "not-found", "nonesuch"),
    "unknown job": (("GET", "/v1/jobs/zzz", None), "not-found", "zzz"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(daemon_unchanged, case):
    request, codes, words = REFUSED[case]
    codes = (codes,) if isinstance(codes, str) else codes
    with pytest.raises(ApiError) as caught:
        run_job(daemon_unchanged.api, *request)
    error = caught.value
    assert error.code in codes, error
    assert words in error.message + (error.hint or ""), error
    assert error.status in (0, STATUS[error.code])


def test_wrong_method(daemon_unchanged):
    status, error = daemon_unchanged.api.request("DELETE", "/v1/pools")
    assert status == 405 and error["code"] == "invalid"
    assert "DELETE" in error["message"] and "GET" in error["hint"]


@pytest.mark.parametrize("kind", ["instances", "networks", "volumes", "images"])
@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=lambda n: repr(n[:12]))
def test_hostile_names(daemon_unchanged, kind, name):
    api = daemon_unchanged.api
    bodies = {
        "instances": {"name": name, "spec": blank_spec()},
        "networks": {"name": name, "spec": {}},
        "volumes": {"name": name, "spec": {"size": "1M"}},
        "images": {"name": name, "path": "/etc/hostname"},
    }
    path = "/v1/images/import" if kind == "images" else f"/v1/{kind}"
    with pytest.raises(ApiError) as caught:
        run_job(api, "POST", path, bodies[kind])
    assert caught.value.code == "invalid", caught.value
    assert len(caught.value.message) < 2000
    with contextlib.suppress(ValueError):  # http.client itself refuses some
        status, _ = api.request("GET", f"/v1/{kind}/" + stead.urllib.parse.quote(name, safe=""))
        assert status in (200, 400, 404) and (status != 200 or name in ("", "."))


# ---- bytes that are no request ----


def raw(path, data, half_close=False, seconds=3):
    """What is answered to these bytes."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(seconds)
        client.connect(str(path))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(data)
            if half_close:
                client.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionResetError, TimeoutError):
            while part := client.recv(65536):
                answer += part
                if b"\r\n\r\n" in answer:
                    break
        return answer


def post(body, path="/v1/volumes", headers=""):
    body = body if isinstance(body, bytes) else body.encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def nested(depth):
    return '{"name":"v","spec":' + "[" * depth + "]" * depth + "}"


BYTES = {
    "no JSON": (post("{"), b" 400 "),
    "bare word": (post("nonsense"), b" 400 "),
    "not UTF-8": (post(b'{"name":"\xff\xfe"}'), b" 400 "),
    "NUL": (post(b'{"name":"a\0b"}'), b" 400 "),
    "deep": (post(nested(100000)), b" 400 "),
    "deeper than the stack": (post(nested(900000)), b" 400 "),
    "number without end": (post('{"name":"v","spec":{"size":' + "9" * 100000 + "}}"), b" 400 "),
    "too large": (post(b"x" * (5 << 20)), b" 413 "),
    "claims to be too large": (
        b"POST /v1/volumes HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
        b" 413 ",
    ),
    "negative length": (
        b"POST /v1/volumes HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        None,
    ),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n", None),
    "long line": (b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", None),
    "long header": (
        b"GET /v1 HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 500000 + b"\r\n\r\n",
        None,
    ),
    "dots": (b"GET /v1/images/../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", b" 404 "),
    "encoded dots": (b"GET /v1/instances/%2e%2e%2fx HTTP/1.1\r\nHost: x\r\n\r\n", b" 40"),
    "bad escape": (b"GET /v1/instances/%zz%00 HTTP/1.1\r\nHost: x\r\n\r\n", None),
}


@pytest.mark.parametrize("case", BYTES)
@pytest.mark.parametrize("half_close", [False, True], ids=["open", "half-closed"])
def test_bytes(daemon_unchanged, case, half_close):
    data, wanted = BYTES[case]
    answer = raw(daemon_unchanged.socket, data, half_close)
    if wanted and answer:
        assert wanted in answer.split(b"\r\n", 1)[0] + b" ", answer[:200]
    assert b"200 OK" not in answer.split(b"\r\n", 1)[0]
    assert daemon_unchanged.api.get("/v1")


def test_many_and_slow_clients(daemon_unchanged):
    """Those who say nothing, or little, keep nobody from being served."""
    daemon = daemon_unchanged
    with contextlib.ExitStack() as stack:
        for i in range(CONNECTIONS):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(10)
            client.connect(str(daemon.socket))
            client.sendall((b"", b"GET /v1", post("x" * 10)[:-5], b"POST")[i % 4])
        begun = time.monotonic()
        assert daemon.api.get("/v1")
        assert time.monotonic() - begun < 5
    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        answers = list(pool.map(lambda _: daemon.api.request("GET", "/v1/instances")[0],
                                range(CONNECTIONS)))
    assert set(answers) <= {200, 503}
    assert answers.count(200) > CONNECTIONS // 2


# ---- through the CLI: exit code, words ----

CLI_REFUSED = {
    "unknown command": (["nonesuch"], "invalid", "nonesuch"),
    "unknown option": (["ls", "--nonesuch"], "invalid", "nonesuch"),
    "unknown instance": (["show", "takne"], "not-found", "taken"),
    "taken name": (["run", "--kind", "vm", "--name", "taken", "blank:1"], "conflict", "taken"),
    "absent spec": (["up", "/nonexistent.yaml"], "not-found", "/nonexistent.yaml"),
    "running it twice": (["snapshot", "restore", "taken", "no"], "not-found", "no"),
    "unknown image": (["run", "--kind", "vm", "--name", "new", "debain:12"], "not-found", "debain:12"),
    "exec in a stopped one": (["exec", "taken", "--", "true"], "state", "taken"),
}


@pytest.mark.parametrize("case", CLI_REFUSED)
def test_cli(daemon_unchanged, case):
    arguments, code, words = CLI_REFUSED[case]
    done = daemon_unchanged.stead(*arguments, check=False)
    assert done.returncode == EXIT[code], done
    assert words in done.stderr, done


def test_a_wrong_spec_is_told_whole(daemon_unchanged, tmp_path):
    spec = tmp_path / "bad.yaml"
    spec.write_text("name: lab\ninstances:\n  web:\n    imgae: x\n    cpus: lots\n")
    done = daemon_unchanged.stead("up", spec, check=False)
    assert done.returncode == EXIT["invalid"]
    assert "bad.yaml:4:" in done.stderr and "bad.yaml:5:" in done.stderr, done.stderr
    assert "image" in done.stderr


# ---- faults of the host ----


def test_a_taken_port(daemon_unchanged):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(ApiError) as caught:
            daemon_unchanged.api.create("new", blank_spec(ports=[f"127.0.0.1:{port}:80"]))
    assert caught.value.code == "conflict" and str(port) in caught.value.message, caught.value


def test_an_unreadable_image(daemon_unchanged, tmp_path):
    broken = tmp_path / "broken.qcow2"
    broken.write_bytes(b"QFI\xfb" + b"\xff" * 4096)
    with pytest.raises(ApiError) as caught:
        run_job(daemon_unchanged.api, "POST", "/v1/images/import",
                {"path": str(broken), "name": "broken:1"})
    assert caught.value.code in ("invalid", "unsupported"), caught.value
    assert "broken.qcow2" in caught.value.message


def test_a_qcow2_that_names_other_files(daemon_unchanged, tmp_path):
    trap = tmp_path / "trap.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/etc/shadow", "-F", "raw", trap, "1M"],
        check=True,
    )
    with pytest.raises(ApiError) as caught:
        run_job(daemon_unchanged.api, "POST", "/v1/images/import",
                {"path": str(trap), "name": "trap:1"})
    assert caught.value.code in ("invalid", "denied", "unsupported"), caught.value


def test_checksums_and_addresses(make_daemon, tmp_path):
    image = tmp_path / "good.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
    digest = sha256(image)
    with web_server(tmp_path) as address:
        told = tmp_path / "catalogue.yaml"
        told.write_text(catalogue({
            "good:1": (f"{address}/good.qcow2", digest),
            "bad:1": (f"{address}/good.qcow2", "0" * 64),
            "gone:1": (f"{address}/gone.qcow2", digest),
            "dead:1": ("http://127.0.0.1:1/x.qcow2", digest),
        }))
        env = {"STEAD_CATALOGUE": str(told), "no_proxy": "127.0.0.1", "http_proxy": "",
               "HTTP_PROXY": ""}
        daemon = make_daemon(env=env)
        for name, codes in (("bad:1", {"verification"}), ("gone:1", {"not-found", "unavailable"}),
                            ("dead:1", {"unavailable"})):
            for request in (("/v1/images/pull", {"name": name}),
                            ("/v1/instances", {"name": "new", "spec": blank_spec(image=name)})):
                with pytest.raises(ApiError) as caught:
                    run_job(daemon.api, "POST", *request)
                assert caught.value.code in codes, caught.value
                assert daemon.api.get("/v1/images") == [] and daemon.api.instances() == []
        assert daemon.stead("image", "pull", "bad:1", check=False).returncode == EXIT["verification"]
        daemon.api.run("POST", "/v1/images/pull", {"name": "good:1"})
        daemon.api.remove_everything()
        stead.assert_clean(daemon)


def test_a_full_disk(make_daemon):
    """The root's disk is a small tmpfs, and full."""
    daemon = make_daemon(start=False)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=320m,mode=711", "tmpfs", daemon.root],
                   check=True)
    daemon.start()
    stead.import_blank(daemon)
    filler = daemon.root / "filler"
    with contextlib.suppress(OSError), open(filler, "wb") as file:
        while True:
            file.write(b"\0" * 4096)
            file.flush()
    for request in (("/v1/instances", {"name": "new", "spec": blank_spec()}),
                    ("/v1/volumes", {"name": "v", "spec": {"size": "1M"}})):
        with pytest.raises(ApiError) as caught:
            run_job(daemon.api, "POST", *request)
        assert caught.value.code == "exhausted", caught.value
    assert daemon.running() and daemon.api.get("/v1")
    filler.unlink()
    daemon.api.settle()
    assert daemon.api.instances() == [] and daemon.api.get("/v1/volumes") == []
    daemon.api.create("new", blank_spec(), start=False)
    daemon.api.remove_everything()
    assert not daemon.host.volumes() and not daemon.host.instance_folders()


def test_a_missing_program(make_daemon, tmp_path):
    """qemu-img is not in PATH."""
    daemon = make_daemon(env={"PATH": str(tmp_path)})
    raw_image = tmp_path / "x.raw"
    raw_image.write_bytes(b"\0" * (1 << 20))
    with pytest.raises(ApiError) as caught:
        run_job(daemon.api, "POST", "/v1/images/import", {"path": str(raw_image), "name": "x:1"})
    assert caught.value.code == "missing", caught.value
    assert "apt install" in caught.value.hint
    assert daemon.api.get("/v1/images") == []


def test_remove_by_force_while_it_is_made(daemon):
    """Both succeed, in whatever order: it is gone."""
    stead.import_blank(daemon)
    for i in range(8):
        status, made = daemon.api.request(
            "POST", "/v1/instances", {"name": "new", "spec": blank_spec(), "start": True})
        assert status == 202
        time.sleep(0.03 * i)
        daemon.api.remove("new")
        assert daemon.api.instances() == []
    daemon.api.remove_everything()
    stead.assert_clean(daemon)
