from __future__ import annotations

import pytest
from fakes import FakeClock, venue
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling_fakes import FakePacing, Restaurant, venues

from exporter.scheduling.rota import HEADROOM, NEVER, Rota


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pacing() -> FakePacing:
    return FakePacing()


@pytest.fixture
def rota(clock: FakeClock, pacing: FakePacing) -> Rota:
    return Rota(clock, pacing, 30.0)


@pytest.fixture
def restaurant(clock: FakeClock, rota: Rota) -> Restaurant:
    return Restaurant(clock, rota)


# The interval


def test_the_interval_is_as_configured_where_the_quota_has_room(rota: Rota) -> None:
    rota.watch(venues(100))
    assert rota.interval == 30.0


def test_the_interval_is_stretched_to_what_the_quota_allows_for_venues_and_pages(
    restaurant: Restaurant, rota: Rota
) -> None:
    rota.watch(venues(300))
    assert rota.interval == pytest.approx(75 * HEADROOM)
    restaurant.requests = lambda polled: 2 if polled.id == "0" else 1
    restaurant.run(1)
    assert rota.interval == pytest.approx(75.25 * HEADROOM)


def test_the_interval_follows_a_quota_that_others_use(rota: Rota, pacing: FakePacing) -> None:
    rota.watch(venues(300))
    pacing.per_second = 2.0
    assert rota.interval == pytest.approx(150 * HEADROOM)


def test_a_failed_poll_leaves_the_number_of_pages_as_it_was(rota: Rota) -> None:
    rota.watch([venue("1")])
    taken = rota.take()
    assert taken is not None
    rota.done(taken, 400)
    stretched = rota.interval
    rota.done(taken, None)
    assert rota.interval == stretched > 30


# Turns


def test_nothing_is_due_where_there_is_nothing_to_watch(rota: Rota) -> None:
    assert rota.next_at() == NEVER
    assert rota.take() is None
    rota.watch([venue("1")])
    rota.watch([])
    assert rota.next_at() == NEVER


def test_new_venues_are_polled_at_once_as_fast_as_the_quota_allows(restaurant: Restaurant, rota: Rota) -> None:
    rota.watch(venues(20))
    restaurant.run(5)
    assert sorted(map(int, restaurant.starts)) == list(range(20))
    assert restaurant.gaps() == pytest.approx([0.25] * 19)


@pytest.mark.parametrize("number", [1, 2, 7, 60, 119, 300])
def test_polls_lie_at_even_distances_over_the_interval(restaurant: Restaurant, rota: Rota, number: int) -> None:
    rota.watch(venues(number))
    restaurant.run(2 * rota.interval)
    restaurant.forget_starts()
    restaurant.run(4 * rota.interval)
    assert restaurant.gaps() == pytest.approx([rota.interval / number] * len(restaurant.gaps()), rel=0.01)
    for id_ in restaurant.starts:
        assert restaurant.gaps(id_) == pytest.approx([rota.interval] * len(restaurant.gaps(id_)), rel=0.01)


def test_brands_that_start_together_do_not_go_on_in_step(clock: FakeClock, pacing: FakePacing) -> None:
    rota = Rota(clock, pacing, 30.0, offset=0.25)
    rota.watch(venues(2))
    restaurant, began = Restaurant(clock, rota), clock.monotonic()
    restaurant.run(70)
    starts = sorted(at - began for of_venue in restaurant.starts.values() for at in of_venue)
    assert starts == pytest.approx([0.0, 0.25, 0.25 + 3.75, 19.0, 34.0, 49.0, 64.0])


def test_no_turn_comes_before_its_time(rota: Rota, clock: FakeClock) -> None:
    rota.watch([venue("1")])
    taken = rota.take()
    assert taken is not None
    rota.done(taken, 1)
    clock.forward(29.9)
    assert rota.take() is None
    clock.forward(0.1)
    assert rota.take() == taken


def test_a_venue_of_many_pages_takes_as_much_of_the_round_as_it_needs(restaurant: Restaurant, rota: Rota) -> None:
    restaurant.requests = lambda polled: 5 if polled.id == "3" else 1
    rota.watch(venues(300))
    restaurant.run(2 * rota.interval)
    restaurant.forget_starts()
    restaurant.run(rota.interval)
    after = restaurant.starts["3"][0]
    following = min(start for start in restaurant.all_starts if start > after)
    assert following - after == pytest.approx(5 * 0.25 * HEADROOM, rel=0.01)


# What hangs


def test_a_venue_that_hangs_is_skipped_and_the_others_keep_their_places(restaurant: Restaurant, rota: Rota) -> None:
    restaurant.seconds = lambda polled: 95.0 if polled.id == "0" else 0.1
    rota.watch(venues(10))
    restaurant.run(600)
    assert rota.skipped > 0
    for id_ in map(str, range(1, 10)):
        assert max(restaurant.gaps(id_)[2:]) == pytest.approx(30, rel=0.05)
    assert max(restaurant.gaps("0")) <= 95 + 30


