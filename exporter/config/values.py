"""How single values are written: durations, days, ids, addresses, secrets. Each fault is a sentence with the remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import date
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr, StringConstraints

from exporter import hours
from exporter.clock import parse_duration
from exporter.document import shown

_CENTURY = 100 * 365 * 86400
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
SHORTEST_REPEAT_SECONDS = 1800.0

INSECURE_SCHEMES = frozenset({"http", "json", "xml", "form", "apprise", "gotify", "hassio", "mmost", "rocket"})
"""What goes over plain HTTP: the scheme itself, and those of Apprise that have a twin for HTTPS."""

_WEB, _DATABASES = ("http", "https"), ("postgresql", "postgres")

_T = TypeVar("_T")


def seconds(value: object) -> object:
    """Read a duration in Prometheus' spelling, as `1h30m`, of at least one second; pass numbers on as they are."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    total = parse_duration(text)
    if text.isdecimal():
        raise ValueError(f"{shown(text)} has no unit: use a duration such as 30s, 5m or 1h30m")
    if total is None:
        raise ValueError(f"{shown(text)} is not a duration: use a duration such as 30s, 5m or 1h30m")
    if not 1 <= total <= _CENTURY:
        raise ValueError(f"{shown(text)} is out of range: use a duration from 1s to a hundred years, such as 30s")
    return total


def _day(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value.strip())
    except ValueError:
        raise ValueError(f"{shown(value)} is not a day: write it as 2026-12-31") from None


def _must(hold: Callable[[Any], object], message: str = "") -> AfterValidator:
    """Refuse a value, in a secret its text, for which `hold` returns something false or raises ValueError."""

    def check(value: _T) -> _T:
        if not hold(value.get_secret_value() if isinstance(value, SecretStr) else value):
            raise ValueError(message)
        return value

    return AfterValidator(check)


def _path(value: object) -> object:
    if str(value).strip() in ("", ".") or _CONTROL.search(str(value)):
        raise ValueError("must be the path of a file")
    return value


def _base_url(text: str) -> str:
    usable = _has_host(_WEB, text) and re.fullmatch("[!-~]+", text)
    if not usable or not all((urlsplit(text).hostname or "").removesuffix(".").split(".")):
        raise ValueError("must be an address such as https://integrations.clopos.com/open-api/v2")
    parts = urlsplit(text)
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password: they belong in client_id and client_secret")
    if parts.query or parts.fragment:
        raise ValueError("must end with the path: remove what follows ? or #")
    return text.rstrip("/")


def is_insecure(address: str) -> bool:
    """Return whether a URL goes over plain HTTP to another machine."""
    parts = urlsplit(address)
    if parts.scheme not in INSECURE_SCHEMES:
        return False
    name = (parts.hostname or "").lower()
    try:
        return not ip_address(name).is_loopback
    except ValueError:
        return name.removesuffix(".") != "localhost"


def is_apprise_url(text: str) -> bool:
    """Return whether a text has the form of an Apprise URL."""
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://[!-~]+", text) is not None


def _has_host(schemes: Collection[str], text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", text)
    except ValueError:
        return False


def _is_page(text: str) -> bool:
    return _has_host(_WEB, text) and bool(re.fullmatch("[!-~]+", text)) and "@" not in urlsplit(text).netloc


def _repeat_interval(value: object) -> object:
    """Parse `off`, which becomes None, or a duration of at least half an hour."""
    if isinstance(value, str) and value.strip() == "off":
        return None
    parsed = seconds(value)
    if isinstance(parsed, float) and parsed < SHORTEST_REPEAT_SECONDS:
        raise ValueError(f"{shown(str(value))} is too short: use off, or at least 30m")
    return parsed


_ONE_LINE = _must(lambda text: not _CONTROL.search(text), "must be one line of plain text")
NOT_EMPTY = _must(bool, "must not be empty")
Duration = Annotated[float, BeforeValidator(seconds)]
Day = Annotated[date, BeforeValidator(_day)]
Text = Annotated[str, StringConstraints(strip_whitespace=True), NOT_EMPTY, _ONE_LINE]
Id = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9_-]+$")]
FilePath = Annotated[Path, BeforeValidator(_path)]
BaseUrl = Annotated[Text, AfterValidator(_base_url)]
BackOfficeUrl = Annotated[Text, _must(_is_page, "must be the address of a page, such as https://tandir.clopos.com")]
TimeZone = Annotated[Text, _must(hours.zone)]
OpeningHours = Annotated[Text, _must(hours.parse)]
Password = Annotated[SecretStr, NOT_EMPTY, _ONE_LINE]
Token = Annotated[
    SecretStr, _must(re.compile("[!-~]+").fullmatch, "must be the token alone: ASCII, in one piece, without blanks")
]
ChannelURL = Annotated[SecretStr, _must(is_apprise_url, "must be an Apprise URL, such as tgram://token/chat")]
WebURL = Annotated[SecretStr, _must(partial(_has_host, _WEB), "must be a URL such as https://hc-ping.com/your-uuid")]
DatabaseURL = Annotated[
    SecretStr,
    _must(partial(_has_host, _DATABASES), "must be a URL such as postgresql://user:password@host/name"),
]
RepeatInterval = Annotated[float | None, BeforeValidator(_repeat_interval)]
