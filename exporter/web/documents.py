"""What the JSON API takes and gives: parameters, rows and refusals, each a model that checks and describes itself."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from exporter.model import Event, Kind, Reason

Row = TypeVar("Row")

MOST = 1000
"""Rows of one answer."""

FARTHEST = 10**12
"""Seconds from 1970 that a time may be away."""

LARGEST = 2**53 - 1
"""The largest whole number that every JSON reader holds exactly."""

_NUMBER = re.compile(r"-?\d{1,30}(\.\d{1,30})?([eE][+-]?\d{1,3})?", re.ASCII)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class Status(StrEnum):
    """What Clopos says of a station; `unknown` is a status that is neither."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    UNKNOWN = "unknown"


class VenueStatus(StrEnum):
    """How well we see a venue.

    `fresh`: the last poll brought everything; `failing`: it did not, the values are the last known; `stale`: they are
    too old to be shown; `waiting`: no poll has ended yet.
    """

    FRESH = "fresh"
    FAILING = "failing"
    STALE = "stale"
    WAITING = "waiting"


def _seconds(value: Any) -> Any:
    """Take epoch seconds or RFC 3339."""
    text = str(value)
    if _NUMBER.fullmatch(text) and abs(seconds := float(text)) <= FARTHEST:
        return seconds
    if _RFC3339.fullmatch(text):
        return datetime.fromisoformat(text.upper()).timestamp()
    raise ValueError("must be a time: RFC 3339, as 2026-01-31T18:00:00Z, or Unix seconds")


def _whole(value: Any) -> Any:
    """Take plain decimal digits only: what pydantic takes beyond that is not in the description."""
    if re.fullmatch(r"[0-9]{1,16}", str(value)):
        return int(value)
    raise ValueError("must be a whole number, not negative")


Since = Annotated[
    float | None,
    BeforeValidator(_seconds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "number", "minimum": -FARTHEST, "maximum": FARTHEST},
            ]
        }
    ),
]
Limit = Annotated[int, Field(ge=1, le=MOST, description="The most rows to give."), BeforeValidator(_whole)]
Offset = Annotated[int, Field(ge=0, le=LARGEST, description="Rows to pass over."), BeforeValidator(_whole)]
Before = Annotated[
    Annotated[int, Field(le=LARGEST), BeforeValidator(_whole)] | None,
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": LARGEST}),
]
BrandName = Annotated[str | None, WithJsonSchema({"type": "string"}), Field(description="Only this brand.")]
VenueName = Annotated[
    str | None, WithJsonSchema({"type": "string"}), Field(description="Only the venue with this id or name.")
]
StationKind = Annotated[
    Kind | None, WithJsonSchema({"enum": list(Kind)}), Field(description="Only stations of this kind.")
]


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    brand: BrandName = None
    venue: VenueName = None
    limit: Limit = 200


class StationQuery(_Query):
    """Which stations are wanted."""

    status: Annotated[
        Status | None, WithJsonSchema({"enum": list(Status)}), Field(description="Only stations with this status.")
    ] = None
    kind: StationKind = None
    since: Annotated[Since, Field(description="Only stations whose status holds since then or later.")] = None
    offset: Offset = 0


class VenueQuery(_Query):
    """Which venues are wanted."""

    status: Annotated[
        VenueStatus | None,
        WithJsonSchema({"enum": list(VenueStatus)}),
        Field(description="Only venues that we see this well."),
    ] = None
    offset: Offset = 0


class ChangeQuery(_Query):
    """Which changes are wanted."""

    station: Annotated[
        str | None, WithJsonSchema({"type": "string"}), Field(description="Only the station with this id.")
    ] = None
    kind: StationKind = None
    status: Annotated[
        Status | None,
        WithJsonSchema({"enum": list(Status)}),
        Field(description="Only changes to this status, being found with it included."),
    ] = None
    event: Annotated[tuple[Event, ...], Field(description="Only these events.")] = ()
    since: Annotated[Since, Field(description="Only changes seen then or later.")] = None
    until: Annotated[Since, Field(description="Only changes seen before then.")] = None
    before: Annotated[Before, Field(description="Only changes with a smaller id: the next page.")] = None


class Station(BaseModel):
    """A station; `since` is from when we know its status to hold."""

    brand: str
    venue_id: str
    venue: str
    station_id: str
    station: str
    kind: Kind
    status: Status
    printable: bool | None
    since: datetime
    last_transition: datetime | None
    created_at: datetime | None
    updated_at: datetime | None
    ignored: bool = Field(description="The configuration leaves it out of the alerts now.")


class Outage(BaseModel):
    """What keeps us from seeing a venue."""

    since: datetime
    reason: Reason
    message: str


class Venue(BaseModel):
    """A venue, and how well we see it. `open` is null where no opening hours are configured."""

    brand: str
    venue_id: str
    venue: str
    status: VenueStatus
    stations: int
    active: int
    last_success: datetime | None
    age_seconds: float | None
    poll_interval_seconds: float
    outage: Outage | None
    open: bool | None
    next_open: datetime | None
    next_close: datetime | None


class Change(BaseModel):
    """One told change; null is what the event is not about."""

    id: int
    event: Event
    observed_at: datetime
    brand: str
    venue_id: str | None
    venue: str | None
    station_id: str | None
    station: str | None
    kind: Kind | None
    updated_at: datetime | None
    details: dict[str, Any]


Next = Annotated[str | None, Field(description="The next page, relative to the address of this one; null on the last.")]


class Stations(BaseModel):
    """One page of stations, of `total`, in the order of brand, venue and id."""

    data: list[Station]
    total: int
    next: Next


class Venues(BaseModel):
    """One page of venues, of `total`, in the order of brand and id."""

    data: list[Venue]
    total: int
    next: Next


class Changes(BaseModel):
    """One page of changes, newest first."""

    data: list[Change]
    next: Next


class Fault(BaseModel):
    """What is wrong with a parameter."""

    parameter: str
    message: str


class Refusal(BaseModel):
    """Everything that is wrong with a query."""

    error: Literal["bad_request"] = "bad_request"
    faults: list[Fault]
