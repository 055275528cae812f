"""Which language a page is in: the one that its reader chose, else the best of those that the browser asks for."""

from __future__ import annotations

from babel import negotiate_locale
from starlette.requests import Request

from exporter.i18n import LANGUAGES
from exporter.negotiation import parse

COOKIE = "clopos_exporter_language"

NAMES = {"en": "English", "az": "Azərbaycanca", "ru": "Русский", "uz": "O\u2018zbekcha"}


def language_of(request: Request) -> str:
    """Return the language for a request, English where nothing else fits."""
    chosen = request.cookies.get(COOKIE)
    if chosen in LANGUAGES:
        return chosen
    return accepted(",".join(request.headers.getlist("accept-language")))


def accepted(header: str) -> str:
    """Return the language of an Accept-Language header with the highest weight, the first of several (RFC 9110)."""
    wanted = sorted(parse(header), key=lambda one: one[2], reverse=True)
    return negotiate_locale([tag for tag, _, weight in wanted if weight], LANGUAGES, sep="-") or "en"
