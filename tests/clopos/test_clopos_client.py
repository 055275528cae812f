from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from email.utils import formatdate
from itertools import pairwise
from threading import Event
from urllib.parse import quote

import pytest
from clopos_fakes import (
    CREDENTIALS,
    SECRET,
    Asked,
    Script,
    Tokens,
    bad,
    client,
    good,
    in_order,
    listing,
    no,
    ok,
    row,
    trouble,
    with_login,
)
from fakes import FakeClock, venue
from structlog.testing import capture_logs

from exporter.clopos.client import MAX_ATTEMPTS
from exporter.clopos.limits import IpLimits
from exporter.clopos.transport import ApiResponse
from exporter.errors import CloposError, Stopped
from exporter.model import Failure, Reason, Snapshot

VENUE = venue()


# Tokens


def expired(token: str) -> Script:
    """Refuse one token, and serve every other."""
    return lambda asked: no(401, "Token expired") if asked.headers["x-token"] == token else listing(row(1))(asked)


@pytest.mark.parametrize(
    "message", ["Token expired", "Invalid token", "Unauthenticated.", "unauthorized", "Jeton invalide", ""]
)
def test_a_token_that_is_no_longer_good_is_renewed_once_and_the_request_repeated(
    clock: FakeClock, message: str
) -> None:
    made, transport = client(clock, with_login(clock, in_order(no(401, message), listing(row(1)))), CREDENTIALS)
    assert len(good(made).stations) == 1
    assert [asked.endpoint for asked in transport.asked] == ["auth", "stations", "auth", "stations"]
    assert transport.asked[-1].headers["x-token"] == "jwt-2"


def test_a_401_of_one_venue_is_that_venues_alone(clock: FakeClock) -> None:
    def script(asked: Asked) -> ApiResponse | CloposError:
        return no(401, "Unauthenticated.") if asked.headers["x-venue"] == "7" else listing(row(1))(asked)

    made, transport = client(clock, with_login(clock, script), CREDENTIALS)
    for _ in range(360):
        outcome = bad(made)
        assert (outcome.reason, outcome.brand_wide) == (Reason.FORBIDDEN, False)
        assert outcome.message == "Unauthenticated. (HTTP 401), with a new token too"
        for id_ in "89":
            assert isinstance(made.poll(venue(id_), 30), Snapshot)
        clock.forward(10)
    assert transport.count("auth") == 3, "at the start, after the rejection, and when the token ended"


def test_two_venues_that_are_refused_side_by_side_end_no_other(clock: FakeClock) -> None:
    def script(asked: Asked) -> ApiResponse | CloposError:
        return no(401, "Unauthenticated.") if asked.headers["x-venue"] in "78" else listing(row(1))(asked)

    made, _ = client(clock, with_login(clock, script), CREDENTIALS)
    outcomes: list[Snapshot | Failure] = []
    for _ in range(360):
        outcomes += [made.poll(venue(id_), 30) for id_ in "789"]
        clock.forward(10)
    brand_wide = [outcome for outcome in outcomes if isinstance(outcome, Failure) and outcome.brand_wide]
    assert len(brand_wide) <= 1, "until the third venue shows that it is not the brand"
    assert sum(isinstance(outcome, Snapshot) for outcome in outcomes) == 360


def test_a_new_token_that_two_venues_are_refused_is_the_brands_failure(clock: FakeClock) -> None:
    made, transport = client(clock, with_login(clock, lambda _: no(401, "Token expired")), CREDENTIALS)
    assert not bad(made).brand_wide
    outcome = made.poll(venue("8"), 30)
    assert isinstance(outcome, Failure)
    assert (outcome.reason, outcome.brand_wide) == (Reason.TOKEN, True)
    logins = transport.count("auth")
    for id_ in range(9, 100):
        outcome = made.poll(venue(str(id_)), 30)
        assert isinstance(outcome, Failure)
        assert outcome.brand_wide
    assert transport.count("auth") == logins, "no other token is asked for until its time has come"


def test_the_only_venue_stands_for_the_brand(clock: FakeClock) -> None:
    made, _ = client(clock, lambda _: no(401, "Token expired"), listed=(VENUE,))
    outcome = bad(made)
    assert (outcome.reason, outcome.brand_wide) == (Reason.TOKEN, True)


def test_a_login_that_fails_after_a_glitch_leaves_the_other_venues_their_token(clock: FakeClock) -> None:
    tokens = Tokens(clock)

    def auth() -> ApiResponse:
        return no(503, "no") if tokens.given else tokens()

    def script(asked: Asked) -> ApiResponse | CloposError:
        return no(401, "Unauthenticated.") if asked.headers["x-venue"] == "7" else listing(row(1))(asked)

    made, _ = client(clock, with_login(clock, script, auth), CREDENTIALS)
    for _ in range(10):
        assert not bad(made).brand_wide
        assert isinstance(made.poll(venue("8"), 30), Snapshot)
        clock.forward(10)


