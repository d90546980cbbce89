# SPDX-License-Identifier: Apache-2.0
"""What needs no system in the guest: specs, images, networks, policies, definitions; with guests that
have an empty disk and are up as soon as QEMU runs."""

import gzip
import json
import lzma
import os
import re
import select
import shutil
import signal
import socket
import subprocess

import pytest

import guest as guests
import stead

RULES = "kind: vm, image: 'blank:1', cpus: 1, memory: 64M, firmware: bios, ready: {agent: false}"


def run(host, *args, **options):
    return guests.cli(host, *args, **options)


def write(host, text, name="lab.yaml"):
    path = host.root / name
    path.write_text(text)
    return path


def make(host, name, *options):
    return run(
        host, "run", "--name", name, "--kind", "vm", "-c", "1", "-m", "64M", "--firmware", "bios",
        "--no-wait", *options, "blank:1", check=True,
    )  # fmt: skip


# ---- instances ----


def test_run_ls_rm(blank):
    make(blank, "one", "--no-start")
    blank.api.wait_instance("one", state="stopped")
    taken = run(blank, "run", "--name", "one", "blank:1")
    assert taken.returncode == 4 and "one" in taken.stderr
    run(blank, "start", "one", "--no-wait", check=True)
    blank.api.wait_instance("one", state="running")
    refused = run(blank, "rm", "one")
    assert refused.returncode == 5 and "--force" in refused.stderr
    run(blank, "rm", "--force", "one", check=True)
    assert run(blank, "ls", "-q").stdout == ""
    assert not blank.host.domains() and not blank.host.instance_folders()


@pytest.mark.parametrize(
    "args, code, words",
    [
        (["run", "--name", "x", "debian:99"], 3, "debian:12"),
        (["run", "--name", "x", "-m", "1Q", "blank:1"], 2, "1Q"),
        (["run", "--name", "../x", "blank:1"], 2, "name"),
        (["run", "--name", "x", "--network", "nope", "blank:1"], 3, "nope"),
        (["run", "--name", "x", "--pool", "nope", "blank:1"], 3, "nope"),
        (["start", "nope"], 3, "stead ls"),
        (["image", "import", "/no/such/file", "--name", "x:1"], 3, "/no/such/file"),
        (["volume", "create", "v", "--size", "1T", "--pool", "nope"], 3, "nope"),
        (["up", "/no/such.yaml"], 3, "/no/such.yaml"),
        (["stat"], 2, "start"),
    ],
)
def test_errors_say_what_and_leave_nothing(blank, args, code, words):
    done = run(blank, *args)
    assert done.returncode == code, done
    assert words in done.stderr
    assert blank.api.instances() == [] and blank.host.instance_folders() == []
    assert blank.host.domains() == {} and blank.host.volumes() == []


def test_spec_errors_come_all_at_once(blank):
    spec = write(blank, "instances:\n  a:\n    imagee: x\n    cpus: many\n    memory: {mx: 1G}\n")
    done = run(blank, "up", spec)
    assert done.returncode == 2
    for place, near in ((":3:5", "image"), (":4:11", ""), (":5:14", "max")):
        line = [text for text in done.stderr.splitlines() if f"lab.yaml{place}" in text]
        assert line and near in line[0], done.stderr


@pytest.mark.parametrize("policy, again", [("never", False), ("on-failure", True), ("always", True)])
def test_restart_policy_after_a_kill(blank, policy, again):
    make(blank, "one", "--restart", policy)
    blank.api.wait_instance("one", state="running")
    pid = stead.poll(lambda: blank.host.qemu_pids().get("one"), 20, "its process")
    os.kill(pid, signal.SIGKILL)
    if again:
        stead.poll(lambda: blank.host.qemu_pids().get("one", pid) != pid, 30, "its restart")
        blank.api.wait_instance("one", state="running", restarts=1)
    else:
        assert blank.api.wait_instance("one", state="failed")["error"]
        shown = run(blank, "ls").stdout
        assert "failed" in shown


def test_stop_that_is_not_heard(blank):
    make(blank, "one")
    blank.api.wait_instance("one", state="running")
    done = run(blank, "stop", "one", "-t", "1s")
    assert done.returncode == 14 and "--force" in done.stderr
    assert blank.api.instance("one")["state"] == "running"
    run(blank, "stop", "--force", "one", check=True)
    assert blank.api.instance("one")["state"] == "stopped"
    run(blank, "restart", "one", "--no-wait")
    blank.api.wait_instance("one", state="running")


