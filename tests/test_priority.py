from __future__ import annotations

import threading
import time

import pytest
from fakes import until

from exporter import priority
from exporter.priority import ScrapePriority


@pytest.fixture
def scrapes() -> ScrapePriority:
    return ScrapePriority()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let those who give way wait as long as a scrape takes."""
    monkeypatch.setattr(priority, "LONGEST_SECONDS", 60.0)


def giving_way(scrapes: ScrapePriority) -> threading.Thread:
    thread = threading.Thread(target=scrapes.give_way, daemon=True)
    thread.start()
    return thread


def test_without_a_scrape_nobody_waits(scrapes: ScrapePriority) -> None:
    began = time.monotonic()
    scrapes.give_way()
    with scrapes.scraping():
        pass
    scrapes.give_way()
    assert time.monotonic() - began < priority.LONGEST_SECONDS


@pytest.mark.usefixtures("patient")
def test_all_wait_until_the_last_scrape_is_answered(scrapes: ScrapePriority) -> None:
    with scrapes.scraping():
        with scrapes.scraping():
            threads = [giving_way(scrapes) for _ in range(3)]
        time.sleep(0.02)
        assert all(thread.is_alive() for thread in threads)
    until(lambda: not any(thread.is_alive() for thread in threads))


@pytest.mark.usefixtures("patient")
def test_a_scrape_that_fails_holds_nobody_up(scrapes: ScrapePriority) -> None:
    with pytest.raises(OSError, match="gone"), scrapes.scraping():
        raise OSError("gone")
    scrapes.give_way()


def test_scrapes_without_end_hold_nobody_up_for_longer_than_a_moment(
    scrapes: ScrapePriority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(priority, "LONGEST_SECONDS", 0.05)
    with scrapes.scraping():
        thread = giving_way(scrapes)
        while thread.is_alive():
            with scrapes.scraping():  # Each of them begins a moment of its own, but not for who waits already.
                time.sleep(0.01)
