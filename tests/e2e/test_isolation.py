"""Seven brands fail in every way, the log blocks and reloads rain: the healthy brand beside them notices nothing."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from harness import brand_section, configuration
from test_event_log import Piped

from exporter.simulator import Simulator, World
from exporter.simulator.misbehaviour import CATALOGUE

SECONDS = 60.0
INTERVAL = 2
VENUES = 5


class Brands:
    """A healthy brand and seven others, each with a fault of its own that changes every few seconds."""

    def __init__(self, simulator: Simulator, seed: int) -> None:
        self.simulator = simulator
        self.healthy, *self.failing = simulator.world.brands
        self._chance = random.Random(seed)  # noqa: S311 - runs have to repeat
        self.switched: list[tuple[str, str, int]] = []

    def misbehave(self) -> None:
        """Inject another fault into every failing brand, wherever it acts."""
        self.simulator.faults.clear()
        for brand in self.failing:
            kind = self._chance.choice(sorted(CATALOGUE))
            self.simulator.faults.add(kind, brand=brand)

    def switch(self) -> None:
        """Switch a station of the healthy brand, each at most once in two polls so that every change can be seen."""
        venue, station = str(len(self.switched) % VENUES + 1), str(len(self.switched) // VENUES % 3 + 1)
        status = 1 - self.simulator.world.station(self.healthy, venue, station)["status"]
        self.simulator.world.set_status(self.healthy, venue, station, status)
        self.switched.append((venue, station, status))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_healthy_brand_keeps_its_polls_loses_no_event_and_shows_no_false_value(seed: int, tmp_path: Path) -> None:
    world = World.generate(brands=8, venues=VENUES, stations=4, seed=seed)
    with Simulator(world, tiers=None) as simulator:
        brands = Brands(simulator, seed)
        for venue in map(str, range(1, VENUES + 1)):
            for station in "1234":
                world.set_status(brands.healthy, venue, station, 1)
        exporter = Piped(tmp_path, simulator)
        config = configuration(simulator, poll_interval=f"{INTERVAL}s", state={"path": "state.db"})
        exporter.configure(config)
        with exporter:
            exporter.until_ready(venues=8 * VENUES)
            exporter.until_polled(brand=brands.healthy)
            before = polls(exporter, brands.healthy)
            began = time.monotonic()
            number = 0
            while time.monotonic() < began + SECONDS:
                brands.misbehave()
                brands.switch()
                number += 1
                if number % 3 == 0:
                    exporter.reading.clear()
                else:
                    exporter.reading.set()
                ignored = brand_section(simulator, brands.failing[0], ignore_stations=[str(number)])
                rest = [brand_section(simulator, brand) for brand in (brands.healthy, *brands.failing[1:])]
                exporter.configure({**config, "brands": [*rest, ignored]})
                exporter.reload()
                time.sleep(3)
            polled, seconds = polls(exporter, brands.healthy) - before, time.monotonic() - began
            exporter.reading.set()
            simulator.faults.clear()
            assert polled >= 0.95 * VENUES * (seconds / INTERVAL - 1), f"{polled} polls in {seconds:.0f} s"
            for venue, station, status in brands.switched[-VENUES:]:
                exporter.until_value(
                    status, "clopos_station_active", brand=brands.healthy, venue_id=venue, station_id=station
                )
            exporter.until(lambda: len(switches(exporter, brands.healthy)) >= len(brands.switched), "every event")
            assert switches(exporter, brands.healthy) == brands.switched
            assert exporter.events("venue.", brand=brands.healthy) == []
            assert exporter.events("brand.", brand=brands.healthy) == []


def polls(exporter: Piped, brand: str) -> float:
    return exporter.metrics("clopos_venue_polls_total").total("clopos_venue_polls_total", brand=brand)


def switches(exporter: Piped, brand: str) -> list[tuple[str, str, int]]:
    names = {"station.activated": 1, "station.deactivated": 0}
    events = [event for event in exporter.events("station.", brand=brand) if event["event"] in names]
    return [(event["venue_id"], event["station_id"], names[event["event"]]) for event in events]
