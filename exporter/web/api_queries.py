"""The parameters of the JSON API: models that check them strictly, and from which they are described."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from exporter.model import Event

MAX_ROWS = 1000
"""Rows of one page."""

MAX_SECONDS = 10**12
"""Seconds from 1970 that a time may be away."""

MAX_INTEGER = 2**53 - 1
"""The largest whole number that every JSON reader holds exactly."""

StationStatus = Literal["active", "inactive", "unknown"]
VenueStatus = Literal["fresh", "failing", "stale", "waiting"]
IncidentStatus = Literal["firing", "pending"]
StationKind = Literal["kitchen", "other", "unknown"]

_NUMBER = re.compile(r"-?\d{1,30}(\.\d{1,30})?([eE][+-]?\d{1,3})?", re.ASCII)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _seconds(value: Any) -> Any:
    """Parse epoch seconds or RFC 3339."""
    text = str(value)
    if _NUMBER.fullmatch(text) and abs(seconds := float(text)) <= MAX_SECONDS:
        return seconds
    if _RFC3339.fullmatch(text):
        return datetime.fromisoformat(text.upper()).timestamp()
    raise ValueError("must be a time: RFC 3339, as 2026-01-31T18:00:00Z, or Unix seconds")


def _whole(value: Any) -> Any:
    """Parse plain decimal digits only: what pydantic takes beyond that is not in the description."""
    if re.fullmatch(r"[0-9]{1,16}", str(value)):
        return int(value)
    raise ValueError("must be a whole number, not negative")


Whole = Annotated[int, BeforeValidator(_whole)]
Id = Annotated[int, Field(ge=0, le=MAX_INTEGER), BeforeValidator(_whole)]
Time = Annotated[
    float,
    BeforeValidator(_seconds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "number", "minimum": -MAX_SECONDS, "maximum": MAX_SECONDS},
            ]
        }
    ),
]


class ListQuery(BaseModel):
    """What every list can be asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    brand: str | None = Field(None, description="Only this brand.")
    venue: str | None = Field(None, description="Only the venue with this id or name.")
    limit: Whole = Field(200, ge=1, le=MAX_ROWS, description="The most rows to return.")


class KeyedQuery(ListQuery):
    """A list in the order of its keys: brand, venue id and so on."""

    after: str | None = Field(None, description="Only what follows this key; `next` has it.")


class StationQuery(KeyedQuery):
    """Which stations are wanted."""

    status: StationStatus | None = Field(None, description="Only stations with this status.")
    kind: StationKind | None = Field(None, description="Only stations of this kind.")
    since: Time | None = Field(None, description="Only stations whose status holds since then or later.")


class VenueQuery(KeyedQuery):
    """Which venues are wanted."""

    status: VenueStatus | None = Field(None, description="Only venues whose data is in this state.")


class IncidentQuery(KeyedQuery):
    """Which incidents are wanted."""

    status: IncidentStatus | None = Field(None, description="Only incidents in this state.")
    since: Time | None = Field(None, description="Only incidents that hold since then or later.")


class ChangeQuery(ListQuery):
    """Which changes are wanted."""

    station: str | None = Field(None, description="Only the station with this id.")
    kind: StationKind | None = Field(None, description="Only stations of this kind.")
    status: StationStatus | None = Field(None, description="Only changes to this status, being found with it included.")
    event: tuple[Event, ...] = Field((), description="Only these events.")
    since: Time | None = Field(None, description="Only changes seen then or later.")
    until: Time | None = Field(None, description="Only changes seen before then.")
    before: Id | None = Field(None, description="Only changes with a smaller id.")
