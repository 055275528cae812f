"""The order in which the venues of a brand are polled: evenly over the interval, fairly, and never twice at once."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
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
        """Give the steady time at which the next request could start."""


@dataclass(order=True, slots=True)
class _Turn:
    """A venue's next poll; `settles_at` is where its second one belongs, so that all are spread over the interval."""

    due: float
    place: int
    venue: Venue = field(compare=False)
    settles_at: float | None = field(compare=False)
    requests: int = field(compare=False, default=1)
    running: bool = field(compare=False, default=False)
    gone: bool = field(compare=False, default=False)


class Rota:
    """Hand out venues when their turn comes.

    The interval in force is the larger of `poll_interval` and what the quota allows for the brand's venues and their
    pages, seconds. `lag` is how late the newest poll started, seconds; `skipped` counts turns that found their venue
    still being polled.
    """

    def __init__(self, clock: Clock, pacing: Pacing, poll_interval: float) -> None:
        self.poll_interval = poll_interval
        self.lag = 0.0
        self.skipped = 0
        self._clock, self._pacing = clock, pacing
        self._lock = Lock()
        self._turns: dict[str, _Turn] = {}
        self._queue: list[_Turn] = []
        self._requests = 0
        self._not_before = 0.0

    @property
    def interval(self) -> float:
        """Give the poll interval in force, seconds."""
        return max(self.poll_interval, self._requests / self._pacing.per_second * HEADROOM)

    @property
    def venues(self) -> list[Venue]:
        """Give the venues that are watched."""
        return [turn.venue for turn in self._turns.values()]

    def watch(self, venues: Iterable[Venue]) -> None:
        """Watch these venues from now on: what is known keeps its turn, what is new comes first.

        New venues are polled at once, as fast as the quota's pace; from then on each has its own place in the interval.
        """
        with self._lock:
            wanted = {venue.id: venue for venue in venues}
            for id_ in self._turns.keys() - wanted.keys():
                self._turns.pop(id_).gone = True
            new = [venue for id_, venue in wanted.items() if id_ not in self._turns]
            for turn in self._turns.values():
                turn.venue = wanted[turn.venue.id]
            now = self._clock.steady()
            first = len(self._turns)
            for place, venue in enumerate(new):
                self._turns[venue.id] = _Turn(now + place / self._pacing.per_second, first + place, venue, None)
            self._count()
            for place, venue in enumerate(new):
                turn = self._turns[venue.id]
                turn.settles_at = now + self.interval * (1 + place / len(new))
                heapq.heappush(self._queue, turn)

    def next_at(self) -> float:
        """Give the steady time of the next turn, infinity where there is none."""
        with self._lock:
            while self._queue and self._queue[0].gone:
                heapq.heappop(self._queue)
            return max(self._queue[0].due, self._pacing.next_at(), self._not_before) if self._queue else NEVER

    def take(self) -> Venue | None:
        """Take the venue whose turn it is, None where none is due.

        A venue that is still being polled, or was late, does not catch up: its missed turns are dropped, so that
        nothing bursts after a hang and everybody keeps their place.
        """
        with self._lock:
            now = self._clock.steady()
            while self._queue and self._queue[0].due <= now:
                turn = heapq.heappop(self._queue)
                if turn.gone:
                    continue
                due = turn.due
                turn.due = self._following(turn, now)
                heapq.heappush(self._queue, turn)
                if turn.running:
                    self.skipped += 1
                    continue
                self.lag = now - due
                turn.running = True
                self._not_before = now + 1 / self._pacing.per_second
                return turn.venue
            return None

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

    def _following(self, turn: _Turn, now: float) -> float:
        """Give the turn after this one: one interval later, on the grid that spreads the venues."""
        interval = self.interval
        following = turn.settles_at or turn.due + interval
        turn.settles_at = None
        missed = (now - following) // interval + 1
        if missed > 0:
            following += missed * interval
        # A late turn stands for the next one where that would follow within half an interval.
        return following if following - now >= interval / 2 else following + interval

    def _count(self) -> None:
        self._requests = sum(turn.requests for turn in self._turns.values())
