"""One name for one thing, and the field's own words for it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.pofile import read_po

from monitoring.rules import ALERTS
from monitoring.rules.texts import short

ROOT = Path(__file__).parent.parent

INSTEAD = {
    r"blindness|blind_spots?|blinded": "outage, no data",
    r"brandatwork|lay_over|reconsider|show_in": "names of old",
    r"drift\w*": "churn, change, differ",
    r"doors?(?!s? opens?)|guards?": "middleware, authentication, limit",
    r"furnish\w*": "add, create",
    r"in_turn|rota": "round robin, slot",
    r"paces?": "rate, rate limiter",
    r"patience": "timeout",
    r"refusals?": "error, rejection",
    r"rooms": "modules, layers",
    r"settle[ds]?|settling": "converge, expire, be done, wait until idle",
    r"steady": "monotonic",
    r"tell(?! it\b)|tells|told|teller|telling": "report, emit, log, notify, show",
    r"tracked": "state, snapshot",
    r"verdicts?": "decision, result",
}
"""Private vocabulary, and what the field says instead. As whole words, or as parts of a name joined by underscores.

No docstring begins with "Give" or "Tell" either.
"""

BANNED = re.compile(rf"(?<![a-z])(?:{'|'.join(INSTEAD)})(?![a-z])|\"{{3}}(?:give|tell)s? ")
TEXTS = {".css", ".html", ".js", ".md", ".py", ".sh", ".tpl", ".txt", ".yaml", ".yml", ""}
FOLDERS = ["benchmarks", "deploy", "docs", "exporter", "helm", "monitoring", "tests", "tools"]
SKIPPED = {"__pycache__", "images", "locale"}


def texts() -> list[Path]:
    inside = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
    return [
        path
        for path in [*(ROOT / name for name in ("CONTRIBUTING.md", "README.md", "SECURITY.md", "Makefile")), *inside]
        if path.is_file() and path.suffix in TEXTS and not SKIPPED & set(path.parts) and path != Path(__file__)
    ]


def test_no_two_classes_of_the_package_share_a_name() -> None:
    places = defaultdict(list)
    for path in sorted(ROOT.glob("exporter/**/*.py")):
        for name in re.findall(r"^ *class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            places[name].append(str(path.relative_to(ROOT)))
    assert len(places) > 100
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_texts_and_names_use_the_words_of_the_field() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in texts()
        for number, line in enumerate([path.name, *path.read_text(encoding="utf-8").splitlines()])
        for match in BANNED.finditer(line.lower())
    ]
    assert not found, f"say instead: {INSTEAD}"


STATE = re.compile(r"\b(?:disabled|deactivated)\b|(?<!--)\boffline\b|(?<!switched )(?<!on and )\boff\b", re.IGNORECASE)
"""Other words than "inactive" for the state of a station; to switch it off is what somebody does."""

STATES = {"az": r"sönülü|deaktiv|qeyri-aktiv", "ru": r"выключена|неактивн|деактив", "uz": r"oʻchiq|nofaol|faolsiz"}
"""The same in the translations, which say söndürülüb, отключена and oʻchirilgan."""


def catalogue(language: str) -> list[str]:
    path = ROOT / f"exporter/locale/{language}/LC_MESSAGES/clopos-exporter.po"
    with path.open("rb") as file:
        return [text for message in read_po(file, locale=language) if message.id for text in _forms(message.string)]


def _forms(text: str | Iterable[str] | None) -> Iterable[str]:
    return [text] if isinstance(text, str) else text or ()


def of_dashboards() -> Iterator[str]:
    """Return what people read on the dashboards."""

    def texts(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            read = (node.get(key) for key in ("title", "description", "text", "noValue"))
            yield from (text for text in read if isinstance(text, str))
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from texts(child)

    for path in ROOT.glob("helm/clopos-exporter/files/dashboards/*.json"):
        yield from texts(json.loads(path.read_text(encoding="utf-8")))


def for_people() -> list[str]:
    """Return the English texts of page, messages, dashboards, alerts and runbooks."""
    with (ROOT / "exporter/locale/az/LC_MESSAGES/clopos-exporter.po").open("rb") as file:
        said = [text for message in read_po(file) if message.id for text in _forms(message.id)]
    alerts = [text for alert in ALERTS for text in (alert.summary, alert.description, alert.meaning)]
    runbooks = [short(alert.name, "en") for alert in ALERTS]
    return [*said, *of_dashboards(), *alerts, *runbooks]


def test_people_read_one_word_for_a_station_that_is_inactive() -> None:
    texts = for_people()
    assert sum("inactive" in text.lower() for text in texts) > 40
    assert not [text for text in texts if STATE.search(text)]


@pytest.mark.parametrize("language", STATES)
def test_people_read_one_word_for_it_in_every_language(language: str) -> None:
    assert not [text for text in catalogue(language) if re.search(STATES[language], text, re.IGNORECASE)]


def test_the_words_are_found_and_nothing_else() -> None:
    assert all(map(BANNED.search, ["he was told.", "is_told", "test_refusals", "drifting", '"""give the', "tell them"]))
    assert not any(map(BANNED.search, ["tell it", "before the doors open", "storytelling", "settlement", "rotate"]))
