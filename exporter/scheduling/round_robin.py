"""The order in which the venues of a brand are polled: weighted round robin, at even distances."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from math import inf
from threading import Lock
from typing import Protocol

from exporter.clock import Clock
from exporter.model import Venue
from exporter.scheduling import weights

NEVER = inf

HEADROOM = 1.02
"""How much longer than the venues need the interval is, so that logins, discovery and retries find room in it."""

MAX_BACKOFF = 15.0
"""Seconds that a venue whose polls fail waits longer than others, at the most."""

FAILURES_IN_A_ROW = 10
"""Polls of a brand that fail one after another, without a success between, before the brand is only probed."""

PROBE_SECONDS = 10.0
"""Seconds between the probes of a brand whose polls all fail, or the poll interval where that is shorter."""

BOUND_MARGIN = 0.93
"""Part of the longest interval that is planned with: a slot may come a little later than it is due."""

_TOLERANCE = 0.01  # how far the quota's rate may move before the intervals are computed again


class Limiter(Protocol):
    """What the round robin needs to know of a rate limiter: that of Clopos, or a fake."""

    @property
    def per_second(self) -> float:
        """Return the rate that can be counted on, requests per second."""

    def next_at(self) -> float:
        """Return the monotonic time at which the next request could start."""


@dataclass(slots=True, eq=False)
class _Slot:
    """A venue's place in the round.

    `due` is when it wants to be polled next (monotonic), which orders the slots. `requests` is what a poll takes,
    `failures` how many failed in a row. `phase` is where in the round a new venue goes on after its first poll, None
    afterwards. `not_before` is when the quota allows the next request after its last poll (monotonic).
    """

    venue: Venue
    phase: float | None
    due: float = 0.0
    requests: int = 1
    weight: float = weights.OPEN
    interval: float = 0.0
    failures: int = 0
    running: bool = False
    not_before: float = -inf

    @property
    def backoff(self) -> float:
        return 0.0 if self.failures <= 1 else min(MAX_BACKOFF, 2.0 ** (self.failures - 1))


class RoundRobin:
    """Hand out venues when their slot comes: heavier ones more often, equal ones one after another.

    A slot is due an interval after its last; the one due first is next, and they come at even distances, as many as the
    quota allows. After a hang or an outage the round goes on where it was, at the same rate. The interval of a venue
    follows from its weight (`weights.intervals`); for equal weights it is the larger of `poll_interval` and what the
    quota allows for all venues and their pages, seconds.

    A venue whose polls fail backs off. While nothing of the brand works, the slots of failed venues pass unused but for
    a probe every `PROBE_SECONDS` (a circuit breaker): one success, and the round goes on.

    `offset` is the part of a distance that lies between the first polls of new venues and those that follow: brands
    that start together and have different ones do not go on in step. `lag` is how late the newest poll started,
    seconds; `skipped` counts slots that found their venue still being polled.
    """

    def __init__(
        self,
        clock: Clock,
        limiter: Limiter,
        poll_interval: float,
        *,
        stale_after: float = inf,
        offset: float = 1.0,
    ) -> None:
        self.lag = 0.0
        self.skipped = 0
        self._clock, self._limiter = clock, limiter
        self._poll_interval, self._stale_after, self._offset = poll_interval, stale_after, offset
        self._lock = Lock()
        self._slots: dict[str, _Slot] = {}
        self._heap: list[tuple[float, int, _Slot]] = []
        self._numbers = count()
        self._next = clock.monotonic()
        self._per_second: float | None = None  # for which the intervals were computed; None: compute them again
        self._even = poll_interval
        self._rate = 1.0  # requests per second that the intervals come to
        self._failed_in_a_row = 0
        self._probe_at = -inf

    @property
    def interval(self) -> float:
        """Return the poll interval in force where all venues have the same weight, seconds."""
        with self._lock:
            self._plan()
            return self._even

    def interval_of(self, venue_id: str) -> float:
        """Return the poll interval in force for a venue, seconds."""
        with self._lock:
            self._plan()
            slot = self._slots.get(venue_id)
            return self._even if slot is None else slot.interval

    @property
    def venues(self) -> list[Venue]:
        """Return the venues that are polled."""
        with self._lock:
            return [slot.venue for slot in self._slots.values()]

    @property
    def probing(self) -> bool:
        """Return whether all polls fail, so that the brand is only probed."""
        return self._failed_in_a_row >= min(FAILURES_IN_A_ROW, max(2, len(self._slots)))

    def configure(self, poll_interval: float, stale_after: float) -> None:
        """Apply settings; every venue keeps its slot, which comes sooner where the interval becomes shorter."""
        with self._lock:
            self._plan()
            before, now = self._rate, self._clock.monotonic()
            self._poll_interval, self._stale_after = poll_interval, stale_after
            self._per_second = None
            self._plan()
            if self._slots and self._next > now:
                self._next = now + (self._next - now) * min(1.0, before / self._rate)

    def set_venues(self, venues: Iterable[Venue]) -> None:
        """Poll these venues from now on: a known one keeps its slot, a new one comes first.

        New venues are polled at once, as fast as the rate limiter allows.
        """
        with self._lock:
            wanted = {venue.id: venue for venue in venues}
            gone = self._slots.keys() - wanted.keys()
            for id_ in gone:
                del self._slots[id_]
            for id_, slot in self._slots.items():
                slot.venue = wanted.pop(id_)
            if gone or wanted:
                self._heap = [entry for entry in self._heap if entry[2].venue.id not in gone]
                heapq.heapify(self._heap)
                self._per_second = None
            for n, venue in enumerate(wanted.values()):
                self._slots[venue.id] = _Slot(venue, phase=(n + 1) / len(wanted))
                self._push(self._slots[venue.id], -inf)
                self._next = self._clock.monotonic()

    def set_weight(self, venue_id: str, weight: float) -> None:
        """Set the weight of a venue, as `weights.weight` computes it."""
        with self._lock:
            slot = self._slots.get(venue_id)
            if slot is not None and slot.weight != weight:
                slot.weight = weight
                self._per_second = None

    def next_at(self) -> float:
        """Return the monotonic time of the next slot, infinity where there is none."""
        return max(self._next, self._limiter.next_at()) if self._slots else NEVER

    def take(self) -> Venue | None:
        """Take the venue whose slot has come, None where none is due.

        A venue that is still being polled loses its slot. Of the time that a slot is late, at most one distance is made
        up for, so that the interval holds and nothing bursts. A poll may be sent long after its slot, by a process that
        was stopped or on a machine that slept: the next one of the venue keeps the distance of two requests from its
        end.
        """
        with self._lock:
            now = self._clock.monotonic()
            if not self._slots or now < self._next:
                return None
            self._plan()
            slot = self._heap[0][2]
            if slot.not_before > now:
                self._next = slot.not_before
                return None
            heapq.heappop(self._heap)
            phase, slot.phase = slot.phase, None
            self._push(slot, now + slot.interval * (phase or 1.0))
            self.lag = now - self._next
            distance = slot.requests / self._rate
            if self._heap[0][2].phase is not None:
                distance = slot.requests / self._limiter.per_second
            elif phase is not None:
                distance *= self._offset
            self._next = max(self._next, now - distance) + distance
            if slot.running:
                self.skipped += 1
                return None
            if slot.failures and self.probing:
                if now < self._probe_at:
                    return None
                self._probe_at = now + min(PROBE_SECONDS, self._even)
            slot.running = True
            return slot.venue

    def done(self, venue: Venue, requests: int | None = None) -> None:
        """Let a venue have slots again; `requests` is what the poll took, None where it failed."""
        with self._lock:
            slot = self._slots.get(venue.id)
            if slot is None:
                return
            slot.running = False
            slot.not_before = self._clock.monotonic() + 1 / self._limiter.per_second
            if requests is None:
                self._failed_in_a_row += 1
                self._set_failures(slot, slot.failures + 1)
                return
            if self.probing:  # What failed may work again: it is asked without more delay.
                for other in self._slots.values():
                    self._set_failures(other, min(1, other.failures))
            self._set_failures(slot, 0)
            self._failed_in_a_row = 0
            if requests != slot.requests:
                slot.requests = requests
                self._per_second = None

    def give_back(self, venue: Venue, seconds: float) -> None:
        """Put a venue that was taken and could not be polled first in the round again, in so many seconds."""
        with self._lock:
            slot = self._slots.get(venue.id)
            if slot is not None:
                slot.running = False
                self._heap = [entry for entry in self._heap if entry[2] is not slot]
                heapq.heapify(self._heap)
                self._push(slot, -inf)
                self._next = self._clock.monotonic() + seconds

    def _set_failures(self, slot: _Slot, failures: int) -> None:
        before, slot.failures = slot.backoff, failures
        if slot.backoff != before:
            self._per_second = None

    def _push(self, slot: _Slot, due: float) -> None:
        slot.due = due
        heapq.heappush(self._heap, (due, next(self._numbers), slot))

    def _plan(self) -> None:
        """Compute the interval of every slot, where something has changed, and let what is left of it change alike."""
        per_second = self._limiter.per_second
        if self._per_second is not None and abs(per_second - self._per_second) <= _TOLERANCE * self._per_second:
            return
        self._per_second = per_second
        requests: Counter[float] = Counter()
        for slot in self._slots.values():
            requests[slot.weight] += slot.requests
        budget = per_second / HEADROOM
        self._even = max(self._poll_interval, requests.total() / budget)
        longest = BOUND_MARGIN * min(weights.LONGEST * self._even, self._stale_after / 2)
        by_weight = weights.intervals(requests, budget, self._poll_interval, longest)
        self._rate, now = 0.0, self._clock.monotonic()
        for slot in self._slots.values():
            before, slot.interval = slot.interval, by_weight[slot.weight] + slot.backoff
            self._rate += slot.requests / slot.interval
            if before and slot.due > now:
                slot.due = now + (slot.due - now) * slot.interval / before
        self._heap = [(slot.due, number, slot) for _, number, slot in self._heap]
        heapq.heapify(self._heap)
