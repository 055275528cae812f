from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from threading import Event
from typing import Any

import pytest
from clopos_fakes import CREDENTIALS, SECRET, TOKEN, Asked, Script, Tokens, client, no, ok, trouble
from fakes import FakeClock, at, venue
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.clopos.client import ATTEMPTS, DEFAULT_VENUE, MOST_PAGES, PAGE_SIZE, Client
from exporter.clopos.quota import Address
from exporter.clopos.transport import Answer
from exporter.errors import CloposError, Stopped
from exporter.model import Discovery, Failure, Reason, Snapshot, Venue

SORTS = ["id", "name", "created_at"]
VENUE = venue()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def row(id_: int, **rest: Any) -> dict[str, Any]:
    return {"id": id_, "name": f"Station {id_}", "status": 1, "type": 1, "printable": 1, **rest}


def listing(*rows: Any, total: int | None = None, sorts: object = SORTS) -> Script:
    """Serve rows by pages, as Clopos does."""

    def script(asked: Asked) -> Answer:
        begin = (asked.params["page"] - 1) * asked.params["limit"]
        page = list(rows)[begin : begin + asked.params["limit"]]
        return ok(data=page, total=len(rows) if total is None else total, sorts=sorts)

    return script


def in_turn(*answers: Answer | CloposError | Script) -> Script:
    """Give one answer after the other, the last one for ever."""
    left = list(answers)

    def script(asked: Asked) -> Answer | CloposError:
        following = left.pop(0) if len(left) > 1 else left[0]
        return following(asked) if callable(following) else following

    return script


def good(made: Client, seconds: float = 30.0) -> Snapshot:
    outcome = made.poll(VENUE, seconds)
    assert isinstance(outcome, Snapshot), outcome
    return outcome


def bad(made: Client, seconds: float = 30.0) -> Failure:
    outcome = made.poll(VENUE, seconds)
    assert isinstance(outcome, Failure), outcome
    return outcome


# Complete or nothing


def test_one_page_is_one_request_for_the_venue_with_the_largest_pages(clock: FakeClock) -> None:
    made, transport = client(clock, listing(row(1), row(2)), seconds=0.3)
    outcome = good(made)
    assert [station.id for station in outcome.stations] == ["1", "2"]
    assert (outcome.requests, outcome.duration, outcome.at) == (1, pytest.approx(0.3), at(0.3))
    (asked,) = transport.asked
    assert asked.params == {"limit": 200, "page": 1}
    assert asked.headers == {"x-token": TOKEN, "x-venue": "7"}


def test_the_default_venue_is_the_one_that_the_token_itself_stands_for(clock: FakeClock) -> None:
    made, transport = client(clock, listing())
    made.poll(Venue("tandir-group", DEFAULT_VENUE, "tandir-group"), 30)
    assert transport.asked[0].headers == {"x-token": TOKEN}


def test_a_venue_without_stations_is_a_complete_answer(clock: FakeClock) -> None:
    made, _ = client(clock, listing())
    assert good(made).stations == ()


@pytest.mark.parametrize(("count", "pages"), [(1, 1), (200, 1), (201, 2), (400, 2), (401, 3)])
def test_all_pages_are_read(clock: FakeClock, count: int, pages: int) -> None:
    made, transport = client(clock, listing(*map(row, range(count)), sorts=None))
    outcome = good(made)
    assert [int(station.id) for station in outcome.stations] == list(range(count))
    assert outcome.requests == pages
    assert [asked.params["page"] for asked in transport.asked] == list(range(1, pages + 1))


def test_a_stable_order_is_asked_for_once_there_are_pages_and_the_api_offers_it(clock: FakeClock) -> None:
    made, transport = client(clock, listing(*map(row, range(250))))
    good(made)
    good(made)
    sorted_by = [asked.params.get("sort[0]") for asked in transport.asked]
    assert sorted_by == [None, "id", "id", "id", "id"], "the first page again, and from then on at once"
    assert transport.asked[1].params["sort[1]"] == 1


def test_filters_are_the_apis_own_parameters(clock: FakeClock) -> None:
    made, transport = client(clock, listing())
    made.stations(VENUE, 30, status=0, can_print=True)
    assert transport.asked[0].params == {"limit": PAGE_SIZE, "page": 1, "status": 0, "can_print": "true"}


