"""Brands that fail or hang beside one that works: it keeps its polls, and they are whole soon after Clopos is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Exporter, brand_section

from exporter.simulator import Simulator, World

BRANDS, VENUES = 9, 10
PER_MINUTE = 120
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
        exporter.until(lambda: total(exporter, "clopos_venue_up") == BRANDS * VENUES, "all venues")
        yield exporter


def total(exporter: Exporter, name: str, **labels: str) -> float:
    """Return the sum of a metric, and scrape nothing else: to parse it all would take longer than to serve it."""
    return exporter.metrics(name).total(name, **labels)


def polls(exporter: Exporter, brand: str) -> float:
    return total(exporter, "clopos_venue_polls_total", brand=brand)


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
    exporter.until(lambda: total(exporter, "clopos_venue_up") == BRANDS * VENUES, "all venues again")
    if fault != "latency":  # what hangs was asked before and is waited for
        assert time.monotonic() - began <= INTERVAL + 15 + 5, "an interval and 15 s, and 5 s for a busy machine"


HANGING = 45


@pytest.mark.slow
def test_45_brands_that_hang_leave_scrapes_and_a_healthy_one_alone(tmp_path: Path) -> None:
    """Before there was one bounded pool, 45 brands had up to 1,440 threads, and a scrape took seconds."""
    with Simulator(World.generate(brands=HANGING + 1, venues=VENUES, stations=2)) as simulator:
        healthy, *hanging = simulator.world.brands
        for brand in hanging:
            simulator.faults.add("latency", brand=brand, endpoint="stations", seconds=60)
        brands = [
            {"brand": brand, "token": simulator.tokens.issue(brand)[0], "base_url": simulator.url}
            for brand in simulator.world.brands
        ]
        with Exporter(tmp_path, {"poll_interval": "2s", "brands": brands}) as exporter:
            exporter.until(lambda: total(exporter, "clopos_venue_up", brand=healthy) == VENUES, "its venues")
            interval = exporter.metrics().all("clopos_venue_poll_interval_seconds", brand=healthy)[0][1]
            began, before, scrapes = time.monotonic(), polls(exporter, healthy), []
            while time.monotonic() < began + 20:
                at = time.monotonic()
                exporter.get("/metrics")
                scrapes.append(time.monotonic() - at)
                time.sleep(0.2)
            done, seconds = polls(exporter, healthy) - before, time.monotonic() - began
            threads = len(list(Path(f"/proc/{exporter.pid}/task").iterdir()))
            assert done >= 0.95 * VENUES * (seconds / interval - 1)
            assert statistics.median(scrapes) < 0.25, "a busy machine's; it is a few milliseconds"
            assert threads < 300, "4 a brand that hangs, 64 that they share, and those of the process"
            assert total(exporter, "clopos_venue_poll_failures_total", brand=healthy) == 0
