from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from fakes import at, failure, snapshot, station, venue
from hypothesis import given
from hypothesis import strategies as st

from exporter.changes import advance, advance_brand
from exporter.model import (
    BrandState,
    Change,
    Discovery,
    Event,
    Failure,
    Kind,
    LoggedIn,
    Reason,
    Snapshot,
    Station,
    Venue,
    VenueState,
)

BLANK = VenueState(venue())
FLAGS = st.sampled_from([True, False, None])
STATIONS = st.builds(
    Station,
    id=st.sampled_from("123456"),
    name=st.sampled_from(["Tandir", "Bar", "Təndir"]),
    kind=st.sampled_from(Kind),
    active=FLAGS,
    printable=FLAGS,
    created_at=st.just(1.0),
    updated_at=st.sampled_from([None, 2.0, 3.0]),
)
ROWS = st.lists(STATIONS, unique_by=lambda row: row.id, max_size=6)


def after(*outcomes: Snapshot | Failure) -> VenueState:
    """Return the state that outcomes in a row lead to."""
    state = BLANK
    for outcome in outcomes:
        state, _ = advance(state, outcome)
    return state


def apply(rows: dict[str, dict[str, Any]], changes: Iterable[Change]) -> None:
    """Apply the changes to rows, and nothing else."""
    for change in changes:
        new = change.station
        assert new is not None
        event, row = change.event, rows.setdefault(new.id, {})
        if event is Event.STATION_ADDED:
            assert not row
            row.update(name=new.name, kind=new.kind, inactive=False, printing=new.printable)
        elif event is Event.STATION_REMOVED:
            del rows[new.id]
        elif event is Event.STATION_RENAMED:
            assert row["name"] == change.details["previous"]
            row["name"] = new.name
        elif event is Event.STATION_KIND_CHANGED:
            assert row["kind"] == change.details["previous"]
            row["kind"] = new.kind
        elif event in (Event.STATION_DEACTIVATED, Event.STATION_FOUND_INACTIVE):
            assert not row["inactive"]
            row["inactive"] = True
        elif event is Event.STATION_ACTIVATED:
            assert row["inactive"]
            row["inactive"] = False
        elif event in (Event.STATION_PRINTING_DISABLED, Event.STATION_PRINTING_ENABLED):
            assert row["printing"] is change.details["previous"]
            row["printing"] = event is Event.STATION_PRINTING_ENABLED
        else:
            assert event is Event.STATION_TOUCHED


def known(state: VenueState) -> dict[str, dict[str, Any]]:
    """Return what the changes so far must have said: a status that was never clear was never reported inactive."""
    return {
        id_: {
            "name": station_state.station.name,
            "kind": station_state.station.kind,
            "inactive": station_state.status is False,
            "printing": station_state.printing,
        }
        for id_, station_state in (state.stations or {}).items()
    }


def learn_printing(rows: dict[str, dict[str, Any]], polled: Sequence[Station]) -> None:
    """Take a first clear word on printing: no change, as nothing is known to have changed."""
    for row in polled:
        if row.id in rows and rows[row.id]["printing"] is None:
            rows[row.id]["printing"] = row.printable


@given(ROWS, ROWS)
def test_applying_the_changes_to_the_first_snapshot_gives_the_second(
    first: list[Station], second: list[Station]
) -> None:
    state = after(snapshot(*first))
    rows = known(state)
    for seconds in (30, 60):  # A station counts as removed when it is missing for the second time.
        state, changes = advance(state, snapshot(*second, seconds=seconds))
        apply(rows, changes)
        learn_printing(rows, second)
    assert rows == known(state)
    assert state.stations is not None
    edited = {row.id: row.updated_at for row in first}
    assert {id_: station_state.station for id_, station_state in state.stations.items()} == {
        row.id: replace(row, updated_at=row.updated_at or edited.get(row.id)) for row in second
    }


def details(change: Change) -> tuple[Event, str]:
    return change.event, change.station.id if change.station else ""


