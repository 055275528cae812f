"""Every language says everything, with everything in it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import exporter
from exporter.i18n import DOMAIN, LANGUAGES, time_of_day, translations

PACKAGE = Path(exporter.__file__).parent
TRANSLATED = [language for language in LANGUAGES if language != "en"]
KEYWORDS: dict[str, Any] = {"gettext": None, "_": None, "N_": None, "ngettext": (1, 2)}


def catalogue(language: str) -> Catalog:
    with (PACKAGE / "locale" / language / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as file:
        return read_po(file, locale=language)


def messages(language: str) -> Iterator[Message]:
    return (message for message in catalogue(language) if message.id)


def forms(text: Any) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@cache
def said() -> set[tuple[str, ...]]:
    """Return the message ids of the code, the plural beside the singular."""
    found = extract_from_dir(PACKAGE, [("**.py", "python"), ("**/templates/*.html", "jinja2")], keywords=KEYWORDS)
    return {forms(message) for _, _, message, _, _ in found}


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_catalogue_has_what_the_code_says_and_nothing_else(language: str) -> None:
    assert {forms(message.id) for message in messages(language)} == said()


@pytest.mark.parametrize("language", TRANSLATED)
def test_everything_is_translated_in_every_plural(language: str) -> None:
    plurals = catalogue(language).num_plurals
    for message in messages(language):
        assert not message.fuzzy, message.id
        assert all(forms(message.string)), message.id
        assert len(forms(message.string)) == (plurals if message.pluralizable else 1), message.id


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_has_the_placeholders_of_the_original(language: str) -> None:
    for message in messages(language):
        for text in forms(message.string):
            assert placeholders(text) == set().union(*map(placeholders, forms(message.id))), message.id


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_is_found_by_the_original(language: str) -> None:
    gettext = translations(language).gettext
    assert gettext("Reminder: {text}") != "Reminder: {text}"


def test_english_is_what_the_code_says() -> None:
    assert translations("en").gettext("Reminder: {text}") == "Reminder: {text}"
    assert translations("en").ngettext("{count} new problem", "{count} new problems", 2) == "{count} new problems"


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 новая проблема"), (3, "3 новые проблемы"), (11, "11 новых проблем")]
)
def test_russian_has_its_plurals(count: int, text: str) -> None:
    ngettext = translations("ru").ngettext
    assert ngettext("{count} new problem", "{count} new problems", count).format(count=count) == text


@pytest.mark.parametrize(
    ("at", "zone", "text"),
    [(-62135596800.0, "America/New_York", "Jan 1, 1"), (253402300799.0, "Asia/Baku", "Dec 31, 9999")],
)
def test_an_edit_time_at_the_end_of_all_years_is_written_in_every_time_zone(at: float, zone: str, text: str) -> None:
    assert time_of_day(at, 1_800_000_000.0, ZoneInfo(zone), "en").startswith(text)
