# SPDX-License-Identifier: Apache-2.0
"""microVMs of a tiny Linux, on whatever engine this host has: their life, templates, clones.

One machine `a` is booted and frozen as the template `base` for all tests; each test makes and
removes its own clones.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

import guest as guests
import stead
from microvms import TINY as IMAGE, open_site, quick

KEYS = "/etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_rsa_key"


@pytest.fixture(scope="module")
def site():
    with open_site() as site:
        site.run(IMAGE, "a", "--memory", "128M", "--cpus", "1", timeout=300)
        site.sh("a", f"mkdir -p /etc/ssh; for k in {KEYS}; do echo old > $k; echo old > $k.pub; done")
        site.cli("template", "create", "base", "--from", "a", "--warm", "0")
        yield site


@pytest.fixture
def clone(site, request):
    """A clone with the test's own name."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower()).removeprefix("test-")[:30].strip("-")
    site.clone(name)
    yield name
    site.cli("rm", "--force", name, check=False)


def test_first_boot(site):
    shown = site.api.get("/v1/instances/a")
    assert shown["kind"] == "microvm" and shown["ready"]
    assert shown["engine"] in ("qemu", "stead-vmm") and shown["engine-reason"]
    assert shown["engine"] in site.cli("show", "a").stdout
    assert site.sh("a", "hostname") == "a"
    assert shown["addresses"][0] in site.sh("a", "ip -4 addr")
    assert "Linux version" in site.cli("logs", "a").stdout


def test_the_guests_kernel_has_no_complaint(site):
    complaints = site.sh("a", "dmesg | grep -iE 'leftover|malformed|virtio.*fail|firmware bug' || :")
    assert complaints == ""


def test_exec_has_input_output_and_a_code(site):
    done = site.cli("exec", "-i", "a", "--", "sh", "-c", "cat; echo oops >&2; exit 7", input=b"words", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "words", "oops\n")
    missing = site.cli("exec", "a", "--", "no-such-program", check=False)
    assert missing.returncode == 3 and "no-such-program" in missing.stderr
    large = site.cli("exec", "a", "--", "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x")
    assert large.stdout == "x" * 3000000


def top(site):
    """The rows of `stead top` by name, and all of it."""
    shown = site.cli("top", "--once", "--interval", "200ms").stdout
    return {line.split()[0]: line.split()[1:] for line in shown.splitlines() if "%" in line}, shown


def test_top(site):
    site.sh("a", "head -c 60000000 /dev/zero | sha256sum > /dev/null & ")
    rows, shown = top(site)
    assert re.match("NAME +CPU +HOST MEM +GUEST MEM +OF ", shown) and "No answer" not in shown
    cpu, host, _, guest, _, of, unit = rows["a"][:7]
    assert 10 < float(cpu.rstrip("%")) < 400, "it computes"
    assert 20 < float(host) < 400 and 4 < float(guest) < 128 and (of, unit) == ("128", "MiB")
    (told,) = [one for one in site.api.get("/v1/stats") if one["name"] == "a"]
    assert "silent" not in told and told["disk-read"] > 0 and told["net-received"] > 0


def test_silent_engines_keep_nobody_waiting(site):
    site.clone("q", "--count", "7", timeout=120)
    names = [f"q-{n}" for n in range(1, 8)]
    stopped = [site.pid(name) for name in names[1:]]
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        shown = quick(site, "top", "--once", "--interval", "200ms")
        assert f"No answer from the engine of: {', '.join(names[1:])}\n" in shown
        assert len(re.findall(r"^q-\d +[\d.]+% +[\d.]+ MiB +- +- ", shown, re.M)) == 6, shown
        assert re.search(r"^q-1 +[\d.]+% +[\d.]+ MiB +[\d.]+ MiB +128 MiB", shown, re.M), shown
        asked = subprocess.Popen([stead.CLI, "top", "--once", "--interval", "200ms"], env=site.daemon.env,
                                 stdout=subprocess.DEVNULL)
        assert quick(site, "exec", "q-1", "--", "hostname") == "q-1\n"
        assert "q-2" in quick(site, "ls") and "running" in quick(site, "show", "q-2")
        assert asked.wait(10) == 0
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    try:
        assert "No answer" not in top(site)[1]
        assert site.sh("q-7", "hostname") == "q-7"
        site.cli("pause", "q-2")
        assert "No answer from the guest of: q-2\n" in quick(site, "top", "--once", "--interval", "200ms")
    finally:
        site.remove(*names)


