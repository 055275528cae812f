from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes import at, failure, snapshot, station, venue

from exporter.changes import advance
from exporter.model import (
    Change,
    Event,
    Failure,
    Kind,
    Outage,
    Reason,
    Snapshot,
    VenueState,
)

BLANK = VenueState(venue())


def after(*outcomes: Snapshot | Failure, state: VenueState = BLANK) -> VenueState:
    """Return the state that outcomes in a row lead to."""
    for outcome in outcomes:
        state, _ = advance(state, outcome)
    return state


def emitted(state: VenueState, outcome: Snapshot | Failure) -> list[tuple[Event, dict[str, Any]]]:
    return [(change.event, dict(change.details)) for change in advance(state, outcome)[1]]


# A station, from poll to poll


def test_stations_seen_in_the_first_poll_are_not_reported() -> None:
    assert emitted(BLANK, snapshot(station("1"), station("2"))) == []


def test_a_station_that_is_inactive_in_the_first_poll_is_found_inactive() -> None:
    inactive = station("2", active=False)
    assert emitted(BLANK, snapshot(station("1"), inactive)) == [(Event.STATION_FOUND_INACTIVE, {})]


def test_nothing_is_reported_when_nothing_changed_and_the_stations_stay_the_same_object() -> None:
    before = after(snapshot(station()))
    state, changes = advance(before, snapshot(station(), seconds=30))
    assert not changes
    assert state.stations is before.stations
    assert state.transitions is before.transitions


def test_a_change_leaves_the_other_stations_the_same_objects() -> None:
    before = after(snapshot(station("1"), station("2")))
    state = after(snapshot(station("1"), station("2", active=False)), state=before)
    assert state.stations is not None
    assert before.stations is not None
    assert state.stations["1"] is before.stations["1"]
    assert state.stations["2"] is not before.stations["2"]


def test_a_station_switched_inactive_is_deactivated_with_how_long_it_was_active() -> None:
    before = after(snapshot(station()))
    state, changes = advance(before, snapshot(station(active=False, updated_at=60.0), seconds=60))
    assert changes == [
        Change(
            Event.STATION_DEACTIVATED,
            "tandir-group",
            at(60).wall,
            venue(),
            station(active=False, updated_at=60.0),
            {"previous_for_at_least_seconds": 60.0},
        )
    ]
    assert state.transitions == {(Kind.KITCHEN, False): 1}
    assert state.stations is not None
    assert state.stations["1"].since == state.stations["1"].last_transition == at(60).wall


def test_a_station_switched_active_again_is_activated_and_counted_by_kind() -> None:
    bar = station(kind=Kind.OTHER)
    before = after(snapshot(bar), snapshot(replace(bar, active=False), seconds=10))
    state, changes = advance(before, snapshot(bar, seconds=40))
    assert [(change.event, change.details) for change in changes] == [
        (Event.STATION_ACTIVATED, {"previous_for_seconds": 30.0})
    ]
    assert state.transitions == {(Kind.OTHER, False): 1, (Kind.OTHER, True): 1}


def test_a_status_that_was_there_when_we_first_looked_lasted_at_least_so_long() -> None:
    before = after(snapshot(station(), seconds=100))
    assert emitted(before, snapshot(station(active=False), seconds=160)) == [
        (Event.STATION_DEACTIVATED, {"previous_for_at_least_seconds": 60.0})
    ]


@pytest.mark.parametrize("jump", [-3600.0, 100 * 86400.0])
def test_a_wall_clock_that_jumps_changes_no_duration(jump: float) -> None:
    before = after(snapshot(station()), snapshot(station(active=False), seconds=10))
    polled = snapshot(station(), seconds=40)
    jumped = replace(polled, at=polled.at._replace(wall=polled.at.wall + jump))
    assert emitted(before, jumped) == [(Event.STATION_ACTIVATED, {"previous_for_seconds": 30.0})]
    lost = replace(failure(), at=jumped.at)
    assert emitted(before, lost)[0][1]["down_for_seconds"] == 30.0
    assert emitted(after(lost, state=before), jumped)[0][1]["down_for_seconds"] == 30.0


def test_a_duration_that_began_before_a_restart_is_that_of_the_wall_clock() -> None:
    before = after(snapshot(station()), snapshot(station(active=False), seconds=10))
    assert before.stations is not None
    station_state = replace(before.stations["1"], since_monotonic=None)
    restored = replace(before, stations={"1": station_state}, restored=True)
    assert emitted(restored, snapshot(station(), seconds=70)) == [
        (Event.STATION_ACTIVATED, {"previous_for_seconds": 60.0, "detected": "after_restart"})
    ]


