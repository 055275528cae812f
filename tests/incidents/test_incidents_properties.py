from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

from history import History, Said
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from exporter import outbox
from exporter.ignoring import IgnoreRule
from exporter.incidents import IncidentRules, inactive_open_seconds
from exporter.incidents.venue import assess_venue
from exporter.model import Discovery, Event, Kind

STATIONS, VENUES = st.sampled_from("kb"), st.sampled_from("123456")


def everywhere(history: History, active: bool) -> None:  # noqa: FBT001 - what happens to stations
    for venue in history.rows:
        for id_ in history.rows[venue]:
            history.edit(id_, venue, active=active)


def remove(history: History, id_: str, venue: str) -> None:
    history.rows.get(venue, {}).pop(id_, None)


def add(history: History, id_: str, venue: str) -> None:
    if venue in history.rows:
        history.rows[venue].setdefault(id_, history.station(id_, "Tandir"))


def close_down(history: History, venue: str) -> None:
    """Let Clopos list a venue no longer."""
    history.rows.pop(venue, None)
    venues = tuple(state.venue for id_, state in history.states.items() if id_ in history.rows)
    history.discover(Discovery(venues, history.now, listed=True))


def edit(history: History, id_: str, venue: str, name: str, value: object) -> None:
    if id_ in history.rows.get(venue, {}):
        history.edit(id_, venue, **{name: value})


def partial(history: History, value: bool) -> None:  # noqa: FBT001 - what happens to polls
    history.partial = value


def ignore(history: History, *names: str) -> None:
    history.reload(IncidentRules(history.rules.hours, tuple(map(IgnoreRule, names))))


def of_stations(history: History) -> list[Said]:
    """Return what was decided about stations since this was asked last."""
    others = ("venue_data_stale", "brand_unreachable", "login_failing")
    return [said for said in history.said() if said.kind not in others]


Act = Callable[[History], None]


def acts() -> st.SearchStrategy[Act]:
    switch = st.builds(
        lambda i, v, a: lambda h: edit(h, i, v, "active", a), STATIONS, VENUES, st.sampled_from([True, False, None])
    )
    return st.one_of(
        switch,
        switch,
        st.builds(
            lambda i, v, a: lambda h: edit(h, i, v, "printable", a),
            STATIONS,
            VENUES,
            st.sampled_from([True, False, None]),
        ),
        st.builds(lambda i, v, k: lambda h: edit(h, i, v, "kind", k), STATIONS, VENUES, st.sampled_from(Kind)),
        st.builds(lambda i, v: lambda h: remove(h, i, v), STATIONS, VENUES),
        st.builds(lambda i, v: lambda h: add(h, i, v), STATIONS, VENUES),
        st.builds(lambda a: lambda h: everywhere(h, a), st.booleans()),
        st.builds(lambda v: lambda h: h.lose(*v), st.lists(VENUES, max_size=2)),
        st.builds(lambda v: lambda h: h.find(*v), st.lists(VENUES, max_size=2)),
        st.builds(lambda a: lambda h: partial(h, a), st.booleans()),
        st.builds(lambda s: lambda h: h.restart(s), st.sampled_from([10.0, 4000.0])),
        st.builds(lambda n: lambda h: ignore(h, *n), st.lists(STATIONS, max_size=1)),
        st.builds(lambda s: lambda h: h.wait(s), st.sampled_from([100.0, 700.0])),
        st.builds(lambda s: lambda h: h.sleep(s), st.sampled_from([100.0, 4000.0])),
        st.builds(lambda s: lambda h: h.set_clock(s), st.sampled_from([-4000.0, -200.0, 4000.0])),
        st.builds(lambda v: lambda h: close_down(h, v), st.sampled_from("456")),
        st.just(lambda h: h.fail_login()),
        st.just(lambda h: h.discover()),
    )


HISTORIES = st.lists(st.tuples(acts(), st.sampled_from([30.0, 60.0, 130.0, 400.0, 2000.0])), max_size=14)
HOURS = st.sampled_from([None, "Mo-Su 10:00-02:00", "Mo-Su 12:20-12:40,13:30-14:00"])
SLOWLY = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def played(hours: str | None, history: list[tuple[Act, float]]) -> History:
    found = History(venues=6, hours=hours, interval=30)
    for act, seconds in history:
        act(found)
        found.run(seconds)
    return found


