from __future__ import annotations

from datetime import date, datetime, timedelta
from math import inf
from types import MappingProxyType
from zoneinfo import ZoneInfo

from exporter.ignoring import IgnoreRule, end_of, ignored, next_ignore_change
from exporter.model import Kind, Station, StationState


def _station_state(key: str, name: str) -> StationState:
    return StationState(Station(key, name, Kind.KITCHEN, True, True, None, None), True, True, 0.0)  # noqa: FBT003


STATIONS = MappingProxyType({"1": _station_state("1", "Kitchen"), "2": _station_state("2", "Test printer")})


def test_stations_are_ignored_by_id_or_name() -> None:
    assert ignored(STATIONS, [IgnoreRule("Test printer")], 0) == {"2"}
    assert ignored(STATIONS, [IgnoreRule("1"), IgnoreRule("gone")], 0) == {"1"}
    assert ignored(STATIONS, [], 0) == frozenset()


def test_an_ignored_station_counts_again_when_its_last_day_is_over() -> None:
    rules = [IgnoreRule("1", end_of(date(2026, 12, 31), ZoneInfo("Asia/Baku")))]
    midnight = datetime(2027, 1, 1, tzinfo=ZoneInfo("Asia/Baku")).timestamp()
    assert next_ignore_change(rules, midnight - 1) == midnight
    assert ignored(STATIONS, rules, midnight - 1) == {"1"}
    assert ignored(STATIONS, rules, midnight) == frozenset()
    assert next_ignore_change(rules, midnight) == inf


def test_a_day_ends_an_hour_late_when_the_clock_goes_back() -> None:
    zone = ZoneInfo("Europe/Berlin")
    begin = end_of(date(2026, 10, 24), zone)
    assert end_of(date(2026, 10, 25), zone) - begin == timedelta(hours=25).total_seconds()
