"""What a message says: what, where, since when, and what to do."""

from __future__ import annotations

from dataclasses import replace
from string import Formatter
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fakes import NOON, venue
from hypothesis import given
from hypothesis import strategies as st
from notify_fakes import incident

from exporter.i18n import LANGUAGES
from exporter.model import Incident, IncidentKind, Reason, Severity
from exporter.notify.messages import LISTED_STATIONS, LONGEST_NAME, Renderer
from exporter.notify.plan import Form, Notice
from exporter.notify.transport import MESSAGE_LENGTH, Message, Tone
from exporter.texts import REASONS, REMEDIES, TEXTS

BAKU = ZoneInfo("Asia/Baku")
NOW = NOON + 150.0
DAY = 86_400.0
ENGLISH = Renderer("en", lambda _: BAKU)


def one(notice: Notice, renderer: Renderer = ENGLISH, now: float = NOW) -> Message:
    return renderer.render([notice], now, MESSAGE_LENGTH)


def many(*notices: Notice, renderer: Renderer = ENGLISH) -> Message:
    return renderer.render(notices, NOW, MESSAGE_LENGTH)


def stations(count: int, form: Form = Form.FIRING) -> list[Notice]:
    return [Notice(form, incident(station=f"Station {n}", station_id=str(n)), NOW) for n in range(count)]


@pytest.mark.parametrize(
    ("language", "title"),
    [
        ("en", "Mətbəx has been inactive since 12:00, Gəncə"),
        ("az", "“Mətbəx” stansiyası 12:00 vaxtından bəri söndürülüb, Gəncə"),
        ("ru", "Станция «Mətbəx» отключена с 12:00, Gəncə"),
        ("uz", "“Mətbəx” stansiyasi 12:00 dan beri oʻchirilgan, Gəncə"),
    ],
)
def test_a_lock_screen_shows_what_where_and_since_when_in_local_time(language: str, title: str) -> None:
    assert one(Notice(Form.FIRING, incident()), Renderer(language, lambda _: BAKU)).title == title


@pytest.mark.parametrize(
    ("language", "title", "body"),
    [
        (
            "en",
            "Mətbəx was inactive from 12:00 or earlier to 12:20, Gəncə",
            "It lasted at least 20 min and was over",
        ),
        ("az", "ən azı 12:00", "ən azı 20 dəq"),
        ("ru", "с 12:00 или раньше до 12:20", "не менее 20 мин"),
        ("uz", "kamida 12:00 dan", "kamida 20 daq"),
    ],
)
def test_what_was_inactive_when_it_was_first_seen_is_so_since_then_or_earlier(
    language: str, title: str, body: str
) -> None:
    found = replace(incident(), details={"since_at_least": NOON})
    message = one(Notice(Form.PAST, found, NOON + 1200.0, "active again"), Renderer(language, lambda _: BAKU))
    assert title in message.title
    assert body in message.body


def test_the_rest_says_what_it_means_and_what_to_do() -> None:
    body = one(Notice(Form.FIRING, incident())).body
    assert "do not reach the kitchen" in body
    assert "in the Clopos back office, under stations" in body


def test_a_resolved_incident_says_how_long_it_lasted() -> None:
    message = one(Notice(Form.RESOLVED, incident(), NOON + 5400.0, "active again"), now=NOON + 5460.0)
    assert message == Message("Mətbəx is active again, Gəncə", "From 12:00 to 13:30: 90 min.", Tone.SUCCESS)


@pytest.mark.parametrize(("seconds", "lasted"), [(0.0, "1 sec"), (7.0, "7 sec"), (117.0, "1 min"), (120.0, "2 min")])
def test_a_duration_is_in_seconds_below_a_minute_and_else_rounded_down(seconds: float, lasted: str) -> None:
    message = one(Notice(Form.RESOLVED, incident(), NOON + seconds, "active again"), now=NOON + 200.0)
    assert message.body.endswith(f": {lasted}.")


def test_what_was_over_before_anybody_knew_is_reported_as_past() -> None:
    message = one(Notice(Form.PAST, incident(), NOON + 1200.0, "active again"), now=NOON + 5000.0)
    assert message.title == "Mətbəx was inactive from 12:00 to 12:20, Gəncə"
    assert message.body == "It lasted 20 min and was over before this message could be sent."


