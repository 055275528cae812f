from __future__ import annotations

import io
import json
import logging
from contextlib import contextmanager

import pytest
import structlog
from structlog.testing import capture_logs

from exporter.events import LEVELS, Teller, iso, record
from exporter.model import Change, Event, Kind, Station, Venue

VENUE = Venue("tandir-group", "7", "Gəncə şöbəsi")
STATION = Station(
    "3", "Təndir\n⚠️", Kind.KITCHEN, active=False, printable=True, created_at=0.0, updated_at=1768315011.25
)


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


@pytest.mark.parametrize("event", Event)
def test_every_event_is_told_with_its_level(event: Event) -> None:
    change = Change(event, "tandir-group", 0.0, VENUE, STATION)
    with capture_logs() as told:
        Teller().tell([change])
    assert told == [{**record(change), "log_level": logging.getLevelName(LEVELS[event]).lower()}]


def test_all_changes_of_a_poll_are_told_in_order_within_one_batch() -> None:
    batches: list[str] = []

    @contextmanager
    def batch():
        batches.append("begin")
        yield
        batches.append("end")

    changes = [Change(Event.VENUE_ADDED, "tandir-group", 0.0, Venue("tandir-group", str(id_), "")) for id_ in range(3)]
    with capture_logs() as told:
        Teller(batch).tell(changes)
    assert [line["venue_id"] for line in told] == ["0", "1", "2"]
    assert batches == ["begin", "end"]


def test_a_batch_that_cannot_be_written_is_not_told() -> None:
    @contextmanager
    def batch():
        yield
        raise BrokenPipeError

    with capture_logs(), pytest.raises(BrokenPipeError):
        Teller(batch).tell([Change(Event.VENUE_ADDED, "tandir-group", 0.0, VENUE)])


def test_fields_are_json_values() -> None:
    for event in Event:
        fields = record(Change(event, "tandir-group", 0.0, VENUE, STATION, {"previous": None}))
        assert json.loads(json.dumps(fields, allow_nan=False)) == fields


def test_telling_goes_through_structlog(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(structlog._config._CONFIG, "default_processors", [structlog.processors.KeyValueRenderer()])
    monkeypatch.setattr(structlog._config._CONFIG, "logger_factory", structlog.PrintLoggerFactory(stream))
    Teller().tell([Change(Event.VENUE_ADDED, "tandir-group", 0.0, VENUE)])
    assert "event='venue.added'" in stream.getvalue()