def test_a_station_that_is_new_is_added() -> None:
    before = after(snapshot(station("1")))
    assert emitted(before, snapshot(station("1"), station("2"))) == [(Event.STATION_ADDED, {})]


def test_a_station_that_is_new_and_inactive_is_added_and_found_inactive() -> None:
    before = after(snapshot(station("1")))
    assert emitted(before, snapshot(station("1"), station("2", active=False))) == [
        (Event.STATION_ADDED, {}),
        (Event.STATION_FOUND_INACTIVE, {}),
    ]


def test_a_station_missing_once_is_not_removed() -> None:
    before = after(snapshot(station("1"), station("2")))
    state, changes = advance(before, snapshot(station("1")))
    assert not changes
    assert state.stations is not None
    assert set(state.stations) == {"1", "2"}


def test_a_station_missing_twice_in_a_row_is_removed() -> None:
    before = after(snapshot(station("1"), station("2")), snapshot(station("1")))
    state, changes = advance(before, snapshot(station("1"), seconds=60))
    assert changes == [Change(Event.STATION_REMOVED, "tandir-group", at(60).wall, venue(), station("2"))]
    assert state.stations is not None
    assert set(state.stations) == {"1"}


def test_a_failed_poll_between_two_absences_neither_counts_nor_breaks_the_row() -> None:
    before = after(snapshot(station("1"), station("2")), snapshot(station("1")), failure())
    assert emitted(before, snapshot(station("1")))[-1] == (Event.STATION_REMOVED, {})


def test_a_station_that_came_back_has_to_be_missing_twice_again() -> None:
    both = snapshot(station("1"), station("2"))
    before = after(both, snapshot(station("1")), both)
    assert emitted(before, snapshot(station("1"))) == []


def test_a_station_that_comes_back_changed_after_one_absence_is_reported_by_its_change_alone() -> None:
    before = after(snapshot(station("1"), station("2")), snapshot(station("1"), seconds=10))
    assert emitted(before, snapshot(station("1"), station("2", active=False), seconds=20)) == [
        (Event.STATION_DEACTIVATED, {"previous_for_at_least_seconds": 20.0})
    ]


def test_several_removals_are_reported_in_the_order_in_which_the_stations_were_known() -> None:
    many = [station(str(number)) for number in range(9)]
    before = after(snapshot(*many), snapshot())
    assert [change.station for change in advance(before, snapshot())[1]] == many


def test_a_renamed_station_is_reported_with_its_previous_name() -> None:
    assert emitted(after(snapshot(station())), snapshot(station(name="Təndir"))) == [
        (Event.STATION_RENAMED, {"previous": "Tandir"})
    ]


def test_a_station_of_another_kind_is_reported_with_its_previous_kind() -> None:
    assert emitted(after(snapshot(station())), snapshot(station(kind=Kind.OTHER))) == [
        (Event.STATION_KIND_CHANGED, {"previous": "kitchen"})
    ]


@pytest.mark.parametrize(
    ("printable", "event"),
    [(False, Event.STATION_PRINTING_DISABLED), (True, Event.STATION_PRINTING_ENABLED)],
)
def test_printing_switched_is_reported_with_its_previous_value(*, printable: bool, event: Event) -> None:
    before = after(snapshot(station(printable=not printable)))
    assert emitted(before, snapshot(station(printable=printable))) == [(event, {"previous": not printable})]


def test_a_station_edited_without_a_visible_change_is_touched() -> None:
    assert emitted(after(snapshot(station())), snapshot(station(updated_at=99.0))) == [(Event.STATION_TOUCHED, {})]


def test_a_station_is_not_touched_when_something_else_changed() -> None:
    events = [event for event, _ in emitted(after(snapshot(station())), snapshot(station(name="Bar", updated_at=99.0)))]
    assert events == [Event.STATION_RENAMED]


def test_everything_that_changed_at_once_is_reported() -> None:
    before = after(snapshot(station()))
    new = station(name="Bar", kind=Kind.OTHER, active=False, printable=False, updated_at=99.0)
    assert [event for event, _ in emitted(before, snapshot(new))] == [
        Event.STATION_DEACTIVATED,
        Event.STATION_RENAMED,
        Event.STATION_KIND_CHANGED,
        Event.STATION_PRINTING_DISABLED,
    ]


