"""A brand at work against the simulator, on a clock and a scheduler that are moved by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from threading import Event as StopEvent
from typing import Any

from fakes import FakeClock, ManualScheduler
from prometheus_client.parser import text_string_to_metric_families

from exporter.app.brand import BrandMonitor
from exporter.app.registry import ViewRegistry
from exporter.app.services import Services
from exporter.app.source import ProcessSource
from exporter.clopos.limits import IpLimits
from exporter.config import Settings
from exporter.config.settings import Brand
from exporter.journal import Entry
from exporter.metrics.exposition import Exposition
from exporter.metrics.telemetry import Telemetry
from exporter.scheduling.pool import WorkerPool
from exporter.simulator import Simulator
from exporter.store.memory import MemoryStore
from exporter.views import Scrape


class FakeOutput:
    """A log output that writes nothing."""

    up = True

    def __init__(self) -> None:
        self.masked: set[str] = set()

    def mask(self, secrets: Iterable[str]) -> None:
        self.masked |= set(secrets)

    def start(self) -> None:
        """Do nothing."""

    def stop(self, seconds: float) -> None:
        """Do nothing."""

    def emit(self, events: Iterable[object]) -> bool:
        return bool([*events])


def settings(simulator: Simulator, **rest: Any) -> Settings:
    """Configure the brands of a simulator; `rest` goes to each brand."""
    brands = [{**simulator.credentials(brand), "base_url": simulator.url, **rest} for brand in simulator.world.brands]
    return Settings.model_validate({"brands": brands})


def common(brand: Brand, poll_interval: float = 30.0) -> Settings:
    """Return the settings of the process that polls a brand."""
    return Settings(brands=(brand,), poll_interval=poll_interval, discovery_interval=300.0, stale_after=300.0)


class Work:
    """One running brand; `new_entries` holds the entries of the journal since the last call of `events`."""

    def __init__(self, brand: Brand, clock: FakeClock, store: MemoryStore | None = None) -> None:
        self.clock = clock
        self.scheduler = ManualScheduler(clock)
        self.stop = StopEvent()
        self.store = store or MemoryStore()
        self.telemetry = Telemetry(
            lambda: [self.brand.view()], lambda: None, incidents=lambda: [*self.brand.incidents()]
        )
        self.exposition = Exposition(self.telemetry, clock)
        self.registry = ViewRegistry(clock, self.exposition)
        services = self.services = Services(
            clock=clock,
            stop=self.stop,
            scheduler=self.scheduler,  # type: ignore[arg-type]
            pool=WorkerPool(),
            ip_limits=IpLimits(clock, self.stop),
            store=self.store,
            registry=self.registry,
            telemetry=self.telemetry,
        )
        self.brand = BrandMonitor(brand, common(brand), services)
        self.scheduler.after_jobs = self._after_jobs

    @property
    def new_entries(self) -> Sequence[Entry]:
        return self.store.entries_after(self.store.cursor(), 10_000)

    def _after_jobs(self) -> None:
        self.brand.loop.join(10)
        self.brand.review()

    def run(self, seconds: float) -> None:
        self.scheduler.run(seconds)

    def events(self) -> list[str]:
        """Return the events since the last call, incidents left out."""
        entries = self.new_entries
        if entries:
            self.store.advance(entries[-1].id)
        return [entry.event.value for entry in entries if not entry.event.startswith("incident.")]

    def incidents(self) -> list[tuple[str, str]]:
        """Return the transitions of incidents so far: the event and the kind of incident."""
        entries = self.store.entries_after(0, 10_000)
        return [(entry.event.value, entry.details["incident"]) for entry in entries if "incident" in entry.details]

    def scrape(self, accept: str, accept_encoding: str, names: frozenset[str]) -> Scrape:
        self.registry.refresh()
        return self.exposition.scrape(accept, accept_encoding, names)


def samples(scraped: Exposition | Work | ProcessSource, name: str) -> dict[tuple[str, ...], float]:
    """Scrape the samples of a name, by their label values in the order of the labels' names."""
    text = scraped.scrape("text/plain", "", frozenset({name})).body.decode()
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }
