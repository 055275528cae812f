"""One brand at work: its client, its watch, and the two pollers that go the natural path."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Event as StopEvent
from threading import Lock
from typing import TypeVar

import structlog

from exporter.app import translate
from exporter.app.overview import Overview, VenueRules
from exporter.changes import CONFIRMING_SECONDS, advance, advance_brand
from exporter.clock import Clock
from exporter.clopos.client import Client
from exporter.clopos.limits import IpLimits
from exporter.clopos.transport import Observe
from exporter.config import Brand
from exporter.errors import Stopped
from exporter.metrics.telemetry import Telemetry
from exporter.model import (
    BrandState,
    Change,
    Discovery,
    Event,
    Failure,
    LoggedIn,
    Reason,
    Snapshot,
    Venue,
    VenueState,
)
from exporter.poller import Poller
from exporter.scheduling.scheduler import Scheduler
from exporter.scheduling.watch import WORKERS, Watch
from exporter.store import Store
from exporter.views import BrandView

DISCOVERY_SECONDS = 120.0
"""Seconds a login and discovery may take: many brands that start together wait for each other's logins."""

MOST_TOLD = 1000
"""Odd rows of a brand that are named in the log."""

Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Rooms:
    """What all brands share."""

    clock: Clock
    stop: StopEvent
    scheduler: Scheduler
    address: IpLimits
    store: Store
    overview: Overview
    telemetry: Telemetry
    tell: Callable[[Sequence[Change]], None]