# What Clopos does not say clearly


def test_a_status_that_becomes_unclear_is_not_a_change_and_the_last_clear_one_is_kept() -> None:
    before = after(snapshot(station()))
    state, changes = advance(before, snapshot(station(active=None)))
    assert not changes
    assert state.stations is not None
    assert (state.stations["1"].status, state.stations["1"].station.active) == (True, None)


def test_a_status_that_is_clear_again_is_compared_with_the_last_clear_one() -> None:
    before = after(snapshot(station()), snapshot(station(active=None), seconds=10))
    assert emitted(before, snapshot(station(), seconds=20)) == []
    assert emitted(before, snapshot(station(active=False), seconds=20)) == [
        (Event.STATION_DEACTIVATED, {"previous_for_at_least_seconds": 20.0})
    ]


@pytest.mark.parametrize(("active", "expected"), [(True, []), (False, [(Event.STATION_FOUND_INACTIVE, {})])])
def test_a_status_that_was_never_clear_is_found_and_not_changed(*, active: bool, expected: list[Any]) -> None:
    before = after(snapshot(station(active=None)))
    state, changes = advance(before, snapshot(station(active=active), seconds=30))
    assert [(change.event, change.details) for change in changes] == expected
    assert not state.transitions
    assert state.stations is not None
    assert state.stations["1"].since == at(30).wall
    assert state.stations["1"].last_transition is None


def test_printing_that_was_unclear_for_a_while_is_compared_with_the_last_clear_value() -> None:
    before = after(snapshot(station()), snapshot(station(printable=None)))
    assert emitted(before, snapshot(station())) == []
    assert emitted(before, snapshot(station(printable=False))) == [
        (Event.STATION_PRINTING_DISABLED, {"previous": True})
    ]


def test_printing_that_was_never_clear_is_not_reported_when_it_becomes_so() -> None:
    before = after(snapshot(station(printable=None)))
    assert emitted(before, snapshot(station(printable=False))) == []


# A venue


def test_a_failed_poll_loses_the_venue_once_and_keeps_what_is_known() -> None:
    before = after(snapshot(station()))
    state, changes = advance(before, failure(seconds=60, duration=12.0))
    assert changes == [
        Change(
            Event.VENUE_LOST,
            "tandir-group",
            at(60).wall,
            venue(),
            details={"reason": "timeout", "message": "no complete answer in time", "down_for_seconds": 60.0},
        )
    ]
    assert state.stations is before.stations
    assert (state.up, state.polls, state.failures, state.last_duration) == (False, 2, 1, 12.0)
    assert (state.last_success, state.fresh_at) == (before.last_success, before.fresh_at)
    assert emitted(state, failure(Reason.GATEWAY, seconds=90)) == []


def test_for_how_long_is_not_said_of_a_venue_that_was_never_read() -> None:
    assert "down_for_seconds" not in emitted(BLANK, failure())[0][1]


def test_for_how_long_is_not_said_of_a_venue_that_this_process_never_read() -> None:
    three_days_old = replace(after(snapshot(station(), seconds=-3 * 86400)), restored=True)
    assert "down_for_seconds" not in emitted(three_days_old, failure())[0][1]


def test_our_own_pacing_is_a_failed_poll_but_no_outage_that_is_reported() -> None:
    before = after(snapshot(station()))
    throttled, changes = advance(before, failure(Reason.THROTTLED))
    assert not changes
    assert (throttled.up, throttled.failures) == (False, 1)
    assert emitted(throttled, snapshot(station())) == []
    lost, changes = advance(throttled, failure(Reason.GATEWAY, seconds=30))
    assert [change.event for change in changes] == [Event.VENUE_LOST]
    assert emitted(after(failure(Reason.THROTTLED), state=lost), snapshot(station()))[0][0] is Event.VENUE_RECOVERED


def test_rows_that_cannot_be_read_prove_no_absence() -> None:
    before = after(snapshot(station("1"), station("2")), snapshot(station("1")))
    partial = snapshot(station("1"), unusable=("a row",))
    state = after(partial, partial, partial, state=before)
    assert state.stations is before.stations
    assert emitted(state, snapshot(station("1"))) == [(Event.STATION_REMOVED, {})]


