from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from history import History, Service, firing, resolved

from exporter.incidents import BrandFacts
from exporter.model import BrandState, Discovery, Failure, LoggedIn, Reason, VenueState
from exporter.texts import remedy

STALE, UNREACHABLE, LOGIN = "venue_data_stale", "brand_unreachable", "login_failing"
BRAND = "tandir-group"


# A venue that cannot be read


def test_a_venue_that_cannot_be_read_for_five_minutes_is_stale_until_it_is_read_again() -> None:
    history = History(venues=3)
    history.run(60)
    history.lose("2")
    history.run(260)
    assert history.said() == []
    history.run(60)
    assert history.said() == [firing(STALE, "2")]
    [incident] = history.incidents()
    assert incident.details == {"reason": "timeout", "message": "no complete answer in time"}
    history.find("2")
    history.run(30)
    assert history.said() == [resolved(STALE, "2", "recovered")]


def test_the_end_of_an_inactive_station_that_nobody_saw_is_known_from_clopos() -> None:
    history = History(venues=3)
    history.run(60)
    history.off("k")
    history.run(300)
    history.lose()
    at = history.now.wall
    history.on("k")
    history.run(1800)
    history.find()
    history.run(30)
    [over] = [change for _, change in history.log if change.details.get("ended") == "active again"]
    assert over.details["active_since"] == at
    assert over.observed_at >= at + 1800


def test_a_venue_that_was_never_read_is_stale_five_minutes_after_its_first_failure() -> None:
    history = History(venues=3)
    history.lose("2")
    history.run(310)
    assert history.said() == [firing(STALE, "2")]


def test_a_venue_that_nobody_polls_is_stale_like_one_that_cannot_be_read() -> None:
    history = History()
    history.run(60)
    history.wait(410)
    assert history.said() == []
    history.wait(15)
    assert history.said() == [firing(STALE, "1")]
    history.off("k")
    history.run(30)
    assert history.said() == [resolved(STALE, "1", "recovered")]


def test_nothing_is_decided_about_stations_that_nobody_polls() -> None:
    history = History(delay=600.0)
    history.run(60)
    history.off("k")
    history.run(60)
    history.wait(900)
    assert history.said() == [firing(STALE, "1")]
    history.on("k")
    history.run(60)
    assert history.said() == [resolved(STALE, "1", "recovered")]


def test_a_brand_that_nobody_polls_cannot_be_reached_and_its_venues_say_nothing() -> None:
    history = History(venues=6)
    history.run(60)
    history.lose("1")  # Clopos answered 429 for this one, and there is no quota for the rest.
    history.poll("1")
    history.wait(500)
    assert set(history.said()) - {firing(STALE, "1")} == {firing(UNREACHABLE, BRAND)}
    assert history.brand.incidents["unreachable"].details["reason"] == "timeout"
    history.find()
    history.run(60)
    assert resolved(UNREACHABLE, BRAND, "recovered") in history.said()


@pytest.mark.parametrize("venues", [1, 6])
def test_a_machine_that_slept_has_its_time_to_read_again(venues: int) -> None:
    history = History(venues=venues)
    history.run(60)
    history.sleep(8 * 3600.0)
    history.wait(0.5)
    history.lose()
    history.run(120)  # Its network is not there yet.
    history.find()
    history.run(600)
    assert history.said() == []
    history.lose()
    history.run(360)
    assert history.said()


def test_a_station_that_was_off_for_a_moment_before_the_machine_slept_is_nobodys_business() -> None:
    history = History()
    history.run(60)
    history.off("k")
    history.run(60)
    history.sleep(8 * 3600.0)
    history.wait(0.5)
    history.on("k")
    history.run(60)
    assert history.said() == []


def test_a_state_of_an_earlier_process_is_no_news_after_a_restart() -> None:
    history = History()
    history.run(60)
    history.restart(3 * 86400)
    history.lose()
    history.run(280)
    assert history.said() == []
    history.run(60)
    assert history.said() == [firing(STALE, "1")]
    history.restart(60)
    history.run(290)
    history.find()
    history.run(30)
    assert history.said() == [resolved(STALE, "1", "recovered")]


def test_a_state_that_nobody_polled_since_the_restart_ends_nothing() -> None:
    history = History()
    history.run(60)
    history.lose()
    history.run(400)
    history.restart(60)
    history.states["1"] = replace(history.states["1"], outage=None)
    history.reload(history.rules)
    assert history.said() == [firing(STALE, "1")]


