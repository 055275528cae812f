"""Several processes that divide the brands, each of which learns its share from its pod's name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from harness import Exporter, Samples, configuration

from exporter.config.sharding import shard_of
from exporter.simulator import Simulator, World

BRANDS, VENUES, SHARDS = 12, 2, 3

Series = tuple[str, tuple[tuple[str, str], ...]]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(World.generate(brands=BRANDS, venues=VENUES, stations=3), tiers=None) as simulator:
        yield simulator


def scrape_each(simulator: Simulator, folder: Path, shards: int) -> list[Samples]:
    """Start so many shards together, as a StatefulSet does, and scrape each once it knows its brands."""
    with ExitStack() as stack:
        exporters = [
            stack.enter_context(
                Exporter(
                    folder / f"{shard}-of-{shards}",
                    configuration(simulator, poll_interval="30s"),
                    flags=[f"--total-shards={shards}"],
                    env={"POD_NAME": f"clopos-exporter-{shard}"},
                )
            )
            for shard in range(shards)
        ]
        for shard, exporter in enumerate(exporters):
            exporter.until_ready(VENUES * sum(shard_of(brand, shards) == shard for brand in simulator.world.brands))
        return [exporter.metrics() for exporter in exporters]


def known(samples: Samples) -> Counter[Series]:
    """Return what a process says about Clopos; what it says about itself is its own."""
    return Counter(
        (name, tuple(sorted(labels.items())))
        for name in samples.names
        if name.startswith(("clopos_station", "clopos_venue", "clopos_brand"))
        for labels, _ in samples.all(name)
    )


@pytest.mark.slow
def test_the_shards_together_say_what_one_process_says_and_nothing_twice(simulator: Simulator, tmp_path: Path) -> None:
    (whole,) = scrape_each(simulator, tmp_path, 1)
    parts = scrape_each(simulator, tmp_path, SHARDS)
    assert sum(map(known, parts), Counter[Series]()) == known(whole)
    assert len(whole.label_values("clopos_brand_up", "brand")) == BRANDS
    for shard, part in enumerate(parts):
        assert part.label_values("clopos_brand_up", "brand")
        assert part.value("clopos_exporter_shard_ordinal") == shard
        assert part.value("clopos_exporter_total_shards") == SHARDS


@pytest.mark.slow
def test_one_shard_more_takes_brands_over_and_moves_no_other(simulator: Simulator, tmp_path: Path) -> None:
    before, after = (
        [part.label_values("clopos_brand_up", "brand") for part in scrape_each(simulator, tmp_path, shards)]
        for shards in (SHARDS, SHARDS + 1)
    )
    assert all(later <= earlier for earlier, later in zip(before, after, strict=False))
    assert set().union(*after) == set().union(*before)
    assert 0 < len(after[SHARDS]) <= BRANDS // 2
