#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run by test_libvirtd_restart.py inside private-libvirt, whose libvirtd it kills and starts again."""

import os
import pathlib
import signal
import subprocess
import time

import stead
from stead import ApiError, poll

REQUEST_SECONDS = 15  # for an answer while libvirtd is down
DOWN = {"unavailable"}


def libvirtd():
    """(pid, argv) of the one in this process namespace."""
    for pid, command in stead._processes():
        argv = command.rstrip("\0").split("\0")
        if os.path.basename(argv[0]) == "libvirtd":
            return pid, argv
    raise AssertionError("no libvirtd runs here")


def start_libvirtd(argv):
    pathlib.Path(argv[argv.index("-p") + 1]).unlink(missing_ok=True)
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def end_libvirtd(how=signal.SIGKILL):
    pid, argv = libvirtd()
    os.kill(pid, how)
    poll(lambda: not os.path.exists(f"/proc/{pid}"), 20, "libvirtd to end")
    return argv


def check_refused(call, *args):
    begun = time.monotonic()
    try:
        call(*args)
    except ApiError as error:
        assert error.code in DOWN, error
        assert error.hint, error
        assert "libvirt" in error.message, error
    else:
        raise AssertionError(f"{args} succeeded without libvirtd")
    assert time.monotonic() - begun < REQUEST_SECONDS


def check_while_down(daemon, pids):
    api = daemon.api
    states = {i["name"]: i["state"] for i in api.instances()}
    assert states == {"a": "running", "b": "stopped"}, states
    assert daemon.host.qemu_pids() == pids, "a guest died with libvirtd"
    check_refused(api.act, "b", "start")
    check_refused(api.act, "a", "stop", {"force": True})
    check_refused(api.create, "c", stead.blank_spec())
    check_refused(api.run, "POST", "/v1/volumes", {"name": "v", "spec": {"size": "1M"}})
    check_refused(api.run, "POST", "/v1/instances/a/snapshots", {"name": "s"})
    network = api.get("/v1/networks/default")
    assert network == {**api.get("/v1/networks")[0], "leases-unknown": network["leases-unknown"]}
    assert network["bridge"] and {"a", "b"} <= set(network["instances"]), network
    done = daemon.stead("network", "show", "default")
    assert network["bridge"] in done.stdout and "No leases:" in done.stdout, done
    done = daemon.stead("start", "b", check=False)
    assert done.returncode == 10 and "libvirt" in done.stderr, done
    done = daemon.stead("ls")
    assert "running" in done.stdout
    assert api.get("/v1")["host"]["libvirt"]["connected"] is False
    assert daemon.running()


def connected(daemon):
    return daemon.api.get("/v1")["host"]["libvirt"].get("connected")


def check_after(daemon, pids):
    """All is as before, and works; what was half-made while it was down is gone by itself."""
    api = daemon.api
    poll(lambda: connected(daemon), 30, "the daemon to reconnect")
    api.settle()
    poll(lambda: "c" not in {i["name"] for i in api.instances()}, 60, "c to be undone")
    api.settle()
    assert daemon.host.qemu_pids() == pids
    api.wait_instance("a", state="running")
    if "b" in {i["name"] for i in api.instances() if i["state"] == "running"}:
        api.act("b", "stop", {"force": True})
    api.act("b", "start")
    api.act("b", "stop", {"force": True})
    assert not [v for v in api.get("/v1/volumes")]


def main():
    daemon = stead.Daemon(stead.scratch_root())
    try:
        daemon.start()
        stead.import_blank(daemon)
        daemon.api.create("a", stead.blank_spec())
        daemon.api.create("b", stead.blank_spec(), start=False)
        pids = daemon.host.qemu_pids()
        assert set(pids) == {"a"}
        for how in (signal.SIGKILL, signal.SIGTERM):
            argv = end_libvirtd(how)
            poll(lambda: not connected(daemon), 30, "the daemon to notice")
            check_while_down(daemon, pids)
            start_libvirtd(argv)
            check_after(daemon, pids)
        print("ok restarted while a guest ran")
        # At once, so that the daemon may not even notice.
        start_libvirtd(end_libvirtd())
        check_after(daemon, pids)
        print("ok restarted at once")
        # A daemon that finds no libvirtd serves at once, and goes on when there is one. (It cannot
        # start one here: outside, the pid file is held by the host's.)
        argv = end_libvirtd()
        daemon.kill()
        daemon.start(settle=False)
        assert {i["name"] for i in daemon.api.instances()} == {"a", "b"}
        check_refused(daemon.api.act, "b", "start")
        start_libvirtd(argv)
        check_after(daemon, pids)
        print("ok started without libvirtd")
        daemon.api.remove_everything()
        stead.assert_clean(daemon)
        print("ok nothing left")
    finally:
        print(daemon.tail(40))
        daemon.cleanup()


if __name__ == "__main__":
    main()
