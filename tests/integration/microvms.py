# SPDX-License-Identifier: Apache-2.0
"""What the tests of microVMs share: a daemon that has an image, and short words for its commands."""

import contextlib
import time

import pytest

import guest as guests
import images
import stead

TINY = "tiny:12"


class Site:
    def __init__(self, daemon):
        self.daemon = daemon
        self.api = daemon.api

    def cli(self, *args, check=True, **options):
        return guests.cli(self.daemon, *args, check=check, **options)

    def run(self, image, name, *more, **options):
        return self.cli("run", "--kind", "microvm", "--name", name, *more, image, **options)

    def clone(self, name, *more, template="base", **options):
        return self.cli("run", "--name", name, *more, f"template:{template}", **options)

    def sh(self, name, script):
        return self.cli("exec", name, "--", "sh", "-c", script).stdout.strip()

    def remove(self, *names):
        self.cli("rm", "--force", *names)

    def pid(self, name):
        return self.daemon.host.qemu_pids()[name]


@contextlib.contextmanager
def open_site(image=TINY):
    """A daemon of its own that has the image; skips where there cannot be one. In the end all that
    is of its root is removed, and where something failed the end of its log is shown."""
    reason = stead.why_not()
    if reason:
        pytest.skip(reason)
    daemon = stead.Daemon(stead.scratch_root()).start()
    try:
        images.take(daemon, image)
        yield Site(daemon)
    except images.Unavailable as why:
        pytest.skip(str(why))
    except BaseException:
        print(f"---- {daemon.log} ----\n{daemon.tail(80)}")
        raise
    finally:
        daemon.cleanup()


def leave_clean(site):
    """Removes all through the API, by a daemon that runs, and looks whether anything is left."""
    site.daemon.running() or site.daemon.start()
    site.api.remove_everything()
    stead.assert_clean(site.daemon)


def quick(site, *args):
    began = time.monotonic()
    done = site.cli(*args)
    assert time.monotonic() - began < 2, args
    return done.stdout
