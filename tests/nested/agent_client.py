# SPDX-License-Identifier: Apache-2.0
"""The host's end of src/guest/protocol.h, as plain as can be: for tests, and written from the
document alone, so that they would notice if both ends in C were wrong in the same way."""

import collections
import os
import socket
import struct

(HELLO, PING, RENEW, CLOCK, MEMORY, NETWORK, SHUTDOWN) = range(1, 8)
EXEC, STDIN, STDIN_EOF, RESIZE, SIGNAL, PUT, GET, SYNC, CLOSE = range(0x10, 0x19)
DATA, CREDIT = 0x20, 0x21
HELLO_REPLY, PONG, RENEWED, OK, FAILED, MEMORY_REPLY, NETWORK_REPLY = range(0x81, 0x88)
STARTED, STDOUT, STDERR, EXIT, FILE, DONE = range(0x90, 0x96)
PTY, MERGE_STDERR, NO_STDIN = 1, 2, 4
POWEROFF, REBOOT, HALT = range(3)
CLOCK_STEP, ENTROPY, HOST_NAME, MACHINE_ID, NIC, DNS, FILE_STEP, REMOVE = range(1, 9)

End = collections.namedtuple("End", "code signal out err")


class Failed(Exception):
    def __init__(self, error, text):
        super().__init__(f"{os.strerror(error)} ({text})")
        self.error = error


def encode(data):
    out = bytearray()
    for piece in data.split(b"\0"):
        while len(piece) >= 254:
            out += b"\xff" + piece[:254]
            piece = piece[254:]
        out += bytes([len(piece) + 1]) + piece
    return bytes(out) + b"\0"


def decode(data):
    out, at = bytearray(), 0
    while at < len(data):
        code = data[at]
        block = data[at + 1:at + code]
        if len(block) != code - 1:
            return None
        out += block
        at += code
        if code != 255 and at < len(data):
            out += b"\0"
    return bytes(out)


def text(words):
    data = words.encode()
    return struct.pack("<I", len(data)) + data + b"\0"


def blob(data):
    return struct.pack("<I", len(data)) + data


def mac(words):
    return bytes(int(part, 16) for part in words.split(":"))


def address(words):
    return socket.inet_aton(words)


def renewal(realtime=0, entropy=b"", host_name="", machine_id="", nics=(), servers=(), domain="",
            files=(), removed=()):
    """nics: (match, mac, prefix, address, gateway); files: (path, mode, content)."""
    out = struct.pack("<Q", realtime) + blob(entropy) + text(host_name) + text(machine_id)
    out += struct.pack("<I", len(nics))
    for match, new, prefix, own, gateway in nics:
        out += mac(match) + mac(new) + bytes([prefix]) + address(own) + address(gateway)
    out += struct.pack("<I", len(servers)) + b"".join(map(address, servers)) + text(domain)
    out += struct.pack("<I", len(files))
    for path, mode, content in files:
        out += text(path) + struct.pack("<I", mode) + blob(content)
    return out + struct.pack("<I", len(removed)) + b"".join(map(text, removed))


class Agent:
    """A connection that was greeted; sockets that nothing comes from within the patience raise."""

    def __init__(self, path, patience=60):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(patience)
        self._socket.connect(str(path))
        self._bytes = b""
        self.greet()

    def close(self):
        self._socket.close()

    def greet(self):
        nonce = os.urandom(8)
        self._socket.sendall(b"\0")
        self.send(HELLO, 0, struct.pack("<I", 1) + nonce)
        while True:
            frame = self.next()
            if frame and frame[0] == HELLO_REPLY and frame[2][4:12] == nonce:
                self.version, self.flags = (struct.unpack("<I", frame[2][:4])[0],
                                            struct.unpack("<I", frame[2][12:16])[0])
                return

    def send(self, kind, channel, payload=b""):
        self._socket.sendall(encode(struct.pack("<HH", kind, channel) + payload))

    def next(self):
        """(type, channel, payload), or None for what is no frame."""
        while b"\0" not in self._bytes:
            more = self._socket.recv(65536)
            if not more:
                raise EOFError
            self._bytes += more
        frame, self._bytes = self._bytes.split(b"\0", 1)
        if not frame:
            return self.next()
        data = decode(frame)
        return (*struct.unpack("<HH", data[:4]), data[4:]) if data and len(data) >= 4 else None

    def expect(self, *kinds):
        kind, _, payload = self.next()
        if kind == FAILED:
            raise Failed(struct.unpack("<i", payload[:4])[0], payload[8:-1].decode())
        assert kind in kinds, hex(kind)
        return payload

    def ask(self, kind, answer, payload=b""):
        self.send(kind, 1000, payload)
        return self.expect(answer)

    def start(self, argv, flags=NO_STDIN, env=(), cwd="/", user="", size=(0, 0), channel=1):
        payload = struct.pack("<IHH", flags, *size) + text(user) + text(cwd)
        payload += struct.pack("<I", len(argv)) + b"".join(map(text, argv))
        self.send(EXEC, channel, payload + struct.pack("<I", len(env)) + b"".join(map(text, env)))

    def finish(self, channel=1):
        out, err = b"", b""
        while True:
            kind, _, payload = self.next()
            if kind == FAILED:
                raise Failed(struct.unpack("<i", payload[:4])[0], payload[8:-1].decode())
            if kind == EXIT:
                return End(*struct.unpack("<II", payload), out.decode(), err.decode())
            if kind in (STDOUT, STDERR):
                out, err = (out + payload, err) if kind == STDOUT else (out, err + payload)
                self.send(CREDIT, channel, struct.pack("<I", len(payload)))

    def run(self, *argv, **options):
        self.start(argv, **options)
        return self.finish(options.get("channel", 1))

    def put(self, path, content, mode=0o644, channel=1):
        self.send(PUT, channel, text(path) + struct.pack("<IIIQ", mode, 0, 0, len(content)))
        self.expect(STARTED)
        credit = 65536
        while content:
            piece = content[:min(16384, credit)]
            if piece:
                self.send(DATA, channel, piece)
                content, credit = content[len(piece):], credit - len(piece)
            else:
                credit += struct.unpack("<I", self.expect(CREDIT))[0]
        while self.next()[0] != DONE:
            pass

    def get(self, path, channel=1):
        self.send(GET, channel, text(path))
        self.expect(FILE)
        content = b""
        while True:
            kind, _, payload = self.next()
            if kind == DONE:
                return content
            assert kind == DATA
            content += payload
            self.send(CREDIT, channel, struct.pack("<I", len(payload)))

    def renew(self, **wanted):
        """[(step, index, errno)]"""
        answer = self.ask(RENEW, RENEWED, renewal(**wanted))
        return [struct.unpack("<BBI", answer[4 + 6 * i:10 + 6 * i])
                for i in range(struct.unpack("<I", answer[:4])[0])]
