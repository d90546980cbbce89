# SPDX-License-Identifier: Apache-2.0
"""microVMs on stead-vmm through the daemon and the command line. Runs as root inside the nested
host, which is its own from libvirtd up; each check is told as a line, for test_microvm_engine.py.

One machine `a` is booted and frozen as `base`; most checks use clones of it.
"""

import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import traceback

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests/integration"))

import guest as guests  # noqa: E402  (the path comes first)
import stead  # noqa: E402
import web  # noqa: E402

IMAGE = "tiny:12"
CATALOGUE = pathlib.Path("/var/tmp/catalogue.yaml")
KEY = "/etc/ssh/ssh_host_ed25519_key"
LIBVIRT_FOLDERS = ("/run/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt",
                   "/etc/libvirt/qemu", "/etc/libvirt/storage")
UNUSED_NUMBERS = 1879048192, 2147352575  # of users and groups, which nothing hands out
SECONDS = 60  # for anything; the machine may be busy with much else


def run(*argv, **options):
    return subprocess.run([str(word) for word in argv], check=True, **options)


def start_libvirt():
    """Its own folders, and no QEMU in its sight: to ask each what it can do takes long, and no
    domain is made here. No udev gives /dev/kvm its mode."""
    os.chmod("/dev/kvm", 0o666)
    for folder in LIBVIRT_FOLDERS:
        os.makedirs(folder, exist_ok=True)
        run("mount", "-t", "tmpfs", "none", folder)
    for folder in ("/etc/libvirt/qemu/networks/autostart", "/run/stead-test-bin"):
        os.makedirs(folder)
    os.symlink("/usr/bin/qemu-img", "/run/stead-test-bin/qemu-img")
    run("ip", "link", "set", "lo", "up")
    run("virtlogd", "-d")
    run("libvirtd", "-d", env={**os.environ, "PATH": "/run/stead-test-bin:/usr/sbin:/sbin"})


class Site:
    def __init__(self, image):
        self.image = pathlib.Path(image)
        self.daemon = stead.Daemon("/var/tmp/st", env={"STEAD_CATALOGUE": str(CATALOGUE)})
        self.api = self.daemon.api

    def cli(self, *args, check=True, **options):
        return guests.cli(self.daemon, *args, check=check, timeout=SECONDS, **options)

    def sh(self, name, script):
        return self.cli("exec", name, "--", "sh", "-c", script).stdout.strip()

    def clone(self, name, *more, **options):
        return self.cli("run", "--name", name, *more, "template:base", **options)

    def show(self, name):
        return self.api.get(f"/v1/instances/{name}")

    def pid(self, name):
        """Of its engine's first process, as it is on record."""
        record = self.daemon.root / "run/instances" / self.show(name)["id"] / "engine.pid"
        return int(record.read_text().split("\n")[2].split()[0])

    def jailed(self, name):
        """Of the process that runs the guest."""
        pid = self.pid(name)
        return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def wait(self, name):
        self.cli("wait", name)
        return self.show(name)


def qemu_img(what, path):
    done = run("qemu-img", what, "-U", "-f", "qcow2", "--output", "json", path, capture_output=True)
    return json.loads(done.stdout)


def resident(pid):
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"\nAnonymous:\s*(\d+) kB", rollup)[1]) << 10


def failed_jobs(site):
    return [job for job in site.api.get("/v1/jobs") if job["state"] == "failed"][-4:]


def print_consoles(site):
    for log in site.daemon.root.glob("lib/instances/*/console.log"):
        lines = log.read_text(errors="replace").splitlines()[-12:]
        print("\n".join(f"console {log.parent.name[:8]}: {line}" for line in lines))


def print_engines(site):
    """Where each thread of the engines is."""
    mark = f"guest={site.daemon.host.prefix}-"
    for pid, command in stead._processes():
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir() if mark in command else ():
            what = [(task / name).read_text().strip() for name in ("comm", "stat", "wchan", "syscall")]
            print(f"engine {pid}: {' '.join(what)}", flush=True)


# ---- the checks, in this order ----


def pull_image(site):
    """From a publisher: what is verified is kept byte for byte."""
    with web.web_server(site.image.parent) as address:
        told = (f"{address}/{site.image.name}", web.sha256(site.image))
        CATALOGUE.write_text(web.catalogue({IMAGE: told}))
        site.cli("image", "pull", IMAGE)


