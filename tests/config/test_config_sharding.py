from __future__ import annotations

import pytest

from exporter.config import Brand, owned
from exporter.config.sharding import ordinal, shard_of

BRANDS = tuple(Brand(brand=f"brand-{number}") for number in range(1000))


@pytest.mark.parametrize("total", [1, 2, 3, 4, 7])
def test_the_shards_together_are_the_whole_and_no_brand_is_there_twice(total: int) -> None:
    together = [brand.brand for shard in range(total) for brand in owned(BRANDS, shard, total)]
    assert sorted(together) == sorted(brand.brand for brand in BRANDS)


@pytest.mark.parametrize("total", [2, 3, 4, 7])
def test_every_shard_has_about_its_share(total: int) -> None:
    for shard in range(total):
        assert len(owned(BRANDS, shard, total)) == pytest.approx(1000 / total, rel=0.2)


def test_one_shard_more_moves_only_what_it_takes_over() -> None:
    moved = [brand for brand in BRANDS if shard_of(brand.brand, 3) != shard_of(brand.brand, 4)]
    assert all(shard_of(brand.brand, 4) == 3 for brand in moved)
    assert len(moved) == pytest.approx(250, rel=0.2)


def test_a_brand_stays_where_it_is_when_others_come_and_go() -> None:
    before = owned(BRANDS, 1, 3)
    fewer = BRANDS[::2]
    assert owned(fewer, 1, 3) == tuple(brand for brand in before if brand in fewer)


def test_every_release_puts_a_brand_on_the_same_shard() -> None:
    assert [shard_of(f"brand-{number}", 4) for number in range(8)] == [1, 3, 3, 2, 3, 3, 0, 3]


@pytest.mark.parametrize(
    ("environ", "shard"),
    [
        ({"HOSTNAME": "clopos-exporter-0"}, 0),
        ({"HOSTNAME": "clopos-exporter-12"}, 12),
        ({"HOSTNAME": "node-7", "POD_NAME": "clopos-exporter-3"}, 3),
        ({"HOSTNAME": "clopos-exporter-3", "POD_NAME": ""}, 3),
    ],
)
def test_the_ordinal_of_a_pod_is_its_shard(environ: dict[str, str], shard: int) -> None:
    assert ordinal(environ) == shard


@pytest.mark.parametrize("environ", [{}, {"HOSTNAME": "laptop"}, {"HOSTNAME": "clopos-exporter-5f6d8-x2z"}])
def test_another_name_has_no_ordinal(environ: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="needs --shard as well"):
        ordinal(environ)
