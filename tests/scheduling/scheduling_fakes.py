"""A day of polls in no time: a rounds driven event by event."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, pairwise

from fakes import FakeClock, venue

from exporter.model import Venue
from exporter.scheduling.round_robin import NEVER, RoundRobin


@dataclass
class FakeLimiter:
    """A quota that can be held."""

    per_second: float = 4.0
    held_until: float = 0.0

    def next_at(self) -> float:
        return self.held_until


def venues(number: int, begin: int = 0) -> list[Venue]:
    return [venue(str(id_), f"Venue {id_}") for id_ in range(begin, begin + number)]


@dataclass
class Simulation:
    """Poll what a round robin hands out; a poll of a venue takes `seconds` and `requests`."""

    clock: FakeClock
    rounds: RoundRobin
    seconds: Callable[[Venue], float] = lambda _: 0.1
    requests: Callable[[Venue], int | None] = lambda _: 1
    starts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    running: list[tuple[float, int, Venue]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    def run(self, seconds: float) -> None:
        """Let so many seconds of polls pass."""
        until = self.clock.monotonic() + seconds
        while True:
            end = self.running[0][0] if self.running else NEVER
            now = self.clock.monotonic()
            soonest = min(end, max(self.rounds.next_at(), now))
            if soonest > until:
                self.clock.forward(until - now)
                return
            self.clock.forward(soonest - now)
            if end <= soonest:
                polled = heapq.heappop(self.running)[2]
                self.rounds.done(polled, self.requests(polled))
                continue
            taken = self.rounds.take()
            if taken is not None:
                assert taken.id not in {polled.id for _, _, polled in self.running}, "polled twice at once"
                self.starts[taken.id].append(self.clock.monotonic())
                heapq.heappush(self.running, (self.clock.monotonic() + self.seconds(taken), next(self._numbers), taken))

    def forget_starts(self) -> None:
        self.starts.clear()

    @property
    def all_starts(self) -> list[float]:
        return sorted(start for starts in self.starts.values() for start in starts)

    def gaps(self, id_: str | None = None) -> list[float]:
        """Return the seconds between polls in a row: of one venue, or of all."""
        starts = self.all_starts if id_ is None else self.starts[id_]
        return [later - first for first, later in pairwise(starts)]
