# SPDX-License-Identifier: Apache-2.0
"""A real guest is paused, stopped, started, given disks and changed."""

import os
import signal
import socket
import time

import pytest

import guest as guests
import stead


def test_pause_and_resume(fresh):
    fresh.shell("systemd-run --quiet sh -c 'while :; do n=$((n+1)); echo $n > /dev/shm/c; sleep 0.1; done'")
    fresh.stead("pause", "web")
    assert fresh.show()["state"] == "paused"
    refused = fresh.run("true")
    assert refused.returncode == 5 and "paused" in refused.stderr and "stead resume" in refused.stderr
    before = fresh.api.get("/v1/instances/web")["uptime-ms"]
    fresh.stead("resume", "web")
    assert fresh.show()["state"] == "running" and before > 0
    assert fresh.shell("echo on") == "on"
    assert fresh.stead("wait", "web", "-t", "20s").returncode == 0


def test_volume(fresh):
    fresh.stead("volume", "create", "data", "--size", "1G")
    try:
        fresh.stead("volume", "attach", "web", "data")
        fresh.shell("udevadm settle; until [ -e /dev/disk/by-id/virtio-data ]; do sleep 0.1; done")
        fresh.shell("mkfs.ext4 -q /dev/disk/by-id/virtio-data && mkdir -p /mnt/d && "
                    "mount /dev/disk/by-id/virtio-data /mnt/d && echo kept > /mnt/d/f && sync")  # fmt: skip
        busy = fresh.stead("volume", "rm", "data", check=False)
        assert busy.returncode == 6 and "web" in busy.stderr
        twice = fresh.stead("volume", "attach", "web", "data", check=False)
        assert twice.returncode in (4, 6) and "web" in twice.stderr
        fresh.stead("volume", "resize", "data", "--size", "2G")
        size = fresh.shell("blockdev --getsize64 /dev/disk/by-id/virtio-data")
        assert int(size) == 2 << 30
        smaller = fresh.stead("volume", "resize", "data", "--size", "1G", check=False)
        assert smaller.returncode == 2
        fresh.shell("umount /mnt/d")
        fresh.stead("volume", "detach", "web", "data")
        fresh.shell("until [ ! -e /dev/disk/by-id/virtio-data ]; do sleep 0.1; done")
        fresh.stead("volume", "attach", "web", "data", "--read-only")
        fresh.shell("until [ -e /dev/disk/by-id/virtio-data ]; do sleep 0.1; done")
        assert fresh.shell("mount -o ro,noload /dev/disk/by-id/virtio-data /mnt/d; cat /mnt/d/f") == "kept"
        fresh.shell("umount /mnt/d")
        assert fresh.shell("blockdev --getro /dev/disk/by-id/virtio-data") == "1"
    finally:
        fresh.stead("volume", "detach", "web", "data", check=False)
        fresh.stead("volume", "rm", "data")
    assert "data" not in fresh.stead("volume", "ls", "-q").stdout


def test_root_disk_grows_while_it_runs(fresh):
    size = int(fresh.shell("blockdev --getsize64 /dev/vda"))
    wanted = size + (2 << 30)
    smaller = fresh.stead("resize", "web", "--disk", "1G", check=False)
    assert smaller.returncode == 2, smaller
    fresh.stead("resize", "web", "--disk", str(wanted))
    assert int(fresh.shell("blockdev --getsize64 /dev/vda")) == wanted
    root = int(fresh.shell("df -B1 --output=size / | tail -1"))
    fresh.shell("growpart /dev/vda $(findmnt -no SOURCE / | grep -o '[0-9]*$') && "
                "resize2fs $(findmnt -no SOURCE /) 2>&1")  # fmt: skip
    assert int(fresh.shell("df -B1 --output=size / | tail -1")) > root + (1 << 30)


def test_ports_change_at_once_memory_at_the_restart(fresh):
    new = guests.free_port()
    try:
        fresh.write_spec(**{f":{fresh.ssh_port}:22": f":{new}:22", "max: 1G": "max: 1536M"})
        plan = fresh.stead("up", "--dry-run", fresh.spec).stdout
        assert "memory" in plan and "restart" in plan and "ports" in plan and "at once" in plan
        assert guests.connect(fresh.ssh_port).startswith(b"SSH"), "a dry run changed something"
        fresh.stead("up", fresh.spec)
        assert guests.connect(new).startswith(b"SSH")
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", fresh.ssh_port), 2).close()
        assert fresh.show()["restart-needed"] and fresh.show()["state"] == "running"
        assert "ready*" in fresh.stead("ls").stdout
        fresh.write_spec(**{"image: debian:12": "image: debian:13"})
        plan = fresh.stead("up", "--dry-run", fresh.spec).stdout
        assert "image" in plan and "new instance" in plan
        refused = fresh.stead("up", fresh.spec, check=False)
        assert refused.returncode != 0 and "stead rm" in refused.stderr
    finally:
        fresh.write_spec()
        fresh.stead("up", fresh.spec)
    assert guests.connect(fresh.ssh_port).startswith(b"SSH")


def test_published_service(fresh):
    fresh.shell("systemd-run --quiet --working-directory=/root python3 -m http.server 8080")
    deadline = time.monotonic() + 30
    while True:
        try:
            with socket.create_connection(("127.0.0.1", fresh.http_port), 5) as web:
                web.sendall(b"GET /made HTTP/1.0\r\n\r\n")
                reply = b""
                while part := web.recv(4096):
                    reply += part
            if b"made by web" in reply:
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, "the published service does not answer"
        time.sleep(0.3)


def test_stop_start_and_off_by_itself(fresh):
    fresh.stead("stop", "web", "-t", "3m", timeout=200)
    stopped = fresh.show()
    assert stopped["state"] == "stopped" and not stopped.get("ready")
    assert "web" not in fresh.daemon.host.qemu_pids()
    assert fresh.run("true").returncode == 5
    wait = fresh.stead("wait", "web", "-t", "5s", check=False)
    assert wait.returncode == 5 and "stead start web" in wait.stderr
    assert "login:" in fresh.logs("--tail", "200"), "a stopped instance keeps its log"
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", fresh.ssh_port), 2).close()
    fresh.stead("start", "web", "--no-wait")
    fresh.stead("wait", "web", "--for", "console:Linux version", "-t", "2m")
    assert "BdsDxe" in fresh.logs("--boot") and "login:" not in fresh.logs("--boot")
    fresh.restore("booted")
    assert guests.connect(fresh.ssh_port).startswith(b"SSH")
    fresh.shell("systemd-run --quiet --on-active=0.1 systemctl --no-block poweroff --force --force")
    fresh.stead("wait", "web", "--for", "stopped", "-t", "60s")
    assert fresh.show()["state"] == "stopped", "it turned itself off, which is no failure"


def test_restart_after_a_crash(fresh):
    pid = fresh.daemon.host.qemu_pids()["web"]
    os.kill(pid, signal.SIGKILL)
    again = stead.poll(
        lambda: fresh.daemon.host.qemu_pids().get("web", pid) != pid, 60, "the restart policy"
    )
    assert again
    fresh.api.wait_instance("web", state="running")
    assert fresh.show()["restarts"] == 1
    fresh.restore("booted")
    assert fresh.shell("echo ok") == "ok"