def test_an_edit_time_that_is_null_now_and_then_is_no_touch() -> None:
    before = after(snapshot(station(updated_at=5.0)))
    state = after(snapshot(station(updated_at=None)), state=before)
    assert state.stations is before.stations
    assert emitted(state, snapshot(station(updated_at=5.0))) == []
    assert emitted(state, snapshot(station(updated_at=6.0))) == [(Event.STATION_TOUCHED, {})]
    assert emitted(after(snapshot(station(updated_at=None))), snapshot(station(updated_at=6.0))) == []


def test_a_venue_recovers_once_with_how_long_it_was_not_read_and_why() -> None:
    before = after(snapshot(station()), failure(seconds=60), failure(Reason.GATEWAY, "other", seconds=90))
    state, changes = advance(before, snapshot(station(), seconds=120))
    assert [(change.event, change.details) for change in changes] == [
        (
            Event.VENUE_RECOVERED,
            {"reason": "timeout", "message": "no complete answer in time", "down_for_seconds": 120.0},
        )
    ]
    assert state.up
    assert emitted(state, snapshot(station(), seconds=150)) == []


def test_a_venue_that_was_never_read_before_was_down_since_its_first_failure() -> None:
    before = after(failure(seconds=10))
    assert emitted(before, snapshot(station(), seconds=25))[0][1]["down_for_seconds"] == 15.0


def test_recovery_is_reported_before_what_changed_meanwhile() -> None:
    before = after(snapshot(station()), failure())
    events = [event for event, _ in emitted(before, snapshot(station(active=False)))]
    assert events == [Event.VENUE_RECOVERED, Event.STATION_DEACTIVATED]


def test_a_complete_poll_leaves_its_figures() -> None:
    state = after(snapshot(station(), seconds=5, duration=0.3, requests=2))
    assert (state.polls, state.failures, state.last_success, state.last_duration) == (1, 0, at(5).wall, 0.3)
    assert (state.fresh_at, state.requests, state.restored) == (at(5).monotonic, 2, False)


@pytest.mark.parametrize(
    ("edited_after", "seconds"),
    [(185.0, 185.0), (-60.0, 289.0), (300.0, 289.0)],
)
def test_after_a_restart_a_status_is_known_to_have_lasted_until_clopos_changed_it(
    edited_after: float, seconds: float
) -> None:
    known = after(snapshot(station("1")))
    assert known.stations is not None
    stations = {"1": replace(known.stations["1"], since_monotonic=None)}
    before = replace(known, stations=stations, restored=True)
    row = station("1", active=False, updated_at=at(edited_after).wall)
    assert emitted(before, snapshot(row, seconds=289)) == [
        (Event.STATION_DEACTIVATED, {"previous_for_at_least_seconds": seconds, "detected": "after_restart"})
    ]


def test_a_status_that_changes_without_an_edit_lasted_longer_than_until_the_one_before() -> None:
    edited = at(100).wall
    known = after(snapshot(station("1")), snapshot(station("1", updated_at=edited), seconds=110))
    row = station("1", active=False, updated_at=edited)
    assert emitted(known, snapshot(row, seconds=289)) == [
        (Event.STATION_DEACTIVATED, {"previous_for_at_least_seconds": 289.0})
    ]


def test_changes_found_after_a_restart_say_so_until_the_first_complete_poll() -> None:
    before = replace(after(snapshot(station("1"), station("2"))), restored=True)
    waiting = after(failure(), state=before)
    assert waiting.restored
    state, changes = advance(waiting, snapshot(station("1", active=False), station("2", name="Bar"), seconds=60))
    assert [(change.event, change.details) for change in changes[1:]] == [
        (Event.STATION_DEACTIVATED, {"previous_for_at_least_seconds": 60.0, "detected": "after_restart"}),
        (Event.STATION_RENAMED, {"previous": "Tandir", "detected": "after_restart"}),
    ]
    assert "detected" not in changes[0].details, "the venue recovers now"
    assert emitted(state, snapshot(station("1"), station("2", name="Bar"), seconds=90)) == [
        (Event.STATION_ACTIVATED, {"previous_for_seconds": 30.0})
    ]


def test_an_outage_that_began_before_a_restart_is_not_reported_again() -> None:
    restored = VenueState(venue(), outage=Outage(at(-60).wall, Reason.TIMEOUT, "late"), restored=True)
    assert emitted(restored, failure()) == []
    assert emitted(restored, snapshot())[0][1]["down_for_seconds"] == 60.0


def test_a_venue_is_neither_up_nor_down_before_its_first_poll() -> None:
    assert BLANK.up is None
