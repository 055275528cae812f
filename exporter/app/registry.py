"""The views that readers see: replaced by every poll, and refreshed where time alone makes them out of date."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from threading import RLock

from exporter.clock import Clock
from exporter.metrics.exposition import Exposition
from exporter.model import VenueKey
from exporter.views import NEVER, VenueView


class ViewRegistry:
    """Hold the view of every venue, and render it into the exposition when it is published.

    One view is published at a time, so that an older one never takes the place of a newer one.
    """

    def __init__(self, clock: Clock, exposition: Exposition) -> None:
        self._clock, self._exposition = clock, exposition
        self._lock = RLock()
        self._views: dict[VenueKey, VenueView] = {}
        self._keys: list[VenueKey] = []  # sorted
        self._valid_until = NEVER

    def publish(self, views: Iterable[VenueView]) -> None:
        """Replace the views of venues."""
        with self._lock:
            for view in views:
                key = view.state.venue.key
                if key not in self._views:
                    insort(self._keys, key)
                self._views[key] = view
                self._valid_until = min(self._valid_until, view.valid_until)
                self._exposition.update(view)

    def remove(self, keys: Iterable[VenueKey]) -> None:
        """Remove venues: what vanished from Clopos vanishes from every reader."""
        with self._lock:
            for key in keys:
                if self._views.pop(key, None) is not None:
                    del self._keys[bisect_left(self._keys, key)]
                self._exposition.remove(key)

    def refresh(self) -> None:
        """Refresh the views that are out of date: values too old, a venue that opened, an exception that ended."""
        if self._clock.monotonic() < self._valid_until:
            return
        with self._lock:
            now = self._clock.now()
            expired = [view for view in self._views.values() if view.valid_until <= now.monotonic]
            self._valid_until = NEVER
            self.publish(view.refreshed(now) for view in expired)
            self._valid_until = min((view.valid_until for view in self._views.values()), default=NEVER)

    def venues(self) -> Sequence[VenueView]:
        """Return the view of every venue, as of now."""
        self.refresh()
        with self._lock:
            return list(self._views.values())

    def count_known(self) -> int:
        """Return of how many venues the stations are known, from now or from an earlier process."""
        with self._lock:
            return sum(view.state.stations is not None for view in self._views.values())

    def venues_from(self, key: tuple[str, ...], limit: int) -> Sequence[VenueView]:
        """Return the views of the first venues whose keys are not before a key, in the order of keys."""
        self.refresh()
        with self._lock:
            start = bisect_left(self._keys, key)
            return [self._views[key] for key in self._keys[start : start + limit]]
