# SPDX-License-Identifier: Apache-2.0
"""Clients of streams that do not keep to the protocol, or leave in the middle of it: each harms
itself alone."""

import base64
import contextlib
import json
import os
import socket
import struct

import pytest

import stead
from test_microvm_exec import await_gone, runs, site  # noqa: F401  (a fixture)

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
POLICY_VIOLATION = 1008
TO_GUEST, OUT = 0, 1


class Closed(Exception):
    """The daemon has closed the connection; with its code, or None."""


class WebSocket:
    """A client of RFC 6455 that does as it is told."""

    def __init__(self, daemon, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(60)
        self.socket.connect(str(daemon.socket))
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: stead\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self.bytes = b""
        while b"\r\n\r\n" not in self.bytes:
            self.receive()
        head, self.bytes = self.bytes.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 101"), head

    def receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise Closed(None)
        self.bytes += data

    def send(self, kind, payload):
        length = (bytes([0x80 | len(payload)]) if len(payload) < 126
                  else b"\xfe" + struct.pack(">H", len(payload)) if len(payload) < 65536
                  else b"\xff" + struct.pack(">Q", len(payload)))
        self.socket.sendall(bytes([0x80 | kind]) + length + bytes(4) + payload)  # masked with 0

    def say(self, **members):
        self.send(TEXT, json.dumps(members).encode())

    def take(self, n):
        while len(self.bytes) < n:
            self.receive()
        data, self.bytes = self.bytes[:n], self.bytes[n:]
        return data

    def next(self):
        """(TEXT, object) or (BINARY, bytes)."""
        while True:
            kind, length = self.take(2)
            if length == 126:
                length, = struct.unpack(">H", self.take(2))
            elif length == 127:
                length, = struct.unpack(">Q", self.take(8))
            payload = self.take(length)
            if kind & 15 == CLOSE:
                raise Closed(struct.unpack(">H", payload[:2])[0] if payload else None)
            if kind & 15 == TEXT:
                return TEXT, json.loads(payload)
            if kind & 15 == BINARY:
                return BINARY, payload

    def until(self, member):
        """The text frame with that member; and what came on stream 1 before it."""
        out = b""
        while True:
            kind, value = self.next()
            if kind == BINARY:
                out += value[1:] if value[0] == OUT else b""
            elif member in value:
                return value, out

    def closed_with(self):
        with pytest.raises(Closed) as closed:
            while True:
                self.next()
        return closed.value.args[0]

    def close(self):
        self.socket.close()


@pytest.fixture
def connect(site):  # noqa: F811
    opened = []

    def make(what="exec", name="a"):
        opened.append(WebSocket(site.daemon, f"/v1/instances/{name}/{what}"))
        return opened[-1]

    yield make
    for connection in opened:
        connection.close()


def test_a_plain_client(site, connect):  # noqa: F811
    client = connect()
    client.say(command=["sh", "-c", "cat; exit 3"], input=True)
    started, _ = client.until("started")
    assert started["window"] >= 65536
    client.send(BINARY, b"\0some ")
    client.send(BINARY, b"\0words")
    client.say(eof=True)
    ended, out = client.until("exit-code")
    assert ended == {"exit-code": 3} and out == b"some words"
    assert client.closed_with() == 1000


@pytest.mark.parametrize("what, frame, text", [
    ("exec", {}, "lacks 'command'"),
    ("exec", {"command": []}, "'command'"),
    ("exec", {"command": "ls"}, "'command'"),
    ("exec", {"command": ["ls"], "rows": 5000}, "'rows'"),
    ("exec", {"command": ["ls"], "commands": 1}, "unknown member"),
    ("exec", {"command": ["x" * 100_000]}, "beyond what the agent takes"),
    ("exec", {"command": ["ls"], "environment": ["x"] * 300}, "'environment'"),
    ("file", {}, "'get' and 'put'"),
    ("file", {"get": "/a", "put": "/b"}, "'get' and 'put'"),
    ("file", {"get": "a"}, "absolute"),
    ("file", {"get": "/" + "x" * 5000}, "beyond what the agent takes"),
    ("file", {"put": "/a", "mode": 0o4755}, "'mode'"),
    ("file", {"put": "/root", "name": "../x"}, "no name of a file"),
])
def test_requests_that_make_no_sense(connect, what, frame, text):
    client = connect(what)
    client.say(**frame)
    told, _ = client.until("error")
    assert told["error"]["code"] == "invalid" and text in told["error"]["message"]
    assert client.closed_with() == 1000


def test_no_json(connect):
    client = connect()
    client.send(TEXT, b"{" * 1000)
    assert client.until("error")[0]["error"]["code"] == "invalid"


def test_no_such_instance(connect):
    client = connect(name="nobody")
    client.say(command=["ls"])
    assert client.until("error")[0]["error"]["code"] == "not-found"


def test_a_plain_request(site):  # noqa: F811
    status, told = site.api.request("GET", "/v1/instances/a/exec")
    assert status == 400 and "WebSocket" in told["message"]


@pytest.mark.parametrize("kind, payload", [
    (BINARY, b""),
    (BINARY, b"\1to the wrong stream"),
    (TEXT, b"[]"),
    (TEXT, b'{"what": 1}'),
    (TEXT, b'{"resize": [1]}'),
    (TEXT, b'{"resize": [-1, 100000]}'),
    (TEXT, b'{"signal": 0}'),
    (TEXT, b'{"signal": "KILL"}'),
    (TEXT, b'{"taken": 10000000}'),
    (TEXT, b" " * 5000 + b'{"taken": 0}'),
])
def test_frames_that_make_no_sense(site, connect, kind, payload):  # noqa: F811
    client = connect()
    client.say(command=["sh", "-c", "sleep 1000; :", "senseless"], input=True)
    client.until("started")
    client.send(kind, payload)
    assert client.closed_with() == POLICY_VIOLATION
    await_gone(site, "senseless")


def test_a_frame_that_is_too_large(site, connect):  # noqa: F811
    client = connect()
    client.say(command=["sh", "-c", "sleep 1000; :", "oversized"], input=True)
    client.until("started")
    with contextlib.suppress(BrokenPipeError):
        client.send(BINARY, bytes(1 << 20))
    await_gone(site, "oversized")


def test_more_than_the_window(site, connect):  # noqa: F811
    """The guest takes some of it, and then no more."""
    client = connect()
    client.say(command=["sh", "-c", "sleep 1000; :", "flooded"], input=True)
    client.until("started")
    for _ in range(40):
        client.send(BINARY, bytes(65536))
    assert client.closed_with() == POLICY_VIOLATION
    await_gone(site, "flooded")


def test_output_that_is_never_acknowledged(site, connect):  # noqa: F811
    client = connect()
    client.say(command=["cat", "/dev/zero"])
    started, _ = client.until("started")
    out = 0
    while out + 32768 <= started["window"]:
        kind, value = client.next()
        out += len(value) - 1 if kind == BINARY else 0
    client.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        while True:
            kind, value = client.next()
            out += len(value) - 1 if kind == BINARY else 0
    assert out <= started["window"]
    assert site.sh("a", "echo on") == "on"
    client.close()
    await_gone(site, "cat /dev/zero")


def test_a_client_that_leaves_before_it_has_begun(site, connect):  # noqa: F811
    for _ in range(20):
        client = connect()
        client.say(command=["sh", "-c", "sleep 1000; :", "early"])
        client.close()
    await_gone(site, "early")
    assert not runs(site, "early")


def test_many_idle_ones(site, connect):  # noqa: F811
    """More than a guest has channels for: the rest is told so, and those that go make room."""
    clients = [connect() for _ in range(70)]
    for client in clients:
        client.say(command=["sh", "-c", "sleep 1000; :", "crowd"])
    told = [client.next()[1] for client in clients]
    refused = [frame["error"]["code"] for frame in told if "error" in frame]
    assert 0 < len(refused) <= 10 and set(refused) == {"exhausted"}
    for client in clients:
        client.close()
    stead.poll(lambda: site.cli("exec", "a", "--", "true", check=False).returncode == 0, 60, "room")
    await_gone(site, "crowd")
