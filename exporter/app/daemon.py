"""The running exporter: start, reload, stop."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

import structlog

from exporter import __version__
from exporter.app import translate
from exporter.app.monitors import BrandMonitors
from exporter.app.notifications import channel_settings, goes_on, outage_of, problems, routes
from exporter.app.registry import ViewRegistry
from exporter.app.service import ServiceMonitor
from exporter.app.services import Services
from exporter.app.source import ProcessSource
from exporter.app.unconfigured import end_incidents, forget_long_unread
from exporter.clock import Clock, Deadline
from exporter.clopos.limits import IpLimits
from exporter.clopos.login import Credentials
from exporter.config import Settings, State
from exporter.errors import ConfigError, ConfigProblem
from exporter.events import EventLog
from exporter.incidents import CHANNEL, PartHealth
from exporter.log import Output
from exporter.metrics.exposition import Exposition
from exporter.metrics.telemetry import Telemetry
from exporter.notify.channel import ChannelSettings, ChannelWorker
from exporter.notify.heartbeat import Heartbeat
from exporter.notify.notifier import Notifier
from exporter.priority import ScrapePriority
from exporter.scheduling.pool import WorkerPool
from exporter.scheduling.scheduler import Scheduler
from exporter.store import Store, open_store
from exporter.web.endpoints import Management
from exporter.web.server import WebServer

if TYPE_CHECKING:
    from exporter.app.others import OtherBrands
    from exporter.app.ownership import Ownership

SWITCH_SECONDS = 0.001
"""Seconds that a thread keeps the interpreter while others want it, a fifth of Python's own default.

