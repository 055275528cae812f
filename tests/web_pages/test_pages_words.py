from __future__ import annotations

from typing import Any

import pytest
from pages_fakes import FakeSource, station_state, venue_view

from exporter.model import Event, Kind, Reason
from exporter.web import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (3660, "1 h 1 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 day"),
        (90_000, "1 day 1 h"),
        (8 * 86_400 + 7200, "8 days"),
        (1000 * 86_400, "1,000 days"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("wall", "text"),
    [(0.0, "1970-01-01T00:00:00Z"), (-1e18, "0001-01-01T00:00:00Z"), (1e18, "9999-12-31T23:59:59Z")],
)
def test_any_time_can_be_written(wall: float, text: str) -> None:
    assert words.iso(wall) == text


@pytest.mark.parametrize(
    ("event", "details", "text"),
    [
        (Event.STATION_DEACTIVATED, {"previous_for_seconds": 7200.0}, "disabled in Clopos, was active for 2 h"),
        (Event.STATION_ACTIVATED, {"previous_for_seconds": 300.0}, "active again after 5 min"),
        (Event.STATION_ACTIVATED, {}, "active again"),
        (Event.STATION_FOUND_INACTIVE, {}, "found disabled in Clopos"),
        (Event.STATION_RENAMED, {"previous": "Old"}, "renamed, was “Old”"),
        (Event.STATION_KIND_CHANGED, {"previous": "other"}, "is now kitchen, was other"),
        (Event.STATION_KIND_CHANGED, {"previous": 7}, "is now kitchen, was of unknown kind"),
        (Event.VENUE_LOST, {"reason": "gateway_timeout"}, "no data: Clopos takes too long"),
        (Event.VENUE_LOST, {"reason": "of a later version"}, "no data: the reason is not known"),
        (Event.VENUE_RECOVERED, {"down_for_seconds": 61.0}, "data again after 1 min"),
        (Event.BRAND_LOGIN_FAILED, {"reason": "credentials"}, "login fails: Clopos refuses the credentials"),
    ],
)
def test_what_happened(event: Event, details: dict[str, Any], text: str) -> None:
    source = FakeSource()
    one = station_state("1", "Grill")
    source.tell(event, 10.0, venue_view("7", one), one, **details)
    assert words.happened(source.journal()[0]) == text


def test_every_event_every_reason_and_every_kind_has_words_and_none_says_offline() -> None:
    source = FakeSource()
    for event in Event:
        source.tell(event, 10.0, None, None, reason="tls", previous="kitchen")
    said = [words.happened(entry) for entry in source.journal(limit=100)]
    said += [words.reason(reason.value) for reason in Reason] + [words.KINDS[kind] for kind in Kind]
    assert len(set(said)) == len(Event) + len(Reason) + len(Kind)
    assert not any(word in " ".join(said).lower() for word in ("offline", "down "))


def test_counts_and_times() -> None:
    assert words.count(1, "venue") == "1 venue"
    assert words.count(1200, "venue") == "1,200 venues"
    assert [words.times(number) for number in (1, 2, 3)] == ["once", "twice", "3 times"]
