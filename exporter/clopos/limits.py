"""RateLimiter requests: evenly, within our share, and slower before the API has to say no.

Clopos admits 300 requests a minute per integrator and brand in a sliding window, for all processes and integrations
together (its page on rate limits). Requests that start at even distances never burst and never meet the limit alone;
what others take shows in the `RateLimit-Remaining` of each answer.
"""

from __future__ import annotations

from math import ceil, expm1
from threading import Event, Lock

from exporter.clock import Clock
from exporter.errors import CloposError, Stopped
from exporter.model import Reason

WINDOW = 60.0
"""Seconds of the sliding window that every limit counts in."""

GUARD = 0.10
"""Share of the limit below which we slow down, in proportion to what remains of it."""

FLOOR = 0.02
"""Share of the limit that we leave untouched: below it we wait until the API promises relief."""

SMOOTHING = WINDOW / 2
"""Seconds over which the rate that can be counted on follows the answers.

A window remembers a pause for a minute and shows it as room once more; who fills that at once swings for many minutes.
"""


class RateLimiter:
    """Hand out moments to start at, each `60 / per_minute` seconds after the one before, `burst` of them at once."""

    def __init__(self, per_minute: float, clock: Clock, stop: Event, *, burst: int = 1) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._stop = stop
        self._burst = burst
        self._lock = Lock()
        self._next = clock.monotonic() - self.spacing * (burst - 1)
        self._held_until = self._next

    @property
    def spacing(self) -> float:
        """Give the seconds between two moments."""
        return WINDOW / self.per_minute

    def next_at(self) -> float:
        """Give the monotonic time at which something could start."""
        return max(self._next, self._held_until)

    def hold(self, seconds: float) -> None:
        """Let nothing start for so many seconds."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock.monotonic() + seconds)

    def spend(self) -> None:
        """Count something that happened without asking first."""
        with self._lock:
            self._next = self._due(self._clock.monotonic()) + self.spacing

    def acquire(self, deadline: float) -> None:
        """Wait for our moment.

        `deadline` is in monotonic seconds. Raises CloposError `throttled` at once if the moment lies behind it, and
        Stopped when the process ends meanwhile.
        """
        while True:
            with self._lock:
                now = self._clock.monotonic()
                held = self._held_until > now
                due = self._due(now)
                start = max(due, self._held_until)
                if start > deadline:
                    raise CloposError(Reason.THROTTLED, f"no room in the quota for {start - now:.0f} s")
                if not held:
                    self._next = due + self.spacing
            if self._clock.wait(self._stop, start - now):
                raise Stopped
            if not held and self._clock.monotonic() >= self._held_until:
                return

    def _due(self, now: float) -> float:
        """Give the next moment: a pause is not saved up, at most a burst of unused moments is kept."""
        return max(self._next, now - self.spacing * (self._burst - 1))


class BrandQuota(RateLimiter):
    """RateLimiter one brand's requests and obey what the API says of its quota.

    `limit` and `remaining` are as told last, None before the first answer.
    """

    def __init__(self, per_minute: float, clock: Clock, stop: Event) -> None:
        self._share = per_minute
        self._smooth = 1.0
        self._told_at = clock.monotonic()
        self.limit: int | None = None
        self.remaining: int | None = None
        # A spare moment makes up for a late start, so that the share can be used in full.
        super().__init__(per_minute, clock, stop, burst=2)

    @property
    def per_second(self) -> float:
        """Give the rate that can be counted on, requests per second: the answers' of about the last minute."""
        return self._share * self._smooth / WINDOW

    def update(self, limit: int, remaining: int, reset: float) -> None:
        """Take in the RateLimit headers of an answer; `reset` is in seconds.

        Between guard and floor the pace falls in proportion to what remains, which settles where our requests and
        those of others together fill the window without touching its end.
        """
        self.limit, self.remaining = limit, remaining
        guard, floor = limit * GUARD, limit * FLOOR
        factor = min(1.0, max(FLOOR, (remaining - floor) / (guard - floor)))
        with self._lock:
            now = self._clock.monotonic()
            self._smooth += (factor - self._smooth) * -expm1((self._told_at - now) / SMOOTHING)
            self._told_at = now
            self.per_minute = self._share * factor
        if remaining <= floor:
            self.hold(min(reset, WINDOW))

    def rate_limited(self, seconds: float) -> None:
        """Stop until the API's own time is over: it answered 429."""
        self.remaining = 0
        self.hold(seconds)


class FailureBudget(RateLimiter):
    """RateLimiter requests by how many failed: freely while few did, and counted beforehand once many have.

    If they were counted only afterwards then, all that wait would start together as soon as one more may fail.
    """

    def reserve(self, deadline: float) -> bool:
        """Wait until one more may fail, and tell whether it was counted beforehand. Raises like `acquire`."""
        if self.next_at() <= self._clock.monotonic():
            return False
        try:
            self.acquire(deadline)
        except CloposError as error:
            raise CloposError(error.reason, "too many requests of this address failed in the last minute") from error
        return True

    def release(self, *, failed: bool, counted: bool) -> None:
        """Count what failed, or give back what was counted beforehand and did not."""
        if failed and not counted:
            self.spend()
        elif counted and not failed:
            with self._lock:
                self._next -= self.spacing


class IpLimits:
    """Hold the limits that Clopos counts per IP address, shared by all brands of the process.

    60 logins a minute, and 600 failed requests a minute; both are kept with room to spare for neighbours. `processes`
    is how many of us share the address, as the shards of one cluster do.
    """

    def __init__(self, clock: Clock, stop: Event, processes: int = 1) -> None:
        self.logins = RateLimiter(40 / processes, clock, stop, burst=ceil(10 / processes))
        self.failures = FailureBudget(300 / processes, clock, stop, burst=ceil(200 / processes))


class RetryBudget:
    """Allow repetitions only in proportion to successes, so that an outage is not answered with more requests."""

    def __init__(self, ratio: float = 0.1, most: float = 10.0) -> None:
        self._ratio = ratio
        self._most = self._tokens = most
        self._lock = Lock()

    def succeeded(self) -> None:
        """Earn a part of a repetition."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + self._ratio)

    def spend(self) -> bool:
        """Take one repetition if there is one."""
        with self._lock:
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True
