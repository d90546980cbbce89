# SPDX-License-Identifier: Apache-2.0
"""What was answered with a job is done, also by the next daemon, if this one ends before its turn.

The guest's QEMU is stopped (SIGSTOP), so that a job on it takes as long as the test wants, and what
is asked for next has to wait.
"""

import contextlib
import os
import signal
import time

import pytest
import stead


@pytest.fixture
def web(make_daemon):
    daemon = make_daemon()
    stead.import_blank(daemon)
    daemon.api.create("web", stead.blank_spec())
    return daemon


@contextlib.contextmanager
def held(daemon, action="pause"):
    """A job is at work on the instance, and does not end within the block."""
    pid = daemon.host.qemu_pids()["web"]
    os.kill(pid, signal.SIGSTOP)
    try:
        job = daemon.api.post(f"/v1/instances/web/{action}")
        stead.poll(
            lambda: daemon.api.get(f"/v1/jobs/{job['id']}")["state"] == "running", 10, "the job"
        )
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def asked(daemon):
    (record,) = daemon.records("instance").values()
    return record.get("asked"), record.get("asked-force", False)


def test_a_promised_stop_is_done(web):
    with held(web):
        web.api.post("/v1/instances/web/stop", {"force": True})
        assert asked(web) == ("stop", True)
        web.kill()
    web.start()
    assert web.api.instance("web")["state"] == "stopped"
    assert asked(web) == (None, False)


def test_a_promised_restart_is_done(web):
    before = web.host.qemu_pids()["web"]
    with held(web):
        web.api.post("/v1/instances/web/restart", {"force": True})
        assert asked(web) == ("restart", True)
        web.kill()
    web.start()
    assert web.api.instance("web")["state"] == "running"
    assert web.host.qemu_pids()["web"] != before
    assert asked(web) == (None, False)


def test_a_promised_start_is_done(web):
    with held(web, "stop"):
        web.api.post("/v1/instances/web/start")
        assert asked(web) == ("start", False)
        web.kill()
        os.kill(web.host.qemu_pids()["web"], signal.SIGKILL)
        stead.poll(lambda: web.host.domains()["web"] == "shut off", 10, "the guest's end")
    web.start()
    assert web.api.instance("web")["state"] == "running"
    assert asked(web) == (None, False)


def test_a_promised_removal_is_done(web):
    with held(web):
        web.api.delete("/v1/instances/web?force=1")
        assert asked(web) == ("remove", True)
        with pytest.raises(stead.ApiError, match="about to be removed"):
            web.api.post("/v1/instances/web/start")
        web.kill()
    web.start()
    assert web.api.instances() == []
    web.api.remove_everything()
    stead.assert_clean(web)


def test_a_daemon_that_is_stopped_leaves_its_promises_to_the_next(web):
    with held(web):
        web.api.post("/v1/instances/web/stop", {"force": True})
        web.stop()
    web.start()
    assert web.api.instance("web")["state"] == "stopped"


@pytest.mark.parametrize("delay_ms", [0, 5, 10, 20, 40, 80, 160])
def test_a_creation_that_the_daemon_s_end_cuts_off_goes_on(make_daemon, delay_ms):
    daemon = make_daemon()
    stead.import_blank(daemon)
    daemon.api.post("/v1/instances", {"name": "new", "spec": stead.blank_spec(), "start": True})
    time.sleep(delay_ms / 1000)  # not to wait: to end it in each of its steps
    daemon.stop()
    daemon.start()
    daemon.api.wait_instance("new", state="running")
    daemon.api.remove_everything()
    stead.assert_clean(daemon)


def test_what_is_cancelled_before_its_turn_is_taken_back(web):
    with held(web):
        first = web.api.post("/v1/instances/web/restart", {"timeout-ms": 5000})
        assert asked(web) == ("restart", False)
        last = web.api.post("/v1/instances/web/pause")
        assert asked(web) == ("pause", False)
        web.api.delete(f"/v1/jobs/{last['id']}")
        assert asked(web) == ("restart", False)
        web.api.delete(f"/v1/jobs/{first['id']}")
        assert asked(web) == (None, False)
        before = web.host.qemu_pids()["web"]
        web.kill()
    web.start()
    assert web.api.instance("web")["state"] in ("running", "paused")
    assert web.host.qemu_pids()["web"] == before
