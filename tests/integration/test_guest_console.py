# SPDX-License-Identifier: Apache-2.0
"""The serial console of a real guest: attached, shared, followed, and through its Unix socket."""

import json
import select
import shutil
import subprocess
import time

import pytest

import stead

ESCAPE = "\x1d"  # Ctrl-]


def test_type_see_and_detach(fresh):
    with_prompt = fresh.console("--from", "now")
    try:
        with_prompt.expect("detaches")
        with_prompt.type("\r")
        with_prompt.expect("login: ")
        with_prompt.type("no-such-user\r")
        with_prompt.expect("Password: ")
        with_prompt.type(ESCAPE)
        assert with_prompt.process.wait(10) == 0
    finally:
        with_prompt.close()
    assert "login: no-such-user" in fresh.logs("--tail", "5")


def await_prompt(terminal):
    """Types until it is there: a getty that is about to ask again throws away what came before."""
    for _ in range(3):
        terminal.type("\r")
        try:
            terminal.expect("login: ", 15)
            return
        except AssertionError:
            pass
    terminal.expect("login: ", 15)


def test_one_writer_many_readers(fresh):
    writer = fresh.console("--from", "now")
    reader = fresh.console("--read-only", "--from", "now")
    try:
        writer.expect("detaches")
        reader.expect("detaches")
        second = fresh.console("--from", "now")
        said = second.expect("--force", 10)
        assert "--read-only" in said + second.text or "writ" in said
        second.close()
        writer.type("\r")
        writer.expect("login: ")
        reader.expect("login: ")
        taker = fresh.console("--force", "--from", "now")
        taker.expect("detaches")
        writer.expect("taken this console over")
        await_prompt(taker)
        taker.close()
    finally:
        writer.close()
        reader.close()


def test_from_a_pipe(fresh):
    done = fresh.stead("console", "web", "--from", "now", "--linger", "3s", input=b"\n")
    assert "login: " in done.stdout


def test_socket_for_other_tools(fresh):
    if not shutil.which("socat"):
        pytest.skip("socat is not installed")
    path = fresh.run_dir() / "console"
    with subprocess.Popen(
        ["socat", "-", f"UNIX-CONNECT:{path}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as tool:
        try:
            tool.stdin.write(b"\n")
            tool.stdin.flush()
            text = b""
            while b"login: " not in text:
                assert select.select([tool.stdout], [], [], 20)[0], text
                text += tool.stdout.read1(4096)
        finally:
            tool.kill()


def test_logs_follow_and_wait_for_a_line(fresh):
    argv = [str(stead.CLI), "logs", "-f", "--tail", "1", "web"]
    with subprocess.Popen(argv, env=fresh.daemon.env, stdout=subprocess.PIPE) as follower:
        waiter = subprocess.Popen(
            [str(stead.CLI), "wait", "web", "--for", "console:mark[0-9]+ here", "-t", "30s"],
            env=fresh.daemon.env, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            fresh.shell("echo mark42 here > /dev/ttyS0")
            assert waiter.wait(30) == 0
            text = b""
            while b"mark42 here" not in text:
                assert select.select([follower.stdout], [], [], 20)[0], text
                text += follower.stdout.read1(4096)
        finally:
            follower.kill()
            waiter.kill()
            waiter.wait()


def test_daemon_killed_while_it_runs(fresh):
    """Nothing is lost or doubled of the console; the guest is adopted."""
    before = fresh.show()
    lines = range(1, 41)
    script = "for i in $(seq 1 40); do echo line $i of 40 > /dev/ttyS0; sleep 0.1; done"
    fresh.shell(f"systemd-run --quiet sh -c '{script}'")
    time.sleep(1)
    fresh.daemon.kill()
    time.sleep(1)
    fresh.daemon.start()
    after = fresh.show()
    assert (after["id"], after["started"], after["state"]) == (
        before["id"], before["started"], "running")  # fmt: skip
    assert after["uptime-ms"] > before["uptime-ms"]
    fresh.stead("wait", "web", "--for", "console:line 40 of 40", "-t", "60s")
    text = fresh.logs()
    for i in lines:
        assert text.count(f"line {i} of 40") == 1, i
    assert fresh.shell("echo again") == "again"
    assert fresh.stead("wait", "web", "-t", "10s").returncode == 0
    assert json.loads(fresh.stead("ls", "--format", "json").stdout)[0]["addresses"]
