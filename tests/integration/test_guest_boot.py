# SPDX-License-Identifier: Apache-2.0
"""What a first boot made of the spec, and what can be seen of a running guest. Nothing is changed."""

import json
import pathlib
import re
import shutil
import socket
import subprocess

import pytest

import guest as guests
import stead


def test_up_tells_the_story(guest):
    words = ["create", "network lab", "instance web", "web: running", "kernel", "web: ready"]
    for word in words:
        assert word in guest.up_output, guest.up_output


def test_ls_and_show(guest):
    line = guest.stead("ls").stdout.splitlines()[1]
    assert re.match(rf"web +ready +vm +debian:12 +2 +1 GiB +{guest.address} +itest ", line), line
    assert guest.stead("ls", "-q").stdout == "web\n"
    assert guest.stead("ls", "--project", "other", "-q").stdout == ""
    (item,) = json.loads(guest.stead("ls", "--format", "json").stdout)
    assert item["state"] == "running" and item["ready"] and item["kind"] == "vm"
    assert item["addresses"] == [guest.address]
    shown = json.loads(guest.stead("show", "web", "--format", "json").stdout)
    assert shown["nics"] == [{"network": "lab", "mac": guest.mac, "address": guest.address}]
    assert shown["uptime-ms"] > 0 and shown["accel"] in ("kvm", "tcg")
    assert "running, ready" in guest.stead("show", shown["id"][:8]).stdout


def test_unknown_instance(guest):
    for command in (["show"], ["stop"], ["logs"], ["wait"], ["exec"], ["display"]):
        tail = ["--", "true"] if command == ["exec"] else []
        done = guest.stead(*command, "wbe", *tail, check=False)
        assert done.returncode == 3, (command, done)
        assert "wbe" in done.stderr


def test_wait(guest):
    assert guest.stead("wait", "web").returncode == 0
    assert guest.stead("wait", "web", "--for", "ip").returncode == 0
    assert guest.stead("wait", "web", "--for", "running").returncode == 0
    late = guest.stead("wait", "web", "--for", "console:never printed", "-t", "1s", check=False)
    assert late.returncode == 14 and "hint:" in late.stderr
    late = guest.stead("wait", "web", "--for", "stopped", "-t", "1s", check=False)
    assert late.returncode == 14
    wrong = guest.stead("wait", "web", "--for", "redy", check=False)
    assert wrong.returncode == 2 and "'ready'" in wrong.stderr
    wrong = guest.stead("wait", "web", "--for", "console:(", check=False)
    assert wrong.returncode == 2 and "regular expression" in wrong.stderr


def test_host_name_users_commands_and_packages(guest):
    assert guest.shell("hostname") == "web"
    assert guest.shell("hostname -f") == "web.example.org"
    assert guest.shell("cat /root/made") == "made by web"
    assert guest.shell("sudo -u tester sudo -n id -u") == "0"
    assert guest.run("sudo", "-u", "plain", "sudo", "-n", "true").returncode != 0
    assert "openssh-server" in guest.shell("cat /var/lib/cloud/instance/vendor-data.txt")
    assert "done" in guest.shell("cloud-init status")
    assert guest.shell("cat /var/lib/cloud/data/result.json").count('"errors": []') == 1


def test_user_data_byte_for_byte(guest):
    wanted = guests.USER_DATA.encode()
    digest = guest.shell("sha256sum < /var/lib/cloud/instance/user-data.txt | cut -d' ' -f1")
    import hashlib

    assert digest == hashlib.sha256(wanted).hexdigest()
    assert guest.shell("cat /root/from-user-data") == "written by user-data"


def test_network(guest):
    assert guest.shell("cat /sys/class/net/e*/address") == guest.mac
    assert f"{guest.address}/24" in guest.shell("ip -o -4 addr show scope global")
    assert f"default via {guest.gateway}" in guest.shell("ip route")
    shown = json.loads(guest.stead("network", "show", "lab", "--format", "json").stdout)
    assert shown["spec"]["subnet"] == str(guest.subnet) and shown["instances"] == ["web"]
    assert any(lease["address"] == guest.address for lease in shown["leases"])
    assert "lab" in guest.stead("network", "ls").stdout


def test_names_are_resolved(guest):
    assert guests.resolve(guest.gateway, "web.lab.test") == guest.address
    assert guest.address in guest.shell(f"getent hosts web.lab.test; resolvectl query web.lab.test")


def test_names_of_other_instances(guest):
    if "blank:1" not in [image["name"] for image in guest.api.get("/v1/images")]:
        stead.import_blank(guest.daemon)
    guest.stead("run", "--name", "db", "-m", "64M", "--firmware", "bios", "--network", "lab",
                "--no-wait", "blank:1")  # fmt: skip
    try:
        (address,) = guest.api.wait_instance("db", state="running")["addresses"]
        assert guest.shell("getent hosts db.lab.test").split()[0] == address
        assert guest.shell("getent hosts db").split()[0] == address
    finally:
        guest.stead("rm", "--force", "db")
    assert guests.resolve(guest.gateway, "db.lab.test") is None


def test_network_in_use(guest):
    done = guest.stead("network", "rm", "lab", check=False)
    assert done.returncode == 6 and "web" in done.stderr
    done = guest.stead("network", "create", "other", "--subnet", guest.subnet, check=False)
    assert done.returncode == 4, done
    assert str(guest.subnet) in done.stderr and re.search(r"hint: .*\d+\.\d+\.\d+\.0/24", done.stderr)


def test_published_port(guest):
    assert guests.connect(guest.ssh_port).startswith(b"SSH-2.0")


