from __future__ import annotations

from datetime import date, datetime, timedelta
from math import inf
from types import MappingProxyType
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.hours import IgnoreRule, end_of, expires, ignored, next_ignore_change, parse
from exporter.model import Kind, Opening, Station, StationState

WEEKDAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")


def at(text: str, zone: str = "Asia/Baku", fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def test_a_night_past_midnight_is_one_opening() -> None:
    hours = parse("Mo-Su 10:00-02:00", "Asia/Baku")
    expected = Opening(is_open=True, next_open=at("2026-11-24T10:00"), next_close=at("2026-11-24T02:00"))
    assert hours.at(at("2026-11-23T10:00")) == expected
    assert hours.at(at("2026-11-24T01:59:59")) == expected


def test_a_closed_venue_knows_its_next_evening() -> None:
    hours = parse("Fr-Su 12:00-04:00", "Asia/Baku")
    assert hours.at(at("2026-11-24T04:00")) == (False, at("2026-11-27T12:00"), at("2026-11-28T04:00"))


def test_a_venue_that_never_closes_has_no_next_change() -> None:
    opening = parse("24/7").at(at("2026-11-23T10:00"))
    assert opening == (True, None, None)
    assert expires(opening) == inf


def test_a_venue_that_never_opens_has_no_next_change() -> None:
    assert parse("off").at(at("2026-11-23T10:00")) == (False, None, None)


def test_a_season_that_is_over_stays_closed() -> None:
    assert parse("2025 Jun-Aug 10:00-20:00").at(at("2026-11-23T10:00")) == (False, None, None)


def test_without_a_time_zone_hours_are_utc() -> None:
    assert parse("10:00-11:00").at(at("2026-11-23T10:30", "UTC")).is_open


def test_an_off_day_spares_the_night_before_and_takes_its_own() -> None:
    hours = parse('Mo-Su 10:00-02:00; Nov 24 off "wedding"', "Asia/Baku")
    assert hours.at(at("2026-11-24T01:00")).is_open
    assert hours.at(at("2026-11-24T02:00")) == (False, at("2026-11-25T10:00"), at("2026-11-26T02:00"))


def test_shorter_hours_on_one_day_spare_the_night_before() -> None:
    hours = parse("Mo-Th 10:00-23:00; Fr-Sa 10:00-02:00; Su 12:00-22:00", "Asia/Baku")
    assert hours.at(at("2026-11-29T01:00")) == (True, at("2026-11-29T12:00"), at("2026-11-29T02:00"))
    assert hours.at(at("2026-11-29T12:00")).next_close == at("2026-11-29T22:00")


def test_a_pause_in_one_day_is_a_pause_and_no_more() -> None:
    hours = parse("Mo-Su 10:00-02:00; Tu 15:00-17:00 off", "Asia/Baku")
    assert hours.at(at("2026-11-24T14:00")) == (True, at("2026-11-24T17:00"), at("2026-11-24T15:00"))
    assert hours.at(at("2026-11-25T01:00")).is_open


def test_a_leap_day_is_found_years_ahead() -> None:
    hours = parse("Feb 29 10:00-12:00", "Asia/Baku")
    assert hours.at(at("2026-03-01T00:00")) == (False, at("2028-02-29T10:00"), at("2028-02-29T12:00"))
    assert hours.at(at("2028-02-29T11:00")).is_open


def test_the_night_the_clock_goes_back_closes_once_and_the_first_time() -> None:
    hours = parse("Mo-Su 10:00-02:30", "Europe/Berlin")
    closing = at("2026-10-25T02:30", "Europe/Berlin", fold=0)
    assert hours.at(at("2026-10-24T12:00", "Europe/Berlin")).next_close == closing
    for fold, time in ((0, "02:45"), (1, "02:15"), (1, "02:45")):
        assert not hours.at(at(f"2026-10-25T{time}", "Europe/Berlin", fold)).is_open
    assert hours.at(closing).next_open == at("2026-10-25T10:00", "Europe/Berlin")


def test_the_night_the_clock_goes_forward_lasts_as_long_as_any() -> None:
    hours = parse("Mo-Su 20:00-02:30", "Europe/Berlin")
    opened = at("2026-03-28T20:00", "Europe/Berlin")
    assert hours.at(opened).next_close == opened + 6.5 * 3600
    assert hours.at(opened + 6.4 * 3600).is_open
    assert hours.at(opened + 6.5 * 3600).next_open == at("2026-03-29T20:00", "Europe/Berlin")


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("Mo-Su 10-02", "'Mo-Su 10-02' is not in opening_hours syntax, from '10-02' on"),
        ("24/24", "'24/24' is not in opening_hours syntax, from '24/24' on"),
        ("", "'' is not in opening_hours syntax"),
        (
            "10:00-22:00; PH off",
            "'PH' in '10:00-22:00; PH off' needs a calendar of holidays: write the dates, as 'Jan 1 off'",
        ),
        ("sunrise-22:00", "'sunrise' in 'sunrise-22:00' needs the venue's position: write a clock time, as '18:00'"),
        ("Mo unknown", "'unknown' in 'Mo unknown' is neither open nor closed: choose one"),
    ],
)
def test_a_mistake_is_named_in_one_sentence(expression: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole sentence is compared
        parse(expression)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", ["", "Asia", "Asia/Bakuu", "/etc/localtime", "../UTC", "Asia/Baku\0"])
def test_a_time_zone_that_is_none_is_named(name: str) -> None:
    with pytest.raises(ValueError, match="is not an IANA time zone such as 'Asia/Baku'"):
        parse("24/7", name)


@given(
    st.lists(
        st.none() | st.tuples(st.integers(6, 20), st.integers(21, 30)),  # opens at six or later, closes by six
        min_size=7,
        max_size=7,
    ),
    st.permutations(range(7)),
)
def test_every_half_hour_of_a_week_agrees_with_its_table(table: list[tuple[int, int] | None], order: list[int]) -> None:
    rules = [f"{WEEKDAYS[day]} {f'{row[0]:02}:00-{row[1]:02}:00' if (row := table[day]) else 'off'}" for day in order]
    hours = parse("; ".join(rules), "Asia/Baku")
    monday = at("2026-11-23T00:00")
    for half in range(7 * 48):
        day, hour = divmod(half / 2, 24)
        rows = ((table[int(day)], hour), (table[int(day) - 1], hour + 24))
        expected = any(row is not None and row[0] <= now < row[1] for row, now in rows)
        assert hours.at(monday + half * 1800).is_open is expected


@given(
    st.sampled_from(
        ["Mo-Su 10:00-02:30", "Mo-Su 02:30-08:00", "Fr 22:00-03:00; Sa off", "Mo 00:00-24:00", "10:00-10:00"]
    ),
    st.sampled_from(["Europe/Berlin", "Asia/Baku", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    st.floats(at("2024-01-01"), at("2030-01-01")),
)
def test_what_is_announced_is_what_happens(expression: str, zone: str, wall: float) -> None:
    opening = parse(expression, zone).at(wall)
    until = expires(opening)
    if until == inf:
        return
    assert until > wall
    fresh = parse(expression, zone)
    assert fresh.at(until - 1).is_open is opening.is_open
    assert fresh.at(until).is_open is not opening.is_open


def test_an_answer_is_looked_up_once_and_a_clock_set_back_asks_anew() -> None:
    hours = parse("10:00-12:00", "UTC")
    noon = at("2026-11-23T12:00", "UTC")
    assert hours.at(noon) is hours.at(noon + 3600)
    assert hours.at(noon - 1).is_open


def test_hours_know_no_holiday_of_their_own() -> None:
    assert parse("Mo-Su 10:00-22:00", "Asia/Baku").at(at("2026-01-01T12:00")).is_open


def _station_state(key: str, name: str) -> StationState:
    return StationState(Station(key, name, Kind.KITCHEN, True, True, None, None), True, True, 0.0)  # noqa: FBT003


STATIONS = MappingProxyType({"1": _station_state("1", "Kitchen"), "2": _station_state("2", "Test printer")})


def test_stations_are_ignored_by_id_or_name() -> None:
    assert ignored(STATIONS, [IgnoreRule("Test printer")], 0) == {"2"}
    assert ignored(STATIONS, [IgnoreRule("1"), IgnoreRule("gone")], 0) == {"1"}
    assert ignored(STATIONS, [], 0) == frozenset()


def test_an_ignored_station_counts_again_when_its_last_day_is_over() -> None:
    rules = [IgnoreRule("1", end_of(date(2026, 12, 31), "Asia/Baku"))]
    midnight = at("2027-01-01T00:00")
    assert next_ignore_change(rules, midnight - 1) == midnight
    assert ignored(STATIONS, rules, midnight - 1) == {"1"}
    assert ignored(STATIONS, rules, midnight) == frozenset()
    assert next_ignore_change(rules, midnight) == inf


def test_a_day_ends_an_hour_late_when_the_clock_goes_back() -> None:
    begin = end_of(date(2026, 10, 24), "Europe/Berlin")
    assert end_of(date(2026, 10, 25), "Europe/Berlin") - begin == timedelta(hours=25).total_seconds()
