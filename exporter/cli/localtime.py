"""Times in the tables of the commands: those of the venue or brand, with the name of the time zone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from exporter.app.notifications import TimeZones
from exporter.clock import in_zone
from exporter.config import Brand


class LocalTimes:
    """Write times of venues, given by brand and id, in their time zones, UTC where none is configured.

    The heading names the time zone, or each time its own where they differ.
    """

    def __init__(self, brands: Sequence[Brand], venues: Iterable[tuple[str, str]]) -> None:
        self._zones = TimeZones(tuple(brands))
        names = {str(self._zones.of(*venue) or "UTC") for venue in venues}
        self._common = names.pop() if len(names) == 1 else None

    def heading(self, text: str) -> str:
        """Return the heading of a column of times."""
        return f"{text} ({self._common})" if self._common else text

    def write(self, at: float, venue: tuple[str, str]) -> str:
        """Write epoch seconds to the second."""
        zone = self._zones.of(*venue)
        text = f"{in_zone(at, zone):%Y-%m-%d %H:%M:%S}"
        return text if self._common else f"{text} {zone or 'UTC'}"