def boots_on_stead_vmm(site):
    pull_image(site)
    site.cli("run", "--kind", "microvm", "--name", "a", "--memory", "128M", "--cpus", "1", IMAGE)
    site.sh("a", f"mkdir -p /etc/ssh; echo old | tee {KEY} > {KEY}.pub")
    shown = site.show("a")
    assert (shown["engine"], shown["accel"], shown["engine-reason"]) == (
        "stead-vmm", "kvm", "KVM is usable")
    image = qemu_img("info", shown["disks"][0]["path"])["full-backing-filename"]
    assert qemu_img("info", image)["format-specific"]["data"]["compat"] == "0.10"
    assert qemu_img("check", image)["compressed-clusters"] > 100
    assert "stead-vmm, kvm (KVM is usable)" in site.cli("show", "a").stdout
    assert site.sh("a", "hostname") == "a"
    assert shown["addresses"][0] in site.sh("a", "ip -4 addr")
    assert "Linux version" in site.cli("logs", "a").stdout


def users(site, name):
    """Numbers of the user and the group of both its processes, each of which has given up the rest."""
    numbers = set()
    for pid in (site.pid(name), site.jailed(name)):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"\nSeccomp:\t2\n", status) and re.search(r"\nCapEff:\t0+\n", status), status
        assert re.search(r"\nCapBnd:\t0+\n", status) and re.search(r"\nGroups:\t *\n", status), status
        for kind in ("Uid", "Gid"):
            numbers |= set(re.search(rf"\n{kind}:\t(\d+)\t(\d+)\t(\d+)\t(\d+)\n", status).groups())
    return {int(number) for number in numbers}


def runs_jailed(site):
    site.cli("run", "--kind", "microvm", "--name", "other", "--memory", "128M", "--cpus", "1", IMAGE)
    (first,), (second,) = users(site, "a"), users(site, "other")
    assert first != second
    for number in (first, second):
        assert UNUSED_NUMBERS[0] <= number <= UNUSED_NUMBERS[1], number
    site.cli("rm", "--force", "other")


def pauses_and_resumes(site):
    # What was written past the guest's cache and not flushed, the pause has to settle.
    site.sh("a", "dd if=/dev/urandom of=/root/direct bs=64k count=16 oflag=direct 2> /dev/null")
    site.cli("pause", "a")
    assert site.show("a")["state"] == "paused"
    site.cli("resume", "a")
    assert site.sh("a", "echo on") == "on"


def runs_commands_with_a_terminal(site):
    argv = [str(stead.CLI), "exec", "-t", "-i", "a", "--", "sh", "-c", "tty; read x; echo got $x; exit 7"]
    terminal = guests.Terminal(argv, site.daemon.env)
    try:
        terminal.expect("/dev/pts/")
        terminal.type("words\r")
        terminal.expect("got words")
        assert terminal.process.wait(SECONDS) == 7
    finally:
        terminal.close()


def top_has_its_figures(site):
    shown = site.cli("top", "--once").stdout
    (line,) = [line for line in shown.splitlines() if line.split()[:1] == ["a"]]
    assert "MiB" in line, shown


def runs_a_unikernel(site):
    program = "/var/tmp/app.elf"
    run("cc", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none,-Ttext=0x100000", "-o", program,
        REPO / "tests/integration/unikernel.S")
    site.cli("run", "--kind", "microvm", "--name", "u", "--kernel", program, "--memory", "64M",
             "--cmdline", "mark=7")
    assert site.show("u")["engine"] == "stead-vmm"
    said = lambda n: lambda: site.cli("logs", "u").stdout.count("unikernel up: mark=7") == n  # noqa: E731
    stead.poll(said(1), SECONDS, "its first line")
    site.cli("console", "u", input=b".")
    stead.poll(said(2), SECONDS, "its first line after a reset")
    site.cli("rm", "--force", "u")


def what_does_not_fit_goes_to_qemu(site):
    site.api.create("q", {"kind": "microvm", "image": IMAGE, "memory": {"max": "128M"}, "cpus": 1,
                          "networks": [{"network": "default"}] * 9})
    site.cli("start", "q")
    shown = site.show("q")
    assert (shown["engine"], shown["accel"]) == ("qemu", "kvm"), shown
    assert "takes at most 8 interfaces" in shown["engine-reason"], shown
    assert site.sh("q", "hostname") == "q"
    site.cli("rm", "--force", "q")


def freezes_a_template(site):
    site.cli("template", "create", "base", "--from", "a")
    shown = site.api.get("/v1/templates/base")
    assert (shown["engine"], shown["accel"]) == ("stead-vmm", "kvm")
    assert site.sh("a", "echo on") == "on"


