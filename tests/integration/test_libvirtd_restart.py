# SPDX-License-Identifier: Apache-2.0
"""libvirtd is killed and comes back while guests run. It is a private one: see private-libvirt."""

import pathlib
import subprocess
import sys

import pytest

import stead

HERE = pathlib.Path(__file__).resolve().parent
NOT_ALLOWED = 77


def test_libvirtd_restarted_while_instances_run():
    reason = stead.why_not()
    if reason:
        pytest.skip(reason)
    done = subprocess.run(
        [sys.executable, HERE / "private-libvirt", sys.executable, HERE / "libvirtd_restart.py"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode == NOT_ALLOWED:
        pytest.skip(done.stderr.strip())
    print(done.stdout, done.stderr, sep="\n")
    assert done.returncode == 0
