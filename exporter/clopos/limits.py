"""Limit the rate of requests: evenly, within our share, and slower before the API has to say no.

Clopos allows 300 requests a minute per integrator and brand in a sliding window, for all processes and integrations
together (its page on rate limits). Requests that start at even distances never burst and never meet the limit alone;
what others take shows in the `RateLimit-Remaining` of each response.
"""

from __future__ import annotations

from math import ceil, expm1
from threading import Event, Lock

from exporter.clock import Clock
from exporter.errors import CloposError, Stopped
from exporter.model import Reason

WINDOW = 60.0
"""Seconds of the sliding window that every limit counts in."""

SLOWDOWN = 0.10
"""Share of the limit below which we slow down, in proportion to what remains of it."""

RESERVE = 0.02
"""Share of the limit that we leave untouched: below it we wait until the API promises relief."""

MIN_FACTOR = 0.25
"""Part of our share that is used at least while responses are good, whatever their headers say of what remains."""

MAX_DOUBT = 30.0
"""Seconds for which good responses can slow us down below `MIN_FACTOR`, or hold us, without any relief."""

SMOOTHING = WINDOW / 2
"""Seconds over which the rate that can be counted on follows the responses.

A window remembers a pause for a minute and shows it as room once more; who fills that at once swings for many minutes.
"""

FIRST_RESPONSES = 3
"""After so many first responses the next request need not wait where they say that the window is otherwise empty."""

LOGINS_PER_MINUTE, LOGIN_BURST = 40.0, 10
RETRIES_PER_MINUTE, RETRY_BURST = 30.0, 5
"""Logins that all our processes at one address allow themselves, of Clopos' 60; retries are among them."""

FAILURES_PER_MINUTE = 300.0
FAILURE_BURST = 200.0
MIN_FAILURE_BURST = 5.0
"""Failed requests that this process allows itself, half of Clopos' 600; each failing brand gets an equal part."""

MAX_RESERVATION_WAIT = 2.0
"""Seconds that a request of a failing brand waits for its turn to fail: a worker has better things to do."""

_RECHECK = 0.1  # seconds until a reserved failure may have been released


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
        """Return the seconds between two moments."""
        return WINDOW / self.per_minute

    def set_rate(self, per_minute: float, *, burst: int) -> None:
        """Change the rate, and keep the moments that were handed out."""
        with self._lock:
            self.per_minute, self._burst = per_minute, burst

    def next_at(self) -> float:
        """Return the monotonic time at which something could start."""
        return max(self._next, self._held_until)

    def hold(self, seconds: float) -> None:
        """Let nothing start for so many seconds."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock.monotonic() + seconds)

    def lift(self) -> None:
        """End a hold now."""
        with self._lock:
            self._held_until = min(self._held_until, self._clock.monotonic())

    def try_acquire(self) -> bool:
        """Take a moment if one is free now, and return whether it was."""
        with self._lock:
            now = self._clock.monotonic()
            due = self._due(now)
            if max(due, self._held_until) > now:
                return False
            self._next = due + self.spacing
            return True

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
                    raise CloposError(Reason.THROTTLED, _not_sent(start - now, held=held and start > due))
                if not held:
                    self._next = due + self.spacing
            if self._clock.wait(self._stop, start - now):
                raise Stopped
            if not held and self._clock.monotonic() >= self._held_until:
                return

    def _due(self, now: float) -> float:
        """Return the next moment: a pause is not saved up, at most a burst of unused moments is kept."""
        return max(self._next, now - self.spacing * (self._burst - 1))


class BrandQuota(RateLimiter):
    """Limit one brand's requests and obey what the API says of its quota.

    `limit` and `remaining` are those of the newest response, None before the first.
    """

    def __init__(self, per_minute: float, clock: Clock, stop: Event) -> None:
        self._share = per_minute
        self._smooth = 1.0
        self._updated_at = clock.monotonic()
        self._low_since: float | None = None
        self._first_responses = FIRST_RESPONSES
        self.limit: int | None = None
        self.remaining: int | None = None
        # A spare moment makes up for a late start, so that the share can be used in full.
        super().__init__(per_minute, clock, stop, burst=2)

    @property
    def per_second(self) -> float:
        """Return the rate that can be counted on, requests per second: that of about the last minute."""
        return self._share * self._smooth / WINDOW

    def update(self, limit: int, remaining: int, reset: float) -> None:
        """Take in the RateLimit headers of a good response; `reset` is in seconds.

        Below `SLOWDOWN` the rate falls in proportion to what remains, and below `RESERVE` we wait for the reset: that
        converges where our requests and those of others together fill the window without touching its end. Headers can
        be wrong for ever though (`Remaining: 0`, `Limit: 1` or 10^9) while responses are good: where slowing down
        brought no relief for `MAX_DOUBT`, the rate is `MIN_FACTOR` of our share at least, until it comes.
        """
        self.limit, self.remaining = limit, remaining
        plausible = min(limit, 10 * self._share)
        slow, reserve = plausible * SLOWDOWN, plausible * RESERVE
        factor = min(1.0, (remaining - reserve) / (slow - reserve))
        with self._lock:
            now = self._clock.monotonic()
            if factor >= MIN_FACTOR:
                self._low_since = None
            elif self._low_since is None:
                self._low_since = now
            believed = self._low_since is None or now - self._low_since < MAX_DOUBT
            factor = max(factor, RESERVE if believed else MIN_FACTOR)
            self._smooth += (factor - self._smooth) * -expm1((self._updated_at - now) / SMOOTHING)
            self._updated_at = now
            self.per_minute = self._share * factor
            if self._first_responses and limit - remaining <= FIRST_RESPONSES:
                self._first_responses -= 1
                self._next = min(self._next, now)
        if remaining <= reserve and believed:
            self.hold(min(reset, MAX_DOUBT))

    def rate_limited(self, seconds: float) -> None:
        """Stop until the API's own time is over: it answered 429."""
        self.remaining = 0
        self.hold(seconds)

    def reset(self) -> None:
        """Start again with the full share: a person says that the cause is gone."""
        with self._lock:
            self.per_minute, self._smooth = self._share, 1.0
            self._low_since = None
        self.lift()