def clones_are_somebody_else(site):
    began = time.monotonic()
    site.clone("c", "--count", "3")
    print(f"figure three clones, ready: {time.monotonic() - began:.2f} s")
    names = ["c-1", "c-2", "c-3"]
    ask = ("hostname; cat /etc/machine-id; cat /sys/class/net/eth0/address; ip -4 -o addr show eth0; "
           f"head -c 16 /dev/urandom | base64; cat {KEY}.pub; date +%s")
    began = time.time()
    told = [site.sh(name, ask).splitlines() for name in ["a", *names]]
    assert [lines[0] for lines in told] == ["a", *names]
    for i, what in enumerate(("name", "machine id", "MAC", "address", "random seed", "host key")):
        assert len({lines[i] for lines in told}) == len(told), what
    assert all(began - 2 <= int(lines[6]) <= time.time() + 2 for lines in told), "the clock"
    assert all(site.show(name)["engine"] == "stead-vmm" for name in names)
    for name, other in zip(names, [*names[1:], "a"]):
        site.sh(name, f"ping -c 1 -W 5 {other}")
    site.cli("rm", "--force", "c-2", "c-3")


def snapshots_return_memory_and_disks(site):
    site.sh("c-1", "echo one > /root/n; echo one > /run/n; sync")
    site.cli("snapshot", "create", "c-1", "s1")
    site.sh("c-1", "echo two > /root/n; echo two > /run/n; sync")
    site.cli("snapshot", "restore", "c-1", "s1")
    site.wait("c-1")
    assert site.sh("c-1", "cat /root/n /run/n; hostname") == "one\none\nc-1"
    assert abs(int(site.sh("c-1", "date +%s")) - time.time()) < 10
    assert site.sh("a", "ping -c 1 -W 5 c-1 > /dev/null && echo reached") == "reached"


def the_balloon_gives_memory_back(site):
    site.sh("a", "head -c 50000000 /dev/zero > /dev/shm/x; rm /dev/shm/x")
    before = resident(site.jailed("a"))
    site.cli("balloon", "a", "72M")
    stats = lambda: site.api.get("/v1/instances/a/stats")  # noqa: E731
    stead.poll(lambda: stats()["memory-max"] == 72 << 20, SECONDS, "the guest to give memory up")
    after = resident(site.jailed("a"))
    print(f"figure the balloon gave back: {(before - after) >> 20} MiB of {before >> 20}")
    assert after < 72 << 20 and stats()["memory-resident"] < 80 << 20
    assert stats()["cpu-ns"] > 0 and stats()["disk-read"] > 0
    site.cli("balloon", "a", "128M")
    assert site.sh("a", "echo on") == "on"


def clones_may_be_frozen(site):
    site.sh("c-1", "echo second > /run/level")
    site.cli("template", "create", "second", "--from", "c-1")
    refused = site.cli("template", "rm", "base", check=False)
    assert refused.returncode == 6 and "is used by" in refused.stderr, refused
    assert "second" in site.api.get("/v1/templates/base")["users"]
    site.cli("run", "--name", "d", "template:second")
    assert site.show("d")["engine"] == "stead-vmm"
    assert site.sh("d", "hostname; cat /run/level") == "d\nsecond"
    site.cli("rm", "--force", "d")
    site.cli("template", "rm", "second")


def stops_and_starts(site):
    site.sh("c-1", "echo kept > /root/kept; sync")
    site.cli("stop", "c-1")
    assert site.show("c-1")["state"] == "stopped"
    site.cli("start", "c-1")
    assert site.sh("c-1", "cat /root/kept; hostname") == "kept\nc-1"
    assert site.show("c-1")["engine"] == "stead-vmm"


def a_clone_that_reboots_comes_back(site):
    site.clone("r")
    pid = site.pid("r")
    site.cli("exec", "r", "--", "sh", "-c", "(sleep 0.2; reboot -f) > /dev/null 2>&1 &")

    def is_another():
        try:
            return site.pid("r") != pid
        except (OSError, IndexError):
            return False

    stead.poll(is_another, SECONDS, "a new engine")
    site.wait("r")
    assert site.sh("r", "hostname") == "r"
    site.cli("rm", "--force", "r")


def engines_are_started_ahead(site):
    site.cli("template", "warm", "base", "1")
    ready = lambda: site.api.get("/v1/templates/base")["warm-ready"] == 1  # noqa: E731
    stead.poll(ready, SECONDS, "an engine started ahead")
    began = time.monotonic()
    site.clone("w")
    print(f"figure a clone on an engine started ahead, ready: {time.monotonic() - began:.2f} s")
    assert site.sh("w", "hostname") == "w"
    assert site.sh("a", "ping -c 1 -W 5 w > /dev/null && echo reached") == "reached"
    site.cli("template", "warm", "base", "0")
    site.cli("rm", "--force", "w")


