"""The domain types, as frozen values: every module above shares them, and nobody changes one."""

from exporter.model.change import Change, Event
from exporter.model.clopos import (
    DEFAULT_VENUE,
    EMPTY,
    Discovery,
    Failure,
    Instant,
    Kind,
    LoggedIn,
    Reason,
    Snapshot,
    Station,
    Venue,
    VenueKey,
)
from exporter.model.incident import Ended, Incident, IncidentKind, Severity, Topic
from exporter.model.state import Absence, BrandState, Opening, Outage, StationRecord, StationState, VenueState

__all__ = [
    "DEFAULT_VENUE",
    "EMPTY",
    "Absence",
    "BrandState",
    "Change",
    "Discovery",
    "Ended",
    "Event",
    "Failure",
    "Incident",
    "IncidentKind",
    "Instant",
    "Kind",
    "LoggedIn",
    "Opening",
    "Outage",
    "Reason",
    "Severity",
    "Snapshot",
    "Station",
    "StationRecord",
    "StationState",
    "Topic",
    "Venue",
    "VenueKey",
    "VenueState",
]
