from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Event, Thread
from typing import Any

import pytest
from app_fakes import Work, common, samples, settings
from fakes import FakeClock, snapshot, station, until, venue
from structlog.testing import capture_logs

from exporter import priority
from exporter.changes import advance
from exporter.errors import Stopped
from exporter.model import Change, Failure, Reason, Snapshot, VenueState
from exporter.simulator import Simulator, World
from exporter.store.memory import MemoryStore

BRAND = "openapitest"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def simulator(clock: FakeClock) -> Iterator[Simulator]:
    """One brand, `openapitest`, with two venues, `1` and `2`, of three stations each."""
    with Simulator(World.generate(venues=2, stations=3, clock=clock), tiers=None) as simulator:
        yield simulator


@pytest.fixture
def start(simulator: Simulator, clock: FakeClock) -> Iterator[Callable[..., Work]]:
    made: list[Work] = []

    def one(store: MemoryStore | None = None, **rest: Any) -> Work:
        work = Work(settings(simulator, **rest).brands[0], clock, store)
        made.append(work)
        work.brand.start()
        return work

    yield one
    for work in made:
        work.stop.set()
        work.brand.stop()


@pytest.fixture
def work(start: Callable[..., Work]) -> Work:
    return start()


@pytest.mark.parametrize("phase", ["request", "response"])
def test_a_poll_gives_way_to_a_scrape_before_it_asks_and_before_it_reads_the_answer(
    simulator: Simulator, work: Work, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    work.run(1)
    monkeypatch.setattr(priority, "LONGEST_SECONDS", 60.0)
    asked = len(simulator.traffic.entries(endpoint="stations"))
    scrapes = work.services.priority
    if phase == "request":
        scrapes.__enter__()
    else:
        quota = work.brand.client.quota
        monkeypatch.setattr(quota, "acquire", lambda _deadline: scrapes.__enter__())
    polling = Thread(target=work.brand.poll, args=(venue("1", brand=BRAND),), daemon=True)
    polling.start()
    if phase == "response":
        until(lambda: len(simulator.traffic.entries(endpoint="stations")) > asked)
    polling.join(0.1)
    assert polling.is_alive()
    assert len(simulator.traffic.entries(endpoint="stations")) == asked + (phase == "response")
    scrapes.__exit__(None, None, None)
    polling.join(20)
    assert not polling.is_alive()


def poll(work: Work, venue_id: str, outcome: Snapshot) -> None:
    """Poll a venue with this outcome."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work.brand.client, "poll", lambda *_: outcome)
        work.brand.poll(venue(venue_id, brand=BRAND))


def switch_off(simulator: Simulator, venue_id: str = "1") -> None:
    simulator.world.set_status(BRAND, venue_id, "1", 0)


def test_what_clopos_holds_is_read_remembered_and_shown_and_nothing_is_reported(work: Work) -> None:
    work.run(5)
    assert work.events() == []
    assert {state.venue.id: len(state.stations or ()) for state in work.store.venues()} == {"1": 3, "2": 3}
    assert len(samples(work, "clopos_station_active")) == 6
    assert samples(work, "clopos_brand_up") == {(BRAND,): 1.0}


def test_venues_are_seen_as_not_read_yet_before_their_first_poll(work: Work) -> None:
    work.brand.discover()
    seen = [(view.state.venue.id, view.state.stations, view.up) for view in work.registry.venues()]
    assert seen == [("1", None, None), ("2", None, None)]
    assert samples(work, "clopos_venue_up") == samples(work, "clopos_stations") == {}
    work.run(5)
    assert set(samples(work, "clopos_venue_up").values()) == {1.0}


def test_a_change_is_reported_remembered_and_shown(work: Work, simulator: Simulator) -> None:
    work.run(5)
    switch_off(simulator)
    work.run(35)
    assert work.events() == ["station.deactivated"]
    state = work.store.venue(venue("1", brand=BRAND))
    assert state.stations is not None
    assert state.stations["1"].status is False
    assert list(samples(work, "clopos_station_active").values()).count(0.0) == 1


@pytest.mark.parametrize(("hours", "said"), [("Mo-Su 18:00-23:00", False), ("Mo-Su 10:00-23:00", None), (None, None)])
def test_what_happens_to_a_station_says_that_its_venue_is_closed(
    start: Callable[..., Work], simulator: Simulator, *, hours: str | None, said: bool | None
) -> None:
    work = start(opening_hours=hours, time_zone="Asia/Baku")  # where it is noon
    work.run(5)
    switch_off(simulator)
    work.run(35)
    [entry] = [entry for entry in work.new_entries if entry.event == "station.deactivated"]
    assert entry.details.get("venue_open") is said


def test_it_is_not_ready_before_the_first_outcome_of_any_kind(start: Callable[..., Work], simulator: Simulator) -> None:
    with simulator.faults.during("unavailable"):
        work = start()
        assert work.brand.not_ready == f"brand {BRAND}: no outcome of the first poll yet"
        work.run(200)
    assert work.brand.not_ready is None


def test_a_brand_without_venues_is_ready_once_that_is_known(start: Callable[..., Work], simulator: Simulator) -> None:
    for id_ in ("1", "2"):
        simulator.world.remove_venue(BRAND, id_)
    work = start()
    work.run(5)
    assert work.brand.not_ready is None


def test_a_failing_login_is_reported_once_shown_and_reported_as_recovered(
    start: Callable[..., Work], simulator: Simulator
) -> None:
    with simulator.faults.during("wrong_credentials", endpoint="auth"):
        work = start()
        work.run(100)
        assert work.events() == ["brand.login_failed"]
        assert samples(work, "clopos_brand_up") == {(BRAND,): 0.0}
        assert samples(work, "clopos_exporter_poll_failures_total")[BRAND, "credentials"] > 1
    work.run(100)
    assert work.events() == ["brand.login_recovered"]
    assert samples(work, "clopos_brand_up") == {(BRAND,): 1.0}


def test_a_brand_that_is_disabled_while_it_is_polled_fails_as_a_whole_and_its_polls_recover_it(
    work: Work, simulator: Simulator
) -> None:
    work.run(5)
    with simulator.faults.during("client_disabled"):
        work.run(60)
        assert sorted(work.events()) == ["brand.login_failed", "venue.lost", "venue.lost"]
    work.run(120)
    assert sorted(work.events()) == ["brand.login_recovered", "venue.recovered", "venue.recovered"]


def test_trouble_of_the_network_does_not_make_a_failing_login_recover(
    start: Callable[..., Work], simulator: Simulator
) -> None:
    work = start(client_id=None, client_secret=None, integrator_id=None, token="not-good-any-more")
    work.run(5)
    assert work.events() == ["brand.login_failed"]
    with simulator.faults.during("unavailable"):
        work.run(100)
    assert work.events() == []


@pytest.mark.parametrize("token", [{"token": "not-good-any-more"}, {}], ids=["ready token", "login"])
def test_a_list_of_venues_that_nobody_was_asked_for_does_not_make_a_failing_login_recover(
    start: Callable[..., Work], simulator: Simulator, token: dict[str, str]
) -> None:
    ready = {"client_id": None, "client_secret": None, "integrator_id": None} if token else {}
    with simulator.faults.during("token_invalid", endpoint="stations"):
        work = start(venues=[{"id": "1", "name": "One"}], **ready, **token)
        work.run(900)
    assert sorted(work.events()) == ["brand.login_failed", "venue.lost"], "no recovery with each look at the list"
    assert work.incidents() == [("incident.firing", "login_failing")]
    work.run(300)
    assert sorted(work.events()) == ([] if token else ["brand.login_recovered", "venue.recovered"])


def test_an_answer_that_a_venue_is_not_there_says_that_the_login_works_again(
    start: Callable[..., Work], simulator: Simulator
) -> None:
    with simulator.faults.during("token_invalid", endpoint="stations"):
        work = start(venues=[{"id": "1", "name": "One"}])
        work.run(300)
    assert "brand.login_failed" in work.events()
    with simulator.faults.during("not_found", endpoint="stations"):
        work.run(600)
    assert work.events() == ["brand.login_recovered"]


def test_a_venue_that_is_gone_is_removed_from_everywhere_after_two_discoveries(
    work: Work, simulator: Simulator
) -> None:
    work.run(5)
    simulator.world.remove_venue(BRAND, "2")
    work.run(310)
    assert work.events() == ["venue.lost"]
    work.run(310)
    assert work.events() == ["venue.removed"]
    assert [state.venue.id for state in work.store.venues()] == ["1"]
    assert {labels[-1] for labels in samples(work, "clopos_venue_up")} == {"1"}


def test_an_incident_of_a_venue_that_is_gone_ends_with_it(work: Work, simulator: Simulator) -> None:
    work.run(5)
    switch_off(simulator, "2")
    work.run(200)
    simulator.world.remove_venue(BRAND, "2")
    work.run(700)
    of_stations = [found for found in work.incidents() if found[1] == "kitchen_station_inactive"]
    assert [event for event, _ in of_stations] == ["incident.firing", "incident.resolved"]
    assert work.store.entries_after(0, 1000)[-1].details["ended"] == "removed"
    assert work.brand.incidents() == []


def test_an_incident_of_a_venue_that_the_configuration_no_longer_lists_is_left_out(
    work: Work, simulator: Simulator
) -> None:
    work.run(5)
    switch_off(simulator, "2")
    work.run(200)
    [listed] = settings(simulator, venues=["1"]).brands
    work.brand.reconfigure(listed, common(listed))
    work.run(5)
    assert work.events() == ["station.deactivated", "venue.removed"]
    *_, resolved = work.store.entries_after(0, 1000)
    assert (resolved.event, resolved.details["ended"]) == ("incident.resolved", "ignored")


def test_the_default_venue_gives_way_to_the_listed_ones_once_the_list_is_readable(
    start: Callable[..., Work], simulator: Simulator
) -> None:
    switch_off(simulator)
    with simulator.faults.during("forbidden", endpoint="venues"):
        work = start()
        work.run(300)
        assert {labels[-1] for labels in samples(work, "clopos_venue_up")} == {"default"}
        assert [labels[-1] for labels in samples(work, "clopos_incident")] == ["default"]
    work.run(700)
    assert [labels[-1] for labels in samples(work, "clopos_incident")] == ["1"]
    entries = work.store.entries_after(0, 1000)
    assert [entry.details["ended"] for entry in entries if "ended" in entry.details] == ["replaced"]
    assert {labels[-1] for labels in samples(work, "clopos_venue_up")} == {"1", "2"}
    assert [state.venue.id for state in work.store.venues()] == ["1", "2"]


def test_what_is_known_of_the_default_venue_is_kept_while_a_list_that_was_empty_is_refused(
    start: Callable[..., Work], simulator: Simulator
) -> None:
    for id_ in ("1", "2"):
        simulator.world.remove_venue(BRAND, id_)
    work = start()
    work.run(5)
    with simulator.faults.during("forbidden", endpoint="venues"):
        work.brand.loop.discover_now()
        work.run(700)
    assert work.store.venue(venue("default", brand=BRAND)).polls >= 12


def test_a_reload_reaches_the_default_venue_while_the_list_is_refused(
    start: Callable[..., Work], simulator: Simulator
) -> None:
    switch_off(simulator)
    with simulator.faults.during("forbidden", endpoint="venues"):
        work = start()
        work.run(300)
        assert [labels[-1] for labels in samples(work, "clopos_incident")] == ["default"]
        [ignoring] = settings(simulator, ignore_stations=["1"]).brands
        work.brand.reconfigure(ignoring, common(ignoring))
        assert samples(work, "clopos_incident") == {}
        assert len(samples(work, "clopos_station_ignored")) == 1


def test_the_default_venue_is_polled_on_while_the_list_fails_for_another_reason(
    start: Callable[..., Work], simulator: Simulator
) -> None:
    with simulator.faults.during("forbidden", endpoint="venues"):
        work = start()
        work.run(100)
    default = venue("default", brand=BRAND)
    with simulator.faults.during("unavailable", endpoint="venues"):
        work.brand.loop.discover_now()
        work.run(100)
        polls = work.store.venue(default).polls
        work.run(100)
        assert work.store.venue(default).polls > polls


def test_a_new_venue_is_reported_and_polled(work: Work, simulator: Simulator) -> None:
    work.run(5)
    simulator.world.add_venue(BRAND, "New")
    work.run(310)
    assert work.events() == ["venue.added"]
    assert {labels[-1] for labels in samples(work, "clopos_venue_up")} == {"1", "2", "3"}


def test_a_renamed_venue_is_known_by_its_new_name(work: Work, simulator: Simulator) -> None:
    work.run(5)
    simulator.world.rename_venue(BRAND, "2", "New name")
    work.run(340)
    assert work.events() == []
    assert {labels[-2] for labels in samples(work, "clopos_station_active") if labels[-1] == "2"} == {"New name"}


def test_a_poll_that_ends_after_its_venue_was_removed_leaves_no_trace(work: Work) -> None:
    work.run(5)
    with pytest.raises(Stopped):
        poll(work, "gone", snapshot(station(active=False)))
    assert work.events() == []
    assert {state.venue.id for state in work.store.venues()} == {"1", "2"}


def test_after_the_stop_nothing_is_reported_remembered_or_counted(work: Work) -> None:
    work.run(5)
    before = work.store.venues()
    requests = samples(work, "clopos_exporter_api_requests_total")
    work.brand.stop()
    for late in (lambda: poll(work, "1", snapshot()), work.brand.discover):
        with pytest.raises(Stopped):
            late()
    work.brand._observe("stations", "error", 1.0)
    assert work.events() == []
    assert work.store.venues() == before
    assert samples(work, "clopos_exporter_api_requests_total") == requests


def test_the_stop_waits_for_an_outcome_that_is_being_stored(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    work.run(5)
    storing, go, stopped = Event(), Event(), Event()
    commit, polls = work.store.commit, work.store.venue(venue("1", brand=BRAND)).polls

    def slow(*states: Any, **rest: Any) -> None:
        storing.set()
        go.wait(5)
        commit(*states, **rest)

    monkeypatch.setattr(work.store, "commit", slow)
    polling = Thread(target=lambda: poll(work, "1", snapshot()))
    polling.start()
    assert storing.wait(5)

    def stop() -> None:
        work.brand.stop()
        stopped.set()

    stopping = Thread(target=stop)
    stopping.start()
    assert not stopped.wait(0.05)
    go.set()
    assert stopped.wait(5)
    polling.join(5)
    assert work.store.venue(venue("1", brand=BRAND)).polls == polls + 1


def test_a_mistake_of_ours_is_a_failure_with_its_trace_in_the_log(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    work.run(5)

    def crash(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(work.brand.client, "poll", crash)
    with capture_logs() as logged:
        assert work.brand.poll(venue("1", brand=BRAND)) is None
    assert [(line["event"], line["exc_info"]) for line in logged] == [("poll.crashed", True)]
    assert [entry.details["reason"] for entry in work.new_entries] == ["internal"]
    assert samples(work, "clopos_exporter_poll_failures_total") == {(BRAND, Reason.INTERNAL.value): 1.0}


def test_a_mistake_of_ours_that_ends_every_poll_of_a_venue_is_an_incident_of_it(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.run(60)

    def mistaken(state: VenueState, outcome: Snapshot) -> tuple[VenueState, list[Change]]:
        if state.venue.id == "1":
            raise ZeroDivisionError
        return advance(state, outcome)

    monkeypatch.setattr("exporter.app.brand.advance", mistaken)
    with capture_logs():
        work.run(600)
    assert work.incidents() == [("incident.firing", "venue_data_stale")]
    up = samples(work, "clopos_venue_up")
    assert {labels[-1]: value for labels, value in up.items()} == {"1": 0.0, "2": 1.0}


def test_rows_without_an_id_are_counted_each_time_and_named_once(work: Work, simulator: Simulator) -> None:
    simulator.world.serve_raw(BRAND, "1", "1", '{"name":"No id"}')
    with capture_logs() as logged:
        work.run(65)
    named = [line for line in logged if line["event"] == "station.unusable_row"]
    assert [(line["venue_id"], line["row"]) for line in named] == [("1", "{'name': 'No id'}")]
    assert samples(work, "clopos_exporter_unusable_rows_total")[(BRAND,)] > 1


@pytest.mark.parametrize("counted", ["failed", "unusable_row"])
def test_a_poll_counts_nothing_after_its_brand_was_stopped_and_its_series_were_dropped(
    work: Work, monkeypatch: pytest.MonkeyPatch, counted: str
) -> None:
    work.run(5)
    counting, go = Event(), Event()
    failed = Failure(Reason.TLS, "expired", work.clock.now())
    outcome = failed if counted == "failed" else snapshot(station(), unusable=("a row",))
    monkeypatch.setattr(work.brand.client, "poll", lambda *_: outcome)

    def count(*_: object) -> None:
        counting.set()
        go.wait(20)

    monkeypatch.setattr(work.telemetry, counted, count)
    polling = Thread(target=work.brand.poll, args=(venue("1", brand=BRAND),), daemon=True)
    stopping = Thread(target=work.brand.stop, daemon=True)
    polling.start()
    assert counting.wait(20)
    stopping.start()
    stopping.join(0.1)
    assert stopping.is_alive()
    go.set()
    stopping.join(20)
    assert not stopping.is_alive()


def test_what_is_remembered_of_an_earlier_process_is_polled_though_the_discovery_fails(
    start: Callable[..., Work], simulator: Simulator, work: Work
) -> None:
    work.run(5)
    brand = replace(work.store.brand(BRAND), restored=True, seen=False)
    store = MemoryStore()
    store.commit(brand)
    for state in work.store.venues():
        store.commit(replace(state, restored=True, polls=0))
    work.brand.stop()
    switch_off(simulator)
    with simulator.faults.during("unavailable", endpoint="venues"):
        again = start(store)
        again.run(60)
    assert again.events() == ["brand.discovery_failed", "station.deactivated"]


def test_changes_that_happened_meanwhile_say_so(start: Callable[..., Work], simulator: Simulator, work: Work) -> None:
    work.run(5)
    store = MemoryStore()
    store.commit(work.store.brand(BRAND))
    for state in work.store.venues():
        store.commit(replace(state, restored=True))
    work.brand.stop()
    switch_off(simulator)
    again = start(store)
    again.run(60)
    assert [entry.details["detected"] for entry in again.new_entries] == ["after_restart"]


def test_the_view_shows_quota_token_and_interval(clock: FakeClock, work: Work) -> None:
    work.run(5)
    view = work.brand.view()
    assert view.token_expires_at == pytest.approx(clock.wall() + 3600, abs=10)
    assert (view.interval, view.polls_skipped) == (30.0, 0)
    assert view.state.venues is not None
    assert (view.quota_limit, view.quota_remaining) == (None, None), "this simulator has no limits"


def test_somebody_who_says_it_is_mended_is_believed(start: Callable[..., Work], simulator: Simulator) -> None:
    with simulator.faults.during("wrong_credentials", endpoint="auth"):
        work = start()
        work.run(300)
    work.events()
    work.brand.reconfigure(work.brand.settings, common(work.brand.settings))
    work.run(1)
    assert work.events() == ["brand.login_recovered"]


def test_new_settings_of_a_venue_are_in_force_at_once_and_keep_client_and_round(
    work: Work, simulator: Simulator
) -> None:
    work.run(5)
    client, loop = work.brand.client, work.brand.loop
    requests = samples(work, "clopos_exporter_api_requests_total")
    ignoring = settings(simulator, ignore_stations=["1"]).brands[0]
    work.brand.reconfigure(ignoring, common(ignoring, 60.0))
    assert set(samples(work, "clopos_station_ignored").values()) == {1.0}
    assert set(samples(work, "clopos_venue_poll_interval_seconds").values()) == {60.0}
    assert (work.brand.client, work.brand.loop) == (client, loop)
    assert work.brand.not_ready is None
    assert samples(work, "clopos_exporter_api_requests_total") == requests


def test_a_venue_that_was_never_polled_starts_with_an_empty_state(work: Work) -> None:
    work.run(1)
    assert work.store.venue(venue("nowhere")) == VenueState(venue("nowhere"))


def test_a_kitchen_station_that_stays_inactive_fires_an_incident_and_resolves_it(
    work: Work, simulator: Simulator
) -> None:
    work.run(5)
    simulator.world.set_status(BRAND, "1", "1", 0)
    work.run(100)
    assert work.incidents() == []
    assert {incident.kind.value for incident in work.store.venue(venue("1", brand=BRAND)).incidents.values()}
    work.run(120)
    assert work.incidents() == [("incident.firing", "kitchen_station_inactive")]
    assert [incident.station_id for incident in work.brand.incidents()] == ["1"]
    assert list(samples(work, "clopos_incident").values()) == [1.0]
    simulator.world.set_status(BRAND, "1", "1", 1)
    work.run(60)
    assert work.incidents()[1:] == [("incident.resolved", "kitchen_station_inactive")]
    assert samples(work, "clopos_incident") == {}


def test_a_restart_neither_repeats_nor_resolves_an_incident(
    start: Callable[..., Work], simulator: Simulator, work: Work
) -> None:
    work.run(5)
    switch_off(simulator)
    work.run(300)
    assert len(work.incidents()) == 1
    store = MemoryStore()
    store.commit(work.store.brand(BRAND))
    for state in work.store.venues():
        store.commit(replace(state, restored=True, polls=0))
    work.brand.stop()
    again = start(store)
    again.run(300)
    assert again.incidents() == []
    assert len(again.brand.incidents()) == 1
