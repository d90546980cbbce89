# SPDX-License-Identifier: Apache-2.0
"""The CLI from end to end against a stand-in for the daemon: no libvirt, no guest, no root.

STEAD names the program; where it is not set, a build folder beside the sources is looked for.
"""
import base64
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time

import pytest

from fake_daemon import FakeDaemon

TOP = pathlib.Path(__file__).resolve().parents[2]


def find_program():
    named = os.environ.get("STEAD")
    found = [named] if named else [str(p) for p in sorted(TOP.glob("build*/src/cli/stead"))]
    return found[0] if found else None


STEAD = find_program()
pytestmark = pytest.mark.skipif(STEAD is None, reason="the program is not built; set STEAD")


@pytest.fixture
def root():
    """A folder whose path is short enough for sockets, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="stead-") as folder:
        yield pathlib.Path(folder)


@pytest.fixture
def daemon(root):
    with FakeDaemon(root) as fake:
        yield fake


def stead(daemon, *arguments, **options):
    return subprocess.run([STEAD, *arguments], env=daemon.environment(), capture_output=True,
                          text=options.pop("text", True), timeout=20, **options)


def begin(daemon, *arguments):
    """Starts the program and waits until it listens to events."""
    process = subprocess.Popen([STEAD, *arguments], env=daemon.environment(), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert daemon.followed.wait(10)
    return process


def next_line(process):
    """The next plain line, without its time."""
    return re.sub(r"^ *\w+  ", "", process.stdout.readline())


def wait_until(holds):
    limit = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < limit, "it did not come true in 10 s"
        time.sleep(0.01)


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, daemon, *arguments, rows=24, columns=100, **environment):
        self.main, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen([STEAD, *arguments], stdin=other, stdout=other, stderr=other,
                                        env=daemon.environment(**environment), start_new_session=True)
        os.close(other)
        self.text = ""

    def read_until(self, pattern):
        limit = time.monotonic() + 10
        while not re.search(pattern, self.text):
            assert time.monotonic() < limit, "%r not in %r" % (pattern, self.text)
            self.read(0.1)
        return self.text

    def read(self, timeout):
        if not select.select([self.main], [], [], timeout)[0]:
            return True
        try:
            data = os.read(self.main, 65536)
        except OSError:  # the other side was closed
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def finish(self):
        while self.read(10):
            pass
        os.close(self.main)
        return self.process.wait(10)


# --- lists and errors ---


def test_ls_is_a_table(daemon):
    daemon.instance("web")
    daemon.instance("database", state="stopped", ready=False, addresses=[], started=0)
    lines = stead(daemon, "ls").stdout.splitlines()
    assert lines[0].split()[:3] == ["NAME", "STATE", "KIND"]
    assert lines[1].split()[:5] == ["web", "ready", "vm", "debian:12", "2"]
    assert lines[2].split()[:2] == ["database", "stopped"]
    assert lines[0].index("STATE") == lines[1].index("ready") == lines[2].index("stopped")


def test_ls_prints_the_apis_json(daemon):
    daemon.instance("web")
    assert json.loads(stead(daemon, "ls", "--format", "json").stdout) == daemon.instances


def test_ls_quiet_is_for_scripts(daemon):
    daemon.instance("a")
    daemon.instance("b")
    assert stead(daemon, "ls", "-q").stdout == "a\nb\n"


def test_names_from_the_daemon_cannot_steer_the_terminal(daemon):
    daemon.instance("web", error="\x1b]0;owned\x07\x1b[2Jbad\nnews", state="failed", ready=False)
    out = stead(daemon, "ls").stdout
    assert "\x1b" not in out and "owned" not in out and "bad news" in out


def test_an_api_error_is_told_with_its_hint_and_exit_code(daemon):
    daemon.fail("GET", "/v1/instances/web", 404, "not-found", "there is no instance 'web'", "Make it.")
    done = stead(daemon, "show", "web")
    assert done.returncode == 3
    assert done.stderr == "stead: there is no instance 'web'\nhint: Make it.\n"
    assert done.stdout == ""


def test_an_answer_that_is_no_json_is_an_error(daemon):
    daemon.answer("GET", "/v1/instances", b"<html>")
    done = stead(daemon, "ls")
    assert done.returncode == 1 and "not JSON" in done.stderr


def test_no_daemon_is_said_with_the_way_out(root):
    daemon = FakeDaemon(root)
    done = stead(daemon, "ls")
    assert done.returncode == 10
    assert "does not answer" in done.stderr and "hint: Start it" in done.stderr


def test_a_socket_that_one_may_not_use_is_said(root):
    with FakeDaemon(root) as daemon:
        os.chmod(daemon.socket, 0)
        nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        try:
            done = stead(daemon, "ls", **nobody)
        except PermissionError:
            pytest.skip("nobody may not run the program where it lies")
        assert done.returncode == 9 and "group 'stead'" in done.stderr


def test_ls_of_a_thousand_is_fast_enough(daemon):
    for n in range(1000):
        daemon.instance("web-%d" % n)
    began = time.monotonic()
    assert len(stead(daemon, "ls").stdout.splitlines()) == 1001
    assert time.monotonic() - began < 1


# --- requests ---


def test_run_sends_the_spec(daemon, tmp_path):
    key = tmp_path / "id.pub"
    key.write_text("ssh-ed25519 AAAA me\n# mine\nssh-rsa BBBB other\n")
    daemon.job("POST", "/v1/instances", "instance.create", "web")
    done = stead(daemon, "run", "debian:12", "--name=web", "-c", "2", "--memory", "2G", "-p8080:80",
                 "-p", "53:53/udp", "--ssh-key", str(key), "--no-wait")
    assert done.returncode == 0 and done.stdout == "web\n"
    assert daemon.requested("POST", "/v1/instances") == [
        {"name": "web", "start": True,
         "spec": {"image": "debian:12", "cpus": 2, "memory": "2G", "ports": ["8080:80", "53:53/udp"],
                  "ssh-keys": ["ssh-ed25519 AAAA me", "ssh-rsa BBBB other"]}}]


def test_exec_passes_output_and_exit_code_on(daemon):
    daemon.answer("POST", "/v1/instances/web/exec",
                  {"exit-code": 42, "stdout": base64.b64encode(b"out\xff\n").decode(),
                   "stderr": base64.b64encode(b"err\n").decode(), "truncated": False})
    done = stead(daemon, "exec", "web", "--timeout", "5s", "--", "ls", "-l", "--", "x", text=False)
    assert (done.returncode, done.stdout, done.stderr) == (42, b"out\xff\n", b"err\n")
    assert daemon.requested("POST", "/v1/instances/web/exec") == [
        {"command": ["ls", "-l", "--", "x"], "timeout-ms": 5000}]


def test_exec_sends_its_input(daemon):
    daemon.answer("POST", "/v1/instances/web/exec", {"exit-code": 0, "stdout": "", "stderr": ""})
    assert stead(daemon, "exec", "-i", "web", "cat", "-n", input="häh\n").returncode == 0
    body, = daemon.requested("POST", "/v1/instances/web/exec")
    assert body["input"] == "häh\n" and body["command"] == ["cat", "-n"]


STEERING = b"\x1b[1mbold\x1b[0m\x1b[2J\n\x1b]0;owned\x07"


def test_logs_are_plain_text_where_no_terminal_is(daemon):
    daemon.answer("GET", "/v1/instances/web/logs", STEERING)
    assert stead(daemon, "logs", "web", "--tail", "5", text=False).stdout == b"bold\n"
    assert daemon.requests[-1][2] == "tail=5"


def test_raw_logs_are_copied_byte_for_byte_where_no_terminal_is(daemon):
    daemon.answer("GET", "/v1/instances/web/logs", STEERING)
    assert stead(daemon, "logs", "--raw", "web", text=False).stdout == STEERING
    assert daemon.requests[-1][2] == "raw=1"


@pytest.mark.parametrize("options, no_colour, expected", [
    ([], "", "\x1b[1mbold\x1b[0m\r\n"),
    ([], "1", "bold\r\n"),
    (["--raw"], "1", "\x1b[1mbold\x1b[0m\r\n"),
])
def test_logs_to_a_terminal_are_harmless(daemon, options, no_colour, expected):
    daemon.answer("GET", "/v1/instances/web/logs", STEERING)
    terminal = Terminal(daemon, "logs", *options, "web", NO_COLOR=no_colour)
    terminal.finish()
    assert terminal.text == expected


@pytest.mark.parametrize("status, code", [("ok", 0), ("warn", 0), ("fail", 1)])
def test_doctor_says_how_to_mend(daemon, status, code):
    daemon.answer("GET", "/v1/doctor", {"ok": code == 0, "checks": [
        {"id": "kvm", "title": "KVM", "status": status, "found": "no /dev/kvm", "why": "speed",
         "mend": "modprobe kvm"}]})
    done = stead(daemon, "doctor")
    assert done.returncode == code and done.stdout.startswith("%-6s  KVM: no /dev/kvm\n" % status)
    assert ("mend: modprobe kvm" in done.stdout) == (status != "ok")


def test_doctor_falls_back_to_the_program(root):
    program = root / "stead-daemon"
    program.write_text("#!/bin/sh\necho \"$@\"\nexit 1\n")
    program.chmod(0o755)
    daemon = FakeDaemon(root)
    environment = daemon.environment(STEAD_DAEMON=str(program))
    done = subprocess.run([STEAD, "doctor", "--format", "json"], env=environment, text=True,
                          capture_output=True, timeout=20)
    assert (done.returncode, done.stdout) == (1, "--doctor --format json\n")
    assert "the daemon does not answer" in done.stderr


def test_a_reader_that_goes_away_ends_it(daemon):
    daemon.instance("web")
    log = daemon.log("web")
    process = subprocess.Popen([STEAD, "logs", "-f", "web"], env=daemon.environment(),
                               stdout=subprocess.PIPE)
    log.put(b"one\n")
    assert process.stdout.readline() == b"one\n"
    process.stdout.close()
    log.put(b"two\n")
    assert process.wait(10) == -signal.SIGPIPE


# --- starting the daemon ---

SERVING = """#!/usr/bin/env python3
import os, signal, sys
sys.path.insert(0, %r)
from fake_daemon import FakeDaemon
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
with FakeDaemon(os.environ["STEAD_ROOT"]) as fake:
    fake.answer("GET", "/v1", {"pid": os.getpid(), "version": "9", "api": "v1"})
    signal.sigwait([signal.SIGTERM])
