# SPDX-License-Identifier: Apache-2.0
"""What the tests of a whole stead share lies in tests/integration."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
