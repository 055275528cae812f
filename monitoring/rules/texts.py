"""The texts of alerts: words in angle brackets as Prometheus templates, and the short texts of the runbooks."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

RUNBOOKS_FOLDER = Path(__file__).parents[2] / "docs/runbooks"

_WORDS = {
    "<venue>": "{{ or $labels.venue $labels.venue_id }}",
    "<station>": "{{ or $labels.station $labels.station_id }}",
    "<brand>": "{{ $labels.brand }}",
    "<instance>": "{{ $labels.instance }}",
    "<channel>": "{{ $labels.channel }}",
    "<value>": "{{ $value }}",
    "<percentage>": "{{ $value | humanizePercentage }}",
}
_HEADINGS = {"en": "In short", "az": "Qısaca", "ru": "Коротко"}


def fill(text: str) -> str:
    """Put the templates in place of the words in angle brackets, on one line."""
    for word, template in _WORDS.items():
        text = text.replace(word, template)
    return " ".join(text.split())


@cache
def short(alert: str, language: str) -> str:
    """Return what an alert's runbook says to a shift manager, on one line."""
    text = (RUNBOOKS_FOLDER / f"{alert}.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {_HEADINGS[language]}\n(.*?)^## ", text, re.DOTALL | re.MULTILINE)
    if found is None:
        message = f"{alert}.md has no section {_HEADINGS[language]!r}"
        raise ValueError(message)
    return " ".join(found[1].split())