def test_clones_are_somebody_else(site):
    count = 20
    site.clone("c", "--count", count, timeout=300)
    names = [f"c-{n}" for n in range(1, count + 1)]
    try:
        ask = ("hostname; cat /etc/machine-id; cat /sys/class/net/eth0/address; ip -4 -o addr show eth0; "
               "head -c 16 /dev/urandom | base64; cat /etc/ssh/ssh_host_ed25519_key.pub; "
               "date +%s; ls /etc/ssh")  # fmt: skip
        began = time.time()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            told = list(pool.map(lambda name: site.sh(name, ask).splitlines(), ["a", *names]))
        ended = time.time()
        for i, what in enumerate(("name", "machine id", "MAC", "address", "random seed", "host key")):
            assert len({lines[i] for lines in told}) == count + 1, what
        assert [lines[0] for lines in told] == ["a", *names]
        for lines in told[1:]:
            assert began - 2 <= int(lines[6]) <= ended + 2, "the clock"
            assert lines[5].startswith("ssh-ed25519 ") and "ssh_host_rsa_key" not in lines[7:]
        assert site.sh("a", "cat /etc/ssh/ssh_host_ed25519_key") == "old", "the template's source changed"
        for name, other in zip(names, names[1:] + names[:1]):
            site.sh(name, f"ping -c 1 -W 5 {other}")
    finally:
        site.remove(*names)
    assert not [name for name in site.daemon.host.qemu_pids() if name.startswith("c-")]


def test_a_template_in_use_stays(site, clone):
    refused = site.cli("template", "rm", "base", check=False)
    assert refused.returncode == 6 and clone in refused.stderr
    shown = site.api.get("/v1/templates/base")
    assert shown["users"] == [clone] and shown["resident"] > 0 and shown["from"] == "a"
    assert "base" in site.cli("template", "ls").stdout


def test_a_template_through_the_cli(site, clone):
    shown = dict(re.findall(r"(?m)^(\S[^:]*): +(.*)$", site.cli("template", "show", "base").stdout))
    assert shown["Name"] == "base" and shown["Made from"] == "a" and shown["Image"] == IMAGE
    assert shown["Kind"] == "microvm" and shown["CPUs"] == "1" and shown["Memory"] == "128 MiB"
    assert shown["Used by"] == clone and shown["Warm"] == "0" and shown["Loaded"].endswith("MiB")
    told = json.loads(site.cli("template", "show", "base", "--format", "json").stdout)
    assert told["id"] == shown["Id"] and told["users"] == [clone]
    assert site.cli("template", "show", "none", check=False).returncode == 3


def test_a_guest_with_an_rsa_key_alone_has_one_again(site, clone):
    site.sh(clone, "cd /etc/ssh && rm ssh_host_ed25519_key* && echo old > ssh_host_rsa_key && echo old > ssh_host_rsa_key.pub")
    site.cli("template", "create", "slow", "--from", clone, "--warm", "0")
    try:
        site.clone("x", template="slow")
        assert site.sh("x", "ls /etc/ssh | grep key") == "ssh_host_rsa_key\nssh_host_rsa_key.pub"
        assert site.sh("x", "cat /etc/ssh/ssh_host_rsa_key.pub").startswith("ssh-rsa ")
        assert "PRIVATE KEY" in site.sh("x", "cat /etc/ssh/ssh_host_rsa_key")
    finally:
        site.cli("rm", "--force", "x", check=False)
        site.cli("template", "rm", "slow")


def test_a_clone_of_a_clone(site, clone):
    site.sh(clone, "echo mine > /root/mark; echo more > /dev/shm/mark 2>/dev/null || echo more > /run/mark")
    site.cli("template", "create", "second", "--from", clone)
    try:
        site.clone("grandchild", template="second")
        assert site.sh("grandchild", "cat /root/mark; cat /dev/shm/mark /run/mark 2>/dev/null; :") == "mine\nmore"
        assert site.sh("grandchild", "hostname") == "grandchild"
        assert site.cli("template", "rm", "base", check=False).returncode == 6
        site.remove("grandchild")
    finally:
        site.cli("template", "rm", "second")


