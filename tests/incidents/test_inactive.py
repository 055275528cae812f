from __future__ import annotations

from dataclasses import replace

import pytest
from history import SOON, History, firing, resolved, wall

from exporter.ignoring import IgnoreRule
from exporter.incidents import IncidentRules
from exporter.model import Discovery, Kind
from exporter.outbox import key

KITCHEN, OTHER, NOT_READY = "kitchen_station_inactive", "station_inactive", "station_not_ready"
ALL, BULK = "venue_no_active_station", "many_venues_inactive"
HOURS = "Mo-Su 10:00-02:00"


def test_a_kitchen_station_that_is_inactive_for_two_minutes_fires_until_it_is_active_again() -> None:
    history = History()
    history.run(60)
    history.off("k")
    history.run(115)
    assert history.said() == []
    history.run(10)
    assert history.said() == [firing(KITCHEN, "1/k")]
    history.run(3600)
    history.on("k")
    history.run(60)
    assert history.said() == [resolved(KITCHEN, "1/k", "active again")]
    assert history.incidents() == []


def test_a_station_fires_in_time_where_the_clock_is_set_back_meanwhile() -> None:
    history = History()
    history.run(60)
    history.off("k")
    history.run(60)
    history.set_clock(-3600)
    history.run(SOON + 60)
    assert history.said() == [firing(KITCHEN, "1/k")]
    history.on("k")
    history.run(60)
    assert history.said() == [resolved(KITCHEN, "1/k", "active again")]


def test_another_station_fires_three_minutes_later() -> None:
    history = History()
    history.run(60)
    history.off("b")
    history.run(290)
    assert history.said() == []
    history.run(30)
    assert history.said() == [firing(OTHER, "1/b")]


def test_a_station_that_is_off_for_a_moment_is_nobodys_business() -> None:
    history = History()
    history.off("k")
    history.run(90)
    history.on("k")
    history.run(600)
    assert history.said() == []
    assert history.incidents() == []


def test_an_incident_keeps_the_names_and_the_kind_of_its_beginning() -> None:
    history = History()
    history.run(30)
    history.off("k")
    history.run(300)
    history.edit("k", name="Renamed", kind=Kind.OTHER)
    history.run(300)
    assert history.said() == [firing(KITCHEN, "1/k")]
    [incident] = history.incidents()
    assert (incident.station, incident.station_kind) == ("Tandir", Kind.KITCHEN)


def test_an_incident_says_since_when_the_station_is_off_as_far_as_is_known() -> None:
    history = History()
    history.run(45)
    history.off("k")
    switched = history.now.wall
    history.run(300)
    [incident] = history.incidents()
    assert incident.details == {"since": switched, "edited_at": switched}
    first_seen = History()
    edited = first_seen.now.wall - 3600
    first_seen.edit("k", active=False, updated_at=edited)
    began = first_seen.now.wall
    first_seen.run(300)
    [incident] = first_seen.incidents()
    assert incident.details == {"since_at_least": began, "edited_at": edited}


def test_a_station_without_an_edit_time_says_since_when_we_saw_it() -> None:
    history = History()
    history.edit("k", updated_at=None)
    history.run(30)
    history.edit("k", active=False, updated_at=None)
    history.run(300)
    [incident] = history.incidents()
    assert set(incident.details) == {"since"}


@pytest.mark.parametrize("back", [0.0, 3600.0], ids=["the same time", "an earlier one"])
def test_a_status_that_changes_without_an_edit_says_since_when_we_saw_it(back: float) -> None:
    history = History()
    history.run(45)
    edited = (history.rows["1"]["k"].updated_at or 0.0) - back
    history.edit("k", active=False, updated_at=edited)
    seen = history.now.wall
    history.run(30)
    history.restart()
    history.run(300)
    [incident] = history.incidents()
    assert incident.details == {"since": seen, "edited_at": edited}
    history.edit("k", active=True, updated_at=edited)
    seen = history.now.wall
    history.run(30)
    assert history.said()[-1] == resolved(KITCHEN, "1/k", "active again")
    assert history.log[-1][1].details["active_since"] == seen


def test_stations_that_are_switched_without_an_edit_on_different_days_are_no_bulk_edit() -> None:
    history = History(venues=6)
    history.run(60)
    for venue in history.rows:  # All were edited together yesterday, when they were set up.
        history.edit("k", venue, active=False, updated_at=history.rows[venue]["k"].updated_at)
        history.run(3600)
    assert BULK not in {said.kind for said in history.said()}


def test_a_station_that_is_switched_without_an_edit_counts_as_off_for_good_no_sooner() -> None:
    history = History()
    history.edit("k", updated_at=history.now.wall - 30 * 86400.0)
    history.run(60)
    history.edit("k", active=False, updated_at=history.rows["1"]["k"].updated_at)
    history.run(SOON + 60)
    assert history.said() == [firing(KITCHEN, "1/k")]


def test_all_stations_of_a_venue_are_inactive_since_the_last_of_them_was_switched() -> None:
    history = History()
    history.run(45)
    history.off("k")
    history.run(60)
    for id_ in history.rows["1"].keys() - {"k"}:
        history.off(id_)
    last = history.now.wall
    history.run(300)
    [incident] = [one for one in history.incidents() if one.kind == ALL]
    assert incident.details == {"since": last}
    assert incident.began_at >= incident.since


# Opening hours


def test_what_happens_while_the_venue_is_closed_is_nobodys_business() -> None:
    history = History(hours=HOURS, begin="2026-11-24T03:00")
    history.off("k")
    history.run(3600)
    history.on("k")
    history.run(3600)
    assert history.said() == []


def test_closing_time_ends_an_incident_silently_and_opening_brings_it_back() -> None:
    history = History(hours=HOURS, begin="2026-11-24T01:00")
    history.run(60)
    history.off("k")
    history.run(600)
    assert history.said() == [firing(KITCHEN, "1/k")]
    history.run_until("2026-11-24T02:01")
    assert history.said() == [resolved(KITCHEN, "1/k", "closed")]
    history.run_until("2026-11-24T09:29")
    assert history.said() == []
    history.run_until("2026-11-24T09:33")
    assert history.said() == [firing(NOT_READY, "1/k")]
    history.run_until("2026-11-24T09:59")
    assert history.said() == []
    history.run_until("2026-11-24T10:00:10")
    assert history.said() == [resolved(NOT_READY, "1/k", "replaced"), firing(KITCHEN, "1/k")]
    history.run_until("2026-11-24T15:00")
    assert history.said() == []


def test_a_station_that_is_switched_on_before_opening_is_ready() -> None:
    history = History(hours=HOURS, begin="2026-11-24T09:00")
    history.off("k")
    history.run_until("2026-11-24T09:40")
    assert history.said() == [firing(NOT_READY, "1/k")]
    history.on("k")
    history.run_until("2026-11-24T10:30")
    assert history.said() == [resolved(NOT_READY, "1/k", "active again")]


def test_a_station_that_is_switched_off_just_before_opening_has_its_delay_from_then() -> None:
    history = History(hours=HOURS, begin="2026-11-24T09:59")
    history.run(30)
    history.off("k")
    history.run_until("2026-11-24T10:01:50")
    assert history.said() == []
    history.run_until("2026-11-24T10:02:10")
    assert history.said() == [firing(KITCHEN, "1/k")]


def test_a_pause_of_less_than_half_an_hour_is_no_closing() -> None:
    history = History(hours="Mo-Su 10:00-14:00,14:20-22:00", begin="2026-11-24T13:00")
    history.run(60)
    history.off("k")
    history.run_until("2026-11-24T15:00")
    assert history.said() == [firing(KITCHEN, "1/k")]


# Not knowing changes nothing


def test_a_venue_that_is_lost_while_a_station_is_off_resolves_nothing() -> None:
    history = History(venues=2)
    history.run(60)
    history.off("k")
    history.run(300)
    history.lose("1")
    history.run(240)
    assert history.said() == [firing(KITCHEN, "1/k")]
    history.find("1")
    history.run(300)
    assert history.said() == []


def test_a_pending_incident_waits_until_its_station_is_known_to_be_off() -> None:
    history = History()
    history.run(60)
    history.off("k")
    history.run(60)
    history.lose()
    history.run(240)
    assert history.said() == []
    history.on("k")
    history.find()
    history.run(60)
    assert history.said() == []
    assert history.incidents() == []


def test_half_an_answer_resolves_nothing() -> None:
    history = History()
    history.run(60)
    history.off("k")
    history.run(300)
    row = history.rows["1"].pop("k")
    history.partial = True
    history.run(600)
    history.rows["1"]["k"] = row
    history.partial = False
    history.run(300)
    assert history.said() == [firing(KITCHEN, "1/k")]


