"""Which language a page is in: the one that its reader chose, else the best of those that the browser asks for."""

from __future__ import annotations

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
    weights = {"en": 0.0}
    for tag, _, weight in parse(header):
        language = tag.partition("-")[0]
        if language in LANGUAGES:
            weights[language] = max(weights.get(language, 0.0), weight)
    return max(weights, key=weights.__getitem__)
