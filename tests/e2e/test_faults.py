"""Every fault of the simulator's catalogue at every step: what the metrics and the log say, and that it recovers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import pytest
from trials import Place, Trial, try_faults

from exporter.model import Reason
from exporter.simulator.misbehaviour import CATALOGUE
from exporter.texts import remedy

PAGES = {
    "bad_gateway": Reason.GATEWAY,
    "bad_request": Reason.BAD_REQUEST,
    "broken_gzip": Reason.MALFORMED,
    "client_disabled": Reason.CLIENT_DISABLED,
    "dead_integrator": Reason.INTEGRATOR,
    "deep_json": Reason.MALFORMED,
    "disconnect": Reason.CONNECTION,
    "empty": Reason.MALFORMED,
    "endless_body": Reason.TOO_LARGE,
    "fields": None,
    "forbidden": Reason.FORBIDDEN,
    "garbage": Reason.MALFORMED,
    "gateway_timeout": Reason.GATEWAY_TIMEOUT,
    "giant_integer": Reason.MALFORMED,
    "growing_list": Reason.INCOMPLETE,
    "gzip_bomb": Reason.TOO_LARGE,
    "half_gzip": Reason.MALFORMED,
    "hang": Reason.TIMEOUT,
    "huge_headers": Reason.CONNECTION,
    "invalid_utf8": Reason.MALFORMED,
    "latency": None,
    "many_headers": Reason.CONNECTION,
    "moving_list": Reason.INCOMPLETE,
    "not_an_object": Reason.MALFORMED,
    "not_found": Reason.NOT_FOUND,
    "rate_limited": Reason.RATE_LIMITED,
    "redirect": Reason.REDIRECTED,
    "reset": Reason.CONNECTION,
    "row_duplicated": Reason.INCOMPLETE,
    "row_missing": Reason.INCOMPLETE,
    "server_error": Reason.GATEWAY,
    "set_cookie": None,
    "shrinking_list": Reason.INCOMPLETE,
    "slow_body": Reason.TIMEOUT,
    "slow_headers": Reason.TIMEOUT,
    "status": Reason.BAD_REQUEST,
    "test_mode": Reason.TEST_MODE,
    "token_expired": Reason.TOKEN,
    "token_invalid": Reason.TOKEN,
    "total_wrong": None,
    "truncated": Reason.MALFORMED,
    "unavailable": Reason.GATEWAY,
    "wrong_credentials": Reason.CREDENTIALS,
}
"""Why a poll fails under each fault, None where it must not."""

# Only the rows of several pages can move against each other. A second page here holds a single row, so that what moves
# by one row does so in the same way each time, and is taken for what it shows.
HARMLESS = {
    "first page": {"growing_list", "moving_list", "shrinking_list"},
    "second page": {"growing_list", "row_duplicated", "row_missing", "shrinking_list"},
    # These lists have no total to be held against; a venue is removed only when two of them lack it.
    "venues": {"growing_list", "moving_list", "row_duplicated", "row_missing", "shrinking_list", "total_wrong"},
    "auth": {"growing_list", "moving_list", "row_duplicated", "row_missing", "shrinking_list", "total_wrong"},
}

PARTS = 10
"""Processes among which the faults at the login are divided: the brands of one share its login backoff."""

AT_ONCE = 4
"""Processes at the same time: they wait more than they compute."""

UNHURRIED = {"hang", "slow_body", "slow_headers"}
"""They show after the client's own timeout of 12 or 20 s."""


def expected(place: Place, *, unhurried: bool) -> dict[str, Reason | None]:
    return {
        kind: None if kind in HARMLESS[place] else reason
        for kind, reason in PAGES.items()
        if (kind in UNHURRIED) is unhurried
    }


def test_every_fault_of_the_catalogue_is_tried() -> None:
    assert PAGES.keys() == CATALOGUE.keys()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["first page", "second page", "venues"])
