"""What a client prefers: format, encoding or language, by the highest `q` (RFC 9110, section 12)."""

from __future__ import annotations

from functools import lru_cache

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_OPENMETRICS_VERSIONS = frozenset({"", "0.0.1", "1.0.0"})
_TEXT_VERSIONS = frozenset({"", "0.0.4", "1.0.0"})


def content_type(*, openmetrics: bool) -> str:
    """Return the Content-Type of a format."""
    return OPENMETRICS if openmetrics else TEXT


@lru_cache(maxsize=64)
def prefers_openmetrics(accept: str) -> bool:
    """Return whether OpenMetrics 1.0 is preferred to text 0.0.4; text where both or neither are."""
    openmetrics = text = 0.0
    for media, options, quality in parse(accept):
        if media == "application/openmetrics-text" and options.get("version", "") in _OPENMETRICS_VERSIONS:
            openmetrics = max(openmetrics, quality)
        elif media == "text/plain" and options.get("version", "") in _TEXT_VERSIONS:
            text = max(text, quality)
    return openmetrics > text


@lru_cache(maxsize=64)
def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether gzip may be used, and is not ranked below leaving the body as it is."""
    qualities = {coding: quality for coding, _, quality in parse(accept_encoding)}
    gzip = qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0)))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def parse(value: str) -> list[tuple[str, dict[str, str], float]]:
    """Split a header into what is accepted, its parameters, and its `q`, 0 where that makes no sense."""
    accepted = []
    for part in value.lower().split(","):
        name, *parameters = (word.strip() for word in part.split(";"))
        options = {key: text.strip('"') for key, equals, text in (word.partition("=") for word in parameters) if equals}
        try:
            quality = float(options.pop("q", "1"))
        except ValueError:
            quality = 0.0
        accepted.append((name, options, quality if 0.0 <= quality <= 1.0 else 0.0))
    return accepted
