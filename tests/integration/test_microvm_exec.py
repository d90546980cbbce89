# SPDX-License-Identifier: Apache-2.0
"""Commands and files of a running microVM: live streams, terminals, signals, copies; and what is
left in the guest when somebody dies: nothing.

One tiny machine `a` for all tests.
"""

import concurrent.futures
import contextlib
import fcntl
import hashlib
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

import guest as guests
import stead
from microvms import TINY as IMAGE, leave_clean, open_site

LARGE = 50_000_000
PATIENCE = 60


@pytest.fixture(scope="module")
def site():
    with open_site() as site:
        site.run(IMAGE, "a", "--memory", "256M", "--cpus", "1", timeout=300)
        yield site
        leave_clean(site)


@pytest.fixture
def folder(site):
    """A folder of the test's own in the guest."""
    site.sh("a", "rm -rf /root/t; mkdir /root/t")
    yield "/root/t"
    site.sh("a", "rm -rf /root/t")


def start(site, *args, **options):
    """The CLI as a child with pipes of bytes."""
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([str(stead.CLI), *map(str, args)], env=site.daemon.env, **options)


def end(child):
    with contextlib.suppress(ProcessLookupError):
        child.kill()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()
    child.wait(PATIENCE)


def mark(script, name):
    """A command that says when it runs, and can be found by its name."""
    return ["sh", "-c", f"echo begun; {script}; :", name]


def runs(site, name):
    """Whether a process of that name is in the guest. The brackets keep it from finding itself."""
    return site.cli("exec", "a", "--", "sh", "-c", f"ps | grep -q '[{name[0]}]{name[1:]}'", check=False).returncode == 0


def await_gone(site, name):
    stead.poll(lambda: not runs(site, name), PATIENCE, f"{name} to end in the guest")