def test_a_fault_shows_as_it_should_and_leaves_nothing_behind(
    place: Place, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    try_all([(place, expected(place, unhurried=False))], tmp_path, subtests)


@pytest.mark.slow
def test_a_fault_that_takes_its_time_shows_as_it_should(tmp_path: Path, subtests: pytest.Subtests) -> None:
    try_all([(place, expected(place, unhurried=True)) for place in get_args(Place)], tmp_path, subtests)


@pytest.mark.slow
def test_a_fault_at_the_login_shows_as_it_should(tmp_path: Path, subtests: pytest.Subtests) -> None:
    kinds = expected("auth", unhurried=False)
    alone = {"rate_limited": kinds.pop("rate_limited")}  # it holds up the logins of all brands, as it has to
    parts = [alone, *(dict(list(kinds.items())[part::PARTS]) for part in range(PARTS))]
    try_all([("auth", part) for part in parts], tmp_path, subtests)


def try_all(
    parts: Sequence[tuple[Place, Mapping[str, Reason | None]]], folder: Path, subtests: pytest.Subtests
) -> None:
    """Try each part in a process of its own."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        begun = [
            pool.submit(try_faults, folder / str(number), place, kinds) for number, (place, kinds) in enumerate(parts)
        ]
    for (place, kinds), trials in zip(parts, begun, strict=True):
        for kind, trial in trials.result().items():
            with subtests.test(f"{kind}, {place}"):
                if kinds[kind] is None:
                    nothing_shows(trial)
                elif place == "venues":
                    the_list_of_venues_fails(trial, str(kinds[kind]))
                else:
                    polls_fail(trial, str(kinds[kind]), login=place == "auth")
                all_is_as_before(trial)


def nothing_shows(trial: Trial) -> None:
    assert not trial.emitted_during
    assert trial.during.total("clopos_venue_poll_failures_total", brand=trial.kind) == 0
    assert not trial.during.all("clopos_exporter_poll_failures_total", brand=trial.kind)
    assert trial.during.value("clopos_brand_up", brand=trial.kind) == 1


def the_list_of_venues_fails(trial: Trial, reason: str) -> None:
    during, brand = trial.during, trial.kind
    assert during.value("clopos_brand_up", brand=brand) == 0
    assert (during.value("clopos_exporter_poll_failures_total", brand=brand, reason=reason) or 0) > 0
    if reason == Reason.RATE_LIMITED:
        return  # It is about polls too.
    assert [event["event"] for event in trial.emitted_during] == ["brand.discovery_failed"]
    assert trial.emitted_during[0]["reason"] == reason
    assert {up for _, up in during.all("clopos_venue_up", brand=brand)} == {1}
    assert during.total("clopos_venue_poll_failures_total", brand=brand) == 0


def polls_fail(trial: Trial, reason: str, *, login: bool) -> None:
    before, during, brand = trial.before, trial.during, trial.kind
    assert {up for _, up in during.all("clopos_venue_up", brand=brand)} == {0}
    assert during.value("clopos_brand_up", brand=brand) == (0 if login else 1)
    assert (during.value("clopos_exporter_poll_failures_total", brand=brand, reason=reason) or 0) > 0
    for name in ("clopos_station_active", "clopos_stations", "clopos_stations_active"):
        assert during.all(name, brand=brand) == before.all(name, brand=brand), "the last values stay"
    for labels, failures in during.all("clopos_venue_poll_failures_total", brand=brand):
        assert 0 < failures < (during.value("clopos_venue_polls_total", **labels) or 0)
    lost = [event for event in trial.emitted_during if event["event"] == "venue.lost"]
    venues = [labels["venue_id"] for labels, _ in before.all("clopos_venue_up", brand=brand)]
    assert sorted(event["venue_id"] for event in lost) == sorted(venues), "once an outage, not once a poll"
    assert reason in {event["reason"] for event in lost}
    assert all(event["level"] == "error" and event["message"] for event in lost)
    logins = [event for event in trial.emitted_during if event["event"] == "brand.login_failed"]
    assert len(logins) == login
    for event in logins:
        assert (event["reason"], event["level"], event["remedy"]) == (reason, "error", remedy(Reason(reason)))
    assert len(trial.emitted_during) == len(lost) + len(logins)
    if Reason(reason).is_configuration:  # only a person can fix it, so that asking again is of no use
        asked = Counter((entry.endpoint, entry.venue, entry.page) for entry in trial.asked_during)
        assert max(asked.values()) <= 2, "the one that is refused, and perhaps one that was under way"


def all_is_as_before(trial: Trial) -> None:
    before, after, brand = trial.before, trial.after, trial.kind
    emitted = Counter((event["event"], event.get("venue_id"), event["reason"]) for event in trial.emitted_during)
    ends = Counter((event["event"], event.get("venue_id"), event["reason"]) for event in trial.emitted_after)
    emitted += ends
    for (event, venue, reason), times in emitted.items():
        if event in _ENDS:
            assert emitted[_ENDS[event], venue, reason] == times, "what was logged as lost is logged as recovered"
    assert {event.split(".")[0] for event, _, _ in emitted} <= {"brand", "venue"}
    for name in ("clopos_station_active", "clopos_stations"):
        assert after.all(name, brand=brand) == before.all(name, brand=brand)
    assert after.total("clopos_station_transitions_total", brand=brand) == 0
    for labels, polls in before.all("clopos_venue_polls_total", brand=brand):
        assert (after.value("clopos_venue_polls_total", **labels) or 0) > polls


_ENDS = {
    "venue.lost": "venue.recovered",
    "brand.login_failed": "brand.login_recovered",
    "brand.discovery_failed": "brand.discovery_recovered",
}
