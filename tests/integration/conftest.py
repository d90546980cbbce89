# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration tests: daemons on scratch roots, always taken away again."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import guest as guests  # noqa: E402  (the path comes first)
import images  # noqa: E402
import stead  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Leaves the outcome on the item, so that fixtures can tell a failed test."""
    outcome = yield
    report = outcome.get_result()
    setattr(item, "report_" + report.when, report)


def failed(request):
    reports = (getattr(request.node, "report_" + when, None) for when in ("setup", "call"))
    return any(report is not None and report.failed for report in reports)


@pytest.fixture
def make_daemon(request):
    """make_daemon(env={...}) starts a daemon on a root of its own. After the test all that is of
    its root is removed from the host; when the test failed, the end of its log is shown."""
    reason = stead.why_not()
    if reason:
        pytest.skip(reason)
    daemons = []

    def make(start=True, **options):
        daemon = stead.Daemon(stead.scratch_root(), **options)
        daemons.append(daemon)
        return daemon.start() if start else daemon

    yield make
    for daemon in daemons:
        if failed(request):
            print(f"---- {daemon.log} ----\n{daemon.tail(80)}")
        daemon.cleanup()


@pytest.fixture
def daemon(make_daemon):
    """A daemon that has adopted (nothing) and is idle."""
    return make_daemon()


@pytest.fixture
def clean_daemon(daemon):
    """As `daemon`; and in the end, when the test passed, removes everything through the API and
    asserts that nothing is left on the host."""
    yield daemon
    if not daemon.running():
        daemon.start()
    daemon.api.remove_everything()
    stead.assert_clean(daemon)


@pytest.fixture(scope="session")
def guest():
    """The Debian guest, booted; for tests that leave it as it is."""
    reason = stead.why_not()
    if reason:
        pytest.skip(reason)
    daemon = stead.Daemon(stead.scratch_root()).start()
    try:
        made = guests.Guest(daemon)
        try:
            made.boot()
        except images.Unavailable as why:
            pytest.skip(str(why))
        yield made
        if not daemon.running():
            daemon.start()
        daemon.api.remove_everything()
        stead.assert_clean(daemon)
    finally:
        daemon.cleanup()


@pytest.fixture
def fresh(guest):
    """The guest, for a test that changes it: it is taken back to its first ready moment."""
    guest.reset()
    return guest


@pytest.fixture(scope="module")
def blank_host():
    """A daemon with the image of the tiny guests, for all tests of a file."""
    reason = stead.why_not()
    if reason:
        pytest.skip(reason)
    daemon = stead.Daemon(stead.scratch_root()).start()
    try:
        stead.import_blank(daemon)
        yield daemon
    finally:
        daemon.cleanup()


@pytest.fixture
def blank(blank_host):
    """As `blank_host`; what a test makes is removed at its end, the image excepted."""
    yield blank_host
    if not blank_host.running():
        blank_host.start()
    for item in blank_host.api.instances():
        blank_host.api.remove(item["name"])
    for kind in ("volumes", "networks"):
        for item in blank_host.api.get(f"/v1/{kind}"):
            blank_host.api.run("DELETE", f"/v1/{kind}/{stead.quote(item['name'])}")
