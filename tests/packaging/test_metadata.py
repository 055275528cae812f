"""What the package index, the chart and the changelog say is of one version and leads somewhere."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from containers import ROOT
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager
from packaging.version import Version
from readme_renderer import markdown

from exporter import __version__

URLS: dict[str, str] = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text())["project"]["urls"]
CHART: dict[str, Any] = yaml.safe_load(ROOT.joinpath("helm", "clopos-exporter", "Chart.yaml").read_text())
CHANGELOG = ROOT.joinpath("CHANGELOG.md").read_text()


class Addresses(HTMLParser):
    """Collect where the links and pictures of a page lead."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and (tag, name) == ("a", "href"):
                self.links.append(value)
            elif value and (tag, name) == ("img", "src"):
                self.pictures.append(value)


@pytest.fixture(scope="module")
def page() -> str:
    """Return the project's page as the package index renders it."""
    metadata = ProjectMetadata(str(ROOT), PluginManager())
    assert metadata.core.readme_content_type == "text/markdown"
    rendered: str | None = markdown.render(metadata.core.readme)
    assert rendered is not None
    return rendered


def test_every_address_on_the_package_index_leads_into_the_source_of_this_version(page: str) -> None:
    found = Addresses(page)
    assert found.pictures
    assert found.links
    for kind, addresses in (("raw", found.pictures), ("blob", found.links)):
        for address in addresses:
            assert address.startswith(("https://", "#")), address
            if address.startswith(URLS["Source"]):
                base, _, path = address.removeprefix(URLS["Source"]).partition(f"/{kind}/v{__version__}/")
                assert base == ""
                assert ROOT.joinpath(path.partition("#")[0]).exists(), path


def test_the_tables_show_on_the_package_index(page: str) -> None:
    assert "<table>" in page
    assert "clopos_station_active" in page


def test_the_project_has_one_address() -> None:
    assert all(url.startswith(URLS["Homepage"]) for url in URLS.values())
    assert CHART["home"] == URLS["Homepage"]
    assert CHART["sources"] == [URLS["Source"]]


def test_the_chart_is_of_this_version() -> None:
    assert CHART["appVersion"] == __version__
    assert f":{__version__}" in CHART["annotations"]["artifacthub.io/images"]


def test_the_changelog_has_dated_releases_down_from_this_version() -> None:
    headings = re.findall(r"^## (.*)$", CHANGELOG, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    releases = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})", heading) for heading in headings[1:]]
    assert all(releases), headings
    versions = [Version(release[1]) for release in releases if release]
    dates = [date.fromisoformat(release[2]) for release in releases if release]
    assert versions[0] == Version(__version__)
    assert versions == sorted(set(versions), reverse=True)
    assert dates == sorted(dates, reverse=True)


def test_the_documents_install_into_an_environment_of_its_own() -> None:
    """The package is called `exporter`, and another distribution has a top-level package of that name."""
    for document in (ROOT / "README.md", *ROOT.glob("docs/**/*.md")):
        assert loose_installs(document) == []


def loose_installs(document: Path) -> list[str]:
    commands = re.findall(r"^(?!#)\S*pip install.*$", document.read_text(), re.MULTILINE)
    return [command for command in commands if not command.startswith("/opt/clopos-exporter/bin/pip ")]
