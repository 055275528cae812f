"""Gzip in blocks: each block is compressed once and can be joined with others again and again.

A block ends on a byte boundary without ending the stream (a sync flush, RFC 1951 section 3.2.4), and refers to nothing
before itself, so that blocks in a row are one valid deflate stream. The checksum of the whole follows from those of the
blocks, because CRC-32 is linear: the remainder of a message is that of its head, shifted by the length of its tail,
plus that of the tail.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

LEVEL = 1
"""Exposition text repeats itself so much that higher levels save little and cost several times the time."""

_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31
"""The polynomial 1, with the coefficient of x^0 in the highest bit, as CRC-32 has it."""

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"  # RFC 1952: deflate, no time, fastest, unknown system
_END = b"\x03\x00"  # RFC 1951: a last block that holds nothing


class Deflated(NamedTuple):
    """Compressed bytes that do not end the stream, with the checksum and length of what they hold."""

    deflated: bytes
    crc: int
    length: int


def _times_x(a: int) -> int:
    """Multiply a polynomial by x, modulo that of CRC-32; bits run from x^0 downwards."""
    return (a >> 1) ^ _POLYNOMIAL if a & 1 else a >> 1


_TIMES_X2 = [_times_x(_times_x(a)) for a in range(4)]
"""What the two lowest bits become, as they leave the end."""


def _multiply(a: int, b: int) -> int:
    """Multiply two polynomials over GF(2), modulo that of CRC-32, two bits of `a` at a time (Horner's rule)."""
    bx = _times_x(b)
    times = (0, bx, b, b ^ bx)
    product = times[a & 3]
    for position in range(2, 32, 2):
        product = (product >> 2) ^ _TIMES_X2[product & 3] ^ times[a >> position & 3]
    return product


def _squares() -> list[int]:
    """Return x^8, x^16, x^32 and so on: the shifts by 1, 2, 4... bytes."""
    powers = [_ONE >> 8]
    for _ in range(40):
        powers.append(_multiply(powers[-1], powers[-1]))
    return powers


_SHIFTS = _squares()


@lru_cache(maxsize=2**14)
def _shift(length: int) -> int:
    """Return x^(8 * length): what so many bytes do to the checksum of all before them."""
    if not length:
        return _ONE
    # The lowest bit goes first, so that lengths of about the same size share what is left.
    lowest = length & -length
    return _multiply(_shift(length ^ lowest), _SHIFTS[lowest.bit_length() - 1])


def compress(data: bytes) -> Deflated:
    """Compress a block."""
    if not data:
        return EMPTY
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return Deflated(deflated, zlib.crc32(data), len(data))


def join(blocks: Iterable[Deflated]) -> Deflated:
    """Join blocks to one, in their order."""
    crc, length, deflated = 0, 0, []
    for block in blocks:
        if block.length:
            crc = _multiply(crc, _shift(block.length)) ^ block.crc if length else block.crc
            length += block.length
            deflated.append(block.deflated)
    return Deflated(b"".join(deflated), crc, length)


def gzip(block: Deflated) -> bytes:
    """Make a gzip file (RFC 1952) of a block."""
    ending = block.crc.to_bytes(4, "little") + (block.length & 0xFFFFFFFF).to_bytes(4, "little")
    return b"".join((_HEADER, block.deflated, _END, ending))


EMPTY = Deflated(b"", 0, 0)
