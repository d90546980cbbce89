# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the daemon: HTTP over a Unix socket, with answers that tests put in.

    with FakeDaemon(folder) as daemon:
        daemon.answer("GET", "/v1/instances", [])
        run([STEAD, "ls"], env=daemon.environment())

Events are sent to whoever follows /v1/events; jobs and instances are plain dictionaries that the
tests change. Nothing here knows what the real daemon would do.
"""
import http.server
import json
import os
import queue
import socket
import socketserver
import threading
import time
import urllib.parse


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def process_request(self, request, client_address):
        self.fake.connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, request, client_address):
        pass  # clients go away as they like


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass

    def reply(self, status, body, content_type="application/json"):
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin_stream(self, content_type):
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def follow_events(self, fake):
        followed = queue.Queue()
        fake.followers.append(followed)
        self.begin_stream("text/event-stream")
        fake.followed.set()
        while True:
            event = followed.get()
            if event is None:
                return
            text = "id: %d\nevent: %s\ndata: %s\n\n" % (event["seq"], event["type"], json.dumps(event))
            self.chunk(text.encode())

    def follow_log(self, pieces):
        self.begin_stream("text/plain")
        while True:
            piece = pieces.get()
            if piece is None:
                self.chunk(b"")
                return
            self.chunk(piece)

    def handle_any(self):
        fake = self.server.fake
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        fake.requests.append((self.command, path, url.query, body))
        if path == "/v1/events" and "follow=1" in url.query:
            return self.follow_events(fake)
        if path in fake.logs and "follow=1" in url.query:
            return self.follow_log(fake.logs[path])
        answer = fake.answers.get((self.command, path))
        if answer is None:
            return self.reply(404, {"code": "not-found", "message": "there is no %s" % path})
        status, value = answer(body) if callable(answer) else answer
        if isinstance(value, bytes):
            return self.reply(status, value, "text/plain")
        return self.reply(status, value)

    do_GET = do_POST = do_DELETE = handle_any


class FakeDaemon:
    def __init__(self, folder):
        self.root = str(folder)
        os.makedirs(os.path.join(self.root, "run"), exist_ok=True)
        self.socket = os.path.join(self.root, "run", "stead.sock")
        self.answers, self.logs, self.requests, self.followers = {}, {}, [], []
        self.connections = []
        self.followed = threading.Event()
        self.seq = 0
        self.instances = []
        self.jobs = {}
        self.answers[("GET", "/v1/instances")] = lambda _: (200, self.instances)

    def __enter__(self):
        self.server = Server(self.socket, Handler)
        self.server.fake = self
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        for followed in self.followers:
            followed.put(None)
        for pieces in self.logs.values():
            pieces.put(None)
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has ended already
        os.unlink(self.socket)

    def environment(self, **more):
        kept = {name: value for name, value in os.environ.items()
                if name not in ("NO_COLOR", "STEAD_DAEMON")}
        return {**kept, "STEAD_ROOT": self.root, "LC_ALL": "C.UTF-8", "TERM": "xterm", **more}

    def answer(self, method, path, value, status=200):
        self.answers[(method, path)] = value if callable(value) else (status, value)

    def fail(self, method, path, status, code, message, hint=None):
        error = {"code": code, "message": message}
        if hint:
            error["hint"] = hint
        self.answers[(method, path)] = (status, error)

    def log(self, name):
        """The queue of pieces that a follower of the instance's log gets; None ends it."""
        return self.logs.setdefault("/v1/instances/%s/logs" % name, queue.Queue())

    def instance(self, name, **more):
        item = {"id": "0" * 8 + "-" + name, "name": name, "kind": "vm", "state": "running", "ready": True,
                "image": "debian:12", "cpus": 2, "memory": 1 << 30, "addresses": ["10.77.0.10"],
                "created": 1700000000000000, "started": 1700000000000000, **more}
        self.instances.append(item)
        self.answer("GET", "/v1/instances/%s" % name, item)
        return item

    def job(self, method, path, job_type, subject):
        """Makes a request begin a job; the job's dictionary is returned, to be changed."""
        job = {"id": str(len(self.jobs) + 7), "type": job_type, "subject": subject, "state": "running",
               "progress": -1, "created": 1700000000000000}
        self.jobs[job["id"]] = job
        self.answer("GET", "/v1/jobs/%s" % job["id"], job)
        self.answer(method, path, job, 202)
        return job

    def emit(self, event_type, subject, /, **data):
        self.seq += 1
        event = {"seq": self.seq, "time": int(time.time() * 1e6), "type": event_type,
                 "subject": subject, "data": data}
        for followed in self.followers:
            followed.put(event)

    def finish(self, job, state="done", error=None, result=None):
        job["state"] = state
        if error:
            job["error"] = error
        if result:
            job["result"] = result
        self.emit("job.finished", job["subject"], **{k: v for k, v in job.items() if k != "result"})

    def requested(self, method, path):
        """The bodies of such requests so far."""
        return [body for (m, p, _, body) in self.requests if (m, p) == (method, path)]
