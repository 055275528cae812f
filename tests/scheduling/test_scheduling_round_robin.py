from __future__ import annotations

from itertools import pairwise

import pytest
from fakes import FakeClock, venue
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling_fakes import FakeLimiter, Simulation, venues

from exporter.scheduling.round_robin import HEADROOM, NEVER, PROBE_SECONDS, RoundRobin
from exporter.scheduling.weights import CLOSED, OPEN, URGENT


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def limiter() -> FakeLimiter:
    return FakeLimiter()


@pytest.fixture
def rounds(clock: FakeClock, limiter: FakeLimiter) -> RoundRobin:
    return RoundRobin(clock, limiter, 30.0)


@pytest.fixture
def simulation(clock: FakeClock, rounds: RoundRobin) -> Simulation:
    return Simulation(clock, rounds)


# The interval


def test_the_interval_is_as_configured_where_the_quota_has_room(rounds: RoundRobin) -> None:
    rounds.set_venues(venues(100))
    assert rounds.interval == 30.0


def test_the_interval_is_stretched_to_what_the_quota_allows_for_venues_and_pages(
    simulation: Simulation, rounds: RoundRobin
) -> None:
    rounds.set_venues(venues(300))
    assert rounds.interval == pytest.approx(75 * HEADROOM)
    simulation.requests = lambda polled: 2 if polled.id == "0" else 1
    simulation.run(1)
    assert rounds.interval == pytest.approx(75.25 * HEADROOM)


def test_the_interval_follows_a_quota_that_others_use(rounds: RoundRobin, limiter: FakeLimiter) -> None:
    rounds.set_venues(venues(300))
    limiter.per_second = 2.0
    assert rounds.interval == pytest.approx(150 * HEADROOM)


def test_a_failed_poll_leaves_the_number_of_pages_as_it_was(rounds: RoundRobin) -> None:
    rounds.set_venues([venue("1")])
    taken = rounds.take()
    assert taken is not None
    rounds.done(taken, 400)
    stretched = rounds.interval
    rounds.done(taken, None)
    assert rounds.interval == stretched > 30


# Slots


def test_nothing_is_due_where_there_is_nothing_to_watch(rounds: RoundRobin) -> None:
    assert rounds.next_at() == NEVER
    assert rounds.take() is None
    rounds.set_venues([venue("1")])
    rounds.set_venues([])
    assert rounds.next_at() == NEVER


def test_new_venues_are_polled_at_once_as_fast_as_the_quota_allows(simulation: Simulation, rounds: RoundRobin) -> None:
    rounds.set_venues(venues(20))
    simulation.run(5)
    assert sorted(map(int, simulation.starts)) == list(range(20))
    assert simulation.gaps() == pytest.approx([0.25] * 19)


@pytest.mark.parametrize("number", [1, 2, 7, 60, 119, 300])
def test_polls_lie_at_even_distances_over_the_interval(simulation: Simulation, rounds: RoundRobin, number: int) -> None:
    rounds.set_venues(venues(number))
    simulation.run(2 * rounds.interval)
    simulation.forget_starts()
    simulation.run(4 * rounds.interval)
    assert simulation.gaps() == pytest.approx([rounds.interval / number] * len(simulation.gaps()), rel=0.01)
    for id_ in simulation.starts:
        assert simulation.gaps(id_) == pytest.approx([rounds.interval] * len(simulation.gaps(id_)), rel=0.01)


def test_brands_that_start_together_do_not_go_on_in_step(clock: FakeClock, limiter: FakeLimiter) -> None:
    rounds = RoundRobin(clock, limiter, 30.0, offset=0.25)
    rounds.set_venues(venues(2))
    simulation, began = Simulation(clock, rounds), clock.monotonic()
    simulation.run(70)
    starts = sorted(at - began for of_venue in simulation.starts.values() for at in of_venue)
    assert starts == pytest.approx([0.0, 0.25, 0.25 + 3.75, 19.0, 34.0, 49.0, 64.0])


def test_no_turn_comes_before_its_time(rounds: RoundRobin, clock: FakeClock) -> None:
    rounds.set_venues([venue("1")])
    taken = rounds.take()
    assert taken is not None
    rounds.done(taken, 1)
    clock.forward(29.9)
    assert rounds.take() is None
    clock.forward(0.1)
    assert rounds.take() == taken