def test_a_reminder_says_that_it_is_one() -> None:
    assert one(Notice(Form.REMINDER, incident())).title == "Reminder: Mətbəx has been inactive since 12:00, Gəncə"


@pytest.mark.parametrize(
    ("ended", "title"),
    [
        ("removed", "Mətbəx was removed from Clopos, Gəncə"),
        ("ignored", "Mətbəx is left out of the alerts now, Gəncə"),
        ("retired", "Mətbəx has been inactive for a long time and is no longer reported, Gəncə"),
    ],
)
def test_no_all_clear_is_given_for_a_station_that_is_still_inactive(ended: str, title: str) -> None:
    message = one(Notice(Form.RESOLVED, incident(), NOW, ended))
    assert (message.title, message.body) == (title, "There will be no more messages about it.")


def test_no_all_clear_is_given_for_a_venue_whose_stations_are_left_out() -> None:
    whole = incident(IncidentKind.VENUE_NO_ACTIVE_STATION, station=None, station_id=None)
    title = one(Notice(Form.RESOLVED, whole, NOW, "ignored")).title
    assert title == "No longer reported: All stations of Gəncə have been inactive since 12:00"


def test_a_venue_of_which_no_station_is_ready_is_one_sentence() -> None:
    whole = incident(IncidentKind.STATION_NOT_READY, station=None, station_id=None)
    assert one(Notice(Form.FIRING, whole)).title == "All stations are still inactive shortly before opening, Gəncə"


def test_a_time_of_another_day_has_its_date_and_one_of_another_year_that_too() -> None:
    assert "since Jan 14 12:00" in one(Notice(Form.FIRING, incident(seconds=-DAY))).title
    assert "since Dec 31, 2026 12:00" in one(Notice(Form.FIRING, incident(seconds=-15 * DAY))).title


def test_a_time_without_a_time_zone_says_that_it_is_utc() -> None:
    assert "since 08:00 UTC" in one(Notice(Form.FIRING, incident()), Renderer()).title


def test_a_station_is_inactive_since_it_was_switched_and_not_since_somebody_had_to_know() -> None:
    known = incident(details={"since": NOON - 3600.0})
    assert "since 11:00" in one(Notice(Form.FIRING, known)).title


def test_a_clock_that_was_put_back_is_reported_as_the_wall_clock_showed_it() -> None:
    berlin = Renderer("en", lambda _: ZoneInfo("Europe/Berlin"))
    before, after = 1_792_886_400.0 + 1800.0, 1_792_886_400.0 + 5400.0  # 2026-10-25 00:30 and 01:30 UTC
    night = incident(began_at=before)
    assert one(Notice(Form.RESOLVED, night, after), berlin, after).body == "From 02:30 to 02:30: 60 min."


def test_a_venue_is_named_with_its_brand_where_a_channel_has_several() -> None:
    assert one(Notice(Form.FIRING, incident()), Renderer(show_brand=True)).title.endswith("Gəncə (tandir-group)")


def test_names_are_shown_as_they_are_except_for_what_steers_a_screen() -> None:
    odd = incident(station="<b>Grill & *Bar* 👩‍🍳\n\u202eevil\ud800</b>", venue=venue(name="{station}"))
    assert (
        one(Notice(Form.FIRING, odd)).title
        == "<b>Grill & *Bar* 👩‍🍳  evil </b> has been inactive since 12:00, {station}"
    )


def test_a_name_without_end_is_cut() -> None:
    title = one(Notice(Form.FIRING, incident(station="x" * 1_000_000))).title
    assert title.startswith("x" * LONGEST_NAME + "… has been inactive")


GONE = {"venue": None, "station": None, "station_id": None}


def of_service(kind: IncidentKind, reason: str = "", message: str = "", **fields: Any) -> Incident:
    details = {"reason": reason, "message": message} if reason else {}
    return incident(kind, **{**GONE, "details": details, **fields})


UNREACHABLE = of_service(IncidentKind.BRAND_UNREACHABLE, "gateway", "Service unavailable (HTTP 503)")


