"""One brand under watch: its discovery, its rota and its workers, driven by the scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog

from exporter.clock import Clock
from exporter.model import Venue
from exporter.scheduling.rota import NEVER, Pacing, Rota
from exporter.scheduling.scheduler import Scheduler
from exporter.scheduling.workers import Workers

WORKERS = 32
"""Polls of one brand at the same time, each with a thread only while it is needed.

A request that hangs is given up after 12 s. At the 4 a second that a quota allows, 32 carry six such in ten; where all
hang, they still come round in 1.5 times the interval.
"""

_FULL_PAUSE = 0.1
_TOLD_CHANGE = 0.05
_TOLD_EVERY = 60.0


class Watch:
    """Poll the venues of a brand in turn, and renew the list of them.

    `poll` is called with a venue and gives how many requests it took, None where it failed. `discover` gives the venues
    to watch, None where it failed. Both run on the brand's own workers. `offset` is as for the rota.
    """

    def __init__(
        self,
        brand: str,
        *,
        scheduler: Scheduler,
        clock: Clock,
        pacing: Pacing,
        poll: Callable[[Venue], int | None],
        discover: Callable[[], Iterable[Venue] | None],
        poll_interval: float,
        discovery_interval: float,
        offset: float = 1.0,
    ) -> None:
        self.brand = brand
        self.rota = Rota(clock, pacing, poll_interval, offset=offset)
        self.discovery_interval = discovery_interval
        self._scheduler, self._clock = scheduler, clock
        self._poll, self._discover = poll, discover
        self._workers = Workers(brand, WORKERS)
        self._discover_at = 0.0
        self._discovery_failures = 0
        self._known: list[Venue] = []
        self._told_interval = poll_interval
        self._tell_from = clock.monotonic()
        self._log = structlog.get_logger(__name__)

    def start(self, known: Iterable[Venue] = ()) -> None:
        """Begin; venues that are known from before are polled even if the first discovery fails."""
        self._known = list(known)
        self._discover_at = self._clock.monotonic()
        self._scheduler.every_turn(f"discover {self.brand}", lambda: self._discover_at, self._start_discovery)
        self._scheduler.every_turn(f"poll {self.brand}", self._next_poll, self._start_poll)

    def stop(self) -> None:
        """Start nothing any more; what is under way is left to end."""
        self._scheduler.forget(f"discover {self.brand}")
        self._scheduler.forget(f"poll {self.brand}")
        self._workers.stop()

    def join(self, seconds: float) -> None:
        """Wait for what is under way, so many seconds at the most."""
        self._workers.join(seconds)

    def discover_now(self) -> None:
        """Renew the list of venues without waiting for its time."""
        self._discovery_failures = 0
        self._discover_at = self._clock.monotonic()
        self._scheduler.reconsider(f"discover {self.brand}")

    def _next_poll(self) -> float:
        return self.rota.next_at() if self._workers.free else self._clock.monotonic() + _FULL_PAUSE

    def _start_poll(self) -> None:
        if not self._workers.free:
            return
        venue = self.rota.take()
        if venue is not None:
            self._workers.submit(lambda: self._run_poll(venue))

    def _run_poll(self, venue: Venue) -> None:
        requests = None
        try:
            requests = self._poll(venue)
        finally:
            self.rota.done(venue, requests)
        self._tell_interval()

    def _start_discovery(self) -> None:
        if self._discover_at > self._clock.monotonic():
            return
        self._discover_at = NEVER
        self._workers.submit(self._run_discovery)

    def _run_discovery(self) -> None:
        venues = None
        try:
            venues = self._discover()
        finally:
            wait = self.discovery_interval
            if venues is None:
                # The client itself asks less often where only a person can help.
                wait = min(wait, 60.0, 2.0**self._discovery_failures)
                self._discovery_failures = min(self._discovery_failures + 1, 10)
            self._discover_at = self._clock.monotonic() + wait
            self._scheduler.reconsider(f"discover {self.brand}")
        if venues is not None:
            self._discovery_failures = 0
        if venues is not None or not self.rota.venues:
            self.rota.watch(self._known if venues is None else venues)
            self._scheduler.reconsider(f"poll {self.brand}")
            self._tell_interval()

    def _tell_interval(self) -> None:
        """Log that the interval in force is another, once a minute while it goes on changing."""
        interval, now = self.rota.interval, self._clock.monotonic()
        if now >= self._tell_from and abs(interval - self._told_interval) > _TOLD_CHANGE * self._told_interval:
            self._told_interval, self._tell_from = interval, now + _TOLD_EVERY
            self._log.info(
                "poll_interval.changed",
                brand=self.brand,
                seconds=round(interval, 1),
                configured_seconds=self.rota.poll_interval,
                venues=len(self.rota.venues),
                why="stretched to stay within the API quota" if interval > self.rota.poll_interval else "as configured",
            )
