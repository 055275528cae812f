"""Time as something that is passed in: the system's, or one that runs faster for simulations and benchmarks."""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, datetime, tzinfo
from threading import Event

from exporter.model import Instant


class Clock:
    """Read both clocks, and wait on the monotonic one.

    `speed` lets time run faster than outside: at 60, waiting for a minute takes a second. Monotonic time never jumps,
    and where the system allows it goes on while the machine sleeps: leases end and values grow old meanwhile. Wall
    time follows the system's clock at speed 1 and is derived from monotonic time otherwise.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._began = Instant(time.time(), time.monotonic())

    def wall(self) -> float:
        """Return epoch seconds."""
        if self.speed == 1.0:
            return time.time()
        return self._began.wall + (time.monotonic() - self._began.monotonic) * self.speed

    def monotonic(self) -> float:
        """Return monotonic seconds; only differences mean anything."""
        return time.clock_gettime(_MONOTONIC) * self.speed

    def now(self) -> Instant:
        """Return the moment on both clocks."""
        return Instant(self.wall(), self.monotonic())

    def wait(self, event: Event, seconds: float) -> bool:
        """Wait until the event is set or the seconds of this clock are over; return whether it is set."""
        return event.wait(max(0.0, seconds) / self.speed)


class Deadline:
    """A moment by which several steps have to have ended together, in real time whatever the speed of a clock."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self, most: float = math.inf, *, reserved: float = 0.0) -> float:
        """Return the seconds that a step may take: `most`, or less where `reserved` seconds would not be left."""
        return max(0.0, min(most, self._at - time.monotonic() - reserved))


def _monotonic_clock() -> int:
    """Return Linux's monotonic clock that does not stop while the machine sleeps, the usual one elsewhere."""
    boottime: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    try:
        time.clock_gettime(boottime)
    except OSError:  # a sandbox
        return time.CLOCK_MONOTONIC
    return boottime


_MONOTONIC = _monotonic_clock()
_YEAR_1, _YEAR_9999 = -62135596800.0, 253402300799.0


def in_utc(at: float) -> datetime:
    """Return epoch seconds as a time in UTC, clamped to the years 1 to 9999, which every reader can hold."""
    return datetime.fromtimestamp(min(max(at, _YEAR_1), _YEAR_9999), UTC)


def in_zone(at: float, zone: tzinfo | None) -> datetime:
    """Return epoch seconds as a time in a time zone, UTC for None; clamped to what lies within the years everywhere."""
    day = 86400.0
    return in_utc(min(max(at, _YEAR_1 + day), _YEAR_9999 - day)).astimezone(zone or UTC)


def iso(at: float, timespec: str = "microseconds") -> str:
    """Format epoch seconds as ISO 8601 in UTC, with microseconds as Clopos does unless `timespec` says otherwise."""
    return in_utc(at).isoformat(timespec=timespec).removesuffix("+00:00") + "Z"


_NUMBER = r"(\d+(?:\.\d+)?)"
_UNITS = {"y": 365 * 86400, "w": 7 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
_DURATION = re.compile("".join(f"(?:{_NUMBER}{unit})?" for unit in _UNITS), re.ASCII)


def parse_duration(text: str) -> float | None:
    """Parse a duration in the spelling of Prometheus, such as `1h30m`, to seconds; return None where it is none.

    Fractions, such as `1.5s`, which Go and with it exporter-toolkit allow, are understood too.
    """
    match = _DURATION.fullmatch(text)
    if not text or not match:
        return None
    return sum(float(count or 0) * size for count, size in zip(match.groups(), _UNITS.values(), strict=True))


def format_duration(seconds: float) -> str:
    """Return a duration for people, in its two largest units: `45s`, `2h 5m`, `3d`."""
    rest = round(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        parts += [f"{count}{unit}"] if count or parts else []
    return " ".join(part for part in parts[:2] if part[0] != "0") or "0s"
