from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pages_fakes import NOW, FakeSource, station_state, venue_view

from exporter.clock import iso
from exporter.i18n import LANGUAGES
from exporter.model import Event, Incident, IncidentKind, Kind, Reason, Severity
from exporter.web.assets import templates
from exporter.web.wording import SHOWN_EVENTS, wording_for

EN = wording_for("en")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 sec"),
        (0.4, "0 sec"),
        (59.4, "59 sec"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 hr"),
        (3660, "1 hr 1 min"),
        (86_399, "23 hr 59 min"),
        (86_400, "1 day"),
        (90_000, "1 day 1 hr"),
        (8 * 86_400 + 7200, "8 days"),
        (1000 * 86_400, "1,000 days"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert EN.duration(seconds) == text


@pytest.mark.parametrize(
    ("wall", "text"),
    [(0.0, "1970-01-01T00:00:00Z"), (-1e18, "0001-01-01T00:00:00Z"), (1e18, "9999-12-31T23:59:59Z")],
)
def test_any_time_can_be_written(wall: float, text: str) -> None:
    assert iso(wall, "seconds") == text


@pytest.mark.parametrize(
    ("event", "details", "text"),
    [
        (Event.STATION_DEACTIVATED, {"previous_for_seconds": 7200.0}, "inactive in Clopos, had been active for 2 hr"),
        (Event.STATION_ACTIVATED, {"previous_for_seconds": 300.0}, "active again, was inactive for 5 min"),
        (Event.STATION_ACTIVATED, {}, "active again"),
        (
            Event.STATION_ACTIVATED,
            {"previous_for_at_least_seconds": 300.0},
            "active again, was inactive for at least 5 min",
        ),
        (Event.STATION_FOUND_INACTIVE, {}, "found inactive in Clopos"),
        (Event.STATION_RENAMED, {"previous": "Old"}, "renamed, was “Old”"),
        (Event.STATION_KIND_CHANGED, {"previous": "other"}, "is now kitchen, was other"),
        (Event.STATION_KIND_CHANGED, {"previous": 7}, "is now kitchen, was of unknown kind"),
        (Event.VENUE_LOST, {"reason": "gateway_timeout", "down_for_seconds": 9.0}, "no data: Clopos takes too long"),
        (Event.VENUE_LOST, {"reason": "of a later version"}, "no data: the reason is not known"),
        (Event.VENUE_RECOVERED, {"down_for_seconds": 61.0}, "data again, after 1 min"),
        (Event.BRAND_LOGIN_FAILED, {"reason": "credentials"}, "login fails: Clopos refuses the credentials"),
        (Event.BRAND_LOGIN_FAILED, {"reason": "connection"}, "Clopos cannot be reached: no connection to Clopos"),
        (Event.BRAND_LOGIN_RECOVERED, {"reason": "gateway"}, "Clopos can be reached again"),
        (Event.BRAND_LOGIN_RECOVERED, {"reason": "token"}, "login works again"),
    ],
)
def test_what_happened(event: Event, details: dict[str, Any], text: str) -> None:
    source = FakeSource()
    one = station_state("1", "Grill")
    source.record(event, 10.0, venue_view("7", one), one, **details)
    assert EN.happened(source.journal()[0]) == text


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_event_every_reason_and_every_kind_has_words_and_none_says_offline(language: str) -> None:
    source, texts = FakeSource(), wording_for(language)
    for event in SHOWN_EVENTS:
        source.record(event, 10.0, None, None, reason="tls", previous="kitchen")
    said = [texts.happened(entry) for entry in source.journal()]
    said += [texts.reason(reason.value) for reason in Reason] + [texts.kind(kind) for kind in Kind]
    assert len(set(said)) == len(SHOWN_EVENTS) + len(Reason) + len(Kind)
    assert not any(word in " ".join(said).lower() for word in ("offline", "down ", "офлайн", "oflayn"))


def test_every_event_but_those_of_incidents_is_shown() -> None:
    assert {Event.INCIDENT_FIRING, Event.INCIDENT_RESOLVED} == frozenset(Event) - SHOWN_EVENTS


@pytest.mark.parametrize(
    ("language", "text"), [("en", "2 hr 5 min"), ("ru", "2 ч 5 мин"), ("az", "2 saat 5 dəq"), ("uz", "2 soat 5 daq")]
)
def test_durations_in_every_language(language: str, text: str) -> None:
    assert wording_for(language).duration(7500.0).replace("\xa0", " ").replace(".", "") == text


def test_a_time_is_that_of_the_venue_with_the_date_unless_it_is_today() -> None:
    baku = ZoneInfo("Asia/Baku")
    assert EN.clock(NOW, NOW, None) == "22:13 UTC"
    assert EN.clock(NOW, NOW, baku) == "02:13"
    assert EN.clock(NOW - 86_400, NOW, baku) == "Nov 14 02:13"


@pytest.mark.parametrize("language", ["en", "az", "ru", "uz"])
def test_a_command_in_an_advice_is_marked_as_code_so_that_it_is_not_broken(language: str) -> None:
    incident = Incident(IncidentKind.RELOAD_FAILED, Severity.CRITICAL, "", 0.0)
    advice = templates("/metrics", language).from_string("{{ advice(incident) }}").render(incident=incident)
    assert "<code>clopos-exporter check --offline</code>" in advice
    assert "<code>--config.file</code>" in advice
