"""APScheduler on monotonic time: each job runs when its own `next_at` says.

APScheduler 3 reads the wall clock through the time zone it is given. Ours returns monotonic time, so that a wall clock
that jumps moves no poll, and a clock that runs faster takes the schedule along.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from math import ceil

import structlog
from apscheduler.executors.debug import DebugExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.schedulers.base import STATE_STOPPED
from apscheduler.triggers.base import BaseTrigger

from exporter.clock import Clock

SLACK = 0.1
"""Seconds by which a job may be late, so that the polls of several brands start together.

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
        """Return the moment at which the clock's monotonic time is this."""
        return (_EPOCH + timedelta(seconds=monotonic)).replace(tzinfo=self)

    def fromutc(self, _dt: datetime) -> datetime:
        """Return the time now; `datetime.now(zone)` ends here and its wall time is not looked at."""
        return self.at(self._clock.monotonic())

    def utcoffset(self, _dt: datetime | None) -> timedelta:
        """Return no offset."""
        return timedelta(0)

    def dst(self, _dt: datetime | None) -> timedelta:
        """Return no summer time."""
        return timedelta(0)

    def tzname(self, _dt: datetime | None) -> str:
        """Return a name for logs."""
        return "monotonic"


class NextAtTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler 3 is untyped
    """Fire whenever `next_at` says, which may say something else after each run."""

    def __init__(self, next_at: Callable[[], float], zone: MonotonicZone) -> None:
        self._next_at, self._zone = next_at, zone

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return the next time, always after now: APScheduler collects all that are not before it runs one."""
        del previous_fire_time
        soonest = now + _TICK
        latest = now + timedelta(seconds=_LONGEST_SLEEP)
        wanted = self._next_at()
        if wanted == float("inf"):
            return latest
        if self._zone.at(wanted) <= soonest:
            return soonest
        return min(self._zone.at(ceil(wanted / SLACK) * SLACK), latest)


class Scheduler(BackgroundScheduler):  # type: ignore[misc]  # APScheduler 3 is untyped
    """Run jobs on one thread, on time by a clock.

    A job only hands work to the worker pool, so one job cannot delay another by more than that takes.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._zone = MonotonicZone(clock)
        self._failed = False
        self._log = structlog.get_logger(__name__)
        # What it logs of its own names times of this zone, in the year 2000, which help nobody.
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        super().__init__(
            timezone=self._zone,
            executors={"default": DebugExecutor()},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )

    @property
    def alive(self) -> bool:
        """Return whether jobs run: False once the thread has ended by a fault, so that nothing is polled any more."""
        return not self._failed

    def schedule(self, name: str, next_at: Callable[[], float], run: Callable[[], None]) -> None:
        """Call `run` whenever the monotonic time is `next_at()`; infinity means not now."""

        def run_logged() -> None:
            try:
                run()
            except Exception:  # noqa: BLE001 - logged, and the job is still needed
                self._log.exception("job.failed", job=name)

        self.add_job(run_logged, NextAtTrigger(next_at, self._zone), id=name, name=name, replace_existing=True)

    def reschedule(self, name: str) -> None:
        """Ask a job for its next time again: it may be sooner now."""
        # In one piece: a time that was asked for earlier must not replace the one that was asked for later.
        with self._jobstores_lock, suppress(JobLookupError):  # it was removed meanwhile
            job = self.get_job(name)
            if job is not None:
                job.modify(next_run_time=job.trigger.get_next_fire_time(None, datetime.now(self._zone)))

    def remove(self, name: str) -> None:
        """Drop a job, if there is one."""
        with suppress(JobLookupError):
            self.remove_job(name)

    def shutdown(self, *, wait: bool = False) -> None:
        """Run nothing any more; may be called twice, and before the start."""
        if self.state != STATE_STOPPED:
            super().shutdown(wait)

    def _process_jobs(self) -> float | None:
        """Run what is due, and return how many seconds the thread may sleep: outside, time has speed 1."""
        try:
            seconds = super()._process_jobs()
        except Exception:
            if self.state == STATE_STOPPED:  # It was shut down meanwhile.
                return None
            self._failed = True
            self._log.exception("scheduler.failed")
            raise
        return None if seconds is None else float(seconds) / self._clock.speed