@pytest.mark.parametrize(
    ("about", "title", "cause", "remedy"),
    [
        (
            UNREACHABLE,
            "Clopos has been unreachable since 12:00, tandir-group",
            "Reason: Service unavailable (HTTP 503), for 12 min.",
            "ask Clopos if it lasts",
        ),
        (
            of_service(IncidentKind.BRAND_UNREACHABLE, "connection", "h:80 cannot be reached: Connection refused"),
            "Clopos has been unreachable since 12:00, tandir-group",
            "Reason: h:80 cannot be reached: Connection refused, for 12 min.",
            "Check base_url, the network, its DNS",
        ),
        (
            of_service(IncidentKind.LOGIN_FAILING, "credentials", "Invalid client (HTTP 401)"),
            "Login to Clopos has been failing since 12:00, tandir-group",
            "Reason: Invalid client (HTTP 401), for 12 min.",
            "Check client_id, client_secret and brand",
        ),
        (
            of_service(IncidentKind.VENUE_DATA_STALE, "forbidden", "Forbidden (HTTP 403)", venue=venue()),
            "No data from Clopos since 12:00, Gəncə",
            "Reason: Forbidden (HTTP 403), for 12 min.",
            "the right to read stations and venues",
        ),
        (
            of_service(IncidentKind.STATE_UNAVAILABLE, details={"message": "disk full."}),
            "The state has not been writable since 12:00",
            "Reason: disk full, for 12 min.",
            "Look at the disk",
        ),
        (
            of_service(IncidentKind.TOKEN_EXPIRING, details={"expires_at": NOON + 3600.0}),
            "The token for Clopos expires soon, tandir-group",
            "It expires 13:00.",
            "Supply a new token",
        ),
        (
            of_service(IncidentKind.CLOCK_SKEW, details={"seconds": -95}),
            "The clock of the exporter has been wrong since 12:00",
            "It is 1 min ahead.",
            "Synchronise the clock",
        ),
    ],
)
def test_those_who_run_the_service_read_the_cause_in_their_words_and_what_to_do(
    about: Incident, title: str, cause: str, remedy: str
) -> None:
    message = one(Notice(Form.FIRING, about), now=NOON + 720.0)
    assert message.title == title
    assert message.body.splitlines()[0] == cause
    assert remedy in message.body
    assert "by hand" not in message.body
    assert "yourself" not in message.body


def test_what_is_said_of_one_brand_beside_another_is_not_taken_for_both() -> None:
    body = many(Notice(Form.FIRING, incident(brand="other")), Notice(Form.FIRING, UNREACHABLE)).body.splitlines()
    assert "Switch stations on in the Clopos back office" in body[-3]
    assert body[-1] == "Where Clopos cannot be read, nobody is notified of stations that are inactive."


def test_causes_are_listed_with_their_brands_and_a_common_remedy_once() -> None:
    both = [Notice(Form.FIRING, replace(UNREACHABLE, brand=brand)) for brand in ("a", "b")]
    assert many(*both).body.splitlines() == [
        "• Clopos has been unreachable since 12:00, a",
        "Reason: Service unavailable (HTTP 503), for 2 min.",
        "• Clopos has been unreachable since 12:00, b",
        "Reason: Service unavailable (HTTP 503), for 2 min.",
        "Clopos has a fault of its own, nothing was refused: ask Clopos if it lasts. The exporter keeps trying.",
        "Where Clopos cannot be read, nobody is notified of stations that are inactive.",
    ]


def test_every_reason_has_words_and_a_remedy_where_somebody_can_do_something() -> None:
    assert set(REASONS) == set(Reason)
    assert {reason for reason in Reason if reason.is_configuration} < set(REMEDIES)


def test_several_stations_of_a_venue_are_counted_and_listed() -> None:
    message = many(*stations(3))
    assert message.title == "3 stations are inactive, Gəncə"
    assert message.body.splitlines() == [
        "• Station 0 has been inactive since 12:00, Gəncə",
        "• Station 1 has been inactive since 12:00, Gəncə",
        "• Station 2 has been inactive since 12:00, Gəncə",
        "Switch stations on in the Clopos back office, under stations. If some are meant to be inactive, tell IT.",
    ]


def test_at_most_fifteen_are_listed_and_the_rest_counted() -> None:
    body = many(*stations(200)).body.splitlines()
    assert sum(line.startswith("•") for line in body) == LISTED_STATIONS
    assert "and 185 more" in body


def test_stations_that_are_active_again_are_counted_too() -> None:
    assert many(*stations(2, Form.RESOLVED)).title == "2 stations are active again, Gəncə"


