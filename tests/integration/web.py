# SPDX-License-Identifier: Apache-2.0
"""Files over HTTP, as a publisher has them, and the catalogue that tells of them."""

import contextlib
import functools
import hashlib
import http.server
import threading


@contextlib.contextmanager
def web_server(folder):
    """Yields the address."""
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def catalogue(entries):
    """Of names, each with its address and digest."""
    return "images:\n" + "".join(
        f"  - name: {name}\n    url: {url}\n    digest: sha256:{digest}\n"
        for name, (url, digest) in entries.items())
