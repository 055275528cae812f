from __future__ import annotations

import pytest
from history import History, firing

from exporter.incidents import inactive_open_seconds
from exporter.incidents.brand import BrandTally, bulk_spans
from exporter.incidents.values import Candidate, VenueSummary
from exporter.model import IncidentKind, Severity, Topic

HOURS = "Mo-Su 10:00-02:00"


def inactive(history: History, station: str = "k") -> float | None:
    return inactive_open_seconds(history.states["1"], station)


def test_the_time_that_a_venue_is_open_and_read_is_counted() -> None:
    history = History(hours=HOURS, begin="2026-11-24T09:00")
    history.run_until("2026-11-24T11:00")
    assert history.states["1"].open_seconds == pytest.approx(3600, abs=30)
    history.lose()
    history.run(3600)
    history.find()
    assert history.states["1"].open_seconds == pytest.approx(3600, abs=60)
    history.run(3600)
    assert history.states["1"].open_seconds == pytest.approx(7200, abs=90)
    history.restart(3600)
    history.run_until("2026-11-24T14:00")
    counted = history.states["1"].open_seconds
    history.run_until("2026-11-25T05:00")
    assert history.states["1"].open_seconds - counted == pytest.approx(12 * 3600, abs=30)


def test_a_venue_that_closes_between_two_polls_is_counted_until_then() -> None:
    history = History(hours=HOURS, begin="2026-11-24T01:00", interval=200)
    history.run_until("2026-11-24T01:58:10")
    history.poll()
    before = history.states["1"].open_seconds
    history.wait(300)
    assert history.states["1"].open_seconds - before == pytest.approx(110, abs=1)


def test_time_in_which_the_process_stood_still_is_not_counted() -> None:
    history = History()
    history.run(600)
    before = history.states["1"].open_seconds
    history.now = history.now._replace(wall=history.now.wall + 7200, monotonic=history.now.monotonic + 7200)
    history.poll()
    assert history.states["1"].open_seconds == before


def test_the_time_that_a_station_is_inactive_in_opening_hours_is_counted_over_all_of_its_absences() -> None:
    history = History(hours=HOURS, begin="2026-11-24T09:00")
    history.run(60)
    assert inactive(history) is None
    history.off("k")
    history.run_until("2026-11-24T09:59")
    assert inactive(history) is None, "it was not open yet"
    history.run_until("2026-11-24T10:30")
    assert inactive(history) == pytest.approx(1800, abs=30)
    history.on("k")
    history.run(3600)
    history.restart(60)
    history.run(3600)
    assert inactive(history) == pytest.approx(1800, abs=30)
    history.off("k")
    history.run(600)
    assert inactive(history) == pytest.approx(2400, abs=60)
    assert inactive(history, "b") is None


def test_a_poll_that_brings_nothing_new_leaves_stations_incidents_and_records_the_same_objects() -> None:
    history = History()
    history.run(60)
    history.off("k")
    history.run(600)
    before = history.states["1"]
    history.run(600)
    after = history.states["1"]
    assert after.stations is before.stations
    assert after.incidents is before.incidents
    assert after.records is before.records
    assert after.open_seconds > before.open_seconds


def test_many_looks_ahead_do_not_pile_up() -> None:
    history = History(venues=2, hours=HOURS)
    history.run(60)
    for _ in range(200):
        history.reload(history.rules)
    assert len(history.judge._queue) < 100
    history.off("k")
    history.run(300)
    assert history.said() == [firing("kitchen_station_inactive", "1/k")]


def test_two_bulk_edits_hours_apart_are_two() -> None:
    tally = BrandTally()
    for venue in "123456":
        times = (1000.0 + int(venue), 9000.0 + int(venue))
        candidates = tuple(Candidate(f"k{at}", at, 0.0, live=True, fired=False) for at in times)
        tally.update(venue, VenueSummary(is_open=True, is_polled=True, candidates=candidates))
    assert list(bulk_spans(tally)) == [(1001.0, 1006.0), (9001.0, 9006.0)]


def test_switches_that_follow_each_other_within_ten_minutes_are_one_bulk_edit() -> None:
    tally = BrandTally()
    for venue in range(12):
        at = 1000.0 + 100 * venue
        tally.update(str(venue), VenueSummary(candidates=(Candidate("k", at, 0.0, live=True, fired=False),)))
    assert list(bulk_spans(tally)) == [(1000.0, 2100.0)]


def test_every_kind_has_its_topic_and_severity() -> None:
    of_stations = {kind for kind in IncidentKind if kind.topic is Topic.STATIONS}
    assert IncidentKind.STATION_UNCLEAR not in of_stations
    assert len(of_stations) == 8
    critical = {kind.value for kind in IncidentKind if kind.severity is Severity.CRITICAL}
    assert critical == {
        "kitchen_station_inactive",
        "venue_no_active_station",
        "many_venues_inactive",
        "brand_unreachable",
        "login_failing",
    }


def test_a_refresh_hands_back_no_state_that_it_leaves_as_it_is() -> None:
    history = History(venues=3)
    assert history.judge.refresh(history.brand, history.now).venues == ()
    history.poll("1")
    assert history.judge.refresh(history.brand, history.now).venues == ()
