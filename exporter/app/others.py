"""What readers see of the brands that other processes poll: read from the database when somebody looks."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Lock

import structlog

from exporter.app import translate
from exporter.clock import Clock
from exporter.config import Brand, Settings
from exporter.errors import StoreError
from exporter.model import BrandState, Instant, VenueKey, VenueState
from exporter.store.postgresql import PostgreSQLStore
from exporter.views import BrandView, VenueView

AGE_SECONDS = 2.0
"""How old what is shown of other processes' brands may be, beyond what their owners have written."""


class OtherBrands:
    """Keep views of the configured brands that this process does not poll, by what `is_here` says of each.

    `owner` returns the name of the process that polls a brand, None where that is not known.
    """

    def __init__(
        self,
        store: PostgreSQLStore,
        clock: Clock,
        settings: Callable[[], Settings],
        *,
        is_here: Callable[[str], bool],
        owner: Callable[[str], str | None],
    ) -> None:
        self._store, self._clock, self._settings = store, clock, settings
        self._is_here, self.owner = is_here, owner
        self._log = structlog.get_logger(__name__)
        self._lock = Lock()
        self._due = -math.inf
        self._horizon = 0
        self._read_for: Settings | None = None
        self._views: dict[str, dict[VenueKey, VenueView]] = {}
        self._brands: dict[str, BrandState] = {}

    def brands(self) -> Sequence[BrandView]:
        """Return the view of every brand that is not polled here."""
        self._refresh()
        return [
            BrandView(
                self._brands.get(brand.brand) or BrandState(brand.brand), owned=False, owner=self.owner(brand.brand)
            )
            for brand in self._settings().brands
            if not self._is_here(brand.brand)
        ]

    def venues(self) -> Sequence[VenueView]:
        """Return the views of their venues, in the order of keys."""
        self._refresh()
        now = self._clock.now()
        return [
            view.refreshed(now) if view.valid_until <= now.monotonic else view
            for _, view in sorted(
                (key, view)
                for brand, views in list(self._views.items())
                if not self._is_here(brand)
                for key, view in views.items()
            )
        ]

    def merged(self, own: Sequence[VenueView], key: tuple[str, ...], limit: int) -> Sequence[VenueView]:
        """Return the first venues whose keys are not before a key, of these and a process's own sorted ones."""
        others = [view for view in self.venues() if view.state.venue.key >= key]
        return list(heapq.merge(own, others, key=lambda view: view.state.venue.key))[:limit]

    def _refresh(self) -> None:
        with self._lock:
            now, settings = self._clock.now(), self._settings()
            if settings is not self._read_for:
                self._horizon, self._read_for, self._due = 0, settings, -math.inf
            if now.monotonic < self._due:
                return
            self._due = now.monotonic + AGE_SECONDS
            configured = {brand.brand: brand for brand in settings.brands if not self._is_here(brand.brand)}
            # A brand that was polled here meanwhile is read whole when it is another's.
            since = self._horizon if configured.keys() <= self._views.keys() else 0
            try:
                found, self._horizon = self._store.read_changed(configured, since)
            except StoreError as error:
                self._log.debug("store.unreadable", problem=str(error))
                return
            self._views = {name: views for name, views in self._views.items() if name in configured}
            for name, (brand, venues) in found.items():
                self._brands[name] = replace(brand, seen=True)
                unread = {venue.key: VenueState(venue) for venue in brand.venues or ()}
                states = {**unread, **{state.venue.key: state for state in venues}}
                self._views[name] = {
                    key: _view(state, configured[name], settings, now) for key, state in states.items()
                }


def _view(state: VenueState, brand: Brand, settings: Settings, now: Instant) -> VenueView:
    """Return a venue as its owner sees it: polled when it was read last, with the outage that is stored."""
    if state.fresh_at is not None or state.outage is not None:
        state = replace(state, polls=1, restored=False, polled_at=state.fresh_at)
    rules = translate.rules(brand, state.venue.id, settings.stale_after)
    return VenueView.at(state, rules, settings.poll_interval, now)
