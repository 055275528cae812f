from __future__ import annotations

from exporter.clock import Clock


class FakeClock(Clock):
    """A clock that stands still until it is advanced."""

    def __init__(self, wall: float = 1_700_000_000.0, monotonic: float = 5_000.0) -> None:
        super().__init__()
        self._wall, self._monotonic = wall, monotonic

    def wall(self) -> float:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    def forward(self, seconds: float) -> None:
        self._wall += seconds
        self._monotonic += seconds
