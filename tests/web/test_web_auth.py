from __future__ import annotations

import asyncio
import base64
import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
import requests
from pydantic import SecretStr
from structlog.testing import capture_logs
from web_fakes import FakeChecks, FakeExposition, Serving, Site

from exporter.web import passwords as passwords_module
from exporter.web.endpoints import create_app
from exporter.web.middleware import PEERS, RequestLimiter, TokenBucket, peer_of
from exporter.web.passwords import LoginResult, PasswordChecker, parse_basic
from exporter.web.webconfig import RateLimit
from exporter.web.webconfig_file import WebConfigFile

TIMEOUT = 5


def hashed(password: bytes, cost: int = 4) -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode()


USERS = {"alice": SecretStr(hashed(b"open sesame")), "bob": SecretStr(hashed("şifrə".encode()))}


def check(passwords: PasswordChecker, name: str, password: bytes) -> LoginResult:
    return asyncio.run(passwords.check(USERS, name, password, "peer"))


@pytest.mark.parametrize(
    ("name", "password", "login"),
    [
        ("alice", b"open sesame", LoginResult.RIGHT),
        ("bob", "şifrə".encode(), LoginResult.RIGHT),
        ("alice", b"wrong", LoginResult.WRONG),
        ("alice", b"", LoginResult.WRONG),
        ("alice", b"open sesame\0", LoginResult.WRONG),
        ("nobody", b"open sesame", LoginResult.WRONG),
        ("", b"", LoginResult.WRONG),
        ("alice", b"x" * 10_000, LoginResult.WRONG),
    ],
)
def test_only_the_password_of_the_user_is_right(name: str, password: bytes, login: LoginResult) -> None:
    assert check(PasswordChecker(), name, password) is login


