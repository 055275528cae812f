"""Gzip in pieces: each piece is compressed once and can be joined with others again and again.

A piece ends on a byte boundary without ending the stream (a sync flush, RFC 1951 section 3.2.4), and refers to nothing
before itself, so that pieces in a row are one valid deflate stream. The checksum of the whole follows from those of the
pieces, because CRC-32 is linear: the remainder of a message is that of its head, shifted by the length of its tail,
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


class Piece(NamedTuple):
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


def compress(data: bytes) -> Piece:
    """Compress a piece."""
    if not data:
        return EMPTY
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return Piece(deflated, zlib.crc32(data), len(data))


def join(pieces: Iterable[Piece]) -> Piece:
    """Join pieces to one, in their order."""
    crc, length, deflated = 0, 0, []
    for piece in pieces:
        if piece.length:
            crc = _multiply(crc, _shift(piece.length)) ^ piece.crc if length else piece.crc
            length += piece.length
            deflated.append(piece.deflated)
    return Piece(b"".join(deflated), crc, length)


def gzip(piece: Piece) -> bytes:
    """Make a gzip file (RFC 1952) of a piece."""
    ending = piece.crc.to_bytes(4, "little") + (piece.length & 0xFFFFFFFF).to_bytes(4, "little")
    return b"".join((_HEADER, piece.deflated, _END, ending))


EMPTY = Piece(b"", 0, 0)