@pytest.fixture(scope="module")
def large():
    data = os.urandom(1 << 20)
    return (data * (LARGE // len(data) + 1))[:LARGE]


# ---- streams ----


def test_both_outputs_and_the_code(site):
    done = site.cli("exec", "a", "--", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_output_comes_while_the_command_runs(site):
    child = start(site, "exec", "a", "--", "sh", "-c", "echo one; read line; echo $line >&2; read line")
    try:
        assert child.stdout.readline() == b"one\n"
        child.stdin.write(b"two\n")
        child.stdin.flush()
        assert child.stderr.readline() == b"two\n"
        assert child.poll() is None
        child.stdin.close()
        child.wait(PATIENCE)
    finally:
        end(child)


def test_a_large_input_and_output(site, large):
    done = subprocess.run([stead.CLI, "exec", "a", "--", "cat"], env=site.daemon.env, input=large,
                          capture_output=True, timeout=300)
    assert done.returncode == 0 and done.stderr == b""
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(large).digest()


def test_input_from_a_file(site, large, tmp_path):
    path = tmp_path / "large"
    path.write_bytes(large)
    with open(path, "rb") as file:
        done = subprocess.run([stead.CLI, "exec", "a", "--", "sha256sum"], env=site.daemon.env, stdin=file,
                              capture_output=True, timeout=300)
    assert done.stdout.split()[0].decode() == hashlib.sha256(large).hexdigest()


def test_input_that_nobody_reads(site):
    child = start(site, "exec", "a", "--", "true", stdin=open("/dev/zero", "rb"))
    try:
        assert child.wait(PATIENCE) == 0
    finally:
        end(child)


def test_a_command_without_input_has_none(site):
    assert site.cli("exec", "a", "--", "cat").stdout == ""


def test_exit_codes(site):
    for script, code in (("exit 0", 0), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143)):
        assert site.cli("exec", "a", "--", "sh", "-c", script, check=False).returncode == code


def test_what_is_not_there(site):
    missing = site.cli("exec", "a", "--", "no-such-program", check=False)
    assert missing.returncode == 3 and "no-such-program" in missing.stderr and "hint" in missing.stderr
    assert site.cli("exec", "nobody", "--", "true", check=False).returncode == 3
    user = site.cli("exec", "--user", "nosuchuser", "a", "--", "true", check=False)
    assert user.returncode == 3 and "user" in user.stderr
    cwd = site.cli("exec", "--cwd", "/no/such", "a", "--", "true", check=False)
    assert cwd.returncode == 3 and "working directory" in cwd.stderr


def test_user_folder_and_variables(site):
    done = site.cli("exec", "--user", "1234", "--cwd", "/tmp", "--env", "X=a b", "--env", "STEAD_ROOT", "a", "--",
                    "sh", "-c", 'id -u; pwd; echo "$X"; echo "$STEAD_ROOT"')
    assert done.stdout.splitlines() == ["1234", "/tmp", "a b", str(site.daemon.root)]


def test_a_time_limit(site):
    began = time.monotonic()
    done = site.cli("exec", "--timeout", "1s", "a", "--", *mark("sleep 1000", "late"), check=False)
    assert done.returncode == 14 and done.stdout == "begun\n" and time.monotonic() - began < 30
    await_gone(site, "late")


def test_ten_at_once(site):
    def one(n):
        data = bytes([n]) * 3_000_000
        done = subprocess.run([stead.CLI, "exec", "a", "--", "sh", "-c", f"cat; exit {n}"], env=site.daemon.env,
                              input=data, capture_output=True, timeout=300)
        return done.returncode == n and done.stdout == data

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        assert all(pool.map(one, range(10)))


def test_a_reader_that_stops_holds_up_its_own_command_only(site):
    """Nobody reads its output: the daemon keeps a window of it, and goes on with others."""
    before = site.daemon.resident()
    child = start(site, "exec", "a", "--", "cat", "/dev/zero", stdin=subprocess.DEVNULL)
    try:
        child.stdout.read(1)
        for _ in range(20):
            assert site.sh("a", "echo on") == "on"
        assert site.daemon.resident() - before < 30 << 20
        assert resident(child.pid) < 60 << 20
    finally:
        end(child)
    await_gone(site, "cat /dev/zero")


def resident(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_command_that_does_not_read_holds_up_its_client(site):
    child = start(site, "exec", "a", "--", *mark("sleep 1000", "deaf"))
    try:
        assert child.stdout.readline() == b"begun\n"
        os.set_blocking(child.stdin.fileno(), False)
        written, deadline = 0, time.monotonic() + 3
        while time.monotonic() < deadline:
            _, writable, _ = select.select([], [child.stdin], [], 0.5)
            if not writable:
                break
            written += os.write(child.stdin.fileno(), bytes(65536))
        assert not writable and written < 2 << 20
        assert site.sh("a", "echo on") == "on"
    finally:
        end(child)
    await_gone(site, "deaf")


def test_a_pipe_that_breaks_ends_the_command(site):
    child = start(site, "exec", "a", "--", "yes", stdin=subprocess.DEVNULL)
    try:
        assert child.stdout.readline() == b"y\n"
        child.stdout.close()
        assert child.wait(PATIENCE) == -signal.SIGPIPE
        assert child.stderr.read() == b""
    finally:
        end(child)
    await_gone(site, "yes")


# ---- ends ----


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_the_commands(site, number):
    child = start(site, "exec", "a", "--", "sh", "-c", "trap 'echo caught; exit 5' INT TERM; echo begun; "
                  "while :; do sleep 0.1; done")
    try:
        assert child.stdout.readline() == b"begun\n"
        child.send_signal(number)
        assert child.stdout.readline() == b"caught\n"
        assert child.wait(PATIENCE) == 5
    finally:
        end(child)


def test_a_second_signal_leaves(site):
    child = start(site, "exec", "a", "--", "sh", "-c", "trap 'echo no' INT; echo begun; while :; do sleep 0.1; done",
                  "stubborn")
    try:
        assert child.stdout.readline() == b"begun\n"
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == b"no\n"
        child.send_signal(signal.SIGINT)
        assert child.wait(PATIENCE) == 130
    finally:
        end(child)
    await_gone(site, "stubborn")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP])
def test_a_client_that_dies_ends_its_command(site, how):
    child = start(site, "exec", "a", "--", *mark("sleep 1000", "orphan"))
    try:
        assert child.stdout.readline() == b"begun\n"
        assert runs(site, "orphan")
        child.send_signal(how)
        child.wait(PATIENCE)
    finally:
        end(child)
    await_gone(site, "orphan")


def test_a_daemon_that_dies_ends_its_commands(site):
    child = start(site, "exec", "a", "--", *mark("sleep 1000", "forsaken"))
    try:
        assert child.stdout.readline() == b"begun\n"
        site.daemon.kill()
        assert child.wait(PATIENCE) == 10
        assert b"connection" in child.stderr.read()
    finally:
        end(child)
        site.daemon.start()
    await_gone(site, "forsaken")
    assert site.sh("a", "echo on") == "on"


def test_nothing_of_a_command_is_written_down(site):
    site.cli("exec", "a", "--env", "TOKEN=hush-variable", "--", "sh", "-c", ": hush-argument; cat", input=b"hush-input\n")
    events = str(site.api.get("/v1/events"))
    log = site.daemon.log.read_text(errors="replace")
    assert "hush" not in events and "hush" not in log


# ---- terminals ----


class Terminal:
    """The CLI on a terminal of its own."""

    def __init__(self, site, *args, size=(33, 101)):
        self.screen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(site.daemon.env, TERM="xterm-test")
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
            os.execv(str(stead.CLI), [str(stead.CLI), *args])
        self.before = termios.tcgetattr(self.fd)

    def expect(self, pattern, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.screen)
            if found:
                self.screen = self.screen[found.end():]
                return found
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{pattern} did not come: {self.screen}"
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            assert data, f"{pattern} did not come before the end: {self.screen}"
            self.screen += data

    def type(self, text):
        os.write(self.fd, text)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def is_as_before(self):
        return termios.tcgetattr(self.fd) == self.before

    def wait(self):
        """The exit code, or minus the signal."""
        with contextlib.suppress(OSError):
            while select.select([self.fd], [], [], PATIENCE)[0] and os.read(self.fd, 65536):
                pass
        ended = stead.poll(lambda: os.waitpid(self.pid, os.WNOHANG)[1:] if self.has_ended() else None, PATIENCE,
                           "stead to end")
        self.pid = 0
        return os.waitstatus_to_exitcode(ended[0])

    def has_ended(self):
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


@contextlib.contextmanager
def terminal(site, *args, **options):
    opened = Terminal(site, *args, **options)
    try:
        yield opened
    finally:
        opened.close()


def test_a_shell_on_a_terminal(site):
    with terminal(site, "exec", "a", "--", "sh") as t:
        t.expect(rb"# ")
        t.type(b"tty; stty size; echo $TERM\n")
        t.expect(rb"/dev/pts/\d+\r\n33 101\r\nxterm-test\r\n")
        t.expect(rb"# ")
        t.type(b"trap 'echo changed' WINCH\n")
        t.resize(44, 77)
        t.expect(rb"# ")
        stead.poll(lambda: site.sh("a", "for t in /dev/pts/[0-9]*; do stty size -F $t; done") == "44 77", PATIENCE,
                   "the new size")
        t.type(b"exit 6\n")
        assert t.wait() == 6


def test_ctrl_c_on_a_terminal_is_the_commands(site):
    with terminal(site, "exec", "a", "--", "sh") as t:
        t.expect(rb"# ")
        t.type(b"sleep 1000\n")
        t.expect(rb"sleep 1000\r\n")
        stead.poll(lambda: runs(site, "sleep 1000"), PATIENCE, "sleep to begin")
        t.type(b"\x03")
        t.expect(rb"\^C")
        t.type(b"echo $?\n")
        t.expect(rb"130\r\n.*# ")
        t.type(b"\x04")
        assert t.wait() == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_terminal_is_as_it_was_after_a_signal(site, how):
    with terminal(site, "exec", "-t", "a", "--", *mark("sleep 1000", "onpty")) as t:
        t.expect(rb"begun")
        assert not t.is_as_before()
        os.kill(t.pid, how)
        stead.poll(t.is_as_before, PATIENCE, "the terminal to be as it was")
        assert t.wait() == 128 + how
    await_gone(site, "onpty")


def test_no_terminal_where_none_is_wanted(site):
    with terminal(site, "exec", "-T", "a", "--", "sh", "-c", "test -t 1 || echo none") as t:
        t.expect(rb"none\r\n")
        assert t.wait() == 0


def test_input_of_a_terminal_without_one_in_the_guest(site):
    with terminal(site, "exec", "-i", "a", "--", "sh", "-c", "read x; test -t 0 || echo got $x") as t:
        t.type(b"word\n")
        t.expect(rb"got word\r\n")
        assert t.wait() == 0


def test_a_terminal_for_a_script(site):
    done = site.cli("exec", "-t", "a", "--", "sh", "-c", "read x; test -t 1 && echo got $x", input=b"word\n")
    assert "got word\r\n" in done.stdout


# ---- files ----


@pytest.mark.parametrize("size, mode", [(0, 0o644), (1, 0o600), (LARGE, 0o751)])
def test_a_file_in_and_out(site, folder, large, tmp_path, size, mode):
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(large[:size])
    source.chmod(mode)
    site.cli("cp", source, f"a:{folder}/file", timeout=300)
    digest, shown, owner = site.sh("a", f"sha256sum < {folder}/file; stat -c '%a %s' {folder}/file; "
                                        f"stat -c %u:%g {folder}/file").splitlines()
    assert digest.split()[0] == hashlib.sha256(large[:size]).hexdigest()
    assert shown == f"{mode:o} {size}" and owner == "0:0"
    site.cli("cp", f"a:{folder}/file", back, timeout=300)
    assert back.read_bytes() == large[:size] and back.stat().st_mode & 0o7777 == mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "source"]
    assert site.sh("a", f"ls -A {folder}") == "file"