def test_what_the_login_says_is_the_brands_failure_whatever_a_venue_said(clock: FakeClock) -> None:
    tokens = Tokens(clock)

    def auth() -> ApiResponse:
        return no(401, "Client is disabled") if tokens.given else tokens()

    made, _ = client(clock, with_login(clock, lambda _: no(401, "Unauthenticated."), auth), CREDENTIALS)
    outcome = bad(made)
    assert (outcome.reason, outcome.brand_wide) == (Reason.CLIENT_DISABLED, True)


def test_an_answer_to_an_older_token_does_not_end_a_failure_of_the_brand(clock: FakeClock) -> None:
    """A request that began before the login failed, and is answered after."""
    tokens = Tokens(clock)
    answers: list[Snapshot | Failure] = []

    def auth() -> ApiResponse:
        return no(401, "Invalid credentials") if tokens.given else tokens()

    def script(asked: Asked) -> ApiResponse | CloposError:
        if asked.headers["x-venue"] == "8" and not answers:
            answers.append(bad(made))
            clock.forward(1)
            return listing(row(1))(asked)
        return no(401, "Token expired")

    made, transport = client(clock, with_login(clock, script, auth), CREDENTIALS, seconds=1.0)
    late = made.poll(venue("8"), 30)
    (failure,) = answers
    assert isinstance(failure, Failure)
    assert failure.brand_wide
    assert isinstance(late, Snapshot)
    assert late.at.monotonic - late.duration < failure.at.monotonic < late.at.monotonic
    sent = len(transport.asked)
    assert bad(made).brand_wide
    assert len(transport.asked) == sent, "the failure is remembered"


def test_a_ready_token_that_is_refused_is_a_failure_and_asked_again_later_each_time(clock: FakeClock) -> None:
    made, transport = client(clock, lambda _: no(401, "Invalid token"))
    for _ in range(1000):
        assert bad(made).reason is Reason.TOKEN
        clock.forward(1)
    assert transport.count("auth") == 0
    assert transport.count("stations") <= 8


def test_all_pages_are_read_though_the_token_ends_between_them(clock: FakeClock) -> None:
    pages = listing(*map(row, range(250)), sorts=None)
    script = in_order(pages, no(401, "Token expired"), pages)
    made, _ = client(clock, with_login(clock, script), CREDENTIALS)
    assert len(good(made).stations) == 250


# Trouble


@pytest.mark.parametrize(
    "answer",
    [no(500, "no"), no(502, "no"), no(503, "no"), no(504, "no"), trouble(), trouble(Reason.TIMEOUT)],
    ids=["500", "502", "503", "504", "connection", "timeout"],
)
def test_transient_trouble_is_asked_again_within_the_poll_after_a_pause(
    clock: FakeClock, answer: ApiResponse | CloposError
) -> None:
    made, transport = client(clock, in_order(answer, answer, listing(row(1))))
    assert len(good(made).stations) == 1
    first, second, third = (asked.at for asked in transport.asked)
    assert 0.25 <= second - first <= 0.75
    assert 0.5 <= third - second <= 1.5


def test_trouble_that_lasts_is_a_failure_after_a_few_attempts(clock: FakeClock) -> None:
    made, transport = client(clock, lambda _: no(503, "Service unavailable"))
    outcome = bad(made)
    duration = clock.monotonic() - transport.asked[0].at
    assert outcome == Failure(Reason.GATEWAY, "Service unavailable (HTTP 503)", clock.now(), duration)
    assert len(transport.asked) == MAX_ATTEMPTS


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
    clock: FakeClock, answer: ApiResponse | CloposError, reason: Reason
) -> None:
    made, transport = client(clock, lambda _: answer)
    assert bad(made).reason is reason
    assert len(transport.asked) == 1


def test_a_venue_that_is_forbidden_is_asked_again_up_to_every_five_minutes_and_the_others_as_ever(
    clock: FakeClock,
) -> None:
    def script(asked: Asked) -> ApiResponse | CloposError:
        return no(403, "forbidden") if asked.headers["x-venue"] == "7" else listing(row(1))(asked)

    made, transport = client(clock, script)
    for _ in range(360):
        assert bad(made).reason is Reason.FORBIDDEN
        assert isinstance(made.poll(venue("8"), 30), Snapshot)
        clock.forward(10)
    forbidden = [asked.at for asked in transport.asked if asked.headers["x-venue"] == "7"]
    assert 14 <= len(forbidden) <= 17
    assert 290 <= forbidden[-1] - forbidden[-2] <= 310
    assert len(transport.asked) - len(forbidden) == 360


