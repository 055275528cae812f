"""The page of the real process in a real browser, before a simulated Clopos; the README's pictures are made here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from browser import chromium
from harness import Exporter, configuration
from past import DAY, HOUR, MINUTE, Happened, lived_through
from playwright.sync_api import Browser, Page, expect

from exporter.simulator import Simulator

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page")]

PICTURES: dict[str, tuple[str, tuple[int, int], Literal["dark", "light"]]] = {
    "overview-desktop": ("/", (1280, 860), "light"),
    "overview-phone": ("/", (390, 844), "light"),
    "venue-dark": ("/venue?brand={brand}&venue_id=3", (1280, 860), "dark"),
}


LAST_WEEK = (
    Happened(5 * DAY, "3", "1", 0),
    Happened(5 * DAY - 2 * HOUR, "3", "1", 1),
    Happened(3 * DAY, "3", "4", 0),
    Happened(2.5 * DAY, "3", "4", 1),
    Happened(21 * HOUR, "3", "1", 0),
    Happened(20 * HOUR, "3", "1", 1),
    Happened(9 * HOUR, "6", "2", 0),
    Happened(8 * HOUR, "6", "2", 1),
    Happened(5 * HOUR, "3", "3", 0),
    Happened(4 * HOUR, "3", "3", 1),
    Happened(2 * HOUR, "8", "1", 0),
    Happened(50 * MINUTE, "5", "6", 0),
    Happened(31 * MINUTE, "11", "2", 0),
    Happened(25 * MINUTE, "3", "1", 0),
    Happened(12 * MINUTE, "11", "2", 1),
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, Exporter]]:
    """An exporter that has watched a brand for a month, by its state file."""
    folder = tmp_path_factory.mktemp("page")
    world = lived_through(LAST_WEEK, folder / "state.db", venues=18, stations=8)
    with Simulator(world) as simulator:
        config = configuration(simulator, poll_interval="5s", state={"path": str(folder / "state.db")})
        with Exporter(folder, config) as exporter:
            exporter.until_ready(18)
            yield simulator, exporter


@pytest.fixture(scope="module")
def browser(program: Callable[..., str]) -> Iterator[Browser]:
    with chromium(program("chromium")) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(stage: tuple[Simulator, Exporter], browser: Browser, tmp_path: Path, name: str) -> None:
    """Take a picture, into the folder that SCREENSHOTS names if it does."""
    simulator, exporter = stage
    path, (width, height), scheme = PICTURES[name]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.goto(exporter.url + path.format(brand=simulator.world.brands[0]))
    expect(page.locator("#live-text")).to_contain_text("Live")
    expect(page.get_by_text("Clopos does not say who did that").first).to_be_visible()
    picture = Path(os.environ.get("SCREENSHOTS") or tmp_path) / f"{name}.png"
    page.screenshot(path=picture)
    context.close()
    assert 10_000 < picture.stat().st_size < 200_000


def test_a_station_that_is_switched_off_shows_without_a_reload(stage: tuple[Simulator, Exporter], page: Page) -> None:
    simulator, exporter = stage
    (brand,) = simulator.world.brands
    row = simulator.world.station(brand, "2", "1")
    page.goto(exporter.url)
    page.evaluate("window.untouched = true")
    card = page.locator(".trouble", has=page.get_by_role("link", name=row["name"], exact=True)).filter(
        has_text=simulator.world.venues(brand)["2"]
    )
    expect(card).to_have_count(0)

    simulator.world.set_status(brand, "2", "1", 0)
    expect(card).to_contain_text("Clopos does not say who did that", timeout=20_000)
    assert page.evaluate("window.untouched")

    simulator.world.set_status(brand, "2", "1", 1)
    expect(card).to_have_count(0, timeout=20_000)
    expect(page.locator(".change").first).to_contain_text(f"{row['name']} active again")
    assert page.evaluate("window.untouched")


def test_the_journal_of_the_process_before_is_on_the_page(stage: tuple[Simulator, Exporter], page: Page) -> None:
    simulator, exporter = stage
    page.goto(f"{exporter.url}/venue?brand={simulator.world.brands[0]}&venue_id=3&span=week")
    expect(page.locator(".line:not(.axis)").first).to_contain_text("inactive 3 times")
    assert page.locator("rect.disabled").count() >= 5