def test_into_folders_and_over_files(site, folder, tmp_path):
    source = tmp_path / "name"
    source.write_text("one")
    site.cli("cp", source, f"a:{folder}")
    source.write_text("two")
    site.cli("cp", source, f"a:{folder}/")
    assert site.sh("a", f"ls -A {folder}; cat {folder}/name") == "name\ntwo"
    target = tmp_path / "target"
    target.mkdir()
    site.cli("cp", f"a:{folder}/name", target)
    assert (target / "name").read_text() == "two"


def test_set_user_id_is_not_copied(site, folder, tmp_path):
    source = tmp_path / "tool"
    source.write_text("x")
    source.chmod(0o4755)
    site.cli("cp", source, f"a:{folder}/tool")
    assert site.sh("a", f"stat -c %a {folder}/tool") == "755"
    site.sh("a", f"chmod 6755 {folder}/tool")
    site.cli("cp", f"a:{folder}/tool", tmp_path / "back")
    assert (tmp_path / "back").stat().st_mode & 0o7777 == 0o755


def test_copies_from_and_to_pipes(site, folder, large):
    site.cli("cp", "-", f"a:{folder}/piped", input=large[:5_000_001])
    out = subprocess.run([stead.CLI, "cp", f"a:{folder}/piped", "-"], env=site.daemon.env, capture_output=True)
    assert out.returncode == 0 and out.stdout == large[:5_000_001]
    assert "MemTotal" in site.cli("cp", "a:/proc/meminfo", "-").stdout


