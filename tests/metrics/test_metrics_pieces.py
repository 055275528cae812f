from __future__ import annotations

import gzip
import zlib

from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.pieces import EMPTY, Piece, compress, join
from exporter.metrics.pieces import gzip as packed

PARTS = st.lists(
    st.one_of(st.binary(max_size=300), st.binary(min_size=1, max_size=5).map(lambda data: data * 500)), max_size=6
)


@given(PARTS)
def test_pieces_in_a_row_are_the_gzip_of_all_their_bytes(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    assert gzip.decompress(packed(join(map(compress, parts)))) == whole
    assert zlib.decompress(packed(join(map(compress, parts))), 31) == whole


@given(PARTS)
def test_a_join_knows_the_checksum_and_length_of_the_whole(parts: list[bytes]) -> None:
    joined = join(map(compress, parts))
    whole = b"".join(parts)
    assert (joined.crc, joined.length) == (zlib.crc32(whole), len(whole))


@given(PARTS, st.integers(0, 6))
def test_it_does_not_matter_in_which_steps_pieces_are_joined(parts: list[bytes], at: int) -> None:
    pieces = [compress(part) for part in parts]
    assert join([join(pieces[:at]), join(pieces[at:])]) == join(pieces)


@given(PARTS)
def test_a_piece_can_be_used_again_and_again(parts: list[bytes]) -> None:
    pieces = [compress(part) for part in parts]
    assert gzip.decompress(packed(join([*pieces, *pieces]))) == b"".join(parts) * 2


def test_nothing_is_an_empty_file() -> None:
    assert compress(b"") is EMPTY
    assert join([]) == EMPTY
    assert gzip.decompress(packed(EMPTY)) == b""


def test_empty_pieces_leave_no_trace() -> None:
    piece = compress(b"clopos")
    assert join([EMPTY, piece, EMPTY]) == piece


def test_a_gigabyte_is_joined_by_arithmetic_alone() -> None:
    megabyte = compress(b"\0" * 2**20)
    doubled = Piece(b"", megabyte.crc, megabyte.length)
    for _ in range(10):
        doubled = join([doubled, doubled])
    crc = 0
    for _ in range(2**10):
        crc = zlib.crc32(b"\0" * 2**20, crc)
    assert (doubled.crc, doubled.length) == (crc, 2**30)
