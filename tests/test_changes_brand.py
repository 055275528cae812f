from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import at, failure, venue

from exporter.changes import advance_brand
from exporter.model import BrandState, Change, Discovery, Event, Failure, LoggedIn, Reason

BRAND = BrandState("tandir-group")


def discovered(*ids: str, seconds: float = 0.0) -> Discovery:
    return Discovery(tuple(venue(id_, f"Venue {id_}") for id_ in ids), at(seconds))


def brand_after(*outcomes: Discovery | LoggedIn | Failure, state: BrandState = BRAND) -> BrandState:
    for outcome in outcomes:
        state, _ = advance_brand(state, outcome)
    return state


def brand_told(state: BrandState, outcome: Discovery | LoggedIn | Failure) -> list[tuple[Event, str | None]]:
    return [(change.event, change.venue.id if change.venue else None) for change in advance_brand(state, outcome)[1]]


def login_failed(seconds: float = 0.0) -> Failure:
    return failure(Reason.CREDENTIALS, "Invalid credentials", seconds, brand_wide=True)


def test_the_first_discovery_tells_nothing() -> None:
    state, changes = advance_brand(BRAND, discovered("1", "2"))
    assert not changes
    assert state.up
    assert [one.id for one in state.venues or ()] == ["1", "2"]


def test_a_venue_that_is_new_is_added() -> None:
    assert brand_told(brand_after(discovered("1")), discovered("1", "2")) == [(Event.VENUE_ADDED, "2")]


def test_a_venue_missing_once_is_kept() -> None:
    state, changes = advance_brand(brand_after(discovered("1", "2")), discovered("1"))
    assert not changes
    assert {one.id for one in state.venues or ()} == {"1", "2"}


def test_a_venue_missing_twice_in_a_row_is_removed() -> None:
    state, changes = advance_brand(brand_after(discovered("1", "2"), discovered("1")), discovered("1"))
    assert [(change.event, change.venue) for change in changes] == [(Event.VENUE_REMOVED, venue("2", "Venue 2"))]
    assert [one.id for one in state.venues or ()] == ["1"]


def test_a_venue_that_the_configuration_no_longer_lists_is_removed_at_once() -> None:
    state, changes = advance_brand(brand_after(discovered("1", "2")), replace(discovered("1"), listed=True))
    assert [(change.event, change.venue) for change in changes] == [(Event.VENUE_REMOVED, venue("2", "Venue 2"))]
    assert [one.id for one in state.venues or ()] == ["1"]


def test_a_venue_that_came_back_has_to_be_missing_twice_again() -> None:
    both = discovered("1", "2")
    assert brand_told(brand_after(both, discovered("1"), both), discovered("1")) == []


def test_a_renamed_venue_is_taken_over_without_an_event() -> None:
    state, changes = advance_brand(brand_after(discovered("1")), Discovery((venue("1", "New name"),), at()))
    assert not changes
    assert state.venues == (venue("1", "New name"),)


def test_a_failed_discovery_keeps_the_venues_and_is_no_event() -> None:
    state, changes = advance_brand(brand_after(discovered("1")), failure(Reason.GATEWAY))
    assert not changes
    assert not state.up
    assert state.venues == (venue("1", "Venue 1"),)
    assert brand_after(failure(Reason.TIMEOUT, seconds=9), state=state).outage == state.outage
    assert brand_after(discovered("1"), state=state).up


def test_a_failed_login_is_told_once_with_what_a_person_should_do() -> None:
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
    assert brand_told(state, failure(Reason.TEST_MODE, brand_wide=True)) == []


@pytest.mark.parametrize("outcome", [LoggedIn(at(90)), discovered("1", seconds=90)], ids=["poll", "discovery"])
def test_a_login_recovers_once_with_how_long_it_failed(outcome: LoggedIn | Discovery) -> None:
    state, changes = advance_brand(brand_after(login_failed()), outcome)
    assert [(change.event, change.details) for change in changes] == [
        (Event.BRAND_LOGIN_RECOVERED, {"reason": "credentials", "down_for_seconds": 90.0})
    ]
    assert state.up
    assert brand_told(state, outcome) == []


@pytest.mark.parametrize("reason", [Reason.CONNECTION, Reason.THROTTLED, Reason.INTERNAL])
def test_a_failure_that_is_not_the_logins_does_not_recover_it(reason: Reason) -> None:
    state, changes = advance_brand(brand_after(login_failed()), failure(reason))
    assert not changes
    assert state.login_outage is not None
    assert brand_told(state, login_failed(60)) == [], "still the same outage"


def test_a_working_login_does_not_end_a_failing_discovery() -> None:
    state = brand_after(failure(Reason.GATEWAY), LoggedIn(at(1)))
    assert not state.up
    assert brand_after(discovered(), state=state).up


def test_venues_found_after_a_restart_say_so() -> None:
    before = replace(brand_after(discovered("1", "2"), discovered("1")), restored=True)
    state, changes = advance_brand(before, discovered("1", "3"))
    assert [(change.event, change.details) for change in changes] == [
        (Event.VENUE_ADDED, {"detected": "after_restart"}),
        (Event.VENUE_REMOVED, {"detected": "after_restart"}),
    ]
    assert not state.restored


def test_a_brand_is_neither_up_nor_down_before_its_first_outcome() -> None:
    assert BRAND.up is None
