from __future__ import annotations

import base64
from dataclasses import FrozenInstanceError, replace
from itertools import pairwise
from threading import Event, Thread
from typing import Any

import pytest
from clopos_fakes import CREDENTIALS, SECRET, TOKEN, Asked, FakeTransport, Tokens, login, no, ok, trouble
from fakes import FakeClock

from exporter.clopos.limits import IpLimits
from exporter.clopos.login import MIN_LIFETIME, REFRESH_BEFORE, Backoff, Credentials, Login, Session
from exporter.clopos.transport import ApiResponse
from exporter.errors import CloposError, ConfigError
from exporter.model import Reason

WRONG = no(401, "Invalid credentials")


class Script:
    """Answer logins with tokens until `instead` is set."""

    def __init__(self, clock: FakeClock, lifetime: float = 3600.0) -> None:
        self.tokens = Tokens(clock, lifetime)
        self.instead: ApiResponse | CloposError | None = None

    def __call__(self, _asked: Asked) -> ApiResponse | CloposError:
        return self.instead or self.tokens()


@pytest.fixture
def script(clock: FakeClock) -> Script:
    return Script(clock)


@pytest.fixture
def transport(clock: FakeClock, script: Script) -> FakeTransport:
    return FakeTransport(clock, script)


@pytest.fixture
def made(clock: FakeClock, transport: FakeTransport) -> Login:
    return login(clock, transport)


def ask(made: Login, clock: FakeClock, seconds: float = 30.0) -> str:
    return made.token(clock.monotonic() + seconds)


def login_error(made: Login, clock: FakeClock) -> CloposError:
    with pytest.raises(CloposError) as caught:
        ask(made, clock)
    return caught.value


def test_the_first_one_logs_in_with_all_four_credentials(
    made: Login, clock: FakeClock, transport: FakeTransport
) -> None:
    assert ask(made, clock) == "jwt-1"
    assert transport.asked[0][1:3] == (
        "auth",
        {"client_id": "client", "client_secret": SECRET, "brand": "tandir-group", "integrator_id": "integrator"},
    )


def test_a_token_is_used_until_shortly_before_its_end_and_then_renewed(made: Login, clock: FakeClock) -> None:
    ask(made, clock)
    clock.forward(3600 - REFRESH_BEFORE - 2)
    assert ask(made, clock) == "jwt-1"
    clock.forward(3)
    assert ask(made, clock) == "jwt-2"
    assert made.expires_at == int(clock.wall() + 3600)


@pytest.mark.parametrize("ahead", [-86400.0, 86400.0], ids=["slow", "fast"])
def test_a_wrong_local_clock_neither_renews_at_every_poll_nor_uses_a_dead_token(
    made: Login, clock: FakeClock, script: Script, ahead: float
) -> None:
    script.tokens.ahead = ahead
    ask(made, clock)
    clock.forward(3500)
    assert ask(made, clock) == "jwt-1"
    clock.forward(100)
    assert ask(made, clock) == "jwt-2"


def test_a_local_clock_that_jumps_moves_no_renewal(made: Login, clock: FakeClock) -> None:
    ask(made, clock)
    clock.set_wall(clock.wall() + 86400)
    clock.forward(100)
    assert ask(made, clock) == "jwt-1"


@pytest.mark.parametrize(
    ("answer", "life"),
    [
        ({"expires_in": 600}, 600),
        ({"expires_at": 1_800_000_900, "expires_in": 600}, 600),
        ({"expires_at": 1_800_000_900}, 900),
        ({"expires_at": "2027-01-15T08:00:00Z", "expires_in": 600}, 600),
        ({}, 3600),
    ],
    ids=["expires_in", "no Date", "expires_at alone", "not a number", "nothing said"],
)
def test_without_the_servers_date_the_next_best_word_counts(
    clock: FakeClock, answer: dict[str, Any], life: float
) -> None:
    transport = FakeTransport(clock, lambda _: ok(token="jwt", **answer))
    made = login(clock, transport)
    ask(made, clock)
    clock.forward(0.89 * life)
    ask(made, clock)
    assert len(transport.asked) == 1
    clock.forward(0.11 * life)
    ask(made, clock)
    assert len(transport.asked) == 2


