# SPDX-License-Identifier: Apache-2.0
"""The ELF file inside a bzImage, as Debian and Ubuntu pack it (LZ4's legacy format, or xz)."""

import lzma
import struct

LZ4_LEGACY = b"\x02\x21\x4c\x18"
SETUP_SECTORS, PAYLOAD = 0x1f1, 0x248  # in the setup header


def _length(data, at, first):
    """A length whose first 4 bits are 15 goes on in the bytes at `at`."""
    if first < 15:
        return first, at
    while data[at] == 255:
        first, at = first + 255, at + 1
    return first + data[at], at + 1


def _lz4_block(data):
    out, at = bytearray(), 0
    while at < len(data):
        token = data[at]
        literals, at = _length(data, at + 1, token >> 4)
        out += data[at:at + literals]
        at += literals
        if at >= len(data):
            break
        distance = data[at] | data[at + 1] << 8
        length, at = _length(data, at + 2, token & 15)
        start = len(out) - distance
        repeated = bytes(out[start:start + length + 4])
        while len(repeated) < length + 4:
            repeated += repeated
        out += repeated[:length + 4]
    return bytes(out)


def _lz4(data):
    out, at, end = bytearray(), len(LZ4_LEGACY), len(data) - 4  # the size stands at the end
    while at < end:
        size, = struct.unpack_from("<I", data, at)
        out += _lz4_block(data[at + 4:at + 4 + size])
        at += 4 + size
    return bytes(out)


def extract(image):
    """The ELF file of a bzImage, or None where it is packed in another way."""
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    start = ((image[SETUP_SECTORS] or 4) + 1) * 512 + offset
    packed = image[start:start + length]
    if packed.startswith(LZ4_LEGACY):
        return _lz4(packed)
    if packed.startswith(b"\xfd7zXZ"):
        return lzma.LZMADecompressor().decompress(packed)
    return None