def test_a_venue_of_many_pages_takes_as_much_of_the_round_as_it_needs(
    simulation: Simulation, rounds: RoundRobin
) -> None:
    simulation.requests = lambda polled: 5 if polled.id == "3" else 1
    rounds.set_venues(venues(300))
    simulation.run(2 * rounds.interval)
    simulation.forget_starts()
    simulation.run(rounds.interval)
    after = simulation.starts["3"][0]
    following = min(start for start in simulation.all_starts if start > after)
    assert following - after == pytest.approx(5 * 0.25 * HEADROOM, rel=0.01)


# What hangs


def test_a_venue_that_hangs_is_skipped_and_the_others_keep_their_places(
    simulation: Simulation, rounds: RoundRobin
) -> None:
    simulation.seconds = lambda polled: 95.0 if polled.id == "0" else 0.1
    rounds.set_venues(venues(10))
    simulation.run(600)
    assert rounds.skipped > 0
    for id_ in map(str, range(1, 10)):
        assert max(simulation.gaps(id_)[2:]) == pytest.approx(30, rel=0.05)
    assert max(simulation.gaps("0")) <= 95 + 30


def test_lag_is_how_late_the_newest_poll_started(rounds: RoundRobin, clock: FakeClock) -> None:
    rounds.set_venues(venues(3))
    rounds.take()
    assert rounds.lag == 0.0
    clock.forward(2)
    rounds.take()
    assert rounds.lag == pytest.approx(1.75)


def test_no_burst_follows_a_hold_and_nobody_waits_longer_for_it_than_it_took(
    simulation: Simulation, rounds: RoundRobin, limiter: FakeLimiter, clock: FakeClock
) -> None:
    rounds.set_venues(venues(60))
    simulation.run(90)
    simulation.forget_starts()
    limiter.held_until = clock.monotonic() + 120
    simulation.run(120 + 60)
    gaps = simulation.gaps()
    assert min(gaps[1:]) == pytest.approx(0.5, rel=0.05), "one slot is made up for and no more"
    assert len(simulation.starts) == 60
    assert max(map(len, simulation.starts.values())) - min(map(len, simulation.starts.values())) <= 1


def test_a_venue_whose_poll_was_sent_late_is_not_polled_again_at_once(clock: FakeClock) -> None:
    rounds = RoundRobin(clock, FakeLimiter(per_second=1.0), 1.0)
    simulation = Simulation(clock, rounds)
    rounds.set_venues(venues(2))
    simulation.run(10)
    clock.forward(rounds.next_at() - clock.monotonic())
    late = rounds.take()
    assert late is not None
    clock.forward(10)  # The process was stopped, and the request went out only now.
    rounds.done(late, 1)
    woken = clock.monotonic()
    simulation.forget_starts()
    simulation.run(10)
    assert simulation.starts[late.id][0] >= woken + 1.0
    assert len(simulation.all_starts) >= 9, "nothing else is held up"


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
    rounds = RoundRobin(clock, FakeLimiter(per_second), poll_interval)
    simulation = Simulation(
        clock,
        rounds,
        seconds=lambda polled: slow.get(int(polled.id), 0.05),
        requests=lambda polled: many.get(int(polled.id), 1),
    )
    rounds.set_venues(venues(number))
    simulation.run(3 * rounds.interval + 80)
    simulation.forget_starts()
    times = 5
    simulation.run(times * rounds.interval + 45)
    for id_ in range(number):
        own = slow.get(id_, 0.05)
        assert max(simulation.gaps(str(id_)), default=0.0) <= own + 2 * rounds.interval
    assert len(simulation.starts) == number
    polled_requests = sum(many.get(int(id_), 1) * len(starts) for id_, starts in simulation.starts.items())
    allowed = per_second * (times * rounds.interval + 45)
    assert polled_requests <= allowed + 4 + max(many.values(), default=1)


# Venues that come and go


def test_what_is_known_keeps_its_place_when_others_come_and_go(
    simulation: Simulation, rounds: RoundRobin, clock: FakeClock
) -> None:
    rounds.set_venues(venues(10))
    simulation.run(61)
    simulation.forget_starts()
    began = clock.monotonic()
    rounds.set_venues([*venues(8), *venues(1, begin=50)])
    assert {polled.id for polled in rounds.venues} == {*map(str, range(8)), "50"}
    simulation.run(90)
    assert simulation.starts["50"][0] - began < 1
    assert not {"8", "9"} & set(simulation.starts)
    for id_ in map(str, range(8)):
        assert simulation.starts[id_][0] - began <= 34, "nobody is set back by much"
        assert max(simulation.gaps(id_)) <= 35