@pytest.mark.parametrize("date", ["", "nonsense", "Fri, 99 Foo 99999 99:99:99 GMT"])
def test_a_date_that_is_none_is_not_used(clock: FakeClock, date: str) -> None:
    made = login(clock, FakeTransport(clock, lambda _: ok({"Date": date}, token="jwt", expires_in=600)))
    assert ask(made, clock) == "jwt"


@pytest.mark.parametrize("lifetime", [-10_000.0, 0.0, 1.0])
def test_a_senseless_end_does_not_make_every_poll_log_in(clock: FakeClock, lifetime: float) -> None:
    transport = FakeTransport(clock, Script(clock, lifetime))
    made = login(clock, transport)
    for _ in range(3):
        ask(made, clock)
        clock.forward(MIN_LIFETIME / 4)
    assert len(transport.asked) == 1


def test_a_short_life_is_renewed_a_tenth_before_its_end(clock: FakeClock) -> None:
    made = login(clock, FakeTransport(clock, Script(clock, 100.0)))
    ask(made, clock)
    clock.forward(89)
    assert ask(made, clock) == "jwt-1"
    clock.forward(2)
    assert ask(made, clock) == "jwt-2"


# When it does not work


def test_a_refused_login_is_a_reason_for_the_whole_brand(made: Login, clock: FakeClock, script: Script) -> None:
    script.instead = WRONG
    error = login_error(made, clock)
    assert (error.reason, error.brand_wide) == (Reason.CREDENTIALS, True)


def test_what_only_a_person_can_mend_is_asked_again_later_each_time_up_to_five_minutes(
    made: Login, clock: FakeClock, script: Script, transport: FakeTransport
) -> None:
    script.instead = WRONG
    asked: list[float] = []
    for _ in range(1100):
        before = len(transport.asked)
        assert login_error(made, clock).reason is Reason.CREDENTIALS
        if len(transport.asked) > before:
            asked.append(clock.monotonic())
        clock.forward(1)
    waits = [later - first for first, later in pairwise(asked)]
    assert waits == [15.0, 30.0, 60.0, 120.0, 240.0, 300.0, 300.0]


def test_transient_trouble_is_asked_again_within_fifteen_seconds(
    made: Login, clock: FakeClock, script: Script, transport: FakeTransport
) -> None:
    script.instead = trouble()
    for _ in range(600):
        assert login_error(made, clock).reason is Reason.CONNECTION
        clock.forward(1)
    assert 40 <= len(transport.asked) <= 46


def test_a_login_that_works_again_starts_anew(made: Login, clock: FakeClock, script: Script) -> None:
    script.instead = WRONG
    for _ in range(100):
        login_error(made, clock)
        clock.forward(1)
    script.instead = None
    clock.forward(900)
    assert ask(made, clock) == "jwt-1"
    script.instead = WRONG
    with pytest.raises(CloposError):
        made.replace("jwt-1", "stations:7", clock.monotonic() + 30)
    login_error(made, clock)
    clock.forward(16)
    script.instead = None
    assert ask(made, clock) == "jwt-2"


def test_somebody_who_says_it_is_mended_is_believed(made: Login, clock: FakeClock, script: Script) -> None:
    script.instead = WRONG
    login_error(made, clock)
    script.instead = None
    login_error(made, clock)
    made.backoff.reset()
    assert ask(made, clock) == "jwt-1"


def test_an_old_token_serves_while_its_renewal_fails_and_not_beyond_its_end(
    made: Login, clock: FakeClock, script: Script
) -> None:
    ask(made, clock)
    script.instead = trouble(Reason.GATEWAY)
    clock.forward(3600 - REFRESH_BEFORE + 1)
    for _ in range(5):
        assert ask(made, clock) == "jwt-1"
        clock.forward(10)
    clock.forward(REFRESH_BEFORE)
    assert login_error(made, clock).reason is Reason.GATEWAY


