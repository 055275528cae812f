"""A simulated Clopos and the exporter in one process, on one clock that may run faster than outside."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from threading import Event
from typing import Any

from exporter import log
from exporter.app.daemon import Daemon
from exporter.clock import Clock
from exporter.config import Settings
from exporter.simulator import Simulator, World
from exporter.simulator.traffic import RequestRecord

STATIONS = 20
QUOTA_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """A simulator and a daemon that share a clock."""

    clock: Clock
    simulator: Simulator
    daemon: Daemon

    def wait(self, seconds: float) -> None:
        """Let so many seconds of the clock pass."""
        self.clock.wait(Event(), seconds)

    def requests(
        self, endpoint: str | None = None, since: float = 0.0, until: float = float("inf")
    ) -> list[RequestRecord]:
        """Return the requests that came in between two wall times."""
        return [entry for entry in self.simulator.traffic.entries(endpoint=endpoint) if since <= entry.at < until]

    def gaps(self, since: float = 0.0, until: float = float("inf")) -> list[float]:
        """Return the seconds between consecutive polls of the same venue, for those that end in this time."""
        polls: dict[tuple[str | None, str | None], list[float]] = defaultdict(list)
        for entry in self.requests("stations", until=until):
            polls[entry.brand, entry.venue].append(entry.at)
        return [b - a for times in polls.values() for a, b in pairwise(times) if b >= since]


@contextmanager
def fleet(
    *, brands: int = 1, venues: int, speed: float, changes_per_minute: float = 0.0, **settings: Any
) -> Iterator[Fleet]:
    """Run a simulator that enforces its limits, and a daemon that watches all of it."""
    clock = Clock(speed)
    world = World.generate(brands=brands, venues=venues, stations=STATIONS, clock=clock)
    output = log.configure("error", "json", io.TextIOWrapper(io.BytesIO()))
    with Simulator(world, changes_per_minute=changes_per_minute) as simulator:
        sections = [{**simulator.credentials(brand), "base_url": simulator.url} for brand in world.brands]
        configured = Settings.model_validate({"brands": sections, **settings})
        daemon = Daemon(lambda: configured, output, clock)
        daemon.start()
        try:
            yield Fleet(clock, simulator, daemon)
        finally:
            daemon.stop()


def most_within(times: list[float], seconds: float) -> int:
    """Return the largest number of moments within any stretch of so many seconds."""
    most = first = 0
    for last, time in enumerate(times):
        while times[first] <= time - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
