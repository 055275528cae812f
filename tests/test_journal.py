from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from exporter.clock import iso
from exporter.journal import LEVELS, Entry
from exporter.model import Change, Event, Incident, IncidentKind, Kind, Severity, Station, Venue

VENUE = Venue("tandir-group", "7", "Gəncə şöbəsi")
STATION = Station(
    "3", "Təndir\n⚠️", Kind.KITCHEN, active=False, printable=True, created_at=0.0, updated_at=1768315011.25
)


def record(change: Change) -> dict[str, Any]:
    return Entry.of(1, change).fields()


def test_a_station_event_carries_the_fields_of_the_contract_and_what_only_it_says() -> None:
    change = Change(
        Event.STATION_DEACTIVATED, "tandir-group", 1768315071.0, VENUE, STATION, {"previous_for_seconds": 60.0}
    )
    assert record(change) == {
        "event": "station.deactivated",
        "brand": "tandir-group",
        "venue_id": "7",
        "venue": "Gəncə şöbəsi",
        "station_id": "3",
        "station": "Təndir\n⚠️",
        "kind": "kitchen",
        "observed_at": "2026-01-13T14:37:51.000000Z",
        "updated_at": "2026-01-13T14:36:51.250000Z",
        "previous_for_seconds": 60.0,
    }


def test_a_venue_event_has_no_station_fields() -> None:
    change = Change(Event.VENUE_LOST, "tandir-group", 0.0, VENUE, details={"reason": "timeout"})
    assert list(record(change)) == ["event", "brand", "venue_id", "venue", "observed_at", "reason"]


def test_a_brand_event_has_no_venue_fields() -> None:
    assert list(record(Change(Event.BRAND_LOGIN_RECOVERED, "tandir-group", 0.0))) == ["event", "brand", "observed_at"]


def test_a_time_that_clopos_did_not_say_is_absent() -> None:
    silent = Station("3", "Bar", Kind.OTHER, active=True, printable=None, created_at=None, updated_at=None)
    assert "updated_at" not in record(Change(Event.STATION_ADDED, "tandir-group", 0.0, VENUE, silent))


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (-1e300, "0001-01-01T00:00:00.000000Z"),
        (253402300799.9999999, "9999-12-31T23:59:59.000000Z"),
        (float("inf"), "9999-12-31T23:59:59.000000Z"),
    ],
)
def test_any_time_can_be_written(at: float, text: str) -> None:
    assert iso(at) == text


def test_levels_are_those_of_the_contract() -> None:
    assert set(LEVELS) == set(Event)
    louder = {event.value: logging.getLevelName(level) for event, level in LEVELS.items() if level != logging.INFO}
    assert louder == {
        "station.deactivated": "WARNING",
        "station.printing_disabled": "WARNING",
        "venue.lost": "ERROR",
        "brand.login_failed": "ERROR",
        "brand.discovery_failed": "ERROR",
        "brand.venues_missing": "WARNING",
        "incident.firing": "WARNING",
    }


def test_an_incident_is_flat_too_with_the_names_of_its_beginning() -> None:
    incident = Incident(
        IncidentKind.KITCHEN_STATION_INACTIVE,
        Severity.CRITICAL,
        "tandir-group",
        began_at=0.0,
        venue=VENUE,
        station_id="3",
        station="Təndir",
        station_kind=Kind.KITCHEN,
        fired_at=120.0,
    )
    change = Change(Event.INCIDENT_RESOLVED, "tandir-group", 300.0, details={"ended": "closed"}, incident=incident)
    assert record(change) == {
        "event": "incident.resolved",
        "brand": "tandir-group",
        "venue_id": "7",
        "venue": "Gəncə şöbəsi",
        "station_id": "3",
        "station": "Təndir",
        "kind": "kitchen",
        "observed_at": "1970-01-01T00:05:00.000000Z",
        "incident": "kitchen_station_inactive",
        "severity": "critical",
        "topic": "stations",
        "began_at": "1970-01-01T00:00:00.000000Z",
        "ended": "closed",
    }


def test_fields_are_json_values() -> None:
    for event in Event:
        fields = record(Change(event, "tandir-group", 0.0, VENUE, STATION, {"previous": None}))
        assert json.loads(json.dumps(fields, allow_nan=False)) == fields


def test_the_times_of_an_incident_are_written_as_all_others() -> None:
    details = {"since": 0.0, "edited_at": 60.0, "reason": "timeout", "seconds": 61.0}
    incident = Incident(IncidentKind.STATION_INACTIVE, Severity.WARNING, "tandir-group", 0.0, VENUE, details=details)
    change = Change(Event.INCIDENT_RESOLVED, "tandir-group", 300.0, details={"active_since": 120.0}, incident=incident)
    entry = Entry.of(1, change)
    found = {name: entry.details[name] for name in ("since", "edited_at", "active_since", "reason", "seconds")}
    assert found == {
        "since": "1970-01-01T00:00:00.000000Z",
        "edited_at": "1970-01-01T00:01:00.000000Z",
        "active_since": "1970-01-01T00:02:00.000000Z",
        "reason": "timeout",
        "seconds": 61.0,
    }


def test_the_times_of_unclear_stations_are_written_by_their_ids() -> None:
    incident = Incident(
        IncidentKind.STATION_UNCLEAR, Severity.WARNING, "tandir-group", 0.0, VENUE, details={"since": {"3": 0.0}}
    )
    change = Change(Event.INCIDENT_FIRING, "tandir-group", 300.0, incident=incident)
    assert Entry.of(1, change).details["since"] == {"3": "1970-01-01T00:00:00.000000Z"}
