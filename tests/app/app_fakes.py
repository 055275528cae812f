"""A brand at work against the simulator, on a clock and a scheduler that are moved by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import Event as StopEvent
from typing import Any

from fakes import FakeClock, ManualScheduler
from prometheus_client.parser import text_string_to_metric_families

from exporter.app.brand import BrandMonitor, Rooms
from exporter.app.overview import Overview
from exporter.clopos.limits import IpLimits
from exporter.config import Settings
from exporter.config.settings import Brand
from exporter.metrics.exposition import Exposition
from exporter.metrics.telemetry import Telemetry
from exporter.model import Change, Venue
from exporter.simulator import Simulator
from exporter.store.memory import MemoryStore


class FakeOutput:
    """A log output that hides nothing, because nothing is written."""

    def __init__(self) -> None:
        self.hidden: list[str] = []

    def hide(self, secrets: Iterable[str]) -> None:
        self.hidden = list(secrets)

    def batch(self) -> AbstractContextManager[None]:
        return nullcontext()


def settings(simulator: Simulator, **rest: Any) -> Settings:
    """Configure the brands of a simulator; `rest` goes to each brand."""
    brands = [{**simulator.credentials(brand), "base_url": simulator.url, **rest} for brand in simulator.world.brands]
    return Settings.model_validate({"brands": brands})


class Work:
    """One brand at work; what it tells stands in `told`."""

    def __init__(self, brand: Brand, clock: FakeClock, store: MemoryStore | None = None) -> None:
        self.clock = clock
        self.scheduler = ManualScheduler(clock)
        self.stop = StopEvent()
        self.store = store or MemoryStore()
        self.told: list[Change] = []
        self.telemetry = Telemetry(lambda: [self.brand.view()], lambda: None)
        self.overview = Overview(clock, lambda venue: self.brand.rules(venue, 300.0), self._interval)
        self.exposition = Exposition(self.telemetry, clock, self.overview.settle)
        self.overview.show_in(self.exposition)
        rooms = Rooms(
            clock=clock,
            stop=self.stop,
            scheduler=self.scheduler,  # type: ignore[arg-type]
            address=IpLimits(clock, self.stop),
            store=self.store,
            overview=self.overview,
            telemetry=self.telemetry,
            tell=self.tell,
        )
        self.brand = BrandMonitor(brand, rooms, poll_interval=30.0, discovery_interval=300.0)
        self.scheduler.settled = lambda: self.brand.watch.join(10)

    def tell(self, changes: Sequence[Change]) -> None:
        self.told += changes

    def run(self, seconds: float) -> None:
        self.scheduler.run(seconds)

    def events(self) -> list[str]:
        """Give the events told since the last call."""
        events = [change.event.value for change in self.told]
        self.told.clear()
        return events

    def _interval(self, _venue: Venue) -> float:
        return self.brand.watch.rota.interval


def samples(exposition: Exposition, name: str) -> dict[tuple[str, ...], float]:
    """Scrape the samples of a name, by their label values in the order of the labels' names."""
    text = exposition.scrape("text/plain", "", frozenset({name})).body.decode()
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }
