"""The checks of several processes find what they are for, and excuse what has to be."""

from __future__ import annotations

from typing import Any

import pytest
from cluster_checks import (
    LIMIT,
    Accepted,
    Asked,
    Line,
    Trouble,
    asked_too_often,
    emitted_by_others,
    heard_differently,
    polled_by_two,
    polled_too_soon,
    union,
    unowned,
)
from test_notifications import ACTIVE, INACTIVE, WAS
from witness import Row, Sight, _compare

BRAND, GRILL = "brand-01", "Grill 0-1-2"


def asked(at: float, process: str = "p1", *, venue: str = "1") -> Asked:
    return Asked(at, process, BRAND, "stations", venue, f"token of {process}")


def owned(at: float, process: str) -> Line:
    return Line(at, process, {"event": "brand.owned", "brand": BRAND})


def emitted(at: float, process: str, event: str, observed_at: float | None = None, **rest: Any) -> Line:
    observed_at = at if observed_at is None else observed_at
    fields = {"event": event, "brand": BRAND, "station": GRILL, "observed_at": observed_at, "timestamp": at, **rest}
    return Line(at, process, fields)


def incident(at: float, process: str, event: str) -> Line:
    return emitted(at, process, f"incident.{event}", incident="kitchen_station_inactive")


def sent(at: float, process: str, *texts: str) -> Accepted:
    lines = [f"• {GRILL} {text} 12:00, Venue" for text in texts]
    if len(lines) == 1:
        return Accepted(at, process, {"title": lines[0][2:], "message": "Advice."})
    return Accepted(at, process, {"title": f"{len(texts)} problems", "message": "\n".join(lines)})


# Requests


def test_polls_of_a_venue_that_are_too_close_are_found() -> None:
    assert not polled_too_soon([asked(0.0), asked(0.1, venue="2"), asked(1.0)])
    assert polled_too_soon([asked(0.0), asked(0.9, "p2")])


def test_more_requests_in_a_minute_than_clopos_allows_are_found() -> None:
    assert not asked_too_often([asked(61.0 * number / LIMIT) for number in range(3 * LIMIT)])
    assert asked_too_often([asked(59.0 * number / LIMIT) for number in range(3 * LIMIT)])


def test_a_process_that_goes_on_after_another_has_begun_is_found() -> None:
    assert not polled_by_two([asked(0.0), asked(1.0), asked(9.0, "p2")])
    assert polled_by_two([asked(0.0), asked(9.0, "p2"), asked(10.0)])


def test_a_brand_without_an_owner_is_found() -> None:
    requests, freeze = [asked(0.0), asked(27.0, "p2")], Trouble("freeze", "p1", 1.0)
    assert unowned(requests, [], [freeze])[0][0] == 26.0
    assert unowned(requests, [owned(11.0, "p2")], [freeze])[0][0] == 16.0


def test_an_owner_that_logs_in_to_one_brand_after_another_has_all_of_them() -> None:
    logins = [Asked(at, "p2", "brand-02", "auth", None, "") for at in (12.0, 17.0, 22.0)]
    requests, freeze = [asked(0.0), *logins, asked(27.0, "p2")], Trouble("freeze", "p1", 1.0)
    assert unowned(requests, [owned(11.0, "p2")], [freeze])[0][0] == 10.0
    assert unowned(requests, [owned(26.0, "p2")], [freeze])[0][0] == 25.0, "not yet its own"
    assert unowned(requests, [owned(11.0, "p2"), owned(12.5, "p3")], [freeze])[0][0] == 14.5, "no longer its own"


# Events


def test_an_event_may_come_twice_only_where_the_brand_got_another_owner() -> None:
    lines = [owned(0.0, "p1"), emitted(5.0, "p1", "station.deactivated")]
    again = emitted(20.0, "p2", "station.deactivated", observed_at=5.0)
    events, faults = union([*lines, owned(15.0, "p2"), again])
    assert (len(events), faults) == (1, [])
    assert union([*lines, again])[1]


def test_events_of_a_process_that_does_not_own_the_brand_are_found() -> None:
    lines = [owned(0.0, "p1"), emitted(5.0, "p1", "station.deactivated"), owned(15.0, "p2")]
    assert not emitted_by_others(lines)
    assert not emitted_by_others([*lines, emitted(20.0, "p1", "station.deactivated", observed_at=5.0)])
    assert emitted_by_others([*lines, emitted(20.0, "p1", "station.activated")])