"""


def program(root, text):
    path = root / "stead-daemon"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_the_daemon_is_started_and_ended(root):
    served = program(root, SERVING % str(pathlib.Path(__file__).parent))
    fake = FakeDaemon(root)
    environment = fake.environment(STEAD_DAEMON=served)

    def daemon(verb):
        return subprocess.run([STEAD, "daemon", verb], env=environment, capture_output=True, text=True,
                              timeout=30)
    try:
        assert daemon("start").returncode == 0
        assert "Daemon:" in daemon("status").stdout
        assert daemon("start").returncode == 0
    finally:
        ended = daemon("stop")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert daemon("stop").returncode == 0
    assert daemon("status").returncode == 10


def test_a_daemon_that_ends_at_once_is_told(root):
    broken = program(root, "#!/bin/sh\necho broken >&2\nexit 1\n")
    environment = FakeDaemon(root).environment(STEAD_DAEMON=broken)
    done = subprocess.run([STEAD, "daemon", "start"], env=environment, capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 10 and "ended right after its start" in done.stderr
    assert (root / "lib" / "daemon.log").read_text() == "broken\n"


# --- waiting ---


def test_wait_ends_when_it_is_ready(daemon):
    daemon.instance("web", ready=False, stage="kernel")
    process = begin(daemon, "wait", "web")
    assert next_line(process) == "web: running: kernel\n"
    daemon.emit("instance.stage", "web", stage="login")
    assert next_line(process) == "web: running: login\n"
    daemon.emit("instance.ready", "web")
    assert next_line(process) == "web: ready: 10.77.0.10\n"
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


def test_wait_for_what_holds_already(daemon):
    daemon.instance("web")
    assert stead(daemon, "wait", "web", "--for", "ip").returncode == 0


def test_wait_for_a_stopped_instance_fails_at_once(daemon):
    daemon.instance("web", state="stopped", ready=False)
    done = stead(daemon, "wait", "web")
    assert done.returncode == 5 and "stead start web" in done.stderr


def test_wait_for_an_unknown_instance_fails(daemon):
    assert stead(daemon, "wait", "nobody").returncode == 3


def test_wait_for_a_project_is_for_all_of_its_instances(daemon):
    daemon.instance("web", project="lab")
    daemon.instance("other", state="stopped", ready=False)
    daemon.instance("db", project="lab", ready=False)
    process = begin(daemon, "wait", "lab")
    assert {next_line(process), next_line(process)} == {"web: ready: 10.77.0.10\n", "db: running\n"}
    daemon.emit("instance.ready", "db")
    assert process.communicate(timeout=10) and process.returncode == 0


def test_wait_takes_a_name_for_an_instance_first(daemon):
    daemon.instance("db", project="web", ready=False)
    daemon.instance("web")
    assert stead(daemon, "wait", "web").returncode == 0


def test_wait_for_a_line_of_a_project_needs_one_instance(daemon):
    for name in ("web", "db"):
        daemon.instance(name, project="lab")
    done = stead(daemon, "wait", "lab", "--for", "console:x")
    assert done.returncode == 2 and "takes one instance" in done.stderr


def test_wait_gives_up_in_time(daemon):
    daemon.instance("web", ready=False)
    done = stead(daemon, "wait", "web", "--timeout", "100ms")
    assert done.returncode == 14


def test_wait_for_a_line_of_the_console(daemon):
    daemon.instance("web")
    log = daemon.log("web")
    log.put(b"[  OK  ] Started.\r\nDebian \x1b[1mweb\x1b[0m lo")
    process = begin(daemon, "wait", "web", "--for", "console:web login: $")
    log.put(b"gin: ")
    assert process.communicate(timeout=10) and process.returncode == 0


def test_wait_refuses_a_wrong_condition(daemon):
    done = stead(daemon, "wait", "web", "--for", "redy")
    assert done.returncode == 2 and "Did you mean 'ready'?" in done.stderr
    assert stead(daemon, "wait", "web", "--for", "console:(").returncode == 2


def test_wait_outlives_a_restart_of_the_daemon(root):
    with FakeDaemon(root) as daemon:
        web = daemon.instance("web", ready=False)
        process = begin(daemon, "wait", "web")
        assert next_line(process) == "web: running\n"
    assert process.poll() is None
    with FakeDaemon(root) as daemon:
        daemon.instances.append({**web, "ready": True})
        process.communicate(timeout=10)
    assert process.returncode == 0


# --- jobs ---


def test_run_follows_to_ready(daemon):
    job = daemon.job("POST", "/v1/instances", "instance.create", "web")
    process = begin(daemon, "run", "--name", "web", "debian:12")
    wait_until(lambda: daemon.requested("GET", "/v1/instances"))
    daemon.emit("job.progress", "web", id=job["id"], stage="downloading", progress=0.42)
    assert next_line(process) == "web: waiting: downloading\n"
    daemon.instance("web", state="running", ready=False, addresses=[])
    daemon.emit("instance.state", "web", **{"from": "starting", "to": "running"})
    assert next_line(process) == "web: running\n"
    daemon.finish(job)
    daemon.emit("instance.stage", "web", stage="cloud-init")
    assert next_line(process) == "web: running: cloud-init\n"
    daemon.emit("instance.ready", "web")
    assert next_line(process) == "web: ready\n"
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_failed_job_is_the_commands_failure(daemon):
    job = daemon.job("POST", "/v1/images/pull", "image.pull", "debian:12")
    process = begin(daemon, "image", "pull", "debian:12")
    wait_until(lambda: daemon.requested("POST", "/v1/images/pull"))
    daemon.finish(job, "failed", {"code": "verification", "message": "it is not what was published",
                                  "hint": "Try again."})
    out, err = process.communicate(timeout=10)
    assert process.returncode == 8
    assert err == "stead: it is not what was published\nhint: Try again.\n"


def test_a_failed_guest_shows_its_last_lines(daemon):
    job = daemon.job("POST", "/v1/instances/web/start", "instance.start", "web")
    web = daemon.instance("web", state="stopped", ready=False)
    daemon.answer("GET", "/v1/instances/web/logs", b"one\nKernel panic\x1b[0m!\n")
    process = begin(daemon, "start", "web")
    wait_until(lambda: daemon.requested("POST", "/v1/instances/web/start"))
    web.update(state="running")
    daemon.finish(job)
    web.update(state="failed", error="the guest panicked")
    daemon.emit("instance.state", "web", **{"from": "running", "to": "failed"})
    _, err = process.communicate(timeout=10)
    assert process.returncode == 13
    assert "  | Kernel panic!\n" in err and "web failed: the guest panicked" in err


def test_several_are_stopped_together_and_one_refusal_does_not_keep_the_others(daemon):
    daemon.instance("a")
    daemon.instance("b")
    job = daemon.job("POST", "/v1/instances/a/stop", "instance.stop", "a")
    daemon.fail("POST", "/v1/instances/b/stop", 409, "busy", "a job on 'b' is under way")
    job["state"] = "done"
    done = stead(daemon, "stop", "a", "b", "--timeout", "10s")
    assert done.returncode == 6 and "a job on 'b'" in done.stderr
    assert daemon.requested("POST", "/v1/instances/a/stop") == [{"timeout-ms": 10000, "force": False}]


def test_events_as_json_lines(daemon):
    daemon.instance("web", ready=False)
    process = begin(daemon, "wait", "web", "--format", "json")
    daemon.emit("instance.stage", "other", stage="kernel")
    daemon.emit("instance.ready", "web")
    out, _ = process.communicate(timeout=10)
    assert [json.loads(line)["type"] for line in out.splitlines()] == ["instance.ready"]


# --- specs ---

SPEC = """name: lab
instances:
  web:
    image: debian:12
    count: 2
