# SPDX-License-Identifier: Apache-2.0
"""The images that guests of the tests boot: built from packages by stead, kept for the next run.

A kept image carries the sum of the builder's sources in its name, so that a changed builder builds
anew. What no run used for a week is removed. STEAD_TEST_IMAGE_CACHE names another folder.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import time

import stead

CACHE = pathlib.Path(os.environ.get("STEAD_TEST_IMAGE_CACHE", "/var/tmp/stead-test-cache"))
BUILD_SECONDS = 900
KEPT_SECONDS = 7 * 24 * 3600


class Unavailable(Exception):
    """There is no image and none can be made here; the message says why."""


def kept(name):
    """Where the image is kept, or will be."""
    builder = hashlib.sha256()
    for source in sorted((stead.REPO / "src/image").glob("build*.[ch]")):
        builder.update(source.read_bytes())
    return CACHE / f"{name.replace(':', '-')}-{builder.hexdigest()[:12]}.qcow2"


def path(name, daemon=None):
    """The image's disk file. Where there is none it is built, by a daemon of its own unless one is
    given."""
    file = kept(name)
    with _alone():
        if not file.exists():
            with _some(daemon) as builder:
                _build(builder, name, file)
        os.utime(file)
        for other in CACHE.glob(f"*-*-{12 * '[0-9a-f]'}.qcow2"):
            if time.time() - other.stat().st_mtime > KEPT_SECONDS:
                other.unlink()
    return file


def take(daemon, name):
    """Gives the daemon the image under its name."""
    file = path(name, daemon)
    if name not in [image["name"] for image in daemon.api.get("/v1/images")]:
        _cli(daemon, "import", file, "--name", name).check_returncode()


@contextlib.contextmanager
def _alone():
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "images.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _some(daemon):
    if daemon:
        yield daemon
        return
    reason = stead.why_not()
    if reason:
        raise Unavailable(f"no image to test with: {reason}")
    own = stead.Daemon(stead.scratch_root()).start()
    try:
        yield own
    finally:
        own.cleanup()


def _cli(daemon, *args):
    return subprocess.run([stead.CLI, "image", *args], env=daemon.env, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=BUILD_SECONDS)


def _build(daemon, name, file):
    built = _cli(daemon, "build", name)
    if built.returncode != 0:
        raise Unavailable(f"no image to test with: {built.stderr.strip()}")
    (record,) = [image for image in daemon.api.get("/v1/images") if image["name"] == name]
    partial = file.with_suffix(f".{os.getpid()}")
    digest = record["digest"].removeprefix("sha256:")
    shutil.copyfile(daemon.root / "lib/images/sha256" / f"{digest}.qcow2", partial)
    partial.rename(file)
    _cli(daemon, "rm", name).check_returncode()
