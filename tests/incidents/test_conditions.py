from __future__ import annotations

from dataclasses import replace

from history import History, firing, resolved

from exporter.ignoring import IgnoreRule
from exporter.model import Kind

PRINTING, FLAPPING, REMOVED, UNCLEAR = "printing_disabled", "station_flapping", "station_removed", "station_unclear"
HOURS = "Mo-Su 10:00-02:00"


# Printing


def test_an_active_station_that_stopped_printing_fires_until_it_prints_again() -> None:
    history = History()
    history.run(60)
    history.edit("k", printable=False)
    history.run(110)
    assert history.said() == []
    history.run(60)
    assert history.said() == [firing(PRINTING, "1/k")]
    history.edit("k", printable=True)
    history.run(30)
    assert history.said() == [resolved(PRINTING, "1/k", "recovered")]


def test_a_station_that_never_printed_is_nobodys_business() -> None:
    history = History()
    history.edit("b", printable=False)
    history.run(3600)
    assert history.said() == []


def test_printing_that_was_disabled_just_after_closing_is_said_at_opening_once() -> None:
    history = History(hours=HOURS, begin="2026-11-24T01:50")
    history.run_until("2026-11-24T02:05")
    history.edit("k", printable=False)
    history.run_until("2026-11-24T09:59")
    assert history.said() == []
    history.run_until("2026-11-24T10:01")
    assert history.said() == [firing(PRINTING, "1/k")]
    history.run_until("2026-11-26T12:00")
    assert history.said() == [resolved(PRINTING, "1/k", "retired")]


def test_printing_that_was_disabled_just_before_closing_is_said_again_at_opening() -> None:
    history = History(hours=HOURS, begin="2026-11-24T01:50")
    history.run(60)
    history.edit("k", printable=False)
    history.run_until("2026-11-24T03:00")
    assert history.said() == [firing(PRINTING, "1/k"), resolved(PRINTING, "1/k", "closed")]
    history.run_until("2026-11-24T10:01")
    assert history.said() == [firing(PRINTING, "1/k")]


def test_printing_that_was_disabled_in_the_morning_is_not_said_again_the_next_day() -> None:
    history = History(hours="Mo-Su 10:00-23:00", begin="2026-11-24T10:50")
    history.run(60)
    history.edit("k", printable=False)
    history.run_until("2026-11-24T22:00")
    history.edit("b", printable=False)
    history.run_until("2026-11-24T22:30")
    assert history.said() == [firing(PRINTING, "1/k"), firing(PRINTING, "1/b")]
    history.run_until("2026-11-25T12:00")
    assert history.said() == [
        resolved(PRINTING, "1/k", "retired"),
        resolved(PRINTING, "1/b", "closed"),
        firing(PRINTING, "1/b"),
    ]


def test_printing_that_was_said_for_a_whole_day_is_not_said_again_the_next() -> None:
    history = History(hours="Mo-Su 10:00-20:00", begin="2026-11-24T19:50")
    history.run_until("2026-11-24T20:05")
    history.edit("k", printable=False)
    history.run_until("2026-11-26T12:00")
    assert history.said() == [firing(PRINTING, "1/k"), resolved(PRINTING, "1/k", "closed")]
    assert history.incidents() == []


def test_printing_of_a_station_that_is_inactive_unclear_or_lost_says_nothing_new() -> None:
    history = History()
    history.run(60)
    history.edit("k", printable=False)
    history.run(60)
    history.off("k")
    history.run(600)
    assert firing(PRINTING, "1/k") not in history.said()
    history.edit("k", active=None)
    history.run(600)
    history.lose()
    history.run(200)
    assert history.said() == []
    history.find()
    history.on("k")
    history.run(60)
    assert firing(PRINTING, "1/k") in history.said()


def test_printing_of_a_station_that_is_ignored_or_removed_ends_as_such() -> None:
    history = History()
    history.run(60)
    history.edit("k", printable=False)
    history.edit("b", printable=False)
    history.run(300)
    history.said()
    history.reload(replace(history.rules, ignore=(IgnoreRule("k"),)))
    del history.rows["1"]["b"]
    history.run(60)
    assert history.said()[:2] == [resolved(PRINTING, "1/k", "ignored"), resolved(PRINTING, "1/b", "removed")]
    history.edit("k", printable=True)
    history.run(60)
    history.edit("k", printable=False)
    history.run(600)
    assert firing(PRINTING, "1/k") not in history.said()


# Flapping


def flap(history: History, times: int) -> None:
    for _ in range(times):
        history.off("k")
        history.run(60)
        history.on("k")
        history.run(60)


def test_six_changes_within_an_hour_are_flapping_until_it_is_calm_for_half_an_hour() -> None:
    history = History()
    history.run(60)
    flap(history, 2)
    assert history.said() == []
    flap(history, 1)
    assert history.said() == [firing(FLAPPING, "1/k")]
    history.run(1500)
    assert history.said() == []
    history.run(300)
    assert history.said() == [resolved(FLAPPING, "1/k", "recovered")]
    history.run(7200)
    assert history.said() == []