def test_snapshots_of_a_stopped_one(blank):
    make(blank, "one", "--no-start")
    blank.api.wait_instance("one", state="stopped")
    run(blank, "snapshot", "create", "one", "s1", check=True)
    run(blank, "snapshot", "create", "one", "s2", check=True)
    run(blank, "snapshot", "restore", "one", "s1", check=True)
    run(blank, "snapshot", "rm", "one", "s2", check=True)
    (left,) = json.loads(run(blank, "snapshot", "ls", "one", "--format", "json").stdout)
    assert left["name"] == "s1" and not left["memory"]
    run(blank, "snapshot", "rm", "one", "s1", check=True)
    assert len(blank.host.volumes()) == 1


# ---- specs ----


def test_up_down(blank):
    spec = write(blank, f"""
name: lab
networks: {{net: {{mode: isolated}}}}
volumes: {{data: 10M}}
instances:
  db: {{{RULES}, networks: [net], disks: [data]}}
  web: {{{RULES}, networks: [net], count: 3, depends-on: [db]}}
""")
    plan = json.loads(run(blank, "up", "--dry-run", "--format", "json", spec, check=True).stdout)
    assert [a["name"] for a in plan["actions"]] == ["net", "data", "db", "web-1", "web-2", "web-3"]
    assert blank.api.instances() == []
    run(blank, "up", spec, check=True)
    states = {i["name"]: i for i in blank.api.instances()}
    assert sorted(states) == ["db", "web-1", "web-2", "web-3"]
    assert all(i["state"] == "running" and i["ready"] for i in states.values())
    events = [json.loads(t) for t in run(blank, "events", "--format", "json").stdout.splitlines()]
    order = [e["subject"] for e in events if e["type"] == "instance.ready"][-4:]
    assert order[0] == "db"
    again = run(blank, "up", spec, check=True)
    assert "nothing to change" in again.stdout
    kept = run(blank, "down", spec, check=True)
    assert kept.returncode == 0 and blank.api.instances() == []
    assert [v["name"] for v in blank.api.get("/v1/volumes")] == ["data"]
    run(blank, "down", "--volumes", "lab")
    run(blank, "up", spec, check=True)
    run(blank, "down", "--volumes", spec, check=True)
    assert blank.api.get("/v1/volumes") == [] and blank.api.get("/v1/networks") == []
    assert not blank.host.domains() and not blank.host.volumes() and not blank.host.networks()
    assert not blank.host.instance_folders()


def test_not_ready_in_the_time_of_its_rule(blank):
    rules = RULES.replace("agent: false", "console: hello, timeout: 1s")
    done = run(blank, "up", write(blank, f"name: p\ninstances:\n  a: {{{rules}}}\n"), timeout=60)
    assert done.returncode == 14 and "not ready" in done.stderr and "stead logs a" in done.stderr
    assert blank.api.instance("a")["state"] == "running"
    wait = run(blank, "wait", "a", "-t", "2s")
    assert wait.returncode == 14


def test_depends_on_in_a_circle(blank):
    spec = write(blank, f"instances:\n  a: {{{RULES}, depends-on: [b]}}\n  b: {{{RULES}, depends-on: [a]}}\n")
    done = run(blank, "up", spec)
    assert done.returncode == 2 and "a" in done.stderr and "b" in done.stderr


def test_plan_of_changes(blank):
    text = f"name: p\ninstances:\n  a: {{{RULES}}}\n"
    run(blank, "up", write(blank, text), check=True)
    changed = write(blank, text.replace("64M", "128M"))
    plan = run(blank, "up", "--dry-run", changed, check=True).stdout
    assert "memory" in plan and "64M" in plan and "128M" in plan and "restart" in plan
    run(blank, "up", changed, check=True)
    assert blank.api.instance("a")["restart-needed"]
    run(blank, "stop", "--force", "a", check=True)
    run(blank, "start", "a", check=True)
    assert not blank.api.instance("a").get("restart-needed")
    assert blank.host.domain_xml("a").findtext("memory") == str(128 * 1024)


# ---- images ----


@pytest.mark.parametrize("kind", ["qcow2", "raw", "vmdk", "vdi", "vhdx", "vpc", "raw.gz", "qcow2.xz", "raw.zst"])
def test_import(blank, kind):
    source = blank.root / "source.raw"
    source.write_bytes(b"stead" + bytes((1 << 20) - 5))
    form, _, packed = kind.partition(".")
    path = blank.root / f"disk.{'vhd' if form == 'vpc' else form}"
    subprocess.run(["qemu-img", "convert", "-O", form, source, path], check=True)
    if packed == "zst":
        if not shutil.which("zstd"):
            pytest.skip("zstd is not installed")
        subprocess.run(["zstd", "-q", "--rm", path], check=True)
        path = path.with_name(path.name + ".zst")
    elif packed:
        data = path.read_bytes()
        path = path.with_name(path.name + "." + packed)
        path.write_bytes((gzip if packed == "gz" else lzma).compress(data))
    run(blank, "image", "import", path, "--name", "got:1", check=True)
    try:
        shown = json.loads(run(blank, "image", "show", "got:1", "--format", "json").stdout)
        stored = blank.root / f"lib/images/sha256/{shown['digest']}.qcow2"
        back = blank.root / "back.raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw", stored, back], check=True)
        assert back.read_bytes()[: 1 << 20] == source.read_bytes()
    finally:
        run(blank, "image", "rm", "got:1")