def test_what_was_synced_survives_the_end_of_the_engine(site, clone):
    pattern = site.sh(clone, "head -c 4000000 /dev/urandom > /root/data; sync; sha256sum < /root/data")
    os.kill(site.pid(clone), signal.SIGKILL)
    site.api.wait_instance(clone, state="failed")
    disk = site.api.get(f"/v1/instances/{clone}")["disks"][0]["path"]
    data = guests.file_of_disk(disk, "/root/data", site.daemon.root / "check.raw")
    assert f"{hashlib.sha256(data).hexdigest()}  -" == pattern
    site.cli("start", clone, timeout=120)
    assert site.sh(clone, "sha256sum < /root/data; hostname") == f"{pattern}\n{clone}"


def test_the_daemon_may_die(site, clone):
    pid = site.pid(clone)
    site.daemon.kill()
    site.daemon.start()
    assert site.pid(clone) == pid
    assert site.sh(clone, "hostname") == clone
    site.cli("pause", clone)
    assert site.api.get(f"/v1/instances/{clone}")["state"] == "paused"
    site.cli("resume", clone)
    assert site.sh(clone, "echo on") == "on"


def test_a_guest_that_reboots_comes_back(site, clone):
    pid = site.pid(clone)
    site.cli("exec", clone, "--", "sh", "-c", "(sleep 0.2; reboot -f) > /dev/null 2>&1 &")
    stead.poll(lambda: site.daemon.host.qemu_pids().get(clone, pid) != pid, 60, "a new engine")
    site.cli("wait", clone, timeout=120)
    assert site.sh(clone, "hostname") == clone


def flip(path):
    """Changes a bit of a file's last data; done once more it is as it was."""
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        begin = os.lseek(file.fileno(), max(0, size - (2 << 20)), os.SEEK_DATA)
        file.seek(begin)
        byte = file.read(1)
        file.seek(begin)
        file.write(bytes([byte[0] ^ 1]))


def assert_refused(done, path):
    assert done.returncode == 8 and f"{path} is not what was frozen: its checksum differs" in done.stderr
    assert "make it anew" in done.stderr, "what to do"


def template_folder(site, name):
    return site.daemon.root / "lib/templates" / site.api.get(f"/v1/templates/{name}")["id"]


def test_a_template_that_was_changed_is_refused(site, clone):
    site.cli("template", "create", "broken", "--from", clone, "--warm", "0")
    try:
        folder = template_folder(site, "broken")
        files = sorted(path for path in folder.iterdir() if path.name != "sums")
        assert [path.name for path in files] == ["disk0.qcow2", "memory", "overlay0.qcow2", "state"]
        for path in files:
            flip(path)
            assert_refused(site.clone("x", template="broken", check=False), path)
            assert "x" not in site.cli("ls", "-q").stdout.split()
            flip(path)
        site.clone("x", template="broken")
        assert site.sh("x", "hostname") == "x"
        site.remove("x")
        (folder / "sums").write_text("".join(f"{path.stat().st_size} {64 * 'a'}\n" for path in files[:2]))
        site.daemon.restart()
        refused = site.clone("x", template="broken", check=False)
        assert refused.returncode == 8 and "another version of stead" in refused.stderr
    finally:
        site.cli("rm", "--force", "x", check=False)
        site.cli("template", "rm", "broken")


def test_a_template_that_is_changed_while_it_is_used(site, clone):
    """Neither an engine that has its disk open since before nor one that is started goes on."""
    ready = lambda: site.api.get("/v1/templates/broken")["warm-ready"] == 1  # noqa: E731
    site.cli("template", "create", "broken", "--from", clone, "--warm", "1")
    try:
        stead.poll(ready, 60, "an engine started ahead")
        site.clone("x-1", template="broken")
        stead.poll(ready, 60, "another one")
        disk = template_folder(site, "broken") / "disk0.qcow2"
        flip(disk)
        assert_refused(site.clone("x-2", template="broken", check=False), disk)
        assert_refused(site.clone("x-2", template="broken", check=False), disk)
        assert site.sh("x-1", "echo on") == "on"
        flip(disk)
        site.clone("x-2", template="broken")
        assert site.sh("x-2", "hostname") == "x-2"
    finally:
        site.cli("rm", "--force", "x-1", "x-2", check=False)
        site.cli("template", "rm", "broken")


