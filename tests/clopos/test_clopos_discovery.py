from __future__ import annotations

import pytest
from clopos_fakes import (
    CREDENTIALS,
    TOKEN,
    Asked,
    client,
    no,
    ok,
    with_login,
)
from fakes import FakeClock, venue

from exporter.clopos.client import Client
from exporter.clopos.login import Credentials
from exporter.clopos.transport import ApiResponse
from exporter.model import DEFAULT_VENUE, Discovery, Failure, Reason, Snapshot, Venue

VENUE = venue()


# Discovery


def discovered(made: Client, known: tuple[Venue, ...] = ()) -> tuple[Venue, ...]:
    outcome = made.discover(30, known)
    assert isinstance(outcome, Discovery), outcome
    return outcome.venues


VENUES = ok(data=[{"id": 1, "name": "Gəncə"}, {"id": 2, "name": "Bakı"}])


def test_venues_are_those_that_clopos_lists(clock: FakeClock) -> None:
    made, transport = client(clock, with_login(clock, lambda _: VENUES), CREDENTIALS)
    assert discovered(made) == (venue("1", "Gəncə"), venue("2", "Bakı"))
    assert [asked.endpoint for asked in transport.asked] == ["auth", "venues"]
    assert "x-venue" not in transport.asked[1].headers


def test_listed_venues_with_names_are_not_asked_for_but_the_login_is_tried(clock: FakeClock) -> None:
    made, transport = client(clock, with_login(clock, lambda _: VENUES), CREDENTIALS, listed=(venue("9", "Mine"),))
    nine, now = (venue("9", "Mine"),), clock.now()
    assert made.discover(30) == Discovery(nine, now, listed=True, token_used=False)
    assert [asked.endpoint for asked in transport.asked] == ["auth"]


def test_listed_venues_without_names_take_them_from_clopos_where_it_knows_them(clock: FakeClock) -> None:
    listed = (venue("1", ""), venue("2", "Mine"), venue("9", ""))
    made, _ = client(clock, lambda _: VENUES, listed=listed)
    assert discovered(made) == (venue("1", "Gəncə"), venue("2", "Mine"), venue("9", "Venue 9"))


@pytest.mark.parametrize("answer", [no(403, "forbidden"), no(404, "not found"), no(400, "bad")])
def test_a_refused_list_is_a_failure_that_says_what_to_do_and_what_to_watch_meanwhile(
    clock: FakeClock, answer: ApiResponse
) -> None:
    made, _ = client(clock, lambda _: answer)
    default = Venue("tandir-group", DEFAULT_VENUE, "tandir-group")
    outcome = made.discover(30)
    assert isinstance(outcome, Failure)
    assert not outcome.brand_wide
    assert outcome.fallback == (made.default_venue,) == (default,)
    for known, fallback in (((default,), (default,)), ((venue("1"), default), ())):
        again = made.discover(30, known)
        assert isinstance(again, Failure)
        assert again.fallback == fallback, "other venues that are known go on being watched"
    assert outcome.message.startswith("the list of venues is refused: ")
    assert "`venues: default`" in outcome.message


def test_watching_the_default_venue_can_be_meant(clock: FakeClock) -> None:
    made, transport = client(clock, with_login(clock, lambda _: no(403, "forbidden")), CREDENTIALS)
    made.listed = (made.default_venue,)
    assert discovered(made) == (made.default_venue,)
    assert [asked.endpoint for asked in transport.asked] == ["auth"]


def test_listed_venues_keep_their_known_names_while_the_list_is_refused(clock: FakeClock) -> None:
    made, _ = client(clock, lambda _: no(403, "forbidden"), listed=(venue("1", ""), venue("2", "")))
    assert discovered(made, (venue("1", "Gəncə"),)) == (venue("1", "Gəncə"), venue("2", "Venue 2"))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (no(401, "Invalid credentials"), Reason.CREDENTIALS),
        (no(503, "no"), Reason.GATEWAY),
        (ok(), Reason.MALFORMED),
        (no(401, "Client is disabled"), Reason.CLIENT_DISABLED),
    ],
)
def test_any_other_failure_of_discovery_is_one(clock: FakeClock, answer: ApiResponse, reason: Reason) -> None:
    made, _ = client(clock, lambda _: answer)
    outcome = made.discover(30)
    assert isinstance(outcome, Failure)
    assert outcome.reason is reason
    assert not outcome.fallback


@pytest.mark.parametrize("credentials", [TOKEN, CREDENTIALS])
def test_a_token_that_the_first_discovery_is_refused_is_the_brands_failure(
    clock: FakeClock, credentials: Credentials | str
) -> None:
    made, _ = client(clock, with_login(clock, lambda _: no(401, "Unauthenticated.")), credentials)
    outcome = made.discover(30)
    assert isinstance(outcome, Failure)
    assert outcome.brand_wide


def test_a_token_that_venues_accept_and_the_list_does_not_fails_the_list_alone(clock: FakeClock) -> None:
    def script(asked: Asked) -> ApiResponse:
        return no(401, "Unauthenticated.") if asked.endpoint == "venues" else ok(data=[], total=0)

    made, _ = client(clock, with_login(clock, script), CREDENTIALS)
    assert isinstance(made.poll(VENUE, 30), Snapshot)
    outcome = made.discover(30)
    assert isinstance(outcome, Failure)
    assert (outcome.reason, outcome.brand_wide) == (Reason.FORBIDDEN, False)
    assert outcome.fallback


def test_a_failed_login_is_brand_wide_wherever_it_is_met(clock: FakeClock) -> None:
    made, _ = client(clock, lambda _: no(401, "Invalid credentials"), CREDENTIALS)
    for outcome in (made.discover(30), made.poll(VENUE, 30)):
        assert isinstance(outcome, Failure)
        assert outcome.brand_wide
