from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import at, failure, venue

from exporter.changes import advance_brand
from exporter.model import BrandState, Change, Discovery, Event, Failure, LoggedIn, Reason
from exporter.texts import remedy

BRAND = BrandState("tandir-group")


def discovered(*ids: str, seconds: float = 0.0) -> Discovery:
    return Discovery(tuple(venue(id_, f"Venue {id_}") for id_ in ids), at(seconds))


def brand_after(*outcomes: Discovery | LoggedIn | Failure, state: BrandState = BRAND) -> BrandState:
    for outcome in outcomes:
        state, _ = advance_brand(state, outcome)
    return state


def brand_events(state: BrandState, outcome: Discovery | LoggedIn | Failure) -> list[tuple[Event, str | None]]:
    return [(change.event, change.venue.id if change.venue else None) for change in advance_brand(state, outcome)[1]]


def login_failed(seconds: float = 0.0) -> Failure:
    return failure(Reason.CREDENTIALS, "Invalid credentials", seconds, brand_wide=True)


def test_the_first_discovery_reports_nothing() -> None:
    state, changes = advance_brand(BRAND, discovered("1", "2"))
    assert not changes
    assert state.up
    assert [one.id for one in state.venues or ()] == ["1", "2"]


def test_a_venue_that_is_new_is_added() -> None:
    assert brand_events(brand_after(discovered("1")), discovered("1", "2")) == [(Event.VENUE_ADDED, "2")]


def test_a_venue_missing_once_is_kept() -> None:
    state, changes = advance_brand(brand_after(discovered("1", "2")), discovered("1"))
    assert not changes
    assert {one.id for one in state.venues or ()} == {"1", "2"}


def test_a_venue_missing_twice_a_minute_apart_is_removed() -> None:
    before = brand_after(discovered("1", "2"), discovered("1", seconds=60))
    state, changes = advance_brand(before, discovered("1", seconds=120))
    assert [(change.event, change.venue) for change in changes] == [(Event.VENUE_REMOVED, venue("2", "Venue 2"))]
    assert [one.id for one in state.venues or ()] == ["1"]


def test_quick_absences_prove_nothing() -> None:
    before = brand_after(discovered("1", "2"), *(discovered("1", seconds=60 + second) for second in range(5)))
    assert [one.id for one in before.venues or ()] == ["1", "2"]
    assert brand_events(before, discovered("1", seconds=120)) == [(Event.VENUE_REMOVED, "2")]


def test_with_short_intervals_absences_need_be_less_far_apart() -> None:
    before = brand_after(discovered("1", "2"), discovered("1", seconds=60))
    _, changes = advance_brand(before, discovered("1", seconds=61), confirming_seconds=0.5)
    assert [change.event for change in changes] == [Event.VENUE_REMOVED]


@pytest.mark.parametrize("rest", [(), ("1",)], ids=["empty", "most"])
def test_a_list_that_lost_most_venues_is_a_warning_and_takes_three_confirmations_in_half_an_hour(
    rest: tuple[str, ...],
) -> None:
    before = brand_after(discovered("1", "2", "3"))
    state, [warning] = advance_brand(before, discovered(*rest, seconds=0))
    assert warning.event is Event.BRAND_VENUES_MISSING
    assert warning.details["message"].startswith(f"Clopos no longer lists {3 - len(rest)} of 3 venues")
    assert brand_events(state, discovered(*rest, seconds=1800)) == []
    state = brand_after(*(discovered(*rest, seconds=60 * minute) for minute in range(1, 30)), state=state)
    assert {one.id for one in state.venues or ()} == {"1", "2", "3"}
    gone = [id_ for id_ in "123" if id_ not in rest]
    assert brand_events(state, discovered(*rest, seconds=1800)) == [(Event.VENUE_REMOVED, id_) for id_ in gone]


def test_most_venues_that_are_back_after_a_while_were_never_removed() -> None:
    before = brand_after(discovered("1", "2", "3"), discovered())
    state, changes = advance_brand(before, discovered("1", "2", "3", seconds=60))
    assert not changes
    assert not state.missing


def test_a_clock_set_back_between_two_absences_counts_from_then() -> None:
    before = brand_after(discovered("1", "2"), discovered("1"), discovered("1", seconds=-3600))
    assert brand_events(before, discovered("1", seconds=-3570)) == []
    assert brand_events(before, discovered("1", seconds=-3540)) == [(Event.VENUE_REMOVED, "2")]


def test_a_venue_that_the_configuration_no_longer_lists_is_removed_at_once() -> None:
    state, changes = advance_brand(brand_after(discovered("1", "2")), replace(discovered("1"), listed=True))
    assert [(change.event, change.venue) for change in changes] == [(Event.VENUE_REMOVED, venue("2", "Venue 2"))]
    assert [one.id for one in state.venues or ()] == ["1"]


def test_the_tokens_own_venue_gives_way_to_a_list_at_once_and_is_no_loss() -> None:
    state = brand_after(discovered("default"))
    state, changes = advance_brand(state, discovered("1", "2", seconds=1.0))
    assert [change.event for change in changes] == [Event.VENUE_ADDED, Event.VENUE_ADDED, Event.VENUE_REMOVED]
    assert [one.id for one in state.venues or ()] == ["1", "2"]
    assert not state.missing


