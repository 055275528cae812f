"""APScheduler on monotonic time: each watch is one job that fires when its next turn comes.

APScheduler 3 reads the wall clock through the time zone it is given. Ours answers with monotonic time, so that a wall
clock that jumps moves no poll, and a clock that runs faster takes the schedule along.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from math import ceil
from threading import Event, Thread

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers import SchedulerNotRunningError
from apscheduler.schedulers.base import STATE_STOPPED, BaseScheduler
from apscheduler.triggers.base import BaseTrigger

from exporter.clock import Clock

SLACK = 0.1
"""Seconds by which a turn may be late, so that those of several brands come together.

To wake an idle thread for a single poll costs about half as much as the poll.
"""

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_LONGEST_SLEEP = 3600.0
_TICK = timedelta(milliseconds=1)


class MonotonicZone(tzinfo):
    """A time zone in which it is as late as a clock's monotonic time says."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def at(self, monotonic: float) -> datetime:
        """Give the moment at which the clock's monotonic time is this."""
        return (_EPOCH + timedelta(seconds=monotonic)).replace(tzinfo=self)

    def fromutc(self, _dt: datetime) -> datetime:
        """Give the time now; `datetime.now(zone)` ends here and its wall time is not looked at."""
        return self.at(self._clock.monotonic())

    def utcoffset(self, _dt: datetime | None) -> timedelta:
        """Give no offset."""
        return timedelta(0)

    def dst(self, _dt: datetime | None) -> timedelta:
        """Give no summer time."""
        return timedelta(0)

    def tzname(self, _dt: datetime | None) -> str:
        """Give a name for logs."""
        return "monotonic"


class Turns(BaseTrigger):  # type: ignore[misc]  # APScheduler 3 is untyped
    """Fire whenever `next_at` says, which may say something else after each firing."""

    def __init__(self, next_at: Callable[[], float], zone: MonotonicZone) -> None:
        self._next_at, self._zone = next_at, zone

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Give the next turn, always after now: APScheduler collects all that are not before it fires one."""
        del previous_fire_time
        soonest = now + _TICK
        latest = now + timedelta(seconds=_LONGEST_SLEEP)
        wanted = self._next_at()
        if wanted == float("inf"):
            return latest
        if self._zone.at(wanted) <= soonest:
            return soonest
        return min(self._zone.at(ceil(wanted / SLACK) * SLACK), latest)


class Scheduler(BaseScheduler):  # type: ignore[misc]  # APScheduler 3 is untyped
    """Fire jobs on its own thread, on time by a clock.

    A job only hands work to workers, so one job cannot delay another by more than that takes.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._zone = MonotonicZone(clock)
        self._wake = Event()
        super().__init__(
            timezone=self._zone,
            executors={"default": DebugExecutor()},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )

    def every_turn(self, name: str, next_at: Callable[[], float], act: Callable[[], None]) -> None:
        """Call `act` whenever the monotonic time is `next_at()`; infinity means not now."""
        self.add_job(act, Turns(next_at, self._zone), id=name, name=name)

    def reconsider(self, name: str) -> None:
        """Look at a job's next turn anew: it may have come nearer."""
        job = self.get_job(name)
        if job is not None:
            job.modify(next_run_time=job.trigger.get_next_fire_time(None, datetime.now(self._zone)))

    def forget(self, name: str) -> None:
        """Drop a job."""
        if self.get_job(name) is not None:
            self.remove_job(name)

    def start(self, *args: object, **kwargs: object) -> None:
        """Start firing."""
        super().start(*args, **kwargs)
        Thread(target=self._run, name="scheduler", daemon=True).start()

    def wakeup(self) -> None:
        """Look at the jobs now."""
        self._wake.set()

    def shutdown(self, *, wait: bool = False) -> None:
        """Fire nothing any more."""
        if self.state != STATE_STOPPED:
            super().shutdown(wait)
        self._wake.set()

    def _run(self) -> None:
        seconds: float | None = 0.0
        while self.state != STATE_STOPPED:
            self._clock.wait(self._wake, _LONGEST_SLEEP if seconds is None else seconds)
            self._wake.clear()
            try:
                seconds = self._process_jobs()
            except SchedulerNotRunningError:
                return