def test_images_are_kept_once(blank):
    path = blank.root / "twin.raw"
    path.write_bytes(b"twin" + bytes((1 << 20) - 4))
    for name in ("twin:1", "twin:2"):
        run(blank, "image", "import", path, "--name", name, check=True)
    digests = {i["name"]: i["digest"] for i in blank.api.get("/v1/images")}
    assert digests["twin:1"] == digests["twin:2"]
    store = blank.root / "lib/images/sha256"
    before = len(list(store.glob("*.qcow2")))
    run(blank, "image", "rm", "twin:1", check=True)
    assert len(list(store.glob("*.qcow2"))) == before
    run(blank, "image", "rm", "twin:2", check=True)
    assert len(list(store.glob("*.qcow2"))) == before - 1


def test_bad_images(blank):
    torn = blank.root / "torn.qcow2"
    torn.write_bytes(b"QFI\xfb\0\0\0\x03" + os.urandom(200))
    done = run(blank, "image", "import", torn, "--name", "torn:1")
    assert done.returncode == 2, done
    assert [i["name"] for i in blank.api.get("/v1/images")] == ["blank:1"]
    assert blank.host.files("lib/images/tmp") == []


# ---- networks ----


def test_networks(blank):
    subnet = guests.free_subnet()
    run(blank, "network", "create", "lab", "--subnet", subnet, check=True)
    shown = json.loads(run(blank, "network", "show", "lab", "--format", "json").stdout)
    assert shown["spec"]["subnet"] == str(subnet)
    clash = run(blank, "network", "create", "other", "--subnet", subnet)
    assert clash.returncode == 4
    hint = re.search(r"(\d+\.\d+\.\d+\.0/24)", clash.stderr.split("hint:")[1])[1]
    run(blank, "network", "create", "other", "--subnet", hint, check=True)
    taken = run(blank, "network", "create", "lab")
    assert taken.returncode == 4
    for wrong in ("10.1.2.0/33", "300.1.2.0/24", "10.0.0.1"):
        assert run(blank, "network", "create", "w", "--subnet", wrong).returncode == 2
    run(blank, "network", "rm", "lab", check=True)
    run(blank, "network", "rm", "other", check=True)
    assert blank.host.networks() == []


def test_static_addresses(blank):
    subnet = guests.free_subnet()
    text = (f"name: p\nnetworks: {{net: {{subnet: {subnet}}}}}\ninstances:\n"
            f"  a: {{{RULES}, networks: [{{network: net, address: {subnet[9]}, mac: '52:54:00:12:34:99'}}]}}\n")  # fmt: skip
    run(blank, "up", write(blank, text), check=True)
    xml = blank.host.domain_xml("a")
    assert xml.find("devices/interface/mac").get("address") == "52:54:00:12:34:99"
    assert blank.api.instance("a")["addresses"] == [str(subnet[9])]
    assert guests.resolve(subnet[1], "a.net") == str(subnet[9])
    outside = write(blank, text.replace("p\n", "q\n", 1).replace("net:", "net2:").replace(
        "network: net", "network: net2").replace(str(subnet[9]), "192.0.2.7").replace("a:", "b:"), "o.yaml")  # fmt: skip
    assert run(blank, "up", outside).returncode in (2, 4)


def test_isolated_network_has_no_way_out(blank):
    run(blank, "network", "create", "quiet", "--mode", "isolated", check=True)
    xml = stead.virsh("net-dumpxml", blank.host.networks()[0])
    assert "<forward" not in xml


def test_host_bridge_that_is_not_there(blank):
    done = run(blank, "network", "create", "office", "--bridge", "nobridge0")
    assert done.returncode in (2, 3) and "nobridge0" in done.stderr
    assert blank.api.get("/v1/networks") == []


@pytest.fixture
def host_bridge():
    """One that somebody else made."""
    name = f"stbr{os.getpid()}"
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    yield name
    subprocess.run(["ip", "link", "del", name], check=True)


