"""A clock that begins when a test wants it to, runs faster, and shows the same in several processes."""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import Self
from zoneinfo import ZoneInfo

from exporter.clock import Clock
from exporter.model import Instant


class SharedClock(Clock):
    """Begin at a local time, now; `speed` is how many times faster than outside it runs."""

    def __init__(self, begin: str, speed: float, zone: str = "Asia/Baku") -> None:
        super().__init__(speed)
        self._zone = ZoneInfo(zone)
        self._began = Instant(datetime.fromisoformat(begin).replace(tzinfo=self._zone).timestamp(), time.monotonic())

    @classmethod
    def read(cls) -> Self:
        """Return the clock that CLOCK in the environment describes."""
        wall, monotonic, speed = map(float, os.environ["CLOCK"].split())
        clock = cls("2000-01-01", speed)
        clock._began = Instant(wall, monotonic)
        return clock

    @property
    def env(self) -> dict[str, str]:
        """Return the environment variable from which another process reads this clock."""
        return {"CLOCK": f"{self._began.wall!r} {self._began.monotonic!r} {self.speed!r}"}

    def at(self, text: str, *, fold: int = 0) -> float:
        """Return the epoch seconds of a local time; `fold` is 1 for the second of two that a clock shows twice."""
        return datetime.fromisoformat(text).replace(tzinfo=self._zone, fold=fold).timestamp()

    def sleep_until(self, wall: float) -> None:
        """Sleep until it is so late on this clock."""
        time.sleep(max(0.0, wall - self.wall()) / self.speed)
