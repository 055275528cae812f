"""Keep what readers see up to date: with every poll, and with time alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import RLock

from exporter.clock import Clock
from exporter.hours import Hours, IgnoreRule, expires, ignored, next_ignore_change
from exporter.metrics.exposition import Exposition
from exporter.model import Instant, Venue, VenueKey, VenueState
from exporter.views import VenueView

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class VenueRules:
    """What the configuration says of how a venue is shown. `stale_after` is in seconds."""

    stale_after: float
    hours: Hours | None = None
    ignore: tuple[IgnoreRule, ...] = ()

    def view(self, state: VenueState, interval: float, now: Instant) -> tuple[VenueView, float]:
        """Make the view of a state at a moment, and give the monotonic time until which it holds."""
        stale_at = state.fresh_at + self.stale_after if state.fresh_at is not None else NEVER
        stale = now.monotonic >= stale_at
        left_out: frozenset[str] = frozenset()
        changes_at = NEVER  # wall time
        if self.ignore and state.stations is not None:
            left_out = ignored(state.stations, self.ignore, now.wall)
            changes_at = next_ignore_change(self.ignore, now.wall)
        opening = None
        if self.hours is not None:
            opening = self.hours.at(now.wall)
            changes_at = min(changes_at, expires(opening))
        holds_until = min(NEVER if stale else stale_at, now.monotonic + (changes_at - now.wall))
        return VenueView(state, interval, stale, left_out, opening), holds_until


class Overview:
    """Hold the view of every venue, and pass it on to the exposition whenever it changes.

    One view is made and passed on at a time, so that an older state never takes the place of a newer one.
    `rules` gives the rules of a venue, `interval` the poll interval in force for it, seconds.
    """

    def __init__(
        self,
        clock: Clock,
        rules: Callable[[Venue], VenueRules],
        interval: Callable[[Venue], float],
    ) -> None:
        self._clock, self._rules, self._interval = clock, rules, interval
        self._exposition: Exposition | None = None
        self._lock = RLock()
        self._views: dict[VenueKey, VenueView] = {}
        self._holds_until: dict[VenueKey, float] = {}
        self._settled_until = NEVER

    def show_in(self, exposition: Exposition) -> None:
        """Name the exposition that is to follow."""
        self._exposition = exposition

    def update(self, state: VenueState) -> None:
        """Take in a venue's new state."""
        venue = state.venue
        with self._lock:
            view, holds_until = self._rules(venue).view(state, self._interval(venue), self._clock.now())
            self._views[venue.key] = view
            self._holds_until[venue.key] = holds_until
            self._settled_until = min(self._settled_until, holds_until)
            if self._exposition is not None:
                self._exposition.update(view)

    def forget(self, key: VenueKey) -> None:
        """Drop a venue."""
        with self._lock:
            self._views.pop(key, None)
            self._holds_until.pop(key, None)
            if self._exposition is not None:
                self._exposition.forget(key)

    def settle(self) -> None:
        """Renew the views whose time is over: values too old, a venue that opened, an exception that ended."""
        now = self._clock.monotonic()
        if now < self._settled_until:
            return
        with self._lock:
            due = [self._views[key].state for key, until in self._holds_until.items() if until <= now]
            self._settled_until = min((until for until in self._holds_until.values() if until > now), default=NEVER)
            for state in due:
                self.update(state)

    def refresh(self) -> None:
        """Renew all views: the rules may have changed."""
        with self._lock:
            for view in list(self._views.values()):
                self.update(view.state)

    def venues(self) -> Sequence[VenueView]:
        """Give the view of every venue, as of now."""
        self.settle()
        with self._lock:
            return list(self._views.values())