def test_a_right_password_costs_bcrypt_once_and_a_wrong_one_always(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []
    real = bcrypt.checkpw

    def spy(password: bytes, hashed: bytes) -> bool:
        calls.append(password)
        return real(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", spy)
    passwords = PasswordChecker()
    for _ in range(3):
        assert check(passwords, "alice", b"open sesame") is LoginResult.RIGHT
        assert check(passwords, "alice", b"wrong") is LoginResult.WRONG
    assert calls == [b"open sesame", b"wrong", b"wrong", b"wrong"]


def test_no_password_is_kept() -> None:
    passwords = PasswordChecker()
    check(passwords, "alice", b"open sesame")
    assert b"open sesame" not in repr(vars(passwords)).encode()


def test_a_changed_hash_ends_what_is_remembered() -> None:
    passwords = PasswordChecker()
    check(passwords, "alice", b"open sesame")
    users = {"alice": SecretStr(hashed(b"another"))}
    assert asyncio.run(passwords.check(users, "alice", b"open sesame", "peer")) is LoginResult.WRONG


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords_module, "REMEMBERED", 2)
    long = b"x" * 72
    users = {"carol": SecretStr(hashed(long))}
    passwords = PasswordChecker()
    for ending in range(5):  # bcrypt reads 72 bytes, so all of these are the same password to it
        assert asyncio.run(passwords.check(users, "carol", long + b"%d" % ending, "peer")) is LoginResult.RIGHT
    assert len(passwords._right) <= 2


def test_the_time_of_an_answer_does_not_reveal_who_exists() -> None:
    users = {"alice": SecretStr(hashed(b"open sesame", cost=8))}
    passwords = PasswordChecker()

    def seconds(name: str) -> float:
        began = time.process_time()
        assert asyncio.run(passwords.check(users, name, b"wrong", "peer")) is LoginResult.WRONG
        return time.process_time() - began

    known, unknown = [], []
    for _ in range(15):
        known.append(seconds("alice"))
        unknown.append(seconds("mallory"))
    assert 0.6 < min(known) / min(unknown) < 1.7, "the least, as others use the machine too"


def test_a_flood_of_wrong_passwords_is_bounded_and_does_not_delay_who_is_known() -> None:
    users = {"alice": SecretStr(hashed(b"open sesame", cost=8))}

    async def flood() -> tuple[list[LoginResult], float]:
        passwords = PasswordChecker()
        assert await passwords.check(users, "alice", b"open sesame", "peer") is LoginResult.RIGHT
        guesses = [asyncio.create_task(passwords.check(users, "alice", b"%d" % guess, "peer")) for guess in range(100)]
        await asyncio.sleep(0.01)
        began = time.perf_counter()
        assert await passwords.check(users, "alice", b"open sesame", "peer") is LoginResult.RIGHT
        return await asyncio.gather(*guesses), time.perf_counter() - began

    began = time.perf_counter()
    logins, _ = asyncio.run(flood())
    assert logins.count(LoginResult.WRONG) == passwords_module.WAITING_PER_PEER
    assert logins.count(LoginResult.BUSY) == 100 - passwords_module.WAITING_PER_PEER
    assert time.perf_counter() - began < TIMEOUT


def test_a_flood_of_wrong_passwords_delays_another_peer_by_one_password() -> None:
    """bcrypt is asked for one password at a time: first that under way, then the new peer's, then the flood's."""

    async def flood() -> list[str]:
        passwords, order = PasswordChecker(), list[str]()

        async def guess(password: bytes, peer: str) -> LoginResult:
            login = await passwords.check(USERS, "alice", password, peer)
            if login is not LoginResult.BUSY:
                order.append(peer)
            return login

        guesses = [asyncio.create_task(guess(b"%d" % number, "flood")) for number in range(100)]
        await asyncio.sleep(0)
        assert await guess(b"open sesame", "prometheus") is LoginResult.RIGHT
        await asyncio.gather(*guesses)
        return order

    order = asyncio.run(flood())
    assert order.index("prometheus") <= 1
    assert order.count("flood") == passwords_module.WAITING_PER_PEER


def test_passwords_that_nobody_waits_for_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[bytes] = []
    real = bcrypt.checkpw

    def spy(password: bytes, hashed: bytes) -> bool:
        checked.append(password)
        return real(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", spy)

    async def leave() -> None:
        passwords = PasswordChecker()
        guesses = [asyncio.create_task(passwords.check(USERS, "alice", b"%d" % number, "peer")) for number in range(5)]
        await asyncio.sleep(0)
        for guess in guesses[1:]:
            guess.cancel()
        await asyncio.gather(*guesses, return_exceptions=True)
        assert await passwords.check(USERS, "alice", b"open sesame", "peer") is LoginResult.RIGHT
        assert not passwords._peers

    asyncio.run(leave())
    assert checked == [b"0", b"open sesame"]


@pytest.mark.parametrize(
    ("client", "peer"),
    [
        (("192.0.2.1", 1), "192.0.2.1"),
        (("::ffff:192.0.2.1", 1), "192.0.2.1"),
        (("2001:db8::1", 1), "2001:db8::/64"),
        (("2001:db8::ffff:2", 1), "2001:db8::/64"),
        (("2001:db8:0:1::1", 1), "2001:db8:0:1::/64"),
        (None, ""),
    ],
)
def test_a_peer_is_an_address_or_the_network_of_one_customer(client: tuple[str, int] | None, peer: str) -> None:
    assert peer_of({"client": client}) == peer


@pytest.mark.parametrize(
    ("value", "credentials"),
    [
        ("Basic " + base64.b64encode(b"alice:a:b").decode(), ("alice", b"a:b")),
        ("basic " + base64.b64encode(b"alice:").decode(), ("alice", b"")),
        ("Basic " + base64.b64encode(b"alice").decode(), None),
        ("Basic " + base64.b64encode(b"\xff:x").decode(), None),
        ("Basic ***", None),
        ("Basic é", None),
        ("Bearer abc", None),
        ("", None),
    ],
)
def test_credentials_are_read_or_refused(value: str, credentials: tuple[str, bytes] | None) -> None:
    assert parse_basic(value) == credentials


def test_a_bucket_refills_with_time() -> None:
    now = [0.0]
    bucket = TokenBucket(RateLimit(interval="2s", burst=2), lambda: now[0])
    assert [bucket.take() for _ in range(3)] == [0.0, 0.0, 2.0]
    now[0] = 1.5
    assert bucket.take() == 0.5
    now[0] = 100.0
    assert [bucket.take() for _ in range(3)] == [0.0, 0.0, 2.0]


def test_requests_without_a_login_take_no_token_from_those_with_one() -> None:
    limiter, limit = RequestLimiter(), RateLimit(interval="1m", burst=1)
    assert limiter.take(limit, "guesser") == 0.0
    assert limiter.take(limit, "guesser") > 0.0
    assert limiter.take(limit, "another") == 0.0
    assert limiter.take(limit) == 0.0
    assert limiter.take(limit) > 0.0


def test_peers_that_are_counted_are_bounded() -> None:
    limiter, limit = RequestLimiter(), RateLimit(interval="1m", burst=1)
    for number in range(PEERS + 5):
        limiter.take(limit, str(number))
    assert len(limiter._peers) == PEERS


class Guarded:
    """A server whose web configuration a test writes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.now = 0.0
        self.site: Site

    def write(self, text: str) -> None:
        self.file.write_text(text)

    def wait_until_idle(self) -> None:
        """Let the server look at its file twice, as it does in two seconds."""
        for _ in range(2):
            self.now += 10
            self.get("/-/healthy")

    def get(
        self, path: str = "/metrics", auth: tuple[str, str] | requests.auth.AuthBase | None = None
    ) -> requests.Response:
        return requests.get(self.site.url + path, auth=auth, timeout=TIMEOUT)


@pytest.fixture
def guarded(tmp_path: Path, serving: Serving, exposition: FakeExposition, checks: FakeChecks) -> Iterator[Guarded]:
    guarded = Guarded(tmp_path / "web.yml")
    guarded.write(f"basic_auth_users: {{alice: {USERS['alice'].get_secret_value()}}}")
    web_config = WebConfigFile(guarded.file, lambda: guarded.now)
    with serving(
        create_app(exposition.scrape, checks.checks, web_config=web_config), web_config=web_config
    ) as guarded.site:
        yield guarded


def test_a_request_without_the_password_is_asked_for_it(guarded: Guarded) -> None:
    answer = guarded.get()
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert guarded.get(auth=("alice", "wrong")).status_code == 401
    assert guarded.get(auth=("alice", "open sesame")).text == "up 1\n"


@pytest.mark.parametrize(
    "path", ["/metrics", "/", "/-/reload", "/nothing", "//-/healthy", "/-/healthy/", "/-/%68ealthyx"]
)
def test_nothing_but_health_is_open(guarded: Guarded, path: str) -> None:
    connection = http.client.HTTPConnection(guarded.site.url.partition("://")[2], timeout=TIMEOUT)
    connection.request("GET", path)  # as it stands; requests would tidy it up
    assert connection.getresponse().status == 401
    connection.close()


@pytest.mark.parametrize("path", ["/-/healthy", "/-/ready"])
def test_health_needs_no_password(guarded: Guarded, path: str) -> None:
    assert guarded.get(path).status_code == 200


def test_a_changed_password_counts_without_a_restart(guarded: Guarded) -> None:
    assert guarded.get(auth=("alice", "open sesame")).status_code == 200
    guarded.write(f"basic_auth_users: {{alice: {hashed(b'new')}}}")
    guarded.wait_until_idle()
    assert guarded.get(auth=("alice", "open sesame")).status_code == 401
    assert guarded.get(auth=("alice", "new")).status_code == 200


@pytest.mark.parametrize("text", ["", "basic_auth_users: {", "basic_auth_users: {alice: plain}", "nonsense: 1"])
def test_a_file_that_went_wrong_opens_nothing(guarded: Guarded, text: str) -> None:
    guarded.write(text)
    with capture_logs() as log:
        guarded.wait_until_idle()
        guarded.wait_until_idle()
    assert [entry["event"] for entry in log] == ["web_config.rejected"]
    assert guarded.get().status_code == 401
    assert guarded.get(auth=("alice", "open sesame")).status_code == 200


def test_a_file_that_vanished_opens_nothing(guarded: Guarded) -> None:
    guarded.file.unlink()
    guarded.wait_until_idle()
    assert guarded.get().status_code == 401


def test_configured_headers_are_on_every_answer_and_replace_ours(guarded: Guarded) -> None:
    guarded.write(
        guarded.file.read_text()
        + "\nhttp_server_config: {headers: {X-Frame-Options: sameorigin, Strict-Transport-Security: max-age=60}}"
    )
    guarded.wait_until_idle()
    for path in ("/metrics", "/-/healthy", "/nothing"):
        answer = guarded.get(path)
        assert answer.headers["Strict-Transport-Security"] == "max-age=60"
        assert answer.headers["X-Frame-Options"] == "sameorigin"


def test_more_requests_than_the_limit_are_reported_when_to_come_again(guarded: Guarded) -> None:
    guarded.write(guarded.file.read_text() + "\nrate_limit: {interval: 1m, burst: 2}")
    guarded.wait_until_idle()
    auth = ("alice", "open sesame")
    assert [guarded.get(auth=auth).status_code for _ in range(3)] == [200, 200, 429]
    assert 55 <= int(guarded.get(auth=auth).headers["Retry-After"]) <= 60
    assert guarded.get("/-/healthy").status_code == 200


@pytest.mark.slow
def test_a_flood_of_wrong_passwords_leaves_scrapes_alone(guarded: Guarded) -> None:
    guarded.write(f"basic_auth_users: {{alice: {hashed(b'slow', cost=10)}}}")
    guarded.wait_until_idle()
    known = ("alice", "slow")
    assert guarded.get(auth=known).status_code == 200
    done = threading.Event()
    codes: set[int] = set()

    def guess() -> None:
        while not done.is_set():
            answer = requests.get(f"{guarded.site.url}/metrics", auth=("alice", "guess"), timeout=60)
            codes.add(answer.status_code)

    guessers = [threading.Thread(target=guess) for _ in range(20)]
    for guesser in guessers:
        guesser.start()
    try:
        while 503 not in codes:  # as many passwords wait as may
            time.sleep(0.01)
        assert {guarded.get(auth=known).status_code for _ in range(20)} == {200}
    finally:
        done.set()
        for guesser in guessers:
            guesser.join(60)
    assert codes == {401, 503}


def test_a_flood_without_a_password_leaves_the_rate_limit_to_those_with_one(guarded: Guarded) -> None:
    guarded.write(guarded.file.read_text() + "\nrate_limit: {interval: 1m, burst: 4}")
    guarded.wait_until_idle()
    known = ("alice", "open sesame")
    assert guarded.get(auth=known).status_code == 200
    assert [guarded.get().status_code for _ in range(5)] == [401, 401, 401, 429, 429]
    assert [guarded.get(auth=known).status_code for _ in range(4)] == [200, 200, 200, 429]


def test_rejections_keep_browsers_safe_too(guarded: Guarded) -> None:
    guarded.write(guarded.file.read_text() + "\nrate_limit: {interval: 1m, burst: 1}")
    guarded.wait_until_idle()
    for status in (401, 429):
        answer = guarded.get()
        assert answer.status_code == status
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_rejections_of_the_api_are_json(guarded: Guarded) -> None:
    assert guarded.get("/api/v1/stations").json() == {"error": "unauthorized", "message": "unauthorized"}


def test_a_read_only_user_reads_and_does_not_reload(guarded: Guarded, checks: FakeChecks) -> None:
    bob = requests.auth.HTTPBasicAuth("bob", "şifrə".encode())
    guarded.write(
        f"basic_auth_users: {{alice: {USERS['alice'].get_secret_value()}, bob: {USERS['bob'].get_secret_value()}}}\n"
        "read_only_users: [bob]"
    )
    guarded.wait_until_idle()
    reload = f"{guarded.site.url}/-/reload"
    assert guarded.get(auth=bob).status_code == 200
    answer = requests.post(reload, auth=bob, timeout=TIMEOUT)
    assert (answer.status_code, answer.text) == (403, "the user bob may only read\n")
    assert checks.reloads == 0
    assert requests.post(reload, auth=("alice", "open sesame"), timeout=TIMEOUT).status_code == 200
    assert checks.reloads == 1


@pytest.mark.parametrize(
    ("cut", "place"),
    [("read_only_users", "read_only_users"), ("rate_limit", "rate_limit"), ("basic_auth_users", "basic_auth_users")],
)
def test_a_half_written_file_weakens_nothing(guarded: Guarded, cut: str, place: str) -> None:
    sections = {
        "rate_limit": "{interval: 1s, burst: 100}",
        "basic_auth_users": f"{{alice: {USERS['alice'].get_secret_value()}}}",
        "read_only_users": "[alice]",
    }
    guarded.write("\n".join(f"{name}: {value}" for name, value in sections.items()))
    guarded.wait_until_idle()
    if cut == "basic_auth_users":
        del sections["read_only_users"]
    del sections[cut]
    guarded.write("\n".join(f"{name}: {value}" for name, value in sections.items()))
    with capture_logs() as log:
        guarded.wait_until_idle()
        guarded.wait_until_idle()
    assert [entry["event"] for entry in log] == ["web_config.rejected"]
    assert f"web.yml: {place}: " in log[0]["faults"][0]
    assert (
        requests.post(f"{guarded.site.url}/-/reload", auth=("alice", "open sesame"), timeout=TIMEOUT).status_code == 403
    )