def the_daemon_may_die(site):
    pid = site.pid("c-1")
    site.daemon.kill()
    site.daemon.start()
    assert site.pid("c-1") == pid
    assert site.sh("c-1", "hostname") == "c-1"
    site.cli("pause", "c-1")
    assert site.show("c-1")["state"] == "paused"
    site.cli("resume", "c-1")
    assert site.sh("c-1", "echo on") == "on"


def what_was_synced_survives_the_end_of_the_engine(site):
    script = "head -c 4000000 /dev/urandom > /root/data; sync; sha256sum < /root/data"
    pattern = site.sh("c-1", script)
    jailed = site.jailed("c-1")
    os.kill(site.pid("c-1"), signal.SIGKILL)
    site.api.wait_instance("c-1", state="failed")
    stead.poll(lambda: not os.path.exists(f"/proc/{jailed}"), SECONDS, "the jailed one to end, too")
    disk = site.show("c-1")["disks"][0]["path"]
    data = guests.file_of_disk(disk, "/root/data", pathlib.Path("/var/tmp/check.raw"))
    assert f"{hashlib.sha256(data).hexdigest()}  -" == pattern
    site.cli("start", "c-1")
    assert site.sh("c-1", "sha256sum < /root/data; hostname") == f"{pattern}\nc-1"


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def one_that_is_stuck_is_ended(site):
    """With the answer the process that ran the guest is gone, and all that it held."""
    site.clone("s")
    pids = [site.pid("s"), site.jailed("s")]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    site.cli("stop", "--force", "s")
    assert not [pid for pid in pids if is_alive(pid)]
    site.cli("start", "s")
    site.wait("s")
    assert site.sh("s", "hostname") == "s"
    site.cli("rm", "--force", "s")


def without_kvm_a_template_says_what_to_do(site):
    site.daemon.kill()
    site.daemon.env["STEAD_KVM"] = "off"
    try:
        site.daemon.start()
        refused = site.clone("x", check=False)
        assert refused.returncode != 0 and "frozen by stead-vmm with KVM" in refused.stderr, refused
        assert "template create" in refused.stderr and "KVM is absent" in refused.stderr, refused
        assert site.sh("c-1", "hostname") == "c-1"
    finally:
        site.daemon.kill()
        del site.daemon.env["STEAD_KVM"]
        site.daemon.start()


def nothing_is_left(site):
    for item in site.api.instances():
        site.cli("rm", "--force", item["name"])
    site.cli("template", "rm", "base")
    site.api.remove_everything()
    stead.assert_clean(site.daemon)
    assert not [tap for tap in os.listdir("/sys/class/net") if re.match("st[0-9a-f]{8}-", tap)]
    mark = f"guest={site.daemon.host.prefix}-"
    assert not [pid for pid, command in stead._processes() if mark in command]


CHECKS = [boots_on_stead_vmm, runs_jailed, runs_commands_with_a_terminal, top_has_its_figures,
          pauses_and_resumes, runs_a_unikernel, what_does_not_fit_goes_to_qemu, freezes_a_template,
          clones_are_somebody_else, snapshots_return_memory_and_disks,
          the_balloon_gives_memory_back, clones_may_be_frozen, stops_and_starts,
          a_clone_that_reboots_comes_back,
          engines_are_started_ahead, the_daemon_may_die,
          what_was_synced_survives_the_end_of_the_engine, one_that_is_stuck_is_ended,
          without_kvm_a_template_says_what_to_do, nothing_is_left]


def main():
    site = Site(sys.argv[1])
    start_libvirt()
    stead.virsh("net-list")
    site.daemon.start()
    for check in CHECKS:
        began = time.monotonic()
        try:
            check(site)
            print(f"ok {check.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception:  # noqa: BLE001  (each is told; the next may work)
            why = " | ".join(traceback.format_exc().strip().splitlines()[-12:])
            print(f"not ok {check.__name__}: {why[-1500:]}", flush=True)
            print(f"jobs: {failed_jobs(site)}")
            print_consoles(site)
            print_engines(site)
            print("daemon: " + site.daemon.tail(8).replace("\n", "\ndaemon: "), flush=True)
    site.daemon.stop()


if __name__ == "__main__":
    main()
