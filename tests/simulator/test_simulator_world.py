from __future__ import annotations

import pytest
from fakes import FakeClock

from exporter.model import Event
from exporter.simulator import Simulator, World
from exporter.simulator.world import Query

BRAND = "openapitest"


def test_a_world_has_the_size_it_is_asked_for(clock: FakeClock) -> None:
    world = World.generate(brands=20, venues=30, stations=40, clock=clock)
    assert len(world.brands) == 20
    assert len(set(world.venues("qala").values())) == 30
    assert len({row["name"] for row in world.stations("qala", 30)}) == 40
    assert world.mutations() == []


def test_the_same_seed_makes_the_same_world_and_the_same_changes(clock: FakeClock) -> None:
    worlds = [World.generate(brands=2, venues=2, stations=4, seed=7, clock=clock) for _ in range(2)]
    for world in worlds:
        Simulator(world).churn(300)
    one, other = worlds
    assert one.mutations() == other.mutations()
    assert one.credentials(BRAND) == other.credentials(BRAND)
    assert {change.event for change in one.mutations()} >= set(Event) - {
        *(event for event in Event if event.startswith(("venue.", "brand.", "incident."))),
        Event.STATION_FOUND_INACTIVE,
        Event.STATION_KIND_CHANGED,
    }


def test_a_share_of_the_stations_starts_inactive(clock: FakeClock) -> None:
    world = World.generate(venues=10, stations=20, inactive=0.3, clock=clock)
    inactive = sum(not row["status"] for venue in world.venues(BRAND) for row in world.stations(BRAND, venue))
    assert 30 < inactive < 90


def test_a_change_of_status_moves_updated_at_and_is_recorded(world: World, clock: FakeClock) -> None:
    before = world.station(BRAND, 1, 1)
    clock.forward(10)
    world.set_status(BRAND, 1, 1, 0)
    after = world.station(BRAND, 1, 1)
    assert (before["status"], after["status"]) == (1, 0)
    assert after["updated_at"] > before["updated_at"]
    assert world.mutations() == [(1, clock.wall(), Event.STATION_DEACTIVATED, BRAND, "1", "1", 1, 0)]


def test_setting_what_is_already_so_is_no_change(world: World) -> None:
    before = world.station(BRAND, 1, 1)
    world.set_status(BRAND, 1, 1, 1)
    world.edit(BRAND, 1, 1, name=before["name"])
    assert world.station(BRAND, 1, 1) == before
    assert world.mutations() == []


def test_every_mutation_is_recorded_in_the_words_of_the_events(world: World) -> None:
    kind, printable = world.station(BRAND, 1, 1)["type"], world.station(BRAND, 1, 1)["printable"]
    world.edit(BRAND, 1, 1, type=1 - kind)
    world.edit(BRAND, 1, 1, printable=1 - printable)
    world.edit(BRAND, 1, 1, printable=printable)
    world.touch(BRAND, 1, 1)
    world.edit(BRAND, 1, 1, name="Bar 2")
    station = world.add_station(BRAND, 1, "New")
    world.remove_station(BRAND, 1, station)
    venue = world.add_venue(BRAND, "New")
    world.rename_venue(BRAND, venue, "Newer")
    world.remove_venue(BRAND, venue)
    assert {change.event for change in world.mutations()} == {
        Event.STATION_KIND_CHANGED,
        Event.STATION_PRINTING_DISABLED,
        Event.STATION_PRINTING_ENABLED,
        Event.STATION_TOUCHED,
        Event.STATION_RENAMED,
        Event.STATION_ADDED,
        Event.STATION_REMOVED,
        Event.VENUE_ADDED,
        Event.VENUE_REMOVED,
    }
    assert [change.seq for change in world.mutations(since=7)] == [8, 9]


def test_an_id_is_never_given_twice(world: World) -> None:
    first = world.add_station(BRAND, 1, "Bar")
    world.remove_station(BRAND, 1, first)
    assert world.add_station(BRAND, 1, "Bar") != first
    with pytest.raises(ValueError, match="taken"):
        world.add_station(BRAND, 1, "Bar", id=1)


@pytest.mark.parametrize("place", [("nobody", 1, 1), (BRAND, 99, 1), (BRAND, 1, 99)])
def test_what_does_not_exist_is_named(world: World, place: tuple[str, int, int]) -> None:
    with pytest.raises(LookupError, match=r"nobody|99"):
        world.set_status(*place, 0)


def test_odd_values_are_only_served_raw(world: World) -> None:
    with pytest.raises(ValueError, match="0 or 1"):
        world.set_status(BRAND, 1, 1, 2)
    world.serve_raw(BRAND, 1, 1, '{"id":null}')
    assert '{"id":null}' in world.station_rows(BRAND, 1, Query())
    assert world.station(BRAND, 1, 1)["id"] == 1, "the truth stays what it was"
    world.serve_raw(BRAND, 1, 1, None)
    assert '{"id":null}' not in world.station_rows(BRAND, 1, Query())


def test_a_list_is_made_once_and_again_after_every_change(world: World) -> None:
    rows = world.station_rows(BRAND, 1, Query())
    assert world.station_rows(BRAND, 1, Query()) is rows
    world.set_status(BRAND, 2, 1, 0)
    assert world.station_rows(BRAND, 1, Query()) is rows, "another venue changed"
    world.set_status(BRAND, 1, 1, 0)
    assert world.station_rows(BRAND, 1, Query()) != rows


def test_a_name_that_utf_8_cannot_carry_is_escaped(world: World) -> None:
    world.edit(BRAND, 1, 1, name="half \ud83c")
    assert any('"half \\ud83c"' in row for row in world.station_rows(BRAND, 1, Query()))


def test_a_brand_without_venues_does_not_change(world: World) -> None:
    for brand in world.brands:
        for venue in world.venues(brand):
            world.remove_venue(brand, venue)
    recorded = len(world.mutations())
    Simulator(world).churn(3)
    assert len(world.mutations()) == recorded