def test_what_a_template_stands_on_is_checked_too(site, clone):
    site.cli("template", "create", "lower", "--from", clone, "--warm", "0")
    site.clone("x", template="lower")
    site.cli("template", "create", "upper", "--from", "x", "--warm", "0")
    disk = template_folder(site, "lower") / "disk0.qcow2"
    try:
        flip(disk)
        assert_refused(site.clone("y", template="upper", check=False), disk)
        flip(disk)
        site.clone("y", template="upper")
    finally:
        site.cli("rm", "--force", "x", "y", check=False)
        site.cli("template", "rm", "upper", "lower")


def test_a_template_that_finds_no_room_is_undone(site):
    folder = site.daemon.root / "lib/templates"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=0711", "none", folder], check=True)
    try:
        refused = site.cli("template", "create", "big", "--from", "a", check=False)
        assert refused.returncode == 7 and "space" in refused.stderr.lower(), refused
        assert os.listdir(folder) == []
        assert "big" not in site.cli("template", "ls", "-q").stdout.split()
        assert site.sh("a", "echo on") == "on"
    finally:
        subprocess.run(["umount", folder], check=True)


def test_what_a_clone_cannot_be(site):
    for more, word in ((("--memory", "256M"), "memory"), (("--cpus", "3"), "CPUs"), (("--disk", "9G"), "disk"),
                       (("--kind", "vm"), "kind")):  # fmt: skip
        refused = site.clone("x", *more, check=False)
        assert refused.returncode == 2 and word in refused.stderr, refused.stderr
    assert site.clone("x", template="none", check=False).returncode == 3
    assert site.cli("template", "create", "b", "--from", "nobody", check=False).returncode == 3


def test_a_kernel_of_ones_own(site):
    (kernel,) = (site.daemon.root / "lib/images/boot").glob("*/kernel")
    site.cli("run", "--name", "k", "--kernel", kernel, "--memory", "128M", "--cmdline", "console=ttyS0 panic=30 mark=1")
    try:
        assert site.api.get("/v1/instances/k")["kind"] == "microvm"
        stead.poll(lambda: "mark=1" in site.cli("logs", "k").stdout, 60, "the kernel's first lines")
    finally:
        site.remove("k")


def initramfs(path, program):
    """With one program: /init."""
    def entry(name, mode, content=b""):
        fields = (1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name + b"\0"
        return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)

    path.write_bytes(entry(b"init", 0o100755, program.read_bytes()) + entry(b"TRAILER!!!", 0))


def test_an_initramfs_of_ones_own(site, tmp_path):
    (kernel,) = (site.daemon.root / "lib/images/boot").glob("*/kernel")
    source, program, ramdisk = tmp_path / "init.c", tmp_path / "init", tmp_path / "initrd"
    source.write_text('#include <unistd.h>\n'
                      'int main(void) { for (;;) { write(1, "my own init\\n", 12); sleep(1); } }\n')
    subprocess.run(["cc", "-static", "-o", program, source], check=True)
    initramfs(ramdisk, program)
    site.cli("run", "--name", "i", "--kernel", kernel, "--initrd", ramdisk, "--memory", "128M")
    try:
        assert site.api.get("/v1/instances/i")["kind"] == "microvm"
        said = lambda: site.cli("logs", "i").stdout.split("Linux version")[-1].count("my own init")  # noqa: E731
        stead.poll(said, 60, "its first words")
        ramdisk.unlink()
        site.cli("stop", "--force", "i")
        site.cli("start", "i")
        stead.poll(lambda: site.cli("logs", "i").stdout.count("Linux version") == 2 and said(), 60, "its words again")
    finally:
        site.remove("i")


def test_a_unikernel(site, tmp_path):
    program = tmp_path / "app.elf"
    subprocess.run(["cc", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none,-Ttext=0x100000", "-o", program,
                    pathlib.Path(__file__).with_name("unikernel.S")], check=True)  # fmt: skip
    site.cli("run", "--kind", "microvm", "--name", "u", "--kernel", program, "--memory", "64M", "--cmdline", "mark=7")
    try:
        said = lambda n: lambda: site.cli("logs", "u").stdout.count("unikernel up: mark=7") == n  # noqa: E731
        stead.poll(said(1), 30, "its first line")
        assert "is it you?" in site.cli("console", "u", input=b"is it you?").stdout
        site.cli("console", "u", input=b".")
        stead.poll(said(2), 30, "its first line after a reset")
    finally:
        site.remove("u")