@pytest.mark.parametrize("was_off", [True, False])
def test_an_unclear_status_fires_and_resolves_nothing(*, was_off: bool) -> None:
    history = History()
    history.run(60)
    if was_off:
        history.off("k")
        history.run(300)
    history.edit("k", active=None)
    history.run(900)
    assert history.said() == [firing(KITCHEN, "1/k")] * was_off


def test_a_status_that_becomes_unclear_while_pending_does_not_fire() -> None:
    history = History()
    history.run(60)
    history.off("k")
    history.run(60)
    history.edit("k", active=None)
    history.run(900)
    assert history.said() == []
    history.off("k")
    history.run(60)
    assert history.said() == [firing(KITCHEN, "1/k")]


def test_a_station_whose_old_status_was_inactive_does_not_begin_anything_while_it_is_unclear() -> None:
    history = History(hours=HOURS, begin="2026-11-24T08:00")
    history.off("k")
    history.run(60)
    history.edit("k", active=None)
    history.run_until("2026-11-24T10:20")
    assert [said for said in history.said() if said.scope == "1/k"] == []


def test_a_restart_resolves_nothing_and_fires_nothing_twice() -> None:
    history = History()
    history.run(60)
    history.off("k")
    history.run(300)
    history.restart(3600)
    history.run(600)
    assert history.said() == [firing(KITCHEN, "1/k")]
    history.on("k")
    history.restart(3600)
    assert history.said() == []
    history.run(60)
    assert history.said() == [resolved(KITCHEN, "1/k", "active again")]


# Stations that do not count


def test_an_ignored_station_never_fires() -> None:
    history = History(ignore=[IgnoreRule("Tandir")])
    history.off("k")
    history.run(3600)
    assert history.said() == []


def test_a_station_that_is_ignored_from_now_on_ends_its_incident_as_such() -> None:
    history = History()
    history.run(60)
    history.off("k")
    history.run(300)
    assert history.said() == [firing(KITCHEN, "1/k")]
    history.reload(replace(history.rules, ignore=(IgnoreRule("k"),)))
    assert history.said() == [resolved(KITCHEN, "1/k", "ignored")]


def test_a_station_that_is_still_off_after_the_last_day_of_its_rule_fires() -> None:
    until = wall("2026-11-25T00:00")
    history = History(begin="2026-10-20T12:00", ignore=[IgnoreRule("k", until)], interval=3600)
    history.off("k")
    history.run(300)
    history.edit("k", updated_at=history.now.wall - 400 * 86400)
    history.run_until("2026-11-24T23:59")
    assert history.said() == []
    history.run_until("2026-11-25T00:03")
    assert history.said() == [firing(KITCHEN, "1/k")]


def test_a_station_that_is_off_for_seven_days_of_opening_time_is_retired() -> None:
    history = History(hours="Mo-Su 10:00-22:00", begin="2026-11-23T09:00", interval=200)
    history.run_until("2026-11-23T12:00")
    history.off("k")
    # 10 hours of the first day, 12 of the thirteen after it: of the 168, two are left on 7 December.
    history.run_until("2026-12-07T11:50")
    assert {said.ended for said in history.said()} == {"", "closed", "replaced"}
    assert history.firing() == {(KITCHEN, "1/k")}
    history.run_until("2026-12-07T12:10")
    assert history.said() == [resolved(KITCHEN, "1/k", "retired")]
    history.run_until("2026-12-09T12:00")
    assert history.said() == []


def test_a_station_that_was_off_and_unedited_for_two_weeks_when_first_seen_is_retired() -> None:
    history = History()
    history.edit("k", active=False, updated_at=history.now.wall - 14 * 86400)
    history.run(3600)
    assert history.said() == []
    history.edit("k", name="Renamed")
    history.run(3600)
    assert history.said() == [], "an edit of something else does not make it new"
    history.on("k")
    history.run(60)
    history.off("k")
    history.run(300)
    assert history.said() == [firing(KITCHEN, "1/k")]


def test_a_station_that_was_edited_lately_when_first_seen_fires() -> None:
    history = History()
    history.edit("k", active=False, updated_at=history.now.wall - 13 * 86400)
    history.run(300)
    assert history.said() == [firing(KITCHEN, "1/k")]


