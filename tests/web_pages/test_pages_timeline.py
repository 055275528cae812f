from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from pages_fakes import NOW, FakeSource, station_state, venue_view

from exporter.journal import Entry
from exporter.model import Event, StationState
from exporter.web.recent import RecentChanges
from exporter.web.timeline import SLOT_SECONDS, Span, day_history, marks, outage_spans, share_active, status_spans

DAY = 86_400.0
START = NOW - DAY
GRILL = station_state("1", "Grill", since=10 * DAY)
VIEW = venue_view("7", GRILL)


def entries(*recorded: tuple[Event, float, float | None]) -> list[Entry]:
    """Make entries, oldest first: the event, how long ago, and for how long it had been otherwise."""
    source = FakeSource()
    for event, ago, previous in recorded:
        details = {} if previous is None else {"previous_for_seconds": previous}
        source.record(event, ago, VIEW, GRILL, **details)
    return list(source.journal())


def spans(one: StationState, *recorded: tuple[Event, float, float | None]) -> list[tuple[float, float, bool | None]]:
    """Return the spans as seconds ago."""
    found = status_spans(one, entries(*recorded), START, NOW)
    return [(NOW - span.start, NOW - span.end, span.active) for span in found]


def test_a_station_that_never_changed_is_one_span() -> None:
    assert spans(GRILL) == [(DAY, 0, True)]


def test_before_we_first_saw_it_nothing_is_known() -> None:
    assert spans(station_state("1", since=600.0)) == [(DAY, 600, None), (600, 0, True)]


def test_a_station_switched_off_and_on() -> None:
    recorded = [(Event.STATION_DEACTIVATED, 900.0, DAY), (Event.STATION_ACTIVATED, 300.0, 600.0)]
    assert spans(station_state("1", since=300.0), *recorded) == [(DAY, 900, True), (900, 300, False), (300, 0, True)]


def switched(event: Event, ago: float, edited: float) -> Entry:
    """Make the entry of a switch that was seen `ago` and made in Clopos `edited` seconds ago."""
    source = FakeSource()
    source.record(event, ago, VIEW, station_state("1", since=edited))
    return source.journal()[0]


def test_a_status_holds_from_the_switch_in_clopos_on_not_from_when_it_was_seen() -> None:
    off, on = switched(Event.STATION_DEACTIVATED, 900.0, 925.0), switched(Event.STATION_ACTIVATED, 300.0, 320.0)
    one = station_state("1", since=320.0)
    assert [(NOW - span.start, span.active) for span in status_spans(one, [on, off], NOW - 1000.0, NOW)] == [
        (1000.0, None),
        (925.0, False),
        (320.0, True),
    ]


def test_an_edit_from_before_the_last_switch_is_not_the_time_of_this_one() -> None:
    off, on = switched(Event.STATION_DEACTIVATED, 900.0, 925.0), switched(Event.STATION_ACTIVATED, 300.0, 925.0)
    found = status_spans(station_state("1", since=300.0), [on, off], NOW - 950.0, NOW)
    assert [(NOW - span.start, span.active) for span in found] == [(950.0, None), (925.0, False), (300.0, True)]


def test_what_the_oldest_event_says_of_the_time_before_is_believed_that_far() -> None:
    assert spans(station_state("1", active=False, since=300.0), (Event.STATION_DEACTIVATED, 300.0, 1000.0)) == [
        (DAY, 1300, None),
        (1300, 300, True),
        (300, 0, False),
    ]


def test_a_station_found_inactive_was_not_known_before() -> None:
    found = (Event.STATION_FOUND_INACTIVE, 300.0, None)
    assert spans(station_state("1", active=False, since=300.0), found) == [(DAY, 300, None), (300, 0, False)]


def test_a_status_that_is_not_clear_is_the_last_clear_one() -> None:
    one = replace(GRILL, station=replace(GRILL.station, active=None))
    assert spans(one) == [(DAY, 0, True)]


def test_a_station_that_never_had_a_clear_status_is_unknown() -> None:
    assert spans(station_state("1", active=None, since=300.0)) == [(DAY, 0, None)]


def test_other_events_change_nothing() -> None:
    assert spans(GRILL, (Event.STATION_RENAMED, 300.0, None), (Event.STATION_TOUCHED, 200.0, None)) == [(DAY, 0, True)]


