"""What happened: the events, and a change as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from exporter.model.clopos import EMPTY, Station, Venue
from exporter.model.incident import Incident


class Event(StrEnum):
    """The name of a change, as it stands in the log and the journal."""

    STATION_ACTIVATED = "station.activated"
    STATION_ADDED = "station.added"
    STATION_DEACTIVATED = "station.deactivated"
    STATION_FOUND_INACTIVE = "station.found_inactive"
    STATION_KIND_CHANGED = "station.kind_changed"
    STATION_PRINTING_DISABLED = "station.printing_disabled"
    STATION_PRINTING_ENABLED = "station.printing_enabled"
    STATION_REMOVED = "station.removed"
    STATION_RENAMED = "station.renamed"
    STATION_TOUCHED = "station.touched"
    VENUE_ADDED = "venue.added"
    VENUE_LOST = "venue.lost"
    VENUE_RECOVERED = "venue.recovered"
    VENUE_REMOVED = "venue.removed"
    BRAND_LOGIN_FAILED = "brand.login_failed"
    BRAND_LOGIN_RECOVERED = "brand.login_recovered"
    BRAND_DISCOVERY_FAILED = "brand.discovery_failed"
    BRAND_DISCOVERY_RECOVERED = "brand.discovery_recovered"
    BRAND_VENUES_MISSING = "brand.venues_missing"
    INCIDENT_FIRING = "incident.firing"
    INCIDENT_RESOLVED = "incident.resolved"


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened, as a value: the log, the journal, the page and the tests share it.

    `observed_at` is epoch seconds. `details` holds what only this event says, JSON values only. `incident` is set for
    `incident.firing` and `incident.resolved`, whose `venue` and `station` are None.
    """

    event: Event
    brand: str
    observed_at: float
    venue: Venue | None = None
    station: Station | None = None
    details: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    incident: Incident | None = None
