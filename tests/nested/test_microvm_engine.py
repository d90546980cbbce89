# SPDX-License-Identifier: Apache-2.0
"""The runtime on a KVM that works: daemon, command line and stead-vmm, end to end.

engine_checks.py runs inside the nested host, once; each of its lines is a test here.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import engine_checks
import images
import nested_host

BUILD = Path(os.environ.get("STEAD_BUILD_DIR", engine_checks.REPO / "build")).resolve()
NEEDED = ["src/vmm/stead-vmm", "src/vmm/stead-kvm-probe", "src/api/stead-daemon", "src/cli/stead",
          "src/guest/agent", "src/vmm/stead-log"]
PROGRAMS = ["libvirtd", "virtlogd", "virsh", "dnsmasq", "iptables", "qemu-img"]
PYTHON = "/usr/bin/python3"
# What libvirt's networks need of the kernel.
MODULES = ["crc32c_generic", "tun", "bridge", "nf_tables", "nft_compat", "nft_chain_nat", "nf_nat",
           "nf_conntrack", "xt_MASQUERADE", "xt_conntrack", "xt_tcpudp", "xt_CHECKSUM",
           "ipt_REJECT", "ip6t_REJECT"]


def as_published(image, folder):
    """The image as Ubuntu makes its own: compressed, and of qcow2's version 2."""
    published = folder / "published.qcow2"
    subprocess.run(["qemu-img", "convert", "-c", "-O", "qcow2", "-o", "compat=0.10", image, published],
                   check=True)
    return published


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("needs root: the nested host reads this one's files")
    for needed in (BUILD / name for name in NEEDED):
        if not needed.exists():
            pytest.skip(f"{needed} is not built (STEAD_BUILD_DIR names the build folder)")
    for program in PROGRAMS:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    try:
        image = as_published(images.path(engine_checks.IMAGE), tmp_path_factory.mktemp("image"))
        command = [PYTHON, "-B", engine_checks.__file__, image]
        return nested_host.run_system(command, {"STEAD_BUILD_DIR": BUILD}, memory="4G", wanted=MODULES)
    except (images.Unavailable, nested_host.Unavailable) as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("name", [check.__name__ for check in engine_checks.CHECKS])
def test_check(lines, name):
    found = [line for line in lines if re.match(rf"(not )?ok {re.escape(name)}\b", line)]
    assert found, "the check did not run; the nested host's last lines:\n" + "\n".join(lines[-20:])
    assert found[0].startswith("ok "), "\n".join(lines)