"""


def test_up_shows_the_plan_first(daemon, tmp_path):
    (tmp_path / "lab.yaml").write_text(SPEC)
    daemon.answer("POST", "/v1/plan", {"actions": [
        {"action": "create", "what": "instance", "name": "web-1"},
        {"action": "none", "what": "network", "name": "default"}]})
    done = stead(daemon, "up", "--dry-run", str(tmp_path / "lab.yaml"))
    assert done.returncode == 0 and done.stdout == "+ create         instance web-1\n"
    assert daemon.requested("POST", "/v1/up") == []


def test_up_follows_every_instance(daemon, tmp_path):
    (tmp_path / "lab.yaml").write_text(SPEC)
    daemon.answer("POST", "/v1/plan", {"actions": []})
    job = daemon.job("POST", "/v1/up", "spec.up", "lab")
    process = begin(daemon, "up", str(tmp_path / "lab.yaml"))
    wait_until(lambda: daemon.requested("POST", "/v1/up"))
    daemon.instance("web-1")
    daemon.instance("web-2")
    daemon.finish(job)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 0, err
    assert "web-1: ready" in out and "web-2: ready" in out


def test_up_does_not_remove_without_being_told(daemon, tmp_path):
    (tmp_path / "lab.yaml").write_text(SPEC)
    daemon.answer("POST", "/v1/plan", {"actions": [{"action": "remove", "what": "instance", "name": "db"}]})
    done = stead(daemon, "up", str(tmp_path / "lab.yaml"), stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and "--yes" in done.stderr
    assert daemon.requested("POST", "/v1/up") == []


def test_files_are_read_beside_the_spec(daemon, tmp_path):
    (tmp_path / "seed.yaml").write_text("#cloud-config\n")
    (tmp_path / "lab.yaml").write_text(SPEC + "    user-data-file: seed.yaml\n")
    daemon.answer("POST", "/v1/plan", {"actions": []})
    stead(daemon, "up", "-n", str(tmp_path / "lab.yaml"))
    body, = daemon.requested("POST", "/v1/plan")
    assert body["spec"]["instances"]["web"]["user-data"] == "#cloud-config\n"
    assert "user-data-file" not in body["spec"]["instances"]["web"]


def test_files_of_keys_are_read_beside_the_spec(daemon, tmp_path):
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKhxPjbqRhYkQsg5bnd5qD0cF5nbHLFeEkH1J1aQ8HfK a@b"
    (tmp_path / "id.pub").write_text(key + "\n")
    (tmp_path / "lab.yaml").write_text(SPEC + "    ssh-keys: [id.pub]\n")
    daemon.answer("POST", "/v1/plan", {"actions": []})
    assert stead(daemon, "up", "-n", str(tmp_path / "lab.yaml")).returncode == 0
    body, = daemon.requested("POST", "/v1/plan")
    assert body["spec"]["instances"]["web"]["ssh-keys"] in (key, [key])


def test_a_missing_file_is_said_with_its_place(daemon, tmp_path):
    path = tmp_path / "lab.yaml"
    path.write_text(SPEC + "    user-data-file: nothing.yaml\n")
    done = stead(daemon, "up", str(path))
    assert done.returncode == 3 and "%s:6:21: " % path in done.stderr and "nothing.yaml" in done.stderr


def test_a_wrong_spec_never_reaches_the_daemon(daemon, tmp_path):
    path = tmp_path / "lab.yaml"
    path.write_text("name: lab\ninstances:\n  web:\n    imag: debian:12\n    cpus: -1\n")
    done = stead(daemon, "up", str(path))
    assert done.returncode == 2 and "%s:4:5: " % path in done.stderr and "image" in done.stderr
    assert daemon.requests == []


def test_down_takes_a_name_or_a_file(daemon, tmp_path):
    (tmp_path / "lab.yaml").write_text(SPEC)
    job = daemon.job("POST", "/v1/down", "spec.down", "lab")
    job["state"] = "done"
    assert stead(daemon, "down", "lab", "--volumes").returncode == 0
    assert stead(daemon, "down", str(tmp_path / "lab.yaml")).returncode == 0
    assert daemon.requested("POST", "/v1/down") == [{"project": "lab", "volumes": True},
                                                    {"project": "lab", "volumes": False}]


# --- live lines ---


def test_live_lines_are_redrawn_in_place(daemon):
    web = daemon.instance("web", ready=False, stage="kernel", addresses=[])
    terminal = Terminal(daemon, "wait", "web")
    terminal.read_until(r"web +.*running.*kernel")
    daemon.emit("instance.stage", "web", stage="login", line="\x1b[2Jweb login:")
    terminal.read_until(r"\x1b\[1A\r\x1b\[J.*login  \| web login:")
    web.update(ready=True, addresses=["10.77.0.10"])
    daemon.emit("instance.ready", "web")
    assert terminal.finish() == 0
    assert "\x1b[32mready" in terminal.text and "\x1b[2J" not in terminal.text


def test_no_color_is_heeded(daemon):
    daemon.instance("web")
    terminal = Terminal(daemon, "wait", "web", NO_COLOR="1")
    assert terminal.finish() == 0 and "\x1b[3" not in terminal.text


def test_live_lines_fit_a_small_terminal(daemon):
    for n in range(50):
        daemon.instance("web-%d" % n, ready=n < 30)
    terminal = Terminal(daemon, "wait", *["web-%d" % n for n in range(50)], rows=6, columns=40)
    terminal.read_until(r"… and 46 more: 30 ready, 16 running|… and 46 more: 16 running, 30 ready")
    terminal.interrupt()
    assert terminal.finish() == 130
    assert all(len(re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line)) < 40
               for line in terminal.text.split("\nInterrupted")[0].split("\r\n"))


def test_interrupting_leaves_it_running_and_says_how_to_go_on(daemon):
    daemon.job("POST", "/v1/instances", "instance.create", "web")
    terminal = Terminal(daemon, "run", "--name", "web", "debian:12")
    terminal.read_until("waiting")
    terminal.interrupt()
    assert terminal.finish() == 130
    assert "stead wait web --for ready" in terminal.text and "stead logs -f web" in terminal.text
    assert not [r for r in daemon.requests if r[0] == "DELETE"]


# --- completion ---


def test_names_are_completed_by_the_daemon(daemon):
    daemon.instance("web")
    daemon.instance("database")
    assert stead(daemon, "__complete", "--", "show", "w").stdout == "web\n"
    daemon.answer("GET", "/v1/instances/web/snapshots", [{"name": "s1"}])
    assert stead(daemon, "__complete", "--", "snapshot", "rm", "web", "").stdout == "s1\n"


def test_completion_without_a_daemon_is_silent(root):
    done = stead(FakeDaemon(root), "__complete", "--", "show", "w")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
