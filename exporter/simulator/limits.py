"""The three rate-limit tiers of Clopos: sliding windows of one minute."""

from __future__ import annotations

import math
from collections import deque
from http import HTTPStatus
from threading import Lock
from typing import NamedTuple

from exporter.clock import Clock

MINUTE = 60.0


class Tiers(NamedTuple):
    """Requests per minute: logins per IP, failed requests per IP, authenticated requests per integrator and brand."""

    logins: int = 60
    failures: int = 600
    brand: int = 300


class Quota(NamedTuple):
    """What the RateLimit headers say.

    `reset` is in whole seconds, rounded up: until the oldest counted request leaves the window. For a full window that
    is when the next request is allowed.
    """

    limit: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        """Write it as headers."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset),
        }


class Window:
    """Count what happened within the last minute.

    `load` is how many requests a minute somebody else spends of it, evenly; like everybody they are refused when it
    is full. Times are monotonic seconds and never go back.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.load = 0.0
        self._times: deque[float] = deque(maxlen=limit)
        self._next_foreign = -math.inf

    def has_capacity(self, now: float) -> bool:
        """Return whether one more request is within the limit."""
        self._move_to(now)
        return len(self._times) < self.limit

    def add(self, now: float) -> None:
        """Count one; beyond the limit the oldest makes room, so that a full window stays full for a minute more."""
        self._times.append(now)

    def quota(self, now: float) -> Quota:
        """Return what the headers say now."""
        self._move_to(now)
        reset = math.ceil(self._times[0] + MINUTE - now) if self._times else 0
        return Quota(self.limit, self.limit - len(self._times), reset)

    def set_load(self, per_minute: float, now: float) -> None:
        """Let somebody else spend so many requests a minute from now on."""
        self._move_to(now)
        self.load, self._next_foreign = per_minute, now

    def _move_to(self, now: float) -> None:
        while self.load and self._next_foreign <= now:
            self._forget(self._next_foreign)
            if len(self._times) < self.limit:
                self._times.append(self._next_foreign)
            self._next_foreign = max(self._next_foreign + MINUTE / self.load, now - MINUTE)
        self._forget(now)

    def _forget(self, now: float) -> None:
        while self._times and self._times[0] <= now - MINUTE:
            self._times.popleft()


class Limits:
    """Allow or reject requests; without tiers everything is allowed and no header is sent."""

    def __init__(self, clock: Clock, tiers: Tiers | None) -> None:
        self._clock = clock
        self._tiers = tiers
        self._lock = Lock()
        self._windows: dict[tuple[str, str], Window] = {}

    def acquire_login(self, ip: str) -> Quota | None:
        """Count a login; return the quota that refuses it, or None where it is allowed."""
        with self._lock:
            logins = self._of("logins", ip)
            return self._acquire(logins, counting=logins)

    def acquire(self, ip: str, brand: str | None) -> Quota | None:
        """Count an authenticated request; return the quota that refuses it, or None where it is allowed.

        `brand` is None where no valid token says whose quota it is.
        """
        with self._lock:
            brands = self._of("brand", brand)
            return self._acquire([*self._of("failures", ip), *brands], counting=brands)

    def record(self, ip: str, brand: str | None, status: int) -> Quota | None:
        """Count an authenticated request's failure and return the quota of the tier nearest its end."""
        with self._lock:
            now = self._clock.monotonic()
            failures = self._of("failures", ip)
            for window in failures if status >= HTTPStatus.BAD_REQUEST else ():
                window.add(now)
            quotas = [window.quota(now) for window in [*failures, *self._of("brand", brand)]]
        return min(quotas, key=lambda quota: quota.remaining, default=None)

    def set_load(self, brand: str, per_minute: float) -> None:
        """Let another client of the brand spend so many requests a minute from now on."""
        with self._lock:
            for window in self._of("brand", brand):
                window.set_load(per_minute, self._clock.monotonic())

    def _of(self, tier: str, key: str | None) -> list[Window]:
        """Return the window of an address or brand in a tier: none where there is no such limit."""
        if self._tiers is None or key is None:
            return []
        if (tier, key) not in self._windows:
            self._windows[tier, key] = Window(getattr(self._tiers, tier))
        return [self._windows[tier, key]]

    def _acquire(self, windows: list[Window], counting: list[Window]) -> Quota | None:
        now = self._clock.monotonic()
        for window in windows:
            if not window.has_capacity(now):
                return window.quota(now)
        for window in counting:
            window.add(now)
        return None
