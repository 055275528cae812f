from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import FakeClock, at, snapshot, station, venue

from exporter.app.registry import ViewRegistry
from exporter.changes import advance
from exporter.model import Venue, VenueState
from exporter.views import VenueRules, VenueView

READ, _ = advance(VenueState(venue()), snapshot(station("1"), station("2", "Bar")))
RULES = VenueRules(300.0)


class FakeExposition:
    def __init__(self) -> None:
        self.views: dict[tuple[str, str], VenueView] = {}
        self.updates = 0

    def update(self, view: VenueView) -> None:
        self.views[view.state.venue.key] = view
        self.updates += 1

    def remove(self, key: tuple[str, str]) -> None:
        self.views.pop(key, None)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def exposition() -> FakeExposition:
    return FakeExposition()


@pytest.fixture
def registry(clock: FakeClock, exposition: FakeExposition) -> ViewRegistry:
    return ViewRegistry(clock, exposition)  # type: ignore[arg-type]


def view(state: VenueState = READ, seconds: float = 0.0) -> VenueView:
    return VenueView.at(state, RULES, 120.0, at(seconds))


def test_a_view_is_read_and_rendered_as_soon_as_it_is_published(
    registry: ViewRegistry, exposition: FakeExposition
) -> None:
    registry.publish([view()])
    assert [one.state for one in registry.venues()] == [READ]
    assert exposition.views[READ.venue.key].state is READ


def test_values_that_grow_too_old_are_refreshed_when_somebody_looks(
    registry: ViewRegistry, exposition: FakeExposition, clock: FakeClock
) -> None:
    registry.publish([view()])
    clock.forward(269)
    registry.refresh()
    assert exposition.updates == 1
    clock.forward(31)
    registry.refresh()
    assert exposition.views[READ.venue.key].stale
    assert exposition.views[READ.venue.key].overdue
    registry.refresh()
    assert exposition.updates == 2, "once"


def test_only_what_is_out_of_date_is_refreshed(
    registry: ViewRegistry, exposition: FakeExposition, clock: FakeClock
) -> None:
    registry.publish([view()])
    clock.forward(200)
    now = clock.monotonic()
    registry.publish([view(replace(READ, venue=Venue("tandir-group", "8", "Bakı"), fresh_at=now, polled_at=now), 200)])
    clock.forward(150)
    assert [one.stale for one in registry.venues()] == [True, False]
    assert exposition.updates == 3
    clock.forward(150)
    assert [one.stale for one in registry.venues()] == [True, True]


def test_a_venue_that_is_removed_does_not_come_back(
    registry: ViewRegistry, exposition: FakeExposition, clock: FakeClock
) -> None:
    registry.publish([view()])
    registry.remove([READ.venue.key])
    registry.remove([READ.venue.key])
    clock.forward(1000)
    assert not registry.venues()
    assert not exposition.views


def test_venues_are_listed_in_the_order_of_their_keys(registry: ViewRegistry) -> None:
    def keys(*start: str, limit: int = 9) -> list[str]:
        return [one.state.venue.id for one in registry.venues_from(start, limit)]

    states = {id_: replace(READ, venue=Venue("tandir", id_, id_)) for id_ in ("3", "1", "20", "2")}
    registry.publish(map(view, states.values()))
    registry.publish([view(states["3"])])
    assert keys() == ["1", "2", "20", "3"]
    assert keys("tandir", "2", limit=2) == ["2", "20"]
    assert keys("tandir", "2", "") == ["20", "3"]
    registry.remove([("tandir", "20"), ("tandir", "nobody")])
    assert keys("tandir", "15") == ["2", "3"]
    assert keys("z") == []
