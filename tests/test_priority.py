from __future__ import annotations

import threading
import time

import pytest
from fakes import until

from exporter import priority
from exporter.priority import ScrapePriority


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let those who give way wait as long as a scrape takes."""
    monkeypatch.setattr(priority, "LONGEST_SECONDS", 60.0)


@pytest.fixture
def scrapes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ScrapePriority:
    if "patient" in request.fixturenames:
        request.getfixturevalue("patient")
    else:
        monkeypatch.setattr(priority, "LONGEST_SECONDS", 0.2)
    return ScrapePriority()


def giving_way(scrapes: ScrapePriority) -> threading.Thread:
    thread = threading.Thread(target=scrapes.give_way, daemon=True)
    thread.start()
    return thread


def test_without_a_scrape_nobody_waits(scrapes: ScrapePriority) -> None:
    began = time.monotonic()
    scrapes.give_way()
    with scrapes:
        pass
    scrapes.give_way()
    assert time.monotonic() - began < priority.LONGEST_SECONDS


@pytest.mark.usefixtures("patient")
def test_all_wait_until_the_last_scrape_is_answered(scrapes: ScrapePriority) -> None:
    with scrapes:
        with scrapes:
            threads = [giving_way(scrapes) for _ in range(3)]
        time.sleep(0.02)
        assert all(thread.is_alive() for thread in threads)
    until(lambda: not any(thread.is_alive() for thread in threads))


@pytest.mark.usefixtures("patient")
def test_a_scrape_that_fails_holds_nobody_up(scrapes: ScrapePriority) -> None:
    with pytest.raises(OSError, match="gone"), scrapes:
        raise OSError("gone")
    scrapes.give_way()


def waited(scrapes: ScrapePriority) -> float:
    began = time.monotonic()
    scrapes.give_way()
    return time.monotonic() - began


def test_a_scrape_without_end_holds_nobody_up_for_longer_than_a_moment(scrapes: ScrapePriority) -> None:
    with scrapes:
        assert waited(scrapes) == pytest.approx(priority.LONGEST_SECONDS, abs=0.15)
        with scrapes:  # nor do those that begin meanwhile
            assert waited(scrapes) < 0.1


def test_of_scrapes_one_after_the_other_others_have_half_of_the_time(scrapes: ScrapePriority) -> None:
    began, waiting = time.monotonic(), 0.0
    while time.monotonic() < began + 1.0:
        with scrapes:
            waiting += waited(scrapes)
            time.sleep(0.01)
    assert 0.2 < waiting < 0.75


def test_after_a_calm_time_others_give_way_again(scrapes: ScrapePriority) -> None:
    with scrapes:
        scrapes.give_way()
    time.sleep(priority.LONGEST_SECONDS)
    with scrapes:
        assert waited(scrapes) > priority.LONGEST_SECONDS / 2
