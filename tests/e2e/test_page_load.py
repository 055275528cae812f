"""A large chain on the page of the real process, while Prometheus goes on scraping."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.client import HTTPConnection
from threading import Thread
from urllib.parse import urlsplit

import pytest
from harness import Exporter, configuration
from past import lived_through

from exporter.simulator import Simulator

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page load")]

DELAY = 0.050
"""Seconds that a page may hold a scrape up."""

ROUNDS = 8
"""The best one counts: in the others the machine may have been busy with something else."""


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    """An exporter that knows 500 venues of 20 stations from its state file."""
    folder = tmp_path_factory.mktemp("load")
    world = lived_through((), folder / "state.db", venues=500, stations=20)
    with Simulator(world) as simulator:
        config = configuration(
            simulator, poll_interval="5m", stale_after="1h", state={"path": str(folder / "state.db")}
        )
        with Exporter(folder, config) as exporter:
            exporter.until(lambda: b"Showing 48 of 500 venues" in exporter.get("/").body, "the page", seconds=30)
            yield exporter


@pytest.mark.parametrize("path", ["/?rows=500", "/", "/api/v1/stations?limit=1000"])
def test_no_page_holds_a_scrape_up(exporter: Exporter, path: str) -> None:
    best = min(longest_wait(exporter, path) for _ in range(ROUNDS))
    assert best < DELAY, f"a scrape waited {best * 1000:.0f} ms longer for {path}"


def test_a_large_chain_is_a_small_page(exporter: Exporter) -> None:
    answer = exporter.get("/?rows=500", accept_encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.body) < 150_000


def longest_wait(exporter: Exporter, path: str) -> float:
    """Return by how much the slowest scrape beside a page was slower than the median of those without."""
    alone = sorted(scrapes(exporter, 10))
    page = Thread(target=exporter.get, args=(path,))
    page.start()
    beside = []
    while page.is_alive():
        beside += scrapes(exporter, 1)
    page.join()
    return max(beside, default=0.0) - alone[len(alone) // 2]


def scrapes(exporter: Exporter, times: int) -> list[float]:
    target = urlsplit(exporter.url)
    connection = HTTPConnection(str(target.hostname), target.port)
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        connection.request("GET", "/metrics?name[]=clopos_venue_up")
        connection.getresponse().read()
        seconds.append(time.perf_counter() - began)
    connection.close()
    return seconds
