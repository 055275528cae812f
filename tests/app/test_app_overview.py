from __future__ import annotations

from dataclasses import replace
from threading import Event, Thread

import pytest
from fakes import FakeClock, at, snapshot, station, venue

from exporter import hours
from exporter.app.overview import NEVER, Overview, VenueRules
from exporter.changes import advance
from exporter.hours import IgnoreRule
from exporter.model import Venue, VenueState
from exporter.views import VenueView

READ, _ = advance(VenueState(venue()), snapshot(station("1"), station("2", "Bar")))


class FakeExposition:
    def __init__(self) -> None:
        self.views: dict[tuple[str, str], VenueView] = {}
        self.updates = 0

    def update(self, view: VenueView) -> None:
        self.views[view.state.venue.key] = view
        self.updates += 1

    def forget(self, key: tuple[str, str]) -> None:
        self.views.pop(key, None)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def shown() -> FakeExposition:
    return FakeExposition()


@pytest.fixture
def rules() -> dict[str, VenueRules]:
    return {"now": VenueRules(300.0)}


@pytest.fixture
def overview(clock: FakeClock, shown: FakeExposition, rules: dict[str, VenueRules]) -> Overview:
    made = Overview(clock, lambda _: rules["now"], lambda _: 30.0)
    made.show_in(shown)  # type: ignore[arg-type]
    return made


# What holds for a venue at a moment


def test_a_view_holds_until_its_values_are_too_old() -> None:
    view, until = VenueRules(300.0).view(READ, 30.0, at(0))
    assert (view.stale, until) == (False, at(300).monotonic)
    view, until = VenueRules(300.0).view(READ, 30.0, at(300))
    assert (view.stale, until) == (True, NEVER)


def test_a_venue_that_was_never_read_is_not_stale() -> None:
    view, until = VenueRules(300.0).view(VenueState(venue()), 30.0, at(10**6))
    assert (view.stale, until) == (False, NEVER)


def test_age_is_counted_on_the_monotonic_clock() -> None:
    set_ahead = at(10)._replace(wall=at(10**6).wall)
    assert not VenueRules(300.0).view(READ, 30.0, set_ahead)[0].stale


def test_ignored_stations_are_left_out_until_their_day_is_over() -> None:
    rules = VenueRules(300.0, ignore=(IgnoreRule("Bar", at(50).wall), IgnoreRule("1")))
    view, until = rules.view(READ, 30.0, at(0))
    assert view.ignored == {"1", "2"}
    assert until == at(50).monotonic
    assert rules.view(READ, 30.0, at(51))[0].ignored == {"1"}


def test_nothing_is_ignored_before_the_stations_are_known() -> None:
    view, until = VenueRules(300.0, ignore=(IgnoreRule("1"),)).view(VenueState(venue()), 30.0, at(0))
    assert (view.ignored, until) == (frozenset(), NEVER)


def test_opening_hours_hold_until_they_change() -> None:
    always = VenueRules(300.0, hours.parse("24/7"))
    view, until = always.view(READ, 30.0, at(0))
    assert view.opening is not None
    assert view.opening.is_open
    assert until == at(300).monotonic
    # Noon of the fakes is a Friday, 08:00 UTC.
    opens = VenueRules(300.0, hours.parse("Fr 08:01-09:00", "UTC"))
    view, until = opens.view(READ, 30.0, at(0))
    assert view.opening is not None
    assert not view.opening.is_open
    assert until == at(60).monotonic


# Every venue


def test_a_state_is_seen_as_soon_as_it_is_taken_in(overview: Overview, shown: FakeExposition) -> None:
    overview.update(READ)
    assert [view.state for view in overview.venues()] == [READ]
    assert shown.views[READ.venue.key].interval == 30.0


def test_without_an_exposition_pages_see_it_all_the_same(clock: FakeClock) -> None:
    alone = Overview(clock, lambda _: VenueRules(300.0), lambda _: 30.0)
    alone.update(READ)
    assert len(alone.venues()) == 1
    alone.forget(READ.venue.key)
    assert not alone.venues()


def test_values_that_grow_too_old_are_settled_when_somebody_looks(
    overview: Overview, shown: FakeExposition, clock: FakeClock
) -> None:
    overview.update(READ)
    clock.forward(299)
    overview.settle()
    assert shown.updates == 1
    clock.forward(1)
    overview.settle()
    assert shown.views[READ.venue.key].stale
    overview.settle()
    assert shown.updates == 2, "once"


def test_only_what_is_due_is_settled(overview: Overview, shown: FakeExposition, clock: FakeClock) -> None:
    overview.update(READ)
    clock.forward(200)
    fresh = replace(READ, venue=Venue("tandir-group", "8", "Bakı"), fresh_at=clock.monotonic())
    overview.update(fresh)
    clock.forward(150)
    assert [view.stale for view in overview.venues()] == [True, False]
    assert shown.updates == 3
    clock.forward(150)
    assert [view.stale for view in overview.venues()] == [True, True]


def test_a_venue_that_is_forgotten_is_gone_and_does_not_come_back(
    overview: Overview, shown: FakeExposition, clock: FakeClock
) -> None:
    overview.update(READ)
    overview.forget(READ.venue.key)
    overview.forget(READ.venue.key)
    clock.forward(1000)
    assert not overview.venues()
    assert not shown.views


def test_a_refresh_applies_new_rules_to_every_venue(
    overview: Overview, rules: dict[str, VenueRules], shown: FakeExposition
) -> None:
    overview.update(READ)
    rules["now"] = VenueRules(300.0, ignore=(IgnoreRule("1"),))
    overview.refresh()
    assert shown.views[READ.venue.key].ignored == {"1"}


def test_settling_never_puts_an_older_state_in_the_place_of_a_newer_one(
    clock: FakeClock, shown: FakeExposition
) -> None:
    looking, go = Event(), Event()

    def slow(_venue: Venue) -> VenueRules:
        if clock.monotonic() >= at(300).monotonic:
            looking.set()
            go.wait(5)
        return VenueRules(300.0)

    overview = Overview(clock, slow, lambda _: 30.0)
    overview.show_in(shown)  # type: ignore[arg-type]
    overview.update(READ)
    clock.forward(300)
    settling = Thread(target=overview.settle)
    settling.start()
    assert looking.wait(5)
    newer = replace(READ, polls=2, fresh_at=clock.monotonic())
    polling = Thread(target=lambda: overview.update(newer))
    polling.start()
    go.set()
    settling.join(5)
    polling.join(5)
    assert [view.state for view in overview.venues()] == [newer]
    assert shown.views[READ.venue.key].state is newer
