from __future__ import annotations

import re
from datetime import datetime, timedelta
from math import inf
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opening_hours import OpeningHours

from exporter.hours import expires, parse
from exporter.model import Opening

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
    assert opening == Opening(is_open=True, next_open=None, next_close=None)
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


def test_two_days_off_in_one_rule_are_both_off() -> None:
    hours = parse("Mo-Su 10:00-02:00; Dec 24 off, Dec 25 off", "Asia/Baku")
    assert hours.at(at("2026-12-24T01:00")).is_open
    assert hours.at(at("2026-12-24T02:00")) == (False, at("2026-12-26T10:00"), at("2026-12-27T02:00"))


def test_a_day_off_does_not_cost_the_night_after_the_next_day_its_small_hours() -> None:
    hours = parse("Fr-Sa 10:00-05:00; Nov 24 off", "Asia/Baku")
    for year in range(2024, 2030):
        night = datetime(year, 11, 25, 3, tzinfo=ZoneInfo("Asia/Baku"))
        friday_or_saturday = (night - timedelta(days=1)).weekday() in (4, 5)
        assert hours.at(night.timestamp()).is_open is False, "the 24th does not take place"
        before = (night - timedelta(days=1)).timestamp()
        assert hours.at(before).is_open is ((night - timedelta(days=2)).weekday() in (4, 5))
        after = (night + timedelta(days=1)).timestamp()
        assert hours.at(after).is_open is (night.weekday() in (4, 5))
        assert friday_or_saturday in (True, False)


@pytest.mark.parametrize(
    ("expression", "time", "is_open"),
    [
        ("Mo-Su 10:00-02:00; Nov 24 00:00-01:00 off", "2026-11-24T00:30", False),
        ("Mo-Su 10:00-02:00; Nov 24 00:00-01:00 off", "2026-11-24T01:30", True),
        ("24/7; Nov 23 22:00-02:00 off", "2026-11-24T01:00", False),
        ("24/7; Nov 23 22:00-02:00 off", "2026-11-24T02:00", True),
        ("Mo 22:00-02:00 off; Mo-Su 10:00-04:00", "2026-11-24T01:00", True),
        ("Mo-Su 10:00-04:00; Mo 22:00-02:00 off; Mo 20:00-03:00", "2026-11-23T23:00", True),
        ("Mo 20:00-48:00", "2026-11-24T23:59", True),
        ("Mo 20:00-48:00", "2026-11-25T00:00", False),
        ("Mo-Su 10:00-02:00, Tu 03:00-04:00", "2026-11-24T01:00", True),
        ("Mo-Su 10:00-02:00, Tu 03:00-04:00", "2026-11-24T03:30", True),
        ("Mo-Su 10:00-02:00; Tu open", "2026-11-24T05:00", True),
    ],
)
def test_a_part_of_a_day_that_is_off_is_what_the_clock_says(expression: str, time: str, *, is_open: bool) -> None:
    assert parse(expression, "Asia/Baku").at(at(time)).is_open is is_open


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        (
            "Mo-Su 10-02",
            "'Mo-Su 10-02' is not in opening_hours syntax, from '10-02' on: write hours such as Mo-Su 10:00-02:00",
        ),
        ("24/24", "'24/24' is not in opening_hours syntax, from '24/24' on: write hours such as Mo-Su 10:00-02:00"),
        ("", "'' is not in opening_hours syntax: write hours such as Mo-Su 10:00-02:00"),
        (
            "10:00-22:00; PH off",
            "'PH' in '10:00-22:00; PH off' needs a calendar of holidays: write the dates, as 'Jan 1 off'",
        ),
        ("sunrise-22:00", "'sunrise' in 'sunrise-22:00' needs the venue's position: write a clock time, as '18:00'"),
        ("Mo unknown", "'unknown' in 'Mo unknown' is neither open nor closed: choose one"),
        (
            "Mo 10:00-12:00 || off",
            "'||' in 'Mo 10:00-12:00 || off' is not understood: write what holds on which days instead",
        ),
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
    parse.cache_clear()
    fresh = parse(expression, zone)
    assert fresh.at(until - 1).is_open is opening.is_open
    assert fresh.at(until).is_open is not opening.is_open


