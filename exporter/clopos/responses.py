"""What an answer means: success is read before the status, and two vocabularies of messages become one of reasons.

Source: the API's page on errors. An identifier such as `unauthorized` and a sentence such as `Invalid token` live side
by side, and a mismatch of test and production comes as HTTP 200 with `success: false`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from exporter.clopos import wire
from exporter.clopos.transport import ApiResponse
from exporter.errors import CloposError
from exporter.model import Reason

MAX_WAIT = 900.0
"""Seconds that we let the API send us away at the most."""

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
_BRAND_WIDE = frozenset({Reason.TEST_MODE, Reason.CLIENT_DISABLED, Reason.INTEGRATOR, Reason.TOKEN, Reason.CREDENTIALS})


def raise_for_error(answer: ApiResponse, mask: Callable[[str], str] = str) -> None:
    """Accept an answer that succeeded. Raises CloposError with the reason for any other.

    `mask` masks what the message must not repeat.
    """
    document, status = answer.document, answer.status
    if document.get("success") is not False and status < 400:  # noqa: PLR2004 - the HTTP class
        return
    text = wire.message(document, mask) if document else f"HTTP {status} without a JSON body"
    reason = _reason(status, f"{text} {wire.identifier(document)}".lower())
    raise CloposError(reason, f"{text} (HTTP {status})" if document else text, brand_wide=reason in _BRAND_WIDE)


def retry_after(headers: Mapping[str, str]) -> float:
    """Give how long a 429 asks us to wait: the longer of RateLimit-Reset and Retry-After, within bounds."""
    waits = [_number(headers.get("RateLimit-Reset"))]
    with suppress(InvalidHeader, ValueError, OverflowError):  # The latter two for numbers and dates without end.
        waits.append(Retry().parse_retry_after(headers.get("Retry-After", "")))
    said = max((wait for wait in waits if wait is not None), default=60.0)
    return min(max(said, 1.0), MAX_WAIT)


def rate_limit(headers: Mapping[str, str]) -> tuple[int, int, float] | None:
    """Give limit, remaining and reset (seconds) from the RateLimit headers, None where they are not all there."""
    limit, remaining, reset = (_number(headers.get(f"RateLimit-{name}")) for name in ("Limit", "Remaining", "Reset"))
    if limit is None or remaining is None or reset is None or limit < 1:
        return None
    return int(limit), int(remaining), reset


def _reason(status: int, text: str) -> Reason:
    for words, reason in _BY_MESSAGE.items():
        if words in text:
            return reason
    if status >= 500:  # noqa: PLR2004 - the HTTP class
        return _BY_STATUS.get(status, Reason.GATEWAY)
    return _BY_STATUS.get(status, Reason.BAD_REQUEST)


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None  # noqa: PLR2004 - bounded