@pytest.mark.parametrize("written", [True, False])
def test_the_next_owner_goes_on_from_before_what_was_emitted_and_not_stored(written: bool) -> None:  # noqa: FBT001
    off, on = (Row(GRILL, status, updated_at=f"12:0{number}") for number, status in enumerate([0, 1], 1))
    first, at_last = Sight(0.0, "a", {"2": Row(GRILL)}, whole=True, sure=True), {"2": on}
    lost = [Sight(1.0, "a", {"2": off}, whole=True, sure=written), Sight(2.0, "a", at_last, whole=True, sure=written)]
    names = [("deactivated", "12:01"), ("activated", "12:02"), ("touched", "12:02")]
    log = [(f"station.{name}", GRILL, updated_at) for name, updated_at in names]
    sights = [first, *lost, Sight(12.0, "b", at_last, whole=True, sure=True)]
    assert bool(_compare("2", sights, log, venue=False)) == written


# Messages

BEGUN_AND_OVER = [owned(0.0, "p1"), incident(5.0, "p1", "firing"), incident(10.0, "p1", "resolved")]
TAKEN_OVER = [*BEGUN_AND_OVER, owned(20.0, "p2")]


@pytest.mark.parametrize(
    "messages",
    [
        [sent(6.0, "p1", INACTIVE), sent(11.0, "p1", ACTIVE)],
        [sent(11.0, "p1", WAS)],
        [sent(11.0, "p1", INACTIVE, ACTIVE)],
    ],
)
def test_messages_follow_the_log(messages: list[Accepted]) -> None:
    assert not heard_differently(BEGUN_AND_OVER, messages)


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ([], "nobody heard of 5.00 been"),
        ([sent(6.0, "p1", INACTIVE)], "nobody heard of 10.00 active"),
        ([sent(11.0, "p1", ACTIVE)], "nothing explains 11.00 active"),
        ([sent(11.0, "p1", ACTIVE, INACTIVE)], "nothing explains 11.00 active"),
        ([sent(11.0, "p1", WAS), sent(12.0, "p1", INACTIVE)], "nothing explains 12.00 been"),
        ([sent(6.0, "p1", INACTIVE), sent(7.0, "p1", INACTIVE), sent(11.0, "p1", ACTIVE)], "nothing explains 7.00"),
    ],
)
def test_messages_that_are_missing_too_many_or_in_another_order_are_found(messages: list[Accepted], fault: str) -> None:
    [found] = heard_differently(BEGUN_AND_OVER, messages)
    assert fault in found


@pytest.mark.parametrize("again", [INACTIVE, WAS])
def test_a_message_may_come_twice_where_the_brand_got_another_owner_soon_after(again: str) -> None:
    rest = [] if again == WAS else [sent(22.0, "p2", ACTIVE)]
    late = [sent(18.0, "p1", INACTIVE), sent(21.0, "p2", again), *rest]
    assert not heard_differently(TAKEN_OVER, late)
    assert heard_differently([*BEGUN_AND_OVER, owned(60.0, "p2")], [sent(6.0, "p1", INACTIVE), sent(61.0, "p2", WAS)])


def test_what_a_stopped_process_had_begun_to_send_may_come_late() -> None:
    messages = [sent(21.0, "p2", WAS), sent(30.1, "p1", INACTIVE)]
    assert heard_differently(TAKEN_OVER, messages)
    assert not heard_differently(TAKEN_OVER, messages, frozen=[Trouble("freeze", "p1", 9.0, 30.0)])


def test_what_a_process_emitted_without_its_database_may_be_forgotten() -> None:
    lines = [*BEGUN_AND_OVER, owned(20.0, "p2"), incident(22.0, "p2", "resolved")]
    messages = [sent(6.0, "p1", INACTIVE), sent(23.0, "p2", ACTIVE)]
    assert heard_differently(lines, messages)
    assert not heard_differently(lines, messages, unwritten=[Trouble("cut", "p1", 9.0, 30.0)])


def test_what_is_excused_once_does_not_hide_when_people_heard_of_the_rest() -> None:
    lines = [*BEGUN_AND_OVER, incident(60.0, "p1", "firing"), owned(63.0, "p2"), incident(70.0, "p2", "resolved")]
    first = [sent(6.0, "p1", INACTIVE), sent(11.0, "p1", ACTIVE)]
    second = [sent(58.0, "p1", INACTIVE), sent(65.0, "p2", INACTIVE), sent(71.0, "p2", ACTIVE)]
    unwritten = [Trouble("restart", "", 0.0, 62.0)]
    assert not heard_differently(lines, [*first, *second], unwritten=unwritten)
    assert heard_differently(lines, [*first, *second[:-1]], unwritten=unwritten)


def test_a_message_that_leaves_something_out_is_not_taken_for_all() -> None:
    message = sent(11.0, "p1", INACTIVE, ACTIVE)
    message.body["message"] += "\nand 3 more"
    assert heard_differently(BEGUN_AND_OVER, [message])
