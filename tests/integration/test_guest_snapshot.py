# SPDX-License-Identifier: Apache-2.0
"""Snapshots of a real guest: its memory and its disk come back to the very point."""

import json
import subprocess


def snapshots(guest):
    return json.loads(guest.stead("snapshot", "ls", "web", "--format", "json").stdout)


def chain(guest):
    """Files of the root disk, the youngest first."""
    (disk,) = guest.show()["disks"][:1]
    text = subprocess.run(
        ["qemu-img", "info", "-U", "--backing-chain", "--output=json", disk["path"]],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    return [image["filename"] for image in json.loads(text)]


def test_memory_and_disk_come_back(fresh):
    fresh.shell("echo first > /root/state; sync")
    fresh.shell("systemd-run --quiet --unit=counter sh -c 'while :; do n=$((n+1)); echo $n > /dev/shm/c; sleep 0.1; done'")
    boot_id = fresh.shell("cat /proc/sys/kernel/random/boot_id")
    fresh.shell("echo 1 > /dev/shm/n")
    fresh.stead("snapshot", "create", "web", "s1")
    fresh.shell("echo second > /root/state; echo 2 > /dev/shm/n; sync; rm -f /root/made")
    far = int(fresh.shell("sleep 3; cat /dev/shm/c"))
    fresh.restore("s1")
    near = int(fresh.shell("cat /dev/shm/c"))
    assert fresh.shell("cat /root/state /dev/shm/n /root/made") == "first\n1\nmade by web"
    assert fresh.shell("cat /proc/sys/kernel/random/boot_id") == boot_id, "it booted again"
    assert near < far + 30, "its memory is not that of the snapshot"
    assert int(fresh.shell("sleep 1; cat /dev/shm/c")) > near, "its processes do not run"


def test_several_to_and_fro(fresh):
    for name in ("s1", "s2", "s3"):
        fresh.shell(f"echo {name} > /root/state; echo {name} > /dev/shm/state; sync")
        fresh.stead("snapshot", "create", "web", name)
    listed = {item["name"]: item for item in snapshots(fresh)}
    assert list(listed) == ["booted", "s1", "s2", "s3"]
    assert listed["s2"]["parent"] == "s1" and listed["s2"]["memory"]
    assert all(item["size"] > 0 for item in listed.values())
    for name in ("s1", "s3", "s2"):
        fresh.restore(name)
        assert fresh.shell("cat /root/state /dev/shm/state") == f"{name}\n{name}"
    before = chain(fresh)
    fresh.stead("snapshot", "rm", "web", "s1")
    assert [item["name"] for item in snapshots(fresh)] == ["booted", "s2", "s3"]
    fresh.restore("s3")
    assert fresh.shell("cat /root/state /dev/shm/state") == "s3\ns3"
    for name in ("s2", "s3"):
        fresh.stead("snapshot", "rm", "web", name)
    assert fresh.shell("cat /root/state; fsfreeze -f /boot 2>/dev/null; echo ok").startswith("s3")
    assert len(chain(fresh)) < len(before)
    left = [p.name for p in fresh.root().iterdir()] + fresh.daemon.host.volumes()
    assert len([name for name in left if "mem" in name]) <= 1, left
    fresh.restore("booted")
    assert fresh.run("test", "-e", "/root/state").returncode == 1


def test_disk_only_while_it_runs(fresh):
    fresh.shell("echo kept > /root/state; sync")
    fresh.stead("snapshot", "create", "web", "disk", "--no-memory")
    assert not snapshots(fresh)[-1]["memory"]
    assert fresh.shell("cat /root/state") == "kept"
    fresh.shell("echo lost > /root/state; sync")
    fresh.stead("snapshot", "restore", "web", "disk")
    assert fresh.show()["state"] == "stopped"
    again = fresh.stead("snapshot", "create", "web", "stopped")
    assert again.returncode == 0 and not snapshots(fresh)[-1]["memory"]
    fresh.restore("booted")
    assert fresh.run("test", "-e", "/root/state").returncode == 1


def test_ready_again_whatever_the_rule(fresh):
    """The rule's line was printed before the snapshot, and is not printed again."""
    rule = "cloud-init: true"
    try:
        fresh.write_spec(**{rule: f'{rule}, console: "login:"'})
        fresh.stead("up", fresh.spec)
        fresh.restore("booted")
        assert fresh.show()["ready"]
    finally:
        fresh.write_spec()
        fresh.stead("up", fresh.spec)


def test_refusals(fresh):
    taken = fresh.stead("snapshot", "create", "web", "booted", check=False)
    assert taken.returncode == 4 and "booted" in taken.stderr
    missing = fresh.stead("snapshot", "restore", "web", "nope", check=False)
    assert missing.returncode == 3 and "stead snapshot ls web" in missing.stderr
    missing = fresh.stead("snapshot", "rm", "web", "nope", check=False)
    assert missing.returncode == 3
    bad = fresh.stead("snapshot", "create", "web", "../x", check=False)
    assert bad.returncode == 2
