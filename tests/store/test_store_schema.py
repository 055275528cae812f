from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import FakeClock
from structlog.testing import capture_logs

from exporter.journal import JournalQuery
from exporter.model import BrandState, Change, Event, Incident, IncidentKind, Severity, Topic, Venue, VenueState
from exporter.outbox import Route
from exporter.store import file_schema
from exporter.store.sqlite import SQLiteStore

VENUE = Venue("tandir", "7", "Tandir Port")
FIRING = Change(
    Event.INCIDENT_FIRING,
    "tandir",
    5.0,
    incident=Incident(IncidentKind.VENUE_NO_ACTIVE_STATION, Severity.CRITICAL, "tandir", 3.0, VENUE, fired_at=5.0),
)


def file_of(path: Path, version: int) -> None:
    """Make the file that an exporter with that schema version would have left behind."""
    connection = sqlite3.connect(path)
    for statements in file_schema.MIGRATIONS[:version]:
        for statement in statements:
            connection.execute(statement)
    if version:
        connection.execute(
            "INSERT INTO venues (brand, venue_id, name, last_success, requests) VALUES ('tandir', '7', 'P', 9.0, 1)"
        )
        connection.execute(
            "INSERT INTO stations (brand, venue_id, station_id, name, kind, status, printing, since, missing) "
            "VALUES ('tandir', '7', '1', 'Grill', 'kitchen', 0, 1, 3.0, 0)"
        )
        connection.execute(f"PRAGMA application_id = {file_schema.APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("version", range(file_schema.VERSION + 1))
def test_a_file_of_each_version_grows_into_the_current_one(path: Path, clock: FakeClock, version: int) -> None:
    file_of(path, version)
    store = SQLiteStore(path, clock, 1e10)
    assert store.up
    stations = store.venue(VENUE).stations
    assert (stations is None) if version == 0 else (stations is not None and stations["1"].status is False)
    store.commit(VenueState(VENUE), changes=[Change(Event.STATION_TOUCHED, "tandir", 5.0, VENUE)])
    assert len(store.journal(JournalQuery())) == 1
    store.routes = [Route("shift")]
    store.commit(changes=[FIRING])
    store.close()
    again = SQLiteStore(path, clock, 1e10)
    assert [delivery.change for delivery in again.deliveries("shift")] == [FIRING]
    again.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (file_schema.VERSION,)
    connection.close()


def test_a_grown_file_has_the_tables_of_a_new_one(tmp_path: Path, clock: FakeClock) -> None:
    def tables(path: Path) -> set[tuple[str, str]]:
        SQLiteStore(path, clock, 1e10).close()
        connection = sqlite3.connect(path)
        found = set(connection.execute("SELECT name, sql FROM sqlite_master"))
        connection.close()
        return found

    file_of(tmp_path / "old.db", 1)
    assert tables(tmp_path / "old.db") == tables(tmp_path / "new.db")


def test_a_newer_file_is_left_alone(path: Path, clock: FakeClock) -> None:
    SQLiteStore(path, clock, 1e10).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {file_schema.VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with capture_logs() as logs:
        store = SQLiteStore(path, clock, 1e10)
    store.commit(VenueState(VENUE))
    store.close()
    assert store.up is False
    assert f"versions up to {file_schema.VERSION}" in logs[0]["problem"]
    assert path.read_bytes() == before


def test_an_incident_that_only_a_later_exporter_knows_costs_nothing_else(path: Path, clock: FakeClock) -> None:
    known = Incident(IncidentKind.VENUE_DATA_STALE, Severity.WARNING, "tandir", 4.0, VENUE, fired_at=5.0)
    assert FIRING.incident is not None
    state = VenueState(VENUE, {}, last_success=9.0, incidents={"venue": FIRING.incident, "stale": known})
    store = SQLiteStore(path, clock, 1e10)
    store.routes = [Route("shift", frozenset(Topic))]
    changes = [replace(FIRING, incident=known), FIRING]
    store.commit(state, BrandState("tandir", (VENUE,)), changes=changes)
    store.close()
    connection = sqlite3.connect(path)
    for table, column in (("venues", "incidents"), ("deliveries", "change")):
        of_later = f"UPDATE {table} SET {column} = replace({column}, 'venue_no_active_station', 'later')"  # noqa: S608
        connection.execute(of_later)
    connection.commit()
    connection.close()
    again = SQLiteStore(path, clock, 1e10)
    again.routes = store.routes
    assert dict(again.venue(VENUE).incidents) == {"stale": known}
    assert [delivery.change for delivery in again.deliveries("shift")] == changes[:1]
    again.commit(changes=[FIRING])
    again.close()
    assert not list(path.parent.glob("*.damaged-*"))
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM deliveries").fetchone() == (3,), "its id is not given again"
    connection.close()