def test_what_a_microvm_has_not_is_refused(site):
    for field in ({"cpu-pinning": ["0"]}, {"hugepages": "2M"}, {"memory": {"max": "128M", "reserve": "128M"}}):
        with pytest.raises(Exception) as refused:
            site.api.create("x", {"kind": "microvm", "image": IMAGE, **field})
        assert "microvm has no" in str(refused.value)


def test_snapshots(site, clone):
    site.sh(clone, "echo one > /root/n; echo one > /run/n; sync")
    site.cli("snapshot", "create", clone, "s1")
    site.sh(clone, "echo two > /root/n; echo two > /run/n; sync")
    site.cli("snapshot", "create", clone, "disks", "--no-memory")
    site.cli("snapshot", "restore", clone, "s1")
    site.cli("wait", clone)
    assert site.sh(clone, "cat /root/n /run/n; hostname") == f"one\none\n{clone}"
    assert abs(int(site.sh(clone, "date +%s")) - time.time()) < 5
    assert site.sh("a", f"ping -c 1 -W 5 {clone} > /dev/null && echo reached") == "reached"
    site.cli("snapshot", "restore", clone, "disks")
    assert site.api.get(f"/v1/instances/{clone}")["state"] == "stopped"
    site.cli("snapshot", "rm", clone, "disks")
    site.cli("start", clone, timeout=120)
    assert site.sh(clone, "cat /root/n") == "two"
    site.cli("snapshot", "restore", clone, "s1")
    site.cli("wait", clone)
    assert site.sh(clone, "cat /root/n") == "one"


def test_a_snapshot_that_was_changed_is_refused(site, clone):
    """And the machine goes on as if nobody had asked."""
    pid, identity = site.pid(clone), site.api.get(f"/v1/instances/{clone}")["id"]
    site.cli("snapshot", "create", clone, "s1")
    site.cli("snapshot", "create", clone, "disks", "--no-memory")
    folders = (site.daemon.root / "lib/instances" / identity / "snapshots").iterdir()
    files = {path for folder in folders for path in folder.iterdir() if path.name != "sums"}
    assert sorted(path.name for path in files) == ["disk0", "disk0", "memory", "state"]
    for path in files:
        name = "s1" if (path.parent / "memory").exists() else "disks"
        flip(path)
        refused = site.cli("snapshot", "restore", clone, name, check=False)
        assert_refused(refused, str(path).replace(identity, clone))
        assert site.sh(clone, "echo on") == "on" and site.pid(clone) == pid
        flip(path)
    site.cli("snapshot", "restore", clone, "s1")
    site.cli("wait", clone)
    assert site.sh(clone, "hostname") == clone


def test_the_balloon_takes_memory(site):
    site.cli("balloon", "a", "96M")
    wanted = lambda: site.api.get("/v1/instances/a/stats")["memory-max"] == 96 << 20  # noqa: E731
    stead.poll(wanted, 30, "the guest to give memory up")
    site.cli("balloon", "a", "128M")
    assert site.cli("balloon", "a", "1G", check=False).returncode == 2


def test_the_balloon_of_a_clone(site, clone):
    """Whether the host gets anything back or not: the guest has no more than it was left."""
    available = "sed -n 's/^MemAvailable: *\\([0-9]*\\) .*/\\1/p' /proc/meminfo"
    before = int(site.sh(clone, available))
    site.cli("balloon", clone, "96M")
    stead.poll(lambda: int(site.sh(clone, available)) < before - (24 << 10), 30,
               "the guest to give memory up")
    site.cli("balloon", clone, "128M")
    stead.poll(lambda: int(site.sh(clone, available)) > before - (8 << 10), 30,
               "the guest to have it again")