def replaced(made: Login, clock: FakeClock, token: str, scope: str = "stations:7") -> bool:
    return made.replace(token, scope, clock.monotonic() + 30)


def test_a_token_that_is_refused_is_replaced_once_however_many_say_so(
    made: Login, clock: FakeClock, transport: FakeTransport
) -> None:
    old = ask(made, clock)
    for id_ in range(3):
        assert replaced(made, clock, old, f"stations:{id_}")
        assert ask(made, clock) == "jwt-2"
    assert len(transport.asked) == 2


def test_a_token_that_is_refused_goes_on_serving_others_while_replacing_it_fails(
    made: Login, clock: FakeClock, script: Script
) -> None:
    old = ask(made, clock)
    script.instead = trouble(Reason.GATEWAY)
    with pytest.raises(CloposError) as caught:
        replaced(made, clock, old)
    assert (caught.value.reason, caught.value.brand_wide) == (Reason.GATEWAY, False)
    assert ask(made, clock) == old


def test_a_token_that_two_venues_are_refused_while_the_login_fails_is_dead(
    made: Login, clock: FakeClock, script: Script
) -> None:
    old = ask(made, clock)
    script.instead = trouble(Reason.GATEWAY)
    brand_wide = []
    for id_ in "778":
        with pytest.raises(CloposError) as caught:
            replaced(made, clock, old, f"stations:{id_}")
        brand_wide.append(caught.value.brand_wide)
    assert brand_wide == [False, False, True]
    assert login_error(made, clock).reason is Reason.GATEWAY
    script.instead = None
    clock.forward(15)
    assert ask(made, clock) == "jwt-2"


def test_what_the_login_says_is_true_of_the_whole_brand(made: Login, clock: FakeClock, script: Script) -> None:
    old = ask(made, clock)
    script.instead = no(401, "Client is disabled")
    with pytest.raises(CloposError) as caught:
        replaced(made, clock, old)
    assert (caught.value.reason, caught.value.brand_wide) == (Reason.CLIENT_DISABLED, True)
    assert login_error(made, clock).brand_wide


UNAUTHENTICATED = CloposError(Reason.CREDENTIALS, "Unauthenticated.")


def is_brands(made: Login, id_: str, token: str = TOKEN) -> bool:
    """Let a token be refused for a venue, and return whether that is the brand's failure."""
    error = made.refused(f"stations:{id_}", token, UNAUTHENTICATED)
    assert error.reason is (Reason.CREDENTIALS if error.brand_wide else Reason.FORBIDDEN)
    return error.brand_wide


def test_a_token_that_others_may_use_is_not_replaced_for_the_one_that_may_not(made: Login, clock: FakeClock) -> None:
    ask(made, clock)
    assert replaced(made, clock, "jwt-1")
    assert not is_brands(made, "7", "jwt-2")
    made.accepted("stations:8", "jwt-2")
    assert not replaced(made, clock, "jwt-2")
    assert not is_brands(made, "7", "jwt-2")


def test_two_venues_that_are_refused_with_none_accepted_between_are_the_brand(made: Login) -> None:
    assert not is_brands(made, "7")
    assert not is_brands(made, "7")
    assert is_brands(made, "8")


def test_two_venues_that_are_refused_while_others_are_accepted_are_not_the_brand(made: Login) -> None:
    for _ in range(3):
        for id_ in "78":
            assert not is_brands(made, id_)
            made.accepted("stations:9", TOKEN)
    assert not is_brands(made, "7")
    assert not is_brands(made, "8"), "both are known to fail alone"


def test_new_tokens_that_are_refused_are_not_replaced_at_speed(
    made: Login, clock: FakeClock, transport: FakeTransport
) -> None:
    for _ in range(600):
        for id_ in "789":
            replaced(made, clock, ask(made, clock), f"stations:{id_}")
            is_brands(made, id_, ask(made, clock))
        clock.forward(1)
    assert 4 <= len(transport.asked) <= 10


