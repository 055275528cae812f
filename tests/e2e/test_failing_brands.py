"""Brands that fail or hang beside one that works: it keeps its polls, and they are whole soon after Clopos is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Exporter, brand_section

from exporter.simulator import Simulator, World

BRANDS, VENUES = 9, 10
PER_MINUTE = 60
INTERVAL = VENUES / PER_MINUTE * 60 * 1.02
SECONDS = 4 * INTERVAL


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(World.generate(brands=BRANDS, venues=VENUES, stations=2)) as simulator:
        yield simulator


@pytest.fixture
def exporter(simulator: Simulator, tmp_path: Path) -> Iterator[Exporter]:
    brands = [brand_section(simulator, brand, requests_per_minute=PER_MINUTE) for brand in simulator.world.brands]
    with Exporter(tmp_path, {"poll_interval": "1s", "brands": brands}) as exporter:
        exporter.until_ready()
        exporter.until(lambda: exporter.metrics().total("clopos_venue_up") == BRANDS * VENUES, "all venues")
        yield exporter


def polls(exporter: Exporter, brand: str) -> float:
    return exporter.metrics().total("clopos_venue_polls_total", brand=brand)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["server_error", "not_found", "latency"])
def test_brands_that_fail_leave_a_healthy_one_its_polls(simulator: Simulator, exporter: Exporter, fault: str) -> None:
    healthy, *failing = simulator.world.brands
    for brand in failing:
        simulator.faults.add(fault, brand=brand, endpoint="stations", **({"seconds": 60} if fault == "latency" else {}))
    time.sleep(INTERVAL)  # until each of them was asked and failed
    began, before = time.monotonic(), polls(exporter, healthy)
    time.sleep(SECONDS)
    done, seconds = polls(exporter, healthy) - before, time.monotonic() - began
    assert done >= 0.95 * VENUES * seconds / INTERVAL - 1
    shown = exporter.metrics()
    assert shown.total("clopos_venue_up", brand=healthy) == VENUES
    assert shown.total("clopos_venue_poll_failures_total", brand=healthy) == 0
    simulator.faults.clear()
    began = time.monotonic()
    exporter.until(lambda: exporter.metrics().total("clopos_venue_up") == BRANDS * VENUES, "all venues again")
    if fault != "latency":  # what hangs was asked before and is waited for
        assert time.monotonic() - began <= INTERVAL + 15 + 5, "an interval and 15 s, and 5 s for a busy machine"