# A brand that cannot be reached


def test_a_brand_that_cannot_be_reached_is_one_incident_and_holds_back_the_rest() -> None:
    history = History(venues=20)
    history.run(60)
    history.off("k", "3")
    history.run(30)
    history.lose()
    history.run(3600)
    assert history.said() == [firing(UNREACHABLE, BRAND)]
    history.on("k", "3")
    history.find()
    history.run(600)
    assert history.said() == [resolved(UNREACHABLE, BRAND, "recovered")]
    assert history.incidents() == []


def test_a_brand_fires_in_time_where_the_clock_is_set_back_meanwhile() -> None:
    history = History(venues=4)
    history.run(60)
    history.lose()
    history.run(60)
    history.set_clock(-3600)
    history.run(400)
    assert history.said() == [firing(UNREACHABLE, BRAND)]


@pytest.mark.parametrize("reason", [Reason.NOT_FOUND, Reason.FORBIDDEN])
def test_venues_that_clopos_refuses_while_others_are_read_are_no_brand_that_cannot_be_reached(reason: Reason) -> None:
    history = History(venues=3)
    history.run(60)
    history.reasons = {"2": reason, "3": reason}
    history.lose("2", "3")
    history.run(600)
    assert sorted(history.said()) == [firing(STALE, "2"), firing(STALE, "3")]
    history.lose()
    history.run(360)
    assert history.said() == [firing(UNREACHABLE, BRAND)], "which is news"
    assert history.brand.incidents["unreachable"].details["reason"] == "timeout"


def test_a_short_outage_is_nobodys_business() -> None:
    history = History(venues=20)
    history.run(60)
    history.lose()
    history.run(200)
    history.find()
    history.run(600)
    assert history.said() == []


def test_a_venue_that_stays_lost_after_the_brand_is_back_is_stale_five_minutes_later() -> None:
    history = History(venues=4)
    history.run(60)
    history.lose()
    history.run(1200)
    history.find("1", "2", "3")
    history.run(280)
    assert history.said() == [firing(UNREACHABLE, BRAND), resolved(UNREACHABLE, BRAND, "recovered")]
    history.run(60)
    assert history.said() == [firing(STALE, "4")]


def test_a_venue_that_was_stale_before_the_brand_was_lost_stays_so() -> None:
    history = History(venues=4)
    history.run(60)
    history.lose("1")
    history.run(600)
    history.lose()
    history.run(600)
    history.find("2", "3", "4")
    history.run(600)
    assert history.said() == [firing(STALE, "1"), firing(UNREACHABLE, BRAND), resolved(UNREACHABLE, BRAND, "recovered")]


def test_a_brand_whose_only_venue_and_list_of_venues_fail_cannot_be_reached() -> None:
    history = History()
    history.run(60)
    history.lose()
    history.discover(Failure(Reason.GATEWAY, "Bad gateway", history.now))
    history.run(600)
    assert history.said() == [firing(UNREACHABLE, BRAND)]
    [incident] = history.brand.incidents.values()
    assert incident.details["reason"] == "gateway"


def test_an_only_venue_that_is_stale_by_the_time_its_list_fails_stays_the_one_incident() -> None:
    history = History()
    history.run(60)
    history.lose()
    history.run(400)
    history.discover(Failure(Reason.GATEWAY, "Bad gateway", history.now))
    history.run(3600)
    assert history.said() == [firing(STALE, "1")]
    history.discover()
    history.find()
    history.run(60)
    assert history.said() == [resolved(STALE, "1", "recovered")]


def test_a_list_of_venues_that_fails_alone_is_no_brand_that_cannot_be_reached() -> None:
    history = History()
    history.run(60)
    history.discover(Failure(Reason.GATEWAY, "Bad gateway", history.now))
    history.run(3600)
    assert history.said() == []


def test_a_brand_that_cannot_be_reached_stays_so_over_a_restart_until_most_venues_are_read() -> None:
    history = History(venues=4)
    history.run(60)
    history.lose()
    history.run(600)
    history.restart(600)
    history.discover()
    assert history.said() == [firing(UNREACHABLE, BRAND)]
    history.run(60)
    history.find()
    history.run(60)
    assert history.said() == [resolved(UNREACHABLE, BRAND, "recovered")]


def test_an_outage_of_an_earlier_process_has_its_time_to_end_after_a_restart() -> None:
    history = History(venues=4)
    history.run(60)
    history.lose()
    history.run(120)
    history.restart(86400)
    history.run(60)
    history.find()
    history.run(600)
    assert history.said() == []