def test_one_that_is_accepted_lets_all_be_asked_that_were_refused_with_the_brand(made: Login) -> None:
    for id_ in "789":
        is_brands(made, id_)
    made.accepted("stations:6", TOKEN)
    for id_ in "789":
        made.backoff.check(f"stations:{id_}")


def test_token_and_expiry_are_published_together(clock: FakeClock) -> None:
    """A thread that looks while another logs in sees the old session or the new one, whole."""
    script = Script(clock, 100.0)
    made = login(clock, FakeTransport(clock, script))
    seen: list[tuple[str, float | None]] = []
    log_in = made._log_in

    def looked_at(deadline: float) -> Session:
        session = log_in(deadline)
        seen.extend((now.token, now.expires_at) for now in [made._session] if now.token)
        return session

    made._log_in = looked_at  # type: ignore[method-assign]
    ends = {}
    for _ in range(3):
        token = ask(made, clock)
        ends[token] = made.expires_at
        clock.forward(95)
    assert seen == [(token, ends[token]) for token in ("jwt-1", "jwt-2")]
    with pytest.raises(FrozenInstanceError):
        made._session.token = "other"  # type: ignore[misc]


# Rotated secrets


ROTATED = replace(CREDENTIALS, client_secret="s3cret-after-the-rotation")


def test_a_refused_login_reads_its_secrets_anew_once(clock: FakeClock) -> None:
    def only_the_new(asked: Asked) -> ApiResponse:
        good = asked.params["client_secret"] == ROTATED.client_secret
        return tokens() if good else no(401, f"Invalid credentials {asked.params['client_secret']}")

    tokens = Tokens(clock)
    transport = FakeTransport(clock, only_the_new)
    made = login(clock, transport, reread=lambda: ROTATED)
    assert ask(made, clock) == "jwt-1"
    assert len(transport.asked) == 2
    assert made.mask()(f"{SECRET} {ROTATED.client_secret} jwt-1") == "<secret> <secret> <secret>"


@pytest.mark.parametrize("error", [None, OSError("gone"), ValueError("no UTF-8"), ConfigError([])])
def test_secrets_that_are_the_same_or_unreadable_change_nothing(clock: FakeClock, error: Exception | None) -> None:
    read: list[float] = []

    def reread() -> Credentials:
        read.append(clock.monotonic())
        if error is not None:
            raise error
        return CREDENTIALS

    transport = FakeTransport(clock, lambda _: WRONG)
    made = login(clock, transport, reread=reread)
    for _ in range(10):
        assert login_error(made, clock).reason is Reason.CREDENTIALS
        clock.forward(1)
    assert (len(transport.asked), len(read)) == (1, 1)


def test_transient_trouble_reads_no_secrets(clock: FakeClock) -> None:
    def reread() -> Credentials:
        raise AssertionError

    made = login(clock, FakeTransport(clock, lambda _: no(503, "no")), reread=reread)
    assert login_error(made, clock).reason is Reason.GATEWAY


def test_a_ready_token_that_is_refused_is_read_anew(clock: FakeClock, transport: FakeTransport) -> None:
    files = ["token-of-monday"]
    made = login(clock, transport, files[0], reread=lambda: files[0])
    assert not replaced(made, clock, "token-of-monday")
    files[0] = "token-of-tuesday"
    assert replaced(made, clock, "token-of-monday")
    assert ask(made, clock) == "token-of-tuesday"
    assert not transport.asked


# Many brands


def test_brands_whose_login_fails_leave_logins_to_those_that_work(clock: FakeClock) -> None:
    limits = IpLimits(clock, Event())
    failing = [login(clock, FakeTransport(clock, lambda _: no(503, "no")), ip_limits=limits) for _ in range(45)]
    for minute in range(10):
        for _ in range(60):
            for one in failing:
                assert login_error(one, clock).reason in (Reason.GATEWAY, Reason.THROTTLED)
            clock.forward(1)
        good = login(clock, FakeTransport(clock, lambda _: Tokens(clock)()), ip_limits=limits)
        assert good.token(clock.monotonic() + 5) == "jwt-1", minute


