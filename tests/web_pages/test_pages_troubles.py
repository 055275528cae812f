from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pages_fakes import NOW, brand_view, incident, outage, station_state, venue_view

from exporter.ignoring import IgnoreRule
from exporter.model import IncidentKind, Kind, Opening, Reason, StationRecord
from exporter.views import VenueRules
from exporter.web.troubles import Level, Quiet, data_outages, level, venue_troubles

OFF = station_state("1", "Grill", active=False, since=600.0)
BAR = station_state("2", "Bar", active=False, since=900.0, kind=Kind.OTHER)
CLOSED = Opening(is_open=False, next_open=NOW + 60, next_close=None)


def test_an_active_station_is_no_trouble() -> None:
    view = venue_view("7", station_state("1"))
    assert venue_troubles(view) == []
    assert level(view, []) is Level.FINE


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (IncidentKind.KITCHEN_STATION_INACTIVE, Level.URGENT),
        (IncidentKind.STATION_INACTIVE, Level.NOTICE),
        (IncidentKind.STATION_NOT_READY, Level.NOTICE),
    ],
)
@pytest.mark.parametrize("fired_at", [None, NOW])
def test_an_incident_says_how_much_a_station_matters_pending_or_firing(
    kind: IncidentKind, expected: Level, fired_at: float | None
) -> None:
    (trouble,) = venue_troubles(venue_view("7", OFF, incidents=[incident(kind, OFF, fired_at=fired_at)]))
    assert (trouble.level, trouble.kind, trouble.quiet) == (expected, kind, None)


def test_a_station_that_was_seen_to_be_switched_is_off_since_it_was_edited() -> None:
    edited = replace(OFF.station, updated_at=OFF.since - 100)
    seen = replace(OFF, station=edited, last_transition=OFF.since)
    (trouble,) = venue_troubles(venue_view("7", seen))
    assert (trouble.since, trouble.is_since_exact) == (OFF.since - 100, True)
    first_seen = replace(seen, last_transition=None)
    (trouble,) = venue_troubles(venue_view("7", first_seen))
    assert (trouble.since, trouble.is_since_exact) == (OFF.since, False)


def test_all_stations_at_once_are_one_trouble() -> None:
    group = incident(IncidentKind.VENUE_NO_ACTIVE_STATION, None, OFF, BAR)
    single = incident(IncidentKind.KITCHEN_STATION_INACTIVE, OFF, covered=True)
    (trouble,) = venue_troubles(venue_view("7", OFF, BAR, incidents=[single, group]))
    assert trouble.is_venue
    assert {one.station.id for one in trouble.stations} == {"1", "2"}


def test_why_nobody_is_alerted() -> None:
    ignored = VenueRules(ignore=(IgnoreRule("Grill", NOW + 5),))
    retired = {"1": StationRecord(retired=True)}
    found = [
        venue_troubles(venue_view("7", OFF, opening=CLOSED)),
        venue_troubles(venue_view("7", OFF, ignored=frozenset({"1"}), rules=ignored)),
        venue_troubles(venue_view("7", OFF, records=retired)),
    ]
    assert [(one.quiet, one.until) for (one,) in found] == [
        (Quiet.CLOSED, NOW + 60),
        (Quiet.IGNORED, NOW + 5),
        (Quiet.RETIRED, None),
    ]
    assert all(one.level is Level.QUIET for (one,) in found)


@pytest.mark.parametrize("lost", [{"outage": outage()}, {"stale": True}, {"overdue": True}])
def test_what_is_only_remembered_is_no_trouble_of_now(lost: dict[str, Any]) -> None:
    view = venue_view("7", OFF, incidents=[incident(IncidentKind.KITCHEN_STATION_INACTIVE, OFF)], **lost)
    (trouble,) = venue_troubles(view)
    assert (trouble.level, trouble.quiet) == (Level.QUIET, Quiet.REMEMBERED)
    assert level(view, [trouble]) is Level.NO_DATA


def test_a_status_that_is_unclear_is_one_trouble() -> None:
    odd = station_state("1", active=None)
    assert [one.kind for one in venue_troubles(venue_view("7", odd))] == [IncidentKind.STATION_UNCLEAR]
    unclear = incident(IncidentKind.STATION_UNCLEAR, None, odd)
    assert len(venue_troubles(venue_view("7", odd, incidents=[unclear]))) == 1


def test_the_worst_and_newest_come_first() -> None:
    older = station_state("3", active=False, since=1200.0)
    found = venue_troubles(venue_view("7", BAR, older, OFF))
    assert [trouble.stations[0].station.id for trouble in found] == ["1", "3", "2"]


def test_a_login_that_fails_is_said_once_for_all_venues() -> None:
    failing = outage(Reason.CREDENTIALS)
    views = [venue_view(str(number), outage=outage(Reason.CREDENTIALS)) for number in range(3)]
    (one,) = data_outages([brand_view(login_outage=failing)], views)
    assert (one.outage, one.login, one.whole, one.total) == (failing, True, True, 3)


def test_an_outage_began_with_its_first_failure_and_not_when_the_token_ran_out() -> None:
    unreachable = replace(incident(IncidentKind.BRAND_UNREACHABLE), began_at=NOW - 500.0)
    brand = brand_view(login_outage=outage(Reason.GATEWAY, since=60.0), incidents={"unreachable": unreachable})
    (one,) = data_outages([brand], [venue_view("1", outage=outage(Reason.GATEWAY, since=500.0))])
    assert one.outage.since == NOW - 500.0


def test_a_list_of_venues_that_cannot_be_read() -> None:
    failing = outage(Reason.FORBIDDEN)
    (one,) = data_outages([brand_view(outage=failing)], [])
    assert (one.outage, one.views) == (failing, ())


def test_lost_venues_are_said_together_by_reason_since_the_first() -> None:
    views = [
        venue_view("1", outage=outage(since=10.0)),
        venue_view("2", outage=outage(since=20.0)),
        venue_view("3", outage=outage(Reason.NOT_FOUND)),
        venue_view("4"),
    ]
    first, second = data_outages([brand_view()], views)
    assert (first.outage, len(first.views), first.total) == (outage(since=20.0), 2, 4)
    assert [view.state.venue.id for view in second.views] == ["3"]


def test_one_outage_of_clopos_is_one_whatever_it_does_to_each_venue_and_brand() -> None:
    views = [
        venue_view("1", outage=outage(Reason.TIMEOUT)),
        venue_view("2", outage=outage(Reason.TIMEOUT)),
        venue_view("3", outage=outage(Reason.GATEWAY)),
        replace(venue_view("4", brand="plov", outage=outage(Reason.CONNECTION, since=500.0))),
    ]
    (one,) = data_outages([brand_view(), brand_view("plov")], views)
    assert one.is_silent
    assert (one.total, one.outage.since) == (4, NOW - 500)