A scrape may have to wait so long several times where a flood of events is emitted at the same moment. Less would cost
polls that run at the same time more than it gives.
"""

START_SECONDS = 0.05
"""Seconds that the server waits for what is remembered; where that is much, it answers while the rest is loaded."""

STOP_SECONDS = 3.5
"""Seconds from the signal until everything has ended but the log, which has LOG_SECONDS besides."""

STEP_SECONDS = 2.0
"""Seconds of these that polls, messages and the leases each have to notice that they are over."""

CLOSE_SECONDS = 1.5
"""Seconds of these that are left for the store whatever came before: to write, and to let others have the brands."""

LOG_SECONDS = 1.0
"""Seconds that the log has to take what is still to be written; the next start emits the events it does not take."""


class Daemon:
    """Monitor the configured brands, and serve what readers ask for.

    `load` reads the configuration, now and at each reload, and raises ConfigError.
    """

    def __init__(self, load: Callable[[], Settings], output: Output, clock: Clock, *, revision: str = "") -> None:
        self._load, self._output, self._clock = load, output, clock
        self.settings = self._load()
        self._log = structlog.get_logger(__name__)
        self._reloading = Lock()
        self._starting = True
        self._stopping = Event()
        self._reload_faults: Sequence[ConfigProblem] = ()
        output.mask(self.settings.secrets)
        state = self.settings.state
        url = state.url.get_secret_value() if state.url else None
        self.store: Store = open_store(state.path, clock, state.journal_retention, url)
        grown = Event()
        self.store.subscribe(grown.set)
        self._event_log = EventLog(self.store, grown, output.emit)
        self._notifier = Notifier(self.store, self._worker)
        self.store.subscribe(self._notifier.wake, incidents_only=True)
        self._heartbeat: Heartbeat | None = None
        self._first_round = False
        self.telemetry = Telemetry(
            lambda: self.source.brands_here(),  # noqa: PLW0108 - which is made below
            lambda: self.store.up,
            lambda: output.up,
            incidents=lambda: self.source.incidents(),  # noqa: PLW0108
            channels=self._notifier.states,
            revision=revision,
            shard=self.settings.shard,
            total_shards=self.settings.total_shards,
        )
        self.telemetry.loaded(clock.wall())
        self.exposition = Exposition(self.telemetry, clock)
        self.registry = ViewRegistry(clock, self.exposition)
        self.priority = ScrapePriority()
        self._scheduler = Scheduler(clock)
        self._services = Services(
            clock=clock,
            stop=self._stopping,
            scheduler=self._scheduler,
            pool=WorkerPool(),
            ip_limits=IpLimits(clock, self._stopping, self.settings.total_shards),
            store=self.store,
            registry=self.registry,
            telemetry=self.telemetry,
            reread=self._reread_credentials,
            priority=self.priority,
        )
        self._monitors = BrandMonitors(self._services)
        self._service = ServiceMonitor(
            self.store, clock, self._stopping, self._parts, self._monitors, look=self._log_first_round
        )
        self._ownership: Ownership | None = None
        self.source = ProcessSource(
            clock,
            lambda: self.settings,
            store=self.store,
            registry=self.registry,
            exposition=self.exposition,
            monitors=self._monitors,
            service=self._service,
            priority=self.priority,
            others=None if self.settings.state.url is None else self._share_brands(),
        )

    def _share_brands(self) -> OtherBrands | None:
        """Divide the brands with the other processes that have the same database."""
        # Imported where it is used: most have no PostgreSQL, and its driver takes a quarter of a start's time.
        from exporter.app.others import OtherBrands  # noqa: PLC0415
        from exporter.app.ownership import Ownership  # noqa: PLC0415
        from exporter.store.postgresql import PostgreSQLStore  # noqa: PLC0415

        if not isinstance(self.store, PostgreSQLStore):
            return None
        ownership = self._ownership = Ownership(
            self.store,
            self._clock,
            brands=lambda: [brand.brand for brand in self.settings.brands],
            take=self._take,
            give_up=self._give_up,
            processes=self._services.ip_limits.divide,
        )
        return OtherBrands(
            self.store, self._clock, lambda: self.settings, is_here=self._monitors.__contains__, owner=ownership.owner
        )

    @property
    def checks(self) -> Management:
        """Return what the health and reload endpoints call."""
        return Management(self.not_ready, self.reload, lambda: self._scheduler.alive)

    def not_ready(self) -> Sequence[str]:
        """Return the reasons why there is nothing to show yet, one a brand, and whether too few venues were polled."""
        unready = [reason for monitor in self._monitors if (reason := monitor.not_ready)]
        if self._starting:
            names = (brand.brand for brand in self.settings.brands if self.store.owns(brand.brand))
            unready += [f"brand {name}: is being loaded" for name in names if name not in self._monitors]
        if (percent := self.settings.ready_venues_percent) and not unready:
            venues = self.registry.venues()
            polled = sum(view.state.polled_at is not None for view in venues)
            if 100 * polled < percent * len(venues):
                unready.append(f"{polled} of {len(venues)} venues polled so far: ready_venues_percent is {percent}")
        return unready if self._ownership is None else [*unready, *self._ownership.not_ready()]

    def serve(self, server: WebServer) -> None:
        """Monitor and serve on this, the main thread until SIGTERM or SIGINT; SIGHUP reloads."""
        deadline: Deadline | None = None

        def terminate(*_: object) -> None:
            nonlocal deadline
            deadline = deadline or Deadline(STOP_SECONDS)
            server.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, terminate)
        # A reload logs in again and reads files: not the business of a signal handler.
        signal.signal(signal.SIGHUP, lambda *_: Thread(target=self.reload, name="reload", daemon=True).start())
        sys.setswitchinterval(SWITCH_SECONDS)
        failures: list[Exception] = []

        def start() -> None:
            try:
                self.start()
            except Exception as error:  # noqa: BLE001 - raised below, where the process ends
                failures.append(error)
                server.stop()

        starting = Thread(target=start, name="start", daemon=True)
        starting.start()
        starting.join(START_SECONDS)
        brands = [brand.brand for brand in self.settings.brands if self.store.owns(brand.brand)]
        self._log.info("exporter.started", version=__version__, listening=server.urls, brands=brands)
        try:
            server.run()
            if failures:
                raise failures[0]
        finally:
            self.stop(deadline)
            self._log.info("exporter.stopped")
            self._output.stop(LOG_SECONDS)

    def start(self) -> None:
        """Begin to poll, with what is remembered from an earlier process already published."""
        with self._reloading:
            if self._stopping.is_set():
                return
            self._output.start()
            self._event_log.start()
            forget_long_unread(self.store, self.settings, self._clock.wall())
            self._apply(self.settings)
            self._starting = False
            if self._stopping.is_set():
                return
            # Last, so that what is remembered does not take the place of what was just polled.
            self._scheduler.start()
            self._service.start()
            if self._ownership is not None:
                self._ownership.start()

    def stop(self, deadline: Deadline | None = None) -> None:
        """Cut what is under way, store and emit what there is, and close: all of it before the deadline."""
        deadline = deadline or Deadline(STOP_SECONDS)
        if self._ownership is not None:
            # Before anything else is cut: polls that end at once would keep the scheduler from starting a brand.
            self._ownership.stop(deadline.left(STEP_SECONDS, reserved=CLOSE_SECONDS))
        self._stopping.set()
        # A start or reload under way would start brands again.
        waited = self._reloading.acquire(timeout=deadline.left(reserved=CLOSE_SECONDS))
        try:
            self._scheduler.shutdown()
            polls = Deadline(deadline.left(STEP_SECONDS, reserved=CLOSE_SECONDS))
            self._monitors.stop(polls.left())
            if self._service.is_alive():
                self._service.join(polls.left())
            self._notifier.stop(deadline.left(STEP_SECONDS, reserved=CLOSE_SECONDS))
            self._event_log.stop(deadline.left(LOG_SECONDS, reserved=CLOSE_SECONDS))
            # On a thread of its own: a database or disk that hangs holds up whoever waits for it.
            closing = Thread(target=self.store.close, name="close", daemon=True)
            closing.start()
            closing.join(deadline.left())
        finally:
            if waited:
                self._reloading.release()

    def reload(self) -> Sequence[ConfigProblem] | None:
        """Reload the configuration atomically, or leave all as it is and return the faults."""
        with self._reloading:
            if self._stopping.is_set():
                return None
            try:
                settings = self._load()
                self._refuse_what_needs_a_restart(settings)
            except ConfigError as error:
                self._reload_faults = error.faults
                self.telemetry.loaded(None)
                self.exposition.expire_telemetry()
                self._log.error("config.refused", faults=[str(fault) for fault in error.faults])
                return error.faults
            self._output.mask(settings.secrets)
            self._apply(settings)
            self._reload_faults = ()
            self.telemetry.loaded(self._clock.wall())
            self.exposition.expire_telemetry()
            self._log.info("config.reloaded", brands=[monitor.settings.brand for monitor in self._monitors])
            return None

    def _refuse_what_needs_a_restart(self, settings: Settings) -> None:
        now = self.settings
        changed = [
            f"state.{key}" for key in State.model_fields if getattr(settings.state, key) != getattr(now.state, key)
        ]
        if (settings.shard, settings.total_shards) != (now.shard, now.total_shards):
            changed.append("--total-shards")
        if changed:
            raise ConfigError(ConfigProblem(place, "cannot change while running: restart") for place in changed)

    def _apply(self, settings: Settings) -> None:
        """Put settings into force that have been checked."""
        self.settings = settings
        self.store.routes = routes(settings)
        if not settings.brands:
            self._log.warning("shard.empty", message="no brand falls to this shard: it is ready, and polls nothing")
        owned = [brand for brand in settings.brands if self.store.owns(brand.brand)]
        self._monitors.apply(owned, settings)
        if self._ownership is None:  # else another process may poll them
            end_incidents(self.store, settings, self._clock.now())
        if self._stopping.is_set():
            return
        # Last, as channels ask which incidents still fire.
        self._notifier.apply(channel_settings(settings, self.store))
        self._apply_heartbeat(settings)

    def _apply_heartbeat(self, settings: Settings) -> None:
        if self._heartbeat is not None:
            self._heartbeat.stop()
            self._heartbeat = None
        if settings.heartbeat is not None:
            url, interval = settings.heartbeat.url.get_secret_value(), settings.heartbeat.interval
            self._heartbeat = Heartbeat(url, interval, self._problems, self._clock)
            self._heartbeat.start()

    def _worker(self, channel: ChannelSettings) -> ChannelWorker:
        return ChannelWorker(
            channel,
            self.store,
            self._clock,
            owns=self.store.owns,
            still_firing=lambda incident: goes_on(incident, self.source.incidents()),
            outage=lambda name: outage_of(name, self._service.incidents()),
        )

    def _problems(self) -> Sequence[str]:
        return [
            *self.not_ready(),
            *problems(self.store.up, self._notifier.states(), self.source.brands_here(), self.registry.venues()),
        ]

    def _log_first_round(self) -> None:
        """Log once that everything was read: a healthy start is a line too."""
        if self._first_round:
            return
        self._services.permanent.grow(self.registry.count_known())
        venues = self.registry.venues()
        listed = sum(len(brand.state.venues or ()) for brand in self.source.brands_here())
        if self.not_ready() or len(venues) < listed or any(view.up is None for view in venues):
            return
        self._first_round = True
        stations, failed = sum(len(view.stations) for view in venues), sum(view.up is False for view in venues)
        self._log.info("exporter.first_round", venues=len(venues), stations=stations, failed_venues=failed)
        self._services.permanent.take(len(venues))

    def _take(self, name: str) -> None:
        """Poll a brand from now on whose lease this process has."""
        with self._reloading:
            brand = next((brand for brand in self.settings.brands if brand.brand == name), None)
            if brand is not None and name not in self._monitors and not self._stopping.is_set():
                self._monitors.add(brand, self.settings)

    def _give_up(self, names: Collection[str]) -> None:
        """Stop polling brands whose leases are lost or handed over."""
        with self._reloading:
            self._monitors.remove(names)

    def _parts(self) -> Mapping[str, PartHealth]:
        reload_fault = str(self._reload_faults[0]) if self._reload_faults else None
        return {
            "state": PartHealth(self.store.up, self.store.problem),
            "log": PartHealth(self._output.up),
            "reload": PartHealth(not self._reload_faults, reload_fault),
            **{CHANNEL + one.name: PartHealth(one.up, one.problem) for one in self._notifier.states()},
        }

    def _reread_credentials(self, name: str) -> Credentials | str:
        """Read a brand's credentials again: Kubernetes replaces the files of a Secret while the process runs.

        Raises ConfigError.
        """
        settings = self._load()
        self._output.mask(settings.secrets)
        brand = next((brand for brand in settings.brands if brand.brand == name), None)
        return translate.credentials(brand or self._monitors[name].settings)