def test_a_venue_that_came_back_has_to_be_missing_twice_again() -> None:
    both = discovered("1", "2")
    assert brand_events(brand_after(both, discovered("1"), both), discovered("1")) == []


def test_a_renamed_venue_is_taken_over_without_an_event() -> None:
    state, changes = advance_brand(brand_after(discovered("1")), Discovery((venue("1", "New name"),), at()))
    assert not changes
    assert state.venues == (venue("1", "New name"),)


def test_a_failed_discovery_keeps_the_venues_and_is_reported_once_with_what_a_person_should_do() -> None:
    state, changes = advance_brand(brand_after(discovered("1")), failure(Reason.FORBIDDEN, "Forbidden"))
    assert changes == [
        Change(
            Event.BRAND_DISCOVERY_FAILED,
            "tandir-group",
            at().wall,
            details={"reason": "forbidden", "message": "Forbidden", "remedy": remedy(Reason.FORBIDDEN)},
        )
    ]
    assert not state.up
    assert state.venues == (venue("1", "Venue 1"),)
    again, changes = advance_brand(state, failure(Reason.TIMEOUT, seconds=9))
    assert (again.outage, changes) == (state.outage, [])
    state, changes = advance_brand(again, discovered("1", seconds=90))
    assert state.up
    assert [(change.event, change.details) for change in changes] == [
        (Event.BRAND_DISCOVERY_RECOVERED, {"reason": "forbidden", "down_for_seconds": 90.0})
    ]


def test_a_failed_login_is_reported_once_with_what_a_person_should_do() -> None:
    state, changes = advance_brand(BRAND, login_failed())
    assert changes == [
        Change(
            Event.BRAND_LOGIN_FAILED,
            "tandir-group",
            at().wall,
            details={
                "reason": "credentials",
                "message": "Invalid credentials",
                "remedy": "Check client_id, client_secret and brand against the Clopos back office of this brand.",
            },
        )
    ]
    assert not state.up
    assert brand_events(state, failure(Reason.TEST_MODE, brand_wide=True)) == []


@pytest.mark.parametrize("reason", [Reason.CONNECTION, Reason.GATEWAY, Reason.TIMEOUT])
def test_a_login_that_nobody_answers_is_reported_as_an_outage_that_refused_nothing(reason: Reason) -> None:
    _, [change] = advance_brand(BRAND, failure(reason, brand_wide=True))
    assert (change.event, change.details["outage"]) == (Event.BRAND_LOGIN_FAILED, True)
    assert "client_secret" not in change.details["remedy"]
    assert "The exporter keeps trying" in change.details["remedy"]


@pytest.mark.parametrize("outcome", [LoggedIn(at(90)), discovered("1", seconds=90)], ids=["poll", "discovery"])
def test_a_login_recovers_once_with_how_long_it_failed(outcome: LoggedIn | Discovery) -> None:
    state, changes = advance_brand(brand_after(login_failed()), outcome)
    assert [(change.event, change.details) for change in changes] == [
        (Event.BRAND_LOGIN_RECOVERED, {"reason": "credentials", "down_for_seconds": 90.0})
    ]
    assert state.up
    assert brand_events(state, outcome) == []


@pytest.mark.parametrize("reason", [Reason.CONNECTION, Reason.THROTTLED, Reason.INTERNAL])
def test_a_failure_that_is_not_the_logins_does_not_recover_it(reason: Reason) -> None:
    state, changes = advance_brand(brand_after(login_failed()), failure(reason))
    assert not changes
    assert state.outage is None, "nothing can be listed without a login: one outage, not two"
    assert state.login_outage is not None
    assert brand_events(state, login_failed(60)) == [], "still the same outage"


@pytest.mark.parametrize("outcome", [LoggedIn(at(90)), discovered("1", seconds=90)], ids=["poll", "discovery"])
def test_what_began_before_the_login_failed_does_not_end_the_outage(outcome: LoggedIn | Discovery) -> None:
    before = brand_after(login_failed(60))
    assert brand_events(before, replace(outcome, duration=31)) == []
    assert brand_events(before, replace(outcome, duration=29)) == [(Event.BRAND_LOGIN_RECOVERED, None)]


def test_a_working_login_does_not_end_a_failing_discovery() -> None:
    state = brand_after(failure(Reason.GATEWAY), LoggedIn(at(1)))
    assert not state.up
    assert brand_after(discovered(), state=state).up


def test_venues_found_after_a_restart_say_so() -> None:
    before = replace(brand_after(discovered("1", "2"), discovered("1")), restored=True)
    state, changes = advance_brand(before, discovered("1", "3", seconds=900))
    assert [(change.event, change.details) for change in changes] == [
        (Event.VENUE_ADDED, {"detected": "after_restart"}),
        (Event.VENUE_REMOVED, {"detected": "after_restart"}),
    ]
    assert not state.restored


def test_a_brand_is_neither_up_nor_down_before_its_first_outcome() -> None:
    assert BRAND.up is None
