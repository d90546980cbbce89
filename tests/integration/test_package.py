# SPDX-License-Identifier: Apache-2.0
"""The Debian package through its whole life: built, installed, upgraded, removed, purged.

dpkg runs in a chroot whose root is the host's, seen through an overlay: what maintainer scripts do
(a group, enabled units) lands in the overlay and never on the host. /run is empty in it, so no
systemd is found and nothing is started. Each command has a mount namespace of its own, and with it
the mounts go.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ["dpkg-buildpackage", "dh", "dpkg-deb", "unshare"]
IN_OVERLAY = """
set -e
cd "$1"; shift
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
mount -t proc proc root/proc
mount --bind /dev root/dev
mount -t tmpfs tmpfs root/run
exec chroot root "$@"
"""
FILES = [
    "lib/systemd/system/stead.service", "lib/systemd/system/stead.socket", "usr/bin/stead",
    "usr/lib/sysusers.d/stead.conf", "usr/libexec/stead/stead-kvm-probe", "usr/libexec/stead/stead-log",
    "usr/libexec/stead/stead-vmm", "usr/sbin/stead-daemon",
    "usr/share/bash-completion/completions/stead", "usr/share/doc/stead/copyright",
    "usr/share/fish/vendor_completions.d/stead.fish", "usr/share/man/man1/stead.1.gz",
    "usr/share/man/man5/stead.yaml.5.gz", "usr/share/man/man8/stead-daemon.8.gz",
    "usr/share/stead/stead.schema.json", "usr/share/zsh/site-functions/_stead",
]


def run(*argv, **options):
    return subprocess.run([str(word) for word in argv], text=True, capture_output=True, **options)


@pytest.fixture(scope="module")
def scratch():
    """Not pytest's own folder: that may lie in a tmpfs, which is no place for a build."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="stead-package.") as folder:
        yield pathlib.Path(folder)


@pytest.fixture(scope="module")
def package(scratch):
    lacking = [tool for tool in TOOLS if not shutil.which(tool)]
    if lacking:
        pytest.skip(f"{', '.join(lacking)} not installed; scripts/setup deb does that")
    # Without debug symbols, which take a third of the time.
    done = run(ROOT / "scripts/deb", scratch / "deb", env=dict(os.environ, DEB_BUILD_OPTIONS="nodbgsym"))
    assert done.returncode == 0, done.stdout + done.stderr
    return next((scratch / "deb").glob("stead_*.deb"))


class Host:
    """The host as it would be."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("upper", "work", "root"):
            (folder / name).mkdir()

    def run(self, *argv):
        return run("unshare", "--mount", "--propagation", "private", "sh", "-c", IN_OVERLAY, "sh",
                   self.folder, *argv)

    def must(self, *argv):
        done = self.run(*argv)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def has(self, path):
        return self.run("test", "-e", path).returncode == 0

    def written(self):
        """What stands in the overlay alone; a character device there means: gone."""
        paths = (self.folder / "upper").rglob("*")
        return [path for path in paths if not path.is_char_device() and path.name != "stead.deb"]

    def install(self, package):
        (self.folder / "upper/var/tmp").mkdir(parents=True, exist_ok=True)
        (self.folder / "upper/var/tmp").chmod(0o1777)
        shutil.copy(package, self.folder / "upper/var/tmp/stead.deb")
        # What it depends on may lack here: dpkg is to run its scripts, nobody is to start it.
        self.must("dpkg", "--force-depends", "--install", "/var/tmp/stead.deb")


@pytest.fixture
def host(package, scratch):
    if os.geteuid() != 0:
        pytest.skip("needs root, for an overlay")
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        made = Host(pathlib.Path(folder))
        done = made.run("true")
        if done.returncode != 0:
            pytest.skip(f"no overlay of / here: {done.stderr.strip()}")
        if made.has("/var/lib/dpkg/info/stead.list"):
            pytest.skip("stead's package is installed on this host")
        made.run("rm", "-rf", "/var/lib/stead")
        made.run("groupdel", "stead")
        yield made


def test_all_is_in_the_package_and_belongs_to_root(package):
    listing = run("dpkg-deb", "--contents", package).stdout.splitlines()
    paths = [line.split()[5].removeprefix("./") for line in listing]
    assert not set(FILES) - set(paths)
    assert not [path for path in paths if "/local/" in path]
    assert {line.split()[1] for line in listing} == {"root/root"}


def test_the_package_has_the_version_of_the_program(package):
    version = re.search(r"^ *version: '(.*)',", (ROOT / "meson.build").read_text(), re.M)[1]
    assert run("dpkg-deb", "--field", package, "Version").stdout.strip() == version


def test_installing_makes_the_group_and_enables_the_units(host, package):
    host.install(package)
    assert host.must("getent", "group", "stead")
    assert host.has("/etc/systemd/system/sockets.target.wants/stead.socket")
    assert host.has("/etc/systemd/system/multi-user.target.wants/stead.service")
    socket = host.must("cat", "/lib/systemd/system/stead.socket")
    assert "SocketMode=0660" in socket and "SocketGroup=stead" in socket
    if shutil.which("systemd-analyze"):
        host.must("systemd-analyze", "verify", "/lib/systemd/system/stead.socket",
                  "/lib/systemd/system/stead.service")


def test_an_upgrade_keeps_group_and_state(host, package):
    host.install(package)
    group = host.must("getent", "group", "stead")
    host.must("mkdir", "-p", "/var/lib/stead/images")
    host.install(package)
    assert host.must("getent", "group", "stead") == group
    assert host.has("/var/lib/stead/images")


def test_removing_keeps_state_and_purging_takes_it(host, package):
    host.install(package)
    host.must("mkdir", "-p", "/var/lib/stead/images", "/var/lib/stead/instances", "/var/lib/stead/volumes")
    host.must("dpkg", "--remove", "stead")
    assert not host.has("/usr/bin/stead")
    assert host.has("/var/lib/stead/images")
    host.must("dpkg", "--purge", "stead")
    left = [path for path in host.written() if "stead" in path.name]
    assert left == []


def test_purging_keeps_disks_of_instances(host, package):
    host.install(package)
    host.must("mkdir", "-p", "/var/lib/stead/volumes")
    host.must("touch", "/var/lib/stead/volumes/web.qcow2")
    done = host.run("dpkg", "--purge", "stead")
    assert done.returncode == 0
    assert "/var/lib/stead is kept" in done.stderr
    assert host.has("/var/lib/stead/volumes/web.qcow2")