def test_six_changes_over_hours_are_not() -> None:
    history = History()
    for _ in range(4):
        history.run(1800)
        flap(history, 1)
    assert history.said() == []


def test_flapping_while_the_venue_is_closed_or_ignored_is_nobodys_business() -> None:
    history = History(hours=HOURS, begin="2026-11-24T03:00")
    flap(history, 6)
    assert history.said() == []
    ignoring = History(ignore=[IgnoreRule("k")])
    flap(ignoring, 6)
    assert ignoring.said() == []


def test_flapping_ends_with_its_reason() -> None:
    history = History(hours=HOURS, begin="2026-11-24T01:30")
    history.run(60)
    flap(history, 3)
    history.run_until("2026-11-24T02:10")
    assert history.said() == [firing(FLAPPING, "1/k"), resolved(FLAPPING, "1/k", "closed")]
    ignoring = History()
    ignoring.run(60)
    flap(ignoring, 3)
    ignoring.reload(replace(ignoring.rules, ignore=(IgnoreRule("k"),)))
    assert ignoring.said() == [firing(FLAPPING, "1/k"), resolved(FLAPPING, "1/k", "ignored")]
    removing = History()
    removing.run(60)
    flap(removing, 3)
    del removing.rows["1"]["k"]
    removing.run(90)
    assert removing.said() == [firing(FLAPPING, "1/k"), resolved(FLAPPING, "1/k", "removed")]


# Removed by mistake


def test_an_active_station_that_is_gone_fires_until_one_of_its_name_is_back() -> None:
    history = History()
    history.run(60)
    row = history.rows["1"].pop("k")
    history.run(320)
    assert history.said() == []
    history.run(60)
    assert history.said() == [firing(REMOVED, "1/k")]
    history.rows["1"]["new"] = replace(row, id="new")
    history.run(60)
    assert history.said() == [resolved(REMOVED, "1/k", "recovered")]


def test_a_station_that_is_gone_in_the_night_is_said_at_opening() -> None:
    history = History(hours=HOURS, begin="2026-11-24T03:00")
    history.run(60)
    del history.rows["1"]["k"]
    history.run_until("2026-11-24T09:50")
    assert history.said() == []
    history.run_until("2026-11-24T10:01")
    assert history.said() == [firing(REMOVED, "1/k")]
    history.run_until("2026-11-26T12:00")
    assert history.said() == [resolved(REMOVED, "1/k", "retired")]


def test_a_station_that_is_gone_in_the_evening_ends_with_the_closing() -> None:
    history = History(hours=HOURS, begin="2026-11-24T20:00")
    history.run(60)
    del history.rows["1"]["k"]
    history.run_until("2026-11-25T12:00")
    assert history.said() == [firing(REMOVED, "1/k"), resolved(REMOVED, "1/k", "closed")]


def test_an_inactive_or_ignored_station_that_is_gone_is_nobodys_business() -> None:
    history = History(ignore=[IgnoreRule("Bar")])
    history.edit("k", active=False, updated_at=history.now.wall - 400 * 86400)
    history.run(60)
    history.rows["1"].clear()
    history.run(3600)
    assert history.said() == []


def test_a_station_that_is_gone_and_then_ignored_ends_as_such() -> None:
    history = History()
    history.run(60)
    del history.rows["1"]["k"]
    history.run(600)
    assert history.said() == [firing(REMOVED, "1/k")]
    history.reload(replace(history.rules, ignore=(IgnoreRule("Tandir"),)))
    assert history.said() == [resolved(REMOVED, "1/k", "ignored")]


# Unclear


def test_a_status_that_is_unclear_for_half_an_hour_is_one_incident_of_the_venue() -> None:
    history = History()
    history.run(60)
    history.edit("k", active=None)
    history.run(600)
    history.edit("b", kind=Kind.UNKNOWN)
    history.run(1190)
    assert history.said() == []
    history.run(60)
    assert history.said() == [firing(UNCLEAR, "1")]
    [incident] = history.incidents()
    assert incident.members == (("1", "k"), ("1", "b"))
    history.edit("k", active=True)
    history.run(3600)
    assert history.said() == []
    history.edit("b", kind=Kind.OTHER)
    history.run(60)
    assert history.said() == [resolved(UNCLEAR, "1", "recovered")]


def test_rows_that_cannot_be_read_for_half_an_hour_are_unclear() -> None:
    history = History()
    history.partial = True
    history.run(1700)
    assert history.said() == []
    history.run(200)
    assert history.said() == [firing(UNCLEAR, "1")]
    history.partial = False
    history.run(60)
    assert history.said() == [resolved(UNCLEAR, "1", "recovered")]


def test_an_ignored_station_is_never_unclear() -> None:
    history = History(ignore=[IgnoreRule("k")])
    history.edit("k", active=None)
    history.run(7200)
    assert history.said() == []