class FailureBudget:
    """Limit how many requests of one brand may fail, so that all brands of this address stay below Clopos' limit.

    A brand without a failure in the last minute is never held back. One whose requests fail gets an equal part of what
    may fail, and each of its requests reserves a failure before it is sent: counted afterwards, all that wait would
    start together as soon as one more may fail. Made by `IpLimits`.
    """

    def __init__(self, limits: IpLimits, clock: Clock, stop: Event) -> None:
        self._limits, self._clock, self._stop = limits, clock, stop
        self._lock = Lock()
        self._left = FAILURE_BURST
        self._reserved = 0
        self._updated_at = clock.monotonic()
        self.failed_at = float("-inf")

    def reserve(self, deadline: float) -> None:
        """Wait a moment until one more request may fail; `release` must follow. Raises like `RateLimiter.acquire`."""
        deadline = min(deadline, self._clock.monotonic() + MAX_RESERVATION_WAIT)
        while True:
            with self._lock:
                now = self._clock.monotonic()
                per_second = self._refill(now)
                if self.failed_at <= now - WINDOW or self._left - self._reserved >= 1:
                    self._reserved += 1
                    return
                wait = max(_RECHECK, (1 - self._left) / per_second)
            if now + wait > deadline:
                message = "not asked: too many requests of this brand failed in the last minute"
                raise CloposError(Reason.THROTTLED, message)
            if self._clock.wait(self._stop, wait):
                raise Stopped

    def release(self, *, failed: bool) -> None:
        """Release a reservation, and count the failure if it was one."""
        with self._lock:
            self._reserved -= 1
            if failed:
                now = self._clock.monotonic()
                self.failed_at = now
                self._refill(now)
                self._left -= 1

    def _refill(self, now: float) -> float:
        """Add what may fail since the last time, and return how much that is per second."""
        brands = self._limits.failing_brands(now)
        per_second = self._limits.failures_per_second / brands
        burst = max(MIN_FAILURE_BURST, self._limits.failure_burst / brands)
        self._left = min(burst, self._left + (now - self._updated_at) * per_second)
        self._updated_at = now
        return per_second


class IpLimits:
    """The limits that Clopos counts per IP address, shared by all brands of the process.

    60 logins a minute, and 600 failed requests a minute; both are kept with room to spare for neighbours. `processes`
    is how many of us share the address, as shards or the processes with one database do. Logins that failed before take
    a moment of `login_retries` as well, so that brands whose login fails leave some to those whose login works.
    """

    def __init__(self, clock: Clock, stop: Event, processes: int = 1) -> None:
        self.logins = RateLimiter(LOGINS_PER_MINUTE, clock, stop, burst=LOGIN_BURST)
        self.login_retries = RateLimiter(RETRIES_PER_MINUTE, clock, stop, burst=RETRY_BURST)
        self._clock, self._stop = clock, stop
        self._budgets: dict[str, FailureBudget] = {}
        self.divide(processes)

    def divide(self, processes: int) -> None:
        """Let so many processes share the address from now on."""
        self.logins.set_rate(LOGINS_PER_MINUTE / processes, burst=ceil(LOGIN_BURST / processes))
        self.login_retries.set_rate(RETRIES_PER_MINUTE / processes, burst=ceil(RETRY_BURST / processes))
        self.failures_per_second = FAILURES_PER_MINUTE / WINDOW / processes
        self.failure_burst = FAILURE_BURST / processes

    def failure_budget(self, brand: str) -> FailureBudget:
        """Return the budget of a brand, the same one every time."""
        return self._budgets.setdefault(brand, FailureBudget(self, self._clock, self._stop))

    def failing_brands(self, now: float) -> int:
        """Return how many brands had a failed request in the last minute, 1 at least."""
        return max(1, sum(budget.failed_at > now - WINDOW for budget in list(self._budgets.values())))


class RetryBudget:
    """Allow retries only in proportion to successes, so that an outage is not answered with more requests."""

    def __init__(self, ratio: float = 0.1, most: float = 10.0) -> None:
        self._ratio = ratio
        self._most = self._tokens = most
        self._lock = Lock()

    def succeeded(self) -> None:
        """Earn a part of a retry."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + self._ratio)

    def spend(self) -> bool:
        """Take one retry if there is one."""
        with self._lock:
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True


def _not_sent(seconds: float, *, held: bool) -> str:
    """Explain why a request was not sent that could start in so many seconds only."""
    wait = f"for another {max(1, ceil(seconds))} s"
    return f"not asked: Clopos wants no request {wait}" if held else f"not asked: our own rate limit has no room {wait}"
