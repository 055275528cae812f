from __future__ import annotations

import re
from math import inf
from pathlib import Path

import pytest
from fakes import NOON, snapshot, station, venue
from hypothesis import given
from hypothesis import strategies as st

from exporter.changes import advance
from exporter.model import Incident, IncidentKind, Opening, Severity, VenueState
from exporter.scheduling.weights import (
    CLOSED,
    LONGEST,
    OPEN,
    OPENING_SOON,
    RECENT_CHANGE,
    URGENT,
    URGENT_SHARE,
    intervals,
    weight,
)

IS_OPEN = Opening(is_open=True, next_open=None, next_close=NOON + 3600)


def closed(seconds: float) -> Opening:
    """Return the opening of a venue that opens in so many seconds."""
    return Opening(is_open=False, next_open=NOON + seconds, next_close=None)


def incident(kind: IncidentKind) -> Incident:
    return Incident(kind, Severity.WARNING, "tandir-group", NOON)


@pytest.fixture
def state() -> VenueState:
    return advance(VenueState(venue()), snapshot(station()))[0]


@pytest.mark.parametrize(
    ("opening", "expected"),
    [
        (None, OPEN),
        (IS_OPEN, OPEN),
        (closed(1800), OPEN),
        (closed(1801), CLOSED),
        (Opening(is_open=False, next_open=None, next_close=None), CLOSED),
    ],
    ids=["no hours", "open", "opens in half an hour", "opens later", "never opens"],
)
def test_the_weight_of_a_quiet_venue_follows_from_its_hours(
    state: VenueState, opening: Opening | None, expected: float
) -> None:
    assert weight(state, opening, NOON) == expected


def test_a_venue_that_was_never_read_counts_as_open() -> None:
    assert weight(VenueState(venue()), None, NOON) == OPEN


def test_a_venue_is_urgent_for_ten_minutes_after_a_change(state: VenueState) -> None:
    changed, _ = advance(state, snapshot(station(active=False), seconds=60))
    assert weight(changed, IS_OPEN, NOON + 60) == URGENT
    assert weight(changed, IS_OPEN, NOON + 659) == URGENT
    assert weight(changed, IS_OPEN, NOON + 660) == OPEN


def test_a_venue_with_an_incident_of_a_station_is_urgent_and_one_that_is_lost_is_not() -> None:
    lost = VenueState(venue(), incidents={"stale": incident(IncidentKind.VENUE_DATA_STALE)})
    assert weight(lost, IS_OPEN, NOON) == OPEN
    off = VenueState(venue(), incidents={"1": incident(IncidentKind.KITCHEN_STATION_INACTIVE)})
    assert weight(off, IS_OPEN, NOON) == URGENT


def test_equal_weights_make_the_even_interval() -> None:
    assert intervals({OPEN: 300}, 4.0, 30.0, 300.0) == {OPEN: pytest.approx(75)}
    assert intervals({CLOSED: 300}, 4.0, 30.0, 300.0) == {CLOSED: pytest.approx(75)}
    assert intervals({OPEN: 10, CLOSED: 50}, 4.0, 30.0, 300.0) == {OPEN: 30.0, CLOSED: 30.0}


def test_what_closed_venues_do_not_need_the_open_ones_get() -> None:
    found = intervals({OPEN: 100, CLOSED: 200}, 4.0, 5.0, inf)
    assert found == {OPEN: pytest.approx(30), CLOSED: pytest.approx(300)}


def test_no_venue_waits_longer_than_the_longest_interval() -> None:
    found = intervals({OPEN: 100, CLOSED: 200}, 4.0, 5.0, 150.0)
    assert found == {OPEN: pytest.approx(100 / (4 - 200 / 150)), CLOSED: pytest.approx(150)}


def test_the_quota_may_force_more_than_the_longest_interval() -> None:
    assert intervals({OPEN: 100, CLOSED: 900}, 1.0, 30.0, 150.0) == {
        OPEN: pytest.approx(1000),
        CLOSED: pytest.approx(1000),
    }


def test_a_few_urgent_venues_are_polled_four_times_as_often() -> None:
    found = intervals({OPEN: 297, URGENT: 3}, 4.0, 5.0, 150.0)
    assert found[URGENT] * 4 == pytest.approx(found[OPEN])


def test_many_urgent_venues_take_a_quarter_of_the_quota_at_the_most() -> None:
    found = intervals({OPEN: 250, URGENT: 50}, 4.0, 5.0, 150.0)
    assert 50 / found[URGENT] == pytest.approx(1.0)
    assert found[OPEN] == pytest.approx(250 / 3)


def test_where_most_venues_are_urgent_none_is_polled_less_often_than_the_others() -> None:
    found = intervals({OPEN: 10, URGENT: 290}, 4.0, 5.0, 150.0)
    assert found == {OPEN: pytest.approx(75), URGENT: pytest.approx(75)}


@given(
    requests=st.dictionaries(st.sampled_from([CLOSED, OPEN, URGENT]), st.integers(1, 1000), min_size=1),
    budget=st.floats(0.05, 50.0),
    shortest=st.sampled_from([1.0, 30.0]),
    stale_after=st.sampled_from([60.0, 300.0, 3600.0]),
)
def test_the_quota_is_kept_and_used_and_every_bound_holds(
    requests: dict[float, float], budget: float, shortest: float, stale_after: float
) -> None:
    even = max(shortest, sum(requests.values()) / budget)
    longest = max(even, min(LONGEST * even, stale_after / 2))
    found = intervals(requests, budget, shortest, longest)
    used = sum(number / found[weight] for weight, number in requests.items())
    assert used <= budget * 1.000001
    assert used >= budget * 0.999 or max(found.values()) <= shortest * 1.000001 or even == shortest
    assert all(shortest * 0.999999 <= interval <= longest * 1.000001 for interval in found.values())
    assert [found[weight] for weight in sorted(found)] == pytest.approx(sorted(found.values(), reverse=True))
    if URGENT in found and OPEN in found and found[URGENT] < found[OPEN] * 0.999:
        assert requests[URGENT] / found[URGENT] <= URGENT_SHARE * budget * 1.000001


def test_the_documentation_has_the_weights() -> None:
    text = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()
    rows = re.findall(r"^\| (closed|open|with a pending).* \| ([\d.]+) \|$", text, re.MULTILINE)
    assert rows == [("closed", f"{CLOSED:g}"), ("open", f"{OPEN:g}"), ("with a pending", f"{URGENT:g}")]
    assert f"within {OPENING_SOON / 60:g} minutes" in text
    assert f"the last {RECENT_CHANGE / 60:g} minutes" in text
    assert f"{LONGEST:g} times the even interval" in text
