# SPDX-License-Identifier: Apache-2.0
"""stead-kvm-probe where KVM works, and where there is none."""

import json
import os
from pathlib import Path

import pytest

import nested_host

BUILD = Path(os.environ.get("STEAD_BUILD_DIR", Path(__file__).resolve().parents[2] / "build"))
PROBE = BUILD / "src/vmm/stead-kvm-probe"


def answers(commands, **options):
    if not PROBE.exists():
        pytest.skip(f"{PROBE} is not built (STEAD_BUILD_DIR names the build folder)")
    try:
        lines = nested_host.run({"stead-kvm-probe": PROBE}, commands, **options)
    except nested_host.Unavailable as missing:
        pytest.skip(str(missing))
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_real_kvm_is_usable():
    # Several times, because a host that answers differently each time would be of no use.
    found = answers(["stead-kvm-probe", "stead-kvm-probe", "stead-kvm-probe"])
    assert len(found) == 3
    for answer in found:
        assert answer["status"] == "usable", answer
        assert answer["step"] is None
        assert answer["failed"] == []
        assert 0 < answer["slowdown"] < 20


def test_kvm_that_loses_registers_is_no_matter_of_luck():
    # Whether it loses what a guest sets by XSETBV is a matter of the emulator's version
    # (nested_host.py), and the probe says so each time.
    found = answers(["stead-kvm-probe"] * 6, cpu=nested_host.CPU_WITH_XSAVE)
    expected = (("unusable", "xsetbv") if nested_host.qemu_version() < nested_host.QEMU_KEEPS_XCR0
                else ("usable", None))
    assert [(answer["status"], answer["step"]) for answer in found] == [expected] * 6


def test_kernel_without_kvm_is_absent():
    found = answers(["stead-kvm-probe"], with_kvm=False)
    assert [answer["status"] for answer in found] == ["absent"]
    assert found[0]["step"] == "open device"
