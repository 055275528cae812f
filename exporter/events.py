"""A change becomes a log event: the same flat fields go to the log, the journal and the API."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from exporter.model import Change, Event

_YEAR_1, _YEAR_9999 = -62135596800.0, 253402300799.0

LEVELS = {
    Event.STATION_ACTIVATED: logging.INFO,
    Event.STATION_ADDED: logging.INFO,
    Event.STATION_DEACTIVATED: logging.WARNING,
    Event.STATION_FOUND_INACTIVE: logging.INFO,
    Event.STATION_KIND_CHANGED: logging.INFO,
    Event.STATION_PRINTING_DISABLED: logging.WARNING,
    Event.STATION_PRINTING_ENABLED: logging.INFO,
    Event.STATION_REMOVED: logging.INFO,
    Event.STATION_RENAMED: logging.INFO,
    Event.STATION_TOUCHED: logging.INFO,
    Event.VENUE_ADDED: logging.INFO,
    Event.VENUE_LOST: logging.ERROR,
    Event.VENUE_RECOVERED: logging.INFO,
    Event.VENUE_REMOVED: logging.INFO,
    Event.BRAND_LOGIN_FAILED: logging.ERROR,
    Event.BRAND_LOGIN_RECOVERED: logging.INFO,
    Event.BRAND_DISCOVERY_FAILED: logging.ERROR,
    Event.BRAND_DISCOVERY_RECOVERED: logging.INFO,
    Event.BRAND_VENUES_MISSING: logging.WARNING,
    Event.INCIDENT_FIRING: logging.WARNING,
    Event.INCIDENT_RESOLVED: logging.INFO,
}


@dataclass(frozen=True, slots=True)
class Teller:
    """Tell changes to the log.

    `batch` gives a context in which the lines of this thread are collected and written at once.
    """

    batch: Callable[[], AbstractContextManager[None]] = nullcontext

    def tell(self, changes: Sequence[Change]) -> None:
        """Write one line for each change; raise OSError where that fails, so that the poll is not remembered."""
        if not changes:
            return  # as after nearly every poll
        with self.batch():
            log = structlog.get_logger().bind()
            for change in changes:
                fields = record(change)
                log.log(LEVELS[change.event], fields.pop("event"), **fields)


def record(change: Change) -> dict[str, Any]:
    """Give a change as flat fields with JSON values; what does not apply, or Clopos did not say, is absent."""
    fields: dict[str, Any] = {"event": change.event.value, "brand": change.brand}
    venue, station = change.venue, change.station
    if venue is not None:
        fields.update(venue_id=venue.id, venue=venue.name)
    if station is not None:
        fields.update(station_id=station.id, station=station.name, kind=station.kind.value)
    fields["observed_at"] = iso(change.observed_at)
    if station is not None and station.updated_at is not None:
        fields["updated_at"] = iso(station.updated_at)
    fields.update(change.details)
    return fields


def iso(at: float) -> str:
    """Write epoch seconds as ISO 8601 in UTC, as Clopos does; before year 1 and after 9999 stand their ends."""
    within = min(max(at, _YEAR_1), _YEAR_9999)
    return datetime.fromtimestamp(within, UTC).isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"
