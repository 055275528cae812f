"""The running exporter: start, reload, stop."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Sequence
from threading import Event, Lock, Thread

import structlog

from exporter import __version__
from exporter.app.brand import BrandMonitor, Rooms
from exporter.app.overview import Overview, VenueRules
from exporter.app.source import ReaderSource
from exporter.clock import Clock
from exporter.clopos.limits import IpLimits
from exporter.config import Settings
from exporter.errors import ConfigError, Fault
from exporter.events import Teller
from exporter.log import Output
from exporter.metrics.exposition import Exposition
from exporter.metrics.telemetry import Telemetry
from exporter.model import Venue
from exporter.scheduling.scheduler import Scheduler
from exporter.store import Store, open_store
from exporter.views import BrandView
from exporter.web.endpoints import Checks
from exporter.web.server import Server

SWITCH_SECONDS = 0.001
"""Seconds that a thread keeps the interpreter while others want it, a fifth of Python's own default.

A scrape may have to wait so long several times where a flood of events is told at the same moment.
"""

STOP_SECONDS = 2.0
"""Seconds that polls under way have to notice that the process ends."""


class Daemon:
    """Watch the configured brands and hold what readers ask for.

    `load` reads the configuration, now and at each reload, and raises ConfigError.
    """

    def __init__(self, load: Callable[[], Settings], output: Output, clock: Clock, *, revision: str = "") -> None:
        self.settings = load()
        self._load, self._output, self._clock = load, output, clock
        self._log = structlog.get_logger(__name__)
        self._reloading = Lock()
        self._stopping = Event()
        self._brands: dict[str, BrandMonitor] = {}
        output.hide(self.settings.secrets)
        self.store: Store = open_store(self.settings.state.path, clock, self.settings.state.journal_retention)
        self.telemetry = Telemetry(
            self.brands,
            lambda: self.store.up,
            revision=revision,
            shard=self.settings.shard,
            total_shards=self.settings.total_shards,
        )
        self.telemetry.loaded(clock.wall())
        self.overview = Overview(clock, self._rules, self._interval)
        self.exposition = Exposition(self.telemetry, clock, self.overview.settle)
        self.overview.show_in(self.exposition)
        self._scheduler = Scheduler(clock)
        self._rooms = Rooms(
            clock=clock,
            stop=self._stopping,
            scheduler=self._scheduler,
            address=IpLimits(clock, self._stopping, self.settings.total_shards),
            store=self.store,
            overview=self.overview,
            telemetry=self.telemetry,
            tell=Teller(output.batch).tell,
        )

    @property
    def source(self) -> ReaderSource:
        """Give what pages and JSON read."""
        return ReaderSource(self._clock, self.overview, self.brands, self.store)

    @property
    def checks(self) -> Checks:
        """Give what the health and reload paths ask."""
        return Checks(self.not_ready, self.reload)

    def brands(self) -> Sequence[BrandView]:
        """Give the view of every brand."""
        return [brand.view() for brand in list(self._brands.values())]

    def not_ready(self) -> Sequence[str]:
        """Give the reasons why there is nothing to show yet, one a brand."""
        return [reason for brand in list(self._brands.values()) if (reason := brand.not_ready)]

    def serve(self, server: Server) -> None:
        """Watch and serve on this, the main thread until SIGTERM or SIGINT; SIGHUP reloads."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.stop())
        # A reload logs in anew and reads files: not the business of a signal handler.
        signal.signal(signal.SIGHUP, lambda *_: Thread(target=self.reload, name="reload", daemon=True).start())
        sys.setswitchinterval(SWITCH_SECONDS)
        self.start()
        self._log.info("exporter.started", version=__version__, listening=server.urls, brands=list(self._brands))
        try:
            server.run()
        finally:
            self.stop()
            self._log.info("exporter.stopped")

    def start(self) -> None:
        """Begin to watch, with what is remembered from an earlier process in sight."""
        configured = {brand.brand for brand in self.settings.brands}
        for state in self.store.brands():
            if state.brand not in configured:
                self.store.forget_brand(state.brand)
        self._apply(self.settings)
        for venue in self.store.venues():
            self.overview.update(venue)
        # Last, so that what is remembered does not take the place of what was just polled.
        self._scheduler.start()

    def stop(self) -> None:
        """Cut what is under way, write what is not written, and let go."""
        self._stopping.set()
        self._scheduler.shutdown()
        for brand in self._brands.values():
            brand.stop()
        deadline = time.monotonic() + STOP_SECONDS
        for brand in self._brands.values():
            brand.watch.join(max(0.0, deadline - time.monotonic()))
        self.store.close()

    def reload(self) -> Sequence[Fault] | None:
        """Read the configuration anew and put it in force whole, or leave all as it is and give the faults."""
        with self._reloading:
            try:
                settings = self._load()
                self._refuse_what_needs_a_restart(settings)
            except ConfigError as error:
                self.telemetry.loaded(None)
                self._log.error("config.refused", faults=[str(fault) for fault in error.faults])
                return error.faults
            self._output.hide(settings.secrets)
            self._apply(settings)
            self.overview.refresh()
            self.telemetry.loaded(self._clock.wall())
            self._log.info("config.reloaded", brands=list(self._brands))
            return None

    def _refuse_what_needs_a_restart(self, settings: Settings) -> None:
        now = self.settings
        fixed = {
            "state.path": settings.state.path != now.state.path,
            "state.journal_retention": settings.state.journal_retention != now.state.journal_retention,
            "--total-shards": (settings.shard, settings.total_shards) != (now.shard, now.total_shards),
        }
        faults = [Fault(place, "cannot change while running: restart") for place, changed in fixed.items() if changed]
        if faults:
            raise ConfigError(faults)

    def _apply(self, settings: Settings) -> None:
        """Start, replace and stop brands. What is known of them lives in the store, so that a replaced one keeps it."""
        before, self.settings = self.settings, settings
        wanted = {brand.brand: brand for brand in settings.brands}
        same_pace = (before.poll_interval, before.discovery_interval) == (
            settings.poll_interval,
            settings.discovery_interval,
        )
        for name in self._brands.keys() - wanted.keys():
            self._brands.pop(name).stop()
            for venue in self.store.venues():
                if venue.venue.brand == name:
                    self.overview.forget(venue.venue.key)
            self.store.forget_brand(name)
            self.telemetry.forget(name)
        for name, brand in wanted.items():
            at_work = self._brands.get(name)
            if at_work is not None and same_pace and at_work.settings == brand:
                # A reload is also how a person says that something is mended.
                at_work.forget_rules()
                at_work.ask_again()
                continue
            if at_work is not None:
                at_work.stop()
            self._brands[name] = BrandMonitor(
                brand,
                self._rooms,
                poll_interval=settings.poll_interval,
                discovery_interval=settings.discovery_interval,
            )
            self._brands[name].start()

    def _rules(self, venue: Venue) -> VenueRules:
        brand = self._brands.get(venue.brand)
        return VenueRules(self.settings.stale_after) if brand is None else brand.rules(venue, self.settings.stale_after)

    def _interval(self, venue: Venue) -> float:
        brand = self._brands.get(venue.brand)
        return self.settings.poll_interval if brand is None else brand.watch.rota.interval