def test_watching_the_same_venues_again_changes_nothing_but_their_names(rounds: RoundRobin, clock: FakeClock) -> None:
    rounds.set_venues(venues(3))
    for _ in range(3):
        rounds.take()
        clock.forward(1)
    due = rounds.next_at()
    rounds.set_venues([venue(str(id_), "New name") for id_ in range(3)])
    assert rounds.next_at() == due
    assert {polled.name for polled in rounds.venues} == {"New name"}


def test_a_venue_that_was_removed_while_it_was_polled_is_forgotten(rounds: RoundRobin) -> None:
    rounds.set_venues([venue("1")])
    taken = rounds.take()
    assert taken is not None
    rounds.set_venues([venue("2")])
    rounds.done(taken, 3)
    assert [polled.id for polled in rounds.venues] == ["2"]
    assert rounds.interval == 30.0


def test_a_venue_that_comes_back_is_new(rounds: RoundRobin, clock: FakeClock) -> None:
    rounds.set_venues([venue("1")])
    rounds.take()
    rounds.set_venues([])
    clock.forward(1)
    rounds.set_venues([venue("1")])
    assert rounds.take() == venue("1")


def test_turns_wait_for_the_quota(rounds: RoundRobin, limiter: FakeLimiter, clock: FakeClock) -> None:
    rounds.set_venues([venue("1")])
    limiter.held_until = clock.monotonic() + 9
    assert rounds.next_at() == limiter.held_until


# Weights


@pytest.fixture
def chain(clock: FakeClock, limiter: FakeLimiter) -> Simulation:
    """Return 100 open venues and 200 closed ones, whose values are shown for half an hour."""
    rounds = RoundRobin(clock, limiter, 5.0, stale_after=1800.0)
    rounds.set_venues(venues(300))
    simulation = Simulation(clock, rounds)
    simulation.run(80)
    for id_ in range(100, 300):
        rounds.set_weight(str(id_), CLOSED)
    simulation.run(2 * 765)
    simulation.forget_starts()
    return simulation


def test_heavier_venues_are_polled_more_often_and_all_at_even_distances(chain: Simulation) -> None:
    chain.run(3600)
    assert chain.gaps() == pytest.approx([0.25 * HEADROOM] * len(chain.gaps()), rel=0.01)
    for id_ in map(str, range(300)):
        interval = chain.rounds.interval_of(id_)
        assert interval == pytest.approx(30.6 if int(id_) < 100 else 306, rel=0.01)
        assert chain.gaps(id_) == pytest.approx([interval] * len(chain.gaps(id_)), rel=0.15)


def test_a_venue_that_becomes_urgent_is_polled_sooner_from_now_on(chain: Simulation, clock: FakeClock) -> None:
    chain.run(100)
    began = clock.monotonic()
    chain.rounds.set_weight("250", URGENT)
    chain.run(60)
    after = [start for start in chain.starts["250"] if start >= began]
    assert after[0] - began <= 10
    assert max(later - first for first, later in pairwise(after)) <= 12


def test_when_many_venues_open_at_once_nobody_waits_longer_than_the_new_interval(
    chain: Simulation, clock: FakeClock
) -> None:
    chain.run(100)
    began = clock.monotonic()
    for number in range(100, 300):
        chain.rounds.set_weight(str(number), OPEN)
    chain.run(160)
    for id_ in map(str, range(300)):
        starts = [start for start in chain.starts[id_] if start >= began]
        assert starts[0] - began <= 1.1 * 76.5
        assert max(later - first for first, later in pairwise(starts)) <= 1.1 * 76.5
    assert chain.gaps() == pytest.approx([0.25 * HEADROOM] * len(chain.gaps()), rel=0.01), "no burst"


def test_no_venue_waits_longer_than_half_of_the_time_its_values_are_shown(
    simulation: Simulation, rounds: RoundRobin
) -> None:
    rounds.configure(30.0, 300.0)
    rounds.set_venues(venues(300))
    for id_ in range(1, 300):
        rounds.set_weight(str(id_), URGENT)
    rounds.set_weight("0", CLOSED)
    simulation.run(300)
    simulation.forget_starts()
    simulation.run(1000)
    assert max(simulation.gaps("0")) <= 155