def test_copies_that_cannot_be(site, folder, tmp_path):
    source = tmp_path / "source"
    source.write_text("x")
    cases = [
        (["a:/no/such/file", tmp_path / "x"], 3, "No such file"),
        ([tmp_path / "none", f"a:{folder}/x"], 3, "No such file"),
        ([source, "a:/no/such/folder/x"], 3, "No such file"),
        ([source, "nobody:/x"], 3, "nobody"),
        (["a:/root", tmp_path / "x"], 2, "is a folder"),
        ([tmp_path, f"a:{folder}/x"], 2, "is a folder"),
        (["-", f"a:{folder}"], 4, "is a folder"),
        (["a:/dev/zero", tmp_path / "x"], 2, "no file"),
        ([source, "a:relative"], 2, "absolute"),
        ([source, tmp_path / "other"], 2, "instance"),
        (["a:/etc/passwd", "a:/x"], 2, "instance"),
        (["a:/etc/passwd", tmp_path / "no" / "folder"], 3, "No such file"),
    ]
    for words, code, text in cases:
        done = site.cli("cp", *words, check=False)
        assert done.returncode == code and text in done.stderr, (words, done)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    assert site.sh("a", f"ls -A {folder}") == ""


def test_a_full_disk_in_the_guest(site, folder, large, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(large[:4_000_000])
    site.sh("a", f"mount -t tmpfs -o size=1m none {folder}; echo old > {folder}/file")
    try:
        done = site.cli("cp", source, f"a:{folder}/file", check=False)
        assert done.returncode == 7 and "No space left" in done.stderr
        assert site.sh("a", f"ls -A {folder}; cat {folder}/file") == "file\nold"
    finally:
        site.sh("a", f"umount {folder}")


def test_a_full_disk_here(site, folder, tmp_path):
    site.sh("a", f"head -c 4000000 /dev/zero > {folder}/file")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path], check=True)
    try:
        done = site.cli("cp", f"a:{folder}/file", tmp_path / "file", check=False)
        assert done.returncode == 7 and "No space left" in done.stderr
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_copy_that_is_ended_leaves_nothing_in_the_guest(site, folder, how):
    child = start(site, "cp", "-", f"a:{folder}/file")
    try:
        child.stdin.write(bytes(1 << 20))
        child.stdin.flush()
        stead.poll(lambda: site.sh("a", f"ls -A {folder}").startswith(".stead-"), PATIENCE, "the copy to begin")
        child.send_signal(how)
        child.wait(PATIENCE)
    finally:
        end(child)
    stead.poll(lambda: site.sh("a", f"ls -A {folder}") == "", PATIENCE, "the copy to go")


