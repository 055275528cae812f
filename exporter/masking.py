"""Make texts that come from elsewhere safe to show: without secrets, and without what steers a terminal."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote

MASK = "<secret>"

# What may end a line, steer a terminal, turn the reading direction around or hide text (the tags of Unicode), and half
# characters, which no UTF-8 has.
UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_STANDARD = str.maketrans("-_", "+/")


def escape_controls(text: str) -> str:
    """Escape what would steer a terminal or end a line, as Python writes it."""
    return UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def masker(secrets: Iterable[str]) -> Callable[[str], str]:
    """Return a function that masks these secrets in a text.

    Found as they are, percent-encoded, escaped as in JSON or HTML, and within base64. A text that holds an escaped
    secret comes back unescaped.
    """
    known = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

    def mask(text: str) -> str:
        text = _replace(text, known)
        for decode in (unquote, _unescape, html.unescape):
            decoded = decode(text)
            if any(secret in decoded for secret in known):
                text = _replace(decoded, known)
        return _BASE64.sub(lambda run: MASK if _holds(run[0], known) else run[0], text)

    return mask


def _replace(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else match[2], text)


def _holds(run: str, secrets: Iterable[str]) -> bool:
    """Return whether a run of base64 holds a secret, wherever in it the encoding began."""
    run = run.translate(_STANDARD)
    decoded = [base64.b64decode(run[start:] + "A" * (-len(run[start:]) % 4)) for start in range(4)]
    return any(secret.encode(errors="replace") in data for secret in secrets for data in decoded)
