from __future__ import annotations

import gzip
import zlib

from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.deflate import EMPTY, Deflated, compress, join
from exporter.metrics.deflate import gzip as packed

PARTS = st.lists(
    st.one_of(st.binary(max_size=300), st.binary(min_size=1, max_size=5).map(lambda data: data * 500)), max_size=6
)


@given(PARTS)
def test_blocks_in_a_row_are_the_gzip_of_all_their_bytes(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    assert gzip.decompress(packed(join(map(compress, parts)))) == whole
    assert zlib.decompress(packed(join(map(compress, parts))), 31) == whole


@given(PARTS)
def test_a_join_knows_the_checksum_and_length_of_the_whole(parts: list[bytes]) -> None:
    joined = join(map(compress, parts))
    whole = b"".join(parts)
    assert (joined.crc, joined.length) == (zlib.crc32(whole), len(whole))


@given(PARTS, st.integers(0, 6))
def test_it_does_not_matter_in_which_steps_blocks_are_joined(parts: list[bytes], at: int) -> None:
    blocks = [compress(part) for part in parts]
    assert join([join(blocks[:at]), join(blocks[at:])]) == join(blocks)


@given(PARTS)
def test_a_block_can_be_used_again_and_again(parts: list[bytes]) -> None:
    blocks = [compress(part) for part in parts]
    assert gzip.decompress(packed(join([*blocks, *blocks]))) == b"".join(parts) * 2


def test_nothing_is_an_empty_file() -> None:
    assert compress(b"") is EMPTY
    assert join([]) == EMPTY
    assert gzip.decompress(packed(EMPTY)) == b""


def test_empty_blocks_leave_no_trace() -> None:
    block = compress(b"clopos")
    assert join([EMPTY, block, EMPTY]) == block


def test_a_gigabyte_is_joined_by_arithmetic_alone() -> None:
    megabyte = compress(b"\0" * 2**20)
    doubled = Deflated(b"", megabyte.crc, megabyte.length)
    for _ in range(10):
        doubled = join([doubled, doubled])
    crc = 0
    for _ in range(2**10):
        crc = zlib.crc32(b"\0" * 2**20, crc)
    assert (doubled.crc, doubled.length) == (crc, 2**30)
