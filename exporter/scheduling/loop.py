"""The poll loop of one brand: its discovery and its round robin, run by the scheduler on the worker pool."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from threading import Lock

import structlog

from exporter.clock import Clock, Deadline
from exporter.model import Venue
from exporter.scheduling.pool import WorkerPool
from exporter.scheduling.round_robin import NEVER, Limiter, RoundRobin
from exporter.scheduling.scheduler import Scheduler

DISCOVERY_REQUESTS = 20.0
"""Requests that the rate limiter allows between two discoveries at least: they take no more than a twentieth of it."""

RETRY_SECONDS = 1.0
"""Seconds after which a poll or discovery that found no thread is tried again."""

_LOGGED_CHANGE = 0.05
_LOGGED_EVERY = 60.0


class PollLoop:
    """Poll the venues of a brand by weighted round robin, and renew the list of them.

    `poll` is called with a venue and returns how many requests it took, None where it failed. `discover` returns the
    venues to poll, None where it failed. Both run on the worker pool. `stale_after` bounds how long a venue of little
    weight waits, and `offset` is as for the round robin.
    """

    def __init__(
        self,
        brand: str,
        *,
        scheduler: Scheduler,
        pool: WorkerPool,
        clock: Clock,
        limiter: Limiter,
        poll: Callable[[Venue], int | None],
        discover: Callable[[], Iterable[Venue] | None],
        poll_interval: float,
        discovery_interval: float,
        stale_after: float = inf,
        offset: float = 1.0,
    ) -> None:
        self.brand = brand
        self.round_robin = RoundRobin(clock, limiter, poll_interval, stale_after=stale_after, offset=offset)
        self._scheduler, self._pool, self._clock, self._limiter = scheduler, pool, clock, limiter
        self._poll, self._discover = poll, discover
        self._poll_interval, self._discovery_interval = poll_interval, discovery_interval
        self._poll_job, self._discovery_job = f"poll {brand}", f"discover {brand}"
        self._lock = Lock()
        self._stopped = False
        self._waits_for_thread = False
        self._requested = False
        self._discovered_at = -inf
        self._discover_at = clock.monotonic()  # NEVER while one is under way
        self._discovery_failures = 0
        self._logged_interval = poll_interval
        self._log_from = clock.monotonic()
        self._log = structlog.get_logger(__name__)

    def start(self, known: Iterable[Venue] = ()) -> None:
        """Begin: venues that are known from before are polled while the first discovery is under way."""
        self.round_robin.set_venues(known)
        # Not under our lock: the scheduler's thread waits for that while it holds its own.
        self._scheduler.schedule(self._discovery_job, lambda: self._discover_at, self._start_discovery)
        self._scheduler.schedule(self._poll_job, self._next_poll, self._start_poll)
        if self._stopped:  # Meanwhile, or before.
            self.stop()

    def stop(self) -> None:
        """Start nothing any more; what is under way is left to end."""
        with self._lock:
            self._stopped = True
        for job in (self._poll_job, self._discovery_job):
            self._scheduler.remove(job)

    def join(self, seconds: float) -> None:
        """Wait for what is under way, so many seconds at the most."""
        deadline = Deadline(seconds)
        for owner in (self.brand, self._discovery_job):
            self._pool.join(owner, deadline.left())

    def discover_now(self) -> None:
        """Renew the list of venues without waiting for its time; many requests at once become one discovery."""
        with self._lock:
            self._discovery_failures = 0
            if self._discover_at == NEVER:
                self._requested = True
            else:
                self._discover_at = min(self._discover_at, self._soonest_discovery())
        self._scheduler.reschedule(self._discovery_job)

    def update(self, poll_interval: float, discovery_interval: float, stale_after: float = inf) -> None:
        """Apply settings; every venue keeps its slot."""
        self.round_robin.configure(poll_interval, stale_after)
        with self._lock:
            self._poll_interval, self._discovery_interval = poll_interval, discovery_interval
            if self._discover_at != NEVER:
                self._discover_at = min(
                    self._discover_at, max(self._discovered_at + discovery_interval, self._soonest_discovery())
                )
        for job in (self._poll_job, self._discovery_job):
            self._scheduler.reschedule(job)

    def _next_poll(self) -> float:
        if self._pool.free(self.brand):
            return self.round_robin.next_at()
        self._waits_for_thread = True
        return self._clock.monotonic() + RETRY_SECONDS

    def _start_poll(self) -> None:
        if self._stopped or not self._pool.free(self.brand):
            return
        venue = self.round_robin.take()
        if venue is not None and not self._pool.submit(self.brand, lambda: self._run_poll(venue)):
            self.round_robin.give_back(venue, RETRY_SECONDS)

    def _run_poll(self, venue: Venue) -> None:
        requests = None
        try:
            requests = self._poll(venue)
        finally:
            self.round_robin.done(venue, requests)
            if self._waits_for_thread:
                self._waits_for_thread = False
                self._scheduler.reschedule(self._poll_job)
        self._log_interval()

    def _start_discovery(self) -> None:
        with self._lock:
            if self._stopped or self._discover_at > self._clock.monotonic():
                return
            self._discover_at = NEVER
        # A name of its own: a discovery finds a thread however many polls hang.
        if not self._pool.submit(self._discovery_job, self._run_discovery):
            with self._lock:
                self._discover_at = self._clock.monotonic() + RETRY_SECONDS

    def _run_discovery(self) -> None:
        self._discovered_at = self._clock.monotonic()
        venues = None
        try:
            venues = self._discover()
        finally:
            self._end_discovery(worked=venues is not None)
        if venues is not None:
            self.round_robin.set_venues(venues)
            self._scheduler.reschedule(self._poll_job)
            self._log_interval()

    def _end_discovery(self, *, worked: bool) -> None:
        with self._lock:
            wait = self._discovery_interval
            if worked:
                self._discovery_failures = 0
            else:
                # The client itself asks less often where only a person can help.
                wait = min(wait, 60.0, 2.0**self._discovery_failures)
                self._discovery_failures = min(self._discovery_failures + 1, 10)
            at = self._clock.monotonic() + (0.0 if self._requested else wait)
            self._discover_at = max(at, self._soonest_discovery()) if worked or self._requested else at
            self._requested = False
        self._scheduler.reschedule(self._discovery_job)

    def _soonest_discovery(self) -> float:
        return max(self._clock.monotonic(), self._discovered_at + DISCOVERY_REQUESTS / self._limiter.per_second)

    def _log_interval(self) -> None:
        """Log that the interval in force is another, once a minute while it goes on changing."""
        interval, now = self.round_robin.interval, self._clock.monotonic()
        if now >= self._log_from and abs(interval - self._logged_interval) > _LOGGED_CHANGE * self._logged_interval:
            self._logged_interval, self._log_from = interval, now + _LOGGED_EVERY
            self._log.info(
                "poll_interval.changed",
                brand=self.brand,
                seconds=round(interval, 1),
                configured_seconds=self._poll_interval,
                venues=len(self.round_robin.venues),
                why="stretched to stay within the API quota" if interval > self._poll_interval else "as configured",
            )
