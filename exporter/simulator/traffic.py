"""The log of requests that came in, for tests of pacing and quota."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from itertools import count
from threading import Lock

from exporter.simulator.faults import Call


@dataclass(slots=True)
class RequestRecord:
    """A request: `at` is when it came in, epoch seconds; `code` is None until there is an answer, if ever."""

    seq: int
    at: float
    endpoint: str
    brand: str | None
    venue: str | None
    page: int | None
    code: int | None = None


class Traffic:
    """Keep the last hundred thousand requests."""

    def __init__(self) -> None:
        self._entries: deque[RequestRecord] = deque(maxlen=100_000)
        self._numbers = count(1)
        self._lock = Lock()

    def add(self, at: float, call: Call) -> RequestRecord:
        """Log a request that just came in; whoever answers it sets its code."""
        with self._lock:
            entry = RequestRecord(next(self._numbers), at, *call)
            self._entries.append(entry)
            return entry

    def entries(self, since: int = 0, **wanted: str | None) -> list[RequestRecord]:
        """Return the requests after sequence number `since` with these fields, oldest first; None is any."""
        with self._lock:
            return [
                replace(entry)
                for entry in self._entries
                if entry.seq > since and all(value in (None, getattr(entry, name)) for name, value in wanted.items())
            ]
