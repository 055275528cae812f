from __future__ import annotations

import asyncio
import base64
import http.client
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import bcrypt
import pytest
import requests
from pydantic import SecretStr
from structlog.testing import capture_logs

from exporter.web import auth
from exporter.web.auth import Passwords, Verdict, parse_basic
from exporter.web.door import Door
from exporter.web.endpoints import create_app
from exporter.web.guard import Bucket
from exporter.web.webconfig import RateLimit

if TYPE_CHECKING:
    from conftest import FakeChecks, FakeExposition, Serving, Site

TIMEOUT = 5


def hashed(password: bytes, cost: int = 4) -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode()


USERS = {"alice": SecretStr(hashed(b"open sesame")), "bob": SecretStr(hashed("şifrə".encode()))}


def check(passwords: Passwords, name: str, password: bytes) -> Verdict:
    return asyncio.run(passwords.check(USERS, name, password))


@pytest.mark.parametrize(
    ("name", "password", "verdict"),
    [
        ("alice", b"open sesame", Verdict.RIGHT),
        ("bob", "şifrə".encode(), Verdict.RIGHT),
        ("alice", b"wrong", Verdict.WRONG),
        ("alice", b"", Verdict.WRONG),
        ("alice", b"open sesame\0", Verdict.WRONG),
        ("nobody", b"open sesame", Verdict.WRONG),
        ("", b"", Verdict.WRONG),
        ("alice", b"x" * 10_000, Verdict.WRONG),
    ],
)
def test_only_the_password_of_the_user_is_right(name: str, password: bytes, verdict: Verdict) -> None:
    assert check(Passwords(), name, password) is verdict


def test_a_right_password_costs_bcrypt_once_and_a_wrong_one_always(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []
    real = bcrypt.checkpw
    monkeypatch.setattr(auth.bcrypt, "checkpw", lambda *args: calls.append(args[0]) or real(*args))
    passwords = Passwords()
    for _ in range(3):
        assert check(passwords, "alice", b"open sesame") is Verdict.RIGHT
        assert check(passwords, "alice", b"wrong") is Verdict.WRONG
    assert calls == [b"open sesame", b"wrong", b"wrong", b"wrong"]


def test_no_password_is_kept() -> None:
    passwords = Passwords()
    check(passwords, "alice", b"open sesame")
    assert b"open sesame" not in repr(vars(passwords)).encode()


def test_a_changed_hash_ends_what_is_remembered() -> None:
    passwords = Passwords()
    check(passwords, "alice", b"open sesame")
    users = {"alice": SecretStr(hashed(b"another"))}
    assert asyncio.run(passwords.check(users, "alice", b"open sesame")) is Verdict.WRONG


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "REMEMBERED", 2)
    long = b"x" * 72
    users = {"carol": SecretStr(hashed(long))}
    passwords = Passwords()
    for ending in range(5):  # bcrypt reads 72 bytes, so all of these are the same password to it
        assert asyncio.run(passwords.check(users, "carol", long + b"%d" % ending)) is Verdict.RIGHT
    assert len(passwords._right) == 2


def test_time_does_not_tell_who_exists() -> None:
    users = {"alice": SecretStr(hashed(b"open sesame", cost=8))}
    passwords = Passwords()

    def seconds(name: str) -> float:
        began = time.perf_counter()
        assert asyncio.run(passwords.check(users, name, b"wrong")) is Verdict.WRONG
        return time.perf_counter() - began

    known, unknown = [], []
    for _ in range(7):
        known.append(seconds("alice"))
        unknown.append(seconds("mallory"))
    assert 0.6 < statistics.median(known) / statistics.median(unknown) < 1.7


def test_a_flood_of_wrong_passwords_is_bounded_and_does_not_delay_who_is_known() -> None:
    users = {"alice": SecretStr(hashed(b"open sesame", cost=8))}

    async def flood() -> tuple[list[Verdict], float]:
        passwords = Passwords()
        assert await passwords.check(users, "alice", b"open sesame") is Verdict.RIGHT
        guesses = [asyncio.create_task(passwords.check(users, "alice", b"%d" % guess)) for guess in range(100)]
        await asyncio.sleep(0.01)
        began = time.perf_counter()
        assert await passwords.check(users, "alice", b"open sesame") is Verdict.RIGHT
        return await asyncio.gather(*guesses), time.perf_counter() - began

    began = time.perf_counter()
    verdicts, _ = asyncio.run(flood())
    assert verdicts.count(Verdict.WRONG) == auth.WAITING
    assert verdicts.count(Verdict.BUSY) == 100 - auth.WAITING
    assert time.perf_counter() - began < TIMEOUT


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
    bucket = Bucket(RateLimit(interval="2s", burst=2), lambda: now[0])
    assert [bucket.take() for _ in range(3)] == [0.0, 0.0, 2.0]
    now[0] = 1.5
    assert bucket.take() == 0.5
    now[0] = 100.0
    assert [bucket.take() for _ in range(3)] == [0.0, 0.0, 2.0]