def test_settings_that_change_keep_every_place_in_the_round(simulation: Simulation, rounds: RoundRobin) -> None:
    rounds.set_venues(venues(40))
    simulation.run(31)
    simulation.forget_starts()
    for number in range(20):
        rounds.configure(30.0 + number % 2, 300.0)
        rounds.set_venues(venues(40))
        simulation.run(15)
    for id_ in map(str, range(40)):
        assert len(simulation.starts[id_]) >= 9
        assert max(simulation.gaps(id_)) <= 33


def test_a_shorter_interval_is_in_force_at_once(simulation: Simulation, rounds: RoundRobin) -> None:
    rounds.configure(3600.0, 7200.0)
    rounds.set_venues(venues(2))
    simulation.run(60)
    simulation.forget_starts()
    rounds.configure(30.0, 7200.0)
    simulation.run(32)
    assert [len(simulation.starts[id_]) for id_ in ("0", "1")] == [1, 1]


# What fails


def test_a_venue_that_fails_backs_off_and_the_others_keep_their_interval(
    simulation: Simulation, rounds: RoundRobin
) -> None:
    simulation.requests = lambda polled: None if polled.id == "3" else 1
    rounds.set_venues(venues(10))
    simulation.run(600)
    assert rounds.interval_of("3") == 45.0
    simulation.forget_starts()
    simulation.run(600)
    assert len(simulation.starts["3"]) <= 14
    for id_ in map(str, range(10)):
        if id_ != "3":
            assert max(simulation.gaps(id_)) == pytest.approx(30, rel=0.15)
    simulation.requests = lambda _: 1
    simulation.run(60)
    assert rounds.interval_of("3") == 30.0


def test_one_failure_alone_changes_no_interval(rounds: RoundRobin) -> None:
    rounds.set_venues(venues(3))
    taken = rounds.take()
    assert taken is not None
    rounds.done(taken, None)
    assert rounds.interval_of(taken.id) == 30.0


def test_a_brand_whose_polls_all_fail_is_probed_and_is_whole_an_interval_after_a_success(
    simulation: Simulation, rounds: RoundRobin, clock: FakeClock
) -> None:
    rounds.set_venues(venues(100))
    simulation.run(60)
    before = rounds.probing
    simulation.requests = lambda _: None
    simulation.run(90)
    assert (before, rounds.probing) == (False, True)
    simulation.forget_starts()
    simulation.run(600)
    assert len(simulation.all_starts) == pytest.approx(600 / PROBE_SECONDS, abs=2)
    began = clock.monotonic()
    simulation.requests = lambda _: 1
    simulation.run(30 + 15)
    assert not rounds.probing
    assert len({id_ for id_, starts in simulation.starts.items() if starts[-1] > began}) == 100


def test_a_venue_that_works_among_many_that_fail_keeps_its_interval(simulation: Simulation, rounds: RoundRobin) -> None:
    simulation.requests = lambda polled: 1 if polled.id == "7" else None
    rounds.set_venues(venues(100))
    simulation.run(300)
    simulation.forget_starts()
    simulation.run(900)
    assert max(simulation.gaps("7")) <= 45
    assert len(simulation.all_starts) < 0.2 * 900 * 100 / 30, "the others are asked less often"


def test_the_only_venue_of_a_brand_that_fails_is_asked_no_more_often_than_it_would_be(
    simulation: Simulation, rounds: RoundRobin
) -> None:
    simulation.requests = lambda _: None
    rounds.set_venues(venues(1))
    simulation.run(600)
    assert min(simulation.gaps()) >= 30


def test_a_venue_that_was_given_back_is_first_again(rounds: RoundRobin, clock: FakeClock) -> None:
    rounds.set_venues(venues(3))
    taken = rounds.take()
    assert taken is not None
    rounds.give_back(taken, 1.0)
    assert rounds.take() is None
    clock.forward(1.0)
    again = [rounds.take()]
    while len(again) < 4:
        clock.forward(rounds.next_at() - clock.monotonic())
        again.append(rounds.take())
    assert {polled.id for polled in again if polled is not None} == {"0", "1", "2"}
    assert rounds.skipped == 1, "the fourth slot is the first one's again"
