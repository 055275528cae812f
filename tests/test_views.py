from __future__ import annotations

from dataclasses import replace

from fakes import snapshot, station, venue

from exporter.changes import advance
from exporter.model import Kind, VenueState
from exporter.views import KindCount, VenueView, count_kinds

READ, _ = advance(VenueState(venue()), snapshot(station("1"), station("2", kind=Kind.OTHER, active=False)))


def test_the_stations_of_a_view_are_those_of_its_state() -> None:
    assert VenueView(READ, 30.0).stations is READ.stations


def test_a_stale_view_shows_no_stations() -> None:
    assert VenueView(READ, 30.0, stale=True).stations == {}


def test_a_venue_that_was_never_read_has_no_stations_to_show() -> None:
    assert VenueView(VenueState(venue()), 30.0).stations == {}


def test_kitchen_and_other_are_counted_even_where_there_are_none() -> None:
    assert list(count_kinds({})) == [KindCount(Kind.KITCHEN, 0, 0, 0), KindCount(Kind.OTHER, 0, 0, 0)]


def test_stations_are_counted_by_kind() -> None:
    assert list(count_kinds(READ.stations or {})) == [
        KindCount(Kind.KITCHEN, total=1, active=1, printable=1),
        KindCount(Kind.OTHER, total=1, active=0, printable=1),
    ]


def test_an_unclear_kind_is_counted_only_where_there_is_one_and_unclear_flags_count_as_neither() -> None:
    odd = station("3", kind=Kind.UNKNOWN, active=None, printable=None)
    state, _ = advance(replace(READ, stations=None), snapshot(odd))
    assert list(count_kinds(state.stations or {}))[-1] == KindCount(Kind.UNKNOWN, total=1, active=0, printable=0)