def test_the_console_is_kept_within_bounds(site, clone):
    """More than a file of its log holds: all of it is there, in files of bounded size."""
    first, last, size = 10_000_000, 10_239_999, 2 << 20
    site.cli("exec", clone, "--", "sh", "-c", f"seq {first} {last} > /dev/console",
             timeout=240)
    (folder,) = [path.parent for path in (site.daemon.root / "lib/instances").glob("*/console.log")
                 if path.parent.name == site.api.get(f"/v1/instances/{clone}")["id"]]
    files = sorted(folder.glob("console.log*"), reverse=True)
    assert [file.name for file in files] == ["console.log.0", "console.log"]
    assert all(file.stat().st_size <= size for file in files)
    written = re.findall(rb"(?m)^(\d{8})\r?\n", b"".join(file.read_bytes() for file in files))
    assert [int(number) for number in written] == list(range(first, last + 1))
    shown = site.cli("logs", clone).stdout
    assert f"{first}\n" in shown and f"{last}\n" in shown


def test_the_console_goes_on_without_its_log(site, clone):
    """Whoever ends the process that writes the log ends nothing else."""
    record = site.daemon.root / "run/instances" / site.api.get(f"/v1/instances/{clone}")["id"] / "log.pid"
    os.kill(int(record.read_text().splitlines()[2].split()[0]), signal.SIGKILL)
    site.sh(clone, "seq 1000 > /dev/console")
    assert site.sh(clone, "echo on") == "on"
    site.cli("restart", clone, timeout=120)
    site.sh(clone, "echo heard again > /dev/console")
    stead.poll(lambda: "heard again" in site.cli("logs", clone).stdout, 10, "the log to go on")


def warm_engines(site):
    """Processes of engines that are nobody's yet: they bear their template's name."""
    mark = f"guest={site.daemon.host.prefix}-base"
    return {pid for pid, command in stead.engines() if mark in command.split("\0")}


def test_engines_that_were_started_ahead(site):
    ready = lambda n: lambda: site.api.get("/v1/templates/base")["warm-ready"] == n  # noqa: E731
    site.cli("template", "warm", "base", "2")
    try:
        stead.poll(ready(2), 60, "two engines started ahead")
        before = warm_engines(site)
        assert len(before) == 2
        taken = site.clone("a", check=False)
        assert taken.returncode == 4 and warm_engines(site) == before, "a refusal cost an engine"
        site.clone("w")
        assert site.api.get("/v1/instances/w")["ready"]
        assert site.sh("w", "hostname; cat /etc/machine-id").split("\n")[0] == "w"
        assert site.sh("a", "ping -c 1 -W 5 w > /dev/null && echo reached") == "reached"
        assert len(before & warm_engines(site)) == 2, "w runs on none of them"
        site.cli("restart", "w", timeout=120)
        assert site.sh("w", "hostname") == "w"
        stead.poll(ready(2), 60, "another one")
        site.daemon.kill()
        site.daemon.start()
        assert site.sh("w", "hostname") == "w"
        stead.poll(ready(2), 60, "two engines of the next daemon")
        assert not before & warm_engines(site) and len(warm_engines(site)) == 2
    finally:
        site.cli("rm", "--force", "w", check=False)
        site.cli("template", "warm", "base", "0")
    stead.poll(lambda: not warm_engines(site), 30, "all of them to end")
    assert site.cli("template", "warm", "base", "1000", check=False).returncode == 2


def test_one_engine_is_started_ahead_where_it_pays(site):
    site.cli("template", "create", "eager", "--from", "a", timeout=60)
    shown = lambda: site.api.get("/v1/templates/eager")  # noqa: E731
    stead.poll(lambda: shown()["warm-ready"] == 1, 60, "an engine started ahead")
    assert shown()["warm"] == 1 and 4 << 20 < shown()["warm-memory"] < 128 << 20
    site.cli("template", "rm", "eager")


def test_nothing_is_left(site):
    site.run(IMAGE, "gone", "--memory", "128M", "--cpus", "1", timeout=120)
    pid = site.pid("gone")
    identity = site.api.get("/v1/instances/gone")["id"]
    site.remove("gone")
    assert not pathlib.Path(f"/proc/{pid}").exists() or "Z" in pathlib.Path(f"/proc/{pid}/stat").read_text()
    assert not [path for path in site.daemon.host.instance_folders() if identity in path]
    assert not [tap for tap in os.listdir("/sys/class/net") if tap.startswith(f"st{identity[:8]}")]
