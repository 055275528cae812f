"""One name for one thing, and the field's own words for it."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

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


def test_the_words_are_found_and_nothing_else() -> None:
    assert all(map(BANNED.search, ["he was told.", "is_told", "test_refusals", "drifting", '"""give the', "tell them"]))
    assert not any(map(BANNED.search, ["tell it", "before the doors open", "storytelling", "settlement", "rotate"]))
