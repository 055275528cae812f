"""Every state of the page: the real process and a simulated Clopos, seen in a real browser by everybody."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AxeResults
from axe_playwright_python.sync_playwright import Axe
from browser import chromium
from page_scenes import SCENES, TIMEOUT, Stage, View
from playwright.sync_api import Browser, Page, expect

from exporter.i18n import LANGUAGES

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page states")]

WIDTHS = (320, 390, 640, 768, 1280)
"""CSS pixels; 640 is a screen of 1280 at 200 %."""

IN_ORDER: list[str] = sorted(SCENES, key=lambda name: SCENES[name].slow)

PHONES = 500
"""Below so many pixels everything has to be large enough for a finger."""

NARROWEST = (320, 768)
"""Where columns are narrowest: enough for the other languages."""

AHEAD = 3
"""Scenes that are set up while the browser looks at another one."""

FAULTS_OF_LAYOUT = (Path(__file__).parent / "layout.js").read_text(encoding="utf-8")

UNFOLD = "for (const fold of document.querySelectorAll('details')) fold.open = true"
FOLD = UNFOLD.replace("true", "false")

Stages = Callable[[str], Stage]


@pytest.fixture(scope="module")
def stages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    """Return a function that gives a scene set up. Slow ones are begun at once, the others some ahead of their turn."""
    folder = tmp_path_factory.mktemp("scenes")
    items = [item for item in request.session.items if isinstance(item, pytest.Function) and hasattr(item, "callspec")]
    chosen = list(dict.fromkeys(str(name) for item in items if (name := item.callspec.params.get("scene"))))
    futures: dict[str, Future[Stage]] = {}
    closing: dict[str, ExitStack] = {}

    def begin(name: str, pool: ThreadPoolExecutor) -> None:
        if name not in futures:
            closing[name] = ExitStack()
            futures[name] = pool.submit(Stage, SCENES[name], folder / name, closing[name])

    with ThreadPoolExecutor() as slow, ThreadPoolExecutor(AHEAD) as pool:
        for name in chosen:
            if SCENES[name].slow:
                begin(name, slow)

        def stage(name: str) -> Stage:
            for one in chosen[: chosen.index(name)]:
                closing[one].close()
            for one in chosen[chosen.index(name) :][: AHEAD + 1]:
                begin(one, pool)
            return futures[name].result(3 * TIMEOUT)

        yield stage
        for stack in closing.values():
            stack.close()


@pytest.fixture(scope="module")
def browser(program: Callable[..., str]) -> Iterator[Browser]:
    with chromium(program("chromium")) as browser:
        yield browser


def new_page(browser: Browser, language: str, **options: Any) -> Page:
    locale = {"az": "az-AZ", "ru": "ru-RU", "uz": "uz-UZ", "en": "en-GB"}[language]
    return browser.new_context(locale=locale, viewport={"width": 390, "height": 844}, **options).new_page()


@pytest.fixture(scope="module")
def without_script(browser: Browser) -> dict[str, Page]:
    """Return a page for each other language, of somebody who has no script: the same page."""
    return {language: new_page(browser, language, java_script_enabled=False) for language in LANGUAGES[1:]}


@pytest.fixture(scope="module")
def with_script(browser: Browser) -> Page:
    return new_page(browser, "en")


@pytest.mark.parametrize("scene", IN_ORDER)
def test_a_state_is_honest_whole_and_for_everybody(
    stages: Stages, with_script: Page, without_script: dict[str, Page], subtests: pytest.Subtests, scene: str
) -> None:
    stage = stages(scene)
    for view in SCENES[scene].views:
        with subtests.test(view.name):
            stage.exporter.until(partial(is_said, stage, scene, view), f"{view.says}", seconds=TIMEOUT)
            faults: list[str] = []
            for language, page in without_script.items():
                page.goto(stage.exporter.url + view.path)
                page.evaluate(UNFOLD)
                faults += [f"{language}: {fault}" for fault in faults_of_layout(page, NARROWEST)]
            page = with_script
            page.set_viewport_size({"width": 390, "height": 844})
            page.emulate_media(color_scheme="dark", reduced_motion="no-preference")
            page.goto(stage.exporter.url + view.path)
            for fold in page.locator("summary").all():
                fold.click()
            if SCENES[scene].lost:
                stage.exporter.kill()
                expect(page.locator("#lost")).to_be_visible(timeout=20_000)
            else:
                expect(page.locator("#live-text")).to_contain_text("Live")
            text = " ".join(page.locator("body").inner_text().split())
            faults += [f"does not say {word!r}" for word in view.says if word not in text]
            faults += [f"says {word!r}" for word in view.never if word in text]
            faults += [*faults_of_layout(page, WIDTHS), *faults_for_some_people(page)]
            take_pictures(page, view.name)
            assert not faults, "\n".join(faults)


def is_said(stage: Stage, scene: str, view: View) -> bool:
    """Return whether a page says, without a script, what it has to say and nothing else."""
    if SCENES[scene].lost:
        return True  # It is said only when the process is gone.
    body = re.sub(r"<(svg|title|script)\b.*?</\1>", " ", stage.exporter.get(view.path).text, flags=re.DOTALL)
    text = " ".join(html.unescape(re.sub(r"<[^>]*>", "", body)).split())
    return all(word in text for word in view.says) and not any(word in text for word in view.never)


def faults_of_layout(page: Page, widths: Iterable[int]) -> list[str]:
    """Return what is wider than the window, cut off or too small to tap, at these widths and on paper."""
    faults: dict[str, str] = {}
    for width in widths:
        page.set_viewport_size({"width": width, "height": 844})
        for fault in page.evaluate(FAULTS_OF_LAYOUT, {"targets": width < PHONES}):
            faults.setdefault(fault, f"{fault} at {width} px")
    page.emulate_media(media="print")
    for fault in page.evaluate(FAULTS_OF_LAYOUT, {"targets": False}):
        faults.setdefault(fault, f"{fault} in print")
    page.emulate_media(media="screen")
    return list(faults.values())


def faults_for_some_people(page: Page) -> Iterator[str]:
    """Yield what axe-core finds, in the dark and in the light, and what moves for whom that is bad."""
    axe = Axe()
    page.evaluate(axe.axe_script)
    for width, scheme in ((320, "dark"), (1280, "light")):
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        found = AxeResults(page.evaluate("axe.run({resultTypes: ['violations']})"))
        if found.violations_count:
            yield f"at {width} px: {found.generate_report()}"
        if moving := page.evaluate("document.getAnimations().length"):
            yield f"{moving} things move"


def take_pictures(page: Page, name: str) -> None:
    """Take pictures into the folder that STATE_SCREENSHOTS names, if it does."""
    folder = os.environ.get("STATE_SCREENSHOTS")
    page.evaluate(FOLD)
    for width, scheme in ((390, "light"), (390, "dark"), (1280, "light")) if folder else ():
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.screenshot(path=Path(str(folder)) / f"{name}-{width}-{scheme}.png", full_page=width < 1000)