def test_lag_is_how_late_the_newest_poll_started(rota: Rota, clock: FakeClock) -> None:
    rota.watch(venues(3))
    rota.take()
    assert rota.lag == 0.0
    clock.forward(2)
    rota.take()
    assert rota.lag == pytest.approx(1.75)


def test_no_burst_follows_a_hold_and_nobody_waits_longer_for_it_than_it_took(
    restaurant: Restaurant, rota: Rota, pacing: FakePacing, clock: FakeClock
) -> None:
    rota.watch(venues(60))
    restaurant.run(90)
    restaurant.forget_starts()
    pacing.held_until = clock.monotonic() + 120
    restaurant.run(120 + 60)
    gaps = restaurant.gaps()
    assert min(gaps[1:]) == pytest.approx(0.5, rel=0.05), "one turn is made up for and no more"
    assert len(restaurant.starts) == 60
    assert max(map(len, restaurant.starts.values())) - min(map(len, restaurant.starts.values())) <= 1


@given(
    number=st.integers(1, 40),
    poll_interval=st.sampled_from([1.0, 5.0, 30.0]),
    per_second=st.sampled_from([0.5, 4.0]),
    slow=st.dictionaries(st.integers(0, 39), st.floats(0.0, 40.0), max_size=5),
    many=st.dictionaries(st.integers(0, 39), st.integers(1, 4), max_size=5),
)
@settings(max_examples=40)
def test_whatever_hangs_nobody_waits_more_than_twice_the_interval_beyond_their_own_poll(
    number: int, poll_interval: float, per_second: float, slow: dict[int, float], many: dict[int, int]
) -> None:
    clock = FakeClock()
    rota = Rota(clock, FakePacing(per_second), poll_interval)
    restaurant = Restaurant(
        clock,
        rota,
        seconds=lambda polled: slow.get(int(polled.id), 0.05),
        requests=lambda polled: many.get(int(polled.id), 1),
    )
    rota.watch(venues(number))
    restaurant.run(3 * rota.interval + 80)
    restaurant.forget_starts()
    rounds = 5
    restaurant.run(rounds * rota.interval + 45)
    for id_ in range(number):
        own = slow.get(id_, 0.05)
        assert max(restaurant.gaps(str(id_)), default=0.0) <= own + 2 * rota.interval
    assert len(restaurant.starts) == number
    polled_requests = sum(many.get(int(id_), 1) * len(starts) for id_, starts in restaurant.starts.items())
    allowed = per_second * (rounds * rota.interval + 45)
    assert polled_requests <= allowed + 4 + max(many.values(), default=1)


# Venues that come and go


def test_what_is_known_keeps_its_place_when_others_come_and_go(
    restaurant: Restaurant, rota: Rota, clock: FakeClock
) -> None:
    rota.watch(venues(10))
    restaurant.run(61)
    restaurant.forget_starts()
    began = clock.monotonic()
    rota.watch([*venues(8), *venues(1, begin=50)])
    assert {watched.id for watched in rota.venues} == {*map(str, range(8)), "50"}
    restaurant.run(90)
    assert restaurant.starts["50"][0] - began < 1
    assert not {"8", "9"} & set(restaurant.starts)
    for id_ in map(str, range(8)):
        assert restaurant.starts[id_][0] - began <= 34, "nobody is set back by much"
        assert max(restaurant.gaps(id_)) <= 35


def test_watching_the_same_venues_again_changes_nothing_but_their_names(rota: Rota, clock: FakeClock) -> None:
    rota.watch(venues(3))
    for _ in range(3):
        rota.take()
        clock.forward(1)
    due = rota.next_at()
    rota.watch([venue(str(id_), "New name") for id_ in range(3)])
    assert rota.next_at() == due
    assert {watched.name for watched in rota.venues} == {"New name"}


def test_a_venue_that_was_removed_while_it_was_polled_is_forgotten(rota: Rota) -> None:
    rota.watch([venue("1")])
    taken = rota.take()
    assert taken is not None
    rota.watch([venue("2")])
    rota.done(taken, 3)
    assert [watched.id for watched in rota.venues] == ["2"]
    assert rota.interval == 30.0


def test_a_venue_that_comes_back_is_new(rota: Rota, clock: FakeClock) -> None:
    rota.watch([venue("1")])
    rota.take()
    rota.watch([])
    clock.forward(1)
    rota.watch([venue("1")])
    assert rota.take() == venue("1")


def test_turns_wait_for_the_quota(rota: Rota, pacing: FakePacing, clock: FakeClock) -> None:
    rota.watch([venue("1")])
    pacing.held_until = clock.monotonic() + 9
    assert rota.next_at() == pacing.held_until