def test_a_copy_that_is_ended_leaves_nothing_here(site, tmp_path):
    site.sh("a", "dd if=/dev/zero of=/root/long bs=1 count=0 seek=4G")
    child = start(site, "cp", "a:/root/long", tmp_path / "file")
    try:
        stead.poll(lambda: any(path.stat().st_size for path in tmp_path.iterdir()), PATIENCE, "the copy to begin")
        child.send_signal(signal.SIGINT)
        assert child.wait(PATIENCE) == 130
        assert list(tmp_path.iterdir()) == []
    finally:
        end(child)
        site.sh("a", "rm -f /root/long")


# ---- other kinds ----


def test_a_virtual_machine_has_no_streams(blank):
    """Its agent cannot have them: what needs them says what to do instead, the rest asks as before."""
    blank.api.create("b", stead.blank_spec())
    refused = guests.cli(blank, "exec", "-t", "b", "--", "sh")
    assert refused.returncode == 12 and "stead console b" in refused.stderr
    assert guests.cli(blank, "exec", "--user", "x", "b", "--", "true").returncode == 12
    copied = guests.cli(blank, "cp", "b:/etc/passwd", "-")
    assert copied.returncode == 12 and "kind vm" in copied.stderr
    assert guests.cli(blank, "exec", "b", "--", "true", input=b"words").returncode == 13
    blank.api.act("b", "stop", {"force": True})
    stopped = guests.cli(blank, "exec", "b", "--", "true")
    assert stopped.returncode == 5 and "stead start b" in stopped.stderr