def test_an_outage_that_a_restart_falls_into_is_one_incident() -> None:
    history = History(venues=4)
    history.run(60)
    history.lose()
    history.run(120)
    history.restart(60)
    history.run(600)
    assert history.said() == [firing(UNREACHABLE, BRAND)]


def test_venues_that_are_lost_over_a_restart_hold_back_each_other_when_the_login_works_again() -> None:
    history = History(venues=4)
    history.fail_login()
    history.run(60)
    history.lose()
    history.run(60)
    history.restart(60)
    history.run(60)
    history.discover(LoggedIn(history.now))
    history.run(600)
    assert [(said.event, said.kind) for said in history.said() if said.event == "firing"] == [
        ("firing", LOGIN),
        ("firing", UNREACHABLE),
    ]


def test_a_brand_without_venues_is_not_unreachable() -> None:
    history = History(venues=4)
    history.run(60)
    history.lose()
    history.run(600)
    history.discover(Discovery((), history.now, listed=True))
    assert history.said() == [firing(UNREACHABLE, BRAND), resolved(UNREACHABLE, BRAND, "recovered")]


def test_a_login_that_is_refused_is_one_incident_with_its_remedy() -> None:
    history = History(venues=4)
    history.run(60)
    history.lose()
    history.fail_login()
    history.run(600)
    assert history.said() == [firing(LOGIN, BRAND)]
    [incident] = history.brand.incidents.values()
    assert incident.details == {
        "reason": "credentials",
        "message": "Invalid credentials",
        "remedy": remedy(Reason.CREDENTIALS),
    }
    history.find()
    history.discover(LoggedIn(history.now))
    history.run(600)
    assert history.said() == [resolved(LOGIN, BRAND, "recovered")]


def test_venues_that_stay_lost_when_the_login_works_again_are_a_brand_that_cannot_be_reached() -> None:
    history = History(venues=4)
    history.run(60)
    history.lose()
    history.fail_login()
    history.run(600)
    history.discover(LoggedIn(history.now))
    history.run(200)
    assert history.said() == [firing(LOGIN, BRAND), resolved(LOGIN, BRAND, "recovered")]
    history.run(200)
    assert history.said() == [firing(UNREACHABLE, BRAND)]


def test_a_login_that_works_again_at_once_is_nobodys_business() -> None:
    history = History()
    history.run(60)
    history.fail_login()
    history.run(60)
    history.discover(LoggedIn(history.now))
    history.run(600)
    assert history.said() == []


@pytest.mark.parametrize("venues", [1, 4])
def test_an_outage_in_which_the_token_runs_out_is_one_brand_that_cannot_be_reached(venues: int) -> None:
    history = History(venues)
    history.run(60)
    lost_at = history.now.wall
    history.lose()
    history.run(120)
    history.fail_login(Reason.GATEWAY, "Service unavailable")
    history.run(400)
    assert history.said() == [firing(UNREACHABLE, BRAND)]
    [incident] = history.brand.incidents.values()
    assert incident.began_at == lost_at
    assert incident.details["reason"] == "gateway"
    history.discover(LoggedIn(history.now))
    assert history.said() == []
    history.find()
    history.run(60)
    assert history.said() == [resolved(UNREACHABLE, BRAND, "recovered")]
    assert history.incidents() == []


def test_an_outage_at_the_start_is_a_brand_that_cannot_be_reached() -> None:
    history = History()
    history.brand, history.states = BrandState(BRAND), {}
    history.fail_login(Reason.CONNECTION, "Connection refused")
    history.wait(400)
    assert history.said() == [firing(UNREACHABLE, BRAND)]


def test_a_stale_only_venue_stays_the_one_incident_as_the_token_runs_out() -> None:
    history = History()
    history.run(60)
    history.lose()
    history.run(400)
    history.fail_login(Reason.TIMEOUT, "no answer in time")
    history.run(600)
    assert history.said() == [firing(STALE, "1")]


def test_credentials_that_are_refused_after_an_outage_are_a_login_that_fails() -> None:
    history = History(venues=4)
    history.run(60)
    history.lose()
    history.fail_login(Reason.GATEWAY, "Service unavailable")
    history.run(400)
    history.fail_login()
    history.run(400)
    assert [(said.event, said.kind) for said in history.said()] == [
        ("firing", UNREACHABLE),
        ("resolved", UNREACHABLE),
        ("firing", LOGIN),
    ]
    [incident] = history.brand.incidents.values()
    assert incident.details["remedy"] == remedy(Reason.CREDENTIALS)