def moved(asked: Asked) -> Answer:
    return listing(*map(row, range(250 - asked.params["page"])))(asked)


def short(asked: Asked) -> Answer:
    return listing(row(1), total=2)(asked)


def twice(asked: Asked) -> Answer:
    return listing(row(1), row(1))(asked)


@pytest.mark.parametrize("unsteady", [moved, short, twice])
def test_a_list_that_moved_is_read_once_more(clock: FakeClock, unsteady: Script) -> None:
    turns = [unsteady] * (2 if unsteady is moved else 1)
    made, _ = client(clock, in_turn(*turns, listing(row(1), row(2), sorts=None)))
    made._sort = {"sort[0]": "id", "sort[1]": 1}
    assert len(good(made).stations) == 2


@pytest.mark.parametrize("unsteady", [moved, short, twice])
def test_a_list_that_moved_twice_is_incomplete(clock: FakeClock, unsteady: Script) -> None:
    made, _ = client(clock, unsteady)
    assert bad(made).reason is Reason.INCOMPLETE


def test_a_claim_of_endless_stations_is_not_followed(clock: FakeClock) -> None:
    made, transport = client(clock, listing(row(1), total=MOST_PAGES * PAGE_SIZE + 1))
    assert bad(made).reason is Reason.TOO_LARGE
    assert len(transport.asked) == 1


def test_a_row_without_an_id_is_named_and_a_deleted_one_is_left_out_and_neither_hides_the_others(
    clock: FakeClock,
) -> None:
    odd: list[tuple[Venue, str]] = []
    rows = [row(1), {"name": "No id"}, row(2, deleted_at="2026-01-13T14:36:51Z")]
    made, _ = client(clock, listing(*rows), on_unusable=lambda *told: odd.append(told))
    assert [station.id for station in good(made).stations] == ["1"]
    assert odd == [(VENUE, "{'name': 'No id'}")]


@pytest.mark.parametrize("answer", [ok(), ok(data=[]), ok(data={}, total=0), ok(data=[], total="many")])
def test_an_answer_that_is_no_list_is_malformed(clock: FakeClock, answer: Answer) -> None:
    made, _ = client(clock, lambda _: answer)
    assert bad(made).reason is Reason.MALFORMED


@given(st.lists(st.lists(st.integers(1, 4), max_size=4), min_size=1, max_size=4), st.integers(0, 5))
@settings(deadline=None)
def test_whatever_pages_come_the_outcome_is_complete_or_a_failure(pages: list[list[int]], total: int) -> None:
    def script(asked: Asked) -> Answer:
        return ok(data=[row(id_) for id_ in pages[(asked.params["page"] - 1) % len(pages)]], total=total)

    made, _ = client(FakeClock(), script)
    outcome = made.poll(VENUE, 30)
    if isinstance(outcome, Snapshot):
        assert len({station.id for station in outcome.stations}) == len(outcome.stations) == total
    else:
        assert outcome.reason is Reason.INCOMPLETE


def test_each_page_has_the_time_of_a_poll_however_many_there_are(clock: FakeClock) -> None:
    made, _ = client(clock, listing(*map(row, range(2000)), sorts=None), requests_per_minute=60)
    outcome = good(made, seconds=1.5)
    assert outcome.requests == 10
    assert outcome.duration > 5


# Tokens


def expired(token: str) -> Script:
    """Refuse one token, and serve every other."""
    return lambda asked: no(401, "Token expired") if asked.headers["x-token"] == token else listing(row(1))(asked)


def with_login(clock: FakeClock, script: Script, auth: Callable[[], Answer] | None = None) -> Script:
    tokens = auth or Tokens(clock)
    return lambda asked: tokens() if asked.endpoint == "auth" else script(asked)


@pytest.mark.parametrize("message", ["Token expired", "Invalid token"])
def test_a_token_that_is_no_longer_good_is_renewed_once_and_the_request_repeated(
    clock: FakeClock, message: str
) -> None:
    made, transport = client(clock, with_login(clock, in_turn(no(401, message), listing(row(1)))), CREDENTIALS)
    assert len(good(made).stations) == 1
    assert [asked.endpoint for asked in transport.asked] == ["auth", "stations", "auth", "stations"]
    assert transport.asked[-1].headers["x-token"] == "jwt-2"


