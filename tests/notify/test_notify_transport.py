"""What services answer, and that nothing of a URL is seen whatever they do."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from receivers import OK, Answer, Service, Telegram, error

import exporter.notify.transport as transport_module
from exporter import log
from exporter.notify.transport import (
    MESSAGE_LENGTH,
    AppriseTransport,
    Message,
    Outcome,
    Tone,
    problem_of,
)

MESSAGE = Message("Mətbəx <b> & co has been inactive since 19:32", "One & <two>\n• *x* _y_ [z](u) 🍕", Tone.FAILURE)
NO_ANSWER = "no answer from the service in time, or no connection to it"
TOKEN = Telegram.TOKEN

FAULTS: list[tuple[Answer, str]] = [
    (error(400, f"Bad Request: {TOKEN}"), "HTTP 400: the service refuses the message or the recipient"),
    (error(401, f"Unauthorized {TOKEN}"), "HTTP 401: the service refuses the token"),
    (error(403, "Forbidden: bot was kicked from the group chat"), "HTTP 403: the service lets us not write there"),
    (error(404, "Not Found"), "HTTP 404: the service knows neither this token"),
    ((500, {}), "HTTP 500"),
    ((502, {"description": TOKEN}), "HTTP 502"),
    ((302, {}), "HTTP 302"),
    ("hang", NO_ANSWER),
    ("close", NO_ANSWER),
]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "_READ_SECONDS", 0.3)


@pytest.fixture
def written() -> io.TextIOWrapper:
    """Everything that is logged meanwhile, debugging included."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    log.configure("debug", "json", stream)
    return stream


def test_telegram_shows_a_message_as_it_was_meant(telegram: Telegram) -> None:
    assert AppriseTransport(telegram.url).send(MESSAGE) == Outcome(accepted=True)
    assert telegram.texts == [f"{MESSAGE.title}\r\n{MESSAGE.body}".replace("\n", "\r\n").replace("\r\r", "\r")]


def test_a_message_of_the_full_length_is_accepted_by_telegram(telegram: Telegram) -> None:
    transport = AppriseTransport(telegram.url)
    assert transport.message_length == MESSAGE_LENGTH
    assert transport.send(Message("<&>" * 80, "<&>🍕" * 652)).accepted


@pytest.mark.parametrize(("answer", "problem"), FAULTS)
def test_what_telegram_does_not_accept_is_not_sent(telegram: Telegram, answer: Answer, problem: str) -> None:
    telegram.answer_with(answer)
    outcome = AppriseTransport(telegram.url).send(MESSAGE)
    assert not outcome.accepted
    assert outcome.problem.startswith(problem)


@pytest.mark.parametrize(("answer", "problem"), FAULTS)
def test_what_another_service_does_not_accept_is_not_sent(service: Service, answer: Answer, problem: str) -> None:
    service.answer_with(answer)
    outcome = AppriseTransport(service.json_url).send(MESSAGE)
    assert not outcome.accepted
    assert outcome.problem.startswith(problem)


def test_telegram_says_how_long_to_wait(telegram: Telegram) -> None:
    telegram.answer_with(error(429, "Too Many Requests: retry after 35", retry_after=35))
    expected = Outcome(accepted=False, problem="HTTP 429: the service asks for fewer messages", retry_after=35.0)
    assert AppriseTransport(telegram.url).send(MESSAGE) == expected


def test_a_service_that_is_not_there_is_a_failure() -> None:
    transport = AppriseTransport("json://127.0.0.1:1/")
    assert transport.send(MESSAGE) == Outcome(accepted=False, problem=NO_ANSWER)


def test_a_service_gets_title_text_and_tone_apart(service: Service) -> None:
    assert AppriseTransport(service.json_url).send(MESSAGE).accepted
    (got,) = service.received
    assert (got["title"], got["message"], got["type"]) == (MESSAGE.title, MESSAGE.body, "failure")


def test_no_option_of_a_url_makes_a_failure_a_success_or_tries_again_by_itself(service: Service) -> None:
    service.answer_with((500, {}))
    transport = AppriseTransport(service.json_url + "&optional=yes&retry=3&wait=0.1")
    assert not transport.send(MESSAGE).accepted
    assert len(service.seen) == 1


def test_a_channel_does_not_sleep_between_messages() -> None:
    assert AppriseTransport("discord://123456789012345678/marked-marked-marked")._apprise[0].request_rate_per_sec == 0


def test_one_failure_does_not_spoil_the_next_message(telegram: Telegram) -> None:
    telegram.answer_with("close", OK)
    transport = AppriseTransport(telegram.url)
    assert [transport.send(MESSAGE).accepted for _ in range(4)] == [False, True, False, True]


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("marked", "this is no Apprise URL"),
        ("marked://marked", "the service 'marked' is not known"),
        ("tgram://marked/1", "the service 'tgram' is not known, or its URL lacks a part"),
        (f"tgram://{TOKEN}", "names no chat"),
        (f"tgram://{TOKEN}/!!", "names no chat"),
        (f"tgram://{TOKEN}/-1/-2", "names several recipients"),
        ("json://", "the service 'json' is not known, or its URL lacks a part"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_the_remedy_and_not_shown(url: str, fault: str) -> None:
    found = problem_of(url)
    assert found is not None
    assert found.startswith(fault)
    assert TOKEN not in found
    assert TOKEN.partition(":")[2] not in found


@pytest.mark.parametrize(
    "url", [f"tgram://{TOKEN}/{Telegram.CHAT}", "json://127.0.0.1:1/x", "mailto://user:pass@gmail.com"]
)
def test_a_url_that_can_be_used_has_no_fault(url: str) -> None:
    assert problem_of(url) is None


@pytest.mark.parametrize(
    "answer", [OK, error(429, f"{TOKEN}: retry after 1", retry_after=1), *(answer for answer, _ in FAULTS)]
)
def test_no_log_level_shows_a_url_or_what_it_holds(
    telegram: Telegram, service: Service, written: io.TextIOWrapper, answer: Answer
) -> None:
    for receiver, url in ((telegram, telegram.url), (service, service.json_url)):
        receiver.answer_with(answer)
        outcome = AppriseTransport(url).send(MESSAGE)
        for bad in (f"{url}/extra", url.replace("://", "")):
            problem_of(bad)
        written.flush()
        text = written.buffer.getvalue().decode() + outcome.problem  # type: ignore[attr-defined]
        assert not [secret for secret in (url, TOKEN.partition(":")[2], "marked-secret-1234") if secret in text]


def test_a_process_without_a_channel_does_not_load_the_library() -> None:
    code = "import sys, exporter.notify.notifier, exporter.notify.heartbeat; sys.exit('apprise' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