ZONES = ("UTC", "Asia/Baku", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe")

BY_THE_CLOCK = (
    "24/7",
    "off",
    "10:00-22:00",
    "Mo-Su 00:00-24:00",
    "Mo-Fr 08:00-12:00,13:00-18:00; Sa 10:00-14:00",
    "Mo,We,Fr 10:00-20:00",
    "Mo-Fr 08:00-12:00, We 14:00-18:00",
    "Mo-Su 10:00-22:00; Tu 15:00-17:00 off",
    "Mo-Su 10:00-22:00; Dec 24 off, Dec 25 off",
    "Mo-Su 10:00-22:00; Dec 24,Dec 25,Dec 31 off",
    "Mo-Su 10:00-22:00; Dec 24-26 off; Dec 25 12:00-15:00",
    "Apr-Oct Mo-Fr 10:00-20:00; Nov-Mar Sa-Su 12:00-18:00",
    "2026 Dec 24-2027 Jan 6 12:00-20:00",
    "2026 10:00-12:00; 2027 14:00-16:00",
    "week 1-53/2 Fr 09:00-12:00",
    "Mo[1] 10:00-12:00; Fr[-1] 14:00-18:00",
    "Mo-Su 10:00-20:00; easter off; easter +1 day 12:00-15:00",
    "24/7; Su off",
    "24/7; Mo 06:00-08:00 off",
    "Mo-Fr 10:00-20:00 open; We closed",
    "Feb 29 10:00-12:00",
    "Jan 1-Mar 31,Oct 1-Dec 31 10:00-16:00",
    "Sa-Mo 10:00-18:00; Su 12:00-16:00",
    'Mo-Su 10:00-16:00 "bar"; We 10:00-20:00',
)
"""Expressions in which nothing lasts past midnight: they mean what the library says."""

PAST_MIDNIGHT = (
    "Mo-Su 10:00-02:00",
    "Mo-Su 10:00-26:00",
    "Fr-Sa 10:00-05:00; Nov 24 off",
    "Mo-Su 10:00-02:00; Dec 24 off, Dec 25 off",
    "Mo-Th 10:00-23:00; Fr-Sa 10:00-03:00; Su 12:00-22:00",
    "Mo-Fr 11:00-15:00,18:00-01:00; Sa-Su 12:00-04:30; Jan 1-6 off",
    "Apr-Oct Fr-Su 18:00-06:00; Nov-Mar off",
    "Mo-Su 10:00-02:00; 2026 Dec 31 10:00-05:30; 2027 Jan 1 14:00-02:00",
    "Mo-Su 08:00-20:00, Fr-Sa 22:00-04:00; Dec 25 off",
    "Mo-Su 10:00-04:00; We 15:00-17:00 off; Th 22:00-24:00 off",
    "week 1-53/2 Fr 20:00-03:00; week 2-52/2 Fr off",
    "Fr[1] 20:00-06:00; Sa 10:00-18:00",
    "Mo-Su 10:00-03:00; easter off",
)
"""Expressions in which a day ends in the night, by six."""

LATEST = 6


def earlier(expression: str) -> str:
    """Put all times of an expression earlier, so that no day ends after midnight."""

    def moved(span: re.Match[str]) -> str:
        begin, end = int(span[1]) * 60 + int(span[2]), int(span[3]) * 60 + int(span[4])
        end += 1440 if end <= begin else 0
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (begin - LATEST * 60, end - LATEST * 60))

    return re.sub(r"(\d\d):(\d\d)-(\d\d):(\d\d)", moved, expression)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", [*BY_THE_CLOCK, *PAST_MIDNIGHT])
def test_hours_are_those_of_the_library_with_days_that_end_when_the_venue_closes(expression: str, zone: str) -> None:
    hours = parse(expression, zone)
    shift = timedelta(hours=LATEST if expression in PAST_MIDNIGHT else 0)
    library = OpeningHours(earlier(expression) if shift else expression)
    dice = Random(f"{expression} {zone}")  # noqa: S311 - the same minutes each time
    begin = at("2026-01-01T00:00", zone)
    for wall in sorted(begin + 60 * dice.randrange(2 * 366 * 1440) for _ in range(150)):
        local = datetime.fromtimestamp(wall, ZoneInfo(zone))
        if local.utcoffset() != datetime.fromtimestamp(wall - 86400, ZoneInfo(zone)).utcoffset():
            continue  # the nights in which the clock is changed have tests of their own
        assert hours.at(wall).is_open is library.is_open(local.replace(tzinfo=None) - shift), local


def test_an_answer_is_looked_up_once_and_a_clock_set_back_asks_anew() -> None:
    hours = parse("10:00-12:00", "UTC")
    noon = at("2026-11-23T12:00", "UTC")
    assert hours.at(noon) is hours.at(noon + 3600)
    assert hours.at(noon - 1).is_open


def test_hours_know_no_holiday_of_their_own() -> None:
    assert parse("Mo-Su 10:00-22:00", "Asia/Baku").at(at("2026-01-01T12:00")).is_open