def test_news_of_different_kinds_is_counted_apart() -> None:
    other = Notice(Form.FIRING, incident(IncidentKind.LOGIN_FAILING, venue=None, station=None))
    message = many(*stations(2), *stations(1, Form.RESOLVED), *stations(1, Form.REMINDER), other)
    assert message.title == "3 new problems, 1 problem continues, 1 problem is over, tandir-group"
    assert message.tone is Tone.FAILURE


def test_what_is_most_urgent_comes_first() -> None:
    later = Notice(Form.FIRING, incident(station="Bar", station_id="8", severity=Severity.WARNING, seconds=-60.0))
    over = Notice(Form.RESOLVED, incident(station="Grill", station_id="9", seconds=-600.0), NOW)
    lines = many(over, later, *stations(1)).body.splitlines()
    assert [line.split()[1] for line in lines[:3]] == ["Station", "Bar", "Grill"]


def test_a_station_that_is_inactive_again_does_not_seem_to_be_active() -> None:
    over = Notice(Form.RESOLVED, incident(seconds=-600.0), NOW - 300.0, "active again")
    lines = many(over, *stations(1), Notice(Form.FIRING, incident())).body.splitlines()
    assert lines[:3] == [
        "• Station 0 has been inactive since 12:00, Gəncə",
        "• Mətbəx is active again, Gəncə",
        "• Mətbəx has been inactive since 12:00, Gəncə",
    ]


def test_the_stations_behind_a_grouped_incident_are_listed_by_venue() -> None:
    members = tuple((str(n // 10), str(n)) for n in range(20))
    grouped = incident(IncidentKind.MANY_VENUES_INACTIVE, venue=None, station=None, members=members)
    named = Renderer("en", lambda _: BAKU, names=lambda _, venue_id, id_: (f"Venue {venue_id}", f"Station {id_}"))
    lines = one(Notice(Form.FIRING, grouped), named).body.splitlines()
    assert lines[0] == "• Venue 0: " + ", ".join(f"Station {n}" for n in range(10))
    assert lines[1:3] == ["• Venue 1: Station 10, Station 11, Station 12, Station 13, Station 14", "and 5 more"]


@pytest.mark.parametrize(
    ("language", "title"),
    [
        ("en", "Test: Test kitchen has been inactive since 12:00, Test venue"),
        ("az", "Test: “Test mətbəxi” stansiyası 12:00 vaxtından bəri söndürülüb, Test restoranı"),
        ("ru", "Проверка: Станция «Тестовая кухня» отключена с 12:00, Тестовый ресторан"),
        ("uz", "Sinov: “Sinov oshxonasi” stansiyasi 12:00 dan beri oʻchirilgan, Sinov restorani"),
    ],
)
def test_a_test_message_looks_like_a_real_one_and_says_that_it_is_a_test(language: str, title: str) -> None:
    message = Renderer(language, lambda _: BAKU).test("shift", "tandir-group", NOON + 120.0, resolved=False)
    assert message.title == title
    assert "shift" in message.body


def test_a_test_of_the_end_says_that_all_is_well() -> None:
    message = ENGLISH.test("shift", "tandir-group", NOW, resolved=True)
    assert message.title == "Test: Test kitchen is active again, Test venue"
    assert message.tone is Tone.SUCCESS


def test_every_kind_has_its_texts_and_they_use_only_what_there_is() -> None:
    known = {"station", "venue", "brand", "channel", "since", "until"}
    assert TEXTS.keys() == set(IncidentKind)
    for texts in TEXTS.values():
        for text in (texts.firing, texts.resolved, texts.past):
            assert {name for _, name, _, _ in Formatter().parse(text) if name} <= known
        assert "{" not in texts.advice


@given(
    st.sampled_from(LANGUAGES),
    st.lists(
        st.builds(
            Notice,
            st.sampled_from(Form),
            st.builds(
                incident,
                st.sampled_from(IncidentKind),
                station=st.text(st.characters(codec=None), max_size=300) | st.none(),
                members=st.lists(st.tuples(st.text(), st.text()), max_size=20).map(tuple),
            ),
            st.just(NOW),
            st.sampled_from(["active again", "closed", "ignored", "removed"]),
        ),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from([140, 1000, MESSAGE_LENGTH]),
)
def test_any_message_fits_and_can_be_encoded(language: str, notices: list[Notice], length: int) -> None:
    message = Renderer(language).render(notices, NOW, length)
    assert message.title
    whole = f"{message.title}\r\n{message.body}"
    whole.encode()
    assert len(whole.encode("utf-16-le")) // 2 <= length
