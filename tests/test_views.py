from __future__ import annotations

from dataclasses import replace

from fakes import at, snapshot, station, venue

from exporter import hours
from exporter.changes import advance
from exporter.ignoring import IgnoreRule
from exporter.model import Kind, VenueState
from exporter.views import NEVER, VenueRules, VenueView

READ, _ = advance(VenueState(venue()), snapshot(station("1"), station("2", "Bar", kind=Kind.OTHER, active=False)))


def test_the_stations_of_a_view_are_those_of_its_state() -> None:
    assert VenueView(READ, 30.0).stations is READ.stations


def test_a_stale_view_shows_no_stations() -> None:
    assert VenueView(READ, 30.0, stale=True).stations == {}


def test_values_are_served_for_two_intervals_at_least() -> None:
    assert VenueView(READ, 30.0, rules=VenueRules(stale_after=300.0)).stale_after == 300.0
    assert VenueView(READ, 200.0, rules=VenueRules(stale_after=300.0)).stale_after == 400.0


def test_a_venue_that_was_never_read_has_no_stations_to_show() -> None:
    assert VenueView(VenueState(venue()), 30.0).stations == {}


def test_a_view_is_valid_until_its_values_are_too_old() -> None:
    view = VenueView.at(READ, VenueRules(100.0), 30.0, at(0))
    assert (view.stale, view.overdue, view.valid_until) == (False, False, at(90).monotonic)
    view = view.refreshed(at(90))
    assert (view.stale, view.overdue, view.valid_until) == (False, True, at(100).monotonic)
    view = view.refreshed(at(100))
    assert (view.stale, view.overdue, view.valid_until) == (True, True, NEVER)
    assert view.stations == {}


def test_a_venue_that_is_polled_in_time_is_never_stale_however_short_stale_after_is() -> None:
    for seconds in range(0, 60, 5):
        assert not VenueView.at(READ, VenueRules(1.0), 30.0, at(seconds)).stale
    assert VenueView.at(READ, VenueRules(1.0), 30.0, at(60)).stale


def test_a_venue_whose_poll_could_not_be_made_in_time_is_not_up() -> None:
    assert VenueView.at(READ, VenueRules(300.0), 30.0, at(89)).up is True
    assert VenueView.at(READ, VenueRules(300.0), 30.0, at(90)).up is False


def test_what_an_earlier_process_read_is_not_overdue() -> None:
    restored = replace(READ, polls=0, polled_at=None, restored=True)
    assert not VenueView.at(restored, VenueRules(300.0), 30.0, at(200)).overdue


def test_a_venue_that_was_never_read_is_not_stale() -> None:
    view = VenueView.at(VenueState(venue()), VenueRules(300.0), 30.0, at(10**6))
    assert (view.stale, view.up, view.valid_until) == (False, None, NEVER)


def test_age_is_counted_on_the_monotonic_clock() -> None:
    set_ahead = at(10)._replace(wall=at(10**6).wall)
    assert not VenueView.at(READ, VenueRules(300.0), 30.0, set_ahead).stale


def test_ignored_stations_are_left_out_until_their_day_is_over() -> None:
    rules = VenueRules(300.0, ignore=(IgnoreRule("Bar", at(50).wall), IgnoreRule("1")))
    view = VenueView.at(READ, rules, 30.0, at(0))
    assert view.ignored == {"1", "2"}
    assert view.valid_until == at(50).monotonic
    assert view.refreshed(at(51)).ignored == {"1"}


def test_nothing_is_ignored_before_the_stations_are_known() -> None:
    view = VenueView.at(VenueState(venue()), VenueRules(300.0, ignore=(IgnoreRule("1"),)), 30.0, at(0))
    assert (view.ignored, view.valid_until) == (frozenset(), NEVER)


def test_opening_hours_hold_until_they_change() -> None:
    view = VenueView.at(READ, VenueRules(300.0, hours.parse("24/7")), 300.0, at(0))
    assert view.opening is not None
    assert view.opening.is_open
    # Noon of the fakes is a Friday, 08:00 UTC.
    view = VenueView.at(READ, VenueRules(300.0, hours.parse("Fr 08:01-09:00", "UTC")), 300.0, at(0))
    assert view.opening is not None
    assert not view.opening.is_open
    assert view.valid_until == at(60).monotonic