# Token and clock


def test_a_token_that_ends_within_a_day_and_cannot_be_renewed_fires_once() -> None:
    history = History()
    history.discover(facts=BrandFacts(token_expires_at=history.now.wall + 2 * 86400))
    history.run(60)
    history.wait(86400)
    assert [said for said in history.said() if said.kind != STALE] == [firing("token_expiring", BRAND)]
    history.discover(facts=BrandFacts(token_expires_at=history.now.wall + 9 * 86400))
    assert history.said() == [resolved("token_expiring", BRAND, "recovered")]


def test_a_token_that_ends_soon_is_not_over_with_a_restart_and_is_with_credentials() -> None:
    history = History()
    ends_soon = BrandFacts(token_expires_at=history.now.wall + 3600)
    history.discover(facts=ends_soon)
    assert history.said() == [firing("token_expiring", BRAND)]
    history.restart(60)
    history.discover(facts=ends_soon)
    assert history.said() == []
    history.discover(facts=BrandFacts(token_expires_at=inf))
    assert history.said() == [resolved("token_expiring", BRAND, "recovered")]


@pytest.mark.parametrize("seconds", [61.0, -61.0])
def test_a_clock_that_is_off_by_more_than_a_minute_fires_until_it_is_set(seconds: float) -> None:
    history = History()
    history.discover(facts=BrandFacts(clock_skew=seconds))
    assert history.said() == [firing("clock_skew", BRAND)]
    for still in (seconds, 45.0, None):
        history.discover(facts=BrandFacts(clock_skew=still))
    assert history.said() == []
    history.discover(facts=BrandFacts(clock_skew=3.0))
    assert history.said() == [resolved("clock_skew", BRAND, "recovered")]


# The process


@pytest.mark.parametrize(("part", "kind"), [("state", "state_unavailable"), ("log", "log_unavailable")])
def test_a_state_or_log_that_cannot_be_written_for_a_minute_fires(part: str, kind: str) -> None:
    service = Service()
    assert service.after(0, {part: False}) == []
    assert service.after(59, {part: False}) == []
    assert service.after(1, {part: False}) == [firing(kind, "")]
    assert service.after(60, {part: False}) == []
    assert service.after(60, {part: True}) == [resolved(kind, "", "recovered")]
    assert service.incidents == {}


def test_a_refused_reload_fires_at_once() -> None:
    service = Service()
    assert service.after(0, {"reload": False}) == [firing("reload_failed", "")]
    assert service.after(9, {"reload": True}) == [resolved("reload_failed", "", "recovered")]


def test_each_channel_that_is_down_fires_on_its_own() -> None:
    service = Service()
    assert service.after(0, {"channel:shift": False, "channel:it": True}) == [firing("channel_down", "")]
    [incident] = service.incidents.values()
    assert incident.details == {"channel": "shift"}
    assert service.after(0, {"channel:it": False}) == [
        resolved("channel_down", "", "removed"),
        firing("channel_down", ""),
    ]


def test_what_does_not_work_has_its_cause_where_that_is_known() -> None:
    service = Service()
    problems = {"state": "disk full", "reload": "clopos.yml:3: brands: must not be empty", "shift": "HTTP 403"}
    service.after(0, {"state": False, "reload": False, "channel:shift": False}, **problems)
    assert [incident.details for incident in service.incidents.values()] == [
        {"message": "disk full"},
        {"message": "clopos.yml:3: brands: must not be empty"},
        {"channel": "shift", "message": "HTTP 403"},
    ]


def test_a_channel_that_was_not_tried_since_a_restart_is_not_over() -> None:
    service = Service()
    service.after(0, {"channel:shift": False})
    assert service.after(9, {"channel:shift": None}) == []
    assert service.after(9, {"channel:shift": True}) == [resolved("channel_down", "", "recovered")]


def test_nothing_wrong_leaves_the_same_object() -> None:
    service = Service()
    before = service.incidents
    assert service.after(9, {"state": True}) == []
    assert service.incidents is before


def test_a_venue_that_was_never_polled_has_no_incidents() -> None:
    history = History(venues=2)
    history.reload(history.rules)
    assert history.states["1"].incidents == {}
    assert isinstance(history.states["1"], VenueState)
    assert history.said() == []