def test_a_station_that_is_removed_while_it_is_off_ends_its_incident_as_such() -> None:
    history = History()
    history.run(60)
    history.off("k")
    history.run(300)
    del history.rows["1"]["k"]
    history.run(600)
    assert history.said() == [firing(KITCHEN, "1/k"), resolved(KITCHEN, "1/k", "removed")]


def test_a_venue_that_is_no_longer_polled_ends_its_incidents() -> None:
    history = History(venues=3)
    history.run(60)
    history.off("k", "2")
    history.run(300)
    assert history.said() == [firing(KITCHEN, "2/k")]
    left = tuple(state.venue for id_, state in history.states.items() if id_ != "2")
    history.discover(Discovery(left, history.now, listed=True))
    assert history.said() == [resolved(KITCHEN, "2/k", "removed")]
    assert history.incidents() == []


# All stations of a venue


def test_all_stations_at_once_are_one_incident() -> None:
    history = History()
    history.run(60)
    history.off("k")
    history.off("b")
    history.run(600)
    assert history.said() == [firing(ALL, "1")]
    history.on("k")
    history.on("b")
    history.run(60)
    assert history.said() == [resolved(ALL, "1", "active again")]
    assert history.incidents() == []


def test_the_last_station_to_go_replaces_the_incidents_of_the_others() -> None:
    history = History()
    history.run(60)
    history.off("k")
    history.run(300)
    history.off("b")
    history.run(300)
    assert history.said() == [firing(KITCHEN, "1/k"), firing(ALL, "1"), resolved(KITCHEN, "1/k", "replaced")]


def test_what_is_left_of_all_stations_fires_on_its_own_after_a_while() -> None:
    history = History()
    history.run(60)
    history.off("k")
    history.off("b")
    history.run(300)
    history.on("b")
    history.run(60)
    assert history.said() == [firing(ALL, "1")]
    history.run(120)
    assert history.said() == [resolved(ALL, "1", "replaced"), firing(KITCHEN, "1/k")]


def test_what_is_left_of_all_stations_fires_in_time_where_the_clock_is_set_back_meanwhile() -> None:
    history = History()
    history.run(60)
    history.off("k")
    history.off("b")
    history.run(SOON + 60)
    history.on("b")
    history.run(60)
    history.set_clock(-3600)
    history.said()
    history.run(SOON + 60)
    assert [said for said in history.said() if said.event == "firing"] == [firing(KITCHEN, "1/k")]


def test_stations_that_are_switched_back_one_after_another_make_no_noise() -> None:
    history = History()
    history.run(60)
    history.off("k")
    history.off("b")
    history.run(300)
    history.on("b")
    history.run(60)
    history.off("b")
    history.run(300)
    history.on("b")
    history.run(60)
    history.on("k")
    history.run(600)
    assert history.said() == [firing(ALL, "1"), resolved(ALL, "1", "active again")]


def test_all_stations_that_are_off_for_a_moment_are_nobodys_business() -> None:
    history = History()
    history.run(60)
    history.off("k")
    history.off("b")
    history.run(60)
    history.on("b")
    history.run(30)
    history.on("k")
    history.run(600)
    assert history.said() == []


def test_all_stations_before_opening_are_one_incident_that_becomes_another_at_opening() -> None:
    history = History(hours=HOURS, begin="2026-11-24T09:00")
    history.off("k")
    history.off("b")
    history.run_until("2026-11-24T09:59")
    assert history.said() == [firing(NOT_READY, "1")]
    history.run_until("2026-11-24T12:00")
    assert history.said() == [resolved(NOT_READY, "1", "replaced"), firing(ALL, "1")]


def test_an_unclear_station_leaves_the_incident_of_all_stations_as_it_is() -> None:
    history = History()
    history.run(60)
    history.off("k")
    history.off("b")
    history.run(300)
    history.edit("b", active=None)
    history.run(600)
    assert history.said() == [firing(ALL, "1")]


def test_an_ignored_station_does_not_keep_the_others_from_being_all() -> None:
    history = History(ignore=[IgnoreRule("x")])
    history.rows["1"]["x"] = history.station("x", "Test printer")
    history.run(60)
    history.off("k")
    history.off("b")
    history.run(300)
    assert history.said() == [firing(ALL, "1")]
    history.reload(replace(history.rules, ignore=(IgnoreRule("k"), IgnoreRule("b"))))
    assert history.said() == [resolved(ALL, "1", "ignored")]


