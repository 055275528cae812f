"""Small values and fakes that the tests of several modules share."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import Any

from exporter.clock import Clock
from exporter.model import Failure, Instant, Kind, Reason, Snapshot, Station, Venue

NOON = 1_800_000_000.0
"""Wall time at which fake clocks begin, epoch seconds; 2027-01-15, a Friday."""


class FakeClock(Clock):
    """A clock that stands still until it is advanced, or until somebody waits on it: waiting takes no time."""

    def __init__(self, *, wall: float = NOON, monotonic: float = 7_000.0) -> None:
        super().__init__()
        self._wall, self._monotonic = wall, monotonic
        self.waited: list[float] = []

    def wall(self) -> float:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    def forward(self, seconds: float) -> None:
        self._wall += seconds
        self._monotonic += seconds

    def set_wall(self, wall: float) -> None:
        """Put the wall clock elsewhere, as an administrator might; monotonic time goes on."""
        self._wall = wall

    def wait(self, event: Event, seconds: float) -> bool:
        if event.is_set():
            return True
        self.waited.append(seconds)
        self.forward(max(0.0, seconds))
        return event.is_set()


class ManualScheduler:
    """Fire jobs when a fake clock says so; `after_jobs` is called after each firing."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.jobs: dict[str, tuple[Callable[[], float], Callable[[], None]]] = {}
        self.after_jobs: Callable[[], None] = lambda: None

    def schedule(self, name: str, next_at: Callable[[], float], run: Callable[[], None]) -> None:
        self.jobs[name] = (next_at, run)

    def reschedule(self, name: str) -> None:
        """Do nothing: every step looks at every job."""

    def remove(self, name: str) -> None:
        self.jobs.pop(name, None)

    def run(self, seconds: float) -> None:
        until = self.clock.monotonic() + seconds
        while self.jobs:
            at, name = min((next_at(), name) for name, (next_at, _) in self.jobs.items())
            if at > until:
                break
            self.clock.forward(max(0.001, at - self.clock.monotonic()))
            self.jobs[name][1]()
            self.after_jobs()
        self.clock.forward(max(0.0, until - self.clock.monotonic()))


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for something that another thread does."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def at(seconds: float = 0.0) -> Instant:
    """Return the moment so many seconds after noon."""
    return Instant(NOON + seconds, 7_000.0 + seconds)


def venue(id_: str = "7", name: str = "Gəncə", brand: str = "tandir-group") -> Venue:
    return Venue(brand, id_, name)


def station(id_: str = "1", name: str = "Tandir", kind: Kind = Kind.KITCHEN, **rest: Any) -> Station:
    row: dict[str, Any] = {"active": True, "printable": True, "created_at": 1.0, "updated_at": 2.0, **rest}
    return Station(id_, name, kind, **row)


def snapshot(*stations: Station, seconds: float = 0.0, **rest: Any) -> Snapshot:
    """Return a complete poll that ended so many seconds after noon."""
    return Snapshot(stations, at(seconds), **rest)


def failure(
    reason: Reason = Reason.TIMEOUT, message: str = "no complete answer in time", seconds: float = 0.0, **rest: Any
) -> Failure:
    """Return a poll that failed so many seconds after noon."""
    return Failure(reason, message, at(seconds), **rest)
