"""The order in which the venues of a brand are polled: in a ring, one after the other, at even distances."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from exporter.clock import Clock
from exporter.model import Venue

NEVER = float("inf")

HEADROOM = 1.02
"""How much longer than the venues need the interval is, so that logins, discovery and repetitions find room in it."""


class Pacing(Protocol):
    """What a rota wants to know of a quota."""

    @property
    def per_second(self) -> float:
        """Give the rate that can be counted on, requests per second."""

    def next_at(self) -> float:
        """Give the monotonic time at which the next request could start."""


@dataclass(slots=True)
class _Turn:
    """A venue's place in the ring; `requests` is what a poll of it takes."""

    venue: Venue
    requests: int = 1
    is_new: bool = True
    running: bool = False


class Rota:
    """Hand out venues when their turn comes, the one that has waited longest first.

    The interval in force is the larger of `poll_interval` and what the quota allows for the brand's venues and their
    pages, seconds. A ring at even distances needs no memory of missed turns: after a hang or an outage it goes on where
    it stood, at the same pace, and nobody waits for more than one round.

    `offset` is the part of a distance that lies between the first polls of new venues and those that follow: brands
    that start together and have different ones do not go on in step.

    `lag` is how late the newest poll started, seconds; `skipped` counts turns that found their venue still being
    polled.
    """

    def __init__(self, clock: Clock, pacing: Pacing, poll_interval: float, *, offset: float = 1.0) -> None:
        self.poll_interval = poll_interval
        self._offset = offset
        self.lag = 0.0
        self.skipped = 0
        self._clock, self._pacing = clock, pacing
        self._lock = Lock()
        self._turns: dict[str, _Turn] = {}
        self._ring: deque[_Turn] = deque()
        self._requests = 0
        self._next = clock.monotonic()

    @property
    def interval(self) -> float:
        """Give the poll interval in force, seconds."""
        return max(self.poll_interval, self._requests / self._pacing.per_second * HEADROOM)

    @property
    def venues(self) -> list[Venue]:
        """Give the venues that are watched."""
        return [turn.venue for turn in list(self._turns.values())]

    def watch(self, venues: Iterable[Venue]) -> None:
        """Watch these venues from now on: what is known keeps its place, what is new comes first.

        New venues are polled at once, as fast as the quota's pace.
        """
        with self._lock:
            wanted = {venue.id: venue for venue in venues}
            kept = [turn for turn in self._ring if turn.venue.id in wanted]
            for turn in kept:
                turn.venue = wanted.pop(turn.venue.id)
            new = list(map(_Turn, wanted.values()))
            if new:
                self._next = self._clock.monotonic()
            self._ring = deque(new + kept)
            self._turns = {turn.venue.id: turn for turn in self._ring}
            self._count()

    def next_at(self) -> float:
        """Give the monotonic time of the next turn, infinity where there is none."""
        return max(self._next, self._pacing.next_at()) if self._ring else NEVER

    def take(self) -> Venue | None:
        """Take the venue whose turn it is, None where none is due.

        A venue that is still being polled loses its turn. Of the time that a turn is late, at most one distance is made
        up for, so that the interval holds and nothing bursts.
        """
        with self._lock:
            now = self._clock.monotonic()
            if not self._ring or now < self._next:
                return None
            turn = self._ring[0]
            self._ring.rotate(-1)
            was_new, turn.is_new = turn.is_new, False
            self.lag = now - self._next
            per_request = self.interval / self._requests
            if self._ring[0].is_new:
                per_request = 1 / self._pacing.per_second
            elif was_new:
                per_request *= self._offset
            distance = turn.requests * per_request
            self._next = max(self._next, now - distance) + distance
            if turn.running:
                self.skipped += 1
                return None
            turn.running = True
            return turn.venue

    def done(self, venue: Venue, requests: int | None = None) -> None:
        """Let a venue have turns again; `requests` is what the poll took, None where that is not known."""
        with self._lock:
            turn = self._turns.get(venue.id)
            if turn is None:
                return
            turn.running = False
            if requests is not None and requests != turn.requests:
                turn.requests = requests
                self._count()

    def _count(self) -> None:
        self._requests = sum(turn.requests for turn in self._turns.values())