# Bulk edits


def test_one_edit_of_many_venues_is_one_incident() -> None:
    history = History(venues=8)
    history.run(60)
    for venue in "123456":
        history.off("k", venue)
    history.run(600)
    assert history.said() == [firing(BULK, "tandir-group")]
    [bulk] = history.brand.incidents.values()
    assert bulk.members == tuple((venue, "k") for venue in "123456")
    for venue in "123456":
        history.on("k", venue)
    history.run(60)
    assert history.said() == [resolved(BULK, "tandir-group", "active again")]
    assert history.incidents() == []


def test_four_venues_are_no_bulk_edit() -> None:
    history = History(venues=8)
    history.run(60)
    for venue in "1234":
        history.off("k", venue)
    history.run(600)
    assert set(history.said()) == {firing(KITCHEN, f"{venue}/k") for venue in "1234"}


def test_five_venues_that_are_less_than_a_tenth_are_no_bulk_edit() -> None:
    history = History(venues=60)
    history.run(60)
    for venue in "12345":
        history.off("k", venue)
    history.run(600)
    assert {said.kind for said in history.said()} == {KITCHEN}


def test_a_single_station_fires_on_its_own_beside_a_bulk_edit() -> None:
    history = History(venues=8)
    history.run(60)
    history.off("k", "8")
    history.run(1200)
    for venue in "123456":
        history.off("k", venue)
    history.run(660)
    history.off("b", "7")
    history.run(1200)
    history.on("k", "8")
    history.run(60)
    assert history.said() == [
        firing(KITCHEN, "8/k"),
        firing(BULK, "tandir-group"),
        firing(OTHER, "7/b"),
        resolved(KITCHEN, "8/k", "active again"),
    ]


def test_six_stations_off_since_different_days_are_no_bulk_edit_at_opening() -> None:
    history = History(venues=8, hours=HOURS, begin="2026-11-17T12:00", interval=300)
    for day, venue in enumerate("123456"):
        history.run_until(f"2026-11-{18 + day}T20:00")
        history.off("k", venue)
    history.run_until("2026-11-24T09:00")
    history.said()
    history.run_until("2026-11-24T10:30")
    assert {said.kind for said in history.said()} == {NOT_READY, KITCHEN}


def test_switches_that_are_seen_together_after_an_outage_are_no_bulk_edit() -> None:
    history = History(venues=8)
    history.run(60)
    history.lose()
    for venue in "123456":
        history.run(900)
        history.off("k", venue)
    history.run(900)
    history.find()
    history.said()
    history.run(600)
    assert sorted(said.kind for said in history.said()) == ["brand_unreachable", *[KITCHEN] * 6]


def test_what_is_left_of_a_bulk_edit_fires_on_its_own() -> None:
    history = History(venues=8)
    history.run(60)
    for venue in "123456":
        history.off("k", venue)
    history.run(600)
    for venue in "1234":
        history.on("k", venue)
    history.run(100)
    assert history.said() == [firing(BULK, "tandir-group")]
    history.run(60)
    assert history.said() == [
        resolved(BULK, "tandir-group", "replaced"),
        firing(KITCHEN, "5/k"),
        firing(KITCHEN, "6/k"),
    ]


def test_a_bulk_edit_ends_silently_when_its_venues_close_and_is_back_before_opening() -> None:
    history = History(venues=8, hours=HOURS, begin="2026-11-24T01:00")
    history.run(60)
    for venue in "123456":
        history.off("k", venue)
    history.run_until("2026-11-24T03:00")
    assert history.said() == [firing(BULK, "tandir-group"), resolved(BULK, "tandir-group", "closed")]
    history.run_until("2026-11-24T11:00")
    assert history.said() == [firing(BULK, "tandir-group")]


