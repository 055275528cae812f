"""A day of polls in no time: a rota driven event by event, and a scheduler whose jobs fire by hand."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, pairwise

from fakes import FakeClock, venue

from exporter.model import Venue
from exporter.scheduling.rota import NEVER, Rota


@dataclass
class FakePacing:
    """A quota that can be held."""

    per_second: float = 4.0
    held_until: float = 0.0

    def next_at(self) -> float:
        return self.held_until


def venues(number: int, begin: int = 0) -> list[Venue]:
    return [venue(str(id_), f"Venue {id_}") for id_ in range(begin, begin + number)]


@dataclass
class Restaurant:
    """Poll what a rota hands out; a poll of a venue takes `seconds` and `requests`."""

    clock: FakeClock
    rota: Rota
    seconds: Callable[[Venue], float] = lambda _: 0.1
    requests: Callable[[Venue], int | None] = lambda _: 1
    starts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    running: list[tuple[float, int, Venue]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    def run(self, seconds: float) -> None:
        """Let so many seconds of polls pass."""
        until = self.clock.steady() + seconds
        while True:
            end = self.running[0][0] if self.running else NEVER
            now = self.clock.steady()
            soonest = min(end, max(self.rota.next_at(), now))
            if soonest > until:
                self.clock.forward(until - now)
                return
            self.clock.forward(soonest - now)
            if end <= soonest:
                polled = heapq.heappop(self.running)[2]
                self.rota.done(polled, self.requests(polled))
                continue
            taken = self.rota.take()
            if taken is not None:
                assert taken.id not in {polled.id for _, _, polled in self.running}, "polled twice at once"
                self.starts[taken.id].append(self.clock.steady())
                heapq.heappush(self.running, (self.clock.steady() + self.seconds(taken), next(self._numbers), taken))

    def forget_starts(self) -> None:
        self.starts.clear()

    @property
    def all_starts(self) -> list[float]:
        return sorted(start for starts in self.starts.values() for start in starts)

    def gaps(self, id_: str | None = None) -> list[float]:
        """Give the seconds between polls in a row: of one venue, or of all."""
        starts = self.all_starts if id_ is None else self.starts[id_]
        return [later - first for first, later in pairwise(starts)]


class ManualScheduler:
    """Fire jobs when a fake clock says so; `settled` is called after each firing."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.jobs: dict[str, tuple[Callable[[], float], Callable[[], None]]] = {}
        self.settled: Callable[[], None] = lambda: None

    def every_turn(self, name: str, next_at: Callable[[], float], act: Callable[[], None]) -> None:
        self.jobs[name] = (next_at, act)

    def reconsider(self, name: str) -> None:
        """Do nothing: every step looks at every job."""

    def forget(self, name: str) -> None:
        self.jobs.pop(name, None)

    def run(self, seconds: float) -> None:
        until = self.clock.steady() + seconds
        while self.jobs:
            at, name = min((next_at(), name) for name, (next_at, _) in self.jobs.items())
            if at > until:
                break
            self.clock.forward(max(0.001, at - self.clock.steady()))
            self.jobs[name][1]()
            self.settled()
        self.clock.forward(max(0.0, until - self.clock.steady()))