def test_a_new_token_that_is_refused_too_is_not_renewed_at_speed(clock: FakeClock) -> None:
    made, transport = client(clock, with_login(clock, lambda _: no(401, "Token expired")), CREDENTIALS)
    outcome = bad(made)
    assert (outcome.reason, outcome.brand_wide) == (Reason.TOKEN, True)
    for _ in range(10):
        bad(made)
        clock.forward(1)
    assert transport.count("auth") == 2


def test_a_ready_token_that_is_refused_is_told_and_asked_again_later_each_time(clock: FakeClock) -> None:
    made, transport = client(clock, lambda _: no(401, "Invalid token"))
    for _ in range(1000):
        assert bad(made).reason is Reason.TOKEN
        clock.forward(1)
    assert transport.count("auth") == 0
    assert transport.count("stations") <= 7


def test_all_pages_are_read_though_the_token_ends_between_them(clock: FakeClock) -> None:
    pages = listing(*map(row, range(250)), sorts=None)
    script = in_turn(pages, no(401, "Token expired"), pages)
    made, _ = client(clock, with_login(clock, script), CREDENTIALS)
    assert len(good(made).stations) == 250


# Trouble


@pytest.mark.parametrize(
    "answer",
    [no(500, "no"), no(502, "no"), no(503, "no"), no(504, "no"), trouble(), trouble(Reason.TIMEOUT)],
    ids=["500", "502", "503", "504", "connection", "timeout"],
)
def test_transient_trouble_is_asked_again_within_the_poll_after_a_pause(
    clock: FakeClock, answer: Answer | CloposError
) -> None:
    made, transport = client(clock, in_turn(answer, answer, listing(row(1))))
    assert len(good(made).stations) == 1
    first, second, third = (asked.at for asked in transport.asked)
    assert 0.25 <= second - first <= 0.75
    assert 0.5 <= third - second <= 1.5


def test_trouble_that_lasts_is_a_failure_after_a_few_attempts(clock: FakeClock) -> None:
    made, transport = client(clock, lambda _: no(503, "Service unavailable"))
    assert bad(made) == Failure(
        Reason.GATEWAY, "Service unavailable (HTTP 503)", clock.now(), clock.now().steady - transport.asked[0].at
    )
    assert len(transport.asked) == ATTEMPTS


def test_trouble_is_not_asked_again_beyond_the_time_of_the_poll(clock: FakeClock) -> None:
    made, transport = client(clock, lambda _: no(504, "no"), seconds=8.0)
    assert bad(made, seconds=8.1).reason is Reason.GATEWAY_TIMEOUT
    assert len(transport.asked) == 1


def test_an_outage_is_not_answered_with_ever_more_requests(clock: FakeClock) -> None:
    made, transport = client(clock, lambda _: no(503, "no"))
    for _ in range(100):
        bad(made)
    assert len(transport.asked) <= 110


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (no(400, "bad"), Reason.BAD_REQUEST),
        (no(403, "forbidden"), Reason.FORBIDDEN),
        (no(404, "not found"), Reason.NOT_FOUND),
        (trouble(Reason.TLS), Reason.TLS),
        (trouble(Reason.TOO_LARGE), Reason.TOO_LARGE),
        (trouble(Reason.REDIRECTED), Reason.REDIRECTED),
        (no(200, "Integrator is in test mode. But brand is not in test mode"), Reason.TEST_MODE),
    ],
)
def test_what_asking_again_cannot_mend_is_asked_once(
    clock: FakeClock, answer: Answer | CloposError, reason: Reason
) -> None:
    made, transport = client(clock, lambda _: answer)
    assert bad(made).reason is reason
    assert len(transport.asked) == 1


def test_a_venue_that_is_forbidden_is_asked_again_up_to_every_fifteen_minutes_and_the_others_as_ever(
    clock: FakeClock,
) -> None:
    def script(asked: Asked) -> Answer:
        return no(403, "forbidden") if asked.headers["x-venue"] == "7" else listing(row(1))(asked)

    made, transport = client(clock, script)
    for _ in range(360):
        assert bad(made).reason is Reason.FORBIDDEN
        assert isinstance(made.poll(venue("8"), 30), Snapshot)
        clock.forward(10)
    forbidden = [asked.at for asked in transport.asked if asked.headers["x-venue"] == "7"]
    assert 8 <= len(forbidden) <= 11
    assert 890 <= forbidden[-1] - forbidden[-2] <= 920
    assert len(transport.asked) - len(forbidden) == 360


