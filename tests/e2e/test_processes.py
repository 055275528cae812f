"""Several real processes with one database: who polls, who says so, and who takes over."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from harness import Exporter, configuration

from exporter.simulator import Simulator, World

TAKEOVER_SECONDS = 15.0

Start = Callable[..., Exporter]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(World.generate(brands=12, venues=1, stations=3), tiers=None) as simulator:
        yield simulator


@pytest.fixture
def start(simulator: Simulator, database_url: str, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def start_one(name: str, **settings: Any) -> Exporter:
            settings = {"poll_interval": "1s", "state": {"url": database_url}, **settings}
            return stack.enter_context(Exporter(tmp_path / name, configuration(simulator, **settings)))

        yield start_one


def owned(exporter: Exporter) -> set[str]:
    return {labels["brand"] for labels, value in exporter.metrics().all("clopos_exporter_brand_owned") if value == 1}


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "waited in vain"
        time.sleep(0.1)
    return time.monotonic() - began


@pytest.mark.slow
def test_processes_divide_the_brands_and_a_killed_ones_are_taken_over(simulator: Simulator, start: Start) -> None:
    brands = set(simulator.world.brands)
    first = start("first")
    wait_until(lambda: owned(first) == brands)
    second = start("second")
    wait_until(lambda: bool(owned(second)) and owned(first) == brands - owned(second))
    first.kill()
    assert wait_until(lambda: owned(second) == brands) < TAKEOVER_SECONDS


@pytest.mark.slow
def test_a_process_that_ends_hands_over_at_once(simulator: Simulator, start: Start) -> None:
    brands = set(simulator.world.brands)
    first, second = start("first"), start("second")
    wait_until(lambda: bool(owned(first) and owned(second)) and owned(first) | owned(second) == brands)
    first.stop()
    assert wait_until(lambda: owned(second) == brands) < 4.0


@pytest.mark.slow
def test_every_process_shows_all_brands_and_is_ready(simulator: Simulator, start: Start) -> None:
    brands = set(simulator.world.brands)
    first, second = start("first"), start("second")
    wait_until(lambda: bool(owned(first) and owned(second)) and owned(first) | owned(second) == brands)

    def shown(exporter: Exporter) -> set[str]:
        return {row["brand"] for row in json.loads(exporter.get("/api/v1/venues").body)["data"]}

    wait_until(lambda: shown(first) == shown(second) == brands)
    wait_until(lambda: first.get("/-/ready").status == second.get("/-/ready").status == 200)


@pytest.mark.slow
def test_a_stopped_process_is_taken_over_and_gives_up_when_it_goes_on(simulator: Simulator, start: Start) -> None:
    brands = set(simulator.world.brands)
    first = start("first")
    wait_until(lambda: owned(first) == brands)
    first.send(signal.SIGSTOP)
    second = start("second")
    try:
        assert wait_until(lambda: owned(second) == brands) < TAKEOVER_SECONDS
    finally:
        first.send(signal.SIGCONT)
    assert first.until_event("brand.lease_lost")
    wait_until(lambda: not owned(first) & owned(second) and owned(first) | owned(second) == brands)