class BrandMonitor:
    """Watch one brand until it is stopped."""

    def __init__(self, settings: Brand, rooms: Rooms, *, poll_interval: float, discovery_interval: float) -> None:
        self.settings = settings
        self.client = connect(
            settings,
            clock=rooms.clock,
            stop=rooms.stop,
            address=rooms.address,
            observe=self._observe,
            on_unusable=self._unusable,
        )
        self.watch = Watch(
            settings.brand,
            scheduler=rooms.scheduler,
            clock=rooms.clock,
            pacing=self.client.quota,
            poll=self._poll,
            discover=self._discover,
            poll_interval=poll_interval,
            discovery_interval=discovery_interval,
            offset=random.random(),  # noqa: S311 - spreading, not secrecy
        )
        self._rooms = rooms
        self._log = structlog.get_logger(__name__)
        self._taking_in = Lock()
        self._stopped = False
        self._told_unusable: set[tuple[str, str]] = set()
        self._had_outcome = False
        self._watched = {venue.id for venue in rooms.store.brand(settings.brand).venues or ()}
        self._rules: dict[str, VenueRules] = {}
        self._venues: Poller[Venue, VenueState, Snapshot | Failure] = Poller(
            ask=lambda venue: self._guarded(lambda: self.client.poll(venue, self.watch.rota.interval)),
            recall=self._recall,
            decide=advance,
            tell=rooms.tell,
            remember=self._remember,
            lock=self._taking_in,
        )
        self._brand: Poller[str, BrandState, Discovery | LoggedIn | Failure] = Poller(
            ask=lambda name: self._guarded(
                lambda: self.client.discover(DISCOVERY_SECONDS, rooms.store.brand(name).venues or ())
            ),
            recall=self._recall_brand,
            decide=partial(advance_brand, confirming_seconds=min(CONFIRMING_SECONDS, discovery_interval / 2)),
            tell=rooms.tell,
            remember=self._remember_brand,
            lock=self._taking_in,
        )

    def start(self) -> None:
        """Begin with what the store knows of the brand."""
        self.watch.start(self._rooms.store.brand(self.settings.brand).venues or ())

    def stop(self) -> None:
        """Cut what is under way and start nothing any more; the state stays, and nothing is told or changed after."""
        with self._taking_in:
            self._stopped = True
        self.watch.stop()
        self.client.close()

    def ask_again(self) -> None:
        """Ask at once, even where Clopos refused."""
        self.client.reset_backoff()
        self.watch.discover_now()

    def forget_rules(self) -> None:
        """Let the rules be read anew."""
        self._rules.clear()

    @property
    def not_ready(self) -> str | None:
        """Say why nothing is known of the brand yet, None once something is."""
        return None if self._had_outcome else f"brand {self.settings.brand}: no outcome of the first poll yet"

    def view(self) -> BrandView:
        """Give the brand as readers see it."""
        quota, rota = self.client.quota, self.watch.rota
        return BrandView(
            state=self._rooms.store.brand(self.settings.brand),
            quota_limit=quota.limit,
            quota_remaining=quota.remaining,
            token_expires_at=self.client.login.expires_at,
            poll_lag=rota.lag,
            polls_skipped=rota.skipped,
            interval=rota.interval,
        )

    def _poll(self, venue: Venue) -> int | None:
        outcome = self._venues.poll(venue)
        self._had_outcome = True
        name = self.settings.brand
        if isinstance(outcome, Snapshot):
            if self._rooms.store.brand(name).login_outage is not None:
                self._brand.take(name, LoggedIn(outcome.at))
            return outcome.requests
        self._rooms.telemetry.failed(name, outcome.reason)
        if outcome.brand_wide:
            self._brand.take(name, outcome)
        return None

    def _discover(self) -> Sequence[Venue] | None:
        name = self.settings.brand
        outcome = self._brand.poll(name)
        if isinstance(outcome, Failure):
            self._rooms.telemetry.failed(name, outcome.reason)
            self._had_outcome = True
            return None
        venues = self._rooms.store.brand(name).venues
        self._had_outcome = self._had_outcome or not venues
        return venues

    def rules(self, venue: Venue, stale_after: float) -> VenueRules:
        """Give what the configuration says of how a venue is shown; read once, as hours are not cheap to parse."""
        rules = self._rules.get(venue.id)
        if rules is None:
            rules = self._rules[venue.id] = translate.rules(self.settings, venue.id, stale_after)
        return rules

    def _guarded(self, ask: Callable[[], Outcome]) -> Outcome | Failure:
        """Turn a mistake of ours into an outcome: it must be seen on the metrics, not end a thread."""
        try:
            return ask()
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - becomes an outcome, with its trace in the log
            self._log.exception("poll.crashed", brand=self.settings.brand)
            message = f"a fault in the exporter: {type(error).__name__}; its log holds the trace"
            return Failure(Reason.INTERNAL, message, self._rooms.clock.now())

    def _recall(self, venue: Venue) -> VenueState:
        """Give what is known of a venue, under its present name. Raises Stopped where it is no longer watched."""
        if self._stopped or venue.id not in self._watched:
            raise Stopped
        state = self._rooms.store.venue(venue)
        return state if state.venue == venue else replace(state, venue=venue)

    def _recall_brand(self, brand: str) -> BrandState:
        if self._stopped:
            raise Stopped
        return self._rooms.store.brand(brand)

    def _remember(self, state: VenueState, changes: Sequence[Change]) -> None:
        self._rooms.store.remember(state, changes)
        self._rooms.overview.update(state)

    def _remember_brand(self, state: BrandState, changes: Sequence[Change]) -> None:
        self._watched = {venue.id for venue in state.venues or ()}
        self._rooms.store.remember(state, changes)
        for change in changes:
            if change.event is Event.VENUE_REMOVED and change.venue is not None:
                self._rooms.store.forget_venue(change.venue.key)
                self._rooms.overview.forget(change.venue.key)

    def _observe(self, endpoint: str, code: str, seconds: float) -> None:
        if not self._stopped:  # A request that was cut must not bring back the series of a brand that is gone.
            self._rooms.telemetry.requested(self.settings.brand, endpoint, code, seconds)

    def _unusable(self, venue: Venue, row: str) -> None:
        self._rooms.telemetry.unusable_row(venue.brand)
        told = (venue.id, row)
        if told not in self._told_unusable and len(self._told_unusable) < MOST_TOLD:
            self._told_unusable.add(told)
            self._log.warning("station.unusable_row", brand=venue.brand, venue_id=venue.id, venue=venue.name, row=row)


def connect(
    brand: Brand,
    *,
    clock: Clock,
    stop: StopEvent,
    address: IpLimits,
    observe: Observe = lambda _endpoint, _code, _seconds: None,
    on_unusable: Callable[[Venue, str], None] = lambda _venue, _row: None,
) -> Client:
    """Make the client for a brand of the configuration."""
    return Client(
        brand.brand,
        translate.credentials(brand),
        base_url=brand.base_url,
        requests_per_minute=brand.requests_per_minute,
        clock=clock,
        stop=stop,
        ip_limits=address,
        observe=observe,
        venues=translate.listed_venues(brand),
        connections=WORKERS,
        on_unusable=on_unusable,
    )