def test_who_needs_a_token_does_not_wait_for_a_login_that_is_known_to_fail(clock: FakeClock) -> None:
    entered, go = Event(), Event()
    asked = 0

    def slow_the_second_time(_asked: Asked) -> CloposError:
        nonlocal asked
        asked += 1
        if asked > 1:
            entered.set()
            go.wait(5)
        return trouble()

    made = login(clock, FakeTransport(clock, slow_the_second_time))
    login_error(made, clock)
    clock.forward(2)
    first = Thread(target=lambda: login_error(made, clock))
    first.start()
    assert entered.wait(5)
    assert login_error(made, clock).reason is Reason.CONNECTION
    go.set()
    first.join(5)


def test_a_429_on_login_holds_every_brands_logins_of_this_address(
    made: Login, clock: FakeClock, script: Script
) -> None:
    script.instead = no(429, "Too many requests", {"Retry-After": "50"})
    assert login_error(made, clock).reason is Reason.RATE_LIMITED
    assert made._ip_limits.logins.next_at() == clock.monotonic() + 50
    script.instead = None
    clock.forward(2)
    error = login_error(made, clock)
    assert error.reason is Reason.THROTTLED, "a poll of 30 s cannot wait for 48"
    assert not error.brand_wide
    clock.forward(30)
    assert ask(made, clock) == "jwt-1"


def test_our_own_rate_limit_is_no_rejection(made: Login, clock: FakeClock) -> None:
    made._ip_limits.logins.hold(40)
    assert login_error(made, clock).reason is Reason.THROTTLED
    clock.forward(20)
    assert ask(made, clock) == "jwt-1"


def test_a_login_without_a_usable_token_is_malformed(clock: FakeClock) -> None:
    made = login(clock, FakeTransport(clock, lambda _: ok(expires_in=3600)))
    assert login_error(made, clock).reason is Reason.MALFORMED


# A ready token


def test_a_ready_token_is_used_as_it_is_and_never_renewed(clock: FakeClock, transport: FakeTransport) -> None:
    made = login(clock, transport, TOKEN)
    clock.forward(10**7)
    assert ask(made, clock) == TOKEN
    assert not replaced(made, clock, TOKEN)
    assert ask(made, clock) == TOKEN
    assert not transport.asked
    assert made.expires_at is None


@pytest.mark.parametrize(
    ("claims", "expires_at"),
    [
        (b'{"exp": 1800000000}', 1_800_000_000.0),
        (b'{"exp": 1800000000.5, "iss": "clopos"}', 1_800_000_000.5),
        (b"{}", None),
        (b'{"exp": "soon"}', None),
        (b"[]", None),
        (b"\xff", None),
        (b'{"exp": 1' + b"0" * 400 + b"}", None),
    ],
    ids=["exp", "a fraction", "no exp", "no number", "no object", "no text", "no time"],
)
def test_a_ready_token_says_itself_when_it_ends(
    clock: FakeClock, transport: FakeTransport, claims: bytes, expires_at: float | None
) -> None:
    token = f"e30.{base64.urlsafe_b64encode(claims).rstrip(b'=').decode()}.c2ln"
    made = login(clock, transport, token)
    assert made.expires_at == expires_at
    assert not made.logs_in


def test_a_token_that_is_no_json_web_token_says_nothing_of_its_end(clock: FakeClock, transport: FakeTransport) -> None:
    assert login(clock, transport, "not-a-jwt").expires_at is None


# Several threads


