# SPDX-License-Identifier: Apache-2.0
"""What a 64-bit ELF program needs to be loaded."""

import struct

PT_DYNAMIC, PT_INTERP = 2, 3
DT_NEEDED = 1


def _segments(data, kind):
    offset, = struct.unpack_from("<Q", data, 32)
    size, n = struct.unpack_from("<HH", data, 54)
    for i in range(n):
        found, _, start, _, _, length = struct.unpack_from("<IIQQQQ", data, offset + i * size)
        if found == kind:
            yield data[start:start + length]


def interpreter(data):
    """The path of the dynamic linker, or None."""
    assert data[:5] == b"\x7fELF\x02"
    return next((path.rstrip(b"\0") for path in _segments(data, PT_INTERP)), None)


def libraries(data):
    """How many shared libraries it names."""
    return sum(tag == DT_NEEDED for table in _segments(data, PT_DYNAMIC)
               for tag, _ in struct.iter_unpack("<QQ", table[:len(table) // 16 * 16]))