def test_host_bridge(blank, host_bridge):
    run(blank, "network", "create", "office", "--bridge", host_bridge, check=True)
    make(blank, "one", "--network", "office")
    blank.api.wait_instance("one", state="running")
    assert len(os.listdir(f"/sys/class/net/{host_bridge}/brif")) == 1
    (nic,) = blank.api.instance("one")["nics"]
    assert nic["network"] == "office" and "address" not in nic
    assert run(blank, "network", "rm", "office").returncode == 6
    run(blank, "rm", "--force", "one", check=True)
    run(blank, "network", "rm", "office", check=True)
    assert os.path.isdir(f"/sys/class/net/{host_bridge}")
    assert os.listdir(f"/sys/class/net/{host_bridge}/brif") == []


@pytest.fixture
def other_pool(tmp_path):
    """A pool that libvirt knows, and stead did not make."""
    name, target = f"stead-test-{os.getpid()}", tmp_path / "pool"
    target.mkdir(mode=0o755)
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(folder.stat().st_mode | 0o011)  # QEMU's user passes through
    stead.virsh("pool-create-as", name, "dir", "--target", str(target))
    yield name, target
    stead.virsh("pool-destroy", name)


def test_pool_by_name(blank, other_pool):
    name, target = other_pool
    assert name in run(blank, "pool", "ls", check=True).stdout
    run(blank, "volume", "create", "data", "--size", "1M", "--pool", name, check=True)
    make(blank, "one", "--pool", name)
    blank.api.wait_instance("one", state="running")
    run(blank, "volume", "attach", "one", "data", check=True)
    disks = {disk["path"] for disk in blank.api.instance("one")["disks"]}
    assert disks == {str(path) for path in target.iterdir()} and len(disks) == 2
    run(blank, "rm", "--force", "one", check=True)
    assert len(list(target.iterdir())) == 1
    run(blank, "volume", "rm", "data", check=True)
    assert list(target.iterdir()) == []


def test_port_taken(blank):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = run(blank, "run", "--name", "one", "--firmware", "bios", "-m", "64M", "-p",
                   f"127.0.0.1:{port}:80", "blank:1")  # fmt: skip
        assert done.returncode == 4 and str(port) in done.stderr, done
    assert blank.api.instances() == [] and not blank.host.domains()


# ---- definitions ----


def test_bios_pinning_and_numa(blank):
    spec = write(blank, f"instances:\n  a: {{{RULES}, cpu-pinning: ['0'], numa: '0'}}\n")
    run(blank, "up", spec, check=True)
    xml = blank.host.domain_xml("a")
    assert xml.find("os/loader") is None
    assert xml.find("cputune/vcpupin").get("cpuset") == "0"
    assert xml.find("numatune/memory").get("nodeset") == "0"


def test_huge_pages_that_the_host_does_not_have(blank):
    if open("/proc/sys/vm/nr_hugepages").read().strip() != "0":
        pytest.skip("this host has huge pages")
    spec = write(blank, f"instances:\n  a: {{{RULES}, hugepages: 2M}}\n")
    done = run(blank, "up", spec)
    assert done.returncode in (7, 12), done
    assert "32 huge pages" in done.stderr and "nr_hugepages" in done.stderr, done.stderr
    assert blank.api.instances() == [] and not blank.host.domains()


def test_pinning_to_a_cpu_that_is_not_there(blank):
    spec = write(blank, f"instances:\n  a: {{{RULES}, cpu-pinning: ['900']}}\n")
    done = run(blank, "up", spec)
    assert done.returncode != 0 and "900" in done.stderr
    assert blank.api.instances() == []


# ---- the daemon ----


def test_events_are_followed(blank):
    argv = [str(stead.CLI), "events", "-f", "--format", "json"]
    with subprocess.Popen(argv, env=blank.env, stdout=subprocess.PIPE) as follower:
        try:
            text = b""
            made = 0
            while b"volume.created" not in text:
                if not select.select([follower.stdout], [], [], 1)[0]:
                    # It may not have been listening yet.
                    made += 1
                    assert made < 10, text
                    run(blank, "volume", "create", f"v{made}", "--size", "1M", check=True)
                    continue
                text += follower.stdout.read1(65536)
            events = [json.loads(line) for line in text.splitlines() if line.endswith(b"}")]
            assert events[0]["type"] == "job.started"
        finally:
            follower.kill()


def test_two_daemons_side_by_side(blank, make_daemon):
    other = make_daemon()
    stead.import_blank(other)
    for host in (blank, other):
        make(host, "same")
        host.api.wait_instance("same", state="running")
    assert blank.host.domains() == {"same": "running"} == other.host.domains()
    ours, theirs = blank.api.instance("same"), other.api.instance("same")
    assert ours["addresses"] != theirs["addresses"]
    run(other, "rm", "--force", "same", check=True)
    other.api.remove_everything()
    assert blank.api.instance("same")["state"] == "running"
    assert "same" in blank.host.qemu_pids()
    blank.restart()
    assert blank.api.instance("same")["state"] == "running"
    stead.assert_clean(other)