def test_a_bulk_edit_of_which_only_closed_venues_are_left_is_not_called_over() -> None:
    # Who switched the open ones on knows it. "No longer inactive" would not be true of the others.
    history = History(venues=8, begin="2026-11-24T01:00")
    for venue in "123":
        history.own_rules[venue] = IncidentRules(history.hours(HOURS))
    history.run(60)
    for venue in "123456":
        history.off("k", venue)
    history.run_until("2026-11-24T02:30")
    assert history.said() == [firing(BULK, "tandir-group")]
    for venue in "456":
        history.on("k", venue)
    history.run(60)
    assert history.said() == [resolved(BULK, "tandir-group", "closed")]
    history.run_until("2026-11-24T09:29")
    assert history.said() == []
    history.run_until("2026-11-24T09:35")
    assert set(history.said()) == {firing(NOT_READY, f"{venue}/k") for venue in "123"}


def test_a_bulk_edit_of_which_an_open_venue_is_left_goes_on_as_that() -> None:
    history = History(venues=8, begin="2026-11-24T01:00")
    for venue in "12345":
        history.own_rules[venue] = IncidentRules(history.hours(HOURS))
    history.run(60)
    for venue in "123456":
        history.off("k", venue)
    history.run_until("2026-11-24T03:00")
    for venue in "12345":
        history.on("k", venue)
    history.run(600)
    assert history.said() == [
        firing(BULK, "tandir-group"),
        resolved(BULK, "tandir-group", "replaced"),
        firing(KITCHEN, "6/k"),
    ]


def test_two_bulk_edits_that_fire_at_the_same_moment_are_two_for_their_deliveries() -> None:
    history = History(venues=12, hours=HOURS, begin="2026-11-24T08:00")
    for venue in map(str, range(1, 7)):
        history.off("k", venue)
    history.run(3000)
    for venue in map(str, range(7, 13)):
        history.off("k", venue)
    history.run_until("2026-11-24T10:10")
    bulks = [incident for incident in history.brand.incidents.values() if incident.firing]
    assert len(bulks) == 2
    assert bulks[0].fired_at == bulks[1].fired_at
    assert key(bulks[0]) != key(bulks[1])
    history.edit("b", "1", active=False, updated_at=bulks[1].details["from"] - 30)
    history.run(60)
    assert {key(one) for one in history.brand.incidents.values()} == set(map(key, bulks)), "also while they grow"


def test_a_bulk_edit_replaces_singles_that_fired_before_it_was_one() -> None:
    history = History(venues=8)
    history.run(60)
    for venue in "123":
        history.off("k", venue)
    history.run(300)
    for venue in "456":
        history.off("k", venue)
    history.run(300)
    said = history.said()
    assert said[:3] == [firing(KITCHEN, f"{venue}/k") for venue in "123"]
    assert said[3] == firing(BULK, "tandir-group")
    assert set(said[4:]) == {resolved(KITCHEN, f"{venue}/k", "replaced") for venue in "123"}


def test_what_is_left_of_a_bulk_edit_stays_one_while_nobody_can_read_it() -> None:
    history = History(venues=5)
    history.run(60)
    for venue in history.rows:
        history.off("k", venue)
    history.run(SOON + 60)
    assert history.said() == [firing(BULK, "tandir-group")]
    history.on("k", "1")
    history.run(30)
    history.lose()
    history.run(240)
    assert history.said() == []
    history.find()
    history.run(240)
    singles = [said for said in history.said() if said.kind == KITCHEN]
    assert sorted(singles) == [firing(KITCHEN, f"{venue}/k") for venue in "2345"]


def test_a_bulk_edit_outlives_an_outage_and_a_restart() -> None:
    history = History(venues=8)
    history.run(60)
    for venue in "123456":
        history.off("k", venue)
    history.run(600)
    history.lose()
    history.run(200)
    history.restart(600)
    history.run(60)
    history.find()
    history.run(600)
    assert history.said() == [firing(BULK, "tandir-group")]


def test_a_bulk_edit_whose_stations_are_ignored_from_now_on_ends_as_such() -> None:
    history = History(venues=6)
    history.run(60)
    for venue in "123456":
        history.off("k", venue)
    history.run(600)
    history.reload(replace(history.rules, ignore=(IgnoreRule("k"),)))
    assert history.said() == [firing(BULK, "tandir-group"), resolved(BULK, "tandir-group", "ignored")]


def test_a_bulk_edit_that_is_undone_within_a_minute_is_nobodys_business() -> None:
    history = History(venues=8)
    history.run(60)
    for venue in "123456":
        history.off("k", venue)
    history.run(60)
    for venue in "123456":
        history.on("k", venue)
    history.run(600)
    assert history.said() == []
    assert history.incidents() == []