def test_many_that_need_a_token_at_once_log_in_once(clock: FakeClock, script: Script) -> None:
    entered, go = Event(), Event()

    def slow(asked: Asked) -> ApiResponse | CloposError:
        entered.set()
        go.wait(5)
        return script(asked)

    transport = FakeTransport(clock, slow)
    made = login(clock, transport)
    tokens: list[str] = []
    threads = [Thread(target=lambda: tokens.append(ask(made, clock))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert entered.wait(5)
    go.set()
    for thread in threads:
        thread.join(5)
    assert tokens == ["jwt-1"] * 8
    assert len(transport.asked) == 1


def test_while_one_renews_a_token_that_is_still_good_the_others_use_it(clock: FakeClock, script: Script) -> None:
    entered, go = Event(), Event()

    def slow(asked: Asked) -> ApiResponse | CloposError:
        if script.tokens.given:
            entered.set()
            go.wait(5)
        return script(asked)

    made = login(clock, FakeTransport(clock, slow))
    ask(made, clock)
    clock.forward(3600 - REFRESH_BEFORE + 1)
    renewing = Thread(target=lambda: ask(made, clock))
    renewing.start()
    assert entered.wait(5)
    assert ask(made, clock) == "jwt-1"
    go.set()
    renewing.join(5)
    assert ask(made, clock) == "jwt-2"


def test_waiting_for_anothers_login_ends_with_the_time_of_the_poll(clock: FakeClock) -> None:
    entered, go = Event(), Event()

    def slow(_asked: Asked) -> CloposError:
        entered.set()
        go.wait(5)
        return trouble()

    made = login(clock, FakeTransport(clock, slow))
    first = Thread(target=lambda: login_error(made, clock))
    first.start()
    assert entered.wait(5)
    with pytest.raises(CloposError) as caught:
        made.token(clock.monotonic() + 0.05)
    assert caught.value.reason is Reason.THROTTLED
    go.set()
    first.join(5)


# Secrets


def test_no_secret_shows_in_any_repr(made: Login, clock: FakeClock) -> None:
    ask(made, clock)
    shown = repr(made) + repr(CREDENTIALS) + repr(made.backoff) + repr(login(clock, made._transport, TOKEN))  # type: ignore[arg-type]
    for secret in (SECRET, "jwt-1", TOKEN):
        assert secret not in shown


def test_a_secret_that_clopos_repeats_is_masked(made: Login, clock: FakeClock, script: Script) -> None:
    script.instead = no(401, f"Wrong: {SECRET}!")
    error = login_error(made, clock)
    assert SECRET not in str(error)
    assert "<secret>" in error.message
    script.instead = None
    made.backoff.reset()
    ask(made, clock)
    assert made.mask()(f"a {SECRET} b jwt-1 c") == "a <secret> b <secret> c"


# Backoff


def test_a_rejection_that_several_requests_meet_together_counts_once(clock: FakeClock) -> None:
    backoff = Backoff(clock)
    error = CloposError(Reason.FORBIDDEN, "no")
    for _ in range(10):
        backoff.record("stations:7", error)
    clock.forward(15)
    backoff.check("stations:7")


def test_a_rejection_that_is_cleared_while_it_is_looked_at_is_no_fault() -> None:
    class Meanwhile(FakeClock):
        def monotonic(self) -> float:
            if clearing:
                backoff.clear("a")
            return super().monotonic()

    clearing = False
    backoff = Backoff(Meanwhile())
    backoff.record("a", CloposError(Reason.FORBIDDEN, "no"))
    clearing = True
    with pytest.raises(CloposError):
        backoff.check("a")
    backoff.check("a")


def test_a_rejection_is_of_its_own_key_only_and_keeps_its_words(clock: FakeClock) -> None:
    backoff = Backoff(clock)
    backoff.record("a", CloposError(Reason.FORBIDDEN, "no", brand_wide=True))
    backoff.check("b")
    with pytest.raises(CloposError) as caught:
        backoff.check("a")
    assert (caught.value.reason, caught.value.message, caught.value.brand_wide) == (Reason.FORBIDDEN, "no", True)
    backoff.clear("a")
    backoff.check("a")
