"""One brand: every poll of its venues and of its venue list, from the request to what readers see."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain
from math import inf
from threading import TIMEOUT_MAX, Lock
from typing import TypeVar

import structlog

from exporter.app import translate
from exporter.app.rules import BrandRules
from exporter.app.services import Services
from exporter.changes import AFTER_RESTART, AFTER_TAKEOVER, CONFIRMING_SECONDS, advance, advance_brand
from exporter.config import Brand, Settings
from exporter.errors import Stopped
from exporter.incidents import BrandFacts, BrandIncidents, Decision
from exporter.model import (
    DEFAULT_VENUE,
    BrandState,
    Change,
    Discovery,
    Ended,
    Failure,
    Incident,
    LoggedIn,
    Reason,
    Snapshot,
    Venue,
    VenueKey,
    VenueState,
)
from exporter.scheduling.loop import PollLoop
from exporter.scheduling.weights import weight
from exporter.views import BrandView, VenueView

DISCOVERY_SECONDS = 120.0
"""Seconds a login and discovery may take: many brands that start together wait for each other's logins."""

LOGGED_ROWS = 1000
"""Unusable rows of a brand that are named in the log."""

Outcome = TypeVar("Outcome")


class BrandMonitor:
    """Poll one brand until it is stopped. `common` are the settings of all brands."""

    def __init__(self, settings: Brand, common: Settings, services: Services) -> None:
        self.settings, self._common = settings, common
        self.client = translate.client(
            settings,
            clock=services.clock,
            stop=services.stop,
            ip_limits=services.ip_limits,
            observe=self._observe,
            reread=services.reread,
            permitted=lambda: services.store.owns(settings.brand),
            give_way=services.priority.give_way,
        )
        self._taken_over = services.store.taken_over(settings.brand)
        if self._taken_over:
            # Another process has just polled it: the quota is one, and so is the distance between its requests.
            self.client.quota.hold(self.client.quota.spacing)
        self.loop = PollLoop(
            settings.brand,
            scheduler=services.scheduler,
            pool=services.pool,
            clock=services.clock,
            limiter=self.client.quota,
            poll=self.poll,
            discover=self.discover,
            poll_interval=common.poll_interval,
            discovery_interval=common.discovery_interval,
            stale_after=common.stale_after,
            offset=random.random(),  # noqa: S311 - spreading, not secrecy
        )
        self._services = services
        self._log = structlog.get_logger(__name__)
        self._lock = Lock()
        self._stopped = False
        self._logged_rows: set[tuple[str, str]] = set()
        self._ready = False
        self._rules = BrandRules(settings, common, self.loop)
        self._venue_ids: set[str] = set()
        self._firing: dict[str, tuple[Incident, ...]] = {}
        self._incidents = BrandIncidents(
            self._rules.incidents, self._rules.brand_incidents(), self._venue_state, services.clock.now()
        )

    def start(self) -> None:
        """Begin with what the store remembers of the brand."""
        venues = self._state().venues or ()
        self._venue_ids = {venue.id for venue in venues}
        if self._taken_over:
            # The round of the other process goes on: what it has just polled comes last.
            venues = tuple(sorted(venues, key=lambda venue: self._venue_state(venue.id).last_success or 0.0))
        with self._lock:
            self._publish(self._services.store.venue(venue) for venue in venues)
            self._commit(self._incidents.refresh(self._state(), self._services.clock.now()))
        self.loop.start(venues)

    def stop(self, seconds: float = TIMEOUT_MAX) -> None:
        """Cut what is under way; nothing is stored, published or counted after what may take so many seconds to be."""
        self._stopped = True
        if self._lock.acquire(timeout=seconds):
            self._lock.release()
        self.loop.stop()
        self.client.close()

    def poll(self, venue: Venue) -> int | None:
        """Poll a venue: fetch its stations, decide what changed, store that, and publish the result.

        Returns how many requests that took, None where the poll failed. Raises Stopped where the venue is no longer
        polled.
        """
        if not self._may_go_on:
            raise Stopped
        outcome = self._fetch(lambda: self.client.poll(venue, self.loop.round_robin.interval))
        with self._lock:
            if not self._may_go_on or venue.id not in self._venue_ids:
                raise Stopped
            known = self._services.store.venue(venue)
            state, changes = advance(known if known.venue == venue else replace(known, venue=venue), outcome)
            brand, brand_changes = self._consider_login(outcome)
            now = self._services.clock.now()
            decision = self._incidents.after_poll(brand, state, changes, now)
            self._commit(decision, brand, [*changes, *brand_changes])
            if brand_changes:
                self._commit(self._incidents.after_discovery(self._state(), now))
            self._ready = True
            if isinstance(outcome, Failure):
                self._services.telemetry.failed(venue.brand, outcome.reason)
                return None
            for row in outcome.unusable:
                self._unusable(venue, row)
            return outcome.requests

    def discover(self) -> Sequence[Venue] | None:
        """Poll the list of venues, and return which are to be polled, None where that failed. Raises Stopped."""
        if not self._may_go_on:
            raise Stopped
        outcome = self._fetch(lambda: self.client.discover(DISCOVERY_SECONDS, self._state().venues or ()))
        with self._lock:
            if not self._may_go_on:
                raise Stopped
            state, changes = advance_brand(
                self._state(), outcome, confirming_seconds=min(CONFIRMING_SECONDS, self._common.discovery_interval / 2)
            )
            gone = {} if isinstance(outcome, Failure) else self._no_longer_polled(outcome, state)
            decision = self._incidents.after_discovery(
                state,
                self._services.clock.now(),
                self._read_facts(),
                gone=[(self._venue_state(id_), ended) for id_, ended in gone.items()],
            )
            self._commit(decision, state, changes, [(state.brand, id_) for id_ in gone])
            venues = outcome.fallback if isinstance(outcome, Failure) else state.venues or ()
            new = [venue for venue in venues if venue.id not in self._venue_ids]
            kept = self._venue_ids if isinstance(outcome, Failure) else set()
            self._venue_ids = kept | {venue.id for venue in venues}
            # Seen from now on as not read yet: nobody counts fewer venues than there are.
            self._publish(map(self._services.store.venue, new))
            if isinstance(outcome, Failure):
                self._ready = True
                self._services.telemetry.failed(state.brand, outcome.reason)
                return outcome.fallback or None
            self._ready = self._ready or not state.venues
            return state.venues

    def reconfigure(self, settings: Brand, common: Settings) -> None:
        """Put settings into force that need no new connection, and retry at once, even where Clopos refused.

        A reload is also how a person says that something is fixed.
        """
        with self._lock:
            self.settings, self._common = settings, common
            self._rules.configure(settings, common)
            self.client.listed = translate.listed_venues(settings)
            self.loop.update(common.poll_interval, common.discovery_interval, common.stale_after)
            # The default venue is polled without being known while the list of venues is refused.
            venues = (self.client.default_venue, *(self._state().venues or ()))
            self._publish(self._services.store.venue(venue) for venue in venues if venue.id in self._venue_ids)
            now = self._services.clock.now()
            self._commit(self._incidents.refresh(self._state(), now, self._rules.brand_incidents()))
        self.client.reset_backoff()
        self.loop.discover_now()

    def review(self) -> None:
        """Decide what time alone brings: an incident whose delay is over, a venue that opens."""
        now = self._services.clock.now()
        if now.wall < self._incidents.look_again_at:
            return
        with self._lock:
            if self._may_go_on:
                self._commit(self._incidents.due(self._state(), now))

    def incidents(self) -> Sequence[Incident]:
        """Return the incidents of the brand and its venues that fire."""
        own = [incident for incident in self._state().incidents.values() if incident.firing]
        return [*own, *chain.from_iterable(list(self._firing.values()))]

    @property
    def not_ready(self) -> str | None:
        """Return why nothing is known of the brand yet, None once something is."""
        return None if self._ready else f"brand {self.settings.brand}: no outcome of the first poll yet"

    def view(self) -> BrandView:
        """Return the brand as readers see it."""
        quota, round_robin = self.client.quota, self.loop.round_robin
        return BrandView(
            state=self._state(),
            quota_limit=quota.limit,
            quota_remaining=quota.remaining,
            token_expires_at=self.client.login.expires_at,
            poll_lag=round_robin.lag,
            polls_skipped=round_robin.skipped,
            interval=round_robin.interval,
            sunset_at=self.client.sunset,
        )

    def _no_longer_polled(self, outcome: Discovery, brand: BrandState) -> dict[str, Ended]:
        """Return the ids of venues that are known and not listed any more, each with how its incidents end."""
        stored = (state.venue.id for state in self._services.store.venues(brand.brand))
        ids = {*self._venue_ids, *stored} - {venue.id for venue in brand.venues or ()}
        # One that the configuration no longer lists may well be there in Clopos.
        ended = Ended.IGNORED if outcome.listed else Ended.REMOVED
        return {id_: Ended.REPLACED if id_ == DEFAULT_VENUE else ended for id_ in sorted(ids)}

    @property
    def _may_go_on(self) -> bool:
        return not self._stopped and self._services.store.owns(self.settings.brand)

    def _state(self) -> BrandState:
        return self._services.store.brand(self.settings.brand)

    def _venue_state(self, venue_id: str) -> VenueState:
        return self._services.store.venue(Venue(self.settings.brand, venue_id, ""))

    def _consider_login(self, outcome: Snapshot | Failure) -> tuple[BrandState, list[Change]]:
        """Decide what the outcome of a venue's poll says of the brand's login: nothing in nearly all cases."""
        brand = self._state()
        if isinstance(outcome, Failure) and outcome.brand_wide:
            return advance_brand(brand, outcome)
        # An answer that a venue is not there takes a good token; of other failures that is not certain.
        is_accepted = not isinstance(outcome, Failure) or outcome.reason is Reason.NOT_FOUND
        if brand.login_outage is None or not is_accepted:
            return brand, []
        return advance_brand(brand, LoggedIn(outcome.at, outcome.duration))

    def _commit(
        self,
        decision: Decision,
        brand: BrandState | None = None,
        changes: Sequence[Change] = (),
        removed: Sequence[VenueKey] = (),
    ) -> None:
        """Store states, changes and incidents in one transaction, and publish what readers see of them."""
        known = self._state()
        brand = decision.brand or brand
        states: list[VenueState | BrandState] = [*decision.venues]
        if brand is not None and brand is not known:
            states.append(brand)
        both = [self._marked(change) for change in (*changes, *decision.changes)]
        if states or both or removed:
            self._services.store.commit(*states, changes=both, removed=removed)
        if removed:
            self._services.registry.remove(removed)
            for _, venue_id in removed:
                self._firing.pop(venue_id, None)
        self._publish(decision.venues)

    def _marked(self, change: Change) -> Change:
        """Add what a change itself does not know: that another process was there before, that the venue is closed."""
        details = dict(change.details)
        if self._taken_over and details.get("detected") == AFTER_RESTART:
            details["detected"] = AFTER_TAKEOVER
        if change.station is not None and change.venue is not None:
            opening = self._rules.opening(change.venue, change.observed_at)
            if opening is not None and not opening.is_open:
                details["venue_open"] = False
        return change if details == change.details else replace(change, details=details)

    def _publish(self, states: Iterable[VenueState]) -> None:
        now = self._services.clock.now()
        states = [*states]
        for state in states:
            firing = tuple(incident for incident in state.incidents.values() if incident.firing)
            if firing:
                self._firing[state.venue.id] = firing
            else:
                self._firing.pop(state.venue.id, None)
            opening = self._rules.opening(state.venue, now.wall)
            self.loop.round_robin.set_weight(state.venue.id, weight(state, opening, now.wall))
        self._services.registry.publish(
            VenueView.at(state, self._rules.venue(state.venue), self.loop.round_robin.interval_of(state.venue.id), now)
            for state in states
        )

    def _read_facts(self) -> BrandFacts:
        login, skew = self.client.login, self.client.clock_skew
        # One that does not say when it ends is not known to: it may be the successor of one that did.
        ends = None if login.logs_in else login.expires_at
        return BrandFacts(
            token_expires_at=inf if ends is None else ends,
            clock_skew=None if skew is None else -skew,
        )

    def _fetch(self, request: Callable[[], Outcome]) -> Outcome | Failure:
        """Turn a mistake of ours into an outcome: it must be seen on the metrics, not end a thread."""
        try:
            return request()
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - becomes an outcome, with its trace in the log
            self._log.exception("poll.crashed", brand=self.settings.brand)
            message = f"a fault in the exporter: {type(error).__name__}; its log holds the trace"
            return Failure(Reason.INTERNAL, message, self._services.clock.now())

    def _observe(self, endpoint: str, code: str, seconds: float) -> None:
        if not self._stopped:  # A request that was cut must not bring back the series of a brand that is gone.
            self._services.telemetry.requested(self.settings.brand, endpoint, code, seconds)

    def _unusable(self, venue: Venue, row: str) -> None:
        self._services.telemetry.unusable_row(venue.brand)
        logged = (venue.id, row)
        if logged not in self._logged_rows and len(self._logged_rows) < LOGGED_ROWS:
            self._logged_rows.add(logged)
            self._log.warning("station.unusable_row", brand=venue.brand, venue_id=venue.id, venue=venue.name, row=row)