@given(st.lists(st.one_of(ROWS, st.none()), max_size=12))
def test_any_sequence_of_polls_with_failures_between_reports_each_change_exactly_once(
    polls: list[list[Station] | None],
) -> None:
    state = BLANK
    rows: dict[str, dict[str, Any]] | None = None
    lost = False
    counted: Counter[tuple[Kind, bool]] = Counter()
    for number, polled in enumerate(polls):
        outcome = failure(seconds=number) if polled is None else snapshot(*polled, seconds=number)
        state, changes = advance(state, outcome)
        of_venue = [change.event for change in changes if change.station is None]
        of_stations = [change for change in changes if change.station is not None]
        assert len(set(map(details, changes))) == len(changes), "no change twice in one poll"
        if polled is None:
            assert of_venue == ([] if lost else [Event.VENUE_LOST])
            assert not of_stations
        else:
            assert of_venue == ([Event.VENUE_RECOVERED] if lost else [])
            if rows is None:
                assert {change.event for change in of_stations} <= {Event.STATION_FOUND_INACTIVE}
                rows = known(state)
            else:
                apply(rows, of_stations)
                learn_printing(rows, polled)
            counted.update(
                (change.station.kind, change.event is Event.STATION_ACTIVATED)
                for change in of_stations
                if change.station and change.event in (Event.STATION_ACTIVATED, Event.STATION_DEACTIVATED)
            )
        lost = polled is None
        assert (rows or {}) == known(state)
    assert state.transitions == counted
    assert (state.polls, state.failures) == (len(polls), polls.count(None))


@given(st.lists(st.sets(st.sampled_from("123")), min_size=1, max_size=10))
def test_a_station_is_removed_with_its_second_absence_in_a_row_and_never_else(polls: list[set[str]]) -> None:
    state = BLANK
    missing: dict[str, int] = {}  # by station that should be known: absences in a row
    for present in polls:
        state, changes = advance(state, snapshot(*map(station, sorted(present))))
        missing = {id_: 0 if id_ in present else missing[id_] + 1 for id_ in missing.keys() | present}
        gone = {id_ for id_, times in missing.items() if times == 2}
        removed = [change.station.id for change in changes if change.station and change.event is Event.STATION_REMOVED]
        assert sorted(removed) == sorted(gone)
        missing = {id_: times for id_, times in missing.items() if id_ not in gone}
        assert state.stations is not None
        assert set(state.stations) == set(missing)


LOGIN_FAILED = failure(Reason.CREDENTIALS, "Invalid credentials", brand_wide=True)
VENUE_LISTS = st.lists(st.sampled_from("1234"), unique=True).map(lambda ids: Discovery(tuple(map(venue, ids)), at()))
BRAND_OUTCOMES = st.one_of(
    VENUE_LISTS, st.just(LoggedIn(at())), st.just(failure(Reason.GATEWAY)), st.just(LOGIN_FAILED)
)


@given(st.lists(BRAND_OUTCOMES, max_size=12))
def test_any_sequence_of_discoveries_reports_each_venue_and_each_login_outage_exactly_once(
    outcomes: list[Discovery | LoggedIn | Failure],
) -> None:
    state = BrandState("tandir-group")
    watched: set[str] | None = None
    login_works = listed = True
    for outcome in outcomes:
        state, changes = advance_brand(state, outcome)
        for change in changes:
            if change.event is Event.BRAND_LOGIN_FAILED:
                assert login_works
                login_works = False
            elif change.event is Event.BRAND_LOGIN_RECOVERED:
                assert not login_works
                login_works = True
            elif change.event is Event.BRAND_DISCOVERY_FAILED:
                assert listed
                listed = False
            elif change.event is Event.BRAND_DISCOVERY_RECOVERED:
                assert not listed
                listed = True
            elif change.event is Event.BRAND_VENUES_MISSING:
                assert state.missing
            else:
                assert watched is not None
                assert isinstance(change.venue, Venue)
                (watched.add if change.event is Event.VENUE_ADDED else watched.remove)(change.venue.id)
        ids = {one.id for one in state.venues or ()}
        watched = ids if watched is None and state.venues is not None else watched
        assert ids == (watched or set())
        assert login_works is (state.login_outage is None)
        assert listed is (state.outage is None)


@given(first=ROWS, second=ROWS, restored=st.booleans())
def test_every_event_holds_json_values_only(*, first: list[Station], second: list[Station], restored: bool) -> None:
    state = replace(after(snapshot(*first), failure()), restored=restored)
    for change in advance(state, snapshot(*second))[1]:
        assert json.loads(json.dumps(dict(change.details))) == change.details
        assert (change.details.get("detected") == "after_restart") is (restored and change.station is not None)
