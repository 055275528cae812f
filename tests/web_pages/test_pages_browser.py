"""The pages in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import chromium
from pages_fakes import NOW, FakeSource, brand_view, outage, station_state, venue_view
from playwright.sync_api import Browser, Page, expect

from exporter.model import Event, Kind, Opening, Reason
from exporter.views import VenueRules

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pages")]

PHONE = {"width": 320, "height": 640}
DESKTOP = {"width": 1280, "height": 900}

GRILL = station_state("1", "Grill", active=False, since=1500.0)
BAR = station_state("2", "Bar", kind=Kind.OTHER)


@pytest.fixture(scope="module")
def browser(program: Callable[..., str]) -> Iterator[Browser]:
    with chromium(program("chromium")) as browser:
        yield browser


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """Collect what the browser complains about: it fails the test that does not expect it."""
    collected: list[str] = []
    yield collected
    assert collected == []


@pytest.fixture
def open_page(browser: Browser, complaints: list[str]) -> Iterator[Callable[..., Page]]:
    """Return a function that opens an address."""
    contexts = []

    def open_(url: str, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": DESKTOP, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        return page

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture
def source() -> FakeSource:
    """Return a chain with everything that can be shown."""
    closed = Opening(is_open=False, next_open=NOW + 3600, next_close=None)
    views = [
        venue_view("1", GRILL, BAR, name="Port Baku"),
        venue_view("2", station_state("1", "Oven", active=False), opening=closed),
        venue_view(
            "3", station_state("1", "Wok", active=None), station_state("2", "Bar", active=False, kind=Kind.OTHER)
        ),
        venue_view("4", BAR, age=200.0, outage=outage()),
        venue_view("5", BAR, age=900.0, outage=outage(Reason.FORBIDDEN), stale=True, brand="plov"),
        *(venue_view(str(number), GRILL, BAR, brand="plov", name=f"Plov {number}") for number in range(10, 40)),
    ]
    source = FakeSource(views, [brand_view(), brand_view("plov", login_outage=outage(Reason.CREDENTIALS))])
    source.record(Event.STATION_DEACTIVATED, 1500.0, views[0], GRILL, previous_for_seconds=9000.0)
    source.record(Event.VENUE_LOST, 180.0, views[3], reason="gateway_timeout")
    source.record(Event.STATION_RENAMED, 60.0, views[0], BAR, previous="Old bar")
    return source


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/venue?brand=tandir&venue_id=1", "/changes", "/changes?brand=nobody"])
def test_everybody_can_use_it(
    serve: Callable[[FakeSource], str], open_page: Callable[..., Page], source: FakeSource, path: str, scheme: str
) -> None:
    page = open_page(serve(source) + path, color_scheme=scheme)
    for fold in page.locator("summary").all():
        fold.click()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("path", ["/", "/venue?brand=tandir&venue_id=1", "/changes"])
def test_it_fits_on_the_smallest_phone(
    serve: Callable[[FakeSource], str], open_page: Callable[..., Page], source: FakeSource, path: str, *, script: bool
) -> None:
    page = open_page(serve(source) + path, viewport=PHONE, java_script_enabled=script)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_a_change_shows_without_a_reload_and_leaves_the_reader_in_place(
    serve: Callable[[FakeSource], str], open_page: Callable[..., Page], source: FakeSource
) -> None:
    page = open_page(f"{serve(source)}/", viewport=PHONE)
    page.evaluate("window.untouched = true")
    page.locator("details[data-key=expected] summary").click()
    focused = page.locator("[data-key='tandir/3'] a").first
    focused.focus()
    place = page.evaluate("scrollY")
    assert place > 0
    source.views = [
        *source.views[:3],
        venue_view("4", station_state("9", "New fryer", active=False)),
        *source.views[4:],
    ]
    expect(page.locator(".tile", has_text="New fryer")).to_have_count(1, timeout=10_000)
    assert page.evaluate("window.untouched")
    assert page.evaluate("document.activeElement.textContent") == "Venue 3"
    expect(page.locator("details[data-key=expected]")).to_have_attribute("open", "")
    rect = page.evaluate("document.activeElement.getBoundingClientRect().top")
    assert 0 < rect < PHONE["height"]


def test_what_is_typed_is_found_at_once_and_stays_through_updates(
    serve: Callable[[FakeSource], str], open_page: Callable[..., Page], source: FakeSource
) -> None:
    page = open_page(f"{serve(source)}/")
    box = page.get_by_role("searchbox")
    box.press_sequentially("port")
    expect(page.locator(".tile")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"/\?q=port$"))
    with page.expect_response("**/?q=port", timeout=10_000):
        pass
    expect(box).to_be_focused()
    expect(box).to_have_value("port")
    box.fill("")
    page.get_by_label("Brand").select_option("tandir")
    expect(page.locator(".tile")).to_have_count(4)
    page.get_by_label("Only with problems").check()
    expect(page.locator(".tile")).to_have_count(3)
    expect(page).to_have_url(re.compile(r"/\?brand=tandir&show=troubles$"))


def test_the_updates_can_be_paused(
    serve: Callable[[FakeSource], str], open_page: Callable[..., Page], source: FakeSource
) -> None:
    page = open_page(f"{serve(source)}/")
    button = page.get_by_role("button", name="Pause the updates")
    button.click()
    expect(page.locator("#live-text")).to_contain_text("Paused")
    source.views = []
    page.wait_for_timeout(6000)
    expect(page.locator(".tile").first).to_be_visible()
    button.click()
    expect(page.locator(".tile")).to_have_count(0)


def test_a_server_that_does_not_answer_is_said(
    serve: Callable[[FakeSource], str], open_page: Callable[..., Page], source: FakeSource, complaints: list[str]
) -> None:
    page = open_page(f"{serve(source)}/")
    page.route("**/*", lambda route: route.abort("timedout"))
    expect(page.locator("#live-text")).to_contain_text("No answer", timeout=10_000)
    expect(page.locator("#lost-headline")).to_contain_text("This page has had no answer since")
    expect(page.locator("body")).to_have_class("without-answer")
    page.unroute("**/*")
    expect(page.locator("#live-text")).to_contain_text("Live", timeout=10_000)
    expect(page.locator("#lost")).to_be_hidden()
    assert all("ERR_TIMED_OUT" in complaint for complaint in complaints)
    complaints.clear()


def test_without_a_script_it_is_read_and_searched_all_the_same(
    serve: Callable[[FakeSource], str], open_page: Callable[..., Page], source: FakeSource
) -> None:
    page = open_page(f"{serve(source)}/", java_script_enabled=False)
    expect(page.get_by_role("heading", level=1)).to_contain_text("kitchen stations are inactive")
    expect(page.locator("#live-text")).to_contain_text("22:13 UTC")
    page.get_by_role("searchbox").fill("port")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".tile")).to_have_count(1)
    page.locator(".tile a").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Port Baku")


def test_times_are_shown_in_the_readers_own_time_zone(
    serve: Callable[[FakeSource], str], open_page: Callable[..., Page], source: FakeSource
) -> None:
    page = open_page(f"{serve(source)}/changes", timezone_id="Asia/Baku", locale="en-GB")
    assert "15, 2023" in page.locator(".change time").last.inner_text()
    expect(page.locator("#zone")).to_have_text("Times are in the time zone Asia/Baku.")


def test_the_clock_is_in_the_time_zone_of_the_other_times_and_the_page_says_which(
    serve: Callable[[FakeSource], str], open_page: Callable[..., Page]
) -> None:
    source = FakeSource()
    source.views = [venue_view("7", GRILL, rules=VenueRules(time_zone=ZoneInfo("Asia/Baku")))]
    page = open_page(serve(source), timezone_id="America/New_York")
    expect(page.locator("#live-text")).to_contain_text(f"{datetime.now(ZoneInfo('Asia/Baku')):%H:}")
    expect(page.locator("#zone")).to_have_text("Times are in the time zone Asia/Baku.")


def test_the_keyboard_leads_past_the_header(
    serve: Callable[[FakeSource], str], open_page: Callable[..., Page], source: FakeSource
) -> None:
    page = open_page(f"{serve(source)}/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('main').contains(document.activeElement)")


def test_the_keyboard_reaches_everything_and_shows_where_it_is(
    serve: Callable[[FakeSource], str], open_page: Callable[..., Page], source: FakeSource
) -> None:
    source.views = source.views[:4]
    page = open_page(f"{serve(source)}/", viewport=PHONE)
    page.get_by_role("button", name="Pause the updates").click()
    page.locator("details[data-key=expected] summary").click()
    page.locator(".skip").focus()
    everything = page.evaluate(
        """() => [...document.querySelectorAll("a[href], button, input, select, summary")]
            .filter((node) => node.checkVisibility({visibilityProperty: true})).length"""
    )
    seen = set()
    for _ in range(everything - 1):
        page.keyboard.press("Tab")
        number, top, bottom, outlined = page.evaluate(
            """() => {
                const node = document.activeElement, box = node.getBoundingClientRect();
                const styles = [node, node.parentElement].map((one) => getComputedStyle(one));
                styles.push(getComputedStyle(node, "::after"));
                const outlined = styles.some((style) => style.outlineStyle === "solid" && style.outlineWidth === "3px");
                return [[...document.querySelectorAll("*")].indexOf(node), box.top, box.bottom, outlined];
            }"""
        )
        seen.add(number)
        assert outlined, page.evaluate("document.activeElement.outerHTML")
        assert bottom > 0
        assert top < PHONE["height"]
    assert len(seen) == everything - 1, "there is no trap, and nothing is left out"


def test_a_message_for_a_chat_is_copied(
    serve: Callable[[FakeSource], str], open_page: Callable[..., Page], source: FakeSource
) -> None:
    page = open_page(f"{serve(source)}/", permissions=["clipboard-read", "clipboard-write"])
    button = page.get_by_role("button", name="Copy for a chat").first
    button.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("Copied")
    text = page.evaluate("navigator.clipboard.readText()")
    assert text == "Plov 10 (plov): Grill. Inactive in Clopos for at least 25 min."
    expect(button).to_have_text("Copy for a chat")


def test_the_whole_card_is_the_target(
    serve: Callable[[FakeSource], str], open_page: Callable[..., Page], source: FakeSource
) -> None:
    for card in (".trouble.urgent:has(h3 a)", ".tile", ".change"):
        page = open_page(f"{serve(source)}/", viewport=PHONE)
        box = page.locator(card).first.bounding_box()
        assert box is not None
        assert box["height"] >= 44
        page.locator(card).first.click(position={"x": box["width"] - 12, "y": box["height"] - 12})
        page.wait_for_url("**/venue?*")


@pytest.mark.parametrize("is_calm", [True, False])
def test_the_first_venue_is_within_one_screen_of_a_phone(
    serve: Callable[[FakeSource], str], open_page: Callable[..., Page], *, is_calm: bool
) -> None:
    views = [venue_view("1", BAR if is_calm else GRILL, name="Port Baku"), venue_view("2", BAR)]
    page = open_page(f"{serve(FakeSource(views, [brand_view()]))}/", viewport={"width": 390, "height": 844})
    box = page.locator(".tile").first.bounding_box()
    assert box is not None
    assert box["y"] < 844 - 44
