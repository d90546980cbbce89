# SPDX-License-Identifier: Apache-2.0
"""Clones of a whole Debian, with systemd, cloud-init, networkd and sshd: each is somebody else in
the eyes of all of these, and stays so.

One machine `d` is booted once, frozen when its first boot is done, and cloned three times.
"""

import concurrent.futures
import json
import re
import subprocess
import time

import pytest

import stead
from microvms import open_site, quick

IMAGE = "debian:12"
NAMES = ["c-1", "c-2", "c-3"]
PATIENCE = 120


@pytest.fixture(scope="module")
def site():
    with open_site(IMAGE) as site:
        site.run(IMAGE, "d", "--memory", "512M", timeout=300)
        site.cli("template", "create", "base", "--from", "d", "--warm", "0", timeout=300)
        site.clone("c", "--count", "3", timeout=PATIENCE)
        yield site
        site.daemon.running() or site.daemon.start()
        site.api.remove_everything()
        site.api.run("DELETE", "/v1/templates/base")


def all_say(site, script, names=("d", *NAMES)):
    """What a script says in each of them, run side by side."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return dict(zip(names, pool.map(lambda name: site.sh(name, script), names)))


def served_key(site, name):
    """The host key that the SSH server of a guest shows to whoever connects."""
    address = site.api.instance(name)["addresses"][0]
    shown = subprocess.run(["ssh-keyscan", "-T", "30", "-t", "ed25519", address],
                           capture_output=True, text=True).stdout
    return shown.split()[1:3]


def lease_seconds(site, name):
    return int(re.search(r"valid_lft (\d+)sec", site.sh(name, "ip -4 addr show eth0"))[1])


WHO = ("hostname; cat /etc/machine-id; cat /sys/class/net/eth0/address; hostname -I; "
       "cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub")  # fmt: skip


def test_each_is_somebody_else(site):
    began = time.time()
    told = all_say(site, WHO + "; head -c 16 /dev/urandom | base64; date +%s; hostnamectl")
    ended = time.time()
    lines = {name: text.splitlines() for name, text in told.items()}
    for i, what in enumerate(("name", "machine id", "MAC", "address", "host key", "random seed")):
        assert len({said[i] for said in lines.values()}) == 4, what
    for name, said in lines.items():
        assert said[0] == name
        assert said[3].strip() in site.api.instance(name)["addresses"]
        assert began - 2 <= int(said[6]) <= ended + 2, "the clock"
        assert f"Static hostname: {name}\n" in told[name] and f"Machine ID: {said[1]}\n" in told[name]


def test_the_keys_are_those_that_sshd_shows(site):
    told = all_say(site, "cat /etc/ssh/ssh_host_ed25519_key.pub")
    for name, key in told.items():
        assert served_key(site, name) == key.split()[:2], name


def test_nothing_is_wrong_with_them(site):
    assert set(all_say(site, "systemctl --failed --no-legend", NAMES).values()) == {""}
    assert site.sh("c-2", "cloud-init status") == "status: done"


def test_they_reach_each_other_by_name(site):
    for name, other in zip(NAMES, NAMES[1:] + ["d"]):
        assert site.api.instance(other)["addresses"][0] in site.sh(name, f"getent ahostsv4 {other}")
        hello = f"bash -c 'read -t 30 line < /dev/tcp/{other}/22; echo $line'"
        assert site.sh(name, hello).startswith("SSH-2.0-")


def test_leases_are_renewed_for_each(site):
    """To a server that took two of them for one guest, one would be somebody without a lease."""
    before = all_say(site, WHO)
    seconds = {name: lease_seconds(site, name) for name in NAMES}
    all_say(site, "networkctl renew eth0", NAMES)
    for name in NAMES:
        stead.poll(lambda: lease_seconds(site, name) > seconds[name], PATIENCE, "another lease")
    assert all_say(site, WHO) == before
    (network,) = [one for one in site.api.get("/v1/networks")]
    leases = site.api.get(f"/v1/networks/{network['name']}")["leases"]
    for name, said in before.items():
        mac, address = said.splitlines()[2:4]
        assert [one["address"] for one in leases if one["mac"] == mac] == [address.strip()], leases


def test_the_network_comes_back_when_its_service_is_restarted(site):
    before = site.sh("c-3", WHO)
    site.sh("c-3", "ip -4 address flush dev eth0; systemctl restart systemd-networkd")
    stead.poll(lambda: site.sh("c-3", WHO) == before, PATIENCE, "its address")
    assert served_key(site, "c-3") == before.splitlines()[4].split()


def test_a_silent_agent_keeps_nobody_waiting(site):
    pid = site.sh("c-1", "systemctl show -P MainPID stead-agent")
    script = f"(sleep 8; kill -CONT {pid}) > /dev/null 2>&1 & sleep 0.5; kill -STOP {pid}"
    asked = subprocess.Popen([stead.CLI, "exec", "c-1", "--", "sh", "-c", script], env=site.daemon.env,
                             stdin=subprocess.DEVNULL)
    try:
        silent = lambda: "No answer from the guest of: c-1\n" in quick(  # noqa: E731
            site, "top", "--once", "--interval", "200ms")
        stead.poll(silent, 10, "the agent to be silent")
        assert "c-1" in quick(site, "ls") and "running" in quick(site, "show", "c-1")
        assert quick(site, "exec", "c-2", "--", "hostname") == "c-2\n"
        stead.poll(lambda: not silent(), PATIENCE, "it to answer again")
        assert asked.wait(PATIENCE) == 0
    finally:
        asked.kill()
        asked.wait()
    assert site.sh("c-1", "hostname") == "c-1"


def test_one_that_reboots_stays_who_it_is(site):
    before, pid = site.sh("c-2", WHO), site.pid("c-2")
    site.cli("exec", "c-2", "--", "sh", "-c", "(sleep 0.3; systemctl reboot) > /dev/null 2>&1 &")
    stead.poll(lambda: site.daemon.host.qemu_pids().get("c-2", pid) != pid, PATIENCE, "a new engine")
    site.cli("wait", "c-2", timeout=PATIENCE)
    over = "while [ ! -e /run/cloud-init/result.json ]; do sleep 1; done"
    site.cli("exec", "c-2", "--", "sh", "-c", over, timeout=PATIENCE)
    assert site.sh("c-2", WHO) == before
    assert served_key(site, "c-2") == before.splitlines()[4].split()
    assert site.sh("c-2", "systemctl --failed --no-legend") == ""
    assert json.loads(site.sh("c-2", "cat /run/cloud-init/result.json"))["v1"]["errors"] == []