@given(
    st.lists(st.tuples(st.sampled_from(Event), st.floats(-100, 3 * DAY), st.none() | st.floats(0, 1e6)), max_size=12),
    st.floats(-100.0, 1e9),
    st.sampled_from([True, False, None]),
)
def test_any_journal_gives_a_whole_day_without_gaps(
    recorded: list[tuple[Event, float, float | None]],
    since: float,
    status: bool | None,  # noqa: FBT001 - drawn
) -> None:
    found = status_spans(station_state("1", active=status, since=since), entries(*recorded), START, NOW)
    assert (found[0].start, found[-1].end) == (START, NOW)
    for one, following in pairwise(found):
        assert one.start < one.end == following.start
        assert one.active is not following.active


def test_times_without_data() -> None:
    recorded = entries((Event.VENUE_LOST, 900.0, None), (Event.VENUE_RECOVERED, 600.0, None))
    assert outage_spans(recorded, START, NOW, ongoing=False) == [Span(NOW - 900, NOW - 600, None)]


def test_a_time_without_data_that_goes_on() -> None:
    assert outage_spans(entries((Event.VENUE_LOST, 60.0, None)), START, NOW, ongoing=True) == [
        Span(NOW - 60, NOW, None)
    ]


def test_a_time_without_data_that_began_before() -> None:
    assert outage_spans([], START, NOW, ongoing=True) == [Span(START, NOW, None)]
    recorded = entries((Event.VENUE_RECOVERED, 600.0, None))
    assert outage_spans(recorded, START, NOW, ongoing=False) == [Span(START, NOW - 600, None)]


def test_the_share_is_of_what_is_known() -> None:
    assert share_active([Span(0, 50, None), Span(50, 60, active=False), Span(60, 90, active=True)]) == 0.75
    assert share_active([Span(0, 50, None)]) is None


ROUND = NOW // SLOT_SECONDS * SLOT_SECONDS
"""The beginning of the last slot of the day."""


def slots(
    one: StationState, *recorded: tuple[Event, float, float | None], seen_at: float = NOW
) -> list[tuple[int, Any]]:
    """Return the slots of a venue with one station: how many follow each other, and how many stations are inactive."""
    return [(slot.count, slot.off) for slot in day_history([one], entries(*recorded), NOW, seen_at).slots]


def test_a_day_in_little_shows_every_slot_in_which_a_station_was_off() -> None:
    on = station_state("1", since=NOW - ROUND + 1700.0)
    recorded = [
        (Event.STATION_DEACTIVATED, NOW - ROUND + 1900.0, DAY),
        (Event.STATION_ACTIVATED, NOW - ROUND + 1700.0, 200.0),
    ]
    assert slots(on, *recorded) == [(45, 0), (2, 1), (1, 0)]
    assert day_history([on], entries(*recorded), NOW, NOW).times == 1


def test_a_day_in_little_knows_nothing_of_the_time_before_and_of_an_outage() -> None:
    young = station_state("1", since=NOW - ROUND + 3 * SLOT_SECONDS)
    assert slots(young) == [(44, None), (4, 0)]
    lost = [(Event.VENUE_LOST, NOW - ROUND + 2 * SLOT_SECONDS, None), (Event.VENUE_RECOVERED, NOW - ROUND, None)]
    assert slots(young, *lost) == [(44, None), (1, 0), (2, None), (1, 0)]
    assert slots(young, seen_at=ROUND - 1) == [(44, None), (3, 0), (1, None)]
    assert slots(young, seen_at=0.0) == [(48, None)]


def test_an_axis_has_marks_at_round_times_of_the_venue() -> None:
    baku = ZoneInfo("Asia/Baku")  # where it is 02:13
    midnight = NOW - (2 * 3600 + 13 * 60 + 20)
    expected = [midnight - 6 * 3600 * number for number in (3, 2, 1)]
    found = marks(START, NOW, timedelta(hours=6), baku)
    assert [mark.wall for mark in found] == expected
    assert [round(mark.place, 6) for mark in found] == [round((wall - START) / DAY, 6) for wall in expected]


def test_the_changes_of_the_last_day_are_read_once() -> None:
    source = FakeSource()
    source.record(Event.STATION_DEACTIVATED, 2 * DAY, VIEW, GRILL)
    for ago in (300.0, 200.0):
        source.record(Event.STATION_DEACTIVATED, ago, VIEW, GRILL)
    recent = RecentChanges(source.journal)
    assert [entry.observed_at for entry in recent.refresh(NOW)["tandir", "7"]] == [NOW - 200, NOW - 300]
    source.record(Event.STATION_ACTIVATED, 100.0, VIEW, GRILL)
    source.record(Event.STATION_RENAMED, 50.0, VIEW, GRILL)
    again = recent.refresh(NOW)["tandir", "7"]
    assert [entry.observed_at for entry in again] == [NOW - 100, NOW - 200, NOW - 300]
    assert not recent.refresh(NOW + 2 * DAY)