def test_a_venue_that_is_not_found_is_asked_at_every_poll_for_it_may_come_back(clock: FakeClock) -> None:
    made, transport = client(clock, lambda _: no(404, "not found"))
    for _ in range(5):
        assert bad(made).reason is Reason.NOT_FOUND
    assert len(transport.asked) == 5


def test_a_disabled_brand_is_asked_for_each_venue_once_until_its_time_has_come_and_recovers(clock: FakeClock) -> None:
    answers = {"now": no(401, "Client is disabled")}
    made, transport = client(clock, lambda asked: answers["now"] if answers else listing(row(1))(asked))
    for id_ in "123" * 5:
        outcome = made.poll(venue(id_), 30)
        assert isinstance(outcome, Failure)
        assert (outcome.reason, outcome.brand_wide) == (Reason.CLIENT_DISABLED, id_ != "1")
    assert len(transport.asked) == 3
    answers.clear()
    clock.forward(16)
    assert len(good(made).stations) == 1
    assert len(good(made).stations) == 1


def test_somebody_who_says_it_is_mended_is_believed(clock: FakeClock) -> None:
    made, _ = client(clock, in_order(no(401, "Client is disabled"), listing(row(1))))
    bad(made)
    bad(made)
    made.reset_backoff()
    assert len(good(made).stations) == 1


def test_a_reload_lifts_what_clopos_asked_to_wait(clock: FakeClock) -> None:
    endless = no(429, "Too many requests", {"RateLimit-Reset": "999999", "Retry-After": "999999"})
    made, transport = client(clock, in_order(endless, listing(row(1))))
    assert bad(made).reason is Reason.RATE_LIMITED
    assert bad(made).reason is Reason.THROTTLED
    made.reset_backoff()
    assert len(good(made).stations) == 1
    assert transport.asked[-1].at - transport.asked[0].at < 1


def test_the_end_of_the_process_is_neither_a_success_nor_a_failure(clock: FakeClock) -> None:
    stop = Event()

    def script(_asked: Asked) -> ApiResponse:
        stop.set()
        return no(503, "no")

    made, _ = client(clock, script, stop=stop)
    with pytest.raises(Stopped):
        made.poll(VENUE, 30)


# Rates


LIMITED = no(429, "Too many requests", {"RateLimit-Reset": "5", "Retry-After": "7"})


def test_a_429_waits_for_what_the_headers_say_and_asks_again(clock: FakeClock) -> None:
    made, transport = client(clock, in_order(LIMITED, listing(row(1))))
    good(made)
    first, second = (asked.at for asked in transport.asked)
    assert second - first == pytest.approx(7, abs=0.8)


@pytest.mark.parametrize("reset", ["999999", "99999999999999", "300"])
def test_no_429_blinds_for_more_than_five_minutes(clock: FakeClock, reset: str) -> None:
    made, transport = client(clock, in_order(no(429, "no", {"RateLimit-Reset": reset}), listing(row(1))))
    bad(made)
    while isinstance(made.poll(VENUE, 30), Failure):
        clock.forward(1)
    first, second = (asked.at for asked in transport.asked)
    assert 298 <= second - first <= 301


def test_our_own_rate_limit_is_an_outcome_of_its_own(clock: FakeClock) -> None:
    made, _ = client(clock, in_order(no(429, "no", {"RateLimit-Reset": "200"}), listing(row(1))))
    bad(made)
    clock.forward(10)
    outcome = bad(made)
    assert outcome.reason is Reason.THROTTLED
    assert outcome.message == "not asked: Clopos wants no request for another 190 s"
    assert not outcome.brand_wide


def test_a_429_that_outlasts_the_poll_is_a_failure_and_holds_the_brand_and_no_other(clock: FakeClock) -> None:
    ip_limits = IpLimits(clock, Event())
    made, transport = client(clock, in_order(LIMITED, listing(row(1))), ip_limits=ip_limits)
    other, of_other = client(clock, listing(row(1)), ip_limits=ip_limits)
    assert bad(made, seconds=3).reason is Reason.RATE_LIMITED
    assert made.quota.next_at() == clock.monotonic() + 7
    assert isinstance(other.poll(VENUE, 30), Snapshot)
    assert of_other.asked[0].at == clock.monotonic()
    assert len(transport.asked) == 1


def test_requests_of_a_brand_are_spread_evenly(clock: FakeClock) -> None:
    made, transport = client(clock, listing(row(1)), requests_per_minute=240, seconds=0.1)
    for _ in range(50):
        good(made)
    times = [asked.at for asked in transport.asked]
    for first, later in pairwise(times[2:]):
        assert later - first == pytest.approx(0.25)