@SLOWLY
@given(HOURS, HISTORIES)
def test_every_firing_has_one_end_and_what_has_none_fires_still(
    hours: str | None, acts: list[tuple[Act, float]]
) -> None:
    history = played(hours, acts)
    open_: Counter[tuple[object, ...]] = Counter()
    for _, change in history.log:
        incident = change.incident
        assert incident is not None
        assert incident.firing
        assert json.loads(json.dumps(dict(incident.details))) == incident.details
        scope = (incident.kind, incident.venue and incident.venue.id, incident.station_id, incident.fired_at)
        open_[scope] += 1 if change.event is Event.INCIDENT_FIRING else -1
        assert open_[scope] in (0, 1)
    fires = Counter(
        (one.kind, one.venue and one.venue.id, one.station_id, one.fired_at)
        for one in history.incidents()
        if one.firing
    )
    assert +open_ == fires


OUTAGE_OVER_A_RESTART: list[tuple[Act, float]] = [
    (lambda history: history.fail_login(), 30.0),
    (lambda history: history.lose(), 90.0),
    (lambda history: history.restart(10.0), 30.0),
    (lambda history: history.discover(), 60.0),
]

OUTAGE_OVER_A_SLEEP: list[tuple[Act, float]] = [
    (lambda history: history.lose(), 30.0),
    (lambda history: history.sleep(4000.0), 30.0),
]


@SLOWLY
@given(HOURS, HISTORIES)
@example(None, OUTAGE_OVER_A_RESTART)
@example(None, OUTAGE_OVER_A_SLEEP)
def test_deciding_again_changes_nothing(hours: str | None, acts: list[tuple[Act, float]]) -> None:
    history = played(hours, acts)
    history.take(history.judge.due(history.brand, history.now))
    history.said()
    for state in history.states.values():
        rules, situation = history.rules, history.judge.situation
        again = assess_venue(state, (), rules, history.now, situation)
        assert again.state.incidents is state.incidents
        assert again.state.records is state.records
        assert not again.changes
        assert again.look_again_at > history.now.wall
    history.reload(history.rules)
    assert history.said() == []
    reachable_since = history.judge.situation.reachable_since  # a restart or a sleep lets outages wait again
    history.judge = history._judge()
    history.judge.situation = type(history.judge.situation)(reachable_since=reachable_since)
    history.take(history.judge.refresh(history.brand, history.now))
    assert [said for said in history.said() if said.kind != "venue_data_stale"] == []


@SLOWLY
@given(HOURS, HISTORIES)
def test_nothing_is_decided_about_stations_while_nothing_is_known_but_that_the_venue_closes(
    hours: str | None, acts: list[tuple[Act, float]]
) -> None:
    history = played(hours, acts)
    history.lose()
    history.run(30)
    history.said()
    history.run(7200)
    assert {said.ended for said in of_stations(history)} <= {"closed"}


@SLOWLY
@given(HOURS, HISTORIES)
def test_nothing_is_decided_about_stations_while_nobody_polls_but_that_the_venue_closes(
    hours: str | None, acts: list[tuple[Act, float]]
) -> None:
    history = played(hours, acts)
    history.wait(310)
    history.said()
    history.wait(7200)
    assert {said.ended for said in of_stations(history)} <= {"closed"}


@SLOWLY
@given(HOURS, HISTORIES)
def test_no_two_incidents_that_fire_have_the_same_key_for_their_deliveries(
    hours: str | None, acts: list[tuple[Act, float]]
) -> None:
    history = played(hours, acts)
    keys = [outbox.key(incident) for incident in history.incidents() if incident.firing]
    assert len(keys) == len(set(keys))


@SLOWLY
@given(HOURS, HISTORIES)
def test_a_poll_that_brings_nothing_new_leaves_the_same_objects(
    hours: str | None, acts: list[tuple[Act, float]]
) -> None:
    history = played(hours, acts)
    history.run(60)
    before = dict(history.states)
    decided = len(history.log)
    at = history.judge.look_again_at
    history.run(30)
    if len(history.log) == decided and at > history.now.wall:
        for id_, state in history.states.items():
            if state.stations is before[id_].stations:
                assert state.incidents is before[id_].incidents
                assert state.records is before[id_].records


@SLOWLY
@given(HOURS, HISTORIES)
def test_counters_never_go_back_and_no_station_is_inactive_for_longer_than_the_venue_is_open(
    hours: str | None, acts: list[tuple[Act, float]]
) -> None:
    history = History(venues=6, hours=hours, interval=30)
    seen: dict[tuple[str, str], float] = {}
    for act, seconds in acts:
        act(history)
        before = {id_: state.open_seconds for id_, state in history.states.items()}
        history.run(seconds)
        for id_, state in history.states.items():
            assert before[id_] <= state.open_seconds <= history.now.wall
            for station_id in state.records:
                counted = inactive_open_seconds(state, station_id) or 0.0
                assert seen.get((id_, station_id), 0.0) <= counted + 1e-6 or station_id not in (state.stations or {})
                assert counted <= state.open_seconds + 1e-6
                seen[id_, station_id] = counted
            for key in [key for key in seen if key[0] == id_ and key[1] not in state.records]:
                del seen[key]
