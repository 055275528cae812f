"""Which language a page is in: the one that its reader chose, else the best of those that the browser asks for."""

from __future__ import annotations

from starlette.requests import Request

from exporter.i18n import LANGUAGES

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
    best, best_weight = "en", 0.0
    for part in header.split(","):
        tag, *parameters = (word.strip().lower() for word in part.split(";"))
        language, weight = tag.partition("-")[0], _weight(parameters)
        if language in LANGUAGES and weight > best_weight:
            best, best_weight = language, weight
    return best


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0 <= weight <= 1 else 0.0
    return 1.0
