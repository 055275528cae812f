"""Hand a message to a service through Apprise, and say whether the service accepted it.

Apprise is imported with the first channel: without one, the process is spared its memory and a second of its start.
"""

from __future__ import annotations

import logging
import re
import warnings
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import ModuleType
from typing import Any

MESSAGE_LENGTH = 3500
"""UTF-16 units, as Telegram counts; it refuses more than 4,096 after its own additions."""

SPACING_SECONDS = 3.0
"""Seconds between two messages of a channel: Telegram allows 20 a minute to a group."""

_CONNECT_SECONDS, _READ_SECONDS = 5.0, 10.0
_LONGEST_RETRY_AFTER = 3600.0
_STATUS = re.compile(r"\berror=(\d{3})\b")
_RETRY_AFTER = re.compile(r"retry after (\d{1,6})")
_TOO_MANY_REQUESTS = 429
_REMEDIES = {
    400: "the service refuses the message or the recipient: check the chat or recipient in the URL",
    401: "the service refuses the token or password of the URL",
    403: "the service lets us not write there: add the bot to the group, or allow it to post",
    404: "the service knows neither this token nor this address: check the URL",
    _TOO_MANY_REQUESTS: "the service asks for fewer messages",
}


class Tone(StrEnum):
    """How a message is to be shown, in Apprise's words."""

    FAILURE = "failure"
    WARNING = "warning"
    SUCCESS = "success"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Message:
    """What one notification says, in plain text."""

    title: str
    body: str
    tone: Tone = Tone.INFO


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message: accepted, or what went wrong, and how many seconds the service asks us to wait."""

    accepted: bool
    problem: str = ""
    retry_after: float = 0.0


class AppriseTransport:
    """Send messages to one Apprise URL. Raises ValueError with what is wrong with the URL, without repeating it.

    An instance belongs to one thread. `message_length` is how many UTF-16 units a message may have.
    """

    def __init__(self, url: str) -> None:
        apprise = _apprise()
        asset = apprise.AppriseAsset(
            app_id="clopos-exporter",
            app_desc="clopos-exporter",
            async_mode=False,
            # An answer from elsewhere says nothing about this URL, and a redirected POST becomes a GET.
            http_redirects=False,
            # Without a limit of its own, Apprise sends on the thread that asks; with one, on a thread that nothing can
            # stop and that the end of the process would wait for. Connecting and reading have their limits below.
            service_timeout=0,
        )
        service = apprise.Apprise.instantiate(url, asset=asset)
        _check(url, service)
        service.optional = False  # `?optional=yes` would call a failure a success
        service.retry = 0  # the worker tries again
        if len(service) > 1:
            raise ValueError("names several recipients: give each its own channel, so that none gets a message twice")
        self.message_length = min(MESSAGE_LENGTH, service.body_maxlen)
        service.request_rate_per_sec = 0.0  # the worker keeps to SPACING_SECONDS; Apprise would sleep
        service.socket_connect_timeout, service.socket_read_timeout = _CONNECT_SECONDS, _READ_SECONDS
        self._apprise = apprise.Apprise(asset=asset)
        self._apprise.add(service)

    def send(self, message: Message) -> Outcome:
        """Send a message, which may take some 15 s, and say whether the service accepted it. Raises nothing."""
        result = self._apprise.notify(
            title=message.title,
            body=message.body,
            notify_type=message.tone.value,
            body_format="text",  # a name may hold < and &
            log_level=logging.WARNING,
        )
        if result:
            return Outcome(accepted=True)
        # What the service answered may repeat the token, so nothing of it is passed on but numbers.
        said = " ".join(entry.message for entry in result.logs())
        status, wait = _STATUS.search(said), _RETRY_AFTER.search(said)
        retry_after = min(float(wait[1]), _LONGEST_RETRY_AFTER) if wait else 0.0
        return Outcome(accepted=False, problem=_problem(int(status[1]) if status else None), retry_after=retry_after)


def problem_of(url: str) -> str | None:
    """Return what is wrong with a channel's URL, without repeating it, or None. Nothing is sent."""
    try:
        AppriseTransport(url)
    except ValueError as error:
        return str(error)
    return None


def _check(url: str, service: Any) -> None:
    if service is None:
        scheme = url.partition("://")[0]
        known = "://" in url and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,20}", scheme)
        what = f"the service {scheme!r} is not known, or its URL lacks a part" if known else "this is no Apprise URL"
        raise ValueError(f"{what}: write it as tgram://token/chat, see https://appriseit.com/services/")
    if service.service_name == "Telegram" and not service.targets:
        raise ValueError(
            "names no chat: write it as tgram://token/chat, with the chat's number, such as -1001234567890"
        )


def _problem(status: int | None) -> str:
    if status is None:
        return "no answer from the service in time, or no connection to it"
    return f"HTTP {status}: {_REMEDIES.get(status, 'the service did not accept the message')}"


@cache
def _apprise() -> ModuleType:
    # Its plugins import modules that Python is going to remove, which helps nobody who reads our log.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"apprise\.")
    import apprise  # noqa: PLC0415

    # Its warnings name tokens, and with DEBUG it and the HTTP library below it write whole URLs. What went wrong is
    # taken from the result instead.
    logger = logging.getLogger("apprise")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    logger.setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").addFilter(_above_debug)
    return apprise


def _above_debug(record: logging.LogRecord) -> bool:
    """Return whether a line is not for debugging; unlike a level of its own, this never adds lines to a log."""
    return record.levelno > logging.DEBUG
