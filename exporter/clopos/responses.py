"""What a response means: `success` is read before the status, and two vocabularies of messages become one of reasons.

Source: the API's page on errors. An identifier such as `unauthorized` and a sentence such as `Invalid token` live side
by side, and a mismatch of test and production comes as HTTP 200 with `success: false`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from exporter.clopos import wire
from exporter.clopos.transport import ApiResponse
from exporter.errors import CloposError
from exporter.model import Reason

MAX_WAIT = 300.0
"""Seconds that the API may keep us waiting at a time: an odd header must not stop polling for longer."""

MAX_DATE = 253_402_300_800.0
"""The year 10000 as epoch seconds, which no date can hold."""

_BY_MESSAGE = {
    "test mode": Reason.TEST_MODE,
    "client is disabled": Reason.CLIENT_DISABLED,
    "invalid integrator": Reason.INTEGRATOR,
    "token expired": Reason.TOKEN,
    "invalid token": Reason.TOKEN,
}
_BY_STATUS = {
    401: Reason.CREDENTIALS,
    403: Reason.FORBIDDEN,
    404: Reason.NOT_FOUND,
    429: Reason.RATE_LIMITED,
    504: Reason.GATEWAY_TIMEOUT,
}
_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,9})?")


def raise_for_error(response: ApiResponse, mask: Callable[[str], str] = str) -> None:
    """Raise CloposError with the reason unless the response says `success: true`.

    Nothing else is a success: neither a missing word nor 0, null or "false". `mask` hides what the message must not
    repeat.
    """
    document, status = response.document, response.status
    success = document.get("success")
    if success is True and status < 300:  # noqa: PLR2004 - the HTTP class
        return
    text = wire.message(document, mask) if document else f"HTTP {status} without a JSON body"
    reason = _reason(status, f"{text} {wire.identifier(document)}".lower())
    if reason is Reason.BAD_REQUEST and status < 400 and success is not False:  # noqa: PLR2004 - the HTTP class
        raise CloposError(Reason.MALFORMED, f'HTTP {status} without "success": true')
    raise CloposError(reason, f"{text} (HTTP {status})" if document else text)


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that a 429 asks us to wait: the longer of RateLimit-Reset and Retry-After, within bounds."""
    value = headers.get("Retry-After")
    until = http_date(value)
    waits = [_number(headers.get("RateLimit-Reset")), _number(value), None if until is None else until - time.time()]
    wait = max((wait for wait in waits if wait is not None), default=60.0)
    return min(max(wait, 1.0), MAX_WAIT)


def rate_limit(headers: Mapping[str, str]) -> tuple[int, int, float] | None:
    """Return limit, remaining and reset (seconds) from the RateLimit headers, None where they are not all there."""
    limit, remaining, reset = (_number(headers.get(f"RateLimit-{name}")) for name in ("Limit", "Remaining", "Reset"))
    if limit is None or remaining is None or reset is None or limit < 1:
        return None
    return int(limit), int(remaining), reset


def http_date(text: str | None) -> float | None:
    """Parse the date of a header to epoch seconds; return None where it is none.

    One that names no time zone is in UTC, as in the oldest of the forms that have to be understood (RFC 9110, 5.6.7).
    """
    try:
        found = parsedate_to_datetime(text or "")
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def deprecated_since(headers: Mapping[str, str]) -> float | None:
    """Return from when the API is deprecated, epoch seconds, from `Deprecation` (RFC 9745); None where it is not.

    Drafts of the RFC had an HTTP date in its place.
    """
    value = headers.get("Deprecation", "").strip()
    seconds = _number(value[1:]) if value.startswith("@") else http_date(value)
    return seconds if seconds is not None and seconds < MAX_DATE else None


def _reason(status: int, text: str) -> Reason:
    for words, reason in _BY_MESSAGE.items():
        if words in text:
            return reason
    other = Reason.GATEWAY if status >= 500 else Reason.BAD_REQUEST  # noqa: PLR2004 - the HTTP class
    return _BY_STATUS.get(status, other)


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _DECIMAL.fullmatch(text.strip()) else None
