"""How single values are written: durations, days, ids, addresses, secrets. Each fault is a sentence with the remedy."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, NoReturn, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr, StringConstraints

from exporter import hours
from exporter.document import shown

_DURATION = re.compile(r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII)
_UNITS = (365 * 86400, 7 * 86400, 86400, 3600, 60, 1, 0.001)
_CENTURY = 100 * 365 * 86400
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_Text = TypeVar("_Text", str, SecretStr)


class Secret(SecretStr):
    """Hold what must never be seen: `repr`, `str` and JSON mask it, pickle refuses it, `get_secret_value` gives it."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        return self


def seconds(value: object) -> object:
    """Read a duration in Prometheus' spelling, as `1h30m`, of at least one second; pass numbers on as they are."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    match = _DURATION.fullmatch(text)
    if text.isdecimal():
        raise ValueError(f"{shown(text)} has no unit: use a duration such as 30s, 5m or 1h30m")
    if not text or not match:
        raise ValueError(f"{shown(text)} is not a duration: use a duration such as 30s, 5m or 1h30m")
    total = sum(float(count or 0) * unit for count, unit in zip(match.groups(), _UNITS, strict=True))
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


def _one_line(value: _Text) -> _Text:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not text:
        raise ValueError("must not be empty")
    if _CONTROL.search(text):
        raise ValueError("must be one line of plain text")
    return value


def _path(value: object) -> object:
    if str(value).strip() in ("", ".") or _CONTROL.search(str(value)):
        raise ValueError("must be the path of a file")
    return value


def _header_value(token: Secret) -> Secret:
    if not re.fullmatch("[!-~]+", token.get_secret_value()):
        raise ValueError("must be the token alone: ASCII, in one piece, without blanks")
    return token


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.port != 0
        usable = usable and all((parts.hostname or "").removesuffix(".").split("."))
    except ValueError:
        usable = False
    if not usable or not re.fullmatch("[!-~]+", text):
        raise ValueError("must be an address such as https://integrations.clopos.com/open-api/v2")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password: they belong in client_id and client_secret")
    if parts.query or parts.fragment:
        raise ValueError("must end with the path: remove what follows ? or #")
    return text.rstrip("/")


def _time_zone(name: str) -> str:
    hours.zone(name)
    return name


def _opening_hours(expression: str) -> str:
    hours.parse(expression)
    return expression


Duration = Annotated[float, BeforeValidator(seconds)]
Day = Annotated[date, BeforeValidator(_day)]
Text = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_one_line)]
Id = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9_-]+$")]
FilePath = Annotated[Path, BeforeValidator(_path)]
BaseUrl = Annotated[Text, AfterValidator(_base_url)]
TimeZone = Annotated[Text, AfterValidator(_time_zone)]
OpeningHours = Annotated[Text, AfterValidator(_opening_hours)]
Password = Annotated[Secret, AfterValidator(_one_line)]
Token = Annotated[Secret, AfterValidator(_header_value)]
