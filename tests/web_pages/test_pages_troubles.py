from __future__ import annotations

from dataclasses import replace

import pytest
from pages_fakes import NOW, brand_view, outage, station_state, venue_view

from exporter.model import Kind, Opening, Reason
from exporter.web.troubles import Blindness, Level, blindnesses, level, station_troubles

DAY = 86_400.0
OFF = station_state("1", "Grill", active=False, since=600.0)
CLOSED = Opening(is_open=False, next_open=NOW + 60, next_close=None)
OPEN = Opening(is_open=True, next_open=None, next_close=NOW + 60)


def test_an_active_station_is_no_trouble() -> None:
    view = venue_view("7", station_state("1"))
    assert station_troubles(view, NOW) == []
    assert level(view, []) is Level.FINE


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (OFF, Level.URGENT),
        (station_state("1", active=False, kind=Kind.OTHER), Level.NOTICE),
        (station_state("1", active=False, kind=Kind.UNKNOWN), Level.NOTICE),
        (station_state("1", active=None), Level.NOTICE),
        (station_state("1", active=False, since=8 * DAY), Level.QUIET),
    ],
)
def test_how_much_a_station_matters(one, expected: Level) -> None:  # type: ignore[no-untyped-def]
    (trouble,) = station_troubles(venue_view("7", one), NOW)
    assert trouble.level is expected


def test_a_closed_venue_needs_no_kitchen() -> None:
    (trouble,) = station_troubles(venue_view("7", OFF, opening=CLOSED), NOW)
    assert (trouble.level, trouble.expected) == (Level.QUIET, "the venue is closed now")
    assert station_troubles(venue_view("7", OFF, opening=OPEN), NOW)[0].level is Level.URGENT


def test_an_ignored_station_is_quiet() -> None:
    (trouble,) = station_troubles(venue_view("7", OFF, ignored=frozenset({"1"})), NOW)
    assert trouble.level is Level.QUIET


def test_the_worst_and_newest_come_first() -> None:
    older = station_state("2", active=False, since=900.0)
    other = station_state("3", active=False, since=10.0, kind=Kind.OTHER)
    found = station_troubles(venue_view("7", other, older, OFF), NOW)
    assert [trouble.station_state.station.id for trouble in found] == ["1", "2", "3"]


def test_stale_values_are_no_trouble_of_a_station_but_of_our_view() -> None:
    view = venue_view("7", OFF, stale=True)
    assert station_troubles(view, NOW) == []
    assert level(view, []) is Level.BLIND


def test_a_disabled_kitchen_is_worse_than_no_data() -> None:
    view = venue_view("7", OFF, outage=outage())
    assert level(view, station_troubles(view, NOW)) is Level.URGENT


def test_a_login_that_fails_is_told_once_for_all_venues() -> None:
    failing = outage(Reason.CREDENTIALS)
    views = [venue_view(str(number), outage=outage(Reason.CREDENTIALS)) for number in range(3)]
    assert list(blindnesses([brand_view(login_outage=failing)], views)) == [
        Blindness("tandir", failing, total=3, login=True)
    ]


def test_a_list_of_venues_that_cannot_be_read() -> None:
    failing = outage(Reason.FORBIDDEN)
    assert list(blindnesses([brand_view(outage=failing)], [])) == [Blindness("tandir", failing)]


def test_lost_venues_are_told_together_by_reason_since_the_first() -> None:
    views = [
        venue_view("1", outage=outage(since=10.0)),
        venue_view("2", outage=outage(since=20.0)),
        venue_view("3", outage=outage(Reason.NOT_FOUND)),
        venue_view("4"),
        replace(venue_view("5", brand="plov", outage=outage())),
    ]
    first, second = blindnesses([brand_view()], views)
    assert (first.outage, [venue.id for venue in first.venues], first.total) == (outage(since=20.0), ["1", "2"], 4)
    assert [venue.id for venue in second.venues] == ["3"]