def test_a_venue_that_is_not_found_is_asked_at_every_poll_for_it_may_come_back(clock: FakeClock) -> None:
    made, transport = client(clock, lambda _: no(404, "not found"))
    for _ in range(5):
        assert bad(made).reason is Reason.NOT_FOUND
    assert len(transport.asked) == 5


def test_a_disabled_brand_is_asked_for_no_venue_until_its_time_has_come_and_recovers(clock: FakeClock) -> None:
    answers = {"now": no(401, "Client is disabled")}
    made, transport = client(clock, lambda asked: answers["now"] if answers else listing(row(1))(asked))
    for id_ in "123":
        outcome = made.poll(venue(id_), 30)
        assert isinstance(outcome, Failure)
        assert (outcome.reason, outcome.brand_wide) == (Reason.CLIENT_DISABLED, True)
    assert len(transport.asked) == 1
    answers.clear()
    clock.forward(16)
    assert len(good(made).stations) == 1
    assert len(good(made).stations) == 1


def test_somebody_who_says_it_is_mended_is_believed(clock: FakeClock) -> None:
    made, _ = client(clock, in_turn(no(401, "Client is disabled"), listing(row(1))))
    bad(made)
    bad(made)
    made.ask_again()
    assert len(good(made).stations) == 1


def test_the_end_of_the_process_is_neither_a_success_nor_a_failure(clock: FakeClock) -> None:
    stop = Event()

    def script(_asked: Asked) -> Answer:
        stop.set()
        return no(503, "no")

    made, _ = client(clock, script, stop=stop)
    with pytest.raises(Stopped):
        made.poll(VENUE, 30)


# Rates


LIMITED = no(429, "Too many requests", {"RateLimit-Reset": "5", "Retry-After": "7"})


def test_a_429_waits_for_what_the_headers_say_and_asks_again(clock: FakeClock) -> None:
    made, transport = client(clock, in_turn(LIMITED, listing(row(1))))
    good(made)
    first, second = (asked.at for asked in transport.asked)
    assert second - first == pytest.approx(7, abs=0.8)


def test_a_429_that_outlasts_the_poll_is_a_failure_and_holds_the_brand_and_no_other(clock: FakeClock) -> None:
    address = Address(clock, Event())
    made, transport = client(clock, in_turn(LIMITED, listing(row(1))), address=address)
    other, of_other = client(clock, listing(row(1)), address=address)
    assert bad(made, seconds=3).reason is Reason.RATE_LIMITED
    assert made.quota.next_at() == clock.steady() + 7
    assert isinstance(other.poll(VENUE, 30), Snapshot)
    assert of_other.asked[0].at == clock.steady()
    assert len(transport.asked) == 1


def test_requests_of_a_brand_are_paced_evenly(clock: FakeClock) -> None:
    made, transport = client(clock, listing(row(1)), requests_per_minute=240, seconds=0.1)
    for _ in range(50):
        good(made)
    times = [asked.at for asked in transport.asked]
    for first, later in pairwise(times[2:]):
        assert later - first == pytest.approx(0.25)


def test_the_pace_follows_what_the_answers_say_of_the_quota(clock: FakeClock) -> None:
    told = {"RateLimit-Limit": "300", "RateLimit-Remaining": "12", "RateLimit-Reset": "30"}
    made, transport = client(clock, lambda _: ok(told, data=[], total=0), requests_per_minute=240)
    for _ in range(10):
        good(made)
    times = [asked.at for asked in transport.asked]
    assert times[-1] - times[-2] == pytest.approx(1.0)
    assert (made.quota.limit, made.quota.remaining) == (300, 12)


def test_an_address_that_failed_often_holds_back_before_clopos_shuts_it_out(clock: FakeClock) -> None:
    made, transport = client(clock, lambda _: no(404, "not found"), requests_per_minute=60_000)
    reasons = [bad(made, seconds=0.1).reason for _ in range(400)]
    assert len(transport.asked) < 250
    assert reasons[-1] is Reason.THROTTLED
    times = [asked.at for asked in transport.asked]
    clock.forward(1)
    assert bad(made, seconds=5).reason is Reason.NOT_FOUND
    assert times