class Guarded:
    """A server whose web configuration a test writes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.now = 0.0
        self.site: Site

    def write(self, text: str) -> None:
        self.file.write_text(text)

    def settle(self) -> None:
        """Let the door look at its file twice, as it does in two seconds."""
        for _ in range(2):
            self.now += 10
            self.get("/-/healthy")

    def get(self, path: str = "/metrics", auth: tuple[str, str] | None = None) -> requests.Response:
        return requests.get(self.site.url + path, auth=auth, timeout=TIMEOUT)


@pytest.fixture
def guarded(tmp_path: Path, serving: Serving, exposition: FakeExposition, checks: FakeChecks) -> Iterator[Guarded]:
    guarded = Guarded(tmp_path / "web.yml")
    guarded.write(f"basic_auth_users: {{alice: {USERS['alice'].get_secret_value()}}}")
    door = Door(guarded.file, lambda: guarded.now)
    with serving(create_app(exposition, checks.checks), door=door) as guarded.site:
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
    guarded.settle()
    assert guarded.get(auth=("alice", "open sesame")).status_code == 401
    assert guarded.get(auth=("alice", "new")).status_code == 200


@pytest.mark.parametrize("text", ["", "basic_auth_users: {", "basic_auth_users: {alice: plain}", "nonsense: 1"])
def test_a_file_that_went_wrong_opens_nothing(guarded: Guarded, text: str) -> None:
    guarded.write(text)
    with capture_logs() as told:
        guarded.settle()
        guarded.settle()
    assert [entry["event"] for entry in told] == ["web_config.rejected"]
    assert guarded.get().status_code == 401
    assert guarded.get(auth=("alice", "open sesame")).status_code == 200


def test_a_file_that_vanished_opens_nothing(guarded: Guarded) -> None:
    guarded.file.unlink()
    guarded.settle()
    assert guarded.get().status_code == 401


def test_configured_headers_are_on_every_answer_and_replace_ours(guarded: Guarded) -> None:
    guarded.write(
        guarded.file.read_text()
        + "\nhttp_server_config: {headers: {X-Frame-Options: sameorigin, Strict-Transport-Security: max-age=60}}"
    )
    guarded.settle()
    for path in ("/metrics", "/-/healthy", "/nothing"):
        answer = guarded.get(path)
        assert answer.headers["Strict-Transport-Security"] == "max-age=60"
        assert answer.headers["X-Frame-Options"] == "sameorigin"


def test_more_requests_than_the_limit_are_told_when_to_come_again(guarded: Guarded) -> None:
    guarded.write(guarded.file.read_text() + "\nrate_limit: {interval: 1m, burst: 2}")
    guarded.settle()
    auth = ("alice", "open sesame")
    assert [guarded.get(auth=auth).status_code for _ in range(3)] == [200, 200, 429]
    assert 55 <= int(guarded.get(auth=auth).headers["Retry-After"]) <= 60
    assert guarded.get("/-/healthy").status_code == 200


def test_a_flood_of_wrong_passwords_leaves_scrapes_alone(guarded: Guarded) -> None:
    guarded.write(f"basic_auth_users: {{alice: {hashed(b'slow', cost=10)}}}")
    guarded.settle()
    known = ("alice", "slow")
    assert guarded.get(auth=known).status_code == 200
    done = threading.Event()
    codes: set[int] = set()

    def guess() -> None:
        while not done.is_set():
            codes.add(guarded.get(auth=("alice", "guess")).status_code)

    guessers = [threading.Thread(target=guess) for _ in range(20)]
    for guesser in guessers:
        guesser.start()
    try:
        time.sleep(0.2)
        waits = []
        for _ in range(20):
            began = time.perf_counter()
            assert guarded.get(auth=known).status_code == 200
            waits.append(time.perf_counter() - began)
    finally:
        done.set()
        for guesser in guessers:
            guesser.join(TIMEOUT)
    assert codes == {401, 503}
    assert statistics.median(waits) < 0.05