def test_the_rate_follows_what_the_answers_say_of_the_quota(clock: FakeClock) -> None:
    headers = {"RateLimit-Limit": "300", "RateLimit-Remaining": "12", "RateLimit-Reset": "30"}
    made, transport = client(clock, lambda _: ok(headers, data=[], total=0), requests_per_minute=240)
    for _ in range(10):
        good(made)
    times = [asked.at for asked in transport.asked]
    assert times[-1] - times[-2] == pytest.approx(1.0)
    assert (made.quota.limit, made.quota.remaining) == (300, 12)


def test_a_brand_whose_requests_fail_does_not_starve_one_whose_requests_succeed(clock: FakeClock) -> None:
    ip_limits = IpLimits(clock, Event())
    failing = [client(clock, lambda _: no(404, "no"), ip_limits=ip_limits)[0] for _ in range(8)]
    for number, one in enumerate(failing):
        one._failures = ip_limits.failure_budget(f"failing-{number}")
    good_one, transport = client(clock, listing(row(1)), ip_limits=ip_limits)
    for _ in range(200):
        for one in failing:
            one.poll(VENUE, 0.0)
        assert isinstance(good_one.poll(VENUE, 0.1), Snapshot)
    assert len(transport.asked) == 200


def test_a_failure_that_was_reserved_is_given_back_where_nothing_is_sent(clock: FakeClock) -> None:
    made, _ = client(clock, lambda _: no(404, "no"), requests_per_minute=60_000)
    while bad(made, seconds=0.0).message.startswith("no "):
        pass
    clock.forward(0.3)
    made.quota.hold(1000)
    for _ in range(100):
        assert bad(made, seconds=0.0).message.startswith("not asked: Clopos wants no request")
    made.quota.reset()
    assert bad(made, seconds=0.0).reason is Reason.NOT_FOUND


def test_an_address_that_failed_often_holds_back_before_clopos_shuts_it_out(clock: FakeClock) -> None:
    made, transport = client(clock, lambda _: no(404, "not found"), requests_per_minute=60_000)
    reasons = [bad(made, seconds=0.1).reason for _ in range(400)]
    assert len(transport.asked) < 250
    assert reasons[-1] is Reason.THROTTLED
    times = [asked.at for asked in transport.asked]
    clock.forward(1)
    assert bad(made, seconds=5).reason is Reason.NOT_FOUND
    assert times


# The end of the API, and its clock


def test_the_announced_end_of_the_api_is_known_and_logged_once(clock: FakeClock) -> None:
    end = {"Sunset": "Wed, 11 Nov 2026 11:11:11 GMT", "Deprecation": "@1788169599"}
    made, _ = client(clock, in_order(listing(), ok(end, data=[], total=0), ok(end, data=[], total=0), listing()))
    with capture_logs() as logs:
        sunsets = [made.sunset]
        for _ in range(4):
            good(made)
            sunsets.append(made.sunset)
    assert (sunsets[0], sunsets[-1]) == (None, 1794395471.0)
    assert logs == [
        {
            "event": "api.deprecated",
            "log_level": "warning",
            "brand": "tandir-group",
            "sunset": "2026-11-11T11:11:11Z",
            "deprecated_since": "2026-08-31T09:46:39Z",
        }
    ]


@pytest.mark.parametrize("ahead", [0.0, -7200.0, 90.0])
def test_how_far_our_clock_is_ahead_of_clopos_is_known(clock: FakeClock, ahead: float) -> None:
    date = {"Date": formatdate(clock.wall() - ahead, usegmt=True)}
    made, _ = client(clock, lambda _: ok(date, data=[], total=0))
    assert made.clock_skew is None
    good(made)
    assert made.clock_skew == pytest.approx(ahead, abs=1.0)


# Secrets


@pytest.mark.parametrize(
    "encode",
    [
        lambda token: quote(token, safe=""),
        lambda token: b64encode(token.encode()).decode(),
        lambda token: "".join(f"\\u{ord(letter):04x}" for letter in token),
    ],
    ids=["percent-encoded", "base64", "JSON"],
)
def test_a_token_that_is_echoed_encoded_is_masked(clock: FakeClock, encode: Callable[[str], str]) -> None:
    made, _ = client(clock, lambda asked: no(403, f"no {encode(asked.headers['x-token'])}"), "a.ready+token/of=mine")
    assert bad(made).message in ("no <secret> (HTTP 403)", "no <secret>= (HTTP 403)")


def test_a_token_that_clopos_repeats_is_masked_in_what_is_reported(clock: FakeClock) -> None:
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