# Discovery


def discovered(made: Client, known: tuple[Venue, ...] = ()) -> tuple[Venue, ...]:
    outcome = made.discover(30, known)
    assert isinstance(outcome, Discovery), outcome
    return outcome.venues


VENUES = ok(data=[{"id": 1, "name": "Gəncə"}, {"id": 2, "name": "Bakı"}])


def test_venues_are_those_that_clopos_tells(clock: FakeClock) -> None:
    made, transport = client(clock, with_login(clock, lambda _: VENUES), CREDENTIALS)
    assert discovered(made) == (venue("1", "Gəncə"), venue("2", "Bakı"))
    assert [asked.endpoint for asked in transport.asked] == ["auth", "venues"]
    assert "x-venue" not in transport.asked[1].headers


def test_listed_venues_with_names_are_not_asked_for_but_the_login_is_tried(clock: FakeClock) -> None:
    made, transport = client(clock, with_login(clock, lambda _: VENUES), CREDENTIALS, venues=(venue("9", "Mine"),))
    assert discovered(made) == (venue("9", "Mine"),)
    assert [asked.endpoint for asked in transport.asked] == ["auth"]


def test_listed_venues_without_names_take_them_from_clopos_where_it_knows_them(clock: FakeClock) -> None:
    listed = (venue("1", ""), venue("2", "Mine"), venue("9", ""))
    made, _ = client(clock, lambda _: VENUES, venues=listed)
    assert discovered(made) == (venue("1", "Gəncə"), venue("2", "Mine"), venue("9", "Venue 9"))


@pytest.mark.parametrize("answer", [no(403, "forbidden"), no(404, "not found"), no(400, "bad")])
def test_where_clopos_does_not_tell_the_tokens_default_venue_stands_for_the_brand(
    clock: FakeClock, answer: Answer
) -> None:
    made, _ = client(clock, lambda _: answer)
    assert discovered(made) == (Venue("tandir-group", DEFAULT_VENUE, "tandir-group"),)


def test_being_refused_the_list_unmakes_no_venue_that_is_known(clock: FakeClock) -> None:
    made, _ = client(clock, lambda _: no(403, "forbidden"))
    outcome = made.discover(30, (venue("1"), venue("2")))
    assert isinstance(outcome, Failure)
    assert outcome.reason is Reason.FORBIDDEN


def test_listed_venues_keep_their_known_names_while_the_list_is_refused(clock: FakeClock) -> None:
    made, _ = client(clock, lambda _: no(403, "forbidden"), venues=(venue("1", ""), venue("2", "")))
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
def test_any_other_failure_of_discovery_is_one(clock: FakeClock, answer: Answer, reason: Reason) -> None:
    made, _ = client(clock, lambda _: answer)
    outcome = made.discover(30)
    assert isinstance(outcome, Failure)
    assert outcome.reason is reason


def test_a_failed_login_is_brand_wide_wherever_it_is_met(clock: FakeClock) -> None:
    made, _ = client(clock, lambda _: no(401, "Invalid credentials"), CREDENTIALS)
    for outcome in (made.discover(30), made.poll(VENUE, 30)):
        assert isinstance(outcome, Failure)
        assert outcome.brand_wide


# Secrets


def test_a_token_that_clopos_repeats_is_masked_in_what_is_told(clock: FakeClock) -> None:
    made, _ = client(clock, lambda asked: no(403, f"no {asked.headers['x-token']}"))
    for _ in range(2):
        assert bad(made).message == "no <secret> (HTTP 403)"


def test_no_secret_is_in_the_repr_of_the_client_or_what_it_logs_in_with(clock: FakeClock) -> None:
    made, _ = client(clock, with_login(clock, listing(row(1))), CREDENTIALS)
    good(made)
    shown = " ".join(map(repr, (made, made.login, made.quota, CREDENTIALS)))
    assert SECRET not in shown
    assert "jwt-1" not in shown


def test_closing_lets_the_connections_go(clock: FakeClock) -> None:
    made, transport = client(clock, listing(row(1)))
    made.close()
    assert transport.closed