@pytest.mark.skipif(not shutil.which("ssh"), reason="ssh is not installed")
def test_ssh_key(guest):
    done = subprocess.run(
        ["ssh", "-i", guest.key, "-p", str(guest.ssh_port), "-o", "StrictHostKeyChecking=no",
         "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
         "tester@127.0.0.1", "id", "-un"],
        capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert done.stdout.strip() == "tester", done.stderr


def test_log_from_the_first_byte(guest):
    text = guest.logs()
    assert text.index("BdsDxe") < text.index("Linux version") < text.index("login:")
    assert "BdsDxe" in "\n".join(text.splitlines()[:5])
    assert len(guest.logs("--tail", "3").splitlines()) == 3
    stamped = guest.logs("-t", "--tail", "5").splitlines()
    bare = [s for s in stamped if not re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z~? ", s)]
    assert not bare, stamped


def test_display(guest):
    display = json.loads(guest.stead("display", "web", "--format", "json").stdout)
    assert display["listen"] == "127.0.0.1" and len(display["password"]) == 8
    with socket.create_connection((display["listen"], display["port"]), 10) as vnc:
        assert vnc.recv(12).startswith(b"RFB 003.")
        vnc.sendall(b"RFB 003.008\n")
        kinds = vnc.recv(vnc.recv(1)[0])
        assert kinds == b"\x02", "VNC without a password"
    secret = display["password"].encode()
    pid = guest.daemon.host.qemu_pids()["web"]
    assert secret not in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    for path in guest.daemon.root.rglob("*"):
        if path.is_file() and path.suffix not in (".qcow2", ".iso", ".fd", ".mem"):
            assert secret not in path.read_bytes(), path
    for path in guest.daemon.root.rglob("*.mem"):  # libvirt's form holds the definition
        assert path.stat().st_mode & 0o077 == 0, path
    assert secret.decode() not in guest.stead("events", "--format", "json").stdout
    assert secret.decode() not in guest.stead("show", "web", "--format", "json").stdout


def test_top_and_stats(guest):
    table = guest.stead("top", "--once").stdout
    assert re.search(r"^web +[\d.]+%", table, re.M), table
    (item,) = json.loads(guest.stead("top", "--once", "--format", "json").stdout)
    assert item["name"] == "web" and item["cpu-ns"] > 0 and item["memory-max"] == 1 << 30
    assert item["disk-read"] > 0


def test_events(guest):
    lines = guest.stead("events", "--format", "json").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert [e["seq"] for e in events] == sorted(e["seq"] for e in events)
    of_web = [e for e in events if e["subject"] == "web"]
    types = [e["type"] for e in of_web]
    assert types[0] == "instance.created" and "instance.ready" in types
    stages = [e["data"]["stage"] for e in of_web if e["type"] == "instance.stage"]
    for earlier, later in zip(["firmware", "kernel", "init"], ["kernel", "init", "login"]):
        assert stages.index(earlier) < stages.index(later), stages
    since = events[-2]["seq"]
    assert len(guest.stead("events", "--since", since).stdout.splitlines()) >= 1


def test_definition(guest):
    domain = guest.daemon.host.domain_xml("web")
    assert "q35" in domain.find("os/type").get("machine")
    assert domain.find("os/loader").get("type") == "pflash"
    for path in ("devices/rng", "devices/memballoon[@model='virtio']", "devices/channel"):
        assert domain.find(path) is not None, path
    assert domain.find("devices/interface/model").get("type") == "virtio"
    assert domain.find("devices/serial/log") is not None


def test_up_again_changes_nothing(guest):
    before = guest.show()
    done = guest.stead("up", guest.spec)
    assert "nothing to change" in done.stdout
    after = guest.show()
    assert after["started"] == before["started"] and after["ready"]


def test_image_in_use(guest):
    done = guest.stead("image", "rm", guests.IMAGE, check=False)
    assert done.returncode == 6 and "web" in done.stderr
    assert "web" in guest.stead("image", "ls").stdout


def test_exec(guest):
    done = guest.run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert guest.stead("exec", "-i", "web", "--", "cat", input=b"h\xc3\xa9llo\n\n").stdout == "héllo\n\n"
    big = guest.run("sh", "-c", "seq 300000")
    assert big.stdout.splitlines()[-1] == "300000" and len(big.stdout.splitlines()) == 300000
    missing = guest.run("no-such-program")
    assert missing.returncode == 3 and "no-such-program" in missing.stderr and "hint" in missing.stderr
    assert guest.show()["id"] not in missing.stderr
    late = guest.stead("exec", "--timeout", "1s", "web", "--", "sleep", "3600", check=False)
    assert late.returncode == 14
    gone = lambda: guest.run("pgrep", "-x", "sleep").returncode != 0
    stead.poll(gone, 30, "the command that was given up to end in the guest")
    assert guest.run("printf", "%s|", "a b", "$HOME", "*", "'").stdout == "a b|$HOME|*|'|"


def test_doctor(guest):
    report = json.loads(guest.stead("doctor", "--format", "json", check=False).stdout)
    ids = {check["id"]: check for check in report["checks"]}
    assert {"kvm", "qemu", "libvirtd"} & set(ids) and ids["kvm"]["status"] in ("ok", "warn")
    assert not [check for check in report["checks"] if check["status"] != "ok" and not check["mend"]]


def test_info(guest):
    info = json.loads(guest.stead("info", "--format", "json").stdout)
    assert info["host"]["libvirt"]["connected"] and info["instances"] == 1


def test_completion_knows_the_instance(guest):
    for shell in ("bash", "zsh", "fish"):
        assert "stead" in guest.stead("completion", shell).stdout
