"""Pages in the reader's language, with no text outside of the catalogue."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages_fakes import FakeSource, brand_view, get, incident, outage, station_state, venue_view

import exporter.web
from exporter.i18n import LANGUAGES
from exporter.model import Event, IncidentKind
from exporter.web.language import accepted

FOLDER = Path(exporter.web.__file__).parent
GRILL = station_state("1", "Q", active=False, since=1500.0)
PATHS = ("/", "/venue?brand=t&venue_id=7", "/changes", "/venue")


def shown() -> FakeSource:
    views = [
        venue_view("7", GRILL, name="Q", brand="t", incidents=[incident(IncidentKind.KITCHEN_STATION_INACTIVE, GRILL)]),
        venue_view("8", GRILL, name="Q", brand="t", outage=outage()),
    ]
    source = FakeSource(views, [brand_view("t")])
    source.record(Event.STATION_DEACTIVATED, 90.0, views[0], GRILL, previous_for_seconds=9000.0)
    return source


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("az", "az"),
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("de, uz-Latn-UZ;q=0.5, en;q=0.3", "uz"),
        ("en;q=0.1, az;q=0.2", "az"),
        ("az;q=0, en", "en"),
        ("fr, *", "en"),
        ("az;q=x, ru;q=nan, uz;q=0.1", "uz"),
    ],
)
def test_the_browser_says_which_language_it_wants(header: str, language: str) -> None:
    assert accepted(header) == language


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_is_in_one_language(language: str, path: str) -> None:
    answer = get(shown(), path, accept_language=language)
    assert f'<html lang="{language}">' in answer.html
    assert answer.headers["content-language"] == language
    assert "Accept-Language" in answer.headers["vary"]
    english = {"en": ()}.get(language, ("station", "Skip to", "Inactive in Clopos", "ago", "This does"))
    assert not [word for word in english if re.search(rf"\b{word}\b", answer.text)]


def test_the_language_that_somebody_chose_is_remembered() -> None:
    chosen = get(shown(), "/language?to=az&page=venue%3Fbrand%3Dt%26venue_id%3D7")
    assert (chosen.status, chosen.headers["location"]) == (303, "venue?brand=t&venue_id=7")
    cookie = chosen.headers["set-cookie"].partition(";")[0]
    assert '<html lang="az">' in get(shown(), "/", cookie=cookie, accept_language="ru").html


@pytest.mark.parametrize("page", ["//evil.example", "https://evil.example", "javascript:alert(1)", "/\\evil", ""])
def test_the_switch_leads_nowhere_else(page: str) -> None:
    answer = get(shown(), f"/language?to=xx&page={page}")
    assert answer.headers["location"] == "./"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", PATHS)
def test_every_page_offers_the_languages_in_their_own_words(path: str) -> None:
    html = get(shown(), path).html
    assert all(f'lang="{language}" hreflang="{language}"' in html for language in LANGUAGES)


@pytest.mark.parametrize("template", sorted((FOLDER / "templates").glob("*.html")), ids=lambda path: path.name)
def test_no_template_has_text_of_its_own(template: Path) -> None:
    source = template.read_text(encoding="utf-8")
    source = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", source, flags=re.DOTALL)
    attributes = re.findall(r'(?:aria-label|title|placeholder|alt|data-copy|data-done)="([^"]*)"', source)
    text = re.sub(r"<[^>]*>", " ", source)
    assert re.findall(r"[^\W\d_]{2,}", " ".join([text, *attributes])) == []


def test_no_expression_of_a_template_has_text_outside_of_the_catalogue() -> None:
    for template in (FOLDER / "templates").glob("*.html"):
        source = re.sub(r"\{#.*?#\}", "", template.read_text(encoding="utf-8"), flags=re.DOTALL)
        source = re.sub(r'\bn?(_|gettext)\("[^"]*"(, "[^"]*")?', "(", source)
        literals = re.findall(r'"([^"{}<>=]*)"', " ".join(re.findall(r"\{[{%](.*?)[}%]\}", source, re.DOTALL)))
        assert [text for text in literals if re.search(r"\w\w \w\w", text)] == [], template.name


def test_the_script_has_no_text_of_its_own() -> None:
    script = (FOLDER / "static" / "page.js").read_text(encoding="utf-8")
    code = re.sub(r"//.*", "", script)
    literals = [text for groups in re.findall(r'"([^"]*)"|`([^`]*)`', code) for text in groups if text]
    assert [text for text in literals if re.search(r"[A-Za-z]{2,} [A-Za-z]{2,}", text) and text != "use strict"] == []
    assert [text for text in literals if re.fullmatch(r"[A-Z][a-z]+", text) and text != "Accept"] == []
